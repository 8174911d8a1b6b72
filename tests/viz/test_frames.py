"""The frames of films: dots where the points are, in the colours they were given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toydiff.errors import ToydiffError
from toydiff.viz.frames import MOST_DOTS, images_film, points_film, side_by_side
from toydiff.viz.style import angle_colours

LIMITS = (-2.0, 2.0, -2.0, 2.0)


def pixel(frame: np.ndarray, x: float, y: float) -> np.ndarray:
    size = len(frame)
    return frame[round((2 - y) / 4 * size - 0.5), round((x + 2) / 4 * size - 0.5)].astype(int)


def test_dots_move_with_the_points_and_keep_their_colours() -> None:
    red, blue = [1.0, 0, 0], [0, 0, 1.0]
    steps = [np.array([[0.5, 1.0], [-1.0, 0.25]]), np.array([[1.5, 1.0], [-1.0, -0.75]])]
    frames = list(points_film(steps, ["t = 1", "t = 0"], LIMITS, np.array([red, blue]), size=400))
    assert [frame.shape for frame in frames] == [(400, 400, 3)] * 2 and frames[0].dtype == np.uint8
    for frame, (first, second) in zip(frames, steps, strict=True):
        assert pixel(frame, *first)[0] > 240 and pixel(frame, *first)[2] < 60
        assert pixel(frame, *second)[2] > 240 and pixel(frame, *second)[0] < 60
    assert (pixel(frames[1], *steps[0][0]) == 255).all()  # the old place is paper again
    corner = [frame[-60:, :150] for frame in frames]
    assert (corner[0] != 255).any() and (corner[0] != corner[1]).any()  # each with its caption


def test_captions_and_titles_are_legible_over_points() -> None:
    """Behind the letters the points are all but gone: the plate lets 15 % of them through."""
    u = np.random.default_rng(0).uniform(size=(4000, 2))
    x = np.concatenate([[-2, -2] + u * [1.2, 0.4], [-0.6, 1.6] + u * [1.2, 0.4]])  # the caption's corner, the title's
    black = np.zeros((len(x), 3))
    crowd, words = (next(points_film([x], [text], LIMITS, black, size=400, title=text)) for text in ("", "t = 0.5"))
    for part in (slice(-40, None), slice(0, 40)):
        rows, columns = np.nonzero((words != crowd)[part].any(2))
        plate = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        assert np.median(crowd[part][plate]) < 100
        assert np.median(words[part][plate]) > 200


def test_without_colours_the_starting_direction_gives_them() -> None:
    x = torch.tensor([[1.5, 0.0], [0.0, 1.5], [-1.5, 0.0], [0.0, -1.5]], dtype=torch.bfloat16)
    frame = next(points_film([x], [""], LIMITS, size=401))
    opaque = 255 * (angle_colours(x) * 0.85 + 0.15)
    assert np.abs([pixel(frame, *point) for point in x.tolist()] - opaque).max() < 3


def test_the_overlay_lies_behind_in_grey() -> None:
    still, frame = np.array([[1.0, 1.0]]), None
    for frame in points_film([np.array([[-1.0, -0.5]])] * 2, ["", ""], LIMITS, size=400, overlay=still):
        grey = pixel(frame, 1.0, 1.0)
        assert grey.max() - grey.min() < 15 and 200 < grey.mean() < 250


@pytest.mark.parametrize("dimension", [1, 2, 10])
@pytest.mark.parametrize("count", [1, 500, MOST_DOTS + 7])
def test_any_dimension_and_number(dimension: int, count: int) -> None:
    x = np.random.default_rng(0).normal(size=(count, dimension))
    frame = next(points_film([x], ["t"], (-3, 3, -3, 3), size=121, overlay=x))
    assert frame.shape == (121, 121, 3) and (frame[:90] < 250).any()


def test_points_that_are_not_finite_are_left_out() -> None:
    x = np.array([[np.nan, 0.0], [np.inf, 1.0], [0.5, 0.5]])
    frame = next(points_film([x], [""], LIMITS, size=400))
    assert pixel(frame, 0.5, 0.5).min() < 200


def test_a_changing_number_of_points_or_captions_is_refused() -> None:
    with pytest.raises(ToydiffError, match="3 points"):
        list(points_film([np.zeros((3, 2)), np.zeros((4, 2))], ["", ""], LIMITS, size=100))
    with pytest.raises(ValueError, match="shorter"):
        list(points_film([np.zeros((3, 2))] * 2, [""], LIMITS, size=100))


def test_images_and_films_side_by_side() -> None:
    x = torch.ones(4, 1, 8, 8)
    frames = list(images_film([x, -x], ["t = 1", "t = 0"], columns=2, scale=4))
    assert len(frames) == 2 and frames[0].shape == frames[1].shape
    assert frames[0][10, 10].tolist() == [255] * 3 and frames[1][10, 10].tolist() == [0] * 3
    both = list(side_by_side(frames, frames[::-1]))
    width = frames[0].shape[1]
    assert both[0].shape[1] == 2 * width + 2
    assert (both[0][:, :width] == frames[0]).all() and (both[0][:, width + 2 :] == frames[1]).all()
