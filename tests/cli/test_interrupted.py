"""A run that is stopped, by a person, a scheduler or a crash, and goes on, ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toydiff import checkpoint as checkpoints
from toydiff.cli.app import app
from toydiff.dist import World

from .conftest import Toydiff
from .program import TINY

# Fixed data in an order that is new in every epoch, of 32 steps; saved often, validated and drawn seldom.
RUN = (
    "train", "moons", "--name", "run", *TINY, "--samples", "1000", "--steps", "2000",
    "--set", "record={save_every=50, validate_every=300, sample_every=1000, log_every=7}",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run nobody interrupted."""
    runs = tmp_path_factory.mktemp("whole")
    done = CliRunner().invoke(app, [*RUN, "-q", "--runs-dir", str(runs)])
    assert done.exit_code == 0, done.output
    return runs / "run"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_no_moment_between_two_steps_loses_a_signal(
    number: signal.Signals, code: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that comes after a rank has said that none came is found by the next step."""
    agree, calls = World.agree, 0

    def interrupted(world: World, *numbers: int) -> tuple[int, ...]:
        nonlocal calls
        calls += 1
        said = agree(world, *numbers)
        if calls == 10:
            signal.raise_signal(number)
        return said

    monkeypatch.setattr(World, "agree", interrupted)
    result = CliRunner().invoke(app, [*RUN, "--steps", "40", "--runs-dir", str(here / "runs")])
    assert result.exit_code == code, result.output
    assert f"stopped by {number.name} at step" in result.stderr
    assert 10 <= checkpoints.load(here / "runs" / "run" / "latest.pt").header["step"] <= 12


def stop(number: signal.Signals, here: Path) -> tuple[int, str]:
    """Start the run as a program, send it a signal once it has saved, and return its exit code and what it said."""
    command = [sys.executable, "-m", "toydiff", *RUN]
    program = subprocess.Popen(
        command, cwd=here, env=os.environ | {"TOYDIFF_RUNS": "runs"}, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (here / "runs" / "run" / "latest.pt").exists() and time.monotonic() < deadline:
        assert program.poll() is None, program.communicate()[1]
        time.sleep(0.005)
    program.send_signal(number)
    said = program.communicate(timeout=60)[1]
    return program.returncode, said


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_stopped_and_resumed_equals_uninterrupted(
    number: signal.Signals, code: int, here: Path, whole: Path, toydiff: Toydiff
) -> None:
    returned, said = stop(number, here)
    assert returned == code, said
    run = here / "runs" / "run"
    step = checkpoints.load(run / "latest.pt").header["step"]
    assert 0 < step < 2000
    if number == signal.SIGKILL:
        toydiff(*RUN, "-q", "--resume")  # what a scheduler does: the same command again
    else:
        assert f"stopped by {number.name} at step {step:,}; saved runs/run/latest.pt" in said
        assert "To go on: toydiff resume run" in said
        toydiff("resume", "run", "-q")
    for file in ("latest.pt", "best.pt", "metrics.jsonl", "config.toml", "samples/step-2000.png", "loss.png"):
        assert (run / file).read_bytes() == (whole / file).read_bytes(), file
    assert not list(here.rglob("*.tmp")) or number == signal.SIGKILL
