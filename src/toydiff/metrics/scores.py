"""What a score is: a number with its units, its floor and its interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from toydiff.data import Batch, Data

Better = Literal["lower", "higher", "near"]
"""Less, more, or as near as can be to what real data read."""
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""The 97.5 % quantile of Student's t for so many values."""


class Floor(NamedTuple):
    """Mean and standard deviation of a score between independent draws of n real samples each."""

    mean: float
    sd: float

    def z(self, value: float) -> float:
        """Return how many standard deviations a value lies above the floor."""
        return (value - self.mean) / self.sd


class Meaning(NamedTuple):
    """What a score says: its units ("" for a pure number), whether less or more of it is better, and words for it."""

    units: str
    better: Better
    words: str
    ends: tuple[float, float] = (-math.inf, math.inf)
    """What it cannot lie below, nor above."""


def share(better: Better, words: str) -> Meaning:
    """Return the meaning of a number that lies in 0 … 1."""
    return Meaning("", better, words, (0, 1))


def positive(units: str, better: Better, words: str) -> Meaning:
    """Return the meaning of a number that cannot lie below 0."""
    return Meaning(units, better, words, (0, math.inf))


class Measures:
    """Numbers for samples beside as many real data, computed together since they share their costs.

    Of one class, if `label` numbers it; of a model that was asked for classes, if it is `conditional`.
    """

    def __init__(self, data: Data, *, conditional: bool = False, label: int | None = None) -> None:
        raise NotImplementedError

    meanings: dict[str, Meaning]
    """Every number there is for such data, in the order of a table."""
    missing: dict[str, str]
    """Those that these data cannot have, and why."""
    fewest: int = 1
    """Samples that a draw must have."""
    instrument: str = ""
    """The digest of what they are measured with, if it is not toydiff's own: floors belong to it."""

    def prepare(self, note: Callable[[str], object] = str, on_progress: Callable[[str], object] = str) -> None:
        """Make ready what takes long and is made once; `note` hears of it before, and `on_progress` how far it is."""

    def remark(self, name: str) -> str:
        """Return what there is to say of a number whatever its values, or ""."""
        return ""

    def __call__(self, samples: Batch, real: Batch) -> dict[str, float]:
        """Return {name: value} of all that are not missing; a value may be ±∞, as −log p is where p = 0."""
        raise NotImplementedError

    few: int
    """Samples that are enough to follow a run by."""

    def quick(self, samples: Batch, real: Batch) -> dict[str, float]:
        """Return those that cost little: what is measured again and again while a model trains."""
        raise NotImplementedError


@dataclass(frozen=True)
class Score:
    """One number of an evaluation, the mean of `values`, or None, and then `note` says why there is none."""

    name: str
    meaning: Meaning
    values: tuple[float, ...] = ()
    """One of each draw of samples."""
    interval: tuple[float, float] | None = None
    """Where the mean of many more such draws lies, with 95 % confidence."""
    floor: Floor | None = None
    """What real data read in the samples' place."""
    note: str = ""

    @property
    def value(self) -> float | None:
        """The mean over the draws; None where there is none, or it is not finite."""
        mean = fmean(self.values) if self.values else math.nan
        return mean if math.isfinite(mean) else None

    @property
    def z(self) -> float | None:
        """How many of the floor's standard deviations the value lies above its mean; None where that says nothing."""
        if self.value is None or self.floor is None or not (self.floor.sd > 0 and math.isfinite(self.floor.sd)):
            return None
        return self.floor.z(self.value)


def copying_sd(n: int) -> float:
    """Return the sd of `copying` between n samples and n held-out data where nothing is copied: √((2n + 1)/12n²).

    Its mean is ½ then. (Mann & Whitney 1947; Meehan et al. 2020.)
    """
    return math.sqrt((2 * n + 1) / 12) / n


def copying_p(shares: Sequence[float], n: int, held_out: int | None = None) -> float:
    """Return the one-sided p of so much `copying` by chance, from shares of n samples each, other samples in each.

    They stand beside n held-out data, other ones in each, or each time n of the same finite set of `held_out`: what
    those n add to the variance is 1/12 (1/n − 1/held_out), draw by draw, and 1/12 held_out that more draws leave as it
    is.
    """
    shared = 0.0 if held_out is None else 1 / (12 * held_out)
    sd = math.sqrt((copying_sd(n) ** 2 - shared) / len(shares) + shared)
    return math.erfc((fmean(shares) - 0.5) / sd / math.sqrt(2)) / 2


def remark(name: str, values: Sequence[float], n: int, held_out: int | None = None) -> str:
    """Return what else there is to say of a score's values, each of n samples beside some of `held_out` data."""
    if any(map(math.isnan, values)):
        return "not a number: it is not defined for these samples"
    if not all(map(math.isfinite, values)):
        return "infinite: samples lie where the true density is 0"
    if name != "copying":
        return ""
    p = copying_p(values, n, held_out)
    return f"Mann–Whitney: p {'< 1e-16' if p < 1e-16 else f'= {p:.2g}'} if nothing is copied"


def difference(score: Score, other: Score) -> tuple[float, tuple[float, float] | None] | None:
    """Return (mean, 95 % interval) of score − other, draw by draw: what noise and data they share cancels.

    None where one of them has no value.
    """
    if score.value is None or other.value is None or len(score.values) != len(other.values):
        return None
    values = [a - b for a, b in zip(score.values, other.values, strict=True)]
    return fmean(values), confidence(values)


def confidence(
    values: Sequence[float], ends: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float] | None:
    """Return Student's 95 % interval of the mean of 2 … 10 independent values; None for one, or where some are ∞.

    Student's goes beyond the `ends` where a few values are near to one; the mean of more of them cannot.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    half = STUDENT[len(values)] * stdev(values) / math.sqrt(len(values))
    return max(fmean(values) - half, ends[0]), min(fmean(values) + half, ends[1])
