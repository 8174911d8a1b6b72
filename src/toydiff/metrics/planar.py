"""What is measured of points beside data whose density may be known."""

from __future__ import annotations

from toydiff.data import Batch, Data
from toydiff.metrics.points import energy_distance, sliced_w2
from toydiff.metrics.scores import Meaning, Measures

MEANINGS = {
    "sliced W2": Meaning("data units", "lower", "root mean square of W2 along 512 directions (Bonneel et al. 2015)"),
    "energy distance": Meaning("data units", "lower", "2 E|x − y| − E|x − x′| − E|y − y′| (Székely & Rizzo 2013)"),
}


class PointMeasures(Measures):
    """The scores of points, (n, D), against data of as many dimensions."""

    meanings = MEANINGS

    def __init__(self, data: Data) -> None:
        self.missing: dict[str, str] = {}

    def __call__(self, samples: Batch, real: Batch) -> dict[str, float]:
        x, y = samples.x, real.x
        return {"sliced W2": sliced_w2(x, y), "energy distance": energy_distance(x, y)}
