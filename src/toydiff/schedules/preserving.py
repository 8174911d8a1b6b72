"""Variance-preserving schedules, alpha² + sigma² = 1: linear, quadratic, cosine, sigmoid."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from toydiff.schedules.base import Schedule


class VariancePreserving(Schedule):
    """alpha² = ᾱ(t), sigma² = 1 − ᾱ(t): the DDPM family.

    With T steps the knots sit at t = i/T with ᾱ_i = Π (1 − β_j), log ᾱ linear in between, and sigma(0) = 0.
    T = None is the continuous limit. `zero_terminal_snr` shifts and scales alpha so that alpha(1) = 0
    (Lin et al. 2023, algorithm 1); alpha is then linear between the knots.
    """

    variance: ClassVar[Literal["preserving", "exploding", "interpolating"]] = "preserving"
    T: Annotated[int, Field(ge=1, le=100_000)] | None = 1000
    zero_terminal_snr: bool = False

    @model_validator(mode="after")
    def _room_to_rescale(self) -> Self:
        if self.zero_terminal_snr and self.T == 1:
            raise ValueError("zero_terminal_snr needs at least T = 2 steps")
        return self

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
    """What linear and quadratic share: two ends of β. T = None reads them per thousandth of the time.

    `scale_betas` does so for T steps as well: β · 1000/T, so that ᾱ_T is about the same for every T and the T steps
    approach the continuous limit (after the public code of Nichol & Dhariwal 2021).
    """

    beta_min: float = Field(1e-4, gt=0, lt=1)
    beta_max: float = Field(0.02, gt=0, lt=1)
    scale_betas: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.beta_min > self.beta_max:
            raise ValueError(f"beta_min ({self.beta_min}) is larger than beta_max ({self.beta_max})")
        if self.scale_betas and self.T is None:
            raise ValueError("scale_betas is for T steps: a continuous schedule reads β per thousandth anyway")
        if self._beta_scale * self.beta_max >= 1:
            least = math.floor(1000 * self.beta_max) + 1
            raise ValueError(f"scale_betas makes β_T = {self._beta_scale * self.beta_max:g} ≥ 1; T = {least} is enough")
        return self

    @property
    def _beta_scale(self) -> float:
        return 1000 / self.T if self.scale_betas and self.T is not None else 1.0


class Linear(_Betas):
    """β_i linear from beta_min to beta_max (Ho et al. 2020, section 4); T = None: Song et al. 2021, eq. 32."""

    kind: Literal["linear"] = "linear"

    def betas(self) -> Tensor:
        assert self.T is not None
        return self._beta_scale * torch.linspace(self.beta_min, self.beta_max, self.T, dtype=torch.float64)

    def log_alpha_bar(self, t: Tensor) -> Tensor:
        return -1000.0 * (self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2)


class Quadratic(_Betas):
    """√β_i linear from √beta_min to √beta_max (Song, Meng & Ermon 2021, appendix D)."""

    kind: Literal["quadratic"] = "quadratic"

    def betas(self) -> Tensor:
        assert self.T is not None
        roots = torch.linspace(self.beta_min**0.5, self.beta_max**0.5, self.T, dtype=torch.float64)
        return self._beta_scale * roots**2

    def log_alpha_bar(self, t: Tensor) -> Tensor:
        root, rise = self.beta_min**0.5, self.beta_max**0.5 - self.beta_min**0.5
        integral: Tensor = -1000 * (root**2 * t + root * rise * t**2 + rise**2 * t**3 / 3)  # ∫ (root + rise·t)² dt
        return integral


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
