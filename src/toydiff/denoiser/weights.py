"""Loss weights: how much an error counts, by level."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from toydiff.denoiser.targets import input_scale
from toydiff.schedules import Level
from toydiff.spec import Spec


class Weight(Spec):
    """A weight on |F̂ − F|², by level."""

    def __call__(self, level: Level, a: Tensor, b: Tensor, sigma_data: float) -> Tensor:
        raise NotImplementedError


class Uniform(Weight):
    """1 on |F̂ − F|²: the simple loss of the target itself (Ho et al. 2020, eq. 14)."""

    kind: Literal["uniform"] = "uniform"

    def __call__(self, level: Level, a: Tensor, b: Tensor, sigma_data: float) -> Tensor:
        return torch.ones_like(level.sigma)


class InverseSigma2(Weight):
    """1/(sigma² + floor) on |F̂ − F|²: precision where there is little noise; a floor bounds it."""

    kind: Literal["inverse_sigma2"] = "inverse_sigma2"
    floor: float = Field(0.0, ge=0, le=1e6)

    def __call__(self, level: Level, a: Tensor, b: Tensor, sigma_data: float) -> Tensor:
        return 1 / (level.sigma**2 + self.floor)


class _DataWeight(Weight):
    """A weight on |x̂_0 − x_0|², which is (sigma / (alpha · b − sigma · a))² |F̂ − F|²."""

    def on_data(self, level: Level, sigma_data: float) -> Tensor:
        raise NotImplementedError

    def __call__(self, level: Level, a: Tensor, b: Tensor, sigma_data: float) -> Tensor:
        return (level.sigma / (level.alpha * b - level.sigma * a)) ** 2 * self.on_data(level, sigma_data)


class SNR(_DataWeight):
    """SNR on |x̂_0 − x_0|²: the simple eps loss, in whatever target (Salimans & Ho 2022)."""

    kind: Literal["snr"] = "snr"

    def on_data(self, level: Level, sigma_data: float) -> Tensor:
        return level.snr


class MinSNR(_DataWeight):
    """min(SNR, γ) on |x̂_0 − x_0|² (Hang et al. 2023): min(SNR, γ)/SNR for eps, min(SNR, γ)/(SNR + 1) for v."""

    kind: Literal["min_snr"] = "min_snr"
    gamma: float = Field(5.0, gt=0, le=1e6)

    def on_data(self, level: Level, sigma_data: float) -> Tensor:
        return level.snr.clamp(max=self.gamma)


class EDMWeight(_DataWeight):
    """(sigma² + alpha² σ_d²)/(sigma σ_d)² on |x̂_0 − x_0|² (Karras et al. 2022): 1 on the edm target."""

    kind: Literal["edm"] = "edm"

    def on_data(self, level: Level, sigma_data: float) -> Tensor:
        return (input_scale(level, sigma_data) / (level.sigma * sigma_data)) ** 2


AnyWeight = Annotated[Uniform | InverseSigma2 | SNR | MinSNR | EDMWeight, Field(discriminator="kind")]
