"""The probability-flow ODE by an adaptive Runge–Kutta method, which chooses the levels between the given ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from toydiff.denoiser import Denoise
from toydiff.samplers.base import Frame, Sampler, weighted
from toydiff.schedules import Level

# Dormand & Prince 1980, table 2: each further stage, c of the way, from the slopes before it. The last is the new y, of
# order 5, and its slope the next step's first; E is where the embedded method of order 4 differs.
C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
E = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


class RK45(Sampler):
    """Dormand & Prince's method with steps by tolerance, over dy/dτ = ε̂ − x̂_0 as heun (after Song et al. 2021, D.4).

    y = x/(alpha + sigma), τ = sigma/(alpha + sigma). The given levels only say where frames are wanted and where
    to stop: the step from the last of them into CLEAN is first order. Two log-SNR steps leave it free:
    `--sampler rk45:2 --spacing log_snr`. Every sample keeps |error| ≤ atol + rtol |y| a step, by RMS; as the steps are
    those of the batch's hardest sample, a sample changes with its batch, within that tolerance.
    """

    kind: Literal["rk45"] = "rk45"
    atol: float = Field(1e-5, ge=1e-12, le=1)
    rtol: float = Field(1e-5, ge=1e-12, le=1)
    order: ClassVar[int] = 5
    evaluations: ClassVar[int | None] = None
    fewest_steps: ClassVar[int] = 2

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        def estimate(y: Tensor, tau: float) -> tuple[Tensor, Tensor]:
            x0 = denoise(y, Level(math.nan, 1 - tau, tau))
            return x0, (y - (1 - tau) * x0) / tau - x0

        tau, step = _tau(levels[0]), 0.1
        y = x / (levels[0].alpha + levels[0].sigma)
        x0, slope = estimate(y, tau)
        for s in levels[1:]:
            x0_t, end = x0, _tau(s)
            while tau > end > 0:
                h = min(step, tau - end)
                slopes = [slope]
                for c, a in zip(C, A, strict=True):
                    y_new, tau_new = y - h * weighted(a, slopes), max(tau - c * h, end)
                    x0_new, slope_new = estimate(y_new, tau_new)
                    slopes.append(slope_new)
                error = self._error(h * weighted(E, slopes), y, y_new)
                if not error > 1:  # NaN goes on: the caller names its level
                    y, x0, slope, tau = y_new, x0_new, slope_new, (end if h == tau - end else tau_new)
                if h == step or error > 1:  # a step cut short at a level says nothing about the next
                    step = h * min(max(0.9 * max(error, 1e-9) ** -0.2, 0.2), 5.0)
            x = (s.alpha + s.sigma) * y if s.sigma > 0 else s.alpha * x0
            yield Frame(s, x, x0_t)

    def _error(self, error: Tensor, y: Tensor, y_new: Tensor) -> float:
        """Return the largest RMS of |error|/(atol + rtol |y|) of a sample."""
        tolerance = self.atol + self.rtol * torch.maximum(y.abs(), y_new.abs())
        return float((error / tolerance).detach().square().reshape(len(y), -1).mean(1).sqrt().max())


def _tau(level: Level) -> float:
    return float(level.sigma / (level.alpha + level.sigma))
