"""Data sets: where x_0 comes from, with the density, the entropy and the exact denoiser where they are known."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toydiff.data.base import Batch, Data
from toydiff.data.curves import Circles, Moons, Pinwheel, Spirals, SwissRoll
from toydiff.data.files import Csv, Folder, Npy, Npz
from toydiff.data.images import CIFAR10, MNIST, Fashion
from toydiff.data.picture import Picture
from toydiff.data.points import Checkerboard, GaussianMixture, Gaussians
from toydiff.data.shapes import Shapes

Made = SwissRoll | Moons | Circles | Gaussians | GaussianMixture | Checkerboard | Spirals | Pinwheel | Shapes
Official = MNIST | Fashion | CIFAR10
OwnFile = Csv | Npy | Npz | Folder | Picture
AnyData = Annotated[Made | Official | OwnFile, Field(discriminator="kind")]

__all__ = [
    "CIFAR10",
    "MNIST",
    "AnyData",
    "Batch",
    "Checkerboard",
    "Circles",
    "Csv",
    "Data",
    "Fashion",
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
