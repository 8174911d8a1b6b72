"""The grids samplers walk along: noisiest level first, CLEAN last."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.schedules.base import Schedule
from toydiff.schedules.level import CLEAN, LOG_SNR_BOUND, Level

SPACINGS = ("trailing", "shift", "leading", "linspace", "karras", "log_snr")
NUMBERS = {  # what a number after the colon means, its default, and its bounds
    "karras": ("a ρ for karras spacing", 7.0, 1.0, 100.0),
    "log_snr": ("a log-SNR for a grid to end at", LOG_SNR_BOUND, -LOG_SNR_BOUND, LOG_SNR_BOUND),
    "shift": ("a shift of times", 3.0, 0.01, 100.0),
}


def parse_spacing(spacing: str) -> tuple[str, float]:
    """Return (name, number) of a spacing: "karras:5" is ρ = 5 (or 7), "log_snr:8" ends there (or at 20), "shift:2"."""
    name, _, number = spacing.partition(":")
    if name not in SPACINGS:
        raise ConfigurationError(f"unknown spacing `{name}`", did_you_mean(name, SPACINGS))
    if number and name not in NUMBERS:
        raise ConfigurationError(
            f"the spacing `{name}` takes no number",
            "Only karras (its ρ), log_snr (where it ends) and shift do: karras:5.",
        )
    what, default, low, high = NUMBERS.get(name, ("", 0.0, 0.0, 0.0))
    try:
        value = float(number or default)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ConfigurationError(
            f"`{number}` is not {what}", f"Give a number from {low:g} to {high:g}: {name}:{default:g}."
        )
    return name, value


def noise_levels(schedule: Schedule, steps: int, spacing: str = "trailing", start: float | None = None) -> list[Level]:
    """Return the `steps` + 1 levels of a sampling grid, noisiest first; the last is CLEAN.

    trailing   t_i = 1 − i/n                                   (Lin et al. 2023, table 2)
    shift      t_i = s u/(1 + (s − 1) u), u = 1 − i/n: "shift:2" takes more levels of much noise, s below 1 fewer; on a
               flow, log-SNR falls by 2 ln s           (Esser et al. 2024, eq. 23)
    leading    the lower end of each of n equal pieces         (Ho et al.'s public code)
    linspace   n points from t = 1 down to the smallest time
    karras     (sigma/alpha)^(1/ρ) equally spaced; "karras:5" sets ρ = 5   (Karras et al. 2022, eq. 5)
    log_snr    log-SNR equally spaced; "log_snr:8" ends at 8 instead of 20, for data of few values

    On variance-preserving schedules sigma grows like √t near the data, so that second-order methods keep their order
    on karras, log_snr and linspace grids rather than on trailing ones.

    `start` < 1 begins later: image-to-image, or 39/40 on a 40-step schedule. A discrete schedule's grid is rounded
    to its knots. Raises ConfigurationError for fewer than one step or more steps than the schedule has.
    """
    name, number = parse_spacing(spacing)
    if steps < 1:
        raise ConfigurationError(f"{steps} sampling steps", "A sampler needs at least 1 step.")
    top = 1.0 if start is None else float(start)
    if not 0 < top <= 1:
        raise ConfigurationError(f"start = {start} is not a time", "A start lies in (0, 1]: 1 is pure noise.")
    knots = schedule.knot_times
    if knots is None:
        times = _continuous_times(schedule, steps, name, number, top)
    else:
        usable = int((knots - top).abs().argmin()) + 1
        if steps > usable:
            begins = "" if usable == len(knots) else f" up to t = {top:.4g}"
            raise ConfigurationError(
                f"{steps} steps on a schedule that has {usable}{begins}",
                f"Take at most {usable} steps, or train with a continuous schedule.",
            )
        times = knots[_knot_positions(schedule, knots[:usable], steps, name, number)]
    return [schedule(t) for t in times] + [CLEAN]


def _spread(schedule: Schedule, steps: int, name: str, number: float, t_max: float, t_min: float) -> Tensor:
    """Return `steps` times equally spaced in (sigma/alpha)^(1/ρ) or in log-SNR, within the log-SNR bound."""
    high = schedule(t_max).log_snr.clamp(-LOG_SNR_BOUND, LOG_SNR_BOUND)
    low = schedule(t_min).log_snr.clamp(-LOG_SNR_BOUND, LOG_SNR_BOUND)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    if name == "log_snr":
        return schedule.time_of(high + ramp * (low.clamp(max=number) - high))
    rho = number
    noisiest, cleanest = (-high / 2).exp() ** (1 / rho), (-low / 2).exp() ** (1 / rho)  # sigma/alpha = e^(−log_snr/2)
    return schedule.time_of(-2 * rho * (noisiest + ramp * (cleanest - noisiest)).log())


def _continuous_times(schedule: Schedule, steps: int, name: str, number: float, top: float) -> Tensor:
    i = torch.arange(steps, dtype=torch.float64)
    if name in ("trailing", "shift"):
        return top * _shifted(1 - i / steps, number if name == "shift" else 1.0)
    t_min = float(schedule.time_of(number if name == "log_snr" else LOG_SNR_BOUND))
    if top <= t_min:
        raise ConfigurationError(
            f"start = {top:g} is cleaner than the cleanest level of a {name} grid, t = {t_min:.2g}",
            "Start later, or take the trailing grid.",
        )
    if name == "leading":
        return t_min + (top - t_min) * (steps - 1 - i) / steps
    if name == "linspace":
        return torch.linspace(top, t_min, steps, dtype=torch.float64)
    return _spread(schedule, steps, name, number, top, t_min)


def _shifted(u: Tensor, s: float) -> Tensor:
    """Return times s u/(1 + (s − 1) u), exactly 0 and 1 where u is: the denominator is s u + (1 − u)."""
    return s * u / (s * u + (1 - u))


def _knot_positions(schedule: Schedule, knots: Tensor, steps: int, name: str, number: float) -> Tensor:
    """Return strictly falling 0-based positions among the K usable knots."""
    count, i = len(knots), torch.arange(steps, dtype=torch.float64)
    if name == "trailing":
        return (count * (1 - i / steps)).round().long() - 1
    if name == "leading":
        return (steps - 1 - i).long() * (count // steps)
    if name == "linspace":
        return torch.linspace(count, 1, steps, dtype=torch.float64).round().long() - 1
    if name == "shift":
        nearest = ((count * _shifted(1 - i / steps, number)).round().long() - 1).tolist()
    else:
        times = _spread(schedule, steps, name, number, float(knots[-1]), float(knots[0]))
        nearest = (times[:, None] - knots).abs().argmin(1).tolist()
    positions: list[int] = []
    for k, position in enumerate(nearest):  # rounding may put two levels on one knot: push the later one down
        ceiling = positions[-1] - 1 if positions else count - 1
        positions.append(max(min(position, ceiling), steps - 1 - k))
    return torch.tensor(positions)
