"""Save a picture as PNG, with the seeds and the command that made it inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from toydiff.files import atomic_write
from toydiff.viz.style import DPI, pixels


def save_png(path: str | Path, picture: Image.Image | Figure, text: Mapping[str, str] | None = None) -> None:
    """Write `picture` to `path` atomically, each entry of `text` as a PNG text chunk (PIL: `Image.open(path).text`).

    Keys are 1 to 79 Latin-1 characters (PNG specification, section 11.3.3); values may be any text.
    """
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    dpi = round(picture.dpi) if isinstance(picture, Figure) else DPI
    with atomic_write(Path(path)) as file:
        Image.fromarray(pixels(picture)).save(file, format="PNG", pnginfo=chunks, dpi=(dpi, dpi))
