"""DDIM and Heun step by step, against formulas written another way."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from toydiff.oracle import Mixture
from toydiff.samplers import DDIM, Heun, noise_levels
from toydiff.schedules import AnySchedule, Cosine, Flow, Level, Linear, LogLinear, Schedule
from toydiff.spec import kinds

SCHEDULES: list[Schedule] = [cls() for cls in kinds(AnySchedule).values()]  # type: ignore[misc]
STD = 0.5
ORACLE = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.3)


def name(schedule: Any) -> str:
    return str(schedule.kind)


def gaussian(x: Tensor, level: Level) -> Tensor:
    return level.alpha * STD**2 / (level.alpha**2 * STD**2 + level.sigma**2) * x


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_ddim_on_one_gaussian_is_a_product_of_known_factors(schedule: Schedule) -> None:
    """x_s = x_t · (alpha_s alpha_t s² + sigma_s sigma_t) / (alpha_t² s² + sigma_t²): a cosine of an angle, no noise."""
    levels = noise_levels(schedule, 20)
    x = torch.tensor([[1.0]], dtype=torch.float64)
    expected = 1.0
    for (t, s), frame in zip(pairwise(levels), DDIM().trajectory(gaussian, x, levels, torch.zeros_like), strict=True):
        expected *= float((s.alpha * t.alpha * STD**2 + s.sigma * t.sigma) / (t.alpha**2 * STD**2 + t.sigma**2))
        assert float(frame.x) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("std", [0.5, 2.0])
def test_the_variance_of_ddim_on_gaussian_data_is_the_recursion(schedule: Schedule, eta: float, std: float) -> None:
    """var(x_s) = A² var(x_t) + eta² β̃, A from x̂_0 = c x_t, ε̂ = (x_t − alpha_t x̂_0)/sigma_t (Song et al. 2021)."""
    levels = noise_levels(schedule, 25)
    steps = len(levels) - 1
    x = torch.eye(steps + 1, 1, dtype=torch.float64)
    impulses = iter(torch.eye(steps + 1, dtype=torch.float64)[1:])

    def denoise(x: Tensor, level: Level) -> Tensor:
        return level.alpha * std**2 / (level.alpha**2 * std**2 + level.sigma**2) * x

    frames = DDIM(eta=eta).trajectory(denoise, x, levels, lambda x: next(impulses)[:, None])
    expected = 1.0
    for (t, s), frame in zip(pairwise(levels), frames, strict=True):
        alpha_t, sigma_t, alpha_s, sigma_s = (float(v) for v in (t.alpha, t.sigma, s.alpha, s.sigma))
        c = alpha_t * std**2 / (alpha_t**2 * std**2 + sigma_t**2)
        noise = 0.0
        if sigma_s > 0:  # the posterior's variance from its precisions
            g = alpha_t / alpha_s
            noise = eta**2 / (1 / sigma_s**2 + g**2 / (sigma_t**2 - g**2 * sigma_s**2))
        gain = alpha_s * c + (sigma_s**2 - noise) ** 0.5 * (1 - alpha_t * c) / sigma_t
        expected = gain**2 * expected + noise
        assert float(frame.x.square().sum()) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_ddim_without_noise_asks_for_none(schedule: Schedule) -> None:
    def noise(x: Tensor) -> Tensor:
        raise AssertionError

    for sampler in (DDIM(), Heun()):
        assert list(sampler.trajectory(gaussian, torch.ones(1, 1).double(), noise_levels(schedule, 3), noise))


def test_ddim_is_eulers_method_in_karras_variables() -> None:
    """In x/alpha and σ = sigma/alpha the ODE is dx/dσ = (x − D)/σ (Karras et al. 2022): one Euler step of it."""
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for schedule in (Linear(T=None), LogLinear()):
        levels = noise_levels(schedule, 15)
        y, expected = x, []
        for t, s in pairwise(levels):
            sigma_t, sigma_s = t.sigma / t.alpha, s.sigma / s.alpha
            d = (y / t.alpha - ORACLE(y, t)) / sigma_t
            y = (y / t.alpha + (sigma_s - sigma_t) * d) * s.alpha
            expected.append(y)
        for frame, y in zip(DDIM().trajectory(ORACLE, x, levels, torch.zeros_like), expected, strict=True):
            torch.testing.assert_close(frame.x, y, rtol=1e-11, atol=1e-11)


def test_heun_on_the_flow_schedule_is_the_textbook_method() -> None:
    """On alpha = 1 − t, sigma = t the ODE is dx/dt = v(x, t), v = E[eps − x_0 | x_t]; the last step is Euler's."""
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def v(x: Tensor, t: float) -> Tensor:
        x0 = ORACLE(x, Flow()(t))
        return (x - (1 - t) * x0) / t - x0

    y, expected = x, []
    grid = [1 - i / 8 for i in range(9)]
    for t, s in pairwise(grid):
        slope = v(y, t)
        if s > 0:
            slope = (slope + v(y + (s - t) * slope, s)) / 2
        y = y + (s - t) * slope
        expected.append(y)
    frames = list(Heun().trajectory(ORACLE, x, noise_levels(Flow(), 8), torch.zeros_like))
    for frame, y in zip(frames, expected, strict=True):
        torch.testing.assert_close(frame.x, y, rtol=0, atol=1e-12)


def test_heun_is_finite_and_second_order_out_of_pure_noise() -> None:
    """The first step leaves alpha = 0; its local error on Gaussian data falls as the cube of the step."""
    schedule, x = Cosine(T=None), torch.ones(1, 1, dtype=torch.float64)

    def error(step: float) -> float:
        levels = [schedule(1.0), schedule(1 - step)]
        [frame] = Heun().trajectory(gaussian, x, levels, torch.zeros_like)
        exact = (levels[1].alpha ** 2 * STD**2 + levels[1].sigma ** 2).sqrt()
        return abs(float(frame.x - exact))

    assert schedule(1.0).alpha == 0
    assert error(0.02) < error(0.04) / 6
