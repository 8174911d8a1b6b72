"""Samples as arrays: npz and csv, in data units."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from torch import Tensor

from toydiff.data import Batch
from toydiff.errors import ConfigurationError
from toydiff.files import atomic_write, write_text


def write_npz(path: Path, batch: Batch, seeds: Tensor | None = None) -> None:
    """Write x (N, …) in data units, label (N,) if any, seed (N,) if given."""
    arrays = {"x": batch.x.numpy()}
    if batch.label is not None:
        arrays["label"] = batch.label.numpy()
    if seeds is not None:
        arrays["seed"] = seeds.numpy()
    with atomic_write(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def check_csv(shape: tuple[int, ...]) -> None:
    """Raise ConfigurationError unless samples of that shape are points."""
    if len(shape) != 1:
        raise ConfigurationError(f"csv holds points, not samples of shape {shape}", "Write .npz instead.")


def write_csv(path: Path, batch: Batch, seeds: Tensor | None = None) -> None:
    """Write a line a sample: x1, x2, …, label if any, seed if given. Raises ConfigurationError for images."""
    check_csv(tuple(batch.x.shape[1:]))
    columns: list[np.ndarray] = [*batch.x.numpy().T]
    names = [f"x{k + 1}" for k in range(batch.x.shape[1])]
    for name, values in (("label", batch.label), ("seed", seeds)):
        if values is not None:
            columns.append(values.numpy())
            names.append(name)
    text = io.StringIO()
    text.write(",".join(names) + "\n")
    for row in zip(*columns, strict=True):
        text.write(",".join(repr(value.item()) if value.dtype.kind != "f" else f"{value:.9g}" for value in row) + "\n")
    write_text(path, text.getvalue())
