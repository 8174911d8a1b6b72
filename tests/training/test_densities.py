"""Densities over noise levels: uniform numbers in, legal levels of the schedule out, as often as promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from scipy import stats

from toydiff.errors import ConfigurationError
from toydiff.schedules import AnySchedule, Cosine, Flow, Linear, LogLinear, Schedule
from toydiff.spec import kinds
from toydiff.training.densities import AnyDensity, Density, Discrete, LogNormal, UniformTime

DENSITIES = kinds(AnyDensity)
STRATIFIED = (torch.arange(1000, dtype=torch.float64)[:, None] + 0.5) / 1000
TINIEST = 1e-12


def pairs() -> Iterator[tuple[Density, Schedule]]:
    """Every density on every schedule it can be asked for."""
    for density in (cls() for cls in DENSITIES.values()):
        for cls in kinds(AnySchedule).values():
            options: list[dict[str, Any]] = [{}]
            if "T" in cls.model_fields:
                options += [{"T": None}, {"T": 40, "zero_terminal_snr": True}]
            if "N" in cls.model_fields:
                options += [{"N": 30}]
            for option in options:
                schedule: Schedule = cls(**option)  # type: ignore[assignment]
                if not isinstance(density, Discrete) or schedule.knot_times is not None:
                    yield density, schedule  # type: ignore[misc]


def name(spec: Any) -> str:
    return " ".join([spec.kind, *(f"{k}={v}" for k, v in spec.model_dump(exclude_defaults=True).items())])


@pytest.mark.parametrize(("density", "schedule"), list(pairs()), ids=name)
def test_every_density_draws_levels_of_the_schedule(density: Density, schedule: Schedule) -> None:
    u = torch.cat([torch.tensor([[TINIEST], [1.0]], dtype=torch.float64), STRATIFIED])
    level = density(u, schedule)
    assert level.alpha.shape == level.sigma.shape == level.t.shape == (1002, 1)
    assert level.alpha.dtype == torch.float64
    assert level == schedule(level.t)
    assert ((level.t >= 0) & (level.t <= 1)).all() and (level.sigma > 0).all()  # never clean: nothing to learn there
    shaped = density(u.reshape(501, 2, 1, 1), schedule)
    assert torch.equal(shaped.sigma.flatten(), level.sigma.flatten())


@pytest.mark.parametrize("schedule", [Flow(), Linear(), LogLinear()], ids=name)
def test_uniform_in_time(schedule: Schedule) -> None:
    assert torch.equal(UniformTime()(STRATIFIED, schedule).t, STRATIFIED)


@pytest.mark.parametrize("schedule", [Cosine(T=40), Linear(), LogLinear(N=25)], ids=name)
def test_discrete_draws_every_knot_equally_often(schedule: Schedule) -> None:
    level = Discrete()(STRATIFIED, schedule)
    knots, counts = torch.unique(level.t, return_counts=True)
    assert torch.equal(knots, schedule.knots().t)
    assert (counts == 1000 // len(knots)).all()
    assert (level.t.diff(dim=0) >= 0).all()  # u from 0 to 1 goes from clean to noisy, as in the other densities


def test_discrete_on_a_continuous_schedule_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="no knots"):
        Discrete()(STRATIFIED, Flow())


@pytest.mark.parametrize("schedule", [Flow(), Cosine(T=None), LogLinear(sigma_min=1e-4, sigma_max=1e3)], ids=name)
def test_log_normal_is_log_normal_in_sigma_over_alpha(schedule: Schedule) -> None:
    level = LogNormal(mean=-0.5, std=1.1)(STRATIFIED, schedule)
    expected = stats.norm(-0.5, 1.1).ppf(STRATIFIED.numpy())
    torch.testing.assert_close((level.sigma / level.alpha).log(), torch.as_tensor(expected), rtol=0, atol=1e-5)


def test_log_normal_is_clamped_to_the_schedules_range() -> None:
    schedule = LogLinear(sigma_min=0.2, sigma_max=0.5)
    level = LogNormal()(STRATIFIED, schedule)
    assert level.sigma.min() == schedule(0.0).sigma and level.sigma.max() == schedule(1.0).sigma
    assert (level.sigma == schedule(0.0).sigma).double().mean() == pytest.approx(
        stats.norm(-1.2, 1.2).cdf(torch.tensor(0.2).log().item()), abs=2e-3
    )
