"""Is a picture exactly what the generator of shapes could have drawn, and if so, of which shapes?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toydiff.data.shapes import KINDS
from toydiff.metrics.placements import Bits, Placements, count, covering, pack, unpack

BRANCHES = 24
"""Shapes that are tried on a pixel when some pixels may differ: those that add most to what is covered."""


class Explanation(NamedTuple):
    """The shapes that together come nearest to a picture."""

    distance: int
    """Pixels in which their union differs from the picture; more than was asked for: no union comes so near."""
    kinds: tuple[str, ...]
    """The kind of each shape, in alphabetical order."""
    ink: Tensor
    """The pixels of each shape, (shapes, size, size) bool."""


def explain(x: Tensor, most: int = 3, within: int = 4) -> list[Explanation]:
    """Return the union of at most `most` shapes nearest to each picture x > 0, if it differs in `within` pixels or less.

    x is (N, 1, size, size), size even and at most 32. An exact union is always found, with the fewest shapes. Beyond
    that, every pixel in turn that none of the shapes covers yet is left black or given a shape that covers it; of these
    only those that add most are tried, so that a distance above 0 is an upper bound, which is rarely too high. A picture
    without a white pixel is no union: its distance is its area.
    """
    return [_Search(white, most).explain(within) for white in (x[:, 0] > 0).cpu().numpy()]


class _Search:
    """The search for one picture."""

    def __init__(self, white: NDArray[np.bool_], most: int) -> None:
        self.white, self.most, self.size = white, most, len(white)
        self.bits = pack(white)
        y, x = np.nonzero(white)
        # fewest shapes lie on pixels in corners and at ends: those with little white around them
        padded = np.pad(white, 4).astype(np.int64).cumsum(0).cumsum(1)
        padded = np.pad(padded, ((1, 0), (1, 0)))
        around = sum(
            padded[y + 5 + k, x + 5 + k] - padded[y + 4 - k, x + 5 + k] - padded[y + 5 + k, x + 4 - k] + padded[y + 4 - k, x + 4 - k]
            for k in (2, 4)
        )  # fmt: skip
        order = np.argsort(around, kind="stable")
        self.pixels = np.stack([y, x], 1)[order]
        self.known: dict[tuple[tuple[int, int], int], Placements] = {}
        self.nodes = 0

    def explain(self, within: int) -> Explanation:
        if not len(self.pixels):
            return Explanation(self.size**2, (), torch.zeros(0, self.size, self.size, dtype=torch.bool))
        self.best, self.chosen = within + 1, ()
        nothing = np.zeros_like(self.bits)
        for shapes in range(1, self.most + 1):  # exactly, with as few as possible
            if self._cover(self.bits, nothing, shapes, [], 0):
                break
        if self.best > 0 and within > 0:
            self._cover(self.bits, nothing, self.most, [], within)
        kinds = [KINDS[int(kind)] for kind, _ in self.chosen]
        order = sorted(range(len(kinds)), key=kinds.__getitem__)
        ink = unpack(np.stack([bits for _, bits in self.chosen]), self.size) if kinds else np.zeros((0, self.size, self.size), bool)
        return Explanation(self.best, tuple(sorted(kinds)), torch.from_numpy(ink[order]))

    def _cover(self, rest: Bits, spilt: Bits, shapes: int, before: list[tuple[int, Bits]], within: int) -> bool:
        """Look for `shapes` more that cover `rest` in all but `within` pixels, those `spilt` included; say if exact."""
        self.nodes += 1
        budget = min(within, self.best - 1) - int(count(spilt))
        if budget < 0:
            return False
        left = int(count(rest))
        if left <= budget or shapes == 0:
            if left <= budget:
                self.best, self.chosen = left + int(count(spilt)), tuple(before)
            return self.best == 0
        found = self._on(rest, budget + 1, within)
        new, spills = found.bits & rest, (found.bits & ~self.bits) | spilt
        gain, cost = count(new), count(spills)
        keep = np.flatnonzero(cost - count(spilt) <= budget)
        if shapes == 1:
            total = (left - gain + cost)[keep]
            if len(total) and total.min() < self.best and total.min() <= within:
                best = keep[np.lexsort((-found.weight[keep], total))[0]]
                self.best = int(total.min())
                self.chosen = (*before, (int(found.kind[best]), found.bits[best]))
            return self.best == 0
        tried = self._undominated(new, gain, cost, keep, within)
        if shapes == 2 and within == 0:
            return self._pair(rest, found[tried], before)
        for k in tried:
            more = [*before, (int(found.kind[k]), found.bits[k])]
            if self._cover(rest & ~found.bits[k], spills[k], shapes - 1, more, within):
                return True
        return False

    def _pair(self, rest: Bits, one: Placements, before: list[tuple[int, Bits]]) -> bool:
        """Look for a shape of `one` that covers `rest` together with another: all on which the same pixel is open."""
        while len(one.bits):
            open_ = rest & ~one.bits
            y, x = self._hardest(open_[0])
            misses = open_[:, y // 2] >> np.uint64(32 * (y % 2) + x) & np.uint64(1) == 1
            other = self._covering((y, x), 0)
            which, by = np.nonzero(~(open_[misses][:, None] & ~other.bits).any(-1))
            if len(which):
                k = np.argmax(other.weight[by])
                pair = [(int(p.kind[j]), p.bits[j]) for p, j in ((one[misses], which[k]), (other, by[k]))]
                self.best, self.chosen = 0, (*before, *pair)
                return True
            one = one[~misses]
        return False

    def _hardest(self, rest: Bits) -> tuple[int, int]:
        y, x = self.pixels[np.argmax(unpack(rest, self.size)[tuple(self.pixels.T)])]
        return int(y), int(x)

    def _undominated(self, new: Bits, gain: NDArray[np.int64], cost: NDArray[np.int64], keep: NDArray[np.int64], within: int) -> Sequence[int]:
        """Return those of the shapes `keep` which none surpasses that covers as much and more and spills no more."""
        keep = keep[np.lexsort((cost[keep], -(gain - cost)[keep]))]
        chosen: list[int] = []
        while len(keep) and (within == 0 or len(chosen) < BRANCHES):
            k = int(keep[0])
            chosen.append(k)
            keep = keep[1:]
            keep = keep[((new[keep] & ~new[k]) != 0).any(1) | (cost[keep] < cost[k])]
        return chosen

    def _on(self, rest: Bits, pixels: int, within: int) -> Placements:
        """Return the shapes on the so many hardest pixels of `rest`: one of these pixels must be covered."""
        open_ = unpack(rest, self.size)[tuple(self.pixels.T)]
        places = self.pixels[open_]
        near = np.abs(places - places[0]).sum(1)
        places = places[np.argsort(near, kind="stable")[:pixels]]
        found = [self._covering((int(y), int(x)), within) for y, x in places]
        if len(found) == 1:
            return found[0]
        bits = np.concatenate([f.bits for f in found])
        first = np.ones(len(bits), dtype=bool)
        start = len(found[0].bits)
        for k, f in enumerate(found[1:], 1):  # a shape on an earlier pixel is there already
            end = start + len(f.bits)
            for y, x in places[:k]:
                first[start:end] &= (f.bits[:, y // 2] >> np.uint64(32 * (y % 2) + x)) & np.uint64(1) == 0
            start = end
        return Placements(bits, np.concatenate([f.kind for f in found]), np.concatenate([f.weight for f in found]))[first]

    def _covering(self, pixel: tuple[int, int], within: int) -> Placements:
        if (pixel, within) not in self.known:
            self.known[pixel, within] = covering(pixel, self.white, within)
        return self.known[pixel, within]
