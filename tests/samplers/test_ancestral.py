"""DDPM against Ho et al. 2020 as printed, and against Bayes' rule."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from toydiff.oracle import Mixture
from toydiff.samplers import DDIM, DDPM, noise_levels
from toydiff.schedules import AnySchedule, Cosine, Level, Linear, Schedule
from toydiff.spec import kinds

VARIANCES: list[Literal["posterior", "beta"]] = ["posterior", "beta"]


def name(schedule: Any) -> str:
    return " ".join([schedule.kind, *(f"{k}={v}" for k, v in schedule.model_dump(exclude_defaults=True).items())])


def linear_betas() -> Any:
    return np.linspace(1e-4, 0.02, 1000)


def cosine_betas() -> Any:
    f = np.cos((np.arange(41) / 40 + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], 0.999)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize(
    ("schedule", "betas"), [(Linear(), linear_betas()), (Cosine(T=40), cosine_betas())], ids=["linear", "cosine"]
)
def test_each_step_is_algorithm_2_in_its_beta_form(schedule: Schedule, betas: Any, variance: Any) -> None:
    """x_{t−1} = (x_t − β_t/√(1 − ᾱ_t) ε̂)/√(1 − β_t) + σ_t z, z = 0 at t = 1 (Ho et al. 2020, eq. 11)."""
    T = len(betas)
    alpha_bar = np.cumprod(1 - betas)
    before = np.concatenate([[1.0], alpha_bar[:-1]])
    sigma2 = betas if variance == "beta" else betas * (1 - before) / (1 - alpha_bar)
    x, eps, z = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels = noise_levels(schedule, T)
    assert len(levels) == T + 1
    for i, (t, s) in enumerate(pairwise(levels)):
        k = T - 1 - i  # t = T … 1 is k + 1

        def denoise(x: Tensor, level: Level, k: int = k) -> Tensor:  # the x̂_0 that ε̂ = eps stands for
            a = float(alpha_bar[k])
            x0: Tensor = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
            return x0

        [frame] = DDPM(variance=variance).trajectory(denoise, x, [t, s], lambda x: z)
        mean = (x - betas[k] / (1 - alpha_bar[k]) ** 0.5 * eps) / (1 - betas[k]) ** 0.5
        expected = mean + (sigma2[k] ** 0.5 * z if k > 0 else 0)
        torch.testing.assert_close(frame.x, expected, rtol=0, atol=1e-12)


def schedules() -> list[Schedule]:
    options: list[dict[str, Any]] = [{}, {"T": None}, {"T": 40, "zero_terminal_snr": True}]
    return [
        cls(**option)  # type: ignore[misc]
        for cls in kinds(AnySchedule).values()
        for option in options
        if set(option) <= set(cls.model_fields)
    ]


SCHEDULES = schedules()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_a_step_is_bayes_rule(schedule: Schedule) -> None:
    """q(x_s | x_t, x_0) ∝ N(x_s; alpha_s x_0, sigma_s²) · N(x_t; g x_s, β): precisions add. In any (alpha, sigma)."""
    x, x0, z = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t, s in pairwise(noise_levels(schedule, 20)):
        g = t.alpha / s.alpha
        beta = t.sigma**2 - g**2 * s.sigma**2
        [frame] = DDPM().trajectory(lambda x, level: x0, x, [t, s], lambda x: z)
        if s.sigma == 0:
            torch.testing.assert_close(frame.x, x0, rtol=0, atol=1e-12)
            continue
        posterior = 1 / (1 / s.sigma**2 + g**2 / beta)
        mean = posterior * (s.alpha * x0 / s.sigma**2 + g * x / beta)
        torch.testing.assert_close(frame.x, mean + posterior.sqrt() * z, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
@pytest.mark.parametrize("spacing", ["trailing", "log_snr"])
def test_ddim_with_eta_one_is_ddpm_with_the_posterior_variance(schedule: Schedule, spacing: str) -> None:
    oracle = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.3)
    levels = noise_levels(schedule, 30, spacing)
    noises = torch.randn(31, 50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    start = noises[0] * torch.hypot(levels[0].alpha, levels[0].sigma)
    trajectories = []
    for sampler in (DDIM(eta=1), DDPM(variance="posterior")):
        noise = iter(noises[1:])
        trajectories.append(list(sampler.trajectory(oracle, start, levels, lambda x, noise=noise: next(noise))))  # type: ignore[misc]
    for ddim, ddpm in zip(*trajectories, strict=True):
        torch.testing.assert_close(ddim.x, ddpm.x, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(ddim.x0, ddpm.x0, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
@pytest.mark.parametrize("std", [0.5, 2.0])
def test_the_variance_on_gaussian_data_is_the_recursion(schedule: Schedule, variance: Any, std: float) -> None:
    """var(x_s) = A² var(x_t) + B², with A and B from the posterior's precisions; start and impulses pushed through."""
    levels = noise_levels(schedule, 25)
    steps = len(levels) - 1
    x = torch.eye(steps + 1, 1, dtype=torch.float64)  # row 0 the start, row k the noise of step k
    impulses = iter(torch.eye(steps + 1, dtype=torch.float64)[1:])

    def denoise(x: Tensor, level: Level) -> Tensor:
        return level.alpha * std**2 / (level.alpha**2 * std**2 + level.sigma**2) * x

    frames = DDPM(variance=variance).trajectory(denoise, x, levels, lambda x: next(impulses)[:, None])
    expected = 1.0
    for (t, s), frame in zip(pairwise(levels), frames, strict=True):
        alpha_t, sigma_t, alpha_s, sigma_s = (float(v) for v in (t.alpha, t.sigma, s.alpha, s.sigma))
        c = alpha_t * std**2 / (alpha_t**2 * std**2 + sigma_t**2)
        if sigma_s == 0:
            gain, noise = c, 0.0
        else:
            g = alpha_t / alpha_s
            beta = sigma_t**2 - g**2 * sigma_s**2
            posterior = 1 / (1 / sigma_s**2 + g**2 / beta)
            gain = posterior * (alpha_s * c / sigma_s**2 + g / beta)
            noise = beta if variance == "beta" else posterior
        expected = gain**2 * expected + noise
        assert float(frame.x.square().sum()) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_towards_one_point_the_posterior_keeps_every_marginal(schedule: Schedule) -> None:
    """If the data are one point m, x_s ~ N(alpha_s m, sigma_s²) at every level and step size: the closed form."""
    levels = noise_levels(schedule, 25)
    steps, m = len(levels) - 1, 0.7
    x = torch.zeros(steps + 2, 1, dtype=torch.float64)  # row 0 the mean, row 1 the start's noise, row k + 1 step k's
    x[0], x[1] = m * levels[0].alpha, levels[0].sigma
    impulses = iter(torch.eye(steps + 2, dtype=torch.float64)[2:])
    answer = torch.zeros_like(x)
    answer[0] = m
    for frame in DDPM().trajectory(lambda x, level: answer, x, levels, lambda x: next(impulses)[:, None]):
        assert float(frame.x[0]) == pytest.approx(float(frame.level.alpha) * m, rel=1e-10)
        assert float(frame.x[1:].square().sum()) == pytest.approx(float(frame.level.sigma) ** 2, rel=1e-10, abs=1e-30)


def test_the_beta_variance_is_larger_but_for_the_last_step() -> None:
    """σ² = β is the upper bound of Ho et al. 2020, section 3.2; at t = 1, z = 0 with either."""
    x = torch.zeros(1, 1, dtype=torch.float64)
    levels = noise_levels(Linear(T=100), 10)
    put_in: dict[str, list[float]] = {}
    for variance in VARIANCES:
        put_in[variance] = [
            float(next(DDPM(variance=variance).trajectory(lambda x, level: 0 * x, x, [t, s], torch.ones_like)).x)
            for t, s in pairwise(levels)
        ]
    assert put_in["beta"][-1] == put_in["posterior"][-1] == 0
    assert all(b > p for b, p in zip(put_in["beta"][:-1], put_in["posterior"][:-1], strict=True))
