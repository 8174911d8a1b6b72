"""Variance-exploding schedules, alpha = 1 (log-linear, edm), and the straight line between data and noise (flow)."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from toydiff.schedules.base import Schedule


class _VarianceExploding(Schedule):
    """alpha = 1, sigma(t) from sigma_min at t = 0 (which is *not* clean) to sigma_max at t = 1."""

    variance: ClassVar[Literal["preserving", "exploding", "interpolating"]] = "exploding"
    sigma_min: float = Field(0.002, gt=0, le=1e6)
    sigma_max: float = Field(80.0, gt=0, le=1e6)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min ({self.sigma_min}) must lie below sigma_max ({self.sigma_max})")
        return self


class LogLinear(_VarianceExploding):
    """sigma(t) = sigma_min^(1−t) · sigma_max^t, log sigma linear in t; N knots if given (Song & Ermon 2019)."""

    kind: Literal["log_linear"] = "log_linear"
    N: Annotated[int, Field(ge=2, le=100_000)] | None = None

    @property
    def knot_times(self) -> Tensor | None:
        return None if self.N is None else torch.arange(self.N, dtype=torch.float64) / (self.N - 1)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_sigma = (1 - t) * math.log(self.sigma_min) + t * math.log(self.sigma_max)
        return torch.ones_like(t), log_sigma.exp()


class EDM(_VarianceExploding):
    """sigma(t)^(1/ρ) linear in t from sigma_min to sigma_max, ρ = 7 (Karras et al. 2022, eq. 5)."""

    kind: Literal["edm"] = "edm"
    rho: float = Field(7.0, ge=1, le=100)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return torch.ones_like(t), (low + t * (high - low)) ** self.rho


class Flow(Schedule):
    """alpha = 1 − t, sigma = t: a straight line from data to noise (Liu et al. 2022; Lipman et al. 2023)."""

    variance: ClassVar[Literal["preserving", "exploding", "interpolating"]] = "interpolating"
    kind: Literal["flow"] = "flow"

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t
