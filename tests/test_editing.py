"""Editing: the known part stays exactly what it should be at every level, and interpolated noise stays noise."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from toydiff.editing import Edit, Inpainted, between
from toydiff.errors import ConfigurationError
from toydiff.oracle import Gaussian, Mixture
from toydiff.runs import load
from toydiff.samplers import DDIM, DDPM, AnySampler, Sampler, noise_levels
from toydiff.schedules import Cosine, Flow, Level, LogLinear, Schedule
from toydiff.spec import kinds

SHAPE = (1, 4, 4)
SCHEDULES: list[Schedule] = [Cosine(T=None), LogLinear(), Flow()]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.kind)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MASK = normal(*SHAPE, seed=9) > 0
PICTURES = Mixture(normal(6, *SHAPE, seed=1), 0.2)


def start(known: Tensor, eps: Tensor, level: Level) -> Tensor:
    return torch.where(MASK, level.scale * eps, level.alpha * known + level.sigma * eps)


# ── inpainting ───────────────────────────────────────────────────────────────────────────────────────────────────────


@every_schedule
@pytest.mark.parametrize("kind", [k for k, cls in kinds(AnySampler).items() if not cls().stochastic])  # type: ignore[attr-defined]
def test_the_known_part_is_the_forward_process_at_every_frame(kind: str, schedule: Schedule) -> None:
    """Deterministic samplers: alpha · known + sigma · eps, with the very same eps all the way, and known at the end."""
    sampler: Sampler = kinds(AnySampler)[kind]()  # type: ignore[assignment]
    levels, eps, known = noise_levels(schedule, 12), normal(3, *SHAPE), normal(3, *SHAPE, seed=2)
    denoise = Inpainted(PICTURES, known, MASK)
    frames = list(sampler.trajectory(denoise, start(known, eps, levels[0]), levels, torch.zeros_like))
    for frame in frames:
        expected = frame.level.alpha * known + frame.level.sigma * eps
        torch.testing.assert_close(frame.x[:, ~MASK], expected[:, ~MASK], rtol=0, atol=1e-9)
    assert (frames[-1].x - known)[:, MASK].abs().mean() > 0.1  # the rest is painted


@every_schedule
@pytest.mark.parametrize("sampler", [DDPM(), DDPM(variance="beta"), DDIM(eta=1.0), DDIM(eta=0.5)], ids=repr)
def test_stochastic_samplers_keep_the_known_part_distributed_as_it_should_be(
    sampler: Sampler, schedule: Schedule
) -> None:
    """Row 0 gets no noise, row k only the k-th draw: what is left are gains, whose squares must sum to sigma²."""
    steps = 8
    levels, known, drawn = noise_levels(schedule, steps), normal(1, *SHAPE, seed=2), iter(range(2, steps + 2))

    def noise(x: Tensor) -> Tensor:
        only = torch.zeros_like(x)
        only[next(drawn)] = 1.0
        return only

    eps = torch.zeros(steps + 2, *SHAPE, dtype=torch.float64)
    eps[1] = 1.0
    denoise = Inpainted(PICTURES, known, MASK)
    for frame in sampler.trajectory(denoise, start(known, eps, levels[0]), levels, noise):
        mean, gains = frame.x[0], frame.x[1:] - frame.x[0]
        torch.testing.assert_close(mean[~MASK], (frame.level.alpha * known[0])[~MASK], rtol=0, atol=1e-9)
        variance = gains.square().sum(0)[~MASK]
        if isinstance(sampler, DDPM) and sampler.variance == "beta" and frame.level.sigma > 0:
            assert (variance > frame.level.sigma**2 - 1e-9).all()  # Ho's larger variance is larger here too
        else:
            torch.testing.assert_close(variance, (frame.level.sigma**2).expand_as(variance), rtol=0, atol=1e-9)


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_what_is_painted_leans_towards_the_conditional_mean_and_falls_short(correlation: float) -> None:
    """Of N(0, [[1, r], [r, 1]]) with x_1 = 1 known, the mean of x_2 should be r. Everything is linear: means suffice.

    By the ODE it is what dm/dλ = ½ alpha (x̂_0(alpha, m)_2 − alpha m) leads to, and ancestral sampling comes nearer.
    """
    oracle = Gaussian(torch.zeros(2), cov=torch.tensor([[1, correlation], [correlation, 1]]))
    known, mask = torch.ones(1, 2, dtype=torch.float64), torch.tensor([False, True])

    def slope(log_snr: float, m: list[float]) -> float:
        level = Level.at(log_snr)
        x0 = oracle(torch.tensor([[float(level.alpha), m[0]]], dtype=torch.float64), level)[0, 1]
        return float(level.alpha / 2 * (x0 - level.alpha * m[0]))

    predicted = solve_ivp(slope, (-20, 20), [0.0], rtol=1e-6, atol=1e-8).y[0, -1]
    levels, ends = noise_levels(Cosine(T=None), 300, "log_snr"), []
    for sampler in (DDIM(), DDPM()):
        x = torch.where(mask, 0.0, levels[0].alpha * known)
        *_, last = sampler.trajectory(Inpainted(oracle, known, mask), x, levels, torch.zeros_like)
        assert last.x[0, 0] == 1
        ends.append(float(last.x[0, 1]))
    assert ends[0] == pytest.approx(predicted, abs=0.01)
    assert 0.3 * correlation < ends[0] < 0.75 * ends[1] < 0.75 * correlation


# ── beginning from data ──────────────────────────────────────────────────────────────────────────────────────────────


def test_strength_decides_how_far_samples_move() -> None:
    loaded = load("exact:moons@200")
    init = loaded.data.fixed().x[:40]
    away = []
    for strength in (0.02, 0.3, 0.6, 1.0):
        edit = Edit(init=init, strength=strength)
        frames, labels = loaded.frames(torch.arange(40), edit=edit, keep=(0, -1))
        level = loaded.config.levels(strength)[0]
        noise, drawn = loaded.frames(torch.arange(40), keep=(0,))
        assert len(drawn.unique()) == 2 and (labels == 2).all()  # type: ignore[union-attr]  # no class unless asked
        expected = level.alpha * (init - loaded.shift) / loaded.scale + level.sigma * loaded_eps(noise[0].x, loaded)
        torch.testing.assert_close(frames[0].x, (expected * loaded.scale + loaded.shift).float(), atol=1e-4, rtol=0)
        away.append(float((frames[-1].x - init).norm(dim=1).mean()))
    assert away[0] < 0.1 and away == sorted(away) and away[-1] > 0.5


def loaded_eps(x: Tensor, loaded: object) -> Tensor:
    """Return the noise of pure-noise starts in data units: the cosine schedule begins with it alone."""
    return (x - loaded.shift) / loaded.scale  # type: ignore[attr-defined]


def test_one_beginning_serves_all_and_batches_do_not_matter() -> None:
    loaded = load("exact:moons")
    x = loaded.data.draw(9, torch.Generator().manual_seed(0)).x
    one = loaded.sample(9, edit=Edit(init=x[:1], strength=0.5))
    many = loaded.sample(9, edit=Edit(init=x[:1].expand(9, 2), strength=0.5), batch_size=4)
    torch.testing.assert_close(one.x, many.x, atol=1e-5, rtol=0)
    assert len(torch.unique(one.x, dim=0)) == 9


def test_points_are_inpainted_too() -> None:
    """Of a moon with x_1 known, x_2 lies on it."""
    loaded = load("exact:moons")
    init = torch.tensor([[0.0, 123.0]])
    x = loaded.sample(50, edit=Edit(init=init, mask=torch.tensor([False, True])), label="upper").x
    assert (x[:, 0] - init[0, 0]).abs().max() < 1e-5
    other = loaded.sample(50, edit=Edit(init=init * 0, mask=torch.tensor([False, True])), label="upper").x
    assert torch.equal(x[:, 1], other[:, 1])  # without a strength nobody sees what is painted over
    assert loaded.data.log_prob(x).median() > loaded.data.log_prob(x + torch.tensor([0.0, 0.5])).median() + 1


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"mask": torch.ones(2, dtype=torch.bool)}, "a mask, and nothing to edit"),
        ({"strength": 0.5}, "a strength, and nothing to edit"),
        ({"init": torch.zeros(1, 2)}, "how much of the beginning is kept"),
        ({"init": torch.zeros(1, 2), "strength": 0.0}, "a strength of 0"),
        ({"init": torch.zeros(1, 2), "strength": 1.5}, "a strength of 1.5"),
        ({"init": torch.zeros(1, 2), "strength": math.nan}, "a strength of nan"),
        ({"init": torch.zeros(1, 1, 8, 8), "strength": 0.5}, r"has shape \(1, 8, 8\), the data \(2,\)"),
        ({"init": torch.zeros(4, 2), "strength": 0.5}, "3 samples cannot begin from 4"),
        ({"init": torch.zeros(1, 2), "mask": torch.ones(3) > 0}, r"the mask has shape \(3,\), the data \(2,\)"),
        ({"init": torch.zeros(1, 2), "mask": torch.ones(1) > 0}, r"the mask has shape \(1,\), the data \(2,\)"),
    ],
)
def test_what_does_not_fit_is_refused(parts: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load("exact:moons").sample(3, edit=Edit(**parts))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 8, 8), (3, 8, 8), (8, 8)])
def test_one_mask_serves_all_channels(size: tuple[int, ...]) -> None:
    edit = Edit(init=torch.zeros(1, 3, 8, 8), mask=torch.ones(size, dtype=torch.bool))
    edit.check((3, 8, 8), 4)
    with pytest.raises(ConfigurationError, match="the mask has shape"):
        Edit(init=torch.zeros(1, 3, 8, 8), mask=torch.ones(8) > 0).check((3, 8, 8), 4)


# ── between two seeds ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("w", [0.0, 0.2, 0.5, 1.0])
def test_noise_between_two_noises_is_noise(w: float) -> None:
    """cos² + sin² = 1, exactly; and the ends are the noises themselves."""
    a, b = normal(2, 3, 3), normal(2, 3, 3, seed=1)
    weight = torch.full((2,), w)
    gains = between(torch.ones(2, 1), torch.zeros(2, 1), weight), between(torch.zeros(2, 1), torch.ones(2, 1), weight)
    torch.testing.assert_close(gains[0] ** 2 + gains[1] ** 2, torch.ones(2, 1))
    if w in (0.0, 1.0):
        torch.testing.assert_close(between(a, b, weight), b if w else a, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampler", [DDIM(), DDPM()], ids=lambda sampler: sampler.kind)
def test_the_way_leads_from_one_seeds_sample_to_the_others(sampler: Sampler) -> None:
    """Each draw on the way is interpolated, not only the first: with DDPM the ends are the seeds' samples as well."""
    loaded = load("exact:moons")
    weight = torch.linspace(0, 1, 21)
    seeds, towards = torch.full((21,), 3), torch.full((21,), 7)
    edit = Edit(towards=towards, weight=weight)
    frames, _ = loaded.frames(seeds, sampler=sampler, label="lower", edit=edit, batch_size=8)
    x = frames[-1].x
    for place, seed in ((0, 3), (-1, 7)):
        alone = loaded.sample(1, seed=seed, sampler=sampler, label="lower").x[0]
        torch.testing.assert_close(x[place], alone, atol=1e-4, rtol=0)
    assert x.diff(dim=0).norm(dim=1).max() < (x[0] - x[-1]).norm().clamp(min=1)  # no jumps
