"""Published data sets at the command line: from a folder of files to a grid with a row a class."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toydiff import published

from ..made_up import TRAIN
from .conftest import Toydiff
from .program import TINY


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_fetched_from_a_folder_verified_and_fetched_again(official: Path, here: Path, toydiff: Toydiff) -> None:
    done = toydiff("data", "fetch", "mnist", "--from", str(official / "mnist"), "--data-dir", "mine", "--json")
    facts = json.loads(done.stdout)
    names = [file.name for file in published.OFFICIAL["mnist"].files]
    assert (facts["folder"], facts["files"]) == ("mine/mnist", names)
    assert facts["bytes"] == sum((here / "mine" / "mnist" / name).stat().st_size for name in names)
    assert json.loads(toydiff("data", "verify", "mnist", "--data-dir", "mine", "--json").stdout)["good"]
    again = toydiff("data", "fetch", "mnist", "--offline", "--data-dir", "mine")
    assert again.stderr.count("is there already") == 4
    (here / "mine" / "mnist" / names[2]).write_bytes(b"rubbish")
    os.unlink(here / "mine" / "mnist" / names[3])
    wrong = toydiff("data", "verify", "mnist", "--data-dir", "mine", code=1)
    lines = wrong.stdout.splitlines()
    assert [
        name in line and word in line
        for name, word, line in zip(names, ("the official one",) * 2, lines[-4:], strict=False)
    ]
    assert "has 7 bytes" in lines[-2] and "is not there" in lines[-1]
    assert "toydiff data fetch mnist" in wrong.stderr


@pytest.mark.usefixtures("official")
def test_they_are_shown_a_row_a_class_measured_and_exported(here: Path, toydiff: Toydiff) -> None:
    assert toydiff("data", "show", "fashion", "-o", "a.png").stdout == "a.png: 100 images of fashion\n"
    toydiff("data", "show", "fashion", "--forward", "-o", "b.png")
    assert min(size("a.png")) > 500 and min(size("b.png")) > 500
    facts = json.loads(toydiff("data", "stats", "cifar10", "--json").stdout)
    assert (facts["n"], facts["shape"], facts["duplicates"]) == (TRAIN, [3, 32, 32], 0)  # all of them, without -n
    assert set(facts["classes"].values()) == {0.1} and facts["max"] == [1.0]
    toydiff("data", "export", "mnist", "-n", "30", "-o", "c.npz")
    with np.load("c.npz") as arrays:
        flat = arrays["x"].astype(np.float64)
    assert flat.shape == (30, 1, 28, 28)
    facts = json.loads(toydiff("data", "stats", "mnist", "-n", "30", "--json").stdout)
    assert (facts["mean"][0], facts["sd"][0]) == pytest.approx((flat.mean(), flat.std(ddof=1)), rel=1e-6)
    twice = json.loads(toydiff("data", "stats", "mnist", "-n", str(2 * TRAIN), "--json").stdout)
    assert twice["duplicates"] == TRAIN


def test_a_trained_model_samples_without_its_data(official: Path, here: Path, toydiff: Toydiff) -> None:
    words = ["train", "mnist-cond", "--name", "digits", "--epochs", "1", *TINY]
    done = toydiff(*words, "--set", "training.batch_size=50", "--set", "sampling={sampler={kind='ddim'}, steps=2, n=4}")
    assert f"trained {TRAIN // 50} steps" in done.stdout
    shutil.copytree(official / "mnist", here / "elsewhere" / "mnist")
    (here / "nowhere").mkdir()
    with_data = toydiff("sample", "digits", "-n", "4", "-o", "a.png")
    os.environ["TOYDIFF_DATA"] = "nowhere"
    without = toydiff("sample", "digits", "-n", "4", "-o", "b.png")
    assert "no data beside" not in with_data.stderr and "no data beside the samples" in without.stderr
    assert size("a.png")[0] > size("b.png")[0]
    toydiff("sample", "digits", "--label", "all", "-n", "2", "-o", "rows.npz")
    with np.load("rows.npz") as arrays:
        assert arrays["label"].tolist() == [k for k in range(10) for _ in range(2)]
    said = toydiff("resume", "digits", "--epochs", "2", code=1).stderr
    assert "the data set `mnist` is not ready: nowhere/mnist lacks" in said
    assert toydiff("resume", "digits", "--epochs", "2", "--data-dir", "elsewhere").exit_code == 0
