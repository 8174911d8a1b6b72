"""Samples as arrays: npz, npy and csv, in data units."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toydiff.data import Batch
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import atomic_write, shown, write_text
from toydiff.guards import Npz, read_lines, read_npy
from toydiff.samplers import Frame

MOST_BYTES = 1 << 30
"""Of an array that is read, also unpacked."""


def write_npz(path: Path, batch: Batch, seeds: Tensor | None = None, way: Sequence[Frame] = ()) -> None:
    """Write x (N, …) in data units, label (N,) if any, seed (N,) if given; and the way to them, of K noise levels.

    That is x_t and x0, the estimate of x_0 made from it, both (K, N, …) in data units, and the levels' t, alpha, sigma
    and log_snr (K,): ∞ where there is no noise.
    """
    arrays = {"x": batch.x.numpy()}
    if batch.label is not None:
        arrays["label"] = batch.label.numpy()
    if seeds is not None:
        arrays["seed"] = seeds.numpy()
    if way:
        arrays |= {"x_t": np.stack([f.x.numpy() for f in way]), "x0": np.stack([f.x0.numpy() for f in way])}
        for key in ("t", "alpha", "sigma", "log_snr"):
            arrays[key] = np.array([float(getattr(f.level, key)) for f in way])
    with atomic_write(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def check_csv(shape: tuple[int, ...]) -> None:
    """Raise ConfigurationError unless samples of that shape are points."""
    if len(shape) != 1:
        raise ConfigurationError(f"csv holds points, not samples of shape {shape}", "Write .npz instead.")


def write_csv(path: Path, batch: Batch, seeds: Tensor | None = None) -> None:
    """Write a line a sample: x1, x2, …, label if any, seed if given. Raises ConfigurationError for images."""
    check_csv(tuple(batch.x.shape[1:]))
    columns = _columns("x", batch.x) | _said(batch.label, seeds)
    text = io.StringIO()
    text.write(",".join(columns) + "\n")
    text.writelines(_lines(columns.values()))
    write_text(path, text.getvalue())


def write_way_csv(path: Path, way: Sequence[Frame], label: Tensor | None = None, seeds: Tensor | None = None) -> None:
    """Write a line for each noise level and sample, the noisiest level first.

    level (0, 1, …), its t and sigma, sample (0, 1, …), x1, x2, … of x_t, x0_1, x0_2, … of the estimate of x_0 made from
    it, label if any, seed if given. Raises ConfigurationError for images.
    """
    check_csv(tuple(way[0].x.shape[1:]))
    text = io.StringIO()
    for k, (level, x_t, x0) in enumerate(way):
        same = {"level": torch.tensor(k), "t": level.t, "sigma": level.sigma}
        columns = {name: value.expand(len(x_t)).numpy() for name, value in same.items()}
        columns |= {"sample": np.arange(len(x_t)), **_columns("x", x_t), **_columns("x0_", x0), **_said(label, seeds)}
        if k == 0:
            text.write(",".join(columns) + "\n")
        text.writelines(_lines(columns.values()))
    write_text(path, text.getvalue())


def _columns(name: str, points: Tensor) -> dict[str, np.ndarray]:
    return {f"{name}{k + 1}": column for k, column in enumerate(points.numpy().T)}


def _said(label: Tensor | None, seeds: Tensor | None) -> dict[str, np.ndarray]:
    return {name: each.numpy() for name, each in (("label", label), ("seed", seeds)) if each is not None}


def _lines(columns: Iterable[np.ndarray]) -> Iterable[str]:
    for row in zip(*columns, strict=True):
        yield ",".join(f"{value:.9g}" if value.dtype.kind == "f" else repr(value.item()) for value in row) + "\n"


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
