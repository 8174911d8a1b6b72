"""A noise level, the only currency: x_t = alpha · x_0 + sigma · eps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

LOG_SNR_BOUND = 20.0
"""Karras and log-SNR grids stay where |log-SNR| ≤ 20: alpha/sigma between 4.5e-5 and 22,026."""


def as_float64(value: Tensor | float) -> Tensor:
    """Return a float64 tensor; Apple's GPUs have none, and keep what they are given."""
    if isinstance(value, Tensor):
        return value if value.device.type == "mps" else value.double()
    return torch.tensor(value, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Level:
    """A noise level: x_t = alpha · x_0 + sigma · eps.

    Fields are 0-dim float64 tensors on the CPU when sampling, (B, 1, …) tensors when training; numbers are accepted.
    """

    t: Tensor
    alpha: Tensor
    sigma: Tensor

    if TYPE_CHECKING:  # numbers are accepted too, and made tensors

        def __init__(self, t: Tensor | float, alpha: Tensor | float, sigma: Tensor | float) -> None: ...

    def __post_init__(self) -> None:
        for name in ("t", "alpha", "sigma"):
            object.__setattr__(self, name, as_float64(getattr(self, name)))

    @classmethod
    def at(cls, log_snr: Tensor | float, scale: Tensor | float = 1.0, t: Tensor | float = math.nan) -> Level:
        """Return the level of this log-SNR with √(alpha² + sigma²) = scale: alpha² / scale² = sigmoid(log_snr)."""
        log_snr, scale = as_float64(log_snr), as_float64(scale)
        alpha, sigma = torch.sigmoid(log_snr).sqrt() * scale, torch.sigmoid(-log_snr).sqrt() * scale
        return cls(as_float64(t).expand_as(alpha), alpha, sigma)

    @property
    def log_snr(self) -> Tensor:
        """log(alpha² / sigma²): +∞ for clean data, −∞ for pure noise."""
        return 2 * (self.alpha.log() - self.sigma.log())

    @property
    def snr(self) -> Tensor:
        """alpha² / sigma²."""
        return (self.alpha / self.sigma) ** 2

    @property
    def scale(self) -> Tensor:
        """√(alpha² + sigma²): 1 for variance-preserving schedules."""
        return torch.hypot(self.alpha, self.sigma)

    def __getitem__(self, rows: slice | Tensor | tuple[int | slice, ...]) -> Level:
        """Return some of a batch of levels."""
        return Level(self.t[rows], self.alpha[rows], self.sigma[rows])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Level) and all(
            torch.equal(a, b) for a, b in ((self.t, other.t), (self.alpha, other.alpha), (self.sigma, other.sigma))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.alpha.ndim == 0:
            return f"Level(t={self.t:.4g}, alpha={self.alpha:.4g}, sigma={self.sigma:.4g})"
        return f"Level(shape={tuple(self.alpha.shape)})"


CLEAN = Level(0.0, 1.0, 0.0)
"""The data themselves. Every sampling grid ends here, so "no noise on the last step" is arithmetic."""
