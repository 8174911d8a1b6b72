"""The Fréchet distance in the features of a network that the user supplies: FID, where it is Inception-v3."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO

import torch
from torch import Tensor

from toydiff.data import Batch, Data
from toydiff.errors import ConfigurationError, ToydiffError, shown
from toydiff.metrics.points import frechet_distance
from toydiff.metrics.program import Program
from toydiff.metrics.scores import Meaning, Measures

FIELD = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""The SHA-256 of inception-2015-12-05.pt, in which the literature measures (Karras et al. 2020, their code)."""
WIDTH = 2048
"""Features of Inception-v3 before its last layer."""
AT_ONCE, KEPT = 50, 20_000
"""Images the network sees at once, and real ones whose features are remembered: of a finite set they come again."""


class Inception:
    """A network of a TorchScript file: network(uint8 (N, 3, H, W), return_features=True) → (N, D), D = 2048 for FID.

    TorchScript is a program, and it is run: take it only from whom you trust. It scales the images itself. Raises
    ConfigurationError for data that are no images of one or three channels, ToydiffError for a program that torch
    cannot load, or that does not turn such images into features.
    """

    def __init__(self, program: Program, data: Data, device: str = "cpu") -> None:
        self.file, self.digest, self.device = program.name, program.digest, device
        if not data.pictorial or data.shape[0] not in (1, 3):
            what = f"{data.word} of shape {'×'.join(map(str, data.shape))}"
            raise ConfigurationError(
                f"{shown(self.file)} sees grey or coloured images, and `{shown(data.name)}` has {what}",
                "Leave out --inception.",
            )
        self.low, self.high = data.domain or (-1.0, 1.0)
        self._kept: dict[bytes, Tensor] = {}
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # files of this format remain
                network = torch.jit.load(BytesIO(program.content), map_location=device)  # type: ignore[no-untyped-call]
                self._network = network.eval()
        except Exception as error:  # a file that is no such program can fail anywhere in there
            raise self._unusable(f"torch cannot load it: {_said(error)}") from error
        self.width = self._seen(torch.zeros(2, 3, *data.shape[1:], dtype=torch.uint8)).shape[1]

    @property
    def name(self) -> str:
        """What a distance in its features is called: FID, or FD and the name of the file."""
        short = self.file if len(self.file) <= 16 else f"{self.file[:15]}…"  # a table has 80 columns
        return "FID" if self.width == WIDTH else f"FD ({shown(short)})"

    @property
    def origin(self) -> str:
        """Which file it is, and whether it is that of the literature."""
        said = f"{shown(self.file)}, sha256 {self.digest[:12]}…"
        if self.digest == FIELD:
            return f"{said}, the file of the literature"
        return f"{said}, not the file of the literature ({FIELD[:12]}…): compare with numbers by this file only"

    def levels(self, x: Tensor) -> Tensor:
        """Return images (N, C, H, W) in data units as pictures of them are saved, uint8 (N, 3, H, W)."""
        scaled = (x.double() - self.low) * (255 / (self.high - self.low))
        return scaled.round().clamp(0, 255).byte().expand(-1, 3, -1, -1)

    def features(self, x: Tensor, *, keep: bool = False) -> Tensor:
        """Return the features of images (N, C, H, W) in data units, (N, D) float64; with `keep`, remember them."""
        levels = self.levels(x)
        keys = [image.numpy().tobytes() for image in levels[:, : x.shape[1]]]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        new = {key: row for row, key in enumerate(keys) if key not in found}
        if new:
            parts = torch.split(levels[list(new.values())], AT_ONCE)
            fresh = dict(zip(new, torch.cat([self._seen(part) for part in parts]), strict=True))
            found |= fresh
            if keep and len(self._kept) + len(fresh) <= KEPT:
                self._kept |= fresh
        return torch.stack([found[key] for key in keys]).double()

    def _seen(self, levels: Tensor) -> Tensor:
        """Return what the network makes of uint8 images, (N, D) float32; ToydiffError if it is anything else."""
        try:
            with torch.no_grad():
                found = self._network(levels.to(self.device), return_features=True)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever its author wrote
            raise self._unusable(f"it does not take images uint8 (N, 3, H, W): {_said(error)}") from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(levels) or found.shape[1] < 2:
            form = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise self._unusable(f"of {len(levels)} images it makes {form}, not ({len(levels)}, features)")
        if not found.is_floating_point() or not bool(found.isfinite().all()):
            raise self._unusable("its features are not all finite numbers")
        return found.float().cpu()

    def _unusable(self, why: str) -> ToydiffError:
        hint = "--inception takes inception-2015-12-05.pt, or a program of its interface."
        return ToydiffError(f"{shown(self.file)} is no network to measure images in: {why}", hint)


class WithInception(Measures):
    """Other measures of images, and beside them the Fréchet distance in an `Inception` network, at n samples."""

    def __init__(self, measures: Measures, inception: Inception, n: int) -> None:
        self._measures, self._inception, self._n = measures, inception, n
        what = f"|μ − μ′|² + tr(S + S′ − 2 (S S′)^½) of {inception.width:,} features (Heusel et al. 2017)"
        self.meanings = measures.meanings | {inception.name: Meaning("", "lower", what)}
        self.missing, self.fewest, self.few = measures.missing, measures.fewest, measures.few
        self.instrument = inception.digest

    def prepare(self, note: Callable[[str], object] = str, on_progress: Callable[[str], object] = str) -> None:
        self._measures.prepare(note, on_progress)

    def remark(self, name: str) -> str:
        if name != self._inception.name:
            return self._measures.remark(name)
        bias = f"of {self._n:,} samples beside as many held-out images: too large, by more the fewer they are"
        return f"{bias} (published: 50,000), so compare at equal n only; by {self._inception.origin}"

    def __call__(self, samples: Batch, real: Batch) -> dict[str, float]:
        x, y = self._inception.features(samples.x), self._inception.features(real.x, keep=True)
        return self._measures(samples, real) | {self._inception.name: frechet_distance(x, y)}

    def quick(self, samples: Batch, real: Batch) -> dict[str, float]:
        return self._measures.quick(samples, real)


def _said(error: Exception) -> str:
    """Return the last line of what torch says: above it stands the program's own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shown((lines or [type(error).__name__])[-1][:200])
