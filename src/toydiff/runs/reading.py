"""From a path to what a run has learned; where latest.pt is damaged, from the one before it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from toydiff import checkpoint as checkpoints
from toydiff.checkpoint import Checkpoint, NewerFormat
from toydiff.errors import ToydiffError
from toydiff.files import shown
from toydiff.runs.exchange import SUFFIX, load_tensors

LATEST, PREVIOUS = "latest.pt", "latest.prev.pt"
Content = TypeVar("Content")


def read(path: Path, warn: Callable[[str], None] = warnings.warn) -> tuple[Checkpoint, Path]:
    """Return (content, where it came from): of a damaged latest.pt, those of latest.prev.pt beside it, and `warn`.

    Of a .safetensors file, what `exchange.save_tensors` wrote. Raises ToydiffError if neither is whole. A file of a
    newer toydiff is not damaged: the older one beside it would be continued, and the newer one overwritten.
    """
    return (load_tensors(path), path) if path.suffix == SUFFIX else _or_previous(checkpoints.load, path, warn)


def read_header(path: Path, warn: Callable[[str], None] = warnings.warn) -> tuple[dict[str, Any], Path]:
    """Return the header alone, in the same way."""
    return _or_previous(checkpoints.read_header, path, warn)


def _or_previous(reader: Callable[[Path], Content], path: Path, warn: Callable[[str], None]) -> tuple[Content, Path]:
    try:
        return reader(path), path
    except NewerFormat:
        raise
    except ToydiffError as error:
        previous = path.with_name(PREVIOUS)
        if path.name != LATEST or not previous.is_file():
            raise
        try:
            content = reader(previous)
        except ToydiffError as second:
            raise ToydiffError(f"{error.message}; {second.message}", "Take best.pt, or train again.") from error
        warn(f"{error.message}; {shown(previous)}, the one before it, is whole and taken instead")
        return content, previous
