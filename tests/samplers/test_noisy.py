"""Thin names, EDM's churn and Langevin steps, each against its paper's formulas or a closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from toydiff.oracle import Gaussian, Mixture
from toydiff.samplers import (
    DDIM,
    EDM,
    DPMpp2M,
    DPMpp2MSDE,
    Euler,
    EulerAncestral,
    Heun,
    Langevin,
    Sampler,
    noise_levels,
)
from toydiff.schedules import EDM as EDMSchedule
from toydiff.schedules import AnySchedule, Cosine, Flow, Level, Linear, LogLinear, Schedule
from toydiff.spec import kinds

ORACLE = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.3)
SCHEDULES: list[Schedule] = [cls() for cls in kinds(AnySchedule).values()]  # type: ignore[misc]
NOISES = torch.randn(80, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def name(spec: Any) -> str:
    return str(spec.kind)


def walk(sampler: Sampler, levels: list[Level], denoise: Any = ORACLE) -> list[Tensor]:
    noises: Iterator[Tensor] = iter(NOISES[1:])
    start = NOISES[0] * levels[0].scale
    return [frame.x for frame in sampler.trajectory(denoise, start, levels, lambda x: next(noises))]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_thin_names_are_ddim(schedule: Schedule) -> None:
    levels = noise_levels(schedule, 12)
    pairs: list[tuple[Sampler, Sampler]] = [(Euler(), DDIM())]
    pairs += [(EulerAncestral(eta=eta), DDIM(eta=eta)) for eta in (0.0, 0.4, 1.0)]
    for one, other in pairs:
        assert all(torch.equal(a, b) for a, b in zip(walk(one, levels), walk(other, levels), strict=True))


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("schedule", [Linear(), LogLinear()], ids=name)
def test_euler_ancestral_is_a_step_down_and_noise_up(schedule: Schedule, eta: float) -> None:
    """In x/alpha, σ = sigma/alpha: to σ_down by Euler, then σ_up of noise, σ_down² + σ_up² = σ_s²."""
    levels = noise_levels(schedule, 12)
    x = NOISES[0] * levels[0].scale
    for k, ((t, s), frame) in enumerate(zip(pairwise(levels), walk(EulerAncestral(eta=eta), levels), strict=True)):
        sigma_t, sigma_s = t.sigma / t.alpha, s.sigma / s.alpha
        up = torch.minimum(sigma_s, eta * (sigma_s**2 * (sigma_t**2 - sigma_s**2) / sigma_t**2).sqrt())
        down = (sigma_s**2 - up**2).sqrt()
        d = (x / t.alpha - ORACLE(x, t)) / sigma_t
        x = s.alpha * (x / t.alpha + (down - sigma_t) * d + up * NOISES[k + 1])
        torch.testing.assert_close(frame, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("churn", [0.0, 6.0, 100.0])
@pytest.mark.parametrize("schedule", [EDMSchedule(), Linear(), Flow()], ids=name)
def test_edm_is_algorithm_2_as_printed(schedule: Schedule, churn: float) -> None:
    """In x/alpha and σ = sigma/alpha, with S_noise; the first step of flow, where σ = ∞, is first order."""
    steps, low, high, noise = 15, 0.05, 20.0, 1.007
    levels = noise_levels(schedule, steps, "trailing" if schedule.kind == "flow" else "karras")
    x, drawn = NOISES[0] * levels[0].scale, iter(NOISES[1:])

    def D(y: Tensor, sigma: Tensor) -> Tensor:
        return ORACLE(y, Level(0.0, 1.0, sigma))

    window = {"S_tmin": low, "S_tmax": high, "S_noise": noise} if churn else {}
    frames = walk(EDM(S_churn=churn, **window), levels)
    for (t, s), frame in zip(pairwise(levels), frames, strict=True):
        if t.alpha == 0:
            x = frame
            continue
        y, sigma, sigma_s = x / t.alpha, t.sigma / t.alpha, s.sigma / s.alpha
        gamma = min(churn / steps, math.sqrt(2) - 1) if low <= sigma <= high else 0.0
        hat = sigma + gamma * sigma
        if gamma > 0:
            y = y + (hat**2 - sigma**2).sqrt() * noise * next(drawn)
        d = (y - D(y, hat)) / hat
        after = y + (sigma_s - hat) * d
        if sigma_s > 0:
            after = y + (sigma_s - hat) * (d + (after - D(after, sigma_s)) / sigma_s) / 2
        x = s.alpha * after
        torch.testing.assert_close(frame, x, rtol=1e-9, atol=1e-9)


def test_without_churn_edm_is_heun_of_the_other_variables() -> None:
    """Both second order; on variance-exploding levels, in x and sigma or in τ, they differ less and less."""

    def apart(steps: int) -> float:
        levels = noise_levels(EDMSchedule(), steps, "karras")
        return float((walk(EDM(), levels)[-1] - walk(Heun(), levels)[-1]).abs().max())

    assert 0 < apart(160) < apart(40) / 10


def test_the_sde_solver_of_one_estimate_is_ddpm() -> None:
    """Its first step, without history, is ddim with eta = 1; later ones have dpmpp_2m's estimate (Lu et al. 2022)."""
    levels = noise_levels(Linear(), 10, "log_snr")
    sde, ancestral = walk(DPMpp2MSDE(), levels), walk(DDIM(eta=1), levels)
    torch.testing.assert_close(sde[0], ancestral[0])
    assert (walk(DPMpp2M(), levels)[-1] - sde[-1]).abs().max() > 0.01


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_the_sde_of_any_noise_is_its_linear_part_solved_exactly(schedule: Schedule, eta: float) -> None:
    """Of τ² = eta (Xue et al. 2023, "variance-controlled" SDE), with x̂_0 extrapolated to the middle of the step:

    x_s = (sigma_s/sigma_t) e^(−τ²h) x_t + alpha_s (1 − e^(−(1 + τ²)h)) x̂_0 + sigma_s √(1 − e^(−2τ²h)) z
    """
    levels = noise_levels(schedule, 10, "log_snr:6", start=0.97)
    frames = walk(DPMpp2MSDE(eta=eta), levels)
    x, history = NOISES[0] * levels[0].scale, []
    for k, (t, s) in enumerate(pairwise(levels[:-1])):
        h = (s.log_snr - t.log_snr) / 2
        history.append((t.log_snr / 2, ORACLE(x, t)))
        D = history[-1][1]
        if k > 0:
            (lam, now), (lam_before, before) = history[-1], history[-2]
            D = now + (h / 2) * (now - before) / (lam - lam_before)
        x = (s.sigma / t.sigma) * (-eta * h).exp() * x + s.alpha * (1 - (-(1 + eta) * h).exp()) * D
        x = x + s.sigma * (1 - (-2 * eta * h).exp()).sqrt() * NOISES[k + 1]
        torch.testing.assert_close(frames[k], x, rtol=1e-7, atol=1e-7)
        x = frames[k]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_the_sde_without_noise_is_its_ode(schedule: Schedule) -> None:
    levels = noise_levels(schedule, 12)
    assert not DPMpp2MSDE(eta=0).stochastic
    for one, other in zip(walk(DPMpp2MSDE(eta=0), levels), walk(DPMpp2M(), levels), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_above_s_tmax_the_sde_is_the_reverse_sde() -> None:
    """With S_tmax between two levels, the steps above have eta = 1, the ones below the surplus."""
    levels = noise_levels(Flow(), 14)
    plain, more = walk(DPMpp2MSDE(), levels), walk(DPMpp2MSDE(eta=4, S_tmax=4.5), levels)
    above = [float(level.sigma / level.alpha) > 4.5 for level in levels[:-1]]
    assert 0 < sum(above) < 5
    for k, high in enumerate(above):
        assert torch.equal(plain[k], more[k]) == high
    assert torch.equal(walk(DPMpp2MSDE(eta=4, S_tmax=1e-3), levels[:-1])[-1], plain[-2])
    assert DPMpp2MSDE(eta=0, S_tmax=4.5).stochastic


# ── langevin: the variance on Gaussian data, start and noises pushed through ─────────────────────────────────────────

STD = 0.5


def variances(sampler: Sampler, levels: list[Level]) -> list[float]:
    """Return the variance of x at every level after the first, over the exact one."""
    x = torch.zeros(1 + 20 * len(levels), 1, dtype=torch.float64)
    x[0] = (levels[0].alpha ** 2 * STD**2 + levels[0].sigma ** 2).sqrt()
    calls = iter(range(1, len(x)))

    def impulse(x: Tensor) -> Tensor:
        noise = torch.zeros_like(x)
        noise[next(calls)] = 1
        return noise

    frames = sampler.trajectory(Gaussian(torch.zeros(1), STD), x, levels, impulse)
    return [float(f.x.square().sum() / (f.level.alpha**2 * STD**2 + f.level.sigma**2)) for f in frames]


@pytest.mark.parametrize("snr", [0.05, 0.16, 0.4])
@pytest.mark.parametrize("schedule", [LogLinear(), Cosine(T=None)], ids=name)
def test_langevin_follows_its_recursion(schedule: Schedule, snr: float) -> None:
    """V ← (1 − ε/v)² V + 2ε, v the variance of x_s, ε = 2 (snr sigma)²: towards v/(1 − ε/2v)."""
    levels = noise_levels(schedule, 30, "log_snr")
    for corrections in (1, 10):
        sampler = Langevin(corrections=corrections, snr=snr)
        total = 1.0
        for (t, s), got in zip(pairwise(levels), variances(sampler, levels), strict=True):
            v_t, v = (float(level.alpha**2 * STD**2 + level.sigma**2) for level in (t, s))
            beta = float(t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2)
            D = float(t.alpha) * STD**2 / v_t
            gain = float(t.alpha / s.alpha * (s.sigma / t.sigma) ** 2) + float(s.alpha / t.sigma**2) * beta * D
            total = (gain**2 * total * v_t + float((s.sigma / t.sigma) ** 2) * beta) / v  # the predictor, of v
            step = 2 * (snr * float(s.sigma)) ** 2
            for _ in range(corrections if s.sigma > 0 else 0):
                total = (1 - step / v) ** 2 * total + 2 * step / v
            assert got == pytest.approx(total, rel=1e-10)


def test_corrections_mend_what_the_predictor_left() -> None:
    """Few steps leave too little variance, and the more corrections at each level, the more of it comes back."""
    levels = noise_levels(Cosine(T=None), 12, "log_snr")

    def off(corrections: int) -> float:
        return abs(variances(Langevin(corrections=corrections), levels)[-1] - 1)

    alone = abs(variances(DDIM(eta=1), levels)[-1] - 1)
    assert off(15) < off(5) - 0.05 < off(1) < alone
