"""Pictures of a few circles, lines, rectangles and triangles, white on black."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import combinations
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Generator, Tensor

from toydiff.data import raster
from toydiff.data.base import Batch, Data

KINDS = ("circle", "line", "rectangle", "triangle")
SMALLEST = 16
_CHUNK = 1 << 16  # rows of pixels painted at once: what is in between stays in the processor's cache


class Shapes(Data):
    """Pictures of 1 to `most` circles, lines, rectangles and triangles (labels: which kinds, and how many).

    The number of shapes is uniform; every shape's kind, and its sizes and place in whole pixels, are uniform and
    independent. For `size` = 32 (other sizes in proportion, halves rounded up):

        circle     radius 3 … 12                  ellipse [cx − r, cy − r, cx + r, cy + r]
        rectangle  width and height 4 … 16        rectangle [x, y, x + w, y + h]
        triangle   base and height 6 … 14         polygon (x, y), (x + b, y), (x + ⌊b/2⌋, y − h)
        line       length 5 … 20, width 2         from (x, y) by round(length · (cos φ, sin φ)), φ in [0, 2π)

    They lie wholly inside the picture, lines excepted: those start inside it and are cut off at its border. They are
    filled and may overlap, and each pixel is what Pillow's ImageDraw makes it. x is (1, size, size): black −1, white 1.

    A label counts the shapes that were drawn, also one that others cover (or, rarely, a line that the border cuts off
    in a corner). Its name is the set of kinds in alphabetical order, then the number of shapes if that is more than
    the kinds: `circle`, `circle:2`, `circle+line`, `circle+line:3`. `label_of` takes the kinds in any order.

    Picture i of n fixed ones is a function of (seed, i): a smaller set is the beginning of a larger one.
    """

    kind: Literal["shapes"] = "shapes"
    size: int = Field(32, le=512)
    most: int = Field(3, ge=1, le=20)

    units: ClassVar[str] = "brightness, black −1 to white 1"
    domain: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)

    @field_validator("size")
    @classmethod
    def _room_for_shapes(cls, size: int) -> int:
        if size < SMALLEST:
            raise ValueError(f"on {size} × {size} pixels the kinds of shapes look alike: take {SMALLEST} or more")
        return size

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, self.size, self.size)

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(_name(kinds, count) for kinds, count in self._classes)

    def _spelled(self, name: str) -> str:
        """Put kinds in order and drop a number that says nothing: `line+circle:2` is `circle+line`."""
        kinds, colon, count = name.partition(":")
        parts = sorted(kinds.split("+"))
        needless = count == str(len(parts)) and set(parts) <= set(KINDS)
        return "+".join(parts) + ("" if needless else colon + count)

    def label_frequencies(self) -> Tensor:
        """Return how often each label comes, (K,) float64; of endless data s(c, k) / (4ᶜ most) for c shapes of k kinds.

        s(c, k) = Σ_j (−1)ʲ C(k, j) (k − j)ᶜ is the number of ways to give c shapes k kinds, each at least once.
        """
        if self.n is not None:
            return super().label_frequencies()
        law = []
        for kinds, count in self._classes:
            k = len(kinds)
            ways = sum((-1) ** j * math.comb(k, j) * (k - j) ** count for j in range(k))
            law.append(ways / len(KINDS) ** count / self.most)
        return torch.tensor(law, dtype=torch.float64)

    @property
    def shift(self) -> Tensor:
        """0, not the mean picture: black and white are −1 and 1 to the model too, in every pixel."""
        return torch.zeros(self.shape)

    @property
    def scale(self) -> float:
        """1, exactly: x² = 1 in every pixel."""
        return 1.0

    def draw(self, n: int, generator: Generator) -> Batch:
        u = torch.rand(n, 1 + 5 * self.most, generator=generator, dtype=torch.float64)  # a row for each picture
        count, u = _whole(u[:, 0], 1, self.most), u[:, 1:].view(n, self.most, 5)
        kind, u = _whole(u[..., 0], 0, len(KINDS) - 1), u[..., 1:]
        drawn = torch.arange(self.most) < count[:, None]
        x, step = torch.empty(n, *self.shape), max(1, _CHUNK // (self.most * self.size))
        for part in (slice(start, start + step) for start in range(0, n, step)):
            covered = raster.ink(*self._runs(kind[part], u[part], drawn[part]))
            x[part, 0] = covered.float().mul_(2).sub_(1)
        present = torch.stack([((kind == k) & drawn).any(1) for k in range(len(KINDS))], 1)
        return Batch(x, self._label_table[(present * 2 ** torch.arange(len(KINDS))).sum(1), count])

    def _runs(self, kind: Tensor, u: Tensor, drawn: Tensor) -> raster.Runs:
        """Return the runs, (n, most, size), of the shapes made from uniform numbers u (n, most, 4)."""
        first = torch.ones(*kind.shape, self.size, dtype=torch.int16)
        last = torch.zeros_like(first)
        for k, shapes in enumerate((self._circles, self._lines, self._rectangles, self._triangles)):
            which = (kind == k) & drawn
            first[which], last[which] = shapes(*u[which].unbind(1))
        return first, last

    def _circles(self, radius: Tensor, _: Tensor, x: Tensor, y: Tensor) -> raster.Runs:
        r = self._length(radius, 3, 12)
        return raster.circles(self._place(x, r, r), self._place(y, r, r), r, self.size)

    def _lines(self, length: Tensor, angle: Tensor, x: Tensor, y: Tensor) -> raster.Runs:
        long, angle = self._length(length, 5, 20), 2 * math.pi * angle
        dx, dy = ((long * way).round().long() for way in (angle.cos(), angle.sin()))
        return raster.lines(self._place(x, 0, 0), self._place(y, 0, 0), dx, dy, self.size)

    def _rectangles(self, width: Tensor, height: Tensor, x: Tensor, y: Tensor) -> raster.Runs:
        w, h = self._length(width, 4, 16), self._length(height, 4, 16)
        return raster.rectangles(self._place(x, 0, w), self._place(y, 0, h), w, h, self.size)

    def _triangles(self, base: Tensor, height: Tensor, x: Tensor, y: Tensor) -> raster.Runs:
        b, h = self._length(base, 6, 14), self._length(height, 6, 14)
        return raster.triangles(self._place(x, 0, b), self._place(y, h, 0), b, h, self.size)

    def _length(self, u: Tensor, low: int, high: int) -> Tensor:
        """Return whole numbers from low to high, which are those for a side of 32, in proportion."""
        low, high = ((2 * bound * self.size + 32) // 64 for bound in (low, high))
        return _whole(u, low, high)

    def _place(self, u: Tensor, before: Tensor | int, after: Tensor | int) -> Tensor:
        """Return coordinates with so many pixels before and after them in the picture."""
        return _whole(u, before, self.size - 1 - after)

    @cached_property
    def _classes(self) -> list[tuple[tuple[str, ...], int]]:
        """What each label says: the kinds, in alphabetical order, and the number of shapes."""
        sets = [kinds for k in range(1, len(KINDS) + 1) for kinds in combinations(KINDS, k)]
        return [(kinds, count) for kinds in sets for count in range(len(kinds), self.most + 1)]

    @cached_property
    def _label_table(self) -> Tensor:
        """The label of a set of kinds, as the sum of 2ᵏ over their places in KINDS, and a number: (16, most + 1)."""
        table = torch.full((2 ** len(KINDS), self.most + 1), -1)
        for label, (kinds, count) in enumerate(self._classes):
            table[sum(2 ** KINDS.index(kind) for kind in kinds), count] = label
        return table


def _name(kinds: tuple[str, ...], count: int) -> str:
    return "+".join(kinds) + (f":{count}" if count > len(kinds) else "")


def _whole(u: Tensor, low: Tensor | int, high: Tensor | int) -> Tensor:
    """Return whole numbers from low to high, both included, all equally often, from uniform numbers in [0, 1)."""
    return low + (u * (high - low + 1)).long()
