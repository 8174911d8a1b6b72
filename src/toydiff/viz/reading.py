"""Pictures from outside, as arrays: checked by their header before a single pixel is decoded."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import read_bytes, shown
from toydiff.viz.style import Array

MOST_BYTES = 64 << 20
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = {1: "L", 3: "RGB"}


def read_picture(path: Path, shape: tuple[int, ...]) -> Array:
    """Return a picture as (C, H, W) float32 in [0, 1], C = 1 grey or 3 RGB, without its transparency.

    Raises ToydiffError for what is no PNG, JPEG, WebP or BMP picture or is damaged, ConfigurationError, saying both
    sizes, for one that is not of `shape`.
    """
    if len(shape) != 3 or shape[0] not in _MODES:
        raise ConfigurationError(
            f"{shown(path)} is a picture, the data have shape {shape}", "Give an array: .csv, .npy or .npz."
        )
    channels, height, width = shape
    content = read_bytes(path, MOST_BYTES)
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            if picture.size != (width, height):  # of the header: a picture that would fill the memory ends here
                raise ConfigurationError(
                    f"{shown(path)} is {picture.width} × {picture.height} pixels, the data {width} × {height}",
                    "Scale or crop it first.",
                )
            if picture.mode.startswith("I"):  # 16 bits of grey, which `convert` would cut off at 255
                grey = np.asarray(picture, dtype=np.float32) / 65535
                return np.repeat(grey[None], channels, axis=0)
            pixels = np.asarray(picture.convert(_MODES[channels]), dtype=np.float32) / 255
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ToydiffError(
            f"{shown(path)} is not a picture that can be read", f"Known: {', '.join(FORMATS)}."
        ) from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
