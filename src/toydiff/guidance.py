"""Denoisers made of denoisers: classifier-free guidance, and the data range."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from toydiff.denoiser import Denoise, Denoiser
from toydiff.schedules import Level


@dataclass(frozen=True)
class Guided:
    """x̂_0 = D(x_t | none) + scale · (D(x_t | label) − D(x_t | none)) (Ho & Salimans 2022).

    In this convention scale 1 is the conditional denoiser and scale 0 the unconditional one, both exactly.
    `denoiser(x, level, label)` reads label None as "none"; label is (B,) integers.
    """

    denoiser: Denoiser
    label: Tensor
    scale: float

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        if self.scale == 1:
            return self.denoiser(x, level, self.label)  # type: ignore[no-any-return]
        unconditional = self.denoiser(x, level, None)
        return torch.lerp(unconditional, self.denoiser(x, level, self.label), self.scale)


@dataclass(frozen=True)
class Clipped:
    """x̂_0 clamped to the data's range (model units), after any guidance: for images; off for points."""

    denoise: Denoise
    low: Tensor | float
    high: Tensor | float

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        return torch.clamp(self.denoise(x, level), torch.as_tensor(self.low).to(x), torch.as_tensor(self.high).to(x))
