"""Noise-level densities: which levels training sees, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from toydiff.schedules import Level, Schedule
from toydiff.spec import Spec


class Density(Spec):
    """A density over noise levels: uniform numbers u ∈ (0, 1] → levels of the schedule."""

    def __call__(self, u: Tensor, schedule: Schedule) -> Level:
        raise NotImplementedError


class UniformTime(Density):
    """t uniform in (0, 1]: all times alike (Song et al. 2021)."""

    kind: Literal["uniform"] = "uniform"

    def __call__(self, u: Tensor, schedule: Schedule) -> Level:
        return schedule(u)


class Discrete(Density):
    """One of the T knots of a discrete schedule, all alike (Ho et al. 2020, algorithm 1)."""

    kind: Literal["discrete"] = "discrete"

    def __call__(self, u: Tensor, schedule: Schedule) -> Level:
        knots = schedule.knots()
        return knots[(u * len(knots.t)).ceil().long() - 1]


class LogNormal(Density):
    """ln(sigma/alpha) ~ N(mean, std²), clamped to the schedule's range (Karras et al. 2022, table 1)."""

    kind: Literal["log_normal"] = "log_normal"
    mean: float = Field(-1.2, ge=-50, le=50)
    std: float = Field(1.2, gt=0, le=50)

    def __call__(self, u: Tensor, schedule: Schedule) -> Level:
        log_sigma = self.mean + self.std * torch.special.ndtri(u)
        return schedule(schedule.time_of(-2 * log_sigma))


class LogitNormal(Density):
    """ln(t/(1 − t)) ~ N(mean, std²): most often the middle of the way (Esser et al. 2024, eq. 19)."""

    kind: Literal["logit_normal"] = "logit_normal"
    mean: float = Field(0.0, ge=-5, le=5)
    std: float = Field(1.0, gt=0, le=3)

    def __call__(self, u: Tensor, schedule: Schedule) -> Level:
        return schedule(torch.sigmoid(self.mean + self.std * torch.special.ndtri(u)))


class Laplace(Density):
    """Log-SNR ~ Laplace(mean, scale): peaked at one level, and yet now and then anywhere (Hang et al. 2024).

    A share `uniform` is drawn uniformly in t: far from the peak a network learns next to nothing otherwise, not even
    E[x_0] where all is noise, and sampling begins there.
    """

    kind: Literal["laplace"] = "laplace"
    mean: float = Field(0.0, ge=-100, le=100)
    scale: float = Field(0.5, gt=0, le=100)
    uniform: float = Field(0.0, ge=0, lt=1)

    def __call__(self, u: Tensor, schedule: Schedule) -> Level:
        rest = ((u - self.uniform) / (1 - self.uniform)).clamp(min=torch.finfo(u.dtype).tiny)
        beyond = rest - 0.5  # as p(λ) = exp(−|λ − mean|/scale)/(2 scale), F(λ) = ½ exp((λ − mean)/scale) below the mean
        t = schedule.time_of(self.mean + self.scale * beyond.sign() * torch.log1p(-2 * beyond.abs()))
        return schedule(torch.where(u <= self.uniform, u / (self.uniform or 1.0), t))


AnyDensity = Annotated[UniformTime | Discrete | LogNormal | LogitNormal | Laplace, Field(discriminator="kind")]


def stratified(u: Tensor, index: Tensor, size: Tensor | int) -> Tensor:
    """Return (index + u)/size: for each index in 0 … size − 1 a uniform number in its own piece of (0, 1].

    A batch then sees all of the density, whatever that is, and its mean loss varies less: by O(size⁻³) rather than
    O(size⁻¹); the shifted lattice of Kingma et al. 2021 (appendix I.1) has O(size⁻²). Data come in random order, so
    that x_0 and its level stay independent.
    """
    return (index + u) / size
