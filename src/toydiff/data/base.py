"""What every data set can do, whatever the shape of its samples: draw, and say what is known about its density."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Generator, Tensor

from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean, shown
from toydiff.oracle import ExactDenoiser
from toydiff.spec import Spec


class Batch(NamedTuple):
    """x (n, *shape) float32 in data units, and label (n,) int64, or None where the data have no labels."""

    x: Tensor
    label: Tensor | None


class Data(Spec):
    """A distribution of samples x_0 of one shape; with n, a fixed set of n of them, drawn once from `seed`.

    `draw` and `log_prob` speak of the distribution, whatever n; `fixed` is what a finite training set holds.
    """

    kind: str
    n: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    seed: int = Field(0, ge=0, lt=2**63)

    units: ClassVar[str] = "data units"
    domain: ClassVar[tuple[float, float] | None] = None
    """The range of every coordinate, where there is one: what `Clipped` clips to."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        raise NotImplementedError

    @property
    def count(self) -> int | None:
        """How many samples there are to train on, an epoch long; None where there is no end of them."""
        return self.n

    @property
    def available(self) -> int | None:
        """How many different samples `draw` can give; None where there is no end of them."""
        return None

    @property
    def holds_out(self) -> bool:
        """Whether there are data that training does not see."""
        return True

    @property
    def name(self) -> str:
        """What one calls it: its kind, or the name of its file."""
        return self.kind

    @property
    def seeded(self) -> bool:
        """Whether `seed` chooses anything."""
        return self.n is not None

    @property
    def advice(self) -> str:
        """What to do to them before training, if there is something; "" otherwise."""
        return ""

    @property
    def pictorial(self) -> bool:
        """Whether a sample is an image, (C, H, W)."""
        return len(self.shape) == 3

    @property
    def word(self) -> str:
        """What one calls its samples."""
        return "images" if self.pictorial else "points"

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of labels 0, 1, …; () where there are none."""
        return ()

    @property
    def shift(self) -> Tensor:
        """What models subtract, (*shape) float32: the mean, or 0; with `scale`, (x − shift) / scale has an RMS of 1."""
        raise NotImplementedError

    @property
    def scale(self) -> float:
        """Root mean square deviation from `shift` per coordinate: one number, so that shapes keep their proportions."""
        raise NotImplementedError

    def label_of(self, name: str | int) -> int:
        """Return the label of a name, or of its number; K, the number of labels, for "none".

        Raises ConfigurationError for a label that does not exist, with the nearest that does.
        """
        names = self.label_names
        known = {**{str(k): k for k in range(len(names))}, "none": len(names), **{n: k for k, n in enumerate(names)}}
        if (spelled := self._spelled(str(name))) not in known:
            raise ConfigurationError(f"unknown label `{shown(name)}`", did_you_mean(spelled, [*names, "none"]))
        return known[spelled]

    def _spelled(self, name: str) -> str:
        """Return a label's name as `label_names` spells it, where there are other ways."""
        return name

    def label_frequencies(self) -> Tensor:
        """Return how often each label comes, (K,) float64: counted in the fixed samples, or in 65,536 draws."""
        label = (self.fixed() if self.n else self.draw(65_536, torch.Generator().manual_seed(0))).label
        if label is None:
            raise ToydiffError(f"`{self.kind}` has no labels")
        return label.bincount(minlength=len(self.label_names)).double() / len(label)

    def draw(self, n: int, generator: Generator) -> Batch:
        """Return n independent samples, a function of the (CPU) generator's state alone."""
        raise NotImplementedError

    def outline(self, n: int) -> Tensor:
        """Return n points that show where the data lie, (n, *shape), always the same ones: draws, if nothing else."""
        return self.draw(n, torch.Generator().manual_seed(0)).x

    def fixed(self) -> Batch:
        """Return the n fixed samples; raises ConfigurationError for endless data."""
        if self.n is None:
            raise ConfigurationError(f"`{self.kind}` is endless: it has no fixed samples", "Set data.n, say 2000.")
        return self.draw(self.n, torch.Generator().manual_seed(self.seed))

    def check(self) -> None:
        """Raise ToydiffError, saying what to do, unless all that it is read from is on this machine."""

    def held_out(self, n: int, generator: Generator) -> Batch:
        """Return n samples, or as many as there are, that no model is trained on: fresh draws, if nothing else."""
        return self.draw(n, generator)

    @property
    def augments(self) -> bool:
        """Whether training sees the samples changed at random."""
        return False

    def augmented(self, x: Tensor, u: Tensor) -> Tensor:
        """Return samples x (B, *shape) as training sees them this time, a function of numbers u (B,) in (0, 1]."""
        return x

    def exact(self) -> ExactDenoiser:
        """Return the exact denoiser of the distribution, in data units; raises ToydiffError where there is none."""
        raise ToydiffError(f"`{self.kind}` has no density in closed form", self._empirical_hint)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x_0 = x), (B,) nats in data units; raises ToydiffError where the density is not known."""
        return self.exact().log_prob(x)

    @property
    def entropy(self) -> float | None:
        """−E log p(x_0) in nats: the mean of −log_prob over the data; None where it is not known."""
        try:
            return self.exact().entropy
        except ToydiffError:
            return None

    @property
    def entropy_error(self) -> float | None:
        """How far `entropy` may be off, in nats; None where it is not known."""
        try:
            return self.exact().entropy_error
        except ToydiffError:
            return None

    @property
    def _empirical_hint(self) -> str:
        return f"`exact:{self.kind}@500` is the exact denoiser of 500 of its samples."


class Mirrored(Data):
    """Images that may be mirrored left to right in training: things, not signs."""

    augment: Literal["hflip"] | None = None
    """hflip: each image is mirrored every other time it is seen, at random."""

    @property
    def augments(self) -> bool:
        return self.augment is not None

    def augmented(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.where(u.to(x.device).view(-1, 1, 1, 1) <= 0.5, x.flip(-1), x)
