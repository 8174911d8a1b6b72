"""Published sets of small images: MNIST, Fashion-MNIST and CIFAR-10, read from the files they were published in."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Generator, Tensor

from toydiff.data.base import Batch, Data, Mirrored
from toydiff.data.cifar import CLASSES, read_cifar10
from toydiff.data.idx import parse_idx
from toydiff.errors import ToydiffError, shown
from toydiff.guards import gunzip
from toydiff.published import OFFICIAL, paths

Split = Literal["train", "test"]
Raw = tuple[NDArray[np.uint8], NDArray[np.uint8]]
_UNPACKED_LIMIT = 64 << 20  # the largest file of the MNIST family unpacks to 47 MB


class Stored(NamedTuple):
    """Images as bytes, (N, C, H, W), and their labels, (N,) int64."""

    images: Tensor
    label: Tensor

    def batch(self, rows: Tensor) -> Batch:
        """Return images by their numbers, as x = byte / 127.5 − 1."""
        return Batch(self.images[rows].float().div_(127.5).sub_(1), self.label[rows])

    def drawn(self, n: int, generator: Generator) -> Batch:
        """Return n images, all different as long as there are enough, else each as often as the others."""
        count = len(self.label)
        orders = [torch.randperm(count, generator=generator) for _ in range(-(-n // count))]
        return self.batch(torch.cat(orders)[:n])


class Published(Data):
    """Images that lie in files: x = byte / 127.5 − 1, black −1 and white 1 (labels: the classes).

    Models train on the images of `split`, in epochs, and are validated on those of the other one. With n they train on
    n of them, chosen by `seed`: a smaller choice is the beginning of a larger one.
    """

    split: Split = "train"

    units: ClassVar[str] = "brightness, black −1 to white 1"
    domain: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)
    rms: ClassVar[float]
    """Root mean square of x over the training images, measured once: a model must sample without the data."""
    per_class: ClassVar[tuple[int, ...]]
    """Training images of each class, for the same reason."""

    @model_validator(mode="after")
    def _as_many_as_there_are(self) -> Self:
        if self.n is not None and self.n > self.available:
            raise ValueError(f"n = {self.n:,} is more than the {self.available:,} {self.split} images there are")
        return self

    @property
    def available(self) -> int:
        known = OFFICIAL[self.kind]
        return known.train if self.split == "train" else known.test

    @property
    def count(self) -> int:
        return self.n or self.available

    @property
    def shift(self) -> Tensor:
        """0, not the mean image: black and white are −1/scale and 1/scale to the model, in every pixel."""
        return torch.zeros(self.shape)

    @property
    def scale(self) -> float:
        return self.rms

    def label_frequencies(self) -> Tensor:
        """Return how often each label comes among all training images, (K,) float64; known without the files."""
        counts = torch.tensor(self.per_class, dtype=torch.float64)
        return counts / counts.sum()

    def check(self) -> None:
        paths(self.kind)

    def draw(self, n: int, generator: Generator) -> Batch:
        return self._stored[self.split].drawn(n, generator)

    def fixed(self) -> Batch:
        stored = self._stored[self.split]
        if self.n is None:
            return stored.batch(torch.arange(self.count))
        return stored.drawn(self.n, torch.Generator().manual_seed(self.seed))

    def held_out(self, n: int, generator: Generator) -> Batch:
        """Return n different images of the other split; all of them, where there are fewer."""
        stored = self._stored["test" if self.split == "train" else "train"]
        return stored.drawn(min(n, len(stored.label)), generator)

    @cached_property
    def _stored(self) -> dict[str, Stored]:
        """The images of both splits; raises ToydiffError saying what to do where they are not on this machine."""
        raw, known = self._read(), OFFICIAL[self.kind]
        for split, count in (("train", known.train), ("test", known.test)):
            images, label = raw[split]
            if images.shape != (count, *self.shape) or label.shape != (count,) or label.max() >= len(self.label_names):
                raise ToydiffError(f"the {split} images of `{self.kind}` are not what they should be: {images.shape}")
        return {
            split: Stored(torch.from_numpy(images.copy()), torch.from_numpy(label.astype(np.int64)))
            for split, (images, label) in raw.items()
        }

    def _read(self) -> dict[str, Raw]:
        """Return {"train": (images (N, C, H, W), labels (N,)), "test": …} from the files."""
        raise NotImplementedError


class _Idx(Published):
    """The four files of the MNIST family."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, 28, 28)

    def _read(self) -> dict[str, Raw]:
        names = {shown(path): gunzip(path, _UNPACKED_LIMIT) for path in paths(self.kind)}
        images, label, test_images, test_label = (
            parse_idx(content, name, dimensions)
            for (name, content), dimensions in zip(names.items(), (3, 1, 3, 1), strict=True)
        )
        return {"train": (images[:, None], label), "test": (test_images[:, None], test_label)}


class MNIST(_Idx):
    """Handwritten digits, 28 × 28 pixels, white on black: 60,000 and 10,000 to test with (LeCun et al. 1998)."""

    kind: Literal["mnist"] = "mnist"

    rms: ClassVar[float] = 0.961961
    per_class: ClassVar[tuple[int, ...]] = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple("0123456789")


class Fashion(_Idx, Mirrored):
    """Fashion-MNIST: clothes in the format of MNIST, 60,000 and 10,000 to test with (Xiao et al. 2017)."""

    kind: Literal["fashion"] = "fashion"

    rms: ClassVar[float] = 0.825602
    per_class: ClassVar[tuple[int, ...]] = (6000,) * 10

    @property
    def label_names(self) -> tuple[str, ...]:
        return ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


class CIFAR10(Published, Mirrored):
    """Photographs of ten kinds of things, 32 × 32 in colour: 50,000 and 10,000 to test with (Krizhevsky 2009)."""

    kind: Literal["cifar10"] = "cifar10"

    rms: ClassVar[float] = 0.505954
    per_class: ClassVar[tuple[int, ...]] = (5000,) * 10

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, 32, 32)

    @property
    def label_names(self) -> tuple[str, ...]:
        return CLASSES

    def _read(self) -> dict[str, Raw]:
        (path,) = paths(self.kind)
        return {split: (records.images, records.labels) for split, records in read_cifar10(path).items()}
