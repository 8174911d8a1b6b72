"""What a run keeps: the best with its value, rows up to the checkpoint, no rubbish of those who crashed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toydiff import checkpoint as checkpoints
from toydiff.cli.keeping import read_metrics

from .bad_inputs import flipped
from .conftest import Toydiff


def best(run: Path) -> dict[str, float]:
    found: dict[str, float] = checkpoints.read_header(run / "best.pt")["best"]
    return found


@pytest.fixture
def run(with_run: Path) -> Path:
    return with_run / "runs" / "tiny"


def with_best(run: Path, loss: float) -> bytes:
    """Make the run believe that its best validation was of this loss, and return what best.pt then holds."""
    for name in ("best.pt", "latest.pt"):
        content = checkpoints.load(run / name)
        header = content.header | {"best": {"step": 10, "loss": loss}}
        checkpoints.save(run / name, header=header, model=content.model, ema=content.ema, optimizer=content.optimizer)
    return (run / "best.pt").read_bytes()


def test_the_best_is_kept_with_its_value(run: Path, toydiff: Toydiff) -> None:
    before = with_best(run, 1e-6)
    toydiff("resume", "tiny", "--steps", "40", "-q")
    assert (run / "best.pt").read_bytes() == before
    assert checkpoints.read_header(run / "latest.pt")["best"] == {"step": 10, "loss": 1e-6}


def test_a_better_one_takes_its_place(run: Path, toydiff: Toydiff) -> None:
    with_best(run, 1e6)
    toydiff("resume", "tiny", "--steps", "40", "-q")
    assert best(run)["step"] == 40 and best(run)["loss"] < 1e6


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_best_that_is_no_longer_whole_is_not_believed(harm: str, run: Path, toydiff: Toydiff) -> None:
    whole = with_best(run, 1e-6)
    (run / "best.pt").unlink()
    if harm == "damaged":
        (run / "best.pt").write_bytes(flipped(whole))
    done = toydiff("resume", "tiny", "--steps", "40", "-q")
    assert "warning: runs/tiny/best.pt is not" in done.stderr
    assert "; the next validation makes a new one" in done.stderr
    assert best(run)["step"] == 40


def test_rows_after_the_checkpoint_and_torn_lines_are_left_out(tmp_path: Path) -> None:
    good = [{"step": step, "loss": 0.5} for step in (5, 10, 15)]
    path = tmp_path / "metrics.jsonl"
    lines = "".join(json.dumps(row) + "\n" for row in good)
    for torn in ("", '{"step": 20, "lo', '{"step": 8', "3\n", "{}\n", '{"step": "x"}\n', "\x00\x00"):
        path.write_text(lines + torn)
        assert read_metrics(path, 10) == good[:2]
        assert read_metrics(path, 99) == good
    path.write_bytes(lines.encode() + b"\xff\xfe")
    assert read_metrics(path, 99) == good
    assert read_metrics(path, 0) == read_metrics(tmp_path / "none", 9) == []


def test_rows_of_a_crashed_attempt_do_not_stay(run: Path, toydiff: Toydiff) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 35, "loss": 99.0}\n{"step": 37, "lo')
    toydiff("resume", "tiny", "--steps", "40", "-q")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert all(row.get("loss", 0) < 99 for row in rows)
