"""What a score is: a number with its units, its floor and its interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from toydiff.data import Batch

Better = Literal["lower", "higher"]
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


class Measures:
    """Numbers for samples beside as many real data, computed together since they share their costs."""

    meanings: dict[str, Meaning]
    """Every number there is for such data, in the order of a table."""
    missing: dict[str, str]
    """Those that these data cannot have, and why."""

    def __call__(self, samples: Batch, real: Batch) -> dict[str, float]:
        """Return {name: value} of all that are not missing; a value may be ±∞, as −log p is where p = 0."""
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
        mean = sum(self.values) / len(self.values) if self.values else math.nan
        return mean if math.isfinite(mean) else None

    @property
    def z(self) -> float | None:
        """How many of the floor's standard deviations the value lies above its mean; None where that says nothing."""
        if self.value is None or self.floor is None or not (self.floor.sd > 0 and math.isfinite(self.floor.sd)):
            return None
        return self.floor.z(self.value)


def confidence(values: Sequence[float]) -> tuple[float, float] | None:
    """Return Student's 95 % interval of the mean of 2 … 10 independent values; None for one, or where some are ∞."""
    x = torch.tensor(values, dtype=torch.float64)
    if len(x) < 2 or not x.isfinite().all():
        return None
    mean, half = float(x.mean()), STUDENT[len(x)] * float(x.std()) / math.sqrt(len(x))
    return mean - half, mean + half
