"""The adaptive method against scipy's, and what its tolerance promises."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import RK45 as SciPyRK45
from scipy.integrate import solve_ivp
from torch import Tensor

from toydiff.oracle import Gaussian, Mixture
from toydiff.samplers import RK45, noise_levels
from toydiff.samplers.adaptive import A, C, E
from toydiff.schedules import CLEAN, Cosine, Flow, Level, Linear, LogLinear, Schedule

ORACLE = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.3)
START = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def name(spec: Any) -> str:
    return str(spec.kind)


def free(schedule: Schedule) -> list[Level]:
    """Return a grid that leaves it to the method: from noise to a log-SNR of 20, then CLEAN."""
    return noise_levels(schedule, 2, "log_snr")


def run(sampler: RK45, levels: list[Level], x: Tensor, denoise: Any = ORACLE) -> tuple[list[Tensor], int]:
    asked = 0

    def counted(x: Tensor, level: Level) -> Tensor:
        nonlocal asked
        asked += 1
        return denoise(x, level)  # type: ignore[no-any-return]

    frames = list(sampler.trajectory(counted, x, levels, torch.zeros_like))
    assert [frame.level for frame in frames] == levels[1:]
    return [frame.x for frame in frames], asked


def test_the_tableau_is_scipys() -> None:
    """Which has the last row, the new y, as its B."""
    np.testing.assert_allclose([*C[:-1]], SciPyRK45.C[1:], rtol=1e-15)
    for ours, theirs in zip(A, [*SciPyRK45.A[1:], SciPyRK45.B], strict=True):
        np.testing.assert_allclose(ours, theirs[: len(ours)], rtol=1e-15)
    np.testing.assert_allclose(np.abs(E), np.abs(SciPyRK45.E), rtol=1e-12)
    np.testing.assert_allclose(sum(E), 0, atol=1e-15)


@pytest.mark.parametrize("schedule", [Linear(T=None), Cosine(T=None), LogLinear(), Flow()], ids=name)
def test_it_agrees_with_another_method_of_higher_order(schedule: Schedule) -> None:
    levels = free(schedule)
    start = START * levels[0].scale
    (x, _), _ = run(RK45(atol=1e-9, rtol=1e-9), levels, start)

    def slope(tau: float, y: Any) -> Any:
        level, y = Level(math.nan, 1 - tau, tau), torch.as_tensor(y).reshape(-1, 2)
        x0 = ORACLE(y, level)
        return (((y - level.alpha * x0) / level.sigma) - x0).flatten().numpy()

    tau = [float(level.sigma / (level.alpha + level.sigma)) for level in levels[:2]]
    y = (start / (levels[0].alpha + levels[0].sigma)).flatten().numpy()
    end = solve_ivp(slope, tau, y, method="DOP853", rtol=1e-11, atol=1e-11).y[:, -1].reshape(-1, 2)
    torch.testing.assert_close(x, torch.tensor(end) * (levels[1].alpha + levels[1].sigma), rtol=0, atol=1e-7)


def test_less_tolerance_costs_more_and_errs_less() -> None:
    """By the fifth root: a hundred times less error is about 2.5 times the evaluations."""
    levels, gaussian = free(Flow()), Gaussian(torch.zeros(2), 0.5)
    start = (levels[0].alpha ** 2 * 0.25 + levels[0].sigma ** 2).sqrt() * START
    errors, evaluations = [], []
    for tolerance in (1e-3, 1e-5, 1e-7, 1e-9):
        xs, asked = run(RK45(atol=tolerance, rtol=tolerance), levels, start, gaussian)
        errors.append(float((xs[-1] - 0.5 * START).abs().max()))
        evaluations.append(asked)
    assert all(error < 20 * tolerance for error, tolerance in zip(errors, (1e-3, 1e-5, 1e-7, 1e-9), strict=True))
    assert all(1.2 < more / less < 3 for less, more in pairwise(evaluations))


def test_levels_say_where_to_look_not_how_to_step() -> None:
    few, many = noise_levels(Flow(), 2, "log_snr"), noise_levels(Flow(), 15, "log_snr")
    (*_, one), _ = run(RK45(atol=1e-8, rtol=1e-8), few, START)
    (*_, other), _ = run(RK45(atol=1e-8, rtol=1e-8), many, START)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_sample_keeps_its_tolerance_in_any_company() -> None:
    """The steps are the hardest sample's: a difficult neighbour makes a sample better, never worse."""
    hard = torch.tensor([[0.01, -0.02]], dtype=torch.float64)  # between the modes
    xs, alone = run(RK45(), free(Flow()), START[:1])
    ys, together = run(RK45(), free(Flow()), torch.cat([START[:1], hard]))
    assert together > alone
    torch.testing.assert_close(xs[-1], ys[-1][:1], rtol=0, atol=2e-4)


def test_numbers_that_are_not_finite_end_the_walk() -> None:
    """The caller sees them in the frame, and says where; here nothing loops for ever."""
    xs, _ = run(RK45(), [Flow()(0.9), Flow()(0.5), CLEAN], START, lambda x, level: x * math.nan)
    assert not xs[-1].isfinite().any()
