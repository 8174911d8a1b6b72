"""What holds for every kind in `AnySampler`: frames, one point, Gaussian data in closed form, order of convergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from torch import Tensor

from toydiff.oracle import Gaussian, Mixture
from toydiff.samplers import AnySampler, Sampler, noise_levels
from toydiff.schedules import CLEAN, AnySchedule, Cosine, Flow, Level, Linear, LogLinear, Schedule
from toydiff.spec import kinds


def samplers() -> Iterator[Sampler]:
    """Every kind as it comes, with each choice it offers, and with each example its fields give."""
    for cls in kinds(AnySampler).values():
        yield cls()  # type: ignore[misc]
        for field, info in cls.model_fields.items():
            choices = list(get_args(info.annotation)) if get_origin(info.annotation) is Literal else []
            choices += [True, False] * (info.annotation is bool) + (info.examples or [])
            yield from (cls(**{field: choice}) for choice in choices if choice != info.default)  # type: ignore[misc]


def name(spec: Any) -> str:
    return " ".join([spec.kind, *(f"{k}={v}" for k, v in spec.model_dump(exclude_defaults=True).items())])


def no_noise(x: Tensor) -> Tensor:
    raise AssertionError("this sampler asked for noise")


def is_deterministic(sampler: Sampler) -> bool:
    try:
        walk(sampler, lambda x, level: 0.5 * x, torch.ones(1), noise_levels(Flow(), 3), no_noise)
    except AssertionError:
        return False
    return True


Denoise = Callable[[Tensor, Level], Tensor]


def walk(
    sampler: Sampler,
    denoise: Denoise,
    x: Tensor,
    levels: list[Level],
    noise: Callable[[Tensor], Tensor] = torch.zeros_like,
) -> list[Tensor]:
    """Return x at every level, the first included."""
    return [x, *(frame.x for frame in sampler.trajectory(denoise, x, levels, noise))]


def continuous(cls: type[Any]) -> Schedule:
    """Return the kind without knots; one that never becomes clean ends low enough not to matter."""
    wanted = {"T": None, "sigma_min": 1e-4}
    return cls(**{field: value for field, value in wanted.items() if field in cls.model_fields})  # type: ignore[no-any-return]


SAMPLERS = list(samplers())
DETERMINISTIC = [sampler for sampler in SAMPLERS if is_deterministic(sampler)]
SCHEDULES = [continuous(cls) for cls in kinds(AnySchedule).values()]
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=name)
every_deterministic = pytest.mark.parametrize("sampler", DETERMINISTIC, ids=name)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=name)


def test_some_samplers_are_deterministic_and_some_are_not() -> None:
    assert 0 < len(DETERMINISTIC) < len(SAMPLERS)


# ── frames ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_sampler
@pytest.mark.parametrize("schedule", [Linear(), Cosine(T=40), LogLinear(), Flow()], ids=name)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_one_frame_a_step_each_at_its_level_the_last_clean(sampler: Sampler, schedule: Schedule, steps: int) -> None:
    levels = noise_levels(schedule, steps)
    x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    calls: list[Level] = []

    def denoise(x: Tensor, level: Level) -> Tensor:
        assert level.sigma > 0  # nobody asks about clean data
        calls.append(level)
        return 0.3 * x.sin()

    before = x.clone()
    frames = list(sampler.trajectory(denoise, x, levels, torch.ones_like))
    assert [frame.level for frame in frames] == levels[1:]
    assert frames[-1].level is CLEAN
    assert all(frame.x.shape == frame.x0.shape == x.shape for frame in frames)
    assert all(frame.x.dtype == frame.x0.dtype == torch.float32 for frame in frames)
    assert all(frame.x.isfinite().all() for frame in frames)
    assert sampler.evaluations is None or len(calls) <= sampler.evaluations * steps
    assert torch.equal(x, before)  # the start belongs to the caller
    torch.testing.assert_close(frames[-1].x, frames[-1].x0)  # the last step lands on its x̂_0


@every_sampler
def test_a_trajectory_is_lazy(sampler: Sampler) -> None:
    calls: list[Level] = []

    def denoise(x: Tensor, level: Level) -> Tensor:
        calls.append(level)
        return 0.5 * x

    frames = sampler.trajectory(denoise, torch.ones(1, 1), noise_levels(Flow(), 50), torch.ones_like)
    assert not calls
    next(frames)
    assert sampler.evaluations is None or 0 < len(calls) <= sampler.evaluations


# ── one point: from the right start every sampler keeps the forward marginal ─────────────────────────────────────────


@every_deterministic
@every_schedule
def test_towards_one_point_the_straight_line_is_exact(sampler: Sampler, schedule: Schedule) -> None:
    """If the data are one point m, x_s = alpha_s m + sigma_s eps with the eps one started from, at any step size."""
    m, eps = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels = noise_levels(schedule, 5, "log_snr")
    start = levels[0].alpha * m + levels[0].sigma * eps
    for x, level in zip(walk(sampler, lambda x, level: m, start, levels), levels, strict=True):
        expected = level.alpha * m + level.sigma * eps
        torch.testing.assert_close(x, expected, rtol=0, atol=1e-12 * float(level.scale.clamp(min=1)))


# ── Gaussian data: a sampler is a linear map, pushed through impulse by impulse ──────────────────────────────────────

STD = 0.5


def exact_variance(level: Level) -> Tensor:
    return level.alpha**2 * STD**2 + level.sigma**2


def output_variance(sampler: Sampler, levels: list[Level]) -> Tensor:
    """Return the variance of x at every level when x starts with the exact one; no Monte Carlo.

    With D(x) = c(level) x a trajectory is linear in the start and in each noise: row 0 carries the start, and each
    call for noise gives the next row a 1. Squares add up.
    """
    x = torch.zeros(1 + 4 * len(levels), 1, dtype=torch.float64)
    x[0] = exact_variance(levels[0]).sqrt()
    calls = iter(range(1, len(x)))

    def impulse(x: Tensor) -> Tensor:
        noise = torch.zeros_like(x)
        noise[next(calls)] = 1
        return noise

    gaussian = Gaussian(torch.zeros(1), STD)
    return torch.stack([x.square().sum() for x in walk(sampler, gaussian, x, levels, impulse)])


@cache
def grid(schedule: Schedule, spacing: str, steps: int) -> list[Level]:
    """Return `noise_levels`; "smooth" is equally spaced in tau = sigma/(alpha + sigma), from alpha = 0 to CLEAN."""
    if spacing != "smooth":
        return noise_levels(schedule, steps, spacing)
    tau = 1 - torch.arange(steps, dtype=torch.float64) / steps
    return [*(schedule(t) for t in schedule.time_of(2 * ((1 - tau).log() - tau.log()))), CLEAN]


def measured_order(error: Callable[[int], float], steps: int) -> float:
    return math.log2(error(steps) / error(2 * steps))


GRIDS = [
    *((schedule, "karras") for schedule in SCHEDULES),
    *((schedule, "log_snr") for schedule in SCHEDULES if schedule.kind in ("linear", "log_linear", "flow")),
    # from alpha = 0 itself
    *((schedule, "smooth") for schedule in SCHEDULES if schedule(1.0).alpha == 0),
    (Flow(), "trailing"),
    (Cosine(T=None), "linspace"),
    (Linear(T=None, zero_terminal_snr=True), "linspace"),
]


def on_grids(samplers: list[Sampler]) -> pytest.MarkDecorator:
    """Try each kind on every grid, and its other options on some of them."""
    cases = [(sampler, *grid) for sampler in samplers for grid in (GRIDS if sampler == type(sampler)() else GRIDS[::4])]
    return pytest.mark.parametrize(
        ("sampler", "schedule", "spacing"), cases, ids=lambda v: v if isinstance(v, str) else name(v)
    )


def order_on(sampler: Sampler, spacing: str) -> float:
    """Return the order a method keeps on a grid.

    Out of alpha = 0 a multistep method starts with two first-order steps, which cost what is above 2; linspace ends
    with a step so long in log-SNR that looking back is no help.
    """
    multistep = sampler.order > 1 and sampler.evaluations == 1
    if spacing in ("karras", "log_snr") or not multistep:
        return sampler.order
    return 1 if spacing == "linspace" else 2


@on_grids(DETERMINISTIC)
def test_order_of_convergence_to_the_exact_flow(sampler: Sampler, schedule: Schedule, spacing: str) -> None:
    """For N(m, s²) the probability-flow ODE keeps z = (x − alpha m)/√(alpha² s² + sigma²), from t = 1 to CLEAN."""
    m, z = torch.tensor([0.3], dtype=torch.float64), torch.tensor([[1.0], [-0.4]], dtype=torch.float64)
    gaussian = Gaussian(m, STD)

    @cache
    def error(steps: int) -> float:
        levels = grid(schedule, spacing, steps)
        start = levels[0].alpha * m + exact_variance(levels[0]).sqrt() * z
        away = [
            ((x - level.alpha * m) / exact_variance(level).sqrt() - z).abs().max()
            for x, level in zip(walk(sampler, gaussian, start, levels, no_noise), levels, strict=True)
        ]
        return float(max(away))

    if sampler.evaluations is None:  # its tolerance decides, and a first-order step into CLEAN
        assert error(16) < (1e-4 if spacing in ("karras", "log_snr") else 0.01)
        return
    assert error(128) < 0.1
    if order_on(sampler, spacing) == 1:  # on linspace: by fits and starts, as looking back sets in step by step
        assert math.log2(error(64) / error(256)) / 2 >= 0.8
        return
    assert measured_order(error, 64) >= order_on(sampler, spacing) - 0.3


@on_grids([sampler for sampler in SAMPLERS if sampler not in DETERMINISTIC and sampler.kind != "langevin"])
def test_the_variance_converges_to_that_of_the_data(sampler: Sampler, schedule: Schedule, spacing: str) -> None:
    """Not langevin's: its step has a size, and with it a bias (tests of its own)."""

    @cache
    def error(steps: int) -> float:
        levels = grid(schedule, spacing, steps)
        exact = torch.stack([exact_variance(level) for level in levels])
        return float((output_variance(sampler, levels) / exact - 1).abs().max())

    assert error(256) < 0.2
    assert measured_order(error, 128) >= 0.8


@every_sampler
def test_a_mixture_keeps_its_shares(sampler: Sampler) -> None:
    """Two far modes of 0.3 and 0.7: the share of samples at each, and their spread, within sampling error."""
    oracle = Mixture(torch.tensor([[-2.0], [1.0]]).double(), 0.2, torch.tensor([0.3, 0.7]))
    generator = torch.Generator().manual_seed(0)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    levels = noise_levels(Cosine(T=None), 200, "log_snr")
    x = walk(sampler, oracle, noise(torch.empty(2000, 1, dtype=torch.float64)), levels, noise)[-1]
    right = x > -0.5
    assert right.double().mean() == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 2000))
    assert x[right].mean() == pytest.approx(1, abs=0.04)
    assert x[~right].mean() == pytest.approx(-2, abs=0.04)
    assert x[right].std() == pytest.approx(0.2, rel=0.15)
