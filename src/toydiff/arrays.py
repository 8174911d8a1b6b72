"""Samples as arrays: npz, npy and csv, in data units."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toydiff.data import Batch
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import atomic_write, shown, write_text
from toydiff.guards import Npz, read_lines, read_npy

MOST_BYTES = 1 << 30
"""Of an array that is read, also unpacked."""


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


def read_array(path: Path) -> Tensor:
    """Return an array of numbers as float32: x of an .npz (or its only array), an .npy, or the rows of a .csv.

    Of a .csv with a header those are its columns x1, x2, …, as `write_csv` has them. Nothing is unpickled.
    Raises ToydiffError for anything else.
    """
    readers = {".npz": _from_npz, ".npy": lambda path: read_npy(path, MOST_BYTES), ".csv": _from_csv}
    try:
        array = readers[path.suffix.lower()](path).astype(np.float32)
    except (ValueError, IndexError, KeyError) as error:
        raise ToydiffError(
            f"{shown(path)} holds no array of numbers", "An .npz has x, an .npy one array, a .csv a row a sample."
        ) from error
    if not np.isfinite(array).all():
        raise ToydiffError(f"{shown(path)} holds a number that is not finite", "Mend the file.")
    return torch.from_numpy(array)


def _from_npz(path: Path) -> np.ndarray:
    arrays = Npz(path, MOST_BYTES)
    return arrays["x" if len(arrays) != 1 else next(iter(arrays))]


def _from_csv(path: Path) -> np.ndarray:
    lines = [line.split(",") for line in read_lines(path, MOST_BYTES) if line.strip()]
    columns = [k for k, name in enumerate(lines[0]) if name.strip().startswith("x")] if lines else []
    rows = [[line[k] for k in columns] for line in lines[1:]] if columns else lines
    return np.array(rows, dtype=np.float64)
