"""Tables of points, from .csv and .npy: every number is finite, every column says something, or the line is named."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toydiff.data.content import Content, classes
from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean, shown
from toydiff.guards import read_lines
from toydiff.guards import read_npy as read_array

MOST_BYTES = 1 << 30
MOST_COLUMNS = 10_000
_MEND = "Mend the file."
_OWN = ("label", "seed")  # columns that toydiff writes behind x1, x2, …


def read_csv(path: str, label: str | int | None, columns: Sequence[str | int] | None) -> Content:
    """Return the points of a text with commas, semicolons, tabs or spaces between its columns.

    Lines that begin with # are comments. The first line is a header if no word of it is a number.
    Raises ToydiffError naming the line, ConfigurationError for a column that is not there.
    """
    file = shown(path)
    numbers: list[int] = []
    rows: list[list[str]] = []
    for number, words in _records(path):
        if rows and len(words) != len(rows[0]):
            raise ToydiffError(
                f"{file}, line {number} has {_columns(words)}, line {numbers[0]} has {len(rows[0])}", _MEND
            )
        numbers.append(number)
        rows.append(words)
    if not rows:
        raise ToydiffError(f"{file} holds no points: it is empty", "A line a point: 0.5,1.25")
    if len(rows[0]) > MOST_COLUMNS:
        raise ToydiffError(f"{file} has {len(rows[0]):,} columns, more than the {MOST_COLUMNS:,} allowed", "")
    header = rows[0] if not any(map(_is_number, rows[0])) else None
    if header is not None:
        del rows[0], numbers[0]
    if not rows:
        raise ToydiffError(f"{file} holds no points: it has a header and nothing below it", "A line a point: 0.5,1.25")
    names = header or [str(k + 1) for k in range(len(rows[0]))]
    which = _place(names, label, file) if label is not None else _told(names, rows)
    chosen = _coordinates(names, columns, which, file)

    def where(row: int) -> str:
        return f"{file}, line {numbers[row]}"

    if label is None and which is not None and names[which] != "label" and (hint := _commas(rows[0][which])):
        raise ToydiffError(f"{where(0)}, column `{shown(names[which])}`: `{rows[0][which]}` is not a number", hint)
    cells = [[row[k] for k in chosen] for row in rows]
    try:
        array = np.array(cells, dtype=np.float64)
    except ValueError:
        row, k = next((i, j) for i, each in enumerate(cells) for j, cell in enumerate(each) if not _is_number(cell))
        raise ToydiffError(
            f"{where(row)}, column `{shown(names[chosen[k]])}`: `{shown(cells[row][k])[:40]}` is not a number",
            _commas(cells[row][k])
            or "If it is the class, name that column with data.label; or choose others with data.columns.",
        ) from None
    found = None if which is None else classes([row[which] for row in rows], file, where)
    return _points(array, [names[k] for k in chosen], file, where, found, "")


def read_npy(path: str, label: int | None) -> Content:
    """Return the points of an array (N, D), or (N,) on a line; ToydiffError naming the row, counted from 1."""
    file, array = shown(path), read_array(path, MOST_BYTES)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ToydiffError(
            f"{file} has shape {array.shape}, and points are (N, D)", "Images go into an .npz: npz:images.npz"
        )
    if not array.size or array.shape[1] > MOST_COLUMNS:
        raise ToydiffError(
            f"{file} has shape {array.shape}: from 1 to {MOST_COLUMNS:,} columns of points are allowed", ""
        )
    names = [str(k + 1) for k in range(array.shape[1])]

    def where(row: int) -> str:
        return f"{file}, row {row + 1}"

    which = None if label is None else _place(names, label, file)
    found = None
    if which is not None:
        column = array[:, which].astype(np.float64)
        if (wrong := np.flatnonzero(~(np.abs(column) < 2**53) | (column != np.round(column)))).size:
            raise ToydiffError(f"{where(wrong[0])}: the label {column[wrong[0]]:g} is not a whole number", _MEND)
        found = classes([f"{value:.0f}" for value in column], file, where)
    chosen = _coordinates(names, None, which, file)
    rest = array[:, chosen].astype(np.float64)
    return _points(rest, [names[k] for k in chosen], file, where, found, "Take it out of the array.")


def _records(path: str) -> Any:
    """Yield (line number, words) of the lines that are neither empty nor a comment."""
    lines = [(k, line) for k, line in enumerate(read_lines(path, MOST_BYTES), 1) if line.strip() and line[0] != "#"]
    between = max(",;\t", key=lines[0][1].count) if lines else ","
    if lines and between not in lines[0][1]:
        yield from ((k, line.split()) for k, line in lines)
        return
    reader = csv.reader((line for _, line in lines), delimiter=between, skipinitialspace=True)
    try:
        for words in reader:
            yield lines[reader.line_num - 1][0], [word.strip() for word in words]
    except csv.Error as error:
        raise ToydiffError(f"{shown(path)}, line {lines[reader.line_num - 1][0]}: {shown(error)}", _MEND) from error


def _points(
    array: NDArray[np.float64],
    names: Sequence[str],
    file: str,
    where: Callable[[int], str],
    found: tuple[torch.Tensor, tuple[str, ...]] | None,
    without: str,
) -> Content:
    """Return points that can be learned; `without` says how to do without a column, if data.columns cannot."""
    with np.errstate(over="ignore"):
        x = array.astype(np.float32)
    if (wrong := np.argwhere(~np.isfinite(x))).size:
        row, k = wrong[0]
        raise ToydiffError(f"{where(row)}, column `{shown(names[k])}`: {array[row, k]:g} is no finite number", _MEND)
    if len(x) < 2:
        raise ToydiffError(f"{file} holds one point: there is nothing to learn from it", "Give it more.")
    if len(still := np.flatnonzero((x == x[0]).all(0)).tolist()) == len(names):
        hint = "Give it other numbers."
        raise ToydiffError(f"{file}: every point is the same: there is nothing to learn from them", hint)
    if still:
        told = f"column `{shown(names[still[0]])}` is {x[0, still[0]]:g} in every row: there is nothing to learn in it"
        if len(still) > 1:
            several = ", ".join(f"`{shown(names[k])}`" for k in still[:20]) + ", …" * (len(still) > 20)
            told = f"columns {several} never change: there is nothing to learn in them"
        others = ", ".join(f'"{name}"' for k, name in enumerate(names) if k not in still)
        fix = f"Leave {'it' if len(still) == 1 else 'them'} out: --set 'data.columns=["
        raise ToydiffError(f"{file}: {told}", without or f"{fix}{shown(others) if len(names) <= 20 else '…'}]'")
    label, labels = found or (None, ())
    return Content(torch.from_numpy(x), label, labels)


def _told(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """Return where labels are if nobody says: in the column called "label", else in the only one without numbers."""
    if "label" in names:
        return names.index("label")
    words = [k for k in range(len(names)) if not any(_is_number(row[k]) for row in rows)]
    return words[0] if len(words) == 1 else None


def _place(names: Sequence[str], column: str | int, file: str) -> int:
    """Return where a column is, by its name in the header or its number from 1."""
    for k, name in enumerate(names):
        if str(column) == name:
            return k
    if str(column).isdecimal() and len(str(column)) < 6 and 1 <= int(column) <= len(names):
        return int(column) - 1
    known = [shown(name) for name in names]
    raise ConfigurationError(f"{file} has no column `{shown(column)}`", did_you_mean(str(column), known[:50]))


def _coordinates(names: Sequence[str], columns: Sequence[str | int] | None, label: int | None, file: str) -> list[int]:
    """Return the places of the coordinates: those asked for, else all but the label, and no seeds of toydiff's own."""
    if columns is not None:
        chosen = [_place(names, column, file) for column in columns]
        if len(set(chosen)) < len(chosen) or label in chosen:
            raise ConfigurationError(
                f"{file}: a column is a coordinate once, and no label besides", "Mend data.columns."
            )
        return chosen
    if "" in names:
        raise ToydiffError(
            f"{file}: column {names.index('') + 1} has no name: is it a row number?",
            "Choose columns with data.columns.",
        )
    own = names[0] == "x1"
    chosen = [k for k, name in enumerate(names) if k != label and not (own and name in _OWN)]
    if not chosen:
        raise ToydiffError(f"{file} has no column but its labels", "A line a point: 0.5,1.25,label")
    return chosen


def _columns(words: Sequence[str]) -> str:
    return f"{len(words)} column{'' if len(words) == 1 else 's'}"


def _commas(text: str) -> str:
    """Return what to do about numbers written with commas, as 0,5 or with other columns in 5;1; "" for other texts."""
    if re.fullmatch(r"[\d.,;+\-\s]*[,;][\d.,;+\-\s]*", text) is None:
        return ""
    return "Write decimals with a point, and commas between columns: 0.5,1.25"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # which Python allows, and numpy does not
