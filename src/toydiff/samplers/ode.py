"""Samplers of the probability-flow ODE: DDIM and Heun."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from toydiff.denoiser import Denoise
from toydiff.samplers.base import Frame, Sampler
from toydiff.schedules import Level


class DDIM(Sampler):
    """Keeps x̂_0 and ε̂ and changes the level; eta = 0 is Euler's method, eta = 1 is DDPM (Song et al. 2021, eq. 12)."""

    kind: Literal["ddim"] = "ddim"
    eta: float = Field(0.0, ge=0, le=1)
    order: ClassVar[int] = 1

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            eps = (x - t.alpha * x0) / t.sigma
            posterior = (s.sigma / t.sigma) ** 2 * (t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2)
            variance = self.eta**2 * posterior.clamp(min=0)  # eq. 16
            x = s.alpha * x0 + (s.sigma**2 - variance).clamp(min=0).sqrt() * eps
            if self.eta > 0:
                x = x + variance.sqrt() * noise(x)
            yield Frame(s, x, x0)


class Heun(Sampler):
    """Heun's second-order method on the straight-line direction u = ε̂ − x̂_0 (after Karras et al. 2022, algorithm 1).

    In y = x/(alpha + sigma) and τ = sigma/(alpha + sigma) the ODE reads dy/dτ = u, which is finite at alpha = 0 too;
    re-solving x_t = alpha x_0 + sigma eps with the averaged u takes the step in any (alpha, sigma).
    """

    kind: Literal["heun"] = "heun"
    order: ClassVar[int] = 2
    evaluations: ClassVar[int] = 2

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
