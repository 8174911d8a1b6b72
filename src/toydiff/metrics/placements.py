"""Every legal circle, line, rectangle and triangle that covers a given pixel of a picture, as rows of bits.

A shape moved by whole pixels keeps its pixels, so each form is painted once, by the generator's own raster, and stored
once for each of its pixels, relative to that pixel. A picture's row is one number of 64 bits; forms of up to 26 pixels
about a pixel in the middle fit in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from toydiff.data import raster
from toydiff.data.shapes import KINDS

Bits = NDArray[np.uint64]
Whole = NDArray[np.int64]

LARGEST = 32
"""The largest picture, in pixels a side."""
_REACH = 25  # rows above and below a pixel that a form may cover
_MIDDLE = LARGEST - 1  # the bit of the pixel itself
_OUTWARDS = [  # the rows in the order in which they are compared: those about the pixel refuse most forms
    slice(_REACH - 2, _REACH + 3),
    *(slice(a + _REACH, b + _REACH) for a, b in ((-5, -2), (3, 6), (-9, -5), (6, 10), (-_REACH, -9), (10, _REACH + 1))),
]


class Forms(NamedTuple):
    """Every form of every kind, once for each of its pixels: P rows."""

    bits: Bits
    """Its rows of bits about the pixel, (2 · _REACH + 1, P)."""
    kind: Whole
    """Its place in `KINDS`, (P,)."""
    corner: Whole
    """Row and column of its box relative to the pixel, (P, 2)."""
    extent: Whole
    """Height and width of its box, (P, 2)."""
    starts: Whole
    """Row and column of where it may start relative to its box, (P, 2, 2): a line from either of its ends."""
    rounded: NDArray[np.bool_]
    """Whether it holds the pixel only in column 0, where the raster rounds a half the other way, (P,)."""
    halves: Whole
    """The column of its box that it gains in each row if that is column 0 of the picture, (P, rows); −1 for none."""
    weight: NDArray[np.float64]
    """How often the generator draws it, in proportion, (P,)."""


class Placements(NamedTuple):
    """Shapes on a picture of `size` rows."""

    bits: Bits
    """Their pixels, (⌈size / 2⌉, K): two rows in each number."""
    kind: Whole
    """Their places in `KINDS`, (K,)."""
    weight: NDArray[np.float64]
    """How often the generator draws them, in proportion, (K,)."""

    def of(self, which: NDArray[np.generic]) -> Placements:
        """Return those that `which`, numbers or truths, points out."""
        return Placements(self.bits[:, which], self.kind[which], self.weight[which])


def pack(white: NDArray[np.bool_]) -> Bits:
    """Return a picture (size, size), at most 32 a side, as bits (⌈size / 2⌉, 1)."""
    ones = np.uint64(1) << np.arange(len(white), dtype=np.uint64)
    return _joined((white * ones).sum(1, dtype=np.uint64)[:, None])


def unpack(bits: Bits, size: int) -> NDArray[np.bool_]:
    """Return the pictures (K, size, size) of bits (⌈size / 2⌉, K)."""
    rows = np.stack([bits & np.uint64(0xFFFFFFFF), bits >> np.uint64(32)], 1).reshape(2 * len(bits), -1)[:size].T
    found: NDArray[np.bool_] = (rows[..., None] >> np.arange(size, dtype=np.uint64)) & np.uint64(1) == 1
    return found


def count(bits: Bits) -> Whole:
    """Return the number of ones in each column of bits (rows, K)."""
    ones: Whole = np.bitwise_count(bits).sum(0, dtype=np.uint16).astype(np.int64)
    return ones


def covering(pixel: tuple[int, int], white: NDArray[np.bool_], most: int) -> Placements:
    """Return the shapes on `pixel` that lie on the white pixels of a picture (size, size), but for `most` of theirs."""
    size, (y, x) = len(white), pixel
    forms, up = all_forms(size), np.uint64(_MIDDLE - x)
    ones = np.uint64(1) << np.arange(size, dtype=np.uint64)
    black = np.zeros(2 * _REACH + 1 + 2 * size, dtype=np.uint64)  # nothing is black outside the picture
    black[size + _REACH - y : 2 * size + _REACH - y] = (~white * ones).sum(-1, dtype=np.uint64) << up
    black = black[size : size + 2 * _REACH + 1]
    found, spilt = np.arange(forms.bits.shape[1]), np.zeros(forms.bits.shape[1], dtype=np.uint8)
    for rows in _OUTWARDS:
        ink = forms.bits[rows] if rows is _OUTWARDS[0] else forms.bits[rows][:, found]
        spilt += np.bitwise_count(ink & black[rows, None]).sum(0, dtype=np.uint8)
        fits = spilt <= most
        found, spilt = found[fits], spilt[fits]
    corner = forms.corner[found] + np.array(pixel)
    line = forms.kind[found] == KINDS.index("line")
    whole = ((corner >= 0) & (corner + forms.extent[found] <= size)).all(-1)
    starts = corner[:, None] + forms.starts[found]
    legal = np.where(line, ((starts >= 0) & (starts < size)).all(-1).any(-1), whole) & (
        ~forms.rounded[found] | (x == 0)
    )
    found, corner = found[legal], corner[legal]

    painted = np.zeros((size, len(found)), dtype=np.uint64)
    low, high = max(0, y - _REACH), min(size, y + _REACH + 1)
    painted[low:high] = (forms.bits[low - y + _REACH : high - y + _REACH][:, found] >> up) & np.uint64((1 << size) - 1)
    edge = np.flatnonzero(corner[:, 1] < 0)
    halves = forms.halves[found[edge]]
    which, row = np.nonzero((halves >= 0) & (corner[edge, 1:] + halves == 0))
    which, height = edge[which], corner[edge[which], 0] + row
    inside = (height >= 0) & (height < size)
    painted[height[inside], which[inside]] |= np.uint64(1)
    made = Placements(_joined(painted), forms.kind[found], forms.weight[found])
    return made.of(count(made.bits & ~pack(white)) <= most) if len(which) else made


@lru_cache(maxsize=2)
def all_forms(size: int) -> Forms:
    """Return the forms of the generator's shapes on pictures of `size` pixels a side."""
    columns: list[list[NDArray[np.generic]]] = [[] for _ in Forms._fields]
    for form in _painted(size):
        for column, value in zip(columns, _about_each_pixel(*form), strict=True):
            column.append(value)
    return Forms(*(np.concatenate(column, axis=1 if k == 0 else 0) for k, column in enumerate(columns)))


def _about_each_pixel(
    kind: str, first: Whole, last: Whole, halves: Whole, starts: Whole, weight: float
) -> tuple[NDArray[np.generic], ...]:
    """Return the rows of Forms of one form, whose runs are `first` to `last`: one row for each of its pixels."""
    height, width = len(first), int(last.max()) + 1
    columns = np.arange(width + 1)
    ink = (columns >= first[:, None]) & (columns <= last[:, None])
    gained = np.zeros_like(ink)
    gained[np.flatnonzero(halves >= 0), halves[halves >= 0]] = True
    y, x = np.nonzero(ink | gained)
    own = (ink * (np.uint64(1) << columns.astype(np.uint64))).sum(1, dtype=np.uint64)
    bits = np.zeros((len(y), 2 * _REACH + 1), dtype=np.uint64)
    for k in range(height):
        bits[np.arange(len(y)), _REACH + k - y] = own[k] << (_MIDDLE - x).astype(np.uint64)
    n, rows = len(y), np.full(2 * _REACH, -1)
    rows[:height] = halves
    return (
        bits.T,
        np.full(n, KINDS.index(kind)),
        -np.stack([y, x], 1),
        np.tile([height, width], (n, 1)),
        np.tile(starts, (n, 1, 1)),
        ~ink[y, x],
        np.tile(rows, (n, 1)),
        np.full(n, weight),
    )


def _painted(size: int) -> Iterator[tuple[str, Whole, Whole, Whole, Whole, float]]:
    """Yield every form: its kind, first and last columns, the half columns, where it starts, and its weight."""

    def lengths(low: int, high: int) -> torch.Tensor:
        return torch.arange((2 * low * size + 32) // 64, (2 * high * size + 32) // 64 + 1)

    def sides(low: int, high: int) -> tuple[torch.Tensor, torch.Tensor]:
        across, down = torch.meshgrid(lengths(low, high), lengths(low, high), indexing="ij")
        return across.flatten(), down.flatten()

    def at(like: torch.Tensor, sign: int = 1) -> torch.Tensor:
        return torch.full_like(like, sign * 2 * size)

    r, (w, h), (b, t) = lengths(3, 12), sides(4, 16), sides(6, 14)
    for kind, runs in (
        ("circle", raster.circles(at(r), at(r), r, 4 * size)),
        ("rectangle", raster.rectangles(at(w), at(w), w, h, 4 * size)),
        ("triangle", raster.triangles(at(b), at(b), b, t, 4 * size)),
    ):
        forms = list(zip(*(end.numpy().astype(np.int64) for end in runs), strict=True))
        for first, last in forms:
            rows = np.flatnonzero(first <= last)
            first, last = first[rows] - first[rows].min(), last[rows] - first[rows].min()
            room = (size + 1 - len(rows)) * (size - int(last.max()))
            nowhere, weight = np.full(len(rows), -1), 1 / (len(forms) * room)
            yield kind, first, last, nowhere, np.zeros((2, 2), dtype=np.int64), weight

    # A line and the same line from its other end are one form, which may start at either of two places.
    long, angle = lengths(5, 20), torch.arange(1 << 16, dtype=torch.float64) * (2 * math.pi / (1 << 16))
    way = torch.stack([angle.cos(), angle.sin()])
    dx, dy = (long[:, None] * way[:, None]).round().long().flatten(1)
    codes, often = (dx * 4 * size + dy).unique(return_counts=True)  # dx and dy in one number
    dx, dy = (codes + 2 * size).div(4 * size, rounding_mode="floor"), (codes + 2 * size) % (4 * size) - 2 * size
    right, left = raster.lines(at(dx), at(dx), dx, dy, 4 * size), raster.lines(at(dx, -1), at(dx), dx, dy, 4 * size)
    lines: dict[bytes, tuple[Whole, Whole, Whole, list[list[int]], float]] = {}
    for k in range(len(dx)):
        first, last, beyond = (end[k].numpy().astype(np.int64) for end in (*right, left[1]))
        rows = np.flatnonzero(first <= last)
        edge = first[rows].min()
        half = beyond[rows] + 4 * size > last[rows]  # on the negative side of 0 a half is rounded up
        first, last = first[rows] - edge, last[rows] - edge
        start = [2 * size - int(rows[0]), 2 * size - int(edge)]
        key = first.tobytes() + b"|" + last.tobytes()
        halves, starts, weight = np.where(half, last + 1, -1), [start], float(often[k])
        if key in lines:
            _, _, other, before, so_far = lines[key]
            halves, starts, weight = np.maximum(halves, other), [*before, start], so_far + weight
        lines[key] = first, last, halves, starts, weight
    for first, last, halves, starts, weight in lines.values():
        both = np.array([starts[0], starts[-1]])
        yield "line", first, last, halves, both, weight / (len(long) * (1 << 16) * size**2)


def _joined(rows: Bits) -> Bits:
    """Return rows (size, K), of at most 32 bits each, two in each number."""
    rows = np.pad(rows, ((0, len(rows) % 2), (0, 0)))
    return rows[0::2] | (rows[1::2] << np.uint64(32))
