"""What is measured of points beside real ones: distances, modes, density where it is known, copies."""

from __future__ import annotations

import torch

from toydiff.data import Batch, Data
from toydiff.errors import ToydiffError
from toydiff.metrics.floors import nothing_new
from toydiff.metrics.points import (
    copying,
    density_and_coverage,
    energy_distance,
    exact_w2,
    median_distance,
    mmd2,
    sliced_w2,
)
from toydiff.metrics.scores import Meaning, Measures, positive, share
from toydiff.oracle import ExactDenoiser

EXACT = 2000
"""Points that exact W2 is measured of, at most: an assignment costs the cube of their number."""
MOST_CLASSES = 64

MEANINGS = {
    "sliced W2": positive("data units", "lower", "root mean square of W2 along 512 directions (Bonneel et al. 2015)"),
    "exact W2": positive("data units", "lower", f"how far points must move to become data; {EXACT:,} points at most"),
    "energy distance": Meaning("data units", "lower", "2 E|x − y| − E|x − x′| − E|y − y′| (Székely & Rizzo 2013)"),
    "MMD²": Meaning("", "lower", "five Gaussian kernels, 2 … ⅛ of the data's median distance (Gretton et al. 2012)"),
    "NLL − H": Meaning("nats", "near", "−log p_true of the samples, less the entropy: more is stray, less is timid"),
    "outside": share("lower", "share of samples where the true density is 0"),
    "coverage": share("higher", "share of real points with a sample near by (Naeem et al. 2020, k = 5)"),
    "density": positive("", "near", "samples around real points, 1 as among real ones (Naeem et al. 2020, k = 5)"),
    "mode weights": share("lower", "total variation between the shares of the classes and the true ones"),
    "rarest mode": share("higher", "the class most neglected: its share over the true one, 0 if it is missing"),
    "label agreement": share("higher", "probability that a sample belongs to the class it was asked for"),
    "copying": share("near", "how often a sample is nearer to a training point than held-out data are: ½ is right"),
}


class PointMeasures(Measures):
    """The scores of points (n, D) against data; of one class if `label` names it, `conditional`: of a model of classes.

    What needs the density is missing where that is not known, and copies are only looked for in a finite training set.
    """

    meanings, few = MEANINGS, 2000

    def __init__(self, data: Data, *, conditional: bool = False, label: int | None = None) -> None:
        self.missing = {}
        self.fewest = 6  # the ball about a real point reaches to its 5th nearest
        self._bandwidth = median_distance(data.draw(1000, torch.Generator().manual_seed(0)).x)
        self._training = data.fixed().x if data.count is not None else None
        if self._training is None:
            self.missing["copying"] = "the training data are endless: nothing to copy"
        elif reason := nothing_new(data):  # discrete data: a ball around a point has no size
            self.missing |= dict.fromkeys(("copying", "coverage", "density"), reason)
        modes, nll = ("mode weights", "rarest mode", "label agreement"), ("NLL − H", "outside")
        try:
            self._law: ExactDenoiser | None = data.exact()
        except ToydiffError as error:
            self._law = None
            self.missing |= dict.fromkeys((*nll, *modes), error.message)
            return
        self._entropy = self._law.entropy
        if self._law.everywhere:
            self.missing["outside"] = "the true density is nowhere 0"
        if label is not None:
            self.missing |= dict.fromkeys((*nll, *modes[:2]), "measured of the whole data, not of one class")
        if not conditional:
            self.missing["label agreement"] = "the model was asked for no classes"
        if not 0 < len(self._law.seen) <= MOST_CLASSES:
            self.missing |= dict.fromkeys(modes, f"there are {len(self._law.seen)} classes, not 1 … {MOST_CLASSES}")

    def __call__(self, samples: Batch, real: Batch) -> dict[str, float]:
        x, y = samples.x, real.x
        found = {
            "sliced W2": sliced_w2(x, y),
            "exact W2": exact_w2(x[:EXACT], y[:EXACT]),
            "energy distance": energy_distance(x, y),
            "MMD²": mmd2(x, y, self._bandwidth),
        }
        found["density"], found["coverage"] = density_and_coverage(x, y)
        if self._law is not None:
            log_p = self._law.log_prob(x.double())
            found["NLL − H"] = -float(log_p.mean()) - self._entropy
            found["outside"] = float((log_p == -torch.inf).double().mean())
            if "label agreement" not in self.missing or "mode weights" not in self.missing:
                found |= self._by_class(self._law, samples)
        if self._training is not None:
            found["copying"] = copying(x, y, self._training)
        return {name: value for name, value in found.items() if name not in self.missing}

    def quick(self, samples: Batch, real: Batch) -> dict[str, float]:
        return {
            "sliced W2": sliced_w2(samples.x, real.x),
            "energy distance": energy_distance(samples.x, real.x),
        }

    def _by_class(self, law: ExactDenoiser, samples: Batch) -> dict[str, float]:
        """Return what the exact posterior p(class | x) says of the samples; where p = 0 they are of no class."""
        assert law.labels is not None
        n, classes = len(samples.x), torch.tensor(law.seen)
        weights = torch.zeros(law.label_count, dtype=torch.float64).index_add(0, law.labels, law.weights)[classes]
        log_p = law.log_prob(samples.x.double().repeat(len(classes), 1), label=classes.repeat_interleave(n))
        posterior = (log_p.reshape(len(classes), n) + weights.log()[:, None]).softmax(0).nan_to_num(0.0)
        share = posterior.mean(1)
        found = {
            "mode weights": float((share - weights).abs().sum() + 1 - share.sum()) / 2,
            "rarest mode": float((share / weights).min()),
        }
        if samples.label is not None and "label agreement" not in self.missing:
            asked = samples.label == classes[:, None]
            found["label agreement"] = float((posterior * asked).sum() / n)
        return found
