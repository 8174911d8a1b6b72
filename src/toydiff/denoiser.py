"""Targets, loss weights, and `Denoiser`: any network, made to return E[x_0 | x_t].

Every target of the literature is a linear combination of the data and the noise, F = a · x_0 + b · eps, where a and b
are functions of the level alone. With x_t = alpha · x_0 + sigma · eps, one decoder serves them all:

    x_0 = (b · x_t − sigma · F) / (alpha · b − sigma · a)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.schedules import LOG_SNR_BOUND, Level, Schedule
from toydiff.spec import Spec

if TYPE_CHECKING:  # shapes are checked in tests only
    from jaxtyping import Float, Int

Target = Literal["eps", "x0", "v", "score", "edm", "flow"]

TARGETS: dict[str, str] = {
    "eps": "the noise: a = 0, b = 1 (Ho et al. 2020)",
    "x0": "the clean data: a = 1, b = 0 (Salimans & Ho 2022)",
    "v": "velocity: a = −sigma, b = alpha, over √(alpha² + sigma²) (Salimans & Ho 2022)",
    "score": "sigma · ∇ log p(x_t): a = 0, b = −1, the network's output divided by nothing (Song & Ermon 2019)",
    "edm": "unit variance at every level: a = sigma/(σ_d S), b = −alpha σ_d/S (Karras et al. 2022)",
    "flow": "the straight line's direction: a = −1, b = 1 (Lipman et al. 2023)",
}


class Denoise(Protocol):
    """What samplers see: x_t and its level → E[x_0 | x_t]; labels are bound beforehand."""

    def __call__(self, x: Tensor, level: Level, /) -> Tensor: ...


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
    live in the checkpoint, lead to the data's. Raises ConfigurationError for a label the network does not know.
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
    ) -> None:
        super().__init__()
        if target not in TARGETS:
            raise ConfigurationError(f"unknown target `{target}`", did_you_mean(target, TARGETS))
        self.network = network
        self.target = target
        self.schedule = schedule
        self.sigma_data = sigma_data
        self.normalize_input = normalize_input
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
        self, x: Float[Tensor, " B *shape"], level: Level, label: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, " B *shape"]:
        """Return E[x_0 | x_t], (B, …) like x, for x_t at any level; at CLEAN that is x itself."""
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
        return self.decode(x, level, self.predict(x, level, label))

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

    def predict(self, x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
        """Return the network's F̂ for x_t at one of the denoiser's own levels."""
        if label is not None and not self.classes:
            raise ConfigurationError(
                "this model knows no labels: it was trained without classes", "Sample without --label."
            )
        if self.normalize_input:
            x = x / _coefficient(input_scale(level, self.sigma_data), x)
        output: Tensor = self.network(x, level, label)
        return output

    def decode(self, x: Tensor, level: Level, F: Tensor) -> Tensor:
        """Return x_0 = (b · x_t − sigma · F) / (alpha · b − sigma · a)."""
        a, b = self.coefficients(level)
        denominator = level.alpha * b - level.sigma * a
        of_x = torch.where(level.sigma == 0, 1 / level.alpha, b / denominator)  # x_0 itself, in every target
        of_F = torch.where(level.sigma == 0, 0.0, level.sigma / denominator)
        return _coefficient(of_x, x) * x - _coefficient(of_F, x) * F

    def loss(
        self, x0: Tensor, level: Level, eps: Tensor, label: Tensor | None = None, weight: Weight | None = None
    ) -> Tensor:
        """Return w · mean |F̂ − F|² a sample, (B,), for clean x0 and noise eps (B, …) at levels (B, 1, …)."""
        level = beside(x0, level)
        a, b = self.coefficients(level)
        x = _coefficient(level.alpha, x0) * x0 + _coefficient(level.sigma, x0) * eps
        F = _coefficient(a, x0) * x0 + _coefficient(b, x0) * eps
        squared_error = (self.predict(x, level, label).to(F) - F).square().flatten(1).mean(1)
        if weight is None:
            return squared_error
        return squared_error * weight(level, a, b, self.sigma_data).flatten().to(squared_error)


# ── loss weights ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Weight(Spec):
    """A weight on |F̂ − F|², by level."""

    def __call__(self, level: Level, a: Tensor, b: Tensor, sigma_data: float) -> Tensor:
        raise NotImplementedError


class Uniform(Weight):
    """1 on |F̂ − F|²: the simple loss of the target itself (Ho et al. 2020, eq. 14)."""

    kind: Literal["uniform"] = "uniform"

    def __call__(self, level: Level, a: Tensor, b: Tensor, sigma_data: float) -> Tensor:
        return torch.ones_like(level.sigma)


class InverseSigma2(Weight):
    """1/(sigma² + floor) on |F̂ − F|²: precision where there is little noise; a floor bounds it."""

    kind: Literal["inverse_sigma2"] = "inverse_sigma2"
    floor: float = Field(0.0, ge=0, le=1e6)

    def __call__(self, level: Level, a: Tensor, b: Tensor, sigma_data: float) -> Tensor:
        return 1 / (level.sigma**2 + self.floor)


class _DataWeight(Weight):
    """A weight on |x̂_0 − x_0|², which is (sigma / (alpha · b − sigma · a))² |F̂ − F|²."""

    def on_data(self, level: Level, sigma_data: float) -> Tensor:
        raise NotImplementedError

    def __call__(self, level: Level, a: Tensor, b: Tensor, sigma_data: float) -> Tensor:
        return (level.sigma / (level.alpha * b - level.sigma * a)) ** 2 * self.on_data(level, sigma_data)


class SNR(_DataWeight):
    """SNR on |x̂_0 − x_0|²: the simple eps loss, in whatever target (Salimans & Ho 2022)."""

    kind: Literal["snr"] = "snr"

    def on_data(self, level: Level, sigma_data: float) -> Tensor:
        return level.snr


class MinSNR(_DataWeight):
    """min(SNR, γ) on |x̂_0 − x_0|² (Hang et al. 2023): min(SNR, γ)/SNR for eps, min(SNR, γ)/(SNR + 1) for v."""

    kind: Literal["min_snr"] = "min_snr"
    gamma: float = Field(5.0, gt=0, le=1e6)

    def on_data(self, level: Level, sigma_data: float) -> Tensor:
        return level.snr.clamp(max=self.gamma)


class EDMWeight(_DataWeight):
    """(sigma² + alpha² σ_d²)/(sigma σ_d)² on |x̂_0 − x_0|² (Karras et al. 2022): 1 on the edm target."""

    kind: Literal["edm"] = "edm"

    def on_data(self, level: Level, sigma_data: float) -> Tensor:
        return (input_scale(level, sigma_data) / (level.sigma * sigma_data)) ** 2


AnyWeight = Annotated[Uniform | InverseSigma2 | SNR | MinSNR | EDMWeight, Field(discriminator="kind")]
