"""Images at the command line: typed as in the documentation, and looked at."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from toydiff.cli.app import app
from toydiff.runs import load
from toydiff.viz.frames import film_grid, film_room
from toydiff.viz.images import PADDING

from .conftest import Toydiff

SMALL = (
    "--set", "data={kind='shapes', size=16}",
    "--set", "network={kind='unet', channels=8, multipliers=[1, 2], attention=[1], blocks=1, patch=2}",
    "--set", "record={validation=32, log_every=2, validate_every=4, save_every=4, sample_every=4}",
    "--set", "sampling.steps=4", "--set", "model.conditional=true", "--batch-size", "8",
)  # fmt: skip


@pytest.fixture(scope="session")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that holds one of 6 steps on pictures of 16 × 16, which knows its labels."""
    folder = tmp_path_factory.mktemp("pictured")
    words = ["train", "--preset", "moons", "--name", "pictures", "--steps", "6", "--runs-dir", str(folder), *SMALL]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def shapes(pictured: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOYDIFF_RUNS", str(pictured))


def opened(path: str | Path) -> Image.Image:
    return Image.open(BytesIO(Path(path).read_bytes()))


def grey(path: str | Path) -> np.ndarray:
    return np.asarray(opened(path).convert("L"))


def test_samples_are_a_grid_beside_the_data_and_the_process_has_rows_and_columns(
    shapes: None, toydiff: Toydiff
) -> None:
    done = toydiff("sample", "pictures", "-o", "grid.png")
    assert done.stdout.startswith(
        "grid.png: 64 samples of pictures, heun, 4 steps, trailing, from t = 0.98, x_0 clipped to -1 … 1"
    )
    toydiff("sample", "--checkpoint", "best.pt", "--show-process", "--output", "samples.png")
    toydiff("sample", "pictures", "--threshold", "-n", "9", "-o", "black-and-white.png")
    width, height = opened("grid.png").size
    assert 1400 < width < 1800 and height < 1300
    width, height = opened("samples.png").size
    assert 8 * 96 < height < 8 * 130 and 5 * 96 < width < 7 * 96
    picture = grey("black-and-white.png")
    third = picture[120:-60, 2 * picture.shape[1] // 3 + 20 : -20]
    assert np.isin(third, (0, 255)).mean() > 0.97 > np.isin(picture[120:-60], (0, 255)).mean()  # text is neither


def test_arrays_of_images_are_not_thresholded_and_clipped_unless_told_otherwise(shapes: None, toydiff: Toydiff) -> None:
    ends = {}
    for clip in ((), ("--clip", "-1,1"), ("--clip", "none"), ("--clip", "-0.25,0.5")):
        name = f"{len(ends)}.npz"
        toydiff("sample", "pictures", "-n", "5", "-o", name, "--sampler", "ddim:4", *clip)
        with np.load(name) as arrays:
            assert arrays["x"].shape == (5, 1, 16, 16) and arrays["label"].shape == (5,)
            ends[clip[1:]] = arrays["x"]
    assert np.array_equal(ends[()], ends[("-1,1",)])
    assert np.abs(ends[()]).max() == 1 and not np.isin(ends[()], (-1, 1)).all()
    assert np.abs(ends[("none",)]).max() > 1.2
    assert (ends[("-0.25,0.5",)].min(), ends[("-0.25,0.5",)].max()) == (-0.25, 0.5)


def test_points_are_not_clipped(with_run: Path) -> None:
    model = load("tiny", runs="runs")
    assert model.clipping("data") is None and model.clipping((-1, 2)) == (-1, 2)
    assert np.array_equal(model.sample(20).x, model.sample(20, clip=None).x)


@pytest.mark.parametrize("what", ["reverse", "forward"])
def test_films_of_images_have_the_frames_and_the_size_asked_for(what: str, shapes: None, toydiff: Toydiff) -> None:
    words = ("animate", "pictures", "to", "mp4", "--what", what, "--frames", "5", "--size", "200", "-n", "9")
    done = toydiff(*words)
    assert "5 frames of 9 images" in done.stdout
    with av.open("pictures.mp4") as file:
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    assert [frame.shape for frame in frames] == [(200, 200)] * 5
    columns, height, width = film_grid(9, (16, 16), 200)
    left = (200 - columns * (width + PADDING) + PADDING) // 2
    noisy, clean = (
        np.stack(
            [
                frames[k][PADDING + i * (height + PADDING) :, left + j * (width + PADDING) :][
                    2 : height - 2, 2 : width - 2
                ]
                for i in range(3)
                for j in range(3)
            ]
        )
        for k in ((0, -1) if what == "reverse" else (-1, 0))
    )
    assert abs(noisy.mean() - 127.5) < 8  # noise about the middle of the range
    if what == "forward":
        assert ((clean < 30) | (clean > 225)).mean() > 0.85


@pytest.mark.parametrize("to", ["gif", "webp", "png"])
def test_films_of_images_in_every_format(to: str, shapes: None, toydiff: Toydiff) -> None:
    toydiff("animate", "pictures", "to", to, "--frames", "4", "--size", "128", "-n", "4")
    picture = opened(f"pictures.{to}")
    assert picture.size == (4 * 131 - 3, 128) if to == "png" else (picture.size, picture.n_frames) == ((128, 128), 4)
    assert np.ptp(np.asarray(picture.convert("RGB")).astype(int), axis=2).max() < 25  # text and images are grey


def test_a_film_shows_as_many_images_as_the_model_says(shapes: None, toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("animate", "pictures", "to", "gif", "--frames", "2", "--size", "200", "--json").stdout)
    assert facts["n"] == 64
    words = ("animate", "pictures", "-o", "small.gif", "--frames", "2", "--size", "100", "--json")
    assert 20 < json.loads(toydiff(*words).stdout)["n"] == film_room((16, 16), 100) < 64
    words = ("sample", "pictures", "-o", "x.npz", "--set", "sampling.n=3", "--json")
    assert json.loads(toydiff(*words).stdout)["n"] == 3


def test_data_of_images_are_shown_as_images(here: Path, toydiff: Toydiff) -> None:
    done = toydiff("data", "show", "shapes", "-o", "data.png")
    assert done.stdout.strip() == "data.png: 64 images of shapes"
    done = toydiff("data", "show", "shapes", "--forward", "-o", "forward.png")
    assert done.stdout.strip() == "forward.png: 8 images of shapes"
    width, height = opened("forward.png").size
    assert 7 * 96 < width < 10 * 96 and 8 * 96 < height < 10 * 96
    assert np.isin(grey("data.png"), (0, 255)).mean() > 0.9
    toydiff("data", "show", "shapes32", "-n", "4", "-o", "preset.png", "--set", "size=28")


def test_a_run_of_images_shows_averaged_and_raw_weights_side_by_side(pictured: Path) -> None:
    run = pictured / "pictures"
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step-4.png", "step-6.png"]
    width, height = opened(run / "samples" / "step-6.png").size
    assert 1.4 < width / height < 2.1  # two grids, with names under the images
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    assert set(board.Tags()["images"]) == {"samples/ema_and_raw"}
    shown = board.Images("samples/ema_and_raw")
    assert [(image.step, image.width, image.height) for image in shown] == [(4, width, height), (6, width, height)]


def test_a_model_of_images_is_explained(shapes: None, toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("inspect", "pictures", "--model", "--json").stdout)
    assert facts["input"] == [1, 16, 16] and facts["macs"] == sum(layer["macs"] for layer in facts["layers"])
    text = toydiff("inspect", "pictures", "--model").stdout
    assert "Block + Attention" in text and f"{facts['parameters']:,}" in text and "(" not in text
