"""Data sets: where x_0 comes from, with the density, the entropy and the exact denoiser where they are known."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toydiff.data.base import Batch, Data
from toydiff.data.curves import Circles, Moons, Pinwheel, Spirals, SwissRoll
from toydiff.data.files import Csv, Folder, Npy, Npz
from toydiff.data.picture import Picture
from toydiff.data.points import Checkerboard, GaussianMixture, Gaussians
from toydiff.data.shapes import Shapes

Made = SwissRoll | Moons | Circles | Gaussians | GaussianMixture | Checkerboard | Spirals | Pinwheel | Shapes
OwnFile = Csv | Npy | Npz | Folder | Picture
AnyData = Annotated[Made | OwnFile, Field(discriminator="kind")]

__all__ = [
    "AnyData",
    "Batch",
    "Checkerboard",
    "Circles",
    "Csv",
    "Data",
    "Folder",
    "GaussianMixture",
    "Gaussians",
    "Moons",
    "Npy",
    "Npz",
    "Picture",
    "Pinwheel",
    "Shapes",
    "Spirals",
    "SwissRoll",
]
