"""When memory runs out: one line that says what to change, and what was saved stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from toydiff import checkpoint as checkpoints
from toydiff.cli.memory import too_many
from toydiff.data import Batch, Moons
from toydiff.denoiser import Denoiser
from toydiff.runs import load

from .conftest import Toydiff
from .program import TINY

CPU = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
ERRORS = [
    MemoryError(),
    RuntimeError(CPU),
    RuntimeError("std::bad_alloc"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("MPS backend out of memory"),
    RuntimeError("could not create a primitive\nException raised from …"),
    RuntimeError("could not create a primitive"),  # oneDNN's, when its code finds no room
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__}-{str(error)[:12]}")
def test_training_says_what_to_change_and_keeps_the_last_checkpoint(
    error: Exception, here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, calls = Denoiser.loss, [0]

    def starved(self: Denoiser, *args: Any) -> torch.Tensor:
        calls[0] += self.training
        if calls[0] > 15:
            raise error
        return loss(self, *args)

    monkeypatch.setattr(Denoiser, "loss", starved)
    done = toydiff("train", "moons", "--name", "a", *TINY, "--steps", "30", code=1)
    for words in (
        "error: out of memory on cpu after step 15, with batches of 32", "`--batch-size 16` or `--accumulate 2`",
        "What is saved stays: runs/a/latest.pt",
    ):  # fmt: skip
        assert words in done.stderr
    assert checkpoints.load(here / "runs" / "a" / "latest.pt").header["step"] == 10
    monkeypatch.undo()
    monkeypatch.chdir(here)
    toydiff("resume", "a", "--runs-dir", "runs")  # nothing is lost
    assert checkpoints.load(here / "runs" / "a" / "latest.pt").header["step"] == 30


def test_one_datum_in_one_part_cannot_be_halved(here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Denoiser, "loss", lambda *args: (_ for _ in ()).throw(MemoryError()))
    done = toydiff("train", "moons", *TINY, "--steps", "3", "--batch-size", "1", code=1)
    assert "with batches of 1\n  Take a smaller network." in done.stderr
    done = toydiff("train", "moons", *TINY, "--steps", "3", "--batch-size", "6", "--accumulate", "3", code=1)
    assert "with batches of 6 in 3 parts\n  Train with `--batch-size 3` or `--accumulate 6`" in done.stderr


@pytest.mark.parametrize("words", [("sample", "tiny", "-o", "x.png"), ("animate", "tiny", "to", "gif")])
def test_sampling_says_what_to_change(
    words: tuple[str, ...], with_run: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Denoiser, "forward", lambda *args, **named: (_ for _ in ()).throw(RuntimeError(CPU)))
    done = toydiff(*words, "-n", "50", code=1)
    assert "error: out of memory while making 50 points with `tiny`\n  Make fewer at once: -n 25." in done.stderr
    assert not (with_run / "x.png").exists() and not (with_run / "tiny.gif").exists()


def test_data_that_do_not_fit_say_so(here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Moons.draw

    def full(data: Moons, n: int, generator: torch.Generator) -> Batch:
        if n in (500, 50):
            raise RuntimeError(CPU)
        return draw(data, n, generator)

    monkeypatch.setattr(Moons, "draw", full)
    done = toydiff("train", "moons", *TINY, "--samples", "500", code=1)
    assert "error: out of memory while drawing the data, 500 points\n  Train on fewer: --samples 250." in done.stderr
    done = toydiff("data", "export", "moons", "-n", "50", "-o", "x.npz", code=1)
    assert "error: out of memory\n  Ask for fewer samples, with -n" in done.stderr and not Path("x.npz").exists()


def test_more_samples_than_a_batch_are_not_what_is_too_many(with_run: Path) -> None:
    loaded = load("tiny")
    assert too_many(loaded, 1_000_000)[1] == f"Make fewer at once: -n {loaded.at_once // 2}."


@pytest.mark.parametrize("words", ["shapes differ", "could not create a primitive descriptor for the convolution"])
def test_other_failures_are_not_taken_for_it(
    words: str, here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Denoiser, "loss", lambda *args: (_ for _ in ()).throw(RuntimeError(words)))
    done = toydiff("train", "moons", *TINY, "--steps", "3", code=1)
    assert "out of memory" not in done.stderr and f"RuntimeError: {words}" in done.stderr


STARVED = """
import resource, sys, torch
from toydiff.cli import trainer
from toydiff.cli.app import main
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), -1))
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_a_real_lack_of_memory_is_recognised(tmp_path: Path) -> None:
    words = ["train", "shapes32", "--batch-size", "4096", "--steps", "2", "--runs-dir", "runs"]
    done = subprocess.run(
        [sys.executable, "-c", STARVED, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "out of memory on cpu after step 0, with batches of 4,096" in done.stderr
    assert "`--batch-size 2048` or `--accumulate 2`" in done.stderr and "Traceback" not in done.stderr
