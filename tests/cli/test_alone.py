"""Two trainers cannot share a run folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toydiff.cli.trainer import Trainer
from toydiff.lock import locked

from .conftest import Toydiff
from .test_bad_inputs import snapshot


def test_the_second_trainer_is_turned_away_and_touches_nothing(with_run: Path, toydiff: Toydiff) -> None:
    run = with_run / "runs" / "tiny"
    with locked(run):
        before = snapshot(run)
        done = toydiff("resume", "tiny", "--steps", "40", code=1)
        assert done.stdout == ""
        assert f"error: runs/tiny is in use: process {os.getpid()} on " in done.stderr
        assert "training in runs/tiny on" not in done.stderr
        assert snapshot(run) == before
        toydiff("sample", "tiny", "-n", "3", "-o", "x.npz")  # whoever only reads may
    assert "trained 10 steps" in toydiff("resume", "tiny", "--steps", "40").stdout
    assert not (run / ".lock").exists()


def test_what_was_read_before_the_lock_must_still_be_there(
    with_run: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_run / "runs" / "tiny"
    alone = Trainer.alone

    def late(trainer: Trainer) -> object:  # another trainer has come, saved and gone since this one read latest.pt
        content = (run / "latest.pt").read_bytes()
        (run / "latest.pt").unlink()
        (run / "latest.pt").write_bytes(content)
        return alone(trainer)

    monkeypatch.setattr(Trainer, "alone", late)
    done = toydiff("resume", "tiny", "--steps", "40", code=1)
    assert "somebody else has trained in runs/tiny meanwhile" in done.stderr
