"""A damaged latest.pt costs the steps since the save before it, and nothing else."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch

from toydiff import checkpoint as checkpoints
from toydiff.errors import ToydiffError
from toydiff.runs import load

from .bad_inputs import flipped
from .conftest import Toydiff
from .program import TINY

WORDS = ("train", "moons", "--name", "tiny", *TINY, "--steps", "30", "--set", "model.conditional=true", "-q")


def damage(path: Path) -> None:
    path.write_bytes(flipped(path.read_bytes()))


@pytest.fixture
def run(with_run: Path) -> Path:
    """A run of 30 steps, saved at every tenth, with the last save damaged."""
    damage(with_run / "runs" / "tiny" / "latest.pt")
    return with_run / "runs" / "tiny"


@pytest.mark.parametrize("words", [("resume", "tiny", "-q"), (*WORDS, "--resume")])
def test_the_checkpoint_before_is_continued_and_both_are_named(
    words: tuple[str, ...], run: Path, toydiff: Toydiff
) -> None:
    before = (run / "latest.prev.pt").read_bytes()
    pictures = (run / "best.pt").read_bytes(), (run / "metrics.jsonl").read_bytes()
    done = toydiff(*words)
    said = done.stderr
    assert "warning: runs/tiny/latest.pt is not a usable checkpoint: it is damaged" in said
    assert "runs/tiny/latest.prev.pt, the one before it, is whole and taken instead" in said
    assert "it is not kept as latest.prev.pt" in said
    assert "trained 10 steps" in done.stdout
    assert (run / "latest.prev.pt").read_bytes() == before  # the damaged one has not taken its place
    assert checkpoints.load(run / "latest.pt").header["step"] == 30
    assert ((run / "best.pt").read_bytes(), (run / "metrics.jsonl").read_bytes()) == pictures


def test_the_one_of_the_same_configuration_is_found_through_its_damage(run: Path, toydiff: Toydiff) -> None:
    words = [word for word in WORDS if word not in ("--name", "tiny")]
    done = toydiff(*words, "--resume")
    assert "trained 10 steps" in done.stdout and "taken instead" in done.stderr


def test_sampling_says_so_too_and_a_notebook_is_warned(run: Path, toydiff: Toydiff) -> None:
    (run / "best.pt").unlink()
    done = toydiff("sample", "tiny", "-n", "5", "-o", "x.npz", "-q")
    assert "runs/tiny/latest.prev.pt, the one before it, is whole and taken instead" in done.stderr
    assert json.loads(toydiff("inspect", "tiny", "--json", "-q").stdout)["checkpoint"]["step"] == 20
    with pytest.warns(UserWarning, match=r"latest\.prev\.pt"):
        loaded = load("tiny", runs="runs")
    assert loaded.found.value == "runs/tiny/latest.prev.pt" and loaded.name == "tiny"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(load("runs/tiny/latest.prev.pt").denoiser.scale, loaded.denoiser.scale)


def test_with_neither_whole_nothing_is_done(run: Path, toydiff: Toydiff) -> None:
    damage(run / "latest.prev.pt")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for words in (("resume", "tiny"), (*WORDS, "--resume")):
        done = toydiff(*words, code=1)
        assert "runs/tiny/latest.pt is not a usable" in done.stderr and "latest.prev.pt is not a usable" in done.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_moments_of_another_network_are_refused_before_anything_is_written(run: Path, toydiff: Toydiff) -> None:
    """Fused Adam would read, and write, beyond the end of moments that are too small."""
    content = checkpoints.load(run / "latest.prev.pt")
    for moments in ({"exp_avg": torch.ones(3)}, {"exp_avg": 1.0}, {"more": torch.ones(3)}):
        state = {k: values | moments for k, values in content.optimizer["state"].items()}
        odd = content.optimizer | {"state": state}
        checkpoints.save(run / "latest.pt", header=content.header, model=content.model, ema=content.ema, optimizer=odd)
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        assert "the optimizer's state does not fit the network" in toydiff("resume", "tiny", "-q", code=1).stderr
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_missing_moments_are_not_taken_for_zeros(run: Path, toydiff: Toydiff) -> None:
    content = checkpoints.load(run / "latest.prev.pt")
    for kept in ({**content.optimizer, "state": {}}, {}):
        checkpoints.save(run / "latest.pt", header=content.header, model=content.model, ema=content.ema, optimizer=kept)
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        assert "the optimizer's state is missing" in toydiff("resume", "tiny", "-q", code=1).stderr
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_newer_file_is_not_taken_for_a_damaged_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = (run / "latest.prev.pt").read_bytes()
    (run / "latest.pt").write_bytes(good)
    (run / "best.pt").unlink()
    monkeypatch.setattr(checkpoints, "VERSION", 0)
    with pytest.raises(ToydiffError, match=r"latest\.pt .* version 1 of the format") as caught:
        load("tiny", runs="runs")
    assert "prev" not in caught.value.message
