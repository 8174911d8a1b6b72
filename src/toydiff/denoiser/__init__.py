"""Targets, loss weights, and `Denoiser`: any network, made to return E[x_0 | x_t].

Every target of the literature is a linear combination of the data and the noise, F = a · x_0 + b · eps, where a and b
are functions of the level alone. With x_t = alpha · x_0 + sigma · eps, one decoder serves them all:

    x_0 = (b · x_t − sigma · F) / (alpha · b − sigma · a)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from toydiff.denoiser.targets import TARGETS, Target, input_scale, target_coefficients, unlearnable
from toydiff.denoiser.weights import SNR, AnyWeight, EDMWeight, InverseSigma2, MinSNR, Uniform, Weight
from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.schedules import LOG_SNR_BOUND, Level, Schedule

if TYPE_CHECKING:  # shapes are checked in tests only
    from jaxtyping import Float, Int

__all__ = [
    "SNR",
    "TARGETS",
    "AnyWeight",
    "Denoise",
    "Denoiser",
    "EDMWeight",
    "InverseSigma2",
    "MinSNR",
    "Target",
    "Uniform",
    "Weight",
    "beside",
    "input_scale",
    "scaled_score",
    "target_coefficients",
    "unlearnable",
]


class Denoise(Protocol):
    """What samplers see: x_t and its level → E[x_0 | x_t]; labels are bound beforehand."""

    def __call__(self, x: Tensor, level: Level, /) -> Tensor: ...


def scaled_score(denoise: Denoise, x: Tensor, level: Level) -> Tensor:
    """Return sigma ∇ log p(x_t) = (alpha E[x_0 | x_t] − x_t) / sigma, (B, …) like x (Tweedie; Efron 2011)."""
    return (level.alpha * denoise(x, level) - x) / level.sigma


def _coefficient(value: Tensor, x: Tensor) -> Tensor:
    """Cast a float64 coefficient to x's dtype and device; a 0-dim one already combines with any x as it is."""
    return value if value.ndim == 0 else value.to(x)


def beside(x: Tensor, level: Level) -> Level:
    """Return a batch of levels (B,) as (B, 1, …), to stand beside x; others as they are."""
    if level.alpha.ndim != 1 or x.ndim == 1:
        return level
    shape = (-1, *(1,) * (x.ndim - 1))
    return Level(level.t.reshape(shape), level.alpha.reshape(shape), level.sigma.reshape(shape))


class Denoiser(nn.Module):
    """A network, its target and its schedule, together E[x_0 | x_t].

    The network sees x_t / √(alpha² σ_d² + sigma²) (or raw x_t with `normalize_input=False`), the level and the label:
    `network(x, level, label) → like x`. Levels of any other schedule are moved to this one's level of equal log-SNR,
    x rescaled by the ratio of √(alpha² + sigma²): train with one schedule, sample with another.
    `schedule=None` takes every level as it comes. Inputs and outputs are in model units; `shift` and `scale`, which
    live in the checkpoint, lead to the data's. With `self_condition` the network sees [x_t, a guess of x_0], stacked as
    channels: its own estimate of a moment ago, or zeros (Chen et al. 2023). `bounds`, in data units, bend the target
    x_0 into the data's range. Raises ConfigurationError for a label the network does not know.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        target: Target = "eps",
        schedule: Schedule | None = None,
        sigma_data: float = 1.0,
        normalize_input: bool = True,
        shift: Tensor | float = 0.0,
        scale: float = 1.0,
        self_condition: bool = False,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        if target not in TARGETS:
            raise ConfigurationError(f"unknown target `{target}`", did_you_mean(target, TARGETS))
        if bounds is not None and target != "x0":
            raise ConfigurationError(f"`{target}` has no bounds: it is x_0 that has them", 'Take target="x0".')
        self.network = network
        self.target = target
        self.schedule = schedule
        self.sigma_data = sigma_data
        self.normalize_input = normalize_input
        self.self_condition, self.bounds = self_condition, bounds
        self.register_buffer("shift", torch.as_tensor(shift, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    @property
    def classes(self) -> int:
        """Number of classes the network knows; 0 for an unconditional one."""
        return getattr(self.network, "classes", 0)

    def to_model(self, x: Tensor) -> Tensor:
        """Return data in the model's units: (x − shift)/scale."""
        return (x - self.shift) / self.scale

    def to_data(self, x: Tensor) -> Tensor:
        """Return model units in the data's: x · scale + shift."""
        return x * self.scale + self.shift

    def coefficients(self, level: Level) -> tuple[Tensor, Tensor]:
        """Return (a, b) of F = a · x_0 + b · eps at `level`."""
        return target_coefficients(self.target, level, self.sigma_data)

    def forward(
        self,
        x: Float[Tensor, " B *shape"],
        level: Level,
        label: Int[Tensor, " B"] | None = None,
        guess: Float[Tensor, " B *shape"] | None = None,
    ) -> Float[Tensor, " B *shape"]:
        """Return E[x_0 | x_t], (B, …) like x, for x_t at any level; at CLEAN that is x itself.

        `guess` is an earlier estimate of x_0; a denoiser without `self_condition` does not look at it.
        """
        # looked at here and not in `predict`: that would make every training step wait for the device
        if label is not None and self.classes and bool(((label < 0) | (label > self.classes)).any()):
            raise ConfigurationError(
                "there is no such label", f"Labels are 0 … {self.classes - 1}; {self.classes} means none."
            )
        if level.sigma.ndim == 0 and level.sigma == 0:
            return x / level.alpha
        x, level = self.to_own_level(x, beside(x, level))
        if level.alpha.ndim == 0 and level.alpha == 0 and self.target in ("eps", "score"):
            raise ConfigurationError(
                f"a denoiser of `{self.target}` cannot decode pure noise, where alpha = 0",
                "Give it the schedule it was trained on, or start from a cleaner level.",
            )
        return self.decode(x, level, self.predict(x, level, label, guess))

    def to_own_level(self, x: Tensor, level: Level) -> tuple[Tensor, Level]:
        """Return (x, level) moved to this denoiser's own level of equal log-SNR.

        Below a log-SNR of −20 a schedule that never gets there answers with its noisiest level, t = 1.
        """
        if self.schedule is None:
            return x, level
        if ((level.t >= 0) & (level.t <= 1)).all() and self.schedule(level.t.cpu()) == level:
            return x, level
        log_snr, end = level.log_snr.double().cpu(), self.schedule(1.0)  # schedules live on the CPU
        t = self.schedule.time_of(log_snr)
        own = Level.at(log_snr, self.schedule(t).scale, t)
        reached = log_snr >= end.log_snr.clamp(max=-LOG_SNR_BOUND)
        own = Level(own.t, torch.where(reached, own.alpha, end.alpha), torch.where(reached, own.sigma, end.sigma))
        return x * _coefficient(own.scale.to(level.scale) / level.scale, x), own

    def predict(self, x: Tensor, level: Level, label: Tensor | None = None, guess: Tensor | None = None) -> Tensor:
        """Return the network's F̂ for x_t at one of the denoiser's own levels."""
        if label is not None and not self.classes:
            raise ConfigurationError(
                "this model knows no labels: it was trained without classes", "Sample without --label."
            )
        if self.normalize_input:
            x = x / _coefficient(input_scale(level, self.sigma_data), x)
        if self.self_condition:
            x = torch.cat([x, torch.zeros_like(x) if guess is None else guess.to(x)], 1)
        output: Tensor = self.network(x, level, label)
        if self.bounds is None:
            return output
        # E[x_0 | x_t] is an average of data, and lies within their range: for −1 and 1 it is tanh(F)
        low, high = ((bound - self.shift) / self.scale for bound in self.bounds)
        return (low + high) / 2 + (high - low) / 2 * output.float().tanh()

    def decode(self, x: Tensor, level: Level, F: Tensor) -> Tensor:
        """Return x_0 = (b · x_t − sigma · F) / (alpha · b − sigma · a)."""
        a, b = self.coefficients(level)
        denominator = level.alpha * b - level.sigma * a
        of_x = torch.where(level.sigma == 0, 1 / level.alpha, b / denominator)  # x_0 itself, in every target
        of_F = torch.where(level.sigma == 0, 0.0, level.sigma / denominator)
        return _coefficient(of_x, x) * x - _coefficient(of_F, x) * F

    def loss(
        self,
        x0: Tensor,
        level: Level,
        eps: Tensor,
        label: Tensor | None = None,
        weight: Weight | None = None,
        guessed: Tensor | None = None,
    ) -> Tensor:
        """Return w · mean |F̂ − F|² a sample, (B,), for clean x0 and noise eps (B, …) at levels (B, 1, …).

        With `self_condition`, the samples marked in `guessed`, (B,) on the CPU, are given the network's own estimate.
        """
        level = beside(x0, level)
        a, b = self.coefficients(level)
        x = _coefficient(level.alpha, x0) * x0 + _coefficient(level.sigma, x0) * eps
        F = _coefficient(a, x0) * x0 + _coefficient(b, x0) * eps
        guess = self.guess(x, level, label, guessed) if self.self_condition and guessed is not None else None
        squared_error = (self.predict(x, level, label, guess).to(F) - F).square().flatten(1).mean(1)
        if weight is None:
            return squared_error
        return squared_error * weight(level, a, b, self.sigma_data).flatten().to(squared_error)

    @torch.no_grad()
    def guess(self, x: Tensor, level: Level, label: Tensor | None, guessed: Tensor) -> Tensor:
        """Return x̂_0(x_t, no guess) for the samples in `guessed`, 0 for the others (Chen et al. 2023, algorithm 1).

        Gradients do not flow into it: training costs half a forward pass more, not twice as much.
        """
        marked = guessed.nonzero().flatten()
        if not len(marked):
            return torch.zeros_like(x)
        rows = marked.to(x.device, non_blocking=True)
        level = level[marked.to(level.t.device)] if level.t.ndim else level
        estimate = self.decode(x[rows], level, self.predict(x[rows], level, None if label is None else label[rows]))
        torch.clear_autocast_cache()  # weights cast here have no gradients, and older torch would take them again
        return torch.zeros_like(x).index_copy(0, rows, estimate.to(x))
