"""A curve as one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

EIGHTHS = " ▁▂▃▄▅▆▇█"
"""Bars of 0/8 … 8/8 of a character's height."""


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the values as bars of one to eight eighths between the least and the largest, at most `width` of them.

    More values than that are averaged in runs of near-equal length. Where all are positive the scale is logarithmic, as
    for losses everywhere; a value that is not finite is "×".
    """
    if not values or width < 1:
        return ""
    ends = [round(k * len(values) / width) for k in range(width + 1)] if len(values) > width else range(len(values) + 1)
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    finite = [value for value in means if math.isfinite(value)]
    scale = math.log if all(value > 0 for value in finite) else float
    low, high = (scale(end(finite, default=1.0)) for end in (min, max))

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return "×"
        return EIGHTHS[1 + round(7 * (scale(value) - low) / (high - low))] if high > low else EIGHTHS[5]

    return "".join(map(bar, means))
