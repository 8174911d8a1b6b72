"""Targets: what a network is asked for, F = a · x_0 + b · eps, as two coefficients of the level."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.schedules import Level, Schedule

Target = Literal["eps", "x0", "v", "score", "edm", "flow"]

TARGETS: dict[str, str] = {
    "eps": "the noise: a = 0, b = 1 (Ho et al. 2020)",
    "x0": "the clean data: a = 1, b = 0 (Salimans & Ho 2022)",
    "v": "velocity: a = −sigma, b = alpha, over √(alpha² + sigma²) (Salimans & Ho 2022)",
    "score": "sigma · ∇ log p(x_t): a = 0, b = −1, the network's output divided by nothing (Song & Ermon 2019)",
    "edm": "unit variance at every level: a = sigma/(σ_d S), b = −alpha σ_d/S (Karras et al. 2022)",
    "flow": "the straight line's direction: a = −1, b = 1 (Lipman et al. 2023)",
}


def target_coefficients(target: str, level: Level, sigma_data: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return (a, b) of what the network outputs, F = a · x_0 + b · eps.

    For the score, −eps/sigma, the network outputs sigma times it, hence (0, −1). S = √(alpha² σ_d² + sigma²).
    """
    alpha, sigma = level.alpha, level.sigma
    zero, one = torch.zeros_like(alpha), torch.ones_like(alpha)
    match target:
        case "eps":
            return zero, one
        case "x0":
            return one, zero
        case "v":
            return -sigma / level.scale, alpha / level.scale
        case "score":
            return zero, -one
        case "flow":
            return -one, one
        case "edm":
            S = input_scale(level, sigma_data)
            return sigma / (sigma_data * S), -alpha * sigma_data / S
    raise ConfigurationError(f"unknown target `{target}`", did_you_mean(target, TARGETS))


def unlearnable(target: str, schedule: Schedule) -> tuple[str, str] | None:
    """Return why a target cannot be learned on a schedule, and what to do, or None (Lin et al. 2023)."""
    if target not in ("eps", "score") or schedule(1.0).alpha > 0:
        return None
    return (
        f"`{target}` cannot be learned where alpha(1) = 0: there x_t is the noise itself and says nothing of x_0 "
        "(Lin et al. 2023)",
        "The targets x0, v, edm and flow work.",
    )


def input_scale(level: Level, sigma_data: float) -> Tensor:
    """Return the RMS of x_t, √(alpha² σ_d² + sigma²), for data of RMS σ_d."""
    return torch.hypot(level.alpha * sigma_data, level.sigma)
