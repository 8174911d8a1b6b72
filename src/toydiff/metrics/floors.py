"""The real-against-real floor: what a score reads between two draws of real data that have nothing in common."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toydiff.data import Batch, Data
from toydiff.errors import ToydiffError
from toydiff.metrics.points import repeated
from toydiff.metrics.scores import Floor
from toydiff.training import streams

REPEATED = 0.5
"""Share of held-out data that are training data, too, from which on the others are too few to compare with."""
Score = Callable[[Tensor, Tensor], float]


def floor(score: Score, data: Data, n: int, draws: int = 20, seed: int = 0) -> Floor:
    """Return the floor of `score` at n samples, over `draws` pairs of real draws."""
    pairs = (pair(data, n, seed, k) for k in range(draws))
    values = torch.tensor([score(one.x, other.x) for one, other in pairs], dtype=torch.float64)
    return Floor(float(values.mean()), float(values.std()))


def real(data: Data, n: int, seed: int, stream: str, k: int, label: int | None, *, trained: bool = False) -> Batch:
    """Return n held-out data, of one class if a label is given: a function of (seed, stream, k).

    Of a finite set they are different, and as many as there are; or, with `trained`, some that models may train on.
    """
    generator = streams.generator(seed, stream, k)
    if data.available is not None:
        x, labels = all_trained(data) if trained else data.held_out(data.available, generator)
        rows = torch.randperm(len(x), generator=generator)
        if label is not None and labels is not None:
            rows = rows[labels[rows] == label]
        return Batch(x[rows[:n]], None if labels is None else labels[rows[:n]])
    if label is None:
        return data.held_out(n, generator)
    x = torch.empty(0, *data.shape)
    for _ in range(1000):
        batch = data.held_out(max(n, 1000), generator)
        x = torch.cat([x, batch.x[batch.label == label]])
        if len(x) >= n:
            return Batch(x[:n], torch.full((n,), label))
    raise ToydiffError(f"real data of the class `{data.label_names[label]}` are too rare to find {n:,}", "Lower -n.")


def pair(data: Data, n: int, seed: int, k: int, label: int | None = None) -> tuple[Batch, Batch]:
    """Return the k-th two draws of n real data that have nothing in common.

    Of a finite set with fewer than 2n held out, they are held-out data beside some that models train on; and where
    there are fewer than 2n of those too, so that each pair would hold nearly the same ones, halves of the held-out.
    """
    x, labels = real(data, 2 * n, seed, "floor", k, label)
    if len(x) < 2 * n:
        trained = real(data, 2 * n, seed, "floor", 2 * k + 1, label, trained=True)
        if len(trained.x) == 2 * n:
            return real(data, n, seed, "floor", 2 * k, label), _rows(trained, slice(n))
        n = len(x) // 2
    both = Batch(x, labels)
    return _rows(both, slice(n)), _rows(both, slice(n, 2 * n))


def nothing_new(data: Data) -> str:
    """Return why held-out data of a file tell nothing of copies and of what lies near, "" if they do."""
    if data.available is None:
        return ""
    held_out = data.held_out(data.available, streams.generator(0, "held out")).x
    if (again := repeated(held_out, data.fixed().x)) < REPEATED:
        return ""
    return f"{again:.0%} of held-out {data.word} are in the training data as well"


def all_trained(data: Data) -> Batch:
    """Return all of a finite set that models may train on, whatever part of it one was given."""
    return data.model_copy(update={"n": None}).fixed()


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.x[rows], None if batch.label is None else batch.label[rows])
