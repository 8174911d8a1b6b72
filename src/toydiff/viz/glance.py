"""What a terminal shows of samples in the room it has: points as braille, numbers as bars, images as blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toydiff.data import Batch, Data
from toydiff.viz.images import shades
from toydiff.viz.overview import domain_of, names_of
from toydiff.viz.points import coordinate
from toydiff.viz.style import as_points, class_colours, class_palette, interval, robust_limits
from toydiff.viz.terminal import (
    Cells,
    above,
    bars,
    beside,
    braille,
    characters,
    framed,
    half_blocks,
    shaded,
    shrunk,
    words,
)

WIDEST = 48
"""Columns of a panel of points at most: wider, a thousand dots lie too far apart to be seen as a shape."""
NARROW, NARROWEST = 12, 4
"""Columns that a panel takes at least where there is another beside it, and that there must be for one."""
MARGIN = 0.06
"""Room around the points, as a share of their extent."""
MOST_NAMES = 8
"""Classes that are named under points."""


def glance(data: Data, sets: Sequence[tuple[str, Batch]], columns: int, rows: int, colour: bool) -> Cells:
    """Return titled sets of samples as characters, at most `columns` wide and about `rows` high.

    Points: a panel a set, the limits those of the first; of more than two coordinates a row of panels a set, one for
    each pair of the first three. Where there are few columns panels lie under one another. Images: as many of the last
    set as fit, not enlarged. With `colour` classes are told, and images are drawn, by colours.
    """
    columns = max(columns, NARROWEST)
    if data.pictorial:
        return _images(data, *sets[-1], columns, rows, colour)
    labelled = colour and sets[-1][1].label is not None and bool(data.label_names)
    grid = _line if data.shape == (1,) else _points
    drawn = grid(data, sets, columns, rows, labelled)
    return (
        above(drawn, _legend(data.label_names, columns)) if labelled and len(data.label_names) <= MOST_NAMES else drawn
    )


def _points(data: Data, sets: Sequence[tuple[str, Batch]], columns: int, rows: int, labelled: bool) -> Cells:
    """Return a square panel for each set, or for each of its pairs of coordinates."""
    pairs = list(combinations(range(min(math.prod(data.shape), 3)), 2))
    count, groups = (len(sets), 1) if len(pairs) == 1 else (len(pairs), len(sets))
    across = _across(count, columns)
    down = groups * math.ceil(count / across)
    side = min((columns + 2) // across - 4, 2 * (rows // down - 5), WIDEST) // 2
    side = max(2 * side, 2)
    panels: list[Cells] = []
    for title, batch in sets:
        points, row = as_points(batch.x), []
        colours = class_colours(batch.label, len(data.label_names)) if labelled and batch.label is not None else None
        for pair in pairs:
            limits = robust_limits(sets[0][1].x, pair=pair, margin=MARGIN)
            named = title if len(pairs) == 1 else f"{coordinate(pair[0])}, {coordinate(pair[1])}"
            named = _with_outside(named, points[:, pair], limits, side + 2)
            dots = braille(points[:, pair], limits, side, side // 2, colours)
            row.append(above(words(named, side + 2), framed(dots, limits[:2])))
        if len(row) > 1:
            joined = _laid(row, across)
            row = [above(words(title, joined.text.shape[1]), joined)]
        panels += row
    return _laid(panels, across) if len(pairs) == 1 else above(*panels)


def _across(count: int, columns: int) -> int:
    """Return how many of so many panels there is room for beside one another."""
    return max(1, min(count, (columns + 2) // (NARROW + 2)))


def _laid(panels: Sequence[Cells], across: int) -> Cells:
    return above(*(beside(*panels[k : k + across]) for k in range(0, len(panels), across)))


def _line(data: Data, sets: Sequence[tuple[str, Batch]], columns: int, rows: int, labelled: bool) -> Cells:
    """Return the densities of numbers, side by side, on one scale."""
    across = _across(len(sets), columns)
    width = max(min((columns + 2) // across - 4, WIDEST), 1)
    height = max(min(rows // math.ceil(len(sets) / across) - 4, width // 4), 1)
    low, high = interval(sets[0][1].x, margin=MARGIN)
    shares = [np.histogram(batch.x, width, (low, high))[0] / max(len(batch.x), 1) for _, batch in sets]
    most = max(max(each.max() for each in shares), 1e-12)
    panels = [
        above(words(title, width + 2), framed(bars(each / most, height), (low, high)))
        for (title, _), each in zip(sets, shares, strict=True)
    ]
    return _laid(panels, across)


def _images(data: Data, title: str, batch: Batch, columns: int, rows: int, colour: bool) -> Cells:
    """Return the first images in rows of as many as fit, with the names of their classes under them."""
    pixels = shades(batch.x, domain_of(data))
    names = [] if batch.label is None else names_of(data, batch.label)
    edge = 0 if colour else 1  # without colours black is the terminal's own: a frame says where an image ends
    around = 1 + bool(names) + 2 * edge  # lines: the title, a name, the frame
    height, width = pixels.shape[1:3]
    factor = max(1, math.ceil(width / (columns - 2 * edge)), math.ceil(height / (2 * max(rows - around, 1))))
    height, width = math.ceil(math.ceil(height / factor) / 2), math.ceil(width / factor) + 2 * edge
    across, down = (columns + 1) // (width + 1), max(1, (rows - 1) // (height + around - 1))
    tiles = [shrunk(each, factor) for each in pixels[: across * down]]
    if len(tiles) < len(pixels):
        title = f"{title}, the first {len(tiles):,}"
    drawn = [half_blocks(each) if colour else framed(shaded(each)) for each in tiles]
    if names:
        drawn = [above(tile, words(name, width)) for tile, name in zip(drawn, names, strict=False)]
    lines = [beside(*drawn[k : k + across], gap=1) for k in range(0, len(drawn), across)]
    return above(words(title, lines[0].text.shape[1]), *lines)


def _with_outside(title: str, points: NDArray[Any], limits: Sequence[float], room: int) -> str:
    """Return the title with how many points the panel leaves out, if any, where there is room to say so."""
    low, high = np.array(limits[::2]), np.array(limits[1::2])
    outside = int((~((points >= low) & (points <= high)).all(axis=1)).sum())
    said = f"{title} ({outside:,} outside)"
    return said if outside and len(said) <= room else title


def _legend(names: Sequence[str], columns: int) -> Cells:
    """Return "● name" for each class, in its colour, in as many lines as that takes."""
    lines: list[list[Cells]] = [[]]
    for name, colour in zip(names, class_palette(len(names)), strict=False):
        part = words(f"● {name}", min(len(characters(f"● {name}")), columns))
        part.ink[0, 0] = np.round(255 * colour)
        if lines[-1] and sum(each.text.shape[1] + 2 for each in lines[-1]) + part.text.shape[1] > columns:
            lines.append([])
        lines[-1].append(part)
    return above(*(beside(*line) for line in lines))
