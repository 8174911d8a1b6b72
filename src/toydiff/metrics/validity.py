"""Is a picture exactly what the generator of shapes could have drawn, and if so, of which shapes?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toydiff.data.shapes import KINDS
from toydiff.metrics.placements import Bits, Placements, Whole, count, covering, pack, unpack

Shapes: TypeAlias = tuple[tuple[int, Bits], ...]
"""The kind and the pixels of each."""

EFFORT = {True: 1_000_000, False: 100_000}
"""Shapes looked at before a search, exact or not, is given up: a picture nearly all white has endless explanations.

In 2,000 real pictures an exact search has never looked at more than 100,000.
"""
NODE = 1000
"""What a step of the search counts at least."""
PAIRS, ROUNDS = 1 << 18, 256
"""Pairs compared at once, and shapes compared with all others before the rest are taken as they are."""
BRANCHES = 24
"""Shapes that are tried on a pixel when some pixels may differ: those that add most to what is covered."""
THIN = ((0.25, 4), (0.5, 2))
"""What this share of the pixels, those with the least white around them, count more: they are the hardest to cover."""


class Explanation(NamedTuple):
    """The shapes that together come nearest to a picture."""

    distance: int | None
    """Pixels in which their union differs from the picture; None where no union comes as near as was asked for."""
    kinds: tuple[str, ...]
    """The kind of each shape, in alphabetical order."""
    ink: Tensor
    """The pixels of each shape, (shapes, size, size) bool."""


def explain(x: Tensor, most: int = 3, within: int = 4) -> list[Explanation]:
    """Return the union of at most `most` shapes nearest to each picture x > 0, if it is at most `within` pixels away.

    x is (N, 1, size, size), at most 32 a side. An exact union is found, with as few shapes as will do. Failing
    that, shapes are tried on the open pixel that fewest should lie on and on its neighbours, as many as it takes for
    one of them to be covered; a shape is left out if another covers the same and spills no more, and of the rest only
    those that add most are tried. A distance above 0 is thus an upper bound: of real pictures with a pixel flipped
    on an outline one in fifty is taken for farther away, with two one in twelve.

    A picture without a white pixel is no union, though one real one in 50,000 is just that: a line that misses it.
    """
    return [_Search(white, most).explain(within) for white in (x[:, 0] > 0).cpu().numpy()]


class _Search:
    """The search for one picture."""

    def __init__(self, white: NDArray[np.bool_], most: int) -> None:
        self.white, self.most, self.size = white, most, len(white)
        self.bits = pack(white)
        y, x = np.nonzero(white)
        # fewest shapes lie on pixels in corners and at ends: those with little white around them
        total = np.pad(np.pad(white, 4).astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        around = np.zeros(len(y), dtype=np.int64)
        for k in (2, 4):
            top, bottom, left, right = y + 4 - k, y + 5 + k, x + 4 - k, x + 5 + k
            around += total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        self.pixels = np.stack([y, x], 1)[np.argsort(around, kind="stable")]
        thin = np.zeros((len(THIN), *white.shape), dtype=bool)
        for k, (share, _) in enumerate(THIN):
            thin[k][tuple(self.pixels[: int(share * len(y))].T)] = True
        self.thin = [pack(part) for part in thin]
        self.known: dict[tuple[int, bytes], Placements] = {}
        self.work = 0

    def explain(self, within: int) -> Explanation:
        nothing: Bits = np.zeros_like(self.bits)
        self.best = within + 1
        self.chosen: Shapes = ()
        if len(self.pixels) and not self._exactly():
            for nearer in sorted({1, 2, within}):  # what lies nearer is found more surely among fewer shapes
                if 0 < nearer <= within and nearer < self.best:
                    self.work = 0
                    self._cover(self.bits, nothing, self.most, (), nearer)
        order: list[tuple[int, Bits]] = sorted(self.chosen, key=lambda shape: shape[0])
        ink = unpack(np.concatenate([nothing[:, :0], *(bits for _, bits in order)], 1), self.size)
        distance = self.best if order else None
        return Explanation(distance, tuple(KINDS[kind] for kind, _ in order), torch.from_numpy(ink))

    def _exactly(self) -> bool:
        """Look for shapes whose union is the picture, as few as possible."""
        nothing, self.work = np.zeros_like(self.bits), 0
        return any(self._cover(self.bits, nothing, shapes, (), 0) for shapes in range(1, self.most + 1))

    def _cover(self, rest: Bits, spilt: Bits, shapes: int, before: Shapes, within: int) -> bool:
        """Look for `shapes` more that cover `rest` in all but `within` pixels, those `spilt` included; say if exact."""
        spent, left = int(count(spilt)[0]), int(count(rest)[0])
        if before and left + spent <= min(within, self.best - 1):
            self.best, self.chosen = left + spent, before
        budget = min(within, self.best - 1) - spent
        if budget < 0 or shapes == 0 or self.work > EFFORT[within == 0]:
            return self.best == 0
        found = self._on(self._hardest(rest, budget + 1), within)
        self.work += NODE + len(found.kind)
        new, spills = found.bits & rest, (found.bits & ~self.bits) | spilt
        gain, cost = count(new), count(spills)
        if shapes == 1:
            total = left - gain + cost
            if len(total) and total.min() <= budget + spent:
                best = np.lexsort((-found.weight, total))[0]
                self.best, self.chosen = int(total[best]), (*before, _shape(found, best))
            return self.best == 0
        keep = np.flatnonzero(cost - spent <= budget)
        value = gain - cost
        for part, (_, extra) in zip(self.thin, THIN, strict=True):
            value = value + extra * count(new & part)
        tried = _undominated(new, cost, value, keep, BRANCHES if within else None)
        if shapes == 2 and within == 0:
            return self._pair(rest, found.of(tried), before)
        for k in tried:
            more = (*before, _shape(found, k))
            if self._cover(rest & ~found.bits[:, k, None], spills[:, k, None], shapes - 1, more, within):
                return True
        return False

    def _pair(self, rest: Bits, one: Placements, before: Shapes) -> bool:
        """Look for a shape of `one` that covers `rest` together with another: all on which the same pixel is open."""
        while len(one.kind):
            open_ = rest & ~one.bits
            ((y, x),) = self._hardest(open_[:, :1], 1)
            misses = (open_[y // 2] >> np.uint64(32 * (y % 2) + x)) & np.uint64(1) == 1
            other = self._on([(y, x)], 0)
            first, second = one.of(misses), other.bits[:, None]
            for piece in np.array_split(np.arange(len(first.kind)), 1 + first.kind.size * other.kind.size // PAIRS):
                self.work += NODE + len(piece) * len(other.kind) // 10
                still = open_[:, misses][:, piece, None] & ~second
                which, by = np.nonzero(~np.bitwise_or.reduce(still, 0).astype(bool))
                if len(which):
                    k = int(np.argmax(other.weight[by]))
                    self.best, self.chosen = 0, (*before, _shape(first, piece[which[k]]), _shape(other, by[k]))
                    return True
                if self.work > EFFORT[True]:
                    return False
            one = one.of(~misses)
        return False

    def _hardest(self, rest: Bits, pixels: int) -> list[tuple[int, int]]:
        """Return the pixel of `rest` on which fewest shapes should lie, and the `pixels` − 1 nearest to it."""
        places = self.pixels[unpack(rest, self.size)[0][tuple(self.pixels.T)]]
        if pixels > 1:
            places = places[np.argsort(np.abs(places - places[0]).sum(1), kind="stable")]
        return [(int(y), int(x)) for y, x in places[:pixels]]

    def _on(self, pixels: Sequence[tuple[int, int]], within: int) -> Placements:
        """Return the shapes on any of these pixels that lie on the picture but for `within` pixels."""
        key = within, np.array(pixels, dtype=np.int8).tobytes()
        if key not in self.known:
            if len(pixels) == 1:
                found = covering(pixels[0], self.white, within)
                if within == 0:
                    area = count(found.bits)
                    found = found.of(_undominated(found.bits, np.zeros_like(area), area, np.arange(len(area))))
                self.known[key] = found
            else:
                lists = [self._on([pixel], within) for pixel in pixels]
                for k, (y, x) in enumerate(pixels):  # a shape on an earlier pixel is there already
                    for later in range(k + 1, len(pixels)):
                        there = lists[later].bits[y // 2] >> np.uint64(32 * (y % 2) + x) & np.uint64(1) == 1
                        lists[later] = lists[later].of(~there)
                bits, kind, weight = zip(*lists, strict=True)
                self.known[key] = Placements(np.concatenate(bits, 1), np.concatenate(kind), np.concatenate(weight))
        return self.known[key]


def _shape(found: Placements, k: int) -> tuple[int, Bits]:
    return int(found.kind[k]), found.bits[:, k, None]


def _undominated(new: Bits, cost: Whole, value: Whole, keep: Whole, most: int | None = None) -> Whole:
    """Return those of the shapes `keep` for which there is none that covers all they do and more, and spills no more.

    `most` of them at most: those of the highest value. Without a limit, the last of very many go unexamined.
    """
    keep = keep[np.lexsort((cost[keep], -value[keep]))]
    new, cost = new[:, keep], cost[keep]
    chosen: list[int] = []
    while len(keep) and len(chosen) < (most or ROUNDS):
        chosen.append(int(keep[0]))
        worth = np.bitwise_or.reduce(new & ~new[:, :1], 0).astype(bool) | (cost < cost[0])
        keep, new, cost = keep[worth], new[:, worth], cost[worth]
    return np.array(chosen + ([] if most else keep.tolist()), dtype=np.int64)
