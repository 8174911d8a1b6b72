"""Samplers that add noise on the way: DDPM, its Euler form, and Langevin steps between the levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from toydiff.denoiser import Denoise
from toydiff.samplers.base import Frame, Sampler, keep_x0, posterior_variance
from toydiff.samplers.ode import DDIM
from toydiff.schedules import Level


class DDPM(Sampler):
    """Ancestral sampling with the posterior variance or Ho's larger σ² = β (Ho et al. 2020, algorithm 2)."""

    kind: Literal["ddpm"] = "ddpm"
    variance: Literal["posterior", "beta"] = "posterior"
    order: ClassVar[int] = 1

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            gain = t.alpha / s.alpha  # x_t | x_s ~ N(gain · x_s, beta): √(1 − β_t) and β_t of the paper
            beta = t.sigma**2 - (gain * s.sigma) ** 2
            posterior = beta * (s.sigma / t.sigma) ** 2  # eq. 7: β̃_t
            variance = posterior if self.variance == "posterior" else beta
            if s.sigma == 0:  # z = 0 at t = 1 (algorithm 2, line 3)
                variance = posterior
            x = (gain * (s.sigma / t.sigma) ** 2) * x + (s.alpha * beta / t.sigma**2) * x0  # eq. 7: μ̃_t
            x = x + variance.clamp(min=0).sqrt() * noise(x)
            yield Frame(s, x, x0)


class EulerAncestral(Sampler):
    """Euler's method to below x_s, then noise up to it: the same as ddim of this eta (Song et al. 2021, eq. 12)."""

    kind: Literal["euler_ancestral"] = "euler_ancestral"
    eta: float = Field(1.0, ge=0, le=1, examples=[0.0, 0.5])
    order: ClassVar[int] = 1

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        return DDIM(eta=self.eta).trajectory(denoise, x, levels, noise)


class Langevin(Sampler):
    """Annealed Langevin: a ddim step, then `corrections` steps at its level (Song et al. 2021, algorithms 4 and 5).

    x ← x + ε ∇ log p(x) + √(2ε) z,   ε = 2 (snr · sigma)²: the paper's 2 (snr ‖z‖/‖∇ log p‖)² with the norms that
    noise alone would have, so that a sample does not depend on its batch. Where p is N(0, v) the steps settle at a
    variance of v/(1 − snr² sigma²/v), their bias.
    """

    kind: Literal["langevin"] = "langevin"
    eta: float = Field(1.0, ge=0, le=1, examples=[0.0])
    corrections: int = Field(1, ge=1, le=1000)
    snr: float = Field(0.16, gt=0, lt=1)
    order: ClassVar[int] = 1

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return 1 + self.corrections

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            variance = self.eta**2 * posterior_variance(t, s)
            x = keep_x0(x, x0, t, s, variance) + variance.sqrt() * noise(x)
            if s.sigma > 0:
                for _ in range(self.corrections):
                    score = (s.alpha * denoise(x, s) - x) / s.sigma**2
                    step = 2 * (self.snr * s.sigma) ** 2
                    x = x + step * score + (2 * step).sqrt() * noise(x)
            yield Frame(s, x, x0)
