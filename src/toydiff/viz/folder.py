"""A folder of pictures, one file an image and a subfolder a class, as `folder:` reads it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from toydiff.data import Batch
from toydiff.errors import ToydiffError, shown
from toydiff.viz.images import Domain, shades


def save_folder(path: Path, batch: Batch, names: Sequence[str], domain: Domain) -> None:
    """Write images (N, 1 or 3, H, W) as PNG files into a new folder, which is there whole or not at all.

    `domain` are the values of black and white; `names` the labels' names, whose slashes become dashes.
    Raises ToydiffError for what a disk can do to us.
    """
    temporary = path.with_name(f".toydiff-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    width = len(str(len(batch.x) - 1))
    try:
        try:
            temporary.mkdir()
            for k, x in enumerate(batch.x):
                folder = temporary
                if batch.label is not None:
                    folder = temporary / (re.sub(r"[/\\\0]", "-", names[int(batch.label[k])]).lstrip(".") or "class")
                    folder.mkdir(exist_ok=True)
                tile = shades(x[None], domain)[0]
                image = Image.fromarray(tile if len(x) == 3 else tile[..., 0].copy())
                image.save(folder / f"{k:0{width}d}.png")
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ToydiffError(f"cannot write {shown(path)}: {reason}", "Choose another output.") from error
