"""Your own data at the command line: shown, measured, exported, trained on; a model samples when they are gone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toydiff.arrays import write_csv
from toydiff.data import Batch
from toydiff.viz.style import as_points

from .conftest import Toydiff
from .program import TINY


@pytest.fixture
def files(here: Path) -> Path:
    """Points of three classes in three dimensions, a picture, and a folder of four small images of two classes."""
    x, label = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    write_csv(Path("iris.csv"), Batch(x + 3 * label[:, None], label))
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("logo.png")
    for k in range(4):
        Path(f"pics/{'ab'[k % 2]}").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (60 * k, 9, 99)).save(f"pics/{'ab'[k % 2]}/{k}.png")
    return here


@pytest.mark.parametrize("name", ["csv:iris.csv", "data:picture:logo.png", "folder:pics"])
def test_files_are_shown_measured_and_exported_as_data_sets_are(name: str, files: Path, toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("data", "stats", name, "--json").stdout)
    assert facts["data"] == name.removeprefix("data:").partition(":")[0]
    toydiff("data", "show", name, "-o", "show.png")
    toydiff("data", "show", name, "--forward", "-o", "forward.png")
    toydiff("data", "export", name, "-o", "x.npz")
    with np.load("x.npz") as arrays:
        assert arrays["x"].shape == (facts["n"], *facts["shape"])
    for file in ("show.png", "forward.png"):
        with Image.open(file) as picture:
            assert picture.width > 100


def test_pictures_are_exported_as_a_folder_and_read_again(files: Path, toydiff: Toydiff) -> None:
    toydiff("data", "export", "folder:pics", "--to", "folder", "-o", "again")
    assert sorted(path.parent.name for path in Path("again").glob("*/*.png")) == ["a", "a", "b", "b"]
    assert not list(Path().glob(".toydiff*"))
    first, second = (json.loads(toydiff("data", "stats", f"folder:{f}", "--json").stdout) for f in ("pics", "again"))
    assert {**first, "mean": 0, "sd": 0} == {**second, "mean": 0, "sd": 0}
    np.testing.assert_allclose([first["mean"], first["sd"]], [second["mean"], second["sd"]], rtol=1e-5)


def test_a_model_of_a_file_samples_without_it(files: Path, toydiff: Toydiff) -> None:
    words = ["train", "--data", "csv:iris.csv", "--steps", "20", *TINY, "--set", "model.conditional=true"]
    done = toydiff(*words, "--name", "mine")
    assert "csv:iris.csv, by the recipe of moons" in done.stderr
    assert json.loads(Path("runs/mine/env.json").read_text())["preset"] is None
    Path("iris.csv").unlink()
    done = toydiff("sample", "mine", "--label", "2", "-o", "s.png")
    assert "iris.csv is not there" in done.stderr
    toydiff("sample", "mine", "-o", "s.npz")
    with np.load("s.npz") as arrays:
        assert arrays["x"].shape == (32, 3) and arrays["label"].max() <= 2
    toydiff("animate", "mine", "--frames", "3", "-o", "film.png")
    assert "iris.csv is not there" in toydiff("resume", "mine", "--steps", "30", code=1).stderr
    assert toydiff("inspect", "mine").exit_code == 0


@pytest.mark.parametrize(("shape", "recipe"), [((30, 2), "moons"), ((30, 8, 8), "mnist")])
def test_an_npz_gets_the_recipe_of_what_it_holds(
    shape: tuple[int, ...], recipe: str, here: Path, toydiff: Toydiff
) -> None:
    np.savez("a.npz", y=np.arange(30) % 2, x=np.random.default_rng(0).random(shape))
    done = toydiff("train", "--data", "npz:a.npz", "--dry-run")
    assert f"npz:a.npz, by the recipe of {recipe}" in done.stderr
    network = json.loads(toydiff("train", "--data", "npz:a.npz", "--print-config", "--json").stdout)["network"]
    assert network["kind"] == {"moons": "mlp", "mnist": "unet"}[recipe]


def test_a_run_is_called_after_its_file_and_changed_data_are_noticed(files: Path, toydiff: Toydiff) -> None:
    toydiff("train", "--data", "csv:iris.csv", "--steps", "10", *TINY)
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("iris-")
    lines = Path("iris.csv").read_text().splitlines()
    Path("iris.csv").write_text("\n".join([*lines[:-1], "9,9,9,2"]))
    done = toydiff("resume", run.name, "--steps", "20")
    assert "the data are no longer those the run was started with" in done.stderr


def test_the_exact_denoiser_of_a_file(files: Path, toydiff: Toydiff) -> None:
    toydiff("sample", "exact:picture:logo.png", "-n", "50", "-o", "p.npz", "--set", "steps=8")
    toydiff("sample", "exact:csv:iris.csv@20", "-n", "50", "-o", "c.npz")
    with np.load("p.npz") as dark, np.load("c.npz") as memory:
        assert dark["x"].shape == (50, 2) and np.abs(dark["x"]).max() < 2.5
        real = np.loadtxt("iris.csv", delimiter=",", skiprows=1)[:, :3]
        nearest = np.linalg.norm(as_points(memory["x"])[:, None] - real, axis=2)
        assert nearest.min(1).max() < 0.1  # it has memorised them
        assert len(set(nearest.argmin(1))) <= 20
