"""A small classifier of images that toydiff trains itself and keeps: what it sees in an image is what is compared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toydiff import checkpoint
from toydiff.data import Data
from toydiff.errors import ToydiffError, shown
from toydiff.metrics.floors import all_trained
from toydiff.published import data_dir
from toydiff.training import streams
from toydiff.training.optimizers import AdamW, CosineRate

ARCHITECTURE = 1
"""Another one, or another way to train it, gets another number: its features are not comparable."""
FEATURES = 64
SIDE = 32
"""Pixels across and up that it sees at most; larger images are averaged."""
STEPS, BATCH = 1400, 128
"""Three epochs of MNIST."""
SHIFT = 2
"""Pixels that an image is moved at most in training, each way."""
TESTED = 10_000
"""Held-out images it is tested on, at most."""
KIND = "classifier"

Say = Callable[[str], object]


class Network(nn.Module):
    """Four convolutions and one layer of features, 0.15 M parameters: images (B, C, H, W) in data units → (B, K)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()

        def convolution(width: int, to: int, size: int, stride: int) -> list[nn.Module]:
            return [nn.Conv2d(width, to, size, stride, size // 2, bias=False), nn.BatchNorm2d(to), nn.ReLU()]

        self.body = nn.Sequential(
            *convolution(channels, 32, 5, 2), *convolution(32, 32, 3, 1),
            *convolution(32, 64, 3, 2), *convolution(64, 64, 3, 1),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64 * 16, FEATURES, bias=False),
            nn.BatchNorm1d(FEATURES, affine=False),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the features of images, (B, 64), each of mean 0 and variance 1 over the training images."""
        if max(x.shape[2:]) > SIDE:
            x = F.adaptive_avg_pool2d(x, (min(SIDE, x.shape[2]), min(SIDE, x.shape[3])))
        found: Tensor = self.body(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x).relu())
        return logits


@dataclass(frozen=True)
class Classifier:
    """A trained network, and how often it is right on images it was not trained on."""

    network: Network
    accuracy: float
    tested: int
    """How many images that was measured on."""

    def features(self, x: Tensor) -> Tensor:
        """Return the features of images x (N, C, H, W) in data units: (N, 64) float64."""
        with torch.inference_mode():
            return torch.cat([self.network.features(part) for part in torch.split(x, 500)]).double()

    def read(self, features: Tensor) -> Tensor:
        """Return the class that it reads in an image with such features, (N,) int64."""
        with torch.inference_mode():
            logits: Tensor = self.network.head(features.float().relu())
            return logits.argmax(1)

    def right(self, features: Tensor, label: Tensor) -> float:
        """Return the share of images with such features in which it reads their labels, (N,) int64."""
        return float(self.read(features).eq(label).double().mean())


def train(data: Data, seed: int = 0, steps: int = STEPS, *, note: Say = str, on_progress: Say = str) -> Classifier:
    """Return a classifier of the images that `data` trains on, all of them: a function of (data, seed, steps).

    AdamW, batches of 128, the learning rate up and down again once (Smith 2018), every image moved by up to two pixels.
    `note` hears how long it takes, `on_progress` how far it is.
    """
    x, label = all_trained(data)
    assert label is not None
    classes, size = len(data.label_names), min(BATCH, len(x))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(streams.generator(seed, "classifier").initial_seed())
        network = Network(x.shape[1], classes)
    optimizer, rate = AdamW(lr=4e-3, weight_decay=0.02).build(network.parameters()), CosineRate(warmup=0.25)
    what = f"training the classifier that measures images of {shown(data.name)}"
    order, began = torch.empty(0, dtype=torch.int64), time.monotonic()
    for step in range(1, steps + 1):
        generator = streams.generator(seed, "classifier batch", step)
        if len(order) < size:  # what is left of an epoch is too little for a batch
            order = torch.randperm(len(x), generator=generator)
        rows, order = order[:size], order[size:]
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * rate(step, steps)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(shifted(x[rows], generator)), label[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        left = (time.monotonic() - began) / step * (steps - step)
        if step == 20:
            note(f"{what}, once: about {_duration(left)}")
        if step % 100 == 0:
            on_progress(f"{what}: step {step:,} of {steps:,}, {_duration(left)} left")
    network.eval().requires_grad_(False)
    held = data.held_out(TESTED, streams.generator(seed, "classifier test"))
    assert held.label is not None
    found = Classifier(network, math.nan, len(held.x))
    return replace(found, accuracy=found.right(found.features(held.x), held.label))


def kept(data: Data, seed: int = 0, *, note: Say, on_progress: Say) -> Classifier:
    """Return the classifier of such data from the cache, or train it, once, and keep it there.

    A file that is damaged, or something else, is made again, and that is said. Raises ToydiffError for data that are
    not on this machine.
    """
    key = _key(data, seed)
    try:
        path = data_dir() / "classifiers" / f"{data.kind}-v{ARCHITECTURE}-seed{seed}-{key[:12]}.pt"
    except ToydiffError:
        return train(data, seed, STEPS, note=note, on_progress=on_progress)
    if path.exists():
        try:
            return _read(path, data, key)
        except ToydiffError as error:
            note(f"{shown(path)} is not the classifier it should be ({error.message}); it is made again")
    made = train(data, seed, STEPS, note=note, on_progress=on_progress)
    header = {"kind": KIND, "key": key, "data": data.kind, "accuracy": made.accuracy, "tested": made.tested}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(path, header=header, model=made.network.state_dict(), ema={}, optimizer={})
    except (OSError, ToydiffError) as error:
        note(f"the classifier could not be kept, and will be trained again next time: {shown(error)}")
    return made


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (B, C, H, W), each moved by up to two pixels each way, its edge repeated where it has left."""
    (batch, channels, height, width), by = x.shape, 2 * SHIFT + 1
    padded = F.pad(x, (SHIFT,) * 4, mode="replicate")
    down, right = torch.randint(by, (2, batch, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    each, channel = torch.arange(batch)[:, None, None, None], torch.arange(channels)[:, None, None]
    return padded[each, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _key(data: Data, seed: int) -> str:
    """Return a digest of all that a classifier depends on."""
    x, label = all_trained(data)
    assert label is not None
    digest = sha256(repr((ARCHITECTURE, STEPS, seed, tuple(x.shape), data.label_names)).encode())
    for part in (x, label):
        digest.update(part.contiguous().numpy().data)
    return digest.hexdigest()


def _read(path: Path, data: Data, key: str) -> Classifier:
    """Return a classifier from its file; ToydiffError if the file is not whole, or not the one of these data."""
    content = checkpoint.load(path)
    header: dict[str, Any] = content.header
    accuracy, tested = header.get("accuracy"), header.get("tested")
    if header.get("kind") != KIND or header.get("key") != key or type(accuracy) is not float or type(tested) is not int:
        raise ToydiffError(f"{shown(path)} is not the classifier of `{data.kind}`")
    network = Network(data.shape[0], len(data.label_names))
    checkpoint.check_shapes(content.model, network)
    network.load_state_dict(content.model)
    return Classifier(network.eval().requires_grad_(False), accuracy, tested)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, math.ceil(seconds / 10) * 10):.0f} s"
