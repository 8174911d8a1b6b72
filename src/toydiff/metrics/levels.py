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
    """That of the best linear denoiser of each coordinate on the same x_t: v sigma²/(alpha² v + sigma²) is expected."""
    error: float
    """Standard error of loss − linear, datum by datum; nan of a single one."""
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

    Every level has the same data and noise, so that the curve is smooth. The best linear denoiser of a coordinate of
    mean μ and variance v is μ + alpha v/(alpha² v + sigma²) · (x_t − alpha μ) (Wiener); its loss is multiplied by
    n/(n − 1), for μ is the mean of the same n data.
    """
    data, n = x0.double(), len(x0)
    mean = data.mean(0) if n > 1 else torch.zeros_like(data[0])  # one datum says nothing about its mean
    variance = (data - mean).square().sum(0) / max(n - 1, 1)
    losses = []
    for level in levels:
        x = level.alpha * x0 + level.sigma * eps
        with torch.no_grad():
            x0_hat = denoise(x, level, label).double()
            best = None if exact is None else exact(x, level, label).double()
        gain = level.alpha * variance / (level.alpha**2 * variance + level.sigma**2)
        linear = (mean + gain * (x - level.alpha * mean) - data).square() * (n / max(n - 1, 1))
        more = ((x0_hat - x0).square() - linear).flatten(1).mean(1)
        floor, excess = (None, None) if best is None else (_mean_square(best - x0), _mean_square(x0_hat - best))
        error = float(more.std()) / math.sqrt(n) if n > 1 else math.nan
        losses.append(LevelLoss(level, _mean_square(x0_hat - x0), float(linear.mean()), error, floor, excess))
    return losses


def _mean_square(away: Tensor) -> float:
    return float(away.square().mean())


def excess_points(losses: Iterable[LevelLoss], size: int) -> list[tuple[float, float]]:
    """Return [(log-SNR, ½ SNR E‖x̂_0 − x̂_0*‖²)] for samples of `size` coordinates.

    Its integral over all log-SNR bounds KL(data‖samples of the reverse SDE) in nats (Song et al. 2021, "Maximum
    likelihood training", theorem 1; Kingma et al. 2021); over a part of them it is that part of the bound.
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
