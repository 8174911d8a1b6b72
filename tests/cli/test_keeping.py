"""What a run keeps: the best with its value, rows up to the checkpoint, no rubbish of those who crashed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from toydiff import checkpoint as checkpoints
from toydiff.cli.keeping import read_metrics, rotate
from toydiff.cli.trainer import Trainer
from toydiff.config import Record
from toydiff.errors import ToydiffError
from toydiff.training import Step

from .bad_inputs import flipped
from .conftest import Toydiff
from .program import TINY, program


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


def test_rubbish_of_the_crashed_is_swept_before_training(run: Path, toydiff: Toydiff) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ours = [run / f".toydiff-{dead.pid}-0123abcd.tmp", run / "samples" / f".toydiff-{dead.pid}-0123abcd.tmp"]
    others = [run / f".toydiff-{os.getpid()}-0123abcd.tmp", run / ".toydiff-x.tmp", run / "mine.tmp"]
    for path in ours + others:
        path.write_text("half a fi")
    toydiff("resume", "tiny", "--steps", "31", "-q")
    assert [path.exists() for path in ours] == [False, False]
    assert all(path.exists() for path in others)


def test_what_differs_from_where_it_was_made_is_said(run: Path, toydiff: Toydiff) -> None:
    old = {key: "another" for key in checkpoints.read_header(run / "latest.pt")["environment"]}
    content = checkpoints.load(run / "latest.pt")
    made_elsewhere = content.header | {"environment": old | {"threads": content.header["environment"]["threads"]}}
    parts = {"model": content.model, "ema": content.ema, "optimizer": content.optimizer}
    checkpoints.save(run / "latest.pt", header=made_elsewhere, **parts)
    done = toydiff("resume", "tiny", "--steps", "31", "-q")
    assert f"torch another is now {torch.__version__}" in done.stderr and "device another is now cpu" in done.stderr
    assert "threads" not in done.stderr and "not bit for bit as if it had never stopped" in done.stderr


@pytest.mark.parametrize("words", [["--resume"], ["--resume=auto"], ["--resume", "auto"], ["--steps", "30"]])
def test_resume_takes_a_value_or_none(words: list[str], run: Path) -> None:
    more = ["--set", "model.conditional=true", "--steps", "30", "--name", "tiny"] if "--steps" not in words else []
    done = program("train", "moons", *words, *more, *(TINY if more else ["--name", "tiny"]), cwd=run.parents[1])
    if more:
        assert (done.returncode, done.stdout) == (0, "runs/tiny has finished already: 30 steps\n")
    else:
        assert done.returncode == 2 and "Add --resume" in done.stderr


def test_the_newest_copies_stay_and_only_whole_ones_count(run: Path, toydiff: Toydiff) -> None:
    whole = (run / "latest.pt").read_bytes()
    copies = {2: whole, 7: whole, 9: whole, 10: whole, 11: whole, 12: whole, 12000: flipped(whole), 100: whole}
    for step, data in copies.items():
        (run / f"step-{step}.pt").write_bytes(data)
    (run / "step-x.pt").touch()

    def left() -> list[int]:
        return sorted(int(path.stem.removeprefix("step-")) for path in run.glob("step-[0-9]*.pt"))

    rotate(run, Record(keep_every=1))  # all are kept
    rotate(run, Record(keep_last=1))
    assert left() == sorted(copies)
    rotate(run, Record(keep_every=1, keep_last=4, keep=(9,)))
    assert left() == [9, 10, 11, 12, 100, 12000]  # 10 is newer than 9; the damaged one is none of the four
    rotate(run, Record(keep_every=2, keep_last=1))
    assert left() == [9, 11, 100, 12000]
    (run / "step-100.pt").write_bytes(flipped(whole))
    rotate(run, Record(keep_every=2, keep_last=1))
    assert left() == [9, 11, 100, 12000] and (run / "step-x.pt").exists()


def test_a_run_keeps_its_newest_copies(here: Path, toydiff: Toydiff) -> None:
    words = ["train", "moons", *TINY, "--name", "run", "--steps", "24", "-q"]
    toydiff(*words, "--set", "record.keep_every=4", "--set", "record.keep_last=2", "--set", "record.keep=[6]")
    steps = {path.name: checkpoints.load(path).header["step"] for path in (here / "runs" / "run").glob("step-*.pt")}
    assert steps == {"step-6.pt": 6, "step-20.pt": 20, "step-24.pt": 24}


# ── a disk that fails ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(here: Path) -> Iterator[Path]:
    """A file system of 2 MB in runs/; its filler leaves 4 kB free."""
    (here / "runs").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", here / "runs"], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield here / "runs"
    subprocess.run(["umount", "-l", here / "runs"], check=True)


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("mount"), reason="mounts a small disk")
@pytest.mark.parametrize("freed", [True, False])
def test_a_full_disk_costs_no_run(
    freed: bool, small_disk: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full at the save of step 10 and, unless freed, ever after: what step 5 saved is never lost."""
    save, filler, run = Trainer._save, small_disk / "filler", small_disk / "run"

    def on_a_full_disk(trainer: Trainer, step: Step, name: str = "latest.pt") -> None:
        if step.step >= 10 and not filler.exists() and not (freed and step.step > 10):
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        if freed and step.step > 10:
            filler.unlink(missing_ok=True)
        save(trainer, step, name)

    monkeypatch.setattr(Trainer, "_save", on_a_full_disk)
    record = "record={validation=100, log_every=5, validate_every=500, save_every=5, sample_every=500}"
    words = ["train", "moons", *TINY, "--name", "run", "--steps", "20", "-q", "--set", record]
    done = toydiff(*words, code=0 if freed else 1)
    assert "warning: cannot write runs/run/" in done.stderr
    assert "no space left (0 bytes free in " in done.stderr and "; the next save tries again" in done.stderr
    assert checkpoints.load(run / "latest.pt").header["step"] == (20 if freed else 5)
    assert not list(run.rglob("*.tmp"))
    if freed:
        return
    assert "error: cannot write runs/run/" in done.stderr
    filler.unlink()
    monkeypatch.setattr(Trainer, "_save", save)
    assert "trained 15 steps" in toydiff("resume", "run", "-q").stdout
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [5, 10, 15, 20]


def test_what_is_not_the_disks_fault_stops_at_once(
    here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(trainer: Trainer, step: Step, name: str = "latest.pt") -> None:
        raise ToydiffError("the weights hold NaN")

    monkeypatch.setattr(Trainer, "_save", refuse)
    done = toydiff("train", "moons", *TINY, "--name", "run", "--steps", "20", "-q", code=1)
    assert done.stderr == "error: the weights hold NaN\n"
