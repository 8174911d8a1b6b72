"""Stopped anywhere and continued, a run ends with the bytes of one that never stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toydiff.cli import trainer as trainers
from toydiff.cli.talk import Talk
from toydiff.cli.trainer import Trainer
from toydiff.config import Run
from toydiff.layers import Layer, resolve

from .forks import Forks
from .program import TINY

# Three steps an epoch, the last one smaller; validated at step 4 and 8, drawn at 5 and 10, a copy kept at 6.
COMMON = {
    "data.n": 40, "training.batch_size": 16, "training.steps": 10, "sampling.steps": 2, "sampling.n": 2,
    "record.log_every": 1, "record.validate_every": 4, "record.sample_every": 5, "record.save_every": 2,
    "record.validation": 20, "record.keep": [6],
}  # fmt: skip
DATA: dict[str, dict[str, Any]] = {
    "2-D": {
        "data.kind": "moons", "network.kind": "mlp", "network.widths": [8, 8], "network.residual": False,
        "network.fourier": 2,
    },
    "shapes": {
        "data.kind": "shapes", "data.size": 16, "network.kind": "unet", "network.channels": 4,
        "network.multipliers": [1, 2], "network.blocks": 1, "network.attention": [1], "network.heads": 1,
        "network.patch": 2, "network.dropout": 0.1,
    },
}  # fmt: skip
FEATURES = {
    "EMA": {"training.ema.half_life": 0.3, "training.ema.ramp": 0.5},
    "label dropout": {"model.conditional": True, "training.label_dropout": 0.5},
    "minibatch OT": {"training.coupling.kind": "ot", "schedule.kind": "flow", "model.target": "flow"},
}


def stop(trainer: Trainer) -> None:
    """What a signal does first."""
    trainer.signals.stop = signal.SIGINT


def at(step: int) -> Callable[[Trainer, dict[str, Any]], None]:
    """Stop when the row of a step is written, before what is due after it."""

    def look(trainer: Trainer, row: dict[str, Any]) -> None:
        if trainer.at == step:
            stop(trainer)

    return look


def after_validation(trainer: Trainer, row: dict[str, Any]) -> None:
    if "validation" in row:
        stop(trainer)


def after_a_picture(trainer: Trainer, row: dict[str, Any]) -> None:
    picture = trainer._picture

    def then_stop(step: Any) -> None:
        picture(step)
        stop(trainer)

    trainer._picture = then_stop  # type: ignore[method-assign]


STOPS: dict[str, tuple[int, Callable[[Trainer, dict[str, Any]], None]]] = {  # at which step, and how
    "the first step": (1, at(1)),
    "mid-epoch": (5, at(5)),  # its picture is due
    "an epoch's end": (6, at(6)),  # its copy is due
    "after validation": (4, after_validation),
    "after a picture": (5, after_a_picture),
}


def samples_alone(ways: Mapping[str, Any], step: int, talk: Talk) -> dict[str, Any]:
    """A picture that is the samples' bytes: figures take their time, and add nothing here."""
    x = np.concatenate([loaded.sample(2).x.numpy().ravel() for loaded in ways.values()])
    return {"samples": Image.frombytes("L", (4, x.size), x.astype("<f4").tobytes())}


def go_on(run: Run, folder: Path, look: Callable[[Trainer, dict[str, Any]], None] | None = None) -> Trainer:
    latest = folder / "latest.pt"
    resume = latest if latest.exists() else None
    trainer = Trainer(run, folder, preset=None, talk=Talk(quiet=True), device="cpu", resume=resume)
    trainer.train(on_metrics=(lambda row: look(trainer, row)) if look else None)
    return trainer


def content(folder: Path) -> dict[str, bytes]:
    """Return what must be the same: all but times, event files, and the copy of the checkpoint before."""
    files = (path for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {name: data for name, data in found.items() if name not in ("timing.jsonl", "latest.prev.pt")}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("data", DATA)
def test_where_a_run_was_stopped_cannot_be_seen(
    data: str, feature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoBoard:
        def __init__(self, *_: Any) -> None: ...
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    monkeypatch.setattr(trainers, "preview", samples_alone)
    monkeypatch.setattr(trainers, "Board", NoBoard)
    run = resolve([Layer("test", [*{**DATA[data], **COMMON, **FEATURES[feature]}.items()])]).run
    go_on(run, tmp_path / "whole" / "run")
    whole = content(tmp_path / "whole" / "run")
    assert whole.keys() >= {"latest.pt", "best.pt", "step-6.pt", "samples/step-5.png", "metrics.jsonl"}
    for name, (step, look) in STOPS.items():
        folder = tmp_path / name / "run"
        stopped = go_on(run, folder, look)
        assert (stopped.at, stopped.finished) == (step, False), name
        assert go_on(run, folder).finished
        assert content(folder) == whole, name


RUN = (
    "train", "moons", "--name", "run", *TINY, "--samples", "1000", "--steps", "1000", "-q",
    "--set", "record={save_every=10, validate_every=250, sample_every=5000, log_every=7, keep_every=400}",
)  # fmt: skip


def killed(times: int, seed: int, here: Path, forks: Forks) -> int:
    """Start the run, kill it some milliseconds after it saves again, and so on; return how often that came in time."""
    generator, latest, codes = random.Random(seed), here / "runs" / "run" / "latest.pt", []
    for _ in range(times):
        before = trainers.identity(latest)
        wait = generator.uniform(0, 0.05)

        def kill(process: int, before: Any = before, wait: float = wait) -> None:
            forks.until(lambda: trainers.identity(latest) != before)
            time.sleep(wait)
            os.kill(process, signal.SIGKILL)

        codes.append(forks(*RUN, "--resume", cwd=here, meanwhile=kill)[0])
    return codes.count(-signal.SIGKILL)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_killed_eight_times_it_ends_as_if_it_never_had_been(seed: int, here: Path, forks: Forks) -> None:
    assert forks(*RUN, cwd=here)[0] == 0
    whole = content(here / "runs" / "run")
    shutil.rmtree(here / "runs")
    assert killed(8, seed, here, forks) == 8
    code, out, err = forks(*RUN, "--resume", cwd=here)
    assert code == 0 and "trained" in out, err
    assert content(here / "runs" / "run") == whole
