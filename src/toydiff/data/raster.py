"""Filled circles, rectangles, triangles and lines, pixel for pixel as Pillow's ImageDraw fills them.

Each shape here is convex and meets every row of pixels in one run: a shape is its runs, first and last column (n, size)
int16 of every row, the row being empty where first > last. Columns may lie outside the image, which clips them. Whole
pixel coordinates are pixel centres, and both ends of a run belong to it: a rectangle from x to x + w is w + 1 wide.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Runs = tuple[Tensor, Tensor]


def ink(first: Tensor, last: Tensor) -> Tensor:
    """Return what the runs of some shapes an image, (n, shapes, size), cover together: (n, size, size) bool."""
    n, shapes, size = first.shape
    columns = torch.arange(size, dtype=torch.int16)
    covered = torch.zeros(n, size, size, dtype=torch.bool)
    for k in range(shapes):
        covered |= (columns >= first[:, k, :, None]) & (columns <= last[:, k, :, None])
    return covered


def circles(cx: Tensor, cy: Tensor, r: Tensor, size: int) -> Runs:
    """Return the runs of discs of radius r ≥ 1 about (cx, cy), each (n,): ellipse [cx − r, cy − r, cx + r, cy + r]."""
    widths = _half_widths(max(size // 2, int(r.max()) if len(r) else 0))
    away = (torch.arange(size) - cy[:, None]).abs().clamp(max=widths.shape[1] - 1)
    half = widths[r[:, None], away]
    return _short(cx[:, None] - half), _short(cx[:, None] + half)


@lru_cache(maxsize=8)
def _half_widths(largest: int) -> Tensor:
    """Return how far a disc of radius r reaches to either side, y rows from its centre: (r, y), −1 where it does not.

    The outline is walked from (r, 0) to (0, r), each step going up, left or both, to where |x² + y² − r²| is least (up
    before both before left): Bresenham's rule (1977). The first point on a row is the outermost.
    """
    widths = torch.full((largest + 1, largest + 2), -1)
    for r in range(largest + 1):
        x, y = r, 0
        widths[r, 0] = r
        while y < r:
            steps = [(x, y + 1), (x - 1, y + 1), (x - 1, y)] if x > 0 else [(x, y + 1)]
            above, (x, y) = y, min(steps, key=lambda point: abs(point[0] ** 2 + point[1] ** 2 - r**2))
            if y > above:
                widths[r, y] = x
    return widths


def rectangles(x: Tensor, y: Tensor, w: Tensor, h: Tensor, size: int) -> Runs:
    """Return the runs of rectangles [x, y, x + w, y + h], each (n,)."""
    rows, top = torch.arange(size), y[:, None]
    inside = (rows >= top) & (rows <= top + h[:, None])
    return _short(x[:, None].expand(-1, size)), _short(torch.where(inside, (x + w)[:, None], x[:, None] - 1))


def triangles(x: Tensor, y: Tensor, b: Tensor, h: Tensor, size: int) -> Runs:
    """Return the runs of triangles (x, y), (x + b, y), (x + ⌊b/2⌋, y − h), each (n,)."""
    return _polygons([(x, y), (x + b, y), (x + b // 2, y - h)], size)


def lines(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor, size: int) -> Runs:
    """Return the runs of lines of width 2 from (x, y) to (x + dx, y + dy), each (n,), none of length 0.

    Such a line is the quadrangle between it and its copy one pixel aside: across, down or both, whichever of
    (sin, cos) of its angle rounds to 1.
    """
    across = torch.where(3 * dy**2 > dx**2, dy.sign(), 0)  # |dy| > ½ √(dx² + dy²), in whole numbers
    down = torch.where(3 * dx**2 > dy**2, dx.sign(), 0)
    ends = x + dx, y + dy
    return _polygons([(x, y + down), (ends[0], ends[1] + down), (ends[0] + across, ends[1]), (x + across, y)], size)


class _Edge:
    """A side of n polygons, from (x0, y0) to (x1, y1), each (n,); in float32, as Pillow counts."""

    def __init__(self, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]) -> None:
        (self.x0, self.y0), (x1, y1) = ([v.float()[:, None] for v in point] for point in (start, end))
        self.top, self.bottom = torch.minimum(self.y0, y1), torch.maximum(self.y0, y1)
        self.left, self.right = torch.minimum(self.x0, x1), torch.maximum(self.x0, x1)
        self.flat = self.y0 == y1
        self.slope = torch.where(self.flat, 0.0, (x1 - self.x0) / torch.where(self.flat, 1.0, y1 - self.y0))

    def at(self, y: Tensor) -> Tensor:
        """Return its x at the heights y, (n, rows), also beyond its ends."""
        return (y - self.y0) * self.slope + self.x0

    def meets(self, y: Tensor) -> Tensor:
        """Return whether the heights y lie between its ends; a flat side meets none."""
        return ~self.flat & (self.top <= y) & (y <= self.bottom)

    def corner(self, y: Tensor) -> Tensor:
        """Return whether a slanting side ends at the heights y."""
        return (self.slope != 0) & ((self.top == y) | (self.bottom == y))


def _polygons(corners: list[tuple[Tensor, Tensor]], size: int) -> Runs:
    """Return the runs of convex polygons, by Pillow's scanline rule.

    A run goes from the leftmost to the rightmost side that meets the row; halves are rounded inwards on the positive
    side of 0. A pointed corner, whose two sides both leave it to the same hand by more than a pixel in the next row, is
    drawn out until it touches that row.
    """
    y = torch.arange(size, dtype=torch.float32)[None]
    sides = [_Edge(*ends) for ends in zip(corners, [*corners[1:], corners[0]], strict=True)]
    lowest = torch.stack([side.bottom for side in sides]).amax(0)
    first = torch.full((len(lowest), size), torch.inf)
    last = -first
    for i, side in enumerate(sides):
        x = side.at(y)
        pointed = side.corner(y) & ((y != side.bottom) | (y == lowest))
        next_row = torch.where(y == side.bottom, y - 1, y + 1)
        beside = side.at(next_row)
        for other in sides[:i]:
            joined = pointed & other.corner(y) & (_outwards(side.at(y)) == _outwards(other.at(y)))
            joined &= other.meets(next_row)
            pointed = pointed & ~joined
            also = other.at(next_row)
            near, far = torch.maximum(beside, also), torch.minimum(beside, also)
            x = torch.where(joined & (x > near + 1), _outwards(near) + 1, x)
            x = torch.where(joined & (x < far - 1), _outwards(far) - 1, x)
        meets, along = side.meets(y), side.flat & (side.y0 == y)
        first = first.minimum(torch.where(meets, x, torch.where(along, side.left, torch.inf)))
        last = last.maximum(torch.where(meets, x, torch.where(along, side.right, -torch.inf)))
    empty = first > last
    return _short(_outwards(first).masked_fill(empty, 1)), _short(_inwards(last).masked_fill(empty, 0))


def _outwards(x: Tensor) -> Tensor:
    """Round to the nearest, halves away from 0."""
    return x.sign() * (x.abs() + 0.5).floor()


def _inwards(x: Tensor) -> Tensor:
    """Round to the nearest, halves towards 0."""
    return x.sign() * (x.abs() - 0.5).ceil()


def _short(x: Tensor) -> Tensor:
    return x.to(torch.int16)
