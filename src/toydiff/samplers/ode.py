"""Samplers that take one step at a time along the probability-flow ODE: DDIM, Euler, Heun and EDM's Heun with churn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from toydiff.denoiser import Denoise
from toydiff.samplers.base import Frame, Sampler, is_endless, keep_eps, keep_x0, posterior_variance
from toydiff.schedules import Level


class DDIM(Sampler):
    """Keeps x̂_0 and ε̂ and changes the level; eta = 0 is Euler's method, eta = 1 is DDPM (Song et al. 2021, eq. 12)."""

    kind: Literal["ddim"] = "ddim"
    eta: float = Field(0.0, ge=0, le=1, examples=[0.5, 1.0])
    order: ClassVar[int] = 1

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            variance = self.eta**2 * posterior_variance(t, s)  # eq. 16
            x = keep_x0(x, x0, t, s, variance)
            if self.eta > 0:
                x = x + variance.sqrt() * noise(x)
            yield Frame(s, x, x0)


class Euler(Sampler):
    """Euler's method in x/alpha and sigma/alpha (Karras et al. 2022): the same numbers as ddim with eta = 0."""

    kind: Literal["euler"] = "euler"
    order: ClassVar[int] = 1

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        return DDIM(eta=0).trajectory(denoise, x, levels, noise)


class Heun(Sampler):
    """Heun's second-order method on the straight-line direction u = ε̂ − x̂_0 (after Karras et al. 2022, algorithm 1).

    In y = x/(alpha + sigma) and τ = sigma/(alpha + sigma) the ODE reads dy/dτ = u, which is finite at alpha = 0 too;
    re-solving x_t = alpha x_0 + sigma eps with the averaged u takes the step in any (alpha, sigma).
    """

    kind: Literal["heun"] = "heun"
    order: ClassVar[int] = 2
    evaluations: ClassVar[int | None] = 2

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            u = (x - t.alpha * x0) / t.sigma - x0
            x_s = _along(x, u, t, s)
            if s.sigma > 0:  # into sigma = 0 there is no second slope: first order
                x0_s = denoise(x_s, s)
                u = (u + (x_s - s.alpha * x0_s) / s.sigma - x0_s) / 2
                x_s = _along(x, u, t, s)
            x = x_s
            yield Frame(s, x, x0)


def _along(x: Tensor, u: Tensor, t: Level, s: Level) -> Tensor:
    """Return x_s = alpha_s x_0 + sigma_s eps for the x_0, eps with eps − x_0 = u, alpha_t x_0 + sigma_t eps = x."""
    x0 = (x - t.sigma * u) / (t.alpha + t.sigma)
    return s.alpha * x0 + s.sigma * (x0 + u)


class EDM(Sampler):
    """Heun's method in x/alpha and σ = sigma/alpha, after fresh noise by S_churn (Karras et al. 2022, algorithm 2).

    A step with S_tmin ≤ σ ≤ S_tmax first raises σ to σ̂ = (1 + γ)σ, γ = min(S_churn/steps, √2 − 1), with noise of
    standard deviation S_noise. There dx/dσ = ε̂; S_churn = 0 is the deterministic algorithm 1.
    """

    kind: Literal["edm"] = "edm"
    S_churn: float = Field(0.0, ge=0, le=1e6, examples=[20.0])
    S_tmin: float = Field(0.0, ge=0, le=1e6)
    S_tmax: float = Field(1e6, gt=0, le=1e6)
    S_noise: float = Field(1.0, gt=0, le=2)
    order: ClassVar[int] = 2
    evaluations: ClassVar[int | None] = 2

    @property
    def stochastic(self) -> bool:
        return self.S_churn > 0  # a walk might step over a narrow S_tmin … S_tmax

    @property
    def idle(self) -> dict[str, str]:
        why = "it is about the noise of S_churn, of which there is none: S_churn is 0"
        return {} if self.stochastic else dict.fromkeys(("S_tmin", "S_tmax", "S_noise"), why)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.S_tmin >= self.S_tmax:
            raise ValueError(f"S_tmin ({self.S_tmin:g}) must lie below S_tmax ({self.S_tmax:g})")
        return self

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        gamma = min(self.S_churn / (len(levels) - 1), math.sqrt(2) - 1)
        for t, s in pairwise(levels):
            hat = t
            if gamma > 0 and self.S_tmin <= t.sigma / t.alpha <= self.S_tmax:  # never out of alpha = 0
                hat = Level(math.nan, t.alpha, (1 + gamma) * t.sigma)
                x = x + (hat.sigma**2 - t.sigma**2).sqrt() * self.S_noise * noise(x)
            x0 = denoise(x, hat)
            x_s = keep_x0(x, x0, hat, s)  # Euler's step
            if not is_endless(hat, s):
                eps = (x - hat.alpha * x0) / hat.sigma
                eps_s = (x_s - s.alpha * denoise(x_s, s)) / s.sigma
                x_s = keep_eps(x, (eps + eps_s) / 2, hat, s)
            x = x_s
            yield Frame(s, x, x0)
