"""Levels, schedules against the papers' formulas, the inverse, and sampling grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from toydiff.errors import ConfigurationError
from toydiff.schedules import (
    CLEAN,
    EDM,
    LOG_SNR_BOUND,
    SPACINGS,
    AnySchedule,
    Cosine,
    Flow,
    Level,
    Linear,
    LogLinear,
    Quadratic,
    Schedule,
    Sigmoid,
    noise_levels,
)
from toydiff.schedules.preserving import VariancePreserving
from toydiff.spec import kinds

KINDS = kinds(AnySchedule)
PRESERVING = [cls for cls in KINDS.values() if issubclass(cls, VariancePreserving)]


def variants() -> Iterator[Schedule]:
    """Every kind as it comes, continuous and discrete, with and without zero terminal SNR."""
    for cls in KINDS.values():
        options: list[dict[str, Any]] = [{}]
        if "N" in cls.model_fields:
            options += [{"N": 31}]
        if "T" in cls.model_fields:
            options += [{"T": 40}, {"T": None}]
        if "scale_betas" in cls.model_fields:
            options += [{"T": 40, "scale_betas": True}]
        if "zero_terminal_snr" in cls.model_fields:
            options += [option | {"zero_terminal_snr": True} for option in options]
        for option in options:
            yield cls(**option)  # type: ignore[misc]


def name(schedule: Schedule) -> str:
    return " ".join([schedule.kind, *(f"{k}={v}" for k, v in schedule.model_dump(exclude_defaults=True).items())])  # type: ignore[attr-defined]


SCHEDULES = list(variants())
DISCRETE = [schedule for schedule in SCHEDULES if schedule.knot_times is not None]
CONTINUOUS = [schedule for schedule in SCHEDULES if schedule.knot_times is None]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
every_spacing = pytest.mark.parametrize("spacing", SPACINGS)


def assert_close(actual: Tensor, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    expected = torch.as_tensor(np.asarray(expected, dtype=np.float64))
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


# ── levels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_clean_data_are_a_level() -> None:
    assert CLEAN.t == 0 and CLEAN.alpha == 1 and CLEAN.sigma == 0
    assert CLEAN.log_snr == math.inf and CLEAN.snr == math.inf and CLEAN.scale == 1


@pytest.mark.parametrize("log_snr", [-math.inf, -15.0, -1.0, 0.0, 2.5, 30.0, math.inf])
@pytest.mark.parametrize("scale", [0.1, 1.0, 80.0])
def test_a_level_of_any_log_snr_and_scale(log_snr: float, scale: float) -> None:
    level = Level.at(log_snr, scale)
    assert level.log_snr.item() == pytest.approx(log_snr, rel=1e-13, abs=1e-13)
    assert level.scale.item() == pytest.approx(scale, rel=1e-14)
    assert level.t.isnan()  # only a label, and nobody gave one


def test_levels_are_float64_and_come_in_batches() -> None:
    level = Flow()(torch.tensor([[0.25], [0.5], [1.0]]))
    assert level.t.dtype == level.alpha.dtype == level.sigma.dtype == torch.float64
    assert level[1:] == Flow()(torch.tensor([[0.5], [1.0]]))
    assert level[:1] != level[1:2]
    assert Level(0, 1, 0) == CLEAN and Level(0.1, 1, 0) != CLEAN


# ── ᾱ against the papers ─────────────────────────────────────────────────────────────────────────────────────────────


def published_alpha_bar(schedule: VariancePreserving) -> Any:
    """Return ᾱ_1 … ᾱ_T by the paper's formula, in extended precision. A new kind needs its formula here."""
    assert schedule.T is not None
    T, i = schedule.T, np.arange(schedule.T + 1, dtype=np.longdouble)
    rise = (i[1:] - 1) / max(T - 1, 1)
    f: Any
    match schedule:
        case Linear():
            return np.cumprod(1 - (schedule.beta_min + (schedule.beta_max - schedule.beta_min) * rise))
        case Quadratic():
            low, high = np.sqrt(np.array([schedule.beta_min, schedule.beta_max], dtype=np.longdouble))
            return np.cumprod(1 - (low + (high - low) * rise) ** 2)
        case Cosine():  # Nichol & Dhariwal 2021, eq. 17
            f = np.cos((i / T + schedule.s) / (1 + np.longdouble(schedule.s)) * np.longdouble(math.pi) / 2) ** 2
        case Sigmoid():  # Jabri et al. 2022, algorithm 1
            f = 1 / (1 + np.exp(-((i / T) * (schedule.end - schedule.start) + schedule.start) / schedule.tau))
            f = f[-1] - f
        case _:
            raise NotImplementedError(f"what does the paper say about {type(schedule).__name__}?")
    return np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], schedule.beta_clip))


@pytest.mark.parametrize("T", [1, 2, 40, 1000])
@pytest.mark.parametrize("cls", PRESERVING)
def test_alpha_bar_at_the_knots_is_the_papers(cls: type[VariancePreserving], T: int) -> None:
    schedule = cls(T=T)
    alpha_bar = published_alpha_bar(schedule)
    level = schedule.knots()
    assert_close(level.t, np.arange(1, T + 1) / T)
    assert_close(level.alpha**2, alpha_bar, rtol=1e-12)
    assert_close(level.sigma**2, 1 - alpha_bar, atol=1e-15)


def test_the_best_known_numbers() -> None:
    """Ho et al. 2020: L_T is about 1e-5 because ᾱ_1000 = 4.04e-5; β_1 = 1e-4."""
    knots = Linear().knots()
    assert knots.alpha[-1] ** 2 == pytest.approx(4.0358e-5, rel=1e-4)
    assert knots.sigma[0] == pytest.approx(0.01, rel=1e-12)


@pytest.mark.parametrize("cls", [Linear, Quadratic])
def test_scaled_betas_keep_the_end_at_every_number_of_steps(cls: type[Linear] | type[Quadratic]) -> None:
    """β · 1000/T at the very same ends; by Euler–Maclaurin log ᾱ(t) nears the continuous limit as 1/T."""
    assert torch.equal(cls(T=1000, scale_betas=True).betas(), cls(T=1000).betas())
    assert_close(cls(T=50, scale_betas=True).betas(), 20 * cls(T=50).betas(), rtol=1e-15)
    t = torch.linspace(0.1, 1, 10, dtype=torch.float64)
    limit = cls(T=None)(t).alpha.log()
    errors = [(cls(T=T, scale_betas=True)(t).alpha.log() - limit).abs().max() for T in (50, 100, 1000, 10_000)]
    assert errors[0] < 0.9 and (cls(T=50)(1.0).alpha.log() - limit[-1]).abs() > 3  # unscaled they stop far from noise
    assert errors[1] / errors[0] == pytest.approx(1 / 2, rel=0.15)
    assert errors[2] / errors[1] == pytest.approx(1 / 10, rel=0.15)
    assert errors[3] / errors[2] == pytest.approx(1 / 10, rel=0.15)


def test_betas_cannot_be_scaled_beyond_one() -> None:
    with pytest.raises(ValueError, match=r"β_T = 1\.33333 ≥ 1; T = 21 is enough"):
        Linear(T=15, scale_betas=True)
    assert Linear(T=21, scale_betas=True).betas()[-1] < 1
    with pytest.raises(ValueError, match="reads β per thousandth anyway"):
        Linear(T=None, scale_betas=True)


@pytest.mark.parametrize("cls", PRESERVING)
def test_log_alpha_bar_is_linear_between_the_knots(cls: type[VariancePreserving]) -> None:
    schedule = cls(T=40)
    log_alpha_bar = np.log(np.concatenate([[1.0], published_alpha_bar(schedule).astype(np.float64)]))
    t = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = np.interp(t.numpy(), np.arange(41) / 40, log_alpha_bar)
    assert_close(2 * schedule(t).alpha.log(), expected, atol=1e-11)


@pytest.mark.parametrize("cls", PRESERVING)
def test_continuous_is_the_limit_of_many_steps(cls: type[VariancePreserving]) -> None:
    """β scales as 1/T where a schedule states β; one that states ᾱ is met at the knots, but for the last, clipped β."""

    def error(T: int) -> float:
        default, scaled = cls(), {}
        for field in ("beta_min", "beta_max"):
            if field in cls.model_fields:
                scaled[field] = getattr(default, field) * 1000 / T
        knots = cls(T=T, **scaled).knots()
        return float((knots.alpha - cls(T=None)(knots.t).alpha).abs().max())

    assert error(8000) < 2e-3
    assert error(8000) < 0.75 * error(4000)


@pytest.mark.parametrize("cls", [cls for cls in PRESERVING if "beta_clip" in cls.model_fields])
def test_a_stated_alpha_bar_is_met_exactly_where_beta_is_not_clipped(cls: type[VariancePreserving]) -> None:
    knots, limit = cls(T=40).knots(), cls(T=None)
    torch.testing.assert_close(knots.alpha[:-1], limit(knots.t[:-1]).alpha, rtol=1e-12, atol=0)
    assert limit(1.0).alpha == 0 and limit(1.0).sigma == 1


# ── zero terminal SNR ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("T", [2, 40, 1000])
@pytest.mark.parametrize("cls", PRESERVING)
def test_zero_terminal_snr_is_lins_algorithm(cls: type[VariancePreserving], T: int) -> None:
    root = np.sqrt(published_alpha_bar(cls(T=T)))
    first, last = root[0], root[-1]
    expected = (root - last) * first / (first - last)  # Lin et al. 2023, algorithm 1
    schedule = cls(T=T, zero_terminal_snr=True)
    knots = schedule.knots()
    assert_close(knots.alpha, expected, atol=1e-13)
    assert_close(knots.sigma, np.sqrt(1 - expected**2), rtol=1e-9)
    assert knots.alpha[-1] == 0 and knots.sigma[-1] == 1 and knots.log_snr[-1] == -math.inf
    middle = schedule((knots.t[1:] + knots.t[:-1]) / 2).alpha
    torch.testing.assert_close(middle, (knots.alpha[1:] + knots.alpha[:-1]) / 2, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cls", PRESERVING)
def test_zero_terminal_snr_in_the_continuous_limit(cls: type[VariancePreserving]) -> None:
    plain, schedule = cls(T=None), cls(T=None, zero_terminal_snr=True)
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    end = plain(1.0).alpha
    torch.testing.assert_close(schedule(t).alpha, (plain(t).alpha - end) / (1 - end), rtol=0, atol=1e-15)
    assert schedule(1.0).alpha == 0 and schedule(0.0) == CLEAN


# ── what holds for every schedule ────────────────────────────────────────────────────────────────────────────────────

RANGES = {
    "beta_min": (1e-6, 1e-3),
    "beta_max": (1e-3, 0.3),
    "beta_clip": (0.5, 0.9999),
    "s": (0.0, 0.2),
    "start": (-6.0, -0.5),
    "end": (0.5, 6.0),
    "tau": (0.2, 5.0),
    "sigma_min": (1e-4, 0.1),
    "sigma_max": (1.0, 1000.0),
    "rho": (1.0, 15.0),
}


@st.composite
def schedules(draw: Callable[[Any], Any], union: Any = AnySchedule) -> Schedule:
    cls = draw(st.sampled_from(list(kinds(union).values())))
    options = {field: draw(st.floats(*RANGES[field])) for field in cls.model_fields if field in RANGES}
    if "T" in cls.model_fields:
        options |= {"T": draw(st.none() | st.integers(2, 200)), "zero_terminal_snr": draw(st.booleans())}
    if "N" in cls.model_fields:
        options["N"] = draw(st.none() | st.integers(2, 200))
    return cls(**options)  # type: ignore[no-any-return]


@given(schedules(), st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_more_time_is_more_noise(schedule: Schedule, times: list[float]) -> None:
    times = sorted(times)
    level = schedule(torch.tensor(times, dtype=torch.float64))
    assert ((level.alpha >= 0) & (level.alpha <= 1) & (level.sigma >= 0)).all()
    assert (level.alpha.diff() <= 0).all() and (level.sigma.diff() >= 0).all()
    for i, (t, s) in enumerate(pairwise(times)):
        if s - t > 1e-5:
            assert level.log_snr[i] > level.log_snr[i + 1]


@given(schedules(), st.floats(0, 1))
def test_each_family_keeps_its_identity(schedule: Schedule, t: float) -> None:
    level = schedule(t)
    assert level.t == t
    match schedule.variance:
        case "preserving":
            assert abs(float(level.alpha**2 + level.sigma**2) - 1) < 1e-15
            assert schedule(0.0) == CLEAN
        case "exploding":
            assert level.alpha == 1
            assert schedule(0.0).sigma > 0  # the cleanest level is not clean
        case "interpolating":
            assert level.alpha + level.sigma == 1
            assert schedule(0.0) == CLEAN and schedule(1.0).alpha == 0


def test_exploding_ends_are_the_published_ones() -> None:
    t = np.linspace(0, 1, 9)
    assert_close(LogLinear(sigma_min=0.01, sigma_max=50)(torch.as_tensor(t)).sigma, np.geomspace(0.01, 50, 9), 1e-13)
    root = 0.002 ** (1 / 7) + t * (80 ** (1 / 7) - 0.002 ** (1 / 7))  # Karras et al. 2022, eq. 5
    assert_close(EDM()(torch.as_tensor(t)).sigma, root**7, rtol=1e-13)
    assert_close(LogLinear(sigma_min=0.01, sigma_max=50, N=9).knots().sigma, np.geomspace(0.01, 50, 9), rtol=1e-13)


@pytest.mark.parametrize("schedule", CONTINUOUS, ids=name)
def test_a_continuous_schedule_has_no_knots(schedule: Schedule) -> None:
    with pytest.raises(ConfigurationError, match="no knots"):
        schedule.knots()


def test_senseless_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="beta_min"):
        Linear(beta_min=0.1, beta_max=0.01)
    with pytest.raises(ValueError, match="sigma_min"):
        EDM(sigma_min=80, sigma_max=80)
    with pytest.raises(ValueError, match="start"):
        Sigmoid(start=3, end=-3)
    with pytest.raises(ValueError, match="at least T = 2"):
        Linear(T=1, zero_terminal_snr=True)  # nothing is left to rescale


# ── the inverse ──────────────────────────────────────────────────────────────────────────────────────────────────────


@every_schedule
def test_time_of_inverts_the_log_snr(schedule: Schedule) -> None:
    t = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    t = torch.cat([t, torch.tensor([0.0, 1e-9, 1e-5, 1e-2, 0.99, 1 - 1e-5, 1 - 1e-9, 1.0], dtype=torch.float64)])
    steep = schedule.knot_times is not None and schedule(1.0).alpha == 0  # log-SNR dives within the first step
    torch.testing.assert_close(schedule.time_of(schedule(t).log_snr), t, rtol=0, atol=1e-6 if steep else 5e-9)
    if schedule.knot_times is not None:
        torch.testing.assert_close(schedule.time_of(schedule.knots().log_snr), schedule.knot_times, rtol=0, atol=1e-14)


@every_schedule
def test_time_of_is_clamped_to_the_schedules_range(schedule: Schedule) -> None:
    assert schedule.time_of(math.inf) == 0 and schedule.time_of(-math.inf) == 1
    assert schedule.time_of(schedule(1.0).log_snr - 1) == 1
    assert schedule.time_of(200.0) == pytest.approx(0, abs=1e-6)


@every_schedule
def test_time_of_keeps_shapes(schedule: Schedule) -> None:
    log_snr = torch.linspace(-5, 5, 6, dtype=torch.float64).reshape(3, 1, 2)
    t = schedule.time_of(log_snr)
    assert t.shape == log_snr.shape
    assert t[1, 0, 1] == schedule.time_of(float(log_snr[1, 0, 1]))


# ── grids ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def times(levels: list[Level]) -> list[float]:
    return [float(level.t) for level in levels]


def log_snrs(levels: list[Level]) -> Tensor:
    return torch.stack([level.log_snr for level in levels])


@every_spacing
@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 7, 25])
def test_a_grid_falls_strictly_and_ends_clean(schedule: Schedule, spacing: str, steps: int) -> None:
    levels = noise_levels(schedule, steps, spacing)
    assert len(levels) == steps + 1
    assert levels[-1] is CLEAN
    assert (log_snrs(levels).diff() > 0).all()
    assert all(level.alpha.ndim == 0 and level.alpha.dtype == torch.float64 for level in levels)
    assert all(level == schedule(level.t) for level in levels[:-1])  # a grid only chooses times


@given(schedules(), st.sampled_from([*SPACINGS, "karras:1", "karras:20", "log_snr:3"]), st.data())
def test_a_discrete_grid_lies_on_knots(schedule: Schedule, spacing: str, data: Any) -> None:
    if schedule.knot_times is None:
        return
    knots = schedule.knot_times.tolist()
    steps = data.draw(st.integers(1, len(knots)))
    grid = times(noise_levels(schedule, steps, spacing))[:-1]
    assert set(grid) <= set(knots)
    assert all(t > s for t, s in pairwise(grid))
    assert len(grid) == steps


@every_spacing
@pytest.mark.parametrize("schedule", DISCRETE, ids=name)
def test_as_many_steps_as_knots_takes_them_all_and_more_is_an_error(schedule: Schedule, spacing: str) -> None:
    assert schedule.knot_times is not None
    K = len(schedule.knot_times)
    assert times(noise_levels(schedule, K, spacing))[:-1] == schedule.knot_times.flip(0).tolist()
    with pytest.raises(ConfigurationError, match=f"{K + 1} steps") as error:
        noise_levels(schedule, K + 1, spacing)
    assert str(K) in error.value.hint


def test_the_published_discrete_grids() -> None:
    """Lin et al. 2023, table 2, with T = 1000 and 10 steps."""

    def steps(spacing: str) -> list[int]:
        return [round(t * 1000) for t in times(noise_levels(Linear(), 10, spacing))]

    assert steps("trailing") == [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    assert steps("leading") == [901, 801, 701, 601, 501, 401, 301, 201, 101, 1, 0]
    assert steps("linspace") == [1000, 889, 778, 667, 556, 445, 334, 223, 112, 1, 0]


def test_continuous_grids_in_time() -> None:
    assert times(noise_levels(Flow(), 4)) == [1, 0.75, 0.5, 0.25, 0]
    assert times(noise_levels(Flow(), 4, start=0.5)) == [0.5, 0.375, 0.25, 0.125, 0]
    smallest = float(Flow().time_of(LOG_SNR_BOUND))
    assert times(noise_levels(Flow(), 3, "linspace")) == pytest.approx([1, (1 + smallest) / 2, smallest, 0], rel=1e-12)
    leading = [smallest + (1 - smallest) * k / 3 for k in (2, 1, 0)]
    assert times(noise_levels(Flow(), 3, "leading")) == pytest.approx([*leading, 0], rel=1e-12)


def test_the_cosine_source_starts_at_39_of_40() -> None:
    grid = times(noise_levels(Cosine(T=40), 39, start=39 / 40))
    assert grid == [i / 40 for i in range(39, 0, -1)] + [0]
    with pytest.raises(ConfigurationError, match="40 steps"):
        noise_levels(Cosine(T=40), 40, start=39 / 40)


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
@every_schedule
@pytest.mark.parametrize("start", [0.3, 0.62, 1.0])
def test_start_is_where_the_grid_begins(schedule: Schedule, spacing: str, start: float) -> None:
    t = noise_levels(schedule, 3, spacing, start)[0].t
    if schedule.knot_times is None:
        assert t == start
    else:
        assert abs(t - start) == (schedule.knot_times - start).abs().min()


@pytest.mark.parametrize("spacing", ["karras", "log_snr"])
@every_schedule
@pytest.mark.parametrize("start", [0.3, 0.62, 1.0])
def test_start_of_a_grid_in_log_snr(schedule: Schedule, spacing: str, start: float) -> None:
    levels = noise_levels(schedule, 3, spacing, start)
    if schedule.knot_times is None:
        assert levels[0].t == pytest.approx(min(start, float(schedule.time_of(-LOG_SNR_BOUND))), abs=1e-8)
    else:  # alpha = 0 lies outside: such a grid may begin one knot later
        assert -0.51 < (start - float(levels[0].t)) * len(schedule.knot_times) < 1.5


@pytest.mark.parametrize("schedule", CONTINUOUS, ids=name)
@pytest.mark.parametrize("rho", [1.0, 5.0, 7.0])
def test_karras_spacing(schedule: Schedule, rho: float) -> None:
    levels = noise_levels(schedule, 12, "karras" if rho == 7 else f"karras:{rho:g}")[:-1]
    warped = (-log_snrs(levels) / 2 / rho).exp()
    torch.testing.assert_close(warped.diff(), warped.diff().mean().expand(11), rtol=1e-5, atol=0)
    assert log_snrs(levels).abs().max() <= LOG_SNR_BOUND + 1e-6


def test_karras_spacing_on_edm_is_equation_5() -> None:
    i = np.arange(18)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert_close(torch.stack([level.sigma for level in noise_levels(EDM(), 18, "karras")[:-1]]), expected, rtol=1e-8)
    linspace = torch.stack([level.sigma for level in noise_levels(EDM(), 18, "linspace")[:-1]])
    assert_close(linspace, expected, rtol=1e-12)  # the schedule itself is warped that way


@pytest.mark.parametrize("schedule", CONTINUOUS, ids=name)
def test_log_snr_spacing(schedule: Schedule) -> None:
    log_snr = log_snrs(noise_levels(schedule, 12, "log_snr")[:-1])
    torch.testing.assert_close(log_snr.diff(), log_snr.diff().mean().expand(11), rtol=1e-5, atol=0)
    assert log_snr.abs().max() <= LOG_SNR_BOUND + 1e-6


@pytest.mark.parametrize("schedule", CONTINUOUS, ids=name)
@pytest.mark.parametrize("end", [-1.0, 4.0, 6.5])
def test_log_snr_spacing_ends_where_it_is_told_and_begins_where_it_would(schedule: Schedule, end: float) -> None:
    grid = noise_levels(schedule, 12, f"log_snr:{end:g}")
    log_snr = log_snrs(grid[:-1])
    torch.testing.assert_close(log_snr.diff(), log_snr.diff().mean().expand(11), rtol=1e-5, atol=0)
    assert abs(float(log_snr[-1]) - end) < 1e-6 and grid[-1] is CLEAN
    assert log_snr[0] == log_snrs(noise_levels(schedule, 12, "log_snr")[:1])[0]


def test_a_log_snr_grid_goes_no_further_than_its_schedule() -> None:
    assert noise_levels(EDM(), 9, "log_snr:15") == noise_levels(EDM(), 9, "log_snr")  # EDM ends at 12.4


@pytest.mark.parametrize("s", [0.1, 0.2, 0.3, 0.5, 1.5, 3.0])
def test_a_shift_of_a_flow_is_one_of_its_log_snr(s: float) -> None:
    """Esser et al. 2024, eq. 23, as they derive it: log-SNR falls by 2 ln s, and the ends stay where they are."""
    plain, shifted = noise_levels(Flow(), 12, "trailing"), noise_levels(Flow(), 12, f"shift:{s:g}")
    assert [float(level.t) for level in (shifted[0], shifted[-1])] == [1, 0]
    inside = slice(1, -1)
    torch.testing.assert_close(log_snrs(plain[inside]) - 2 * math.log(s), log_snrs(shifted[inside]))
    assert float(shifted[0].alpha) == 0
    begins_later = noise_levels(Flow(), 12, f"shift:{s:g}", start=0.8)
    assert float(begins_later[0].t) == pytest.approx(0.8) and float(begins_later[1].t) < 0.8


@every_schedule
def test_a_shift_of_one_is_no_shift(schedule: AnySchedule) -> None:
    times = [[float(v.t) for v in noise_levels(schedule, 8, spacing)] for spacing in ("shift:1", "trailing")]
    assert times[0] == pytest.approx(times[1], abs=1e-12)
    assert noise_levels(schedule, 8, "shift") == noise_levels(schedule, 8, "shift:3") != noise_levels(schedule, 8)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "0 sampling steps"),
        ({"steps": 3, "start": 0.0}, "start"),
        ({"steps": 3, "start": 1.5}, "start"),
        ({"steps": 3, "start": math.nan}, "start"),
        ({"steps": 3, "spacing": "trailling"}, "trailling"),
        ({"steps": 3, "spacing": "trailing:3"}, "takes no number"),
        ({"steps": 3, "spacing": "karras:0.5"}, "0.5"),
        ({"steps": 3, "spacing": "karras:x"}, "`x`"),
        ({"steps": 3, "spacing": "karras:nan"}, "nan"),
        ({"steps": 3, "spacing": "shift:0"}, "`0` is not a shift of times"),
        ({"steps": 3, "spacing": "log_snr:21"}, "`21` is not a log-SNR"),
        ({"steps": 3, "spacing": "log_snr:x"}, "`x`"),
        ({"steps": 3, "spacing": "log_snr:8", "start": 0.01}, "start = 0.01 is cleaner than the cleanest level"),
    ],
)
def test_senseless_grids_are_refused_with_a_hint(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as error:
        noise_levels(Flow(), **arguments)
    assert error.value.hint
