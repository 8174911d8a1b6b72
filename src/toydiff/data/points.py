"""Points with a density anyone can write down: Gaussians on a ring, or anywhere in any dimension; a checkerboard."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from toydiff.data.base import Batch, Data
from toydiff.oracle import Boxes, ExactDenoiser, Mixture

Deviation = Annotated[float, Field(gt=0, le=100)]


class Points(Data):
    """Points, mostly (2,), whose density is one `ExactDenoiser`: moments, entropy and denoiser come from there."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (2,)

    @property
    def _law(self) -> ExactDenoiser:
        """The distribution itself; also where it is a set of point masses that stands for a noiseless curve."""
        raise NotImplementedError

    @property
    def shift(self) -> Tensor:
        return self._law.mean.float()

    @property
    def scale(self) -> float:
        return self._law.rms

    def exact(self) -> ExactDenoiser:
        return self._law


class Gaussians(Points):
    """Equal round Gaussians on a ring: the classic test for missing modes (labels: which mode).

    Mode k is N(radius · (cos 2πk/modes, sin 2πk/modes), std² I); `weights`, one a mode, makes some rarer.
    """

    kind: Literal["gaussians"] = "gaussians"
    modes: int = Field(8, ge=1, le=1000)
    radius: float = Field(1.0, ge=0, le=1000)
    std: float = Field(0.08, gt=0, le=100)
    weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None

    @model_validator(mode="after")
    def _one_weight_a_mode(self) -> Self:
        if self.weights is not None and len(self.weights) != self.modes:
            raise ValueError(f"{len(self.weights)} weights for {self.modes} modes")
        return self

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(str(mode) for mode in range(self.modes))

    @cached_property
    def _law(self) -> Mixture:
        angle = 2 * math.pi * torch.arange(self.modes, dtype=torch.float64) / self.modes
        means = self.radius * torch.stack([angle.cos(), angle.sin()], 1)
        weights = None if self.weights is None else torch.tensor(self.weights, dtype=torch.float64)
        return Mixture(means, self.std, weights, torch.arange(self.modes))

    def draw(self, n: int, generator: Generator) -> Batch:
        label = torch.multinomial(self._law.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return Batch((self._law.means[label] + self.std * noise).float(), label)


Coordinates = Annotated[tuple[Annotated[float, Field(ge=-1e6, le=1e6)], ...], Field(min_length=1, max_length=10_000)]


class GaussianMixture(Points):
    """Round Gaussians wherever you put them, in any number of dimensions (labels: which mode).

    Mode k is N(means[k], std_k² I): `means` has a row of D coordinates a mode, `std` is one number or one a mode, and
    `weights`, one a mode, makes some rarer.
    """

    kind: Literal["mixture"] = "mixture"
    means: Annotated[tuple[Coordinates, ...], Field(min_length=1, max_length=1000)] = (
        (-1.0, 0.0),
        (1.0, 0.0),
        (0.0, 1.5),
    )
    std: Deviation | tuple[Deviation, ...] = 0.3
    weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None

    @model_validator(mode="after")
    def _one_row_one_std_and_one_weight_a_mode(self) -> Self:
        if len(dimensions := {len(mean) for mean in self.means}) > 1:
            raise ValueError(f"means of {' and '.join(map(str, sorted(dimensions)))} coordinates: give all as many")
        for key, values in (("std", self.std), ("weights", self.weights)):
            if isinstance(values, tuple) and len(values) != len(self.means):
                raise ValueError(f"{len(values)} {key} for {len(self.means)} modes")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.means[0]),)

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(str(mode) for mode in range(len(self.means)))

    @cached_property
    def _law(self) -> Mixture:
        means = torch.tensor(self.means, dtype=torch.float64)
        weights = None if self.weights is None else torch.tensor(self.weights, dtype=torch.float64)
        return Mixture(means, torch.tensor(self.std, dtype=torch.float64), weights, torch.arange(len(means)))

    def draw(self, n: int, generator: Generator) -> Batch:
        label = torch.multinomial(self._law.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, *self.shape, generator=generator, dtype=torch.float64)
        return Batch(
            (self._law.means[label] + self._law.stds.expand(len(self.means))[label, None] * noise).float(), label
        )


class Checkerboard(Points):
    """Uniform on the dark squares of a chessboard: sharp edges and corners (labels: the squares, as in chess).

    The board is `squares` × `squares`, centred at 0 and `size` wide; a1, at the lower left, is dark.
    """

    kind: Literal["checkerboard"] = "checkerboard"
    squares: int = Field(4, ge=2, le=26)
    size: float = Field(4.0, gt=0, le=1000)

    @property
    def _dark(self) -> list[tuple[int, int]]:
        return [(row, file) for row in range(self.squares) for file in range(self.squares) if (row + file) % 2 == 0]

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(f"{'abcdefghijklmnopqrstuvwxyz'[file]}{row + 1}" for row, file in self._dark)

    @cached_property
    def _law(self) -> Boxes:
        corners = torch.tensor([(file, row) for row, file in self._dark], dtype=torch.float64)
        side = self.size / self.squares
        lows = corners * side - self.size / 2
        return Boxes(lows, lows + side, labels=torch.arange(len(lows)))

    def draw(self, n: int, generator: Generator) -> Batch:
        label = torch.randint(len(self._law.lows), (n,), generator=generator)
        place = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        return Batch((self._law.lows[label] + self.size / self.squares * place).float(), label)
