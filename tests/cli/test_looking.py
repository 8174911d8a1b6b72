"""inspect's pictures and what is printed beside them, and what a picture says of itself, against other ways to it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from toydiff.cli import against, arrows, levels
from toydiff.config import Model, Run, Sampling
from toydiff.data import Gaussians
from toydiff.denoiser import TARGETS, InverseSigma2, MinSNR, scaled_score
from toydiff.metrics.levels import level_losses
from toydiff.oracle import Gaussian
from toydiff.runs import load
from toydiff.schedules import EDM, AnySchedule, Cosine, Flow, Level, Linear, LogLinear
from toydiff.spec import kinds
from toydiff.training import Training
from toydiff.viz import style
from toydiff.viz.moving import squashed
from toydiff.viz.onestep import OneStep, one_step_picture, places, shared_limits
from toydiff.viz.style import pixels

from .conftest import Toydiff


def on_paper(picture: Any, ground: str) -> bool:
    """Whether nothing reaches the edge of the picture, and its paper is of that colour."""
    drawn = pixels(picture)
    paper = np.array([int(ground[k : k + 2], 16) for k in (1, 3, 5)])
    return bool((np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]]) == paper).all())


# ── arrows ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_scaled_score_is_that_of_the_density() -> None:
    exact = Gaussian(torch.tensor([1.0, -2.0]), cov=torch.tensor([[2.0, 0.3], [0.3, 0.5]]))
    x = torch.randn(20, 2, dtype=torch.float64)
    for level in (Cosine()(0.3), EDM()(0.6), Level(0.5, 0.0, 1.0)):
        torch.testing.assert_close(scaled_score(exact, x, level), level.sigma * exact.score(x, level))


@pytest.mark.parametrize("kind", kinds(AnySchedule).values())
def test_every_sigma_of_a_schedule_is_found(kind: Any) -> None:
    schedule = kind()
    for t in (0.1, 0.5, 0.9, 1.0):
        sigma = float(schedule(t).sigma)
        (level,) = arrows.levels_at(schedule, [sigma])
        assert float(level.sigma) == pytest.approx(sigma, rel=1e-9)
        assert float(level.t) == pytest.approx(t, abs=1e-6)
    shown = arrows.levels_at(schedule, [])
    assert [float(each.log_snr) for each in shown] == pytest.approx(arrows.LOG_SNR, abs=1e-4)


def test_a_squashed_arrow_keeps_its_direction() -> None:
    long = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-1e-3, 0.0]])
    np.testing.assert_allclose(squashed(long, 2.0)[0], np.array([0.6, 0.8]) * math.tanh(2.5) * 2)
    np.testing.assert_allclose(squashed(long, 2.0)[1:], [[0, 0], [-1e-3, 0]], atol=1e-9)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_arrows_beside_one_another(theme: str) -> None:
    data = Gaussians().draw(300, torch.Generator().manual_seed(0)).x
    noisy = [data[:50] * 0.5, data[:50] * 50]
    boxes = shared_limits(data, noisy)
    assert boxes[0] != boxes[1] and shared_limits(data, noisy[:1] * 2)[0] == shared_limits(data, noisy[:1] * 2)[1]
    score = -places(boxes[0])
    steps = [OneStep(Flow()(0.5), x, {"learned": x, "exact": x}, {"learned": score, "exact": score}) for x in noisy]
    with style.themed(theme):
        figure = one_step_picture(steps, data, boxes, "title")
        assert on_paper(figure, style.THEMES[theme].paper)
    assert len(figure.axes) == 8 and all(ax.get_aspect() == 1 for ax in figure.axes)


def test_arrows_of_a_run(toydiff: Toydiff, with_run: Path) -> None:
    facts = json.loads(toydiff("inspect", "plain", "--arrows", "--at", "0.2,0.9", "-o", "a.png", "--json").stdout)
    assert [row["sigma"] for row in facts["levels"]] == pytest.approx([0.9, 0.2])
    for row in facts["levels"]:
        assert row["exact"] < row["learned"]  # 30 steps are few
        # of the estimates' errors the learned one's has what the exact one's cannot avoid, and their distance
        assert row["learned"] ** 2 == pytest.approx(row["exact"] ** 2 + row["apart"] ** 2, rel=0.25)
    with Image.open("a.png") as picture:
        assert picture.info["model"] == "plain"
    done = toydiff("inspect", "plain", "--arrows", "--theme", "dark", "-o", "b.svg")
    assert "learned to exact" in done.stdout and Path("b.svg").stat().st_size > 10_000


# ── loss by noise level ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_losses_of_a_gaussian_are_those_of_wiener() -> None:
    std, n = 0.7, 20_000
    noise = torch.Generator().manual_seed(0)
    x0 = std * torch.randn(n, 2, generator=noise, dtype=torch.float64)
    eps = torch.randn(n, 2, generator=noise, dtype=torch.float64)
    exact, grid = Gaussian(torch.zeros(2), std), [Flow()(t) for t in (0.9, 0.5, 0.1)]
    off = level_losses(lambda x, level, label: exact(x, level) + 0.1, grid, x0, eps, None, exact)
    for each in off:
        assert each.floor == pytest.approx(each.linear, rel=0.03)
        assert each.excess == pytest.approx(0.01, rel=1e-9)
        assert each.loss == pytest.approx(each.linear + 0.01, rel=0.03)
    noise_alone = level_losses(lambda x, level, label: 0 * x, [Flow()(1.0)], x0[:1], eps[:1])  # of one datum, too
    assert noise_alone[0].linear == pytest.approx(float(x0[0].square().mean())) == pytest.approx(noise_alone[0].loss)


@pytest.mark.parametrize("target", sorted(TARGETS))
@pytest.mark.parametrize("weight", [InverseSigma2(floor=1e-3), MinSNR()])
def test_a_run_weighs_the_loss_as_it_does_in_training(target: str, weight: Any) -> None:
    run = Run(schedule=Linear(), model=Model(target=target), training=Training(weight=weight))  # type: ignore[arg-type]
    denoiser = run.build().requires_grad_(False)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(1))
    x0, eps = torch.randn(2, 50, 2, generator=torch.Generator().manual_seed(0)).unbind()
    for t in (0.2, 0.8):
        level = run.schedule(t)
        (each,) = level_losses(denoiser, [level], x0, eps)
        there = denoiser.loss(
            x0, Level(*(v.expand(50) for v in (level.t, level.alpha, level.sigma))), eps, None, weight
        )
        assert each.loss * levels.own_factor(run, each) == pytest.approx(float(there.mean()), rel=1e-3)


@pytest.mark.parametrize("schedule", [Cosine(T=10), Cosine(T=None), Flow(), LogLinear(), EDM()])
def test_levels_run_through_the_schedule(schedule: AnySchedule) -> None:
    times = [float(level.t) for level in levels.levels_of(Run(schedule=schedule, sampling=Sampling(steps=10)))]
    assert times == sorted(times, reverse=True) and len(set(times)) == len(times) >= 9
    assert times[-1] > 0 and times[0] >= 0.9


@pytest.mark.parametrize(("target", "start", "asked"), [("x0", 1.0, True), ("flow", 1.0, True), ("x0", 0.98, False)])
def test_a_network_is_asked_where_all_is_noise_if_sampling_begins_there(target: str, start: float, asked: bool) -> None:
    run = Run(schedule=Flow(), model=Model(target=target), sampling=Sampling(start=start))  # type: ignore[arg-type]
    first, *rest = levels.levels_of(run)
    assert (float(first.alpha) == 0) is asked and all(float(level.alpha) > 0 for level in rest)
    x0, eps = torch.randn(2, 50, 2, generator=torch.Generator().manual_seed(0)).unbind()
    (each,) = level_losses(run.build(), [first], x0, eps)
    assert each.loss > 0 and math.isfinite(levels.own_factor(run, each))
    if asked:  # the best there is without a look at x_0: its mean
        assert each.linear == pytest.approx(float(x0.double().var(0).mean()))


def test_losses_of_a_run(toydiff: Toydiff, with_run: Path) -> None:
    facts = json.loads(toydiff("inspect", "tiny", "--loss-by-t", "-o", "a.png", "--json").stdout)
    assert facts["nats"] > 0.1 and len(facts["levels"]) > 20
    assert all(row["floor"] < row["loss"] for row in facts["levels"])
    for row in facts["levels"]:
        assert row["loss"] == pytest.approx(row["floor"] + row["excess"], rel=0.1)
    text = toydiff("inspect", "tiny", "--loss-by-t", "--theme", "dark", "-o", "a.pdf").stdout
    assert "nats from t = " in text and "floor" in text


# ── against ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_what_differs_is_told() -> None:
    a = {"x": {"kind": "p", "q": 1, "r": [1, 2]}, "same": {"y": None}, "n": None}
    b = {"x": {"kind": "s", "r": [1, 3], "z": 0}, "same": {"y": None}, "n": 5}
    told = [("x.kind", "p", "s"), ("x.q", 1, None), ("x.r", [1, 2], [1, 3]), ("n", None, 5), ("x.z", None, 0)]
    assert against.differences(a, b) == told
    assert against.differences(a, a) == []


def test_two_runs_beside_one_another(toydiff: Toydiff, with_run: Path) -> None:
    facts = json.loads(toydiff("inspect", "tiny", "--against", "plain", "-o", "a.png", "--json").stdout)
    assert facts["differences"] == [{"key": "model.conditional", "a": True, "b": False}]
    assert facts["losses_compare"] is True
    rows = [json.loads(line) for line in Path("runs/plain/metrics.jsonl").read_text().splitlines()]
    assert facts["runs"][1]["loss"] == [row["loss"] for row in rows if "loss" in row][-1]
    text = toydiff("inspect", "tiny", "--against", "tiny", "--theme", "dark", "-o", "b.png").stdout
    assert "they are configured alike" in text and "tiny at 30 (A)" in text


# ── schedule and network ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_grid_of_a_sampler_is_listed(toydiff: Toydiff, with_run: Path) -> None:
    words = ("--schedule", "--sampler", "dpmpp_2m:7", "--spacing", "karras", "-o", "a.png", "--json")
    facts = json.loads(toydiff("inspect", "tiny", *words).stdout)
    assert "dpmpp_2m" in facts["sampling"] and "7 steps, karras" in facts["sampling"]
    grid = facts["grid"]
    assert len(grid) == 8 and grid[-1]["sigma"] == 0 and grid[-1]["log_snr"] is None
    ratios = [row["sigma_over_alpha"] ** (1 / 7) for row in grid[:-1]]  # Karras et al. 2022, eq. 5
    assert np.diff(ratios) == pytest.approx(np.full(6, np.diff(ratios)[0]), rel=1e-3)


def test_betas_are_those_of_the_source() -> None:
    t, beta = Linear().beta_curve()
    torch.testing.assert_close(beta, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    assert t[0] == 0.001 and t[-1] == 1
    t, beta = Linear(T=None).beta_curve()  # Song et al. 2021, eq. 32: β(t) = 0.1 + 19.9 t
    torch.testing.assert_close(beta, 0.1 + 19.9 * t)


# ── what a picture says of itself ────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_says_how_it_was_made(toydiff: Toydiff, with_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["toydiff", "sample", "tiny", "--seed", "5-9", "-o", "a b.png"])
    toydiff("sample", "tiny", "--seed", "5-9", "-o", "a b.png")
    said = json.loads(toydiff("inspect", "a b.png", "--json").stdout)
    assert said["command"] == "toydiff sample tiny --seed 5-9 -o 'a b.png'"
    assert said["seeds"] == "5-9" and said["model"] == "tiny" and "heun" in said["sampled by"]
    assert load("tiny").digest in said["checkpoint"] and "runs/tiny/best.pt" in said["checkpoint"]
    assert "5-9" in toydiff("inspect", "a b.png").stdout


def test_what_a_stranger_wrote_into_a_picture_is_shortened_and_escaped(toydiff: Toydiff, here: Path) -> None:
    from .bad_inputs import told

    Path("x.png").write_bytes(told("toydiff", "\x1b[31m" + "y" * 100_000))
    done = toydiff("inspect", "x.png")
    assert "\x1b" not in done.stdout and r"\x1b[31m" in done.stdout and len(done.stdout) < 10_000


def test_every_image_in_a_file_of_its_own(toydiff: Toydiff, here: Path) -> None:
    words = ("sample", "exact:shapes@5", "--seed", "3-5", "--steps", "6")
    toydiff(*words, "--each", "-o", "one.png")
    toydiff(*words, "-o", "all.npz")
    x = np.load("all.npz")["x"]
    for k, seed in enumerate((3, 4, 5)):
        with Image.open(f"one-{seed}.png") as picture:
            shades = np.asarray(picture)
        np.testing.assert_allclose(shades, ((x[k, 0].clip(-1, 1) + 1) * 127.5).round(), atol=0)
        said = json.loads(toydiff("inspect", f"one-{seed}.png", "--json").stdout)
        assert said["seeds"] == str(seed) and "label" in said
