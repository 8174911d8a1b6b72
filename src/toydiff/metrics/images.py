"""What is measured of images beside real ones: in the features of a small classifier, its labels, and pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toydiff.data import Batch, Data
from toydiff.metrics import classifier
from toydiff.metrics.classifier import FEATURES, Classifier
from toydiff.metrics.floors import nothing_new
from toydiff.metrics.points import copying, density_and_coverage, frechet_distance, kernel_distance
from toydiff.metrics.scores import Meaning, Measures, positive, share

MEANINGS = {
    "FD-small": positive(
        "",
        "lower",
        f"|μ − μ′|² + tr(S + S′ − 2 (S S′)^½) of {FEATURES} features (after Heusel et al. 2017); this is no FID",
    ),
    "KD-small": Meaning("", "lower", "MMD² of the features, k = (x·y/D + 1)³, unbiased (Bińkowski et al. 2018)"),
    "class accuracy": share("higher", "share of images in which the classifier reads the class asked for"),
    "class shares": share("lower", "total variation between the classes read in the samples and in real images"),
    "coverage": share("higher", "share of real images with a sample near by, in features (Naeem et al. 2020)"),
    "density": positive("", "near", "samples around real images, 1 as among real ones, in features (k = 5)"),
    "copying": share(
        "near", "how often a sample's features are nearer to a training image's than held-out data's: ½ is right"
    ),
    "brightness": positive("units of x", "lower", "W1 between the means of each image"),
    "contrast": positive("units of x", "lower", "W1 between the standard deviations within each image"),
}
PIXELS = ("brightness", "contrast")


class ImageMeasures(Measures):
    """The scores of images (n, C, H, W) against data; without labels there is no classifier, and pixels are all.

    The classifier is trained on all images that the data train on, and tested on those held out, whatever the model.
    """

    meanings, few = MEANINGS, 256

    def __init__(self, data: Data, *, conditional: bool = False, label: int | None = None) -> None:
        self.data, self.missing = data, {}
        self.fewest = FEATURES + 1
        self._classifier: Classifier | None = None
        if len(data.label_names) < 2:
            self.fewest = 2
            reason = "the images have no labels" if not data.label_names else "the images are of one class"
            learned = [name for name in MEANINGS if name not in PIXELS]
            self.missing = dict.fromkeys(learned, f"{reason}, and no classifier can be trained by them")
            return
        if not conditional:
            self.missing["class accuracy"] = "the model was asked for no classes"
        if reason := nothing_new(data):
            self.missing["copying"] = reason
        if label is not None:
            self.missing["class shares"] = "measured of the whole data, not of one class"

    def prepare(self, note: Callable[[str], object] = str, on_progress: Callable[[str], object] = str) -> None:
        if self._classifier is not None or "FD-small" in self.missing:
            return
        self._classifier = classifier.kept(self.data, note=note, on_progress=on_progress)
        on_progress("features of the training images")
        seen = self.data.fixed().x
        parts = [seen, seen.flip(-1)] if self.data.augments else [seen]
        self._training = torch.cat([self._classifier.features(part) for part in parts])

    def remark(self, name: str) -> str:
        if self._classifier is None or name not in ("FD-small", "class accuracy"):
            return ""
        right = f"reads {self._classifier.accuracy:.2%} of {self._classifier.tested:,} held-out images right"
        if name == "FD-small":
            return f"of toydiff's own classifier, which {right}; compare at equal n only"
        return f"it {right}"

    def __call__(self, samples: Batch, real: Batch) -> dict[str, float]:
        found, x, y = self._quick(samples, real)
        if self._classifier is not None:
            found["KD-small"] = kernel_distance(x, y)
            found["density"], found["coverage"] = density_and_coverage(x, y)
            found["copying"] = copying(x, y, self._training)
            if "class shares" not in self.missing:
                counts = [self._classifier.read(z).bincount(minlength=len(self.data.label_names)) for z in (x, y)]
                shares = [each.double() / each.sum() for each in counts]
                found["class shares"] = float((shares[0] - shares[1]).abs().sum() / 2)
        return found

    def quick(self, samples: Batch, real: Batch) -> dict[str, float]:
        return self._quick(samples, real)[0]

    def _quick(self, samples: Batch, real: Batch) -> tuple[dict[str, float], Tensor, Tensor]:
        """Return what costs little, and the features of both (or their images, if there is no classifier)."""
        from scipy.stats import wasserstein_distance

        self.prepare()
        (mean, sd), (real_mean, real_sd) = moments(samples.x), moments(real.x)
        found = {
            "brightness": float(wasserstein_distance(mean, real_mean)),
            "contrast": float(wasserstein_distance(sd, real_sd)),
        }
        if self._classifier is None:
            return found, samples.x, real.x
        x, y = self._classifier.features(samples.x), self._classifier.features(real.x)
        if min(len(x), len(y)) > 1:  # fewer are held out of a tiny set, and a run goes on
            found["FD-small"] = frechet_distance(x, y)
        if "class accuracy" not in self.missing and samples.label is not None:
            found["class accuracy"] = self._classifier.right(x, samples.label)
        return found, x, y


def moments(x: Tensor) -> Tensor:
    """Return the mean and the standard deviation of each image's numbers, (2, N)."""
    flat = x.flatten(1).double()
    return torch.stack([flat.mean(1), flat.std(1, correction=0)])
