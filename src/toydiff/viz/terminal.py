"""Pictures made of characters: braille scatters, half-block images and bars, as arrays that somebody else prints.

A character is taken to be twice as tall as wide, as it is in most terminals: a braille character holds 2 × 4 dots and a
half block 1 × 2 pixels, so that dots and pixels are square.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toydiff.viz.sparkline import EIGHTHS
from toydiff.viz.style import ArrayLike, Limits, as_points

Text = NDArray[np.str_]
Colours = NDArray[np.int16]
"""(rows, columns, 3) from 0 to 255; −1: the terminal's own."""

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each of a braille character's 4 × 2 dots."""
BLANK = 0x2800
"""The braille character without any."""
SHADES = {
    " ": (0, 0), "░": (0.25, 0.25), "▒": (0.5, 0.5), "▓": (0.75, 0.75), "█": (1, 1), "▀": (1, 0), "▄": (0, 1),
}  # fmt: skip
"""How light the upper and the lower half of each character is, light on dark."""


class Cells(NamedTuple):
    """Characters (rows, columns), the colours they are written in, and those of the paper behind them."""

    text: Text
    ink: Colours
    paper: Colours

    @classmethod
    def plain(cls, text: Text) -> Cells:
        """Return text in the terminal's own colours."""
        return cls(text, np.full((*text.shape, 3), -1, np.int16), np.full((*text.shape, 3), -1, np.int16))

    @property
    def lines(self) -> list[str]:
        """The text alone, a line a row."""
        return ["".join(row).rstrip() for row in self.text]


def braille(points: ArrayLike, limits: Limits, columns: int, rows: int, colours: NDArray[Any] | None = None) -> Cells:
    """Return (N, 2) points as dots, 2 × 4 to a character; those outside the limits are left out.

    The lower and left edges belong to the picture and so do the upper and right ones. With `colours` (N, 3) in [0, 1] a
    character takes the colour that most of its points have, the first of them in a tie.
    """
    where = as_points(points)
    x_low, x_high, y_low, y_high = limits
    with np.errstate(invalid="ignore"):
        across, up = (where[:, 0] - x_low) / (x_high - x_low), (where[:, 1] - y_low) / (y_high - y_low)
        inside = (across >= 0) & (across <= 1) & (up >= 0) & (up <= 1)
    x = np.minimum(across[inside] * (2 * columns), 2 * columns - 1).astype(int)
    y = np.minimum((1 - up[inside]) * (4 * rows), 4 * rows - 1).astype(int)
    dots = np.zeros((4 * rows, 2 * columns), bool)
    dots[y, x] = True
    bits = dots.reshape(rows, 4, columns, 2).transpose(0, 2, 1, 3) * DOTS
    signs = np.array([" ", *map(chr, range(BLANK + 1, BLANK + 256))])  # some typefaces draw U+2800 as eight rings
    cells = Cells.plain(signs[bits.sum(axis=(2, 3))])
    if colours is not None and inside.any():
        kinds, kind = np.unique(np.asarray(colours)[inside], axis=0, return_inverse=True)
        votes = np.zeros((rows, columns, len(kinds)), int)
        np.add.at(votes, (y // 4, x // 2, kind.ravel()), 1)
        cells.ink[votes.any(axis=2)] = np.round(255 * kinds)[votes.argmax(axis=2)][votes.any(axis=2)]
    return cells


def half_blocks(pixels: NDArray[np.uint8]) -> Cells:
    """Return (H, W, 3) uint8 as upper half blocks, two pixels a character: the ink is the upper, the paper the lower.

    An odd last row has the terminal's own colour below it.
    """
    height, width = pixels.shape[:2]
    tall = np.full((height + height % 2, width, 3), -1, np.int16)
    tall[:height] = pixels
    return Cells(np.full((len(tall) // 2, width), "▀"), tall[::2], tall[1::2])


def shaded(pixels: NDArray[np.uint8]) -> Cells:
    """Return (H, W, 3) uint8 without colours: each pair of pixels is the nearest of SHADES, light on dark.

    Lightness is that of ITU-R BT.601; an odd last row is black below.
    """
    height, width = pixels.shape[:2]
    light = np.zeros((height + height % 2, width))
    light[:height] = pixels @ np.array([0.299, 0.587, 0.114]) / 255
    pairs = np.stack([light[::2], light[1::2]], axis=-1)
    far = ((pairs[:, :, None] - np.array(list(SHADES.values()))) ** 2).sum(axis=-1)
    return Cells.plain(np.array(list(SHADES))[far.argmin(axis=-1)])


def bars(heights: ArrayLike, rows: int) -> Cells:
    """Return (N,) heights in [0, 1] as bars side by side, to an eighth of a character of `rows`."""
    eighths = np.round(8 * rows * np.asarray(heights, dtype=np.float64)).astype(int)
    fill = np.clip(eighths - 8 * np.arange(rows)[::-1, None], 0, 8)
    return Cells.plain(np.array(list(EIGHTHS))[fill])


def shrunk(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) pixels averaged in squares of `factor` × `factor`; those at the far edges may be smaller."""
    down, across = (np.arange(0, size, factor) for size in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.int64), down, axis=0), across, axis=1)
    counts = np.outer(np.diff([*down, pixels.shape[0]]), np.diff([*across, pixels.shape[1]]))
    means: NDArray[np.uint8] = np.round(sums / counts[:, :, None]).astype(np.uint8)
    return means


def characters(text: str) -> list[str]:
    """Return text a column each: a wide character fills two, the second empty; what fills none is left out.

    So is what would move the cursor: names of classes come from files.
    """
    known = [c for c in text if c.isprintable() and not unicodedata.combining(c)]
    return [part for c in known for part in ((c, "") if unicodedata.east_asian_width(c) in "WF" else (c,))]


def words(text: str, width: int) -> Cells:
    """Return one line of text in the middle of `width` columns, cut off with "…" if it is longer."""
    line = characters(text)
    if len(line) > width:
        kept = line[: max(width - 1, 0)]
        if kept and line[len(kept)] == "":
            kept[-1] = " "  # where half a character would stand
        line = [*kept, "…"][:width]
    left = (width - len(line)) // 2
    return Cells.plain(np.array([[" "] * left + line + [" "] * (width - len(line) - left)], dtype="<U1"))


def framed(inner: Cells, ends: tuple[float, float] | None = None) -> Cells:
    """Return cells in a frame, at whose lower edge stand the values at its ends where there is room."""
    rows, columns = inner.text.shape
    left, right = (f" {end:.3g} ".replace("-", "−") for end in ends) if ends else ("", "")
    if len(left + right) + 2 > columns:
        left, right = "", ""
    foot = left + "─" * (columns - len(left) - len(right)) + right
    lines = [f"┌{'─' * columns}┐", *(f"│{' ' * columns}│" for _ in range(rows)), f"└{foot}┘"]
    frame = Cells.plain(np.array([list(line) for line in lines]))
    for whole, part in zip(frame, inner, strict=True):
        whole[1:-1, 1:-1] = part
    return frame


def above(*parts: Cells) -> Cells:
    """Return cells one under another, each from the left, filled up to the widest."""
    return _joined(parts, 0)


def beside(*parts: Cells, gap: int = 2) -> Cells:
    """Return cells side by side, their tops level, `gap` columns between them."""
    space = Cells.plain(np.full((1, gap), " "))
    return _joined([part for each in parts for part in (space, each)][1:], 1)


def _joined(parts: Sequence[Cells], axis: int) -> Cells:
    size = [sum(each.text.shape[k] if k == axis else 0 for each in parts) for k in (0, 1)]
    size[1 - axis] = max(each.text.shape[1 - axis] for each in parts)
    whole, at = Cells.plain(np.full(size, " ")), [0, 0]
    for each in parts:
        rows, columns = each.text.shape
        for layer, part in zip(whole, each, strict=True):
            layer[at[0] : at[0] + rows, at[1] : at[1] + columns] = part
        at[axis] += each.text.shape[axis]
    return whole
