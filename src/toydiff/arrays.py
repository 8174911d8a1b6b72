"""Samples as arrays: npz, npy and csv, in data units."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toydiff.data import Batch
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import atomic_write, read_bytes, shown, write_text

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
    content = read_bytes(path, MOST_BYTES)
    try:
        read = {".npz": _from_npz, ".npy": _from_npy, ".csv": _from_csv}[path.suffix.lower()]
        array = np.asarray(read(content)).astype(np.float32)
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ToydiffError(
            f"{shown(path)} holds no array of numbers", "An .npz has x, an .npy one array, a .csv a row a sample."
        ) from error
    if not np.isfinite(array).all():
        raise ToydiffError(f"{shown(path)} holds a number that is not finite", "Mend the file.")
    return torch.from_numpy(array)


def _from_npy(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _from_npz(content: bytes) -> np.ndarray:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        member = archive.getinfo("x.npy" if "x.npy" in names or len(names) != 1 else names[0])
        if member.file_size > MOST_BYTES:
            raise ValueError("a small file of a huge array")
        return _from_npy(archive.read(member))


def _from_csv(content: bytes) -> np.ndarray:
    lines = [line.split(",") for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    columns = [k for k, name in enumerate(lines[0]) if name.strip().startswith("x")] if lines else []
    rows = [[line[k] for k in columns] for line in lines[1:]] if columns else lines
    return np.array(rows, dtype=np.float64)
