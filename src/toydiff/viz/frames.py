"""The frames of films: panels side by side, of points that move or of grids of images; each drawn when asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from toydiff.data import Data
from toydiff.errors import ConfigurationError
from toydiff.viz.images import MARGIN, PADDING, UNIT, Domain, about_square, font, shades
from toydiff.viz.moving import Shot, points_film, shares
from toydiff.viz.overview import domain_of, rescaled
from toydiff.viz.process import planar
from toydiff.viz.style import Array, ArrayLike, Limits, class_colours, robust_limits, theme

SMALLEST = 0.5
"""Pixels of a film that a pixel of an image takes at least, across and up."""
LEGIBLE = 6
"""Pixels of words below which nobody could read them: they are left out."""
CAPTION, TITLE = 0.06, 0.065
"""Shares of an image film's height that its caption and its title, if it has one, take; at least 18 pixels."""


class Panel(NamedTuple):
    """One of the films that run side by side: its title, its shots, the labels (N,) of what it shows, if any.

    `still` is for the data beside what is made of them: grey where nothing says otherwise.
    """

    title: str
    shots: Iterator[Shot]
    label: ArrayLike | None = None
    still: bool = False


class Look(NamedTuple):
    """How a film looks: `size` pixels a side of a panel, a style and colours for points, data in grey behind them.

    colour: "class", "start", "t", or None for the class where there is one and else the start. Where noise dwarfs the
    data, x_t is `divided` by √(alpha² + sigma²), and the caption says so.
    """

    size: int = 720
    style: str = "scatter"
    colour: str | None = None
    overlay: ArrayLike | None = None
    divided: bool = False


def film_frames(data: Data, panels: Sequence[Panel], look: Look) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a film of samples of `data`: points in limits that hold the data, or grids of images."""
    titled = len(panels) > 1 or bool(panels[0].title)
    films = []
    limits, peak = None, 0.0
    if not data.pictorial:
        limits = film_limits(data)
        peak = float(shares(planar(_drawn(data)), limits).max()) if look.style == "density" else 0.0
    for title, shots, label, still in panels:
        shown = (divided_shot(shot, data) for shot in shots) if look.divided else shots
        if limits is None:
            films.append(images_film(shown, look.size, domain_of(data), title if titled else None))
        else:
            colour = _colours(data, label, still, look.colour)
            films.append(points_film(shown, limits, look.style, colour, look.size, look.overlay, title, peak))
    return side_by_side(*films)


def film_limits(data: Data) -> Limits:
    """Return the limits of a film of points: they hold the data, and some of the noise around them."""
    return robust_limits(planar(_drawn(data)), margin=0.25)


def _drawn(data: Data) -> torch.Tensor:
    return data.outline(10_000)


def _colours(data: Data, label: ArrayLike | None, still: bool, by: str | None) -> Array | str | None:
    """Return what `points_film` takes for the colours of a panel."""
    if label is not None and by in (None, "class"):
        return class_colours(label, len(data.label_names))
    if still:
        return np.array([to_rgb(theme().data)])
    return "t" if by == "t" else None


def divided_shot(shot: Shot, data: Data) -> Shot:
    """Return the shot with x_t divided by √(alpha² + sigma²) about the middle of its values."""
    if shot.level is None:
        return shot
    about = sum(domain_of(data)) / 2 if data.pictorial else data.shift.numpy()
    said = f"{shot.caption}   (xₜ / √(α² + σ²))"
    return shot._replace(x=rescaled(shot.x, float(shot.level.scale), about), caption=said)


def film_grid(count: int, shape: tuple[int, ...], size: int, titled: bool = False) -> tuple[int, int, int]:
    """Return (columns, height, width) of the tiles with which `count` images (…, H, W) fill a `size` × `size` frame.

    Raises ConfigurationError if they would be smaller than half their size.
    """
    height, width = shape[-2:]
    columns, zoom = _fit(count, height, width, size, titled)
    if zoom < SMALLEST:
        most = film_room(shape, size, titled)
        raise ConfigurationError(
            f"{count:,} images of {height} × {width} do not fit into a film of {size} × {size} pixels",
            f"Take -n {most:,} or fewer, or a larger --size." if most else "Take a larger --size.",
        )
    return columns, int(zoom * height), int(zoom * width)


def film_room(shape: tuple[int, ...], size: int, titled: bool = False) -> int:
    """Return how many images (…, H, W) a `size` × `size` frame has room for."""
    height, width = shape[-2:]
    bound = int(size**2 / (SMALLEST**2 * height * width))
    return next((n for n in range(bound, 0, -1) if _fit(n, height, width, size, titled)[1] >= SMALLEST), 0)


def _fit(count: int, height: int, width: int, size: int, titled: bool) -> tuple[int, float]:
    """Return the columns in which `count` images fill a frame best, and what they are enlarged by."""
    columns = about_square(count, height, width)
    words = max(18.0, CAPTION * size) + (_top(size) if titled else 0)
    across, up = (size - MARGIN) / columns, (size - MARGIN - words) / math.ceil(count / columns)
    return columns, min((across - PADDING) / width, (up - PADDING) / height)


def _top(size: int) -> int:
    return max(18, round(TITLE * size))


def images_film(
    shots: Iterable[Shot], size: int = 720, domain: Domain = UNIT, title: str | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield a `size` × `size` frame for each shot of (N, C, H, W) images in data units, its caption under the grid.

    domain[0] is black and domain[1] white; values beyond are clipped. Where a pixel is no whole number of pixels of
    the film, its edges are blended. A `title`, even an empty one, takes a line at the top. Raises ConfigurationError if
    the images do not fit.
    """
    shots = iter(shots)
    if (opening := next(shots, None)) is None:
        return
    top = PADDING if title is None else _top(size)
    pixels = max(11, round(0.03 * size))
    for shot in chain([opening], shots):
        each = shades(shot.x, domain)
        columns, height, width = film_grid(len(each), each.shape[1:3], size, title is not None)
        zoom = math.ceil(height / each.shape[1])
        rows = math.ceil(len(each) / columns)
        left = (size - columns * (width + PADDING) + PADDING) // 2
        frame = Image.new("RGB", (size, size), theme().paper)
        for k, tile in enumerate(each.repeat(zoom, axis=1).repeat(zoom, axis=2)):
            place = left + k % columns * (width + PADDING), top + k // columns * (height + PADDING)
            frame.paste(Image.fromarray(tile).resize((width, height), Image.Resampling.BOX), place)
        below = top + rows * (height + PADDING)
        pen = ImageDraw.Draw(frame)
        pixels = _fitting(shot.caption, pixels, size - left)  # what was small once stays so
        if pixels >= LEGIBLE:
            pen.text((left, (below + size) / 2), shot.caption, fill=theme().ink, font=font(pixels), anchor="lm")
        if title and (heading := _fitting(title, max(12, round(0.034 * size)), size)) >= LEGIBLE:
            pen.text((size / 2, top / 2), title, fill=theme().ink, font=font(heading), anchor="mm")
        yield np.asarray(frame)


def _fitting(words: str, wanted: int, room: int) -> int:
    """Return how many pixels high the words are: as wanted, or as fit into the room with a digit more; 0 if none do."""
    sizes = (k for k in range(wanted, 0, -1) if font(k).getlength(f"{words}00") <= room - 2 * PADDING)
    return next(sizes, 0)


def side_by_side(*films: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Yield films of equal height next to one another, a hairline between them."""
    rgb = [round(255 * part) for part in to_rgb(theme().hairline)]
    for pictures in zip(*films, strict=True):
        line = np.broadcast_to(np.array(rgb, np.uint8), (len(pictures[0]), 2, 3))
        row = [part for picture in pictures for part in (picture, line)][:-1]
        yield np.concatenate(row, axis=1)
