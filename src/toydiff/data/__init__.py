"""Data sets: where x_0 comes from, with the density, the entropy and the exact denoiser where they are known."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toydiff.data.base import Batch, Data
from toydiff.data.curves import Circles, Moons, Pinwheel, Spirals, SwissRoll
from toydiff.data.points import Checkerboard, Gaussians
from toydiff.data.shapes import Shapes

AnyData = Annotated[
    SwissRoll | Moons | Circles | Gaussians | Checkerboard | Spirals | Pinwheel | Shapes, Field(discriminator="kind")
]

__all__ = [
    "AnyData",
    "Batch",
    "Checkerboard",
    "Circles",
    "Data",
    "Gaussians",
    "Moons",
    "Pinwheel",
    "Shapes",
    "Spirals",
    "SwissRoll",
]
