"""How a network is told the noise level: a handful of features of the `Level`."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from toydiff.schedules import LOG_SNR_BOUND, Level
from toydiff.spec import Spec


class SinusoidalLogSNR(Spec):
    """Sines and cosines of log-SNR at geometric frequencies: knows the noise, not the schedule (after Kingma 2021).

    Periods run from 4 to 400 units of log-SNR, which is clamped to ±20.
    """

    kind: Literal["log_snr"] = "log_snr"
    features: int = Field(32, ge=2, le=4096, multiple_of=2)

    def periods(self, like: Tensor) -> Tensor:
        """Return the periods (features/2,) in units of log-SNR."""
        return 4.0 * 100.0 ** torch.linspace(0, 1, self.features // 2, dtype=like.dtype, device=like.device)

    def __call__(self, level: Level, x: Tensor) -> Tensor:
        log_snr = level.log_snr.clamp(-LOG_SNR_BOUND, LOG_SNR_BOUND).reshape(-1, 1).to(x)
        angle = 2 * math.pi * log_snr / self.periods(x)
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class PlainTime(Spec):
    """The time t itself, one number: [x, t/T] of the simplest DDPMs."""

    kind: Literal["t"] = "t"

    @property
    def features(self) -> int:
        return 1

    def __call__(self, level: Level, x: Tensor) -> Tensor:
        return level.t.reshape(-1, 1).to(x)


class SinusoidalTime(Spec):
    """Sines and cosines of 1000 t at frequencies 1 … 1/10,000: a DDPM's step number (Ho et al. 2020, appendix B)."""

    kind: Literal["sinusoidal_t"] = "sinusoidal_t"
    features: int = Field(64, ge=2, le=4096, multiple_of=2)

    def frequencies(self, like: Tensor) -> Tensor:
        """Return the angular frequencies (features/2,) of 1000 t."""
        return 1e-4 ** torch.linspace(0, 1, self.features // 2, dtype=like.dtype, device=like.device)

    def __call__(self, level: Level, x: Tensor) -> Tensor:
        angle = 1000 * level.t.reshape(-1, 1).to(x) * self.frequencies(x)
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class HalfLogSigma(Spec):
    """[sin ½ log σ, cos ½ log σ] with σ = sigma/alpha: two smooth numbers for log-linear schedules."""

    kind: Literal["log_sigma"] = "log_sigma"

    @property
    def features(self) -> int:
        return 2

    def __call__(self, level: Level, x: Tensor) -> Tensor:
        log_sigma = -level.log_snr.clamp(-LOG_SNR_BOUND, LOG_SNR_BOUND).reshape(-1, 1).to(x) / 2
        return torch.cat([(log_sigma / 2).sin(), (log_sigma / 2).cos()], dim=1)


AnyEmbedding = Annotated[SinusoidalLogSNR | PlainTime | SinusoidalTime | HalfLogSigma, Field(discriminator="kind")]
