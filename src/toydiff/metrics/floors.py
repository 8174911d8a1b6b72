"""The real-against-real floor: what a score reads between two fresh draws of the very same distribution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toydiff.data import Data
from toydiff.metrics.scores import Floor
from toydiff.training import streams

Score = Callable[[Tensor, Tensor], float]


def floor(score: Score, data: Data, n: int, draws: int = 20, seed: int = 0) -> Floor:
    """Return the floor of `score` at n samples, over `draws` pairs of fresh draws."""

    def real(k: int) -> Tensor:
        return data.draw(n, streams.generator(seed, "floor", k)).x

    values = torch.tensor([score(real(2 * k), real(2 * k + 1)) for k in range(draws)], dtype=torch.float64)
    return Floor(float(values.mean()), float(values.std()))
