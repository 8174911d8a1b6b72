"""Schedule: time t ∈ [0, 1] (0 = data, 1 = noise) → `Level`, and its inverse."""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.schedules.level import Level, as_float64
from toydiff.spec import Spec


class Schedule(Spec):
    """Time t ∈ [0, 1] → `Level`: the noise at every moment of the forward process."""

    variance: ClassVar[Literal["preserving", "exploding", "interpolating"]]

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return (alpha, sigma) at float64 times `t`."""
        raise NotImplementedError

    def __call__(self, t: Tensor | float) -> Level:
        t = as_float64(t)
        if ((t < 0) | (t > 1)).any():
            raise ToydiffError("a time lies outside [0, 1]", "0 is data, 1 is noise.")
        return Level(t, *self.coefficients(t))

    @property
    def knot_times(self) -> Tensor | None:
        """The times (K,) of a discrete schedule's own levels, increasing; None for a continuous one."""
        return None

    def knots(self) -> Level:
        """Return the K levels of a discrete schedule, cleanest first: what the discrete density draws from."""
        if (times := self.knot_times) is None:
            raise ConfigurationError(
                "a continuous schedule has no knots", "Use a density over t or log-SNR, or give the schedule a T."
            )
        return self(times)

    @cached_property
    def _inverse_table(self) -> tuple[Tensor, Tensor]:
        """Times and their −log-SNR, both increasing: dense where log-SNR runs to ±∞, with every knot included."""
        ends = torch.logspace(-12, -2, 2001, dtype=torch.float64)
        times = torch.cat([ends, torch.linspace(0, 1, 2001, dtype=torch.float64), 1 - ends])
        if self.knot_times is not None:
            times = torch.cat([times, self.knot_times])
        times = torch.unique(times)
        noise = -self(times).log_snr
        rising = noise.isfinite() & (noise > torch.cat([noise.new_tensor([-math.inf]), noise.cummax(0)[0][:-1]]))
        return times[rising], noise[rising]

    def time_of(self, log_snr: Tensor | float) -> Tensor:
        """Return t with log-SNR(t) = log_snr, clamped to the schedule's range: one inverse for every kind.

        A table gives the bracket and a first guess; two secant steps make it exact to about 1e-9
        (1e-5 in the last pieces of a zero-terminal-SNR schedule of few steps); nothing that decodes depends on it.
        """
        log_snr = as_float64(log_snr)
        times, noise = self._inverse_table
        wanted = (-log_snr).clamp(noise[0], noise[-1])
        right = torch.searchsorted(noise, wanted).clamp(1, len(noise) - 1)
        t0, t1, n0, n1 = times[right - 1], times[right], noise[right - 1], noise[right]
        slope = (t1 - t0) / (n1 - n0)
        t = t0 + slope * (wanted - n0)
        for _ in range(2):
            t = (t + slope * (wanted + self(t).log_snr)).clamp(t0, t1)
        zero, one = self(0.0), self(1.0)  # beyond the table: the ends themselves
        t = torch.where(log_snr >= zero.log_snr, 0.0, t) if zero.sigma == 0 else t
        return torch.where(log_snr <= one.log_snr, 1.0, t)

    def beta_curve(self) -> tuple[Tensor, Tensor]:
        """Return (t, β), both (K,), of a variance-preserving schedule: the noise that each step adds, and where.

            β_i = 1 − ᾱ_i / ᾱ_(i−1) at a discrete schedule's knots,    β(t) = −d log ᾱ / dt of a continuous one

        (Ho et al. 2020, eq. 2; Song et al. 2021, eq. 11), the derivative by differences over 1,000 pieces.
        Raises ConfigurationError where variance is not preserved: there is no β.
        """
        if self.variance != "preserving":
            raise ConfigurationError(f"a {self.variance} schedule has no β", "Look at sigma instead.")
        times = self.knot_times
        ends = (
            torch.linspace(0, 1, 1001, dtype=torch.float64) if times is None else torch.cat([times.new_zeros(1), times])
        )
        alpha_bar = self(ends).alpha ** 2
        if times is not None:
            return times, 1 - alpha_bar[1:] / alpha_bar[:-1]
        return (ends[1:] + ends[:-1]) / 2, -alpha_bar.log().diff() / ends.diff()

    def time_of_sigma(self, sigma: float) -> Tensor:
        """Return t with sigma(t) = sigma, clamped to the schedule's range, by bisection: sigma rises with t."""
        low, high = as_float64(0.0), as_float64(1.0)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self(middle).sigma < sigma else (low, middle)
        return high
