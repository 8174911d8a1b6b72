"""What is measured of pictures of shapes: are they shapes, which ones, how much is white, in how many pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Generator, Tensor

from toydiff.data import Batch, Data
from toydiff.data.shapes import Shapes
from toydiff.metrics.placements import LARGEST
from toydiff.metrics.scores import Measures, positive, share
from toydiff.metrics.validity import Explanation, explain

TOLERANCES = (0, 2, 4)
"""Pixels that may differ from the nearest union of shapes."""
STRICT = 400
"""Pictures of a draw that are explained: one that is nearly right takes a tenth of a second."""
MOST = 3
SEEN = 20_000
"""Pictures that stand for the training set, where that is endless."""

MEANINGS = {
    "valid": share("higher", f"share of pictures the generator can draw, of the first {STRICT}"),
    "valid but for 2": share("higher", "share of pictures that differ from such a one in 2 pixels at most"),
    "valid but for 4": share("higher", "share of pictures that differ from such a one in 4 pixels at most"),
    "label agreement": share("higher", "share of pictures explained, but for 4 pixels, by just the kinds asked for"),
    "decided": share("higher", "share of pixels beyond ±0.9"),
    "area": positive("pixels", "lower", "W1 between the numbers of white pixels"),
    "pieces": share("lower", "total variation between the numbers of white pieces"),
    "seen before": share("near", f"share that are in the training set, or among {SEEN:,} others if endless"),
}
_VALID = dict(zip(TOLERANCES, MEANINGS, strict=False))


class ShapeMeasures(Measures):
    """The scores of pictures of shapes (n, 1, size, size) against data; white is what is above 0."""

    meanings, few = MEANINGS, 200

    def __init__(self, data: Data, *, conditional: bool = False, label: int | None = None) -> None:
        assert isinstance(data, Shapes)
        self.data, self.missing = data, {}
        training = data.fixed().x if data.n is not None else data.draw(SEEN, Generator().manual_seed(data.seed)).x
        self._seen = set(keys(training))
        if not explicable(data):
            reason = f"pictures are explained up to {LARGEST} pixels a side and by {MOST} shapes at most"
            self.missing |= dict.fromkeys((*_VALID.values(), "label agreement"), reason)
        elif not conditional:
            self.missing["label agreement"] = "the model was asked for no classes"

    def __call__(self, samples: Batch, real: Batch) -> dict[str, float]:
        from scipy.stats import wasserstein_distance

        x = samples.x
        found = {
            "decided": decided(x),
            "area": float(wasserstein_distance(areas(x), areas(real.x))),
            "pieces": total_variation(pieces(x), pieces(real.x)),
            "seen before": sum(key in self._seen for key in keys(x)) / len(x),
        }
        if _VALID[0] not in self.missing:
            explained = explain(x[:STRICT], self.data.most, max(TOLERANCES))
            found |= {name: valid(explained, tolerance) for tolerance, name in _VALID.items()}
            if "label agreement" not in self.missing and samples.label is not None:
                found["label agreement"] = agreement(explained, samples.label, self.data)
        return found

    def quick(self, samples: Batch, real: Batch) -> dict[str, float]:
        found = {"decided": decided(samples.x)}
        if _VALID[0] not in self.missing:
            explained = explain(samples.x, self.data.most, 2)
            found |= {_VALID[tolerance]: valid(explained, tolerance) for tolerance in (0, 2)}
        return found


def explicable(data: Shapes) -> bool:
    """Return whether `explain` can tell what such pictures are made of."""
    return data.size <= LARGEST and data.most <= MOST


def valid(explained: list[Explanation], tolerance: int) -> float:
    """Return the share of pictures whose nearest union of shapes is at most `tolerance` pixels away."""
    return sum(each.distance is not None and each.distance <= tolerance for each in explained) / len(explained)


def agreement(explained: list[Explanation], label: Tensor, data: Shapes) -> float:
    """Return the share of pictures whose nearest union is made of just the kinds that their labels name.

    However many of each, and of none beyond the reach of `explain`: a real picture may be explained by fewer shapes
    than it was made of, one of which covers another, and a pixel too many takes one more to be explained.
    """
    names = [*data.label_names, "none"]
    asked = [set(names[number].partition(":")[0].split("+")) for number in label.tolist()[: len(explained)]]
    return float(np.mean([set(each.kinds) == kinds for each, kinds in zip(explained, asked, strict=True)]))


def decided(x: Tensor, beyond: float = 0.9) -> float:
    """Return the share of pixels |x| > `beyond`: the data have black, −1, and white, 1, and nothing between."""
    return float((x.abs() > beyond).double().mean())


def areas(x: Tensor) -> NDArray[np.int64]:
    """Return the number of white pixels of each picture, (N,)."""
    return (x > 0).flatten(1).sum(1).cpu().numpy()


def pieces(x: Tensor) -> NDArray[np.int64]:
    """Return the number of white pieces of each picture, (N,): pixels that touch at a corner hang together."""
    from scipy import ndimage

    white = (x[:, 0] > 0).cpu().numpy()
    return np.array([ndimage.label(each, structure=np.ones((3, 3)))[1] for each in white])


def total_variation(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return ½ Σ |p(k) − q(k)| of the shares of whole numbers k ≥ 0 in a and in b."""
    most = max(a.max(), b.max()) + 1
    shares = (np.bincount(numbers, minlength=most) / len(numbers) for numbers in (a, b))
    return float(np.abs(np.subtract(*shares)).sum()) / 2


def keys(x: Tensor) -> list[bytes]:
    """Return each picture's white pixels as bytes: equal for equal pictures."""
    return [row.tobytes() for row in np.packbits((x > 0).flatten(1).cpu().numpy(), axis=1)]
