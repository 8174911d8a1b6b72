"""The frames of films: dots where the points are, in the colours they were given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch

from toydiff.data import SwissRoll
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.schedules import EDM, Flow
from toydiff.viz.frames import Look, Panel, film_frames, film_grid, film_room, images_film, side_by_side
from toydiff.viz.images import PADDING
from toydiff.viz.moving import BINS, MOST_DOTS, Shot, points_film, shares
from toydiff.viz.process import time_colours
from toydiff.viz.style import ArrayLike, angle_colours, themed

LIMITS = (-2.0, 2.0, -2.0, 2.0)


def shots(x: Sequence[ArrayLike], *captions: str) -> Iterator[Shot]:
    return (Shot(each, caption, each) for each, caption in zip(x, captions, strict=True))


def pixel(frame: np.ndarray, x: float, y: float) -> np.ndarray:
    size = len(frame)
    return frame[round((2 - y) / 4 * size - 0.5), round((x + 2) / 4 * size - 0.5)].astype(int)


def test_dots_move_with_the_points_and_keep_their_colours() -> None:
    red, blue = [1.0, 0, 0], [0, 0, 1.0]
    steps = [np.array([[0.5, 1.0], [-1.0, 0.25]]), np.array([[1.5, 1.0], [-1.0, -0.75]])]
    frames = list(points_film(shots(steps, "t = 1", "t = 0"), LIMITS, colour=np.array([red, blue]), size=400))
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
    crowd, words = (
        next(points_film(shots([x], text), LIMITS, colour=black, size=400, title=text)) for text in ("", "t = 0.5")
    )
    for part in (slice(-40, None), slice(0, 40)):
        rows, columns = np.nonzero((words != crowd)[part].any(2))
        plate = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        assert np.median(crowd[part][plate]) < 100
        assert np.median(words[part][plate]) > 200


@pytest.mark.parametrize("size", [64, 160, 240, 720])
def test_captions_fit_into_small_frames_or_are_left_out(size: int) -> None:
    words = ("t = 1.00,  step 0 of 4", "t = 5.30e-08,  σ = 4.54e-05,  step 1 of 4", "t = 0.00,  step 4 of 4")
    blank = ("", "", "")
    points, images = [np.full((2, 2), 0.9)] * 3, [np.zeros((1, 1, 40, 40))] * 3
    films = {
        "points": [points_film(shots(points, *each), (-1, 1, -1, 1), size=size) for each in (words, blank)],
        "images": [images_film(shots(images, *each), size) for each in (words, blank)],
    }
    for name, (said, silent) in films.items():
        written = [(a != b).any(axis=2) for a, b in zip(said, silent, strict=True)]
        assert not any(ink[:, -2:].any() for ink in written), name
        assert {ink.any() for ink in written} == {size > 64}, name
        tall = [np.ptp(np.nonzero(ink.any(axis=1))[0]) for ink in written if ink.any()]
        assert min(tall, default=5) >= 5, name


def test_without_colours_the_starting_direction_gives_them() -> None:
    x = torch.tensor([[1.5, 0.0], [0.0, 1.5], [-1.5, 0.0], [0.0, -1.5]], dtype=torch.bfloat16)
    frame = next(points_film(shots([x], ""), LIMITS, size=401))
    opaque = 255 * (angle_colours(x) * 0.85 + 0.15)
    assert np.abs([pixel(frame, *point) for point in x.tolist()] - opaque).max() < 3


def test_the_overlay_lies_behind_in_grey() -> None:
    still, frame = np.array([[1.0, 1.0]]), None
    for frame in points_film(shots([np.array([[-1.0, -0.5]])] * 2, "", ""), LIMITS, size=400, overlay=still):
        grey = pixel(frame, 1.0, 1.0)
        assert grey.max() - grey.min() < 15 and 200 < grey.mean() < 250


@pytest.mark.parametrize("dimension", [1, 2, 10])
@pytest.mark.parametrize("count", [1, 500])
@pytest.mark.parametrize("style", ["scatter", "density", "arrows", "paths"])
def test_any_dimension_number_and_style(dimension: int, count: int, style: str) -> None:
    x = np.random.default_rng(0).normal(size=(count, dimension))
    frame = next(points_film(shots([x], "t"), (-3, 3, -3, 3), style, size=121, overlay=x))
    assert frame.shape == (121, 121, 3) and (frame[:90] < 250).any()


def test_points_that_are_not_finite_are_left_out() -> None:
    x = np.array([[np.nan, 0.0], [np.inf, 1.0], [0.5, 0.5]])
    frame = next(points_film(shots([x], ""), LIMITS, size=400))
    assert pixel(frame, 0.5, 0.5).min() < 200


def test_a_changing_number_of_points_is_refused() -> None:
    with pytest.raises(ToydiffError, match="3 points"):
        list(points_film(shots([np.zeros((3, 2)), np.zeros((4, 2))], "", ""), LIMITS, size=100))


def test_a_film_of_images_has_its_size_its_grid_and_its_captions() -> None:
    x = torch.tensor([1.0, -1.0, 0.0, 9.0]).reshape(4, 1, 1, 1).expand(4, 1, 8, 8)
    frames = list(images_film(shots([x, -x], "t = 1.00,  σ = 1.00", "t = 0.00,  σ = 0.00"), size=320))
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
    frame = next(images_film(shots([x], "t"), size=333, domain=(-1, 1)))
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


def test_more_points_than_can_be_told_apart_are_thinned_out() -> None:
    x = np.random.default_rng(0).normal(size=(MOST_DOTS + 7, 2))
    frame = next(points_film(shots([x], "t"), (-3, 3, -3, 3), size=121))
    assert (frame[:90] < 250).any()


@pytest.mark.parametrize("size", [64, 201, 333, 720])
def test_nothing_stays_behind_at_the_edge(size: int) -> None:
    along, out = np.linspace(-2, 2, 400), np.full(400, 1.999)
    edge = np.concatenate([np.stack(pair, 1) for pair in ((along, out), (along, -out), (out, along), (-out, along))])
    *_, last = points_film(shots([edge, edge * 0], "", ""), LIMITS, size=size)
    assert all((side == 255).all() for side in (last[:3], last[-3:], last[:, :3], last[:, -3:]))


def test_a_density_is_the_share_of_points_in_each_place() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (5000, 2)) * [1.0, 0.25] + [0.5, -1.0]
    found = shares(x, LIMITS)
    assert found.sum() == pytest.approx(1)
    rows, columns = (np.arange(BINS) + 0.5) / BINS * 4 - 2, (np.arange(BINS) + 0.5) / BINS * 4 - 2
    assert found.sum(1) @ rows == pytest.approx(x[:, 1].mean(), abs=0.01)  # rows go up
    assert found.sum(0) @ columns == pytest.approx(x[:, 0].mean(), abs=0.01)
    frame = next(points_film(shots([x], ""), LIMITS, "density", size=400))
    assert pixel(frame, 0.5, -1.0).sum() < 400 and (pixel(frame, 0.5, 1.0) > 250).all()


def test_the_colours_of_a_density_mean_the_same_in_every_frame() -> None:
    u = np.random.default_rng(0).normal(size=(4000, 2))
    peak = float(shares(u * 0.3, LIMITS).max())
    thin, thick = points_film(shots([u * 0.9, u * 0.3], "", ""), LIMITS, "density", size=200, peak=peak)
    assert pixel(thin, 0, 0).sum() > pixel(thick, 0, 0).sum() + 100


def test_arrows_go_from_x_t_to_x0_and_paths_stay() -> None:
    black = np.zeros((1, 3))
    here, there = np.array([[-1.0, 0.5]]), np.array([[1.0, 0.5]])
    arrow = next(points_film([Shot(here, "", there)], LIMITS, "arrows", black, size=400))
    assert all(pixel(arrow, x, 0.5).max() < 200 for x in (-0.5, 0.0, 0.5))
    assert (pixel(arrow, -1.4, 0.5) == 255).all() and (pixel(arrow, 1.2, 0.5) == 255).all()
    *_, last = points_film(
        [Shot(p, "") for p in (here, there, there + np.array([0, 1]))], LIMITS, "paths", black, size=400
    )
    assert all(pixel(last, *place).max() < 200 for place in ((-0.5, 0.5), (0.5, 0.5), (1.0, 1.0)))
    *_, plain = points_film([Shot(p, "") for p in (here, there)], LIMITS, "scatter", black, size=400)
    assert (pixel(plain, 0.0, 0.5) == 255).all()


def test_coloured_by_time_all_points_share_its_colour() -> None:
    x = np.array([[1.0, 1.0], [-1.0, 0.5]])
    for t, frame in zip(
        (1.0, 0.25), points_film([Shot(x, "", None, Flow()(t)) for t in (1.0, 0.25)], LIMITS, colour="t", size=400),
        strict=True,
    ):  # fmt: skip
        wanted = 255 * (np.array(time_colours()(t)[:3]) * 0.85 + 0.15)
        assert np.abs([pixel(frame, *place) - wanted for place in x]).max() < 3


def test_noise_that_dwarfs_the_data_is_divided_and_the_caption_says_so() -> None:
    data = SwissRoll()
    x = data.draw(3, torch.Generator().manual_seed(0)).x
    far = [
        Shot((x - data.shift) * EDM()(1.0).scale + data.shift, "t", None, EDM()(1.0)),
        Shot(x, "t", None, EDM()(1.0)),
    ]
    films = [
        film_frames(data, [Panel("", iter([shot]))], Look(200, divided=wide))
        for shot, wide in zip(far, (True, False), strict=True)
    ]
    near, same = (next(film) for film in films)
    assert np.abs(near[:150].astype(int) - same[:150]).max() < 9 and (near[150:] != same[150:]).any()


def test_films_are_drawn_on_the_paper_of_the_theme() -> None:
    x = np.array([[0.5, 0.5]])
    with themed("dark"):
        frame = next(points_film(shots([x], "t = 1"), LIMITS, size=200))
        images = next(images_film(shots([torch.zeros(1, 1, 8, 8)], "t"), size=100, title="ddpm"))
    assert frame[0, 0].max() < 40 and frame.max() > 150
    assert images[0, 0].max() < 40 and images[-1, -1].max() < 40
