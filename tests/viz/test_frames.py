"""The frames of films: dots where the points are, in the colours they were given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.viz.frames import MOST_DOTS, film_grid, film_room, images_film, points_film, side_by_side
from toydiff.viz.images import PADDING
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


def test_a_film_of_images_has_its_size_its_grid_and_its_captions() -> None:
    x = torch.tensor([1.0, -1.0, 0.0, 9.0]).reshape(4, 1, 1, 1).expand(4, 1, 8, 8)
    frames = list(images_film([x, -x], ["t = 1.00,  σ = 1.00", "t = 0.00,  σ = 0.00"], size=320))
    assert [frame.shape for frame in frames] == [(320, 320, 3)] * 2 and frames[0].dtype == np.uint8
    columns, height, width = film_grid(4, (8, 8), 320)
    assert columns == 2 and height == width > 130  # most of the frame
    left = (320 - 2 * width - PADDING) // 2
    centres = [
        (PADDING + height // 2 + r * (height + PADDING), left + width // 2 + c * (width + PADDING))
        for r in (0, 1)
        for c in (0, 1)
    ]
    assert [int(frames[0][place][0]) for place in centres] == [255, 0, 128, 255]
    assert [int(frames[1][place][0]) for place in centres] == [0, 255, 128, 0]
    below = [frame[PADDING + 2 * (height + PADDING) :] for frame in frames]
    assert (below[0] < 100).any() and (below[0] != below[1]).any()
    assert all((frame[-1] == 255).all() and (frame[:, 0] == 255).all() for frame in frames)  # nothing is cut off


@pytest.mark.parametrize("shape", [(28, 28), (31, 17), (17, 31), (64, 64)])
@pytest.mark.parametrize("count", [1, 2, 7, 36, 64])
def test_grids_of_any_shape_fill_a_film(shape: tuple[int, int], count: int) -> None:
    x = torch.full((count, 3, *shape), -1.0)
    frame = next(images_film([x], ["t"], size=333, domain=(-1, 1)))
    _, height, width = film_grid(count, shape, 333)
    assert frame.shape == (333, 333, 3)
    assert (frame == 0).all(2).sum() == count * height * width  # every image is there, whole
    assert abs(height / width - shape[0] / shape[1]) < 0.15


def test_more_images_than_a_film_has_room_for_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="2,000 images of 32 × 32 do not fit") as refused:
        film_grid(2000, (1, 32, 32), 720)
    most = film_room((1, 32, 32), 720)
    assert f"-n {most:,} or fewer" in refused.value.hint
    film_grid(most, (1, 32, 32), 720)
    with pytest.raises(ConfigurationError):
        film_grid(most + 1, (1, 32, 32), 720)


def test_films_side_by_side() -> None:
    one, other = (np.full((6, 4, 3), value, np.uint8) for value in (10, 200))
    (both,) = side_by_side([one], [other])
    assert both.shape == (6, 10, 3)
    assert (both[:, :4] == 10).all() and (both[:, 6:] == 200).all()
