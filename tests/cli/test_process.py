"""sample --show-process as arrays, against the denoiser asked once more; and as a picture, with and without x̂_0."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toydiff.cli.process import check_room, needed_steps, shown_steps
from toydiff.data import Shapes
from toydiff.errors import ConfigurationError
from toydiff.runs import load
from toydiff.schedules import Flow
from toydiff.viz import images, overview
from toydiff.viz.style import pixels

from .conftest import Toydiff

WORDS = ("sample", "tiny", "--show-process", "-n", "5", "--seed", "3", "--steps", "6")


def test_the_arrays_have_every_level_and_the_estimate_made_at_it(with_run: Path, toydiff: Toydiff) -> None:
    toydiff(*WORDS, "-o", "way.npz")
    model = load("tiny", runs="runs")
    with np.load("way.npz") as file:
        way = dict(file)
    assert way["x_t"].shape == way["x0"].shape == (7, 5, 2) and way["x"].shape == (5, 2)
    assert np.array_equal(way["x_t"][-1], way["x"]) and way["seed"].tolist() == [3, 4, 5, 6, 7]
    levels = [model.schedule(t) for t in way["t"]]
    for k, level in enumerate(levels):
        assert (way["alpha"][k], way["sigma"][k]) == pytest.approx((float(level.alpha), float(level.sigma)))
        x = (torch.from_numpy(way["x_t"][k]) - model.shift) / model.scale
        x0 = model.to_data(model.denoise(torch.from_numpy(way["label"]))(x, level)).detach()
        assert k == 6 or np.allclose(way["x0"][k], x0, atol=1e-5), k
    with np.errstate(divide="ignore"):
        assert way["log_snr"] == pytest.approx(2 * np.log(way["alpha"] / way["sigma"]))
    assert np.isposinf(way["log_snr"][-1])


def test_a_csv_has_the_same_numbers_a_line_each(with_run: Path, toydiff: Toydiff) -> None:
    for name in ("way.npz", "way.csv"):
        toydiff(*WORDS, "-o", name)
    with np.load("way.npz") as file, open("way.csv", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
        assert list(rows[0]) == ["level", "t", "sigma", "sample", "x1", "x2", "x0_1", "x0_2", "label", "seed"]
        column = {name: np.array([float(row[name]) for row in rows]).reshape(7, 5) for name in rows[0]}
        assert (column["level"] == np.arange(7)[:, None]).all() and (column["sample"] == np.arange(5)).all()
        for name, key in (("x", "x_t"), ("x0_", "x0")):
            assert np.allclose(np.stack([column[f"{name}1"], column[f"{name}2"]], -1), file[key], rtol=1e-8)
        for key in ("t", "sigma"):
            assert np.allclose(column[key], file[key][:, None], rtol=1e-8)
        assert (column["label"] == file["label"]).all() and (column["seed"] == file["seed"]).all()


def test_a_picture_has_estimates_on_request(with_run: Path, toydiff: Toydiff) -> None:
    toydiff(*WORDS, "-o", "plain.png")
    toydiff(*WORDS, "--show-x0", "-o", "both.png")
    with Image.open("plain.png") as plain, Image.open("both.png") as both:
        assert plain.width == both.width and 1.6 * plain.height < both.height < 2 * plain.height


def test_of_images_estimates_are_below_what_they_were_made_of() -> None:
    levels = [Flow()(t) for t in (1.0, 0.5, 0.0)]
    grey = [np.full((2, 1, 32, 32), value) * np.array([1, -1]).reshape(2, 1, 1, 1) for value in (0.2, 0.6, 1.0)]
    estimates = [np.zeros((2, 1, 32, 32))] * 3
    plain = np.asarray(overview.process_picture(Shapes(), levels, grey, None, None))
    both = pixels(overview.process_picture(Shapes(), levels, grey, estimates, None))
    bottom = plain.shape[0] - images.MARGIN - images.PADDING - 50
    assert np.isin((153, 204, 255), plain[bottom - 100, :, 0]).all()
    middles = [both.shape[0] - images.MARGIN - images.PADDING - 48 - k for k in (312, 212, 100, 0)]
    where = both.shape[1] - images.MARGIN - 48
    assert both[middles, where, 0].tolist() == [255, 128, 0, 128]  # x_t, its estimate, and a gap before the next


def test_a_picture_has_few_levels_arrays_all_of_them_and_both_the_estimates_they_need() -> None:
    assert shown_steps(40, drawn=False) == list(range(41))
    assert shown_steps(40, drawn=True) == [0, 7, 13, 20, 27, 33, 40] and shown_steps(2, drawn=True) == [0, 1, 2]
    assert needed_steps([0, 20, 40], 40) == [0, 1, 20, 21, 40]


def test_arrays_that_do_not_fit_into_memory_are_refused_before_they_are_made(with_run: Path) -> None:
    model = load("tiny", runs="runs")
    most = (1 << 30) // (2 * 2 * 4 * len(model.config.levels()))
    check_room(model, most, drawn=False)
    with pytest.raises(ConfigurationError, match=r"noise levels takes 1\.1 GB") as caught:
        check_room(model, most + 1, drawn=False)
    assert f"-n {most:,}" in str(caught.value.hint)
