"""The loss of a denoiser noise level by noise level, beside the least there can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from toydiff.denoiser import target_coefficients
from toydiff.oracle import ExactDenoiser
from toydiff.schedules import Level


class LevelLoss(NamedTuple):
    """What a denoiser is off by at one level, a coordinate, in model units."""

    level: Level
    loss: float
    """E|x̂_0 − x_0|²."""
    linear: float
    """That of the best linear denoiser of each coordinate, of variance v: v sigma²/(alpha² v + sigma²) (Wiener)."""
    floor: float | None
    """E|x̂_0* − x_0|² of the exact denoiser x̂_0*: no denoiser does better. None where it is not known."""
    excess: float | None
    """E|x̂_0 − x̂_0*|² = loss − floor, the better estimate of the difference."""

    def in_target(self, target: str, sigma_data: float) -> float:
        """Return what turns a loss of x_0 into E|F̂ − F|²: ((alpha · b − sigma · a)/sigma)²."""
        a, b = target_coefficients(target, self.level, sigma_data)
        return float(((self.level.alpha * b - self.level.sigma * a) / self.level.sigma) ** 2)


def level_losses(
    denoise: Callable[..., Tensor],
    levels: Iterable[Level],
    x0: Tensor,
    eps: Tensor,
    label: Tensor | None = None,
    exact: ExactDenoiser | None = None,
) -> list[LevelLoss]:
    """Return the losses of `denoise(x_t, level, label)` on data x0 with noise eps, both (N, …) in model units.

    Every level has the same data and noise, so that the curve is smooth.
    """
    data = x0.double()
    variance = data.var(0) if len(data) > 1 else data[0].square()  # one datum says nothing about its mean
    losses = []
    for level in levels:
        x = level.alpha * x0 + level.sigma * eps
        with torch.no_grad():
            x0_hat = denoise(x, level, label).double()
            best = None if exact is None else exact(x, level, label).double()
        linear = float((variance * level.sigma**2 / (variance * level.alpha**2 + level.sigma**2)).mean())
        floor, excess = (None, None) if best is None else (_mean_square(best - x0), _mean_square(x0_hat - best))
        losses.append(LevelLoss(level, _mean_square(x0_hat - x0), linear, floor, excess))
    return losses


def _mean_square(away: Tensor) -> float:
    return float(away.square().mean())


def excess_points(losses: Iterable[LevelLoss], size: int) -> list[tuple[float, float]]:
    """Return [(log-SNR, ½ SNR E‖x̂_0 − x̂_0*‖²)] for samples of `size` coordinates.

    Its integral over log-SNR bounds KL(data‖model) in nats (Song et al. 2021, "Maximum likelihood training",
    theorem 1; Kingma et al. 2021).
    """
    known = [(each.level, each.excess) for each in losses if each.excess is not None]
    return [(float(level.log_snr), size * excess * float(level.snr) / 2) for level, excess in known]


def nats(points: list[tuple[float, float]]) -> float:
    """Return the integral of `excess_points` over log-SNR, by trapezoids; nan for fewer than two finite log-SNR."""
    finite = sorted(point for point in points if math.isfinite(point[0]))
    if len(finite) < 2:
        return math.nan
    x, y = (torch.tensor(column, dtype=torch.float64) for column in zip(*finite, strict=True))
    return float(torch.trapezoid(y, x))
