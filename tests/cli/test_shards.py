"""Chunks of samples by many workers are the samples of one, byte for byte; what is missing or foreign is named."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from toydiff.runs import loaded

from .conftest import Toydiff

WORDS = ("sample", "tiny", "-n", "45", "--seed", "7", "--sampler", "ddpm:4", "--guidance", "2", "-o", "out.npz", "-q")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(loaded, "BATCH", 8)  # six chunks of 8, the last of them filled up from 5
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has none of the other threads, and would wait for them
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def whole(with_run: Path, toydiff: Toydiff) -> bytes:
    """What one process makes."""
    toydiff(*WORDS)
    content = Path("out.npz").read_bytes()
    Path("out.npz").unlink()
    return content


def chunks() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path("out.npz.shards").iterdir())}


def test_four_shards_two_of_two_and_the_whole_are_the_same_bytes(whole: bytes, toydiff: Toydiff) -> None:
    made = []
    for orders in (("4/4", "1/4", "3/4", "2/4"), ("2/2", "1/2"), ("1/1",), ("9/9", *(f"{k}/9" for k in range(1, 9)))):
        for shard in orders:
            toydiff(*WORDS, "--shard", shard)
        made.append(chunks())
        toydiff(*WORDS, "--merge")
        assert Path("out.npz").read_bytes() == whole
        Path("out.npz").unlink()
        shutil.rmtree("out.npz.shards")
    assert len(made[0]) == 6 and all(each == made[0] for each in made)


@pytest.mark.parametrize("words", [("--label", "all", "-n", "11"), ("--interpolate", "3,7"), ("--label", "0")])
def test_labels_and_ways_between_seeds_are_shared_out_too(
    words: tuple[str, ...], with_run: Path, toydiff: Toydiff
) -> None:
    sample = ("sample", "tiny", "-n", "20", "--steps", "3", "-q", *words, "-o", "out.csv")
    toydiff(*sample)
    one = Path("out.csv").read_bytes()
    Path("out.csv").unlink()
    toydiff(*sample, "--shard", "2/2")
    toydiff(*sample, "--shard", "1/2")
    toydiff(*sample, "--merge")
    assert Path("out.csv").read_bytes() == one


def test_killed_and_repeated(whole: bytes, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of its third chunk: two are there, and only the others are made again."""
    if (worker := os.fork()) == 0:
        plain, calls = os.replace, []

        def replace(source: str, target: str) -> None:
            calls.append(target)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            plain(source, target)

        monkeypatch.setattr(os, "replace", replace)
        toydiff(*WORDS, "--shard", "1/1")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in Path("out.npz.shards").glob("*.npz")}
    assert len(before) == 2
    done = toydiff(*WORDS, "--shard", "1/1")
    assert "shard 1/1: 4 of 6 chunks made, 2 were there" in done.stdout
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(list(Path("out.npz.shards").glob(".toydiff-*"))) == 1
    toydiff(*WORDS, "--merge")
    assert not list(Path("out.npz.shards").glob(".toydiff-*"))
    assert Path("out.npz").read_bytes() == whole


def test_what_is_missing_damaged_or_foreign_is_named(whole: bytes, toydiff: Toydiff) -> None:
    toydiff(*WORDS, "--shard", "1/1")
    first, second, *_ = sorted(Path("out.npz.shards").iterdir())
    content = first.read_bytes()

    def refused() -> str:
        assert not Path("out.npz").exists()
        return toydiff(*WORDS, "--merge", code=1).stderr

    middle = len(content) // 2
    first.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    assert f"out.npz.shards/{first.name} is damaged, or of another job: 1 of 6 chunks" in refused()
    shutil.copy(second, first)
    assert f"{first.name} is damaged, or of another job" in refused()
    first.unlink()
    assert f"{first.name} is missing: 1 of 6 chunks are not there" in refused()

    foreign = (*WORDS, "--shard", "1/6", "--seed", "8", "--label", "0")
    toydiff(*foreign)
    assert "-1-of-6.npz is of another seeds and label" in refused()
    (Path("out.npz.shards") / "notes.npz").write_text("mine")
    assert "--shard 1/1 instead of --merge" in refused()

    second.write_bytes(b"rubbish")  # made again, silently right
    assert "2 of 6 chunks made, 4 were there" in toydiff(*WORDS, "--shard", "1/1").stdout
    toydiff(*WORDS, "--merge")
    assert Path("out.npz").read_bytes() == whole
    assert "out.npz exists" in toydiff(*WORDS, "--merge", code=2).stderr


def test_another_model_is_another_job(with_run: Path, toydiff: Toydiff) -> None:
    toydiff(*WORDS, "--shard", "1/1")
    toydiff("resume", "tiny", "--steps", "31", "-q")
    said = toydiff("sample", "runs/tiny/latest.pt", *WORDS[2:], "--merge", code=1).stderr
    assert "is of another checkpoint" in said


def test_a_picture_is_made_of_chunks_too(with_run: Path, toydiff: Toydiff) -> None:
    words = ("sample", "exact:moons", "-n", "10", "--steps", "3", "-q", "-o", "out.png")
    toydiff(*words, "--shard", "1/1")
    toydiff(*words, "--merge")
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
