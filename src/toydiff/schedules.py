"""Noise levels, the schedules that name them, and the grids samplers walk along.

A schedule maps time t ∈ [0, 1] (0 = data, 1 = noise) to a `Level(t, alpha, sigma)` with

    x_t = alpha · x_0 + sigma · eps,     eps ~ N(0, I).

Time is only a label: any (alpha, sigma) is a legal level, and samplers see nothing but levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.spec import Spec


def _float64(value: Tensor | float) -> Tensor:
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else value.double()
    return torch.tensor(value, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Level:
    """A noise level: x_t = alpha · x_0 + sigma · eps.

    Fields are 0-dim float64 tensors on the CPU when sampling, (B, 1, …) tensors when training; numbers are accepted.
    """

    t: Tensor
    alpha: Tensor
    sigma: Tensor

    def __post_init__(self) -> None:
        for name in ("t", "alpha", "sigma"):
            object.__setattr__(self, name, _float64(getattr(self, name)))

    @classmethod
    def at(cls, log_snr: Tensor | float, scale: Tensor | float = 1.0, t: Tensor | float = math.nan) -> Level:
        """Return the level of this log-SNR with √(alpha² + sigma²) = scale: alpha² / scale² = sigmoid(log_snr)."""
        log_snr, scale = _float64(log_snr), _float64(scale)
        alpha, sigma = torch.sigmoid(log_snr).sqrt() * scale, torch.sigmoid(-log_snr).sqrt() * scale
        return cls(_float64(t).expand_as(alpha), alpha, sigma)

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
            torch.equal(a, b)
            for a, b in ((self.t, other.t), (self.alpha, other.alpha), (self.sigma, other.sigma))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.alpha.ndim == 0:
            return f"Level(t={self.t:.4g}, alpha={self.alpha:.4g}, sigma={self.sigma:.4g})"
        return f"Level(shape={tuple(self.alpha.shape)})"


CLEAN = Level(0.0, 1.0, 0.0)
"""The data themselves. Every sampling grid ends here, so "no noise on the last step" is arithmetic."""


class Schedule(Spec):
    """Time t ∈ [0, 1] → `Level`: the noise at every moment of the forward process."""

    variance: ClassVar[Literal["preserving", "exploding", "interpolating"]]

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return (alpha, sigma) at float64 times `t`."""
        raise NotImplementedError

    def __call__(self, t: Tensor | float) -> Level:
        t = _float64(t).double()
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
        times = times.unique()
        noise = -self(times).log_snr
        rising = noise.isfinite() & (noise > torch.cat([noise.new_tensor([-math.inf]), noise.cummax(0)[0][:-1]]))
        return times[rising], noise[rising]

    def time_of(self, log_snr: Tensor | float) -> Tensor:
        """Return t with log-SNR(t) = log_snr, clamped to the schedule's range: one inverse for every kind.

        A table gives the bracket and a first guess; two secant steps make it exact to about 1e-10.
        """
        log_snr = _float64(log_snr).double()
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


# ── variance preserving: alpha² + sigma² = 1 ─────────────────────────────────────────────────────────────────────────


class VariancePreserving(Schedule):
    """alpha² = ᾱ(t), sigma² = 1 − ᾱ(t): the DDPM family.

    With T steps the knots sit at t = i/T with ᾱ_i = Π (1 − β_j), log ᾱ linear in between, and sigma(0) = 0.
    T = None is the continuous limit. `zero_terminal_snr` shifts and scales alpha so that alpha(1) = 0
    (Lin et al. 2023, algorithm 1); alpha is then linear between the knots.
    """

    variance: ClassVar[Literal["preserving", "exploding", "interpolating"]] = "preserving"
    T: Annotated[int, Field(ge=1, le=100_000)] | None = 1000
    zero_terminal_snr: bool = False

    def betas(self) -> Tensor:
        """Return β_1 … β_T, (T,) float64."""
        raise NotImplementedError

    def log_alpha_bar(self, t: Tensor) -> Tensor:
        """Return log ᾱ(t) of the continuous limit."""
        raise NotImplementedError

    @property
    def knot_times(self) -> Tensor | None:
        return None if self.T is None else torch.arange(1, self.T + 1, dtype=torch.float64) / self.T

    @cached_property
    def _log_alpha_bars(self) -> Tensor:
        """log ᾱ_0 = 0, log ᾱ_1, …, log ᾱ_T."""
        return torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-self.betas()).cumsum(0)])

    @cached_property
    def _rescaled_alphas(self) -> Tensor:
        """√ᾱ_i ← (√ᾱ_i − √ᾱ_T) · √ᾱ_1 / (√ᾱ_1 − √ᾱ_T) for i = 1 … T (Lin et al. 2023), and 1 at i = 0."""
        alpha = (self._log_alpha_bars / 2).exp()
        rescaled = (alpha - alpha[-1]) * alpha[1] / (alpha[1] - alpha[-1])
        rescaled[0] = 1.0
        return rescaled

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        if self.zero_terminal_snr:
            if self.T is None:
                end = (self.log_alpha_bar(t.new_tensor(1.0)) / 2).exp()
                alpha = ((self.log_alpha_bar(t) / 2).exp() - end) / (1 - end)
            else:
                alpha = self._between_knots(self._rescaled_alphas, t)
            return alpha, ((1 - alpha) * (1 + alpha)).sqrt()
        log_alpha_bar = self.log_alpha_bar(t) if self.T is None else self._between_knots(self._log_alpha_bars, t)
        return (log_alpha_bar / 2).exp(), torch.expm1(log_alpha_bar).abs().sqrt()  # expm1 ≤ 0 here

    def _between_knots(self, values: Tensor, t: Tensor) -> Tensor:
        """Interpolate `values` at 0, 1/T, …, 1 linearly."""
        assert self.T is not None
        position = t * self.T
        left = position.floor().clamp(0, self.T - 1).long()
        weight = position - left
        return values[left] * (1 - weight) + values[left + 1] * weight


class _Betas(VariancePreserving):
    """What linear and quadratic share: two ends of β. T = None reads them per thousandth of the time."""

    beta_min: float = Field(1e-4, gt=0, lt=1)
    beta_max: float = Field(0.02, gt=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.beta_min > self.beta_max:
            raise ValueError(f"beta_min ({self.beta_min}) is larger than beta_max ({self.beta_max})")
        return self


class Linear(_Betas):
    """β_i linear from beta_min to beta_max (Ho et al. 2020, section 4); T = None: Song et al. 2021, eq. 32."""

    kind: Literal["linear"] = "linear"

    def betas(self) -> Tensor:
        assert self.T is not None
        return torch.linspace(self.beta_min, self.beta_max, self.T, dtype=torch.float64)

    def log_alpha_bar(self, t: Tensor) -> Tensor:
        return -1000 * (self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2)


class Quadratic(_Betas):
    """√β_i linear from √beta_min to √beta_max (Song, Meng & Ermon 2021, appendix D)."""

    kind: Literal["quadratic"] = "quadratic"

    def betas(self) -> Tensor:
        assert self.T is not None
        return torch.linspace(self.beta_min**0.5, self.beta_max**0.5, self.T, dtype=torch.float64) ** 2

    def log_alpha_bar(self, t: Tensor) -> Tensor:
        root, rise = self.beta_min**0.5, self.beta_max**0.5 - self.beta_min**0.5
        return -1000 * (root**2 * t + root * rise * t**2 + rise**2 * t**3 / 3)  # ∫ (root + rise·t)² dt


class _AlphaBars(VariancePreserving):
    """Schedules that state ᾱ(t): β_i = 1 − ᾱ(i/T) / ᾱ((i−1)/T), at most `beta_clip` (Nichol & Dhariwal 2021)."""

    beta_clip: float = Field(0.999, gt=0, lt=1)

    def betas(self) -> Tensor:
        assert self.T is not None
        log_alpha_bar = self.log_alpha_bar(torch.arange(self.T + 1, dtype=torch.float64) / self.T)
        return (-torch.expm1(log_alpha_bar.diff())).clamp(max=self.beta_clip)


class Cosine(_AlphaBars):
    """ᾱ(t) = cos²(½π (t + s)/(1 + s)) / cos²(½π s/(1 + s)), s = 0.008 (Nichol & Dhariwal 2021, eq. 17)."""

    kind: Literal["cosine"] = "cosine"
    s: float = Field(0.008, ge=0, lt=1)

    def log_alpha_bar(self, t: Tensor) -> Tensor:
        # cos(½π (t + s)/(1 + s)) = sin(½π (1 − t)/(1 + s)): this form is exactly 0 at t = 1
        alpha = torch.sin(math.pi / 2 * (1 - t) / (1 + self.s)) / math.cos(math.pi / 2 * self.s / (1 + self.s))
        return 2 * alpha.clamp(0, 1).log()


class Sigmoid(_AlphaBars):
    """ᾱ(t) a falling logistic curve between `start` and `end`, of temperature tau (Jabri et al. 2022, algorithm 1)."""

    kind: Literal["sigmoid"] = "sigmoid"
    start: float = Field(-3.0, ge=-100, le=100)
    end: float = Field(3.0, ge=-100, le=100)
    tau: float = Field(1.0, gt=0, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start}) must lie below end ({self.end})")
        return self

    def log_alpha_bar(self, t: Tensor) -> Tensor:
        def logistic(u: Tensor) -> Tensor:
            return torch.sigmoid((u * (self.end - self.start) + self.start) / self.tau)

        zero, one = logistic(torch.zeros_like(t)), logistic(torch.ones_like(t))
        return ((one - logistic(t)) / (one - zero)).clamp(0, 1).log()


# ── variance exploding: alpha = 1 ────────────────────────────────────────────────────────────────────────────────────


class _VarianceExploding(Schedule):
    """alpha = 1, sigma(t) from sigma_min at t = 0 (which is *not* clean) to sigma_max at t = 1."""

    variance: ClassVar[Literal["preserving", "exploding", "interpolating"]] = "exploding"
    sigma_min: float = Field(0.002, gt=0, le=1e6)
    sigma_max: float = Field(80.0, gt=0, le=1e6)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min ({self.sigma_min}) must lie below sigma_max ({self.sigma_max})")
        return self


class LogLinear(_VarianceExploding):
    """sigma(t) = sigma_min^(1−t) · sigma_max^t, log sigma linear in t; N knots if given (Song & Ermon 2019)."""

    kind: Literal["log_linear"] = "log_linear"
    N: Annotated[int, Field(ge=2, le=100_000)] | None = None

    @property
    def knot_times(self) -> Tensor | None:
        return None if self.N is None else torch.arange(self.N, dtype=torch.float64) / (self.N - 1)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_sigma = (1 - t) * math.log(self.sigma_min) + t * math.log(self.sigma_max)
        return torch.ones_like(t), log_sigma.exp()


class EDM(_VarianceExploding):
    """sigma(t)^(1/ρ) linear in t from sigma_min to sigma_max, ρ = 7 (Karras et al. 2022, eq. 5)."""

    kind: Literal["edm"] = "edm"
    rho: float = Field(7.0, ge=1, le=100)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return torch.ones_like(t), (low + t * (high - low)) ** self.rho


# ── interpolating ────────────────────────────────────────────────────────────────────────────────────────────────────


class Flow(Schedule):
    """alpha = 1 − t, sigma = t: a straight line from data to noise (Liu et al. 2022; Lipman et al. 2023)."""

    variance: ClassVar[Literal["preserving", "exploding", "interpolating"]] = "interpolating"
    kind: Literal["flow"] = "flow"

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t


AnySchedule = Annotated[Linear | Quadratic | Cosine | Sigmoid | LogLinear | EDM | Flow, Field(discriminator="kind")]


# ── grids ────────────────────────────────────────────────────────────────────────────────────────────────────────────

SPACINGS = ("trailing", "leading", "linspace", "karras", "log_snr")
LOG_SNR_BOUND = 20.0
"""Karras and log-SNR grids stay where |log-SNR| ≤ 20: alpha/sigma between 4.5e-5 and 22,026."""


def parse_spacing(spacing: str) -> tuple[str, float]:
    """Return (name, ρ) of a spacing such as "trailing" or "karras:5" (ρ = 7 unless given)."""
    name, _, rho = spacing.partition(":")
    if name not in SPACINGS:
        raise ConfigurationError(f"unknown spacing `{name}`", did_you_mean(name, SPACINGS))
    if rho and name != "karras":
        raise ConfigurationError(f"the spacing `{name}` takes no number", "Only karras does: karras:5 sets ρ = 5.")
    try:
        value = float(rho or 7)
    except ValueError:
        value = math.nan
    if not 1 <= value <= 100:
        raise ConfigurationError(f"`{rho}` is not a ρ for karras spacing", "Give a number from 1 to 100: karras:7.")
    return name, value


def noise_levels(schedule: Schedule, steps: int, spacing: str = "trailing", start: float | None = None) -> list[Level]:
    """Return the `steps` + 1 levels of a sampling grid, noisiest first; the last is CLEAN.

    trailing   t_i = 1 − i/n                                   (Lin et al. 2023, table 2)
    leading    the lower end of each of n equal pieces         (Ho et al.'s public code)
    linspace   n points from t = 1 down to the smallest time
    karras     (sigma/alpha)^(1/ρ) equally spaced; "karras:5" sets ρ = 5   (Karras et al. 2022, eq. 5)
    log_snr    log-SNR equally spaced

    `start` < 1 begins later: image-to-image, or 39/40 on a 40-step schedule. A discrete schedule's grid is rounded
    to its knots. Raises ConfigurationError for fewer than one step or more steps than the schedule has.
    """
    name, rho = parse_spacing(spacing)
    if steps < 1:
        raise ConfigurationError(f"{steps} sampling steps", "A sampler needs at least 1 step.")
    top = 1.0 if start is None else float(start)
    if not 0 < top <= 1:
        raise ConfigurationError(f"start = {start} is not a time", "A start lies in (0, 1]: 1 is pure noise.")
    knots = schedule.knot_times
    if knots is None:
        times = _continuous_times(schedule, steps, name, rho, top)
    else:
        usable = max(1, round(top * len(knots)))
        if steps > usable:
            begins = "" if usable == len(knots) else f" up to t = {top:.4g}"
            raise ConfigurationError(
                f"{steps} steps on a schedule that has {usable}{begins}",
                f"Take at most {usable} steps, or train with a continuous schedule.",
            )
        times = knots[_knot_positions(schedule, knots[:usable], steps, name, rho)]
    return [schedule(t) for t in times] + [CLEAN]


def _spread(schedule: Schedule, steps: int, name: str, rho: float, t_max: float) -> Tensor:
    """Return `steps` times equally spaced in (sigma/alpha)^(1/ρ) or in log-SNR, within the log-SNR bound."""
    high = schedule(t_max).log_snr.clamp(-LOG_SNR_BOUND, LOG_SNR_BOUND)
    low = schedule(0.0).log_snr.clamp(-LOG_SNR_BOUND, LOG_SNR_BOUND)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    if name == "log_snr":
        return schedule.time_of(high + ramp * (low - high))
    noisiest, cleanest = (-high / 2).exp() ** (1 / rho), (-low / 2).exp() ** (1 / rho)  # sigma/alpha = e^(−log_snr/2)
    return schedule.time_of(-2 * rho * (noisiest + ramp * (cleanest - noisiest)).log())


def _continuous_times(schedule: Schedule, steps: int, name: str, rho: float, top: float) -> Tensor:
    i = torch.arange(steps, dtype=torch.float64)
    if name == "trailing":
        return top * (1 - i / steps)
    t_min = float(schedule.time_of(LOG_SNR_BOUND))
    if name == "leading":
        return t_min + (top - t_min) * (steps - 1 - i) / steps
    if name == "linspace":
        return torch.linspace(top, t_min, steps, dtype=torch.float64)
    return _spread(schedule, steps, name, rho, top)


def _knot_positions(schedule: Schedule, knots: Tensor, steps: int, name: str, rho: float) -> Tensor:
    """Return strictly falling 0-based positions among the K usable knots."""
    count, i = len(knots), torch.arange(steps, dtype=torch.float64)
    if name == "trailing":
        return (count * (1 - i / steps)).round().long() - 1
    if name == "leading":
        return (steps - 1 - i).long() * (count // steps)
    if name == "linspace":
        return torch.linspace(count, 1, steps, dtype=torch.float64).round().long() - 1
    times = _spread(schedule, steps, name, rho, float(knots[-1]))
    nearest = (times[:, None] - knots).abs().argmin(1).tolist()
    positions: list[int] = []
    for k, position in enumerate(nearest):  # rounding may put two levels on one knot: push the later one down
        ceiling = positions[-1] - 1 if positions else count - 1
        positions.append(max(min(position, ceiling), steps - 1 - k))
    return torch.tensor(positions)
