"""A picture to begin from, or a mask, as an array in the shape of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toydiff.errors import ConfigurationError, shown
from toydiff.pictures import read_picture as read
from toydiff.viz.style import Array


def read_picture(path: Path, shape: tuple[int, ...]) -> Array:
    """Return a picture as (C, H, W) float32 in [0, 1], C = 1 grey or 3 RGB, without its transparency.

    Raises ToydiffError for what is no picture or is damaged, ConfigurationError, saying both sizes, for one that is
    not of `shape`.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ConfigurationError(
            f"{shown(path)} is a picture, the data have shape {shape}", "Give an array: .csv, .npy or .npz."
        )
    channels, height, width = shape
    pixels = read(path, channels=channels)
    if pixels.shape[:2] != (height, width):
        raise ConfigurationError(
            f"{shown(path)} is {pixels.shape[1]} × {pixels.shape[0]} pixels, the data {width} × {height}",
            "Scale or crop it first.",
        )
    return pixels.transpose(2, 0, 1).astype(np.float32) / 255
