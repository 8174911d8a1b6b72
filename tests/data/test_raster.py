"""Rasters against Pillow: every size of every shape, at every border, in pictures of several sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from toydiff.data import raster

Drawing = Callable[[ImageDraw.ImageDraw], None]
sizes = pytest.mark.parametrize("size", [16, 28, 32, 48, 64])


def pillow(drawing: Drawing, size: int) -> np.ndarray:
    image = Image.new("L", (size, size))
    drawing(ImageDraw.Draw(image))
    return np.asarray(image) > 0


def starts(size: int, count: int) -> Iterator[tuple[int, int]]:
    """Corners, middles of the sides, and `count` random places."""
    ends = (0, size // 2, size - 1)
    yield from product(ends, ends)
    yield from torch.randint(0, size, (count, 2), generator=torch.Generator().manual_seed(size)).tolist()


def compare(
    shapes: Callable[..., raster.Runs], numbers: list[tuple[int, ...]], draw: Callable[..., Drawing], size: int
):
    """Every tuple of numbers gives the same pixels by `shapes` as by Pillow."""
    first, last = shapes(*torch.tensor(numbers).unbind(1), size)
    assert first.shape == last.shape == (len(numbers), size) and first.dtype == last.dtype == torch.int16
    made = raster.ink(first[:, None], last[:, None]).numpy()
    wrong = [one for one, pixels in zip(numbers, made, strict=True) if (pixels != pillow(draw(*one), size)).any()]
    assert not wrong, f"{len(wrong)} of {len(numbers)}, such as {wrong[:3]}"


def circle(cx: int, cy: int, r: int) -> Drawing:
    return lambda draw: draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=255)


def rectangle(x: int, y: int, w: int, h: int) -> Drawing:
    return lambda draw: draw.rectangle([x, y, x + w, y + h], fill=255)


def triangle(x: int, y: int, b: int, h: int) -> Drawing:
    return lambda draw: draw.polygon([(x, y), (x + b, y), (x + b // 2, y - h)], fill=255)


def line(x: int, y: int, dx: int, dy: int) -> Drawing:
    return lambda draw: draw.line([x, y, x + dx, y + dy], fill=255, width=2)


@sizes
def test_circles_of_every_radius(size: int) -> None:
    compare(raster.circles, [(*c, r) for c in starts(size, 10) for r in range(1, size // 2 + 2)], circle, size)


@sizes
def test_rectangles_of_every_size(size: int) -> None:
    wide = range(1, size // 2 + 1, 1 if size <= 32 else 3)
    compare(raster.rectangles, [(*at, w, h) for at in starts(size, 1) for w in wide for h in wide], rectangle, size)


@sizes
def test_triangles_of_every_size(size: int) -> None:
    wide = range(2, size // 2 + 1, 1 if size <= 32 else 3)
    compare(raster.triangles, [(*at, b, h) for at in starts(size, 1) for b in wide for h in wide], triangle, size)


@sizes
def test_lines_of_every_direction_and_length_cut_at_every_border(size: int) -> None:
    longest = max(21, 20 * size // 32 + 1)
    reach = range(-longest, longest + 1, 1 if size <= 32 else 3)
    ways = [(dx, dy) for dx in reach for dy in reach if 1 <= math.hypot(dx, dy) <= longest]
    compare(raster.lines, [(*at, *way) for at in starts(size, 1) for way in ways], line, size)


def test_a_float32_rounding_that_depends_on_the_place() -> None:
    """At base 4 and height 28 a side's slope is not exact in float32, and halves fall as the place has it."""
    numbers = [(x, 60, 4, 28) for x in range(60)]
    compare(raster.triangles, numbers, triangle, 64)
    first, _ = raster.triangles(*torch.tensor(numbers).unbind(1), 64)
    assert len(torch.unique(first - torch.arange(60)[:, None], dim=0)) > 1


def test_ink_is_the_union() -> None:
    def runs(*rows: tuple[int, int]) -> raster.Runs:
        first, last = torch.tensor(rows, dtype=torch.int16).T
        return first, last

    (a, b), (c, d) = runs((0, 1), (1, 0), (-3, 9)), runs((2, 2), (1, 0), (1, 1))
    covered: Tensor = raster.ink(torch.stack([a, c])[None], torch.stack([b, d])[None])
    assert covered.tolist() == [[[True] * 3, [False] * 3, [True] * 3]]


def test_no_shapes_at_all() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    for shapes, count in ((raster.circles, 3), (raster.rectangles, 4), (raster.triangles, 4), (raster.lines, 4)):
        first, last = shapes(*[none] * count, 32)  # type: ignore[operator]
        assert first.shape == last.shape == (0, 32)
