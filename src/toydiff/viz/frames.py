"""The frames of films: one figure whose dots move, or a grid of images; each is drawn when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.viz.images import MARGIN, PADDING, UNIT, Domain, about_square, font, shades
from toydiff.viz.points import dots
from toydiff.viz.process import planar
from toydiff.viz.style import (
    Array,
    ArrayLike,
    Limits,
    angle_colours,
    as_points,
    dot_alpha,
    dot_area,
    set_limits,
    snapshot,
    theme,
)

MOST_DOTS = 20_000
"""A film draws this many points at most, evenly chosen: more would only turn the same pixels the same colour."""
SMALLEST = 0.5
"""Pixels of a film that a pixel of an image takes at least, across and up."""
CAPTION = 0.06
"""Share of an image film's height that its caption takes; at least 18 pixels."""


def points_film(
    x_t: Iterable[ArrayLike],
    captions: Iterable[str],
    limits: Limits,
    colour: Array | None = None,
    size: int = 720,
    overlay: ArrayLike | None = None,
    title: str = "",
) -> Iterator[NDArray[np.uint8]]:
    """Yield a `size` × `size` frame for each (N, D) array of points, its caption in the lower left corner,
    on a plate of paper, for points run under it.

    A point keeps its colour through the film: `colour` (N, 3), or by the direction in which it starts.
    `overlay` (M, D) lies still in grey behind, the data for example. D = 1 is spread out in height, with limits from
    −1.2 to 1.2; of D > 2 the first two coordinates are drawn. `title` is written at the top.
    Raises ToydiffError when the number of points changes, ValueError when captions and arrays differ in number.
    """
    canvas = FigureCanvasAgg(Figure(figsize=(size / 100, size / 100), dpi=100, facecolor=theme().paper))
    figure = canvas.figure
    ax = figure.add_axes((0, 0, 1, 1))
    ax.axis("off")
    set_limits(ax, limits)
    zoom = size / 720
    plate = {"facecolor": theme().paper, "edgecolor": "none", "alpha": 0.85, "boxstyle": "round,pad=0.25"}
    text: dict[str, Any] = {"transform": ax.transAxes, "color": theme().ink, "bbox": plate, "animated": True}
    heading = ax.text(0.5, 0.965, title, ha="center", va="top", fontsize=21 * zoom, **text)
    if overlay is not None:
        dots(ax, planar(overlay), theme().hairline, size=1.5 * zoom**2)
    caption = ax.text(0.03, 0.03, "", ha="left", va="bottom", fontsize=19 * zoom, **text)
    canvas.draw()  # type: ignore[no-untyped-call]
    background = canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]
    moving, count, chosen = None, 0, np.arange(0)
    for x, words in zip(x_t, captions, strict=True):
        points = as_points(x)
        if moving is None:
            count = len(points)
            shade = angle_colours(points) if colour is None else np.asarray(colour)
            # in random order: classes would cover one another; the same in every frame: no dot flickers
            chosen = np.random.default_rng(0).permutation(count)[:MOST_DOTS]
            moving = ax.scatter(
                np.zeros(len(chosen)), np.zeros(len(chosen)), s=1.8 * zoom**2 * dot_area(len(chosen)),
                c=shade[chosen], alpha=dot_alpha(len(chosen)), linewidths=0, animated=True,
            )  # fmt: skip
        if len(points) != count:
            raise ToydiffError(f"a film of {count} points got a frame of {len(points)}", "Keep the number of points.")
        moving.set_offsets(planar(points)[chosen])
        caption.set_text(words)
        canvas.restore_region(background)  # type: ignore[no-untyped-call]
        ax.draw_artist(moving)
        ax.draw_artist(caption)
        ax.draw_artist(heading)
        yield snapshot(canvas)


def film_grid(count: int, shape: tuple[int, ...], size: int) -> tuple[int, int, int]:
    """Return (columns, height, width) of the tiles with which `count` images (…, H, W) fill a `size` × `size` frame.

    Raises ConfigurationError if they would be smaller than half their size.
    """
    height, width = shape[-2:]
    columns, zoom = _fit(count, height, width, size)
    if zoom < SMALLEST:
        most = film_room(shape, size)
        raise ConfigurationError(
            f"{count:,} images of {height} × {width} do not fit into a film of {size} × {size} pixels",
            f"Take -n {most:,} or fewer, or a larger --size." if most else "Take a larger --size.",
        )
    return columns, int(zoom * height), int(zoom * width)


def film_room(shape: tuple[int, ...], size: int) -> int:
    """Return how many images (…, H, W) a `size` × `size` frame has room for."""
    height, width = shape[-2:]
    bound = int(size**2 / (SMALLEST**2 * height * width))
    return next((n for n in range(bound, 0, -1) if _fit(n, height, width, size)[1] >= SMALLEST), 0)


def _fit(count: int, height: int, width: int, size: int) -> tuple[int, float]:
    """Return the columns in which `count` images fill a frame best, and what they are enlarged by."""
    columns = about_square(count, height, width)
    across, up = (size - MARGIN) / columns, (size - MARGIN - max(18.0, CAPTION * size)) / math.ceil(count / columns)
    return columns, min((across - PADDING) / width, (up - PADDING) / height)


def images_film(
    x_t: Iterable[ArrayLike], captions: Iterable[str], size: int = 720, domain: Domain = UNIT
) -> Iterator[NDArray[np.uint8]]:
    """Yield a `size` × `size` frame for each (N, C, H, W) array of images in data units, its caption under the grid.

    domain[0] is black and domain[1] white; values beyond are clipped. Where a pixel is no whole number of pixels of
    the film, its edges are blended. Raises ConfigurationError if the images do not fit.
    """
    face = font(min(max(11, round(0.026 * size)), size // 12))  # legible, and no wider than the frame
    for x, words in zip(x_t, captions, strict=True):
        each = shades(x, domain)
        columns, height, width = film_grid(len(each), each.shape[1:3], size)
        zoom = math.ceil(height / each.shape[1])
        rows = math.ceil(len(each) / columns)
        left = (size - columns * (width + PADDING) + PADDING) // 2
        frame = Image.new("RGB", (size, size), theme().paper)
        for k, tile in enumerate(each.repeat(zoom, axis=1).repeat(zoom, axis=2)):
            place = left + k % columns * (width + PADDING), PADDING + k // columns * (height + PADDING)
            frame.paste(Image.fromarray(tile).resize((width, height), Image.Resampling.BOX), place)
        below = PADDING + rows * (height + PADDING)
        pen = ImageDraw.Draw(frame)
        pen.text((left, (below + size) / 2), words, fill=theme().ink, font=face, anchor="lm")
        yield np.asarray(frame)


def side_by_side(*films: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Yield films of equal height and length next to one another, a hairline between them."""
    for pictures in zip(*films, strict=True):
        line = np.full((len(pictures[0]), 2, 3), 213, np.uint8)
        row = [part for picture in pictures for part in (picture, line)][:-1]
        yield np.concatenate(row, axis=1)
