"""Samplers that remember: a step uses the estimates made at earlier levels, and costs one evaluation.

All reckon in λ = log(alpha/sigma), half the log-SNR, where the ODE from t to s has the solutions

    x_s = sigma_s/sigma_t x_t + sigma_s ∫ e^λ x̂_0(λ) dλ     x_s = alpha_s/alpha_t x_t − alpha_s ∫ e^−λ ε̂(λ) dλ

A method is a way to put one x̂_0 or one ε̂ for the whole step in the place of these integrals' unknown functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import AliasChoices, Field
from torch import Tensor

from toydiff.denoiser import Denoise
from toydiff.samplers.base import Frame, Sampler, is_endless, keep_eps, keep_x0, weighted
from toydiff.schedules import Level


class Estimate(NamedTuple):
    """What the denoiser said at λ: x̂_0 or ε̂, (B, …)."""

    lam: Tensor
    value: Tensor


def remember(past: list[Estimate], value: Tensor, t: Level, s: Level, most: int) -> list[Estimate]:
    """Return the estimates for the step t → s, newest first, at most so many: none for an endless step."""
    return [] if is_endless(t, s) else [Estimate(t.log_snr / 2, value), *past][:most]


def moments(h: Tensor, count: int) -> Tensor:
    """Return μ_k = ∫₀¹ e^(hu) uᵏ du / ∫₀¹ e^(hu) du, k < count: by parts, μ_k = 1/(1 − e^−h) − (k/h) μ_(k−1)."""
    mu = [torch.ones_like(h)]
    for k in range(1, count):
        mu.append(-1 / torch.expm1(-h) - k / h * mu[-1])
    return torch.stack(mu)


def polynomial_weights(estimates: list[Estimate], t: Level, s: Level, sign: int) -> Tensor:
    """Return w with Σ_j w_j P(λ_j) = ∫ e^(±λ) P dλ / ∫ e^(±λ) dλ over t → s, for polynomials through the estimates.

    With nodes r_j = (λ_j − λ_t)/h these solve Σ_j w_j r_jᵏ = μ_k.
    """
    start, h = t.log_snr / 2, (s.log_snr - t.log_snr) / 2
    r = torch.stack([(estimate.lam - start) / h for estimate in estimates])
    weights: Tensor = torch.linalg.solve(r ** torch.arange(len(r))[:, None], moments(sign * h, len(r)))
    return weights


def blend(estimates: list[Estimate], weights: Tensor | Sequence[float]) -> Tensor:
    """Return Σ_j w_j of the estimates."""
    return weighted(weights, [estimate.value for estimate in estimates])


def steady(past: list[Estimate], t: Level, s: Level) -> list[Estimate]:
    """Return the estimates of x̂_0 without the oldest, while their errors would count more than 2½ times in x_s.

    An error of x̂_0 counts 1 − e^−h in x_s of the ODE, times Σ |w_j|: 2 for a line through two estimates, 4 to 7 for a
    parabola through three, continued over one more of their steps. From h = 1 on that parabola misses by more than it
    gains, and so does all looking back over the last step of a linspace grid. A step of h < ½ can look back as far as
    it likes.
    """
    h = (s.log_snr - t.log_snr) / 2
    while len(past) > 1 and h > 0.5 and -torch.expm1(-h) * polynomial_weights(past, t, s, sign=1).abs().sum() > 2.5:
        past = past[:-1]
    return past


def second_order(past: list[Estimate], t: Level, s: Level) -> Tensor:
    """Return (1 + 1/2r) x̂_0 − 1/2r x̂_0' of the two newest estimates, r = h'/h; the newest if there is no other."""
    if len(past) < 2:
        return past[0].value
    r = (past[0].lam - past[1].lam) / (s.log_snr / 2 - past[0].lam)
    return (1 + 1 / (2 * r)) * past[0].value - 1 / (2 * r) * past[1].value


class DPMpp2M(Sampler):
    """DPM-Solver++(2M): extrapolates x̂_0 to the middle of the step, linearly in λ (Lu et al. 2022, algorithm 2)."""

    kind: Literal["dpmpp_2m"] = "dpmpp_2m"
    order: ClassVar[int] = 2
    fewest_steps: ClassVar[int] = 3

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        past: list[Estimate] = []
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            past = steady(remember(past, x0, t, s, most=2), t, s)
            x = keep_x0(x, second_order(past, t, s) if past else x0, t, s)
            yield Frame(s, x, x0)


class DPMpp2MSDE(Sampler):
    """SDE-DPM-Solver++(2M): the same estimate, in the step of the reverse SDE (Lu et al. 2022, section 5).

    eta is the share of that SDE's noise, in variance: τ² of Xue et al. 2023, the square of ddim's in small steps. In
    the limit of fine steps and with exact x̂_0, x_t has the same distribution for any; more noise takes more steps. 0
    is dpmpp_2m. Beyond 1 the surplus is Langevin dynamics, by which later estimates undo the errors of earlier ones.
    Steps that begin above S_tmax, in sigma/alpha, have eta = 1.
    """

    kind: Literal["dpmpp_2m_sde"] = "dpmpp_2m_sde"
    eta: float = Field(1.0, ge=0, le=100, examples=[0.0, 0.5, 4.0])
    S_tmax: float | None = Field(None, gt=0, le=1e6)
    fewest_steps: ClassVar[int] = 3

    @property
    def idle(self) -> dict[str, str]:
        why = "it says up to where eta counts, and eta = 1 is what counts above it, too"
        return {"S_tmax": why} if self.eta == 1 else {}

    @property
    def order(self) -> int:  # type: ignore[override]
        return 1 if self.stochastic else 2

    @property
    def stochastic(self) -> bool:
        return self.eta > 0 or self.S_tmax is not None  # a walk might begin below S_tmax

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        past: list[Estimate] = []
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            past = steady(remember(past, x0, t, s, most=2), t, s)
            eta = self.eta if self.S_tmax is None or t.sigma <= self.S_tmax * t.alpha else 1.0
            decay = (t.alpha / s.alpha) * (s.sigma / t.sigma)  # e^−h
            variance = s.sigma**2 * (1 - decay ** (2 * eta)).clamp(min=0)
            x = keep_x0(x, second_order(past, t, s) if past else x0, t, s, variance)
            if eta > 0:
                x = x + variance.sqrt() * noise(x)
            yield Frame(s, x, x0)


class DPMpp3M(Sampler):
    """DPM-Solver++(3M): x̂_0 with its first and second derivative in λ (Lu et al. 2022, eq. 3.3 and appendix B).

    From m = x̂_0 at t and m', m'' before it, at u = (λ − λ_t)/h:  x̂_0(u) ≈ m + D_1 u + D_2 u²/2,  D_2 twice the second
    divided difference. Public copies leave out the "twice": they are second order. On steps longer than λ = 1 it is
    dpmpp_2m; see `steady`.
    """

    kind: Literal["dpmpp_3m"] = "dpmpp_3m"
    order: ClassVar[int] = 3
    fewest_steps: ClassVar[int] = 4

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        past: list[Estimate] = []
        for t, s in pairwise(levels):
            D = x0 = denoise(x, t)
            past = steady(remember(past, x0, t, s, most=3), t, s)
            if len(past) == 2:
                D = second_order(past, t, s)
            elif len(past) == 3:
                h = (s.log_snr - t.log_snr) / 2
                r0, r1 = ((past[k].lam - past[k + 1].lam) / h for k in (0, 1))
                slope0, slope1 = (past[0].value - past[1].value) / r0, (past[1].value - past[2].value) / r1
                D1 = slope0 + r0 / (r0 + r1) * (slope0 - slope1)
                D2 = 2 / (r0 + r1) * (slope0 - slope1)
                _, mu1, mu2 = moments(h, 3)
                D = x0 + mu1 * D1 + mu2 / 2 * D2
            x = keep_x0(x, D, t, s)
            yield Frame(s, x, x0)


class UniPC(Sampler):
    """UniPC-p: predicts with p estimates of x̂_0, corrects with the next one as well (Zhao et al. 2023, algorithm 1).

    With B(h) = e^h − 1, "B2": a polynomial in λ through the estimates, integrated exactly, but for two estimates, whose
    weight is ½ whatever h. A frame holds x_s as predicted; once x̂_0 is known there it is corrected, at no further
    evaluation. Without corrector p = 2 is dpmpp_2m and p = 3 is dpmpp_3m.
    """

    kind: Literal["unipc"] = "unipc"
    p: Literal[2, 3] = Field(2, validation_alias=AliasChoices("p", "order"))
    """The paper's p, also taken as `order`; the order of convergence has the corrector in it."""
    corrector: bool = True

    @property
    def order(self) -> int:  # type: ignore[override]
        return 3 if self.corrector else self.p

    @property
    def fewest_steps(self) -> int:  # type: ignore[override]
        return self.p + 1

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        past: list[Estimate] = []
        before, x_before = levels[0], x
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            if self.corrector and past:  # UniC: the step into t once more, its end known
                x = keep_x0(x_before, _unified([*past, Estimate(t.log_snr / 2, x0)], before, t), before, t)
            past = steady(remember(past, x0, t, s, most=self.p), t, s)
            before, x_before = t, x
            x = keep_x0(x, _unified(past, t, s) if past else x0, t, s)  # UniP
            yield Frame(s, x, x0)


def _unified(estimates: list[Estimate], t: Level, s: Level) -> Tensor:
    """Return UniP's or UniC's x̂_0 for the step t → s: the newest of the past first, the future last if at all."""
    if len(estimates) != 2:
        return blend(estimates, polynomial_weights(estimates, t, s, sign=1))
    r = (estimates[1].lam - estimates[0].lam) / (s.log_snr / 2 - estimates[0].lam)
    return estimates[0].value + (estimates[1].value - estimates[0].value) / (2 * r)


class DEIS(Sampler):
    """DEIS, tAB of order 2 in log ρ: ε̂ linear in log(sigma/alpha), integrated exactly (Zhang & Chen 2023, eq. 15)."""

    kind: Literal["deis"] = "deis"
    order: ClassVar[int] = 2
    fewest_steps: ClassVar[int] = 3

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        past: list[Estimate] = []
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            past = remember(past, (x - t.alpha * x0) / t.sigma, t, s, most=2)
            x = (
                keep_eps(x, blend(past, polynomial_weights(past, t, s, sign=-1)), t, s)
                if past
                else keep_x0(x, x0, t, s)
            )
            yield Frame(s, x, x0)


class IPNDM(Sampler):
    """iPNDM: ε̂ by Adams–Bashforth's fixed coefficients, as if all steps were equal (Zhang & Chen 2023, appendix)."""

    kind: Literal["ipndm"] = "ipndm"
    order: ClassVar[int] = 2  # unequal steps cost the other two
    fewest_steps: ClassVar[int] = 3

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        adams_bashforth = ((1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
        past: list[Estimate] = []
        for t, s in pairwise(levels):
            x0 = denoise(x, t)
            past = remember(past, (x - t.alpha * x0) / t.sigma, t, s, most=4)
            x = keep_eps(x, blend(past, adams_bashforth[len(past) - 1]), t, s) if past else keep_x0(x, x0, t, s)
            yield Frame(s, x, x0)
