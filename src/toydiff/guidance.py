"""Denoisers made of denoisers: guidance, by the unconditional answer or by a weaker model's, and the data range."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from toydiff.denoiser import Denoise, beside
from toydiff.errors import ConfigurationError
from toydiff.schedules import Level

Interval = tuple[float, float]
EVERYWHERE: Interval = (0.0, math.inf)
"""All noise levels, in sigma/alpha."""


class SelfConditioned:
    """x̂_0 = D(x_t, guess), the guess being the estimate of the evaluation before (Chen et al. 2023).

    Below the log-SNR `guess_from` there is none: where x_t says little, an estimate of an estimate drifts off to what
    is most common. From there to `refine_until` D is asked twice, the second time with the first answer as its guess:
    the network is then twice as deep (recycling: Jumper et al. 2021, supplement 1.10).

    One for each trajectory, because it remembers; what it knows of a label is apart from what it knows of none.
    `denoiser(x, level, label, guess)` takes None for no guess.
    """

    def __init__(
        self, denoiser: Callable[..., Tensor], guess_from: float = -math.inf, refine_until: float = -math.inf
    ) -> None:
        self.denoiser = denoiser
        self.guess_from, self.refine_until = guess_from, refine_until
        self.last: dict[bool, Tensor] = {}

    def __call__(self, x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
        log_snr, labelled = float(level.log_snr), label is not None
        guess = self.last.get(labelled) if log_snr >= self.guess_from else None
        if self.guess_from <= log_snr < self.refine_until:
            guess = self.denoiser(x, level, label, guess)
        self.last[labelled] = self.denoiser(x, level, label, guess)
        return self.last[labelled]


@dataclass(frozen=True)
class Guided:
    """Classifier-free guidance: x̂_0 = D(x_t | none) + scale · (D(x_t | label) − D(x_t | none)) (Ho & Salimans 2022).

    In this convention scale 1 is the conditional denoiser and scale 0 the unconditional one, both exactly.
    `denoiser(x, level, label)` reads label None as "none"; label is (B,) integers. Where sigma/alpha lies outside
    low < sigma/alpha ≤ high the answer is the conditional one: guidance hurts in high noise and does nothing in low
    (Kynkäänniemi et al. 2024).
    """

    denoiser: Callable[[Tensor, Level, Tensor | None], Tensor]
    label: Tensor
    scale: float
    interval: Interval = EVERYWHERE

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        return _guide(self._conditional, self._unconditional, self.scale, self.interval, x, level)

    def _conditional(self, x: Tensor, level: Level) -> Tensor:
        return self.denoiser(x, level, self.label)

    def _unconditional(self, x: Tensor, level: Level) -> Tensor:
        return self.denoiser(x, level, None)


@dataclass(frozen=True)
class Autoguided:
    """Autoguidance: x̂_0 = D_weak(x_t) + scale · (D(x_t) − D_weak(x_t)), away from a weaker model (Karras et al. 2024).

    Both answer for data in the same units, labels bound beforehand; the weak one may have been trained with another
    schedule, target and network. Scale 1 is D exactly, and so is every level outside the interval (as in `Guided`).
    """

    denoise: Denoise
    weak: Denoise
    scale: float
    interval: Interval = EVERYWHERE

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        return _guide(self.denoise, self.weak, self.scale, self.interval, x, level)


def _guide(strong: Denoise, weak: Denoise, scale: float, interval: Interval, x: Tensor, level: Level) -> Tensor:
    """Return weak + scale · (strong − weak) at levels inside the interval, and strong elsewhere."""
    own = beside(x, level)
    ratio, (low, high) = own.sigma / own.alpha, interval
    inside = (low < ratio) & (ratio <= high)
    answer = strong(x, level)
    if scale == 1 or not inside.any():  # half the evaluations
        return answer
    guided = torch.lerp(weak(x, level), answer, scale)
    return guided if inside.all() else torch.where(inside.to(x.device), guided, answer)


@dataclass(frozen=True)
class Clipped:
    """x̂_0 clamped to the data's range (model units), after any guidance: for images; off for points."""

    denoise: Denoise
    low: Tensor | float
    high: Tensor | float

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        return torch.clamp(self.denoise(x, level), torch.as_tensor(self.low).to(x), torch.as_tensor(self.high).to(x))


class Units(NamedTuple):
    """What a model knows its data by: a name to call it, their shape, labels if it takes any, shift and scale."""

    name: str
    shape: tuple[int, ...]
    labels: tuple[str, ...]
    shift: Tensor
    scale: float


def check_guide(model: Units, guide: Units) -> None:
    """Raise ConfigurationError, saying what differs, unless `guide` is a model of the same data in the same units.

    It may be unconditional, and of another schedule, target and network.
    """
    problem = ""
    if guide.shape != model.shape:
        problem = f"its samples have shape {guide.shape}, not {model.shape}"
    elif guide.labels and model.labels and guide.labels != model.labels:
        problem = f"its labels are {_listed(guide.labels)}, not {_listed(model.labels)}"
    elif abs(guide.scale - model.scale) > 1e-5 * model.scale:
        problem = f"its data have scale {guide.scale:.6g}, not {model.scale:.6g}"
    elif (away := float((guide.shift - model.shift).abs().max())) > 1e-5 * model.scale:
        problem = f"its data are shifted by {away:.2g}"
    if problem:
        raise ConfigurationError(
            f"`{guide.name}` cannot guide `{model.name}`: {problem}",
            "A guide is a weaker model of the same data: smaller, or trained for fewer steps.",
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + ", …" * (len(names) > 10)
