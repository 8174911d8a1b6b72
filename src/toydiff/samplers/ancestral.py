"""Ancestral sampling: draw x_s from the model's own q(x_s | x_t, x̂_0), one level after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from torch import Tensor

from toydiff.denoiser import Denoise
from toydiff.samplers.base import Frame, Sampler
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
