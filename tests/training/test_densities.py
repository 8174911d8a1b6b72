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
from toydiff.training.densities import (
    AnyDensity,
    Density,
    Discrete,
    Laplace,
    LogitNormal,
    LogNormal,
    UniformTime,
    stratified,
)

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


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-1.0, 0.6), (2.0, 3.0)])
def test_logit_normal_is_logit_normal_in_t(mean: float, std: float) -> None:
    t = LogitNormal(mean=mean, std=std)(STRATIFIED, Flow()).t
    torch.testing.assert_close(t.logit(), torch.as_tensor(stats.norm(mean, std).ppf(STRATIFIED.numpy())))


@pytest.mark.parametrize("schedule", [Flow(), Cosine(T=None), LogLinear(sigma_min=1e-4, sigma_max=1e3)], ids=name)
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 0.5), (0.7, 1.2)])
def test_laplace_is_laplace_in_log_snr(schedule: Schedule, mean: float, scale: float) -> None:
    """And goes from clean to noisy as u grows, like the others."""
    log_snr = Laplace(mean=mean, scale=scale)(STRATIFIED, schedule).log_snr
    expected = stats.laplace(mean, scale).ppf(1 - STRATIFIED.numpy())
    torch.testing.assert_close(log_snr, torch.as_tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.7])
def test_a_share_of_laplace_is_uniform_in_time(share: float) -> None:
    """P(t ≤ s) = share · s + (1 − share) · P(log-SNR ≥ log-SNR(s)), at every s; nothing at t = 0."""
    t = Laplace(mean=0.5, scale=0.8, uniform=share)(STRATIFIED, Flow()).t
    s = torch.linspace(0.001, 1, 301, dtype=torch.float64)
    found = (t[:, None] <= s).double().mean(0)
    expected = share * s + (1 - share) * torch.as_tensor(stats.laplace(0.5, 0.8).sf(Flow()(s).log_snr.numpy()))
    assert (found - expected).abs().max() < 2.1 / len(STRATIFIED) and (t > 0).all() and t.max() <= 1
    edge = Laplace(uniform=share)(torch.tensor([share, 1.0], dtype=torch.float64), Flow()).t if share else None
    assert edge is None or edge.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("schedule", [Flow(), Cosine(T=None), Linear(), LogLinear()], ids=name)
def test_logit_normal_never_draws_clean_data_however_it_is_set(schedule: Schedule) -> None:
    u = torch.tensor([2.0**-53, 2.0**-30, 1.0], dtype=torch.float64)
    level = LogitNormal(mean=-5.0, std=3.0)(u, schedule)
    assert (level.t > 0).all() and (level.sigma > 0).all() and level.t[-1] == 1


# ── stratified draws ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 8, 64])
def test_all_of_a_stratified_batch_together_is_as_uniform_as_before(size: int) -> None:
    """If u runs over the lattice k/512, the batches together run over the lattice k/(512 · size): exactly."""
    lattice = torch.arange(1, 513, dtype=torch.float64) / 512
    u = stratified(lattice[:, None], torch.arange(size), size)
    assert u.shape == (512, size)
    assert torch.equal(u.flatten().sort()[0], torch.arange(1, 512 * size + 1, dtype=torch.float64) / (512 * size))


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize("u", [2.0**-53, 0.3, 1.0])
def test_one_number_falls_into_every_piece(u: float, size: int) -> None:
    index = torch.arange(size, dtype=torch.float64)
    drawn = stratified(torch.tensor(u, dtype=torch.float64), index, size)
    assert (drawn > 0).all() and (drawn <= 1).all()
    assert (drawn * size >= index).all() and (drawn * size <= index + 1 + 1e-12).all()
