"""How good is a model? Every score over several draws of its samples, beside what real data read in their place."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from toydiff.data import Batch, Data
from toydiff.errors import ToydiffError
from toydiff.metrics.planar import PointMeasures
from toydiff.metrics.scores import Floor, Measures, Score, confidence
from toydiff.runs import Loaded
from toydiff.training import streams

DRAWS, FLOOR_DRAWS = 5, 20
"""Draws of samples that an interval comes from, and pairs of real draws that a floor comes from."""


def evaluate(
    loaded: Loaded,
    n: int = 2000,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    floor_draws: int = FLOOR_DRAWS,
    label: str | int | None = None,
    on_progress: Callable[[str], None] = lambda what: None,
    **options: Any,
) -> list[Score]:
    """Return every score that suits the model's data (points, shapes, images), each over `draws` draws of n samples.

    Draw b is made of the seeds seed + b·n … seed + (b + 1)·n − 1 and stands beside n fresh real data of its own, drawn
    from what the training data were drawn from; of a class, if `label` names one. Two ways of sampling, evaluated with
    the same seed, thus share noise and real data draw by draw. `options` are those of `Loaded.sample`: sampler, levels,
    guidance, interval, guide, clip, device, evaluations.
    """
    data = loaded.data
    measures = measures_for(data)
    chosen = None if label is None or str(label) == "none" else data.label_of(label)
    drawn = []
    for b in range(draws):
        on_progress(f"draw {b + 1} of {draws}")
        samples = loaded.sample(n, seed=seed + b * n, label=label, **options)
        drawn.append(measures(samples, real(data, n, seed, "evaluate", b, chosen)))
    on_progress("the floor")
    floors = floors_of(data, n, seed, floor_draws, chosen)
    return [
        Score(name, meaning, note=measures.missing[name])
        if name in measures.missing
        else Score(name, meaning, values := tuple(d[name] for d in drawn), confidence(values), floors[name])
        for name, meaning in measures.meanings.items()
    ]


@lru_cache(maxsize=8)
def measures_for(data: Data) -> Measures:
    """Return what there is to measure of such data; ToydiffError for data that nobody knows how to judge."""
    if data.pictorial:
        raise ToydiffError(f"nothing is measured of images such as `{data.kind}` yet", "Look at them: toydiff sample.")
    return PointMeasures(data)


def real(data: Data, n: int, seed: int, stream: str, k: int, label: int | None = None) -> Batch:
    """Return n fresh data, of one class if a label is given: a function of (seed, stream, k)."""
    generator = streams.generator(seed, stream, k)
    if label is None:
        return data.draw(n, generator)
    x = torch.empty(0, *data.shape)
    while len(x) < n:
        batch = data.draw(max(n, 1000), generator)
        x = torch.cat([x, batch.x[batch.label == label]])
    return Batch(x[:n], torch.full((n,), label))


@lru_cache(maxsize=8)
def floors_of(data: Data, n: int, seed: int, draws: int, label: int | None = None) -> dict[str, Floor]:
    """Return every score's floor at n samples: its mean and spread over pairs of fresh real draws."""
    measures = measures_for(data)
    rows = [
        measures(real(data, n, seed, "floor", 2 * k, label), real(data, n, seed, "floor", 2 * k + 1, label))
        for k in range(draws)
    ]
    columns = {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]}
    return {name: Floor(float(column.mean()), float(column.std())) for name, column in columns.items()}
