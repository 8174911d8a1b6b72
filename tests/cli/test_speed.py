"""How fast and how long: timed without a trace, counted right, and said before a long run."""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from toydiff.cli import speed
from toydiff.cli.configure import configuration_layers
from toydiff.cli.talk import Talk
from toydiff.config import Run
from toydiff.data import Shapes
from toydiff.layers import resolve
from toydiff.networks import UNet
from toydiff.training import Training, fit

from .conftest import Toydiff
from .program import TINY

SPEC = UNet(channels=8, multipliers=(1, 2), attention=(1,), blocks=1, patch=2, dropout=0.3)


def run_of(**training: Any) -> Run:
    return Run(data=Shapes(size=16), network=SPEC, training=Training(batch_size=4, **training))


def test_timing_leaves_no_trace() -> None:
    run = run_of(steps=100)
    ends = []
    for timed in (False, True):
        torch.manual_seed(7)  # dropout draws from the global generator
        denoiser = run.build()
        before = {key: value.clone() for key, value in denoiser.state_dict().items()}
        if timed:
            assert 0 < speed.seconds_a_step(denoiser, run) < 60
        assert all(torch.equal(value, before[key]) for key, value in denoiser.state_dict().items())
        assert denoiser.training and all(p.grad is None for p in denoiser.parameters())
        *_, step = islice(fit(denoiser, run.data, run.training, seed=run.seed), 3)
        ends.append([step.loss, *denoiser.state_dict().values(), *step.ema.state_dict().values()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


@pytest.mark.parametrize("n", [None, 3, 10, 12, 13])
def test_samples_are_counted_as_the_batches_are_made(n: int | None) -> None:
    run = Run(training=Training(batch_size=5, steps=9)).model_copy(
        update={"data": Run().data.model_copy(update={"n": n})}
    )
    seen = 0
    for step in fit(run.build(), run.data, run.training):
        size = 5 if n is None else [*[5] * (n // 5), *([n % 5] if n % 5 else [])][(step.step - 1) % -(-n // 5)]
        seen += size
        assert speed.samples(run, step.step) == seen


def test_the_clock_stops_for_what_is_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = speed.Clock(run_of(), 10)
    now[0] += 50.0
    assert clock.rates(20) == (0.2, 0.8)  # ten steps of four in fifty seconds
    for step in (25, 30):
        now[0] += 1.0
        with clock.pause():
            now[0] += 1000.0
        assert clock.rates(step) == pytest.approx((5.0, 20.0))


class Said(Talk):
    """Remembers what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def _say(self, level: str, text: str, visible: bool) -> None:
        self.said.append((level, text))


@pytest.mark.parametrize(
    ("seconds", "max_time", "level", "words"),
    [
        (0.01, None, "debug", "15,700 steps of 64 take about 3 min on this machine (6,400 images/s, timed"),
        (5.0, None, "warning", "take about 22 h on this machine (13 images/s, timed before the first step). `toydiff "),
        (5.0, None, "warning", "`toydiff train shapes32` learns such images with 1/"),
        (5.0, 600.0, "info", "--max-time ends them after 10 min, at about step 120"),
        (0.01, 600.0, "debug", "3 min"),
    ],
)
def test_a_long_run_is_foretold(
    seconds: float, max_time: float | None, level: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "seconds_a_step", lambda *_: seconds)
    run = resolve(configuration_layers("shapes32-ddpm", None, [], {})).run
    talk = Said()
    speed.foretell(torch.nn.Linear(1, 1), run, "shapes32-ddpm", talk, 0, max_time)  # type: ignore[arg-type]
    before, (said_level, said) = talk.said
    assert before == ("info", "timing 3 steps first …")
    assert said_level == level and words in said


def test_no_preset_is_advised_where_none_is_cheaper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "seconds_a_step", lambda *_: 5.0)
    run = resolve(configuration_layers("shapes32", None, [], {})).run
    talk = Said()
    speed.foretell(torch.nn.Linear(1, 1), run, "shapes32", talk, 0, None)  # type: ignore[arg-type]
    assert "take about" in talk.said[1][1] and "toydiff train" not in talk.said[1][1]


def test_small_networks_and_short_runs_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "seconds_a_step", lambda *_: pytest.fail("timed"))
    speed.foretell(Run().build(), Run(), None, Said(), 0, None)
    speed.foretell(run_of(steps=59).build(), run_of(steps=59), None, Said(), 0, None)


def test_a_run_records_its_speed(here: Path, toydiff: Toydiff) -> None:
    facts = json.loads(
        toydiff("train", "moons", "--name", "a", *TINY, "--steps", "10", "--json").stdout.splitlines()[-1]
    )
    rows = [json.loads(line) for line in Path("runs/a/timing.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [5, 10]
    assert facts["samples_per_second"] == rows[-1]["samples_per_second"] > 0
    done = toydiff("train", "moons", "--name", "b", *TINY, "--steps", "10")
    assert " points/s); validation loss" in done.stdout


def test_times_and_speeds_are_short() -> None:
    spans = [speed.span(seconds) for seconds in (0.2, 89, 91, 600, 5399, 5400, 19_000, 86_400, 300_000)]
    assert spans == ["1 s", "89 s", "2 min", "10 min", "90 min", "1.5 h", "5.3 h", "24 h", "3 days"]
    assert [speed.rate(each, "images") for each in (3.71, 412.4, 22_000)] == [
        "3.7 images/s",
        "412 images/s",
        "22,000 images/s",
    ]
