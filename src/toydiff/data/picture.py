"""Points from the dark parts of any picture: a logo, a signature."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Generator

from toydiff.data.albums import SMALLEST, opaque
from toydiff.data.base import Batch
from toydiff.data.known import FromFile, Known, stamp
from toydiff.errors import ToydiffError, shown
from toydiff.oracle import ExactDenoiser, Lattice
from toydiff.pictures import read_picture

FINEST = 4096
"""Nothing shows noise that is less of `size`; it would only make the grid finer that the entropy is summed on."""
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


class Picture(FromFile):
    """Points from the dark parts of a picture, as likely as they are dark: a logo, a signature.

    The density is constant on each pixel, in proportion to its darkness (0 white to 1 black), and 0 where that is less
    than `threshold`: paper is rarely white. `invert` is for pictures that are light on dark; what is transparent is
    paper. The picture is scaled down to `resolution` pixels along its longer side; what is left when its blank
    margins are cut off is centred at 0, its longer side `size` long. With `noise`, a standard deviation in the units of
    `size`, that density is blurred: edges become soft, and points lie beyond them.
    """

    kind: Literal["picture"] = "picture"
    threshold: float = Field(0.2, gt=0, lt=1)
    invert: bool = False
    resolution: int = Field(192, ge=8, le=1024)
    size: float = Field(4.0, gt=0, le=1000)
    noise: float = Field(0.0, ge=0, le=1000)

    @model_validator(mode="after")
    def _noise_shows(self) -> Self:
        if 0 < self.noise < self.size / FINEST:
            least = self.size / FINEST
            said = f"noise ({self.noise:g}) is too fine for a size of {self.size:g}"
            raise ValueError(f"{said}: give 0, or {least:.2g} or more")
        return self

    def _find(self, settings: str) -> Known:
        law = self._law
        return Known(settings=settings, shape=(2,), shift=tuple(law.mean.tolist()), scale=law.rms)

    @property
    def _law(self) -> Lattice:
        return _lattice(
            self.path, self.threshold, self.invert, self.resolution, self.size, self.noise, stamp(self.path)
        )

    def exact(self) -> ExactDenoiser:
        return self._law

    def draw(self, n: int, generator: Generator) -> Batch:
        return Batch(self._law.draw(n, generator), None)


@lru_cache(maxsize=2)
def _lattice(
    path: str, threshold: float, invert: bool, resolution: int, size: float, noise: float, stamp: object
) -> Lattice:
    """Return the density of a picture; raises ToydiffError if it is tiny, or nothing in it is dark."""
    pixels = read_picture(path, channels=4)
    if invert:
        pixels = np.concatenate([255 - pixels[..., :3], pixels[..., 3:]], 2)
    dark = torch.from_numpy(1 - opaque(pixels) @ _GREY / 255)
    height, width = dark.shape
    if min(height, width) < SMALLEST:
        raise ToydiffError(
            f"{shown(path)} is {width} × {height} pixels", f"There is nothing to see below {SMALLEST} across and up."
        )
    scale = min(1.0, resolution / max(height, width))
    extent = max(1, round(height * scale)), max(1, round(width * scale))
    dark = torch.nn.functional.interpolate(dark[None, None], extent, mode="bilinear", antialias=True)[0, 0]
    dark = dark.where(dark >= threshold, 0.0)
    if not bool((dark > 0).any()):
        light = "dark" if invert else "light"
        raise ToydiffError(
            f"{shown(path)} is {light} everywhere: there is nothing to draw points from",
            "Set data.invert=true for pictures that are light on dark, or a lower data.threshold.",
        )
    rows, columns = (dark.sum(axis).nonzero().squeeze(1) for axis in (1, 0))
    dark = dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = size / max(dark.shape)
    mass = dark.flip(0).T.contiguous()  # up is up: the last row of pixels is the lowest
    return Lattice(mass, -side / 2 * torch.tensor(mass.shape, dtype=torch.float64), side, noise)
