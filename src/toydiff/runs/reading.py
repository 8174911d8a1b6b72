"""From a path to what a run has learned; where latest.pt is damaged, from the one before it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toydiff import checkpoint as checkpoints
from toydiff.checkpoint import Checkpoint, NewerFormat
from toydiff.errors import ToydiffError
from toydiff.files import shown
from toydiff.runs.exchange import SUFFIX, load_tensors

LATEST, PREVIOUS = "latest.pt", "latest.prev.pt"
Content = TypeVar("Content")


class Best(BaseModel):
    """The best validation so far."""

    step: int = Field(ge=0, le=1_000_000_000)
    loss: float = Field(allow_inf_nan=False)


class Header(BaseModel):
    """What a header says beside the configuration, which `run_of` checks: commands compute with it, and print it."""

    model_config = ConfigDict(strict=True, extra="allow")

    name: str = ""
    preset: str | None = None
    step: int = Field(ge=0, le=1_000_000_000)
    total: int = Field(ge=0, le=1_000_000_000)
    best: Best | None = None
    window: list[float] = Field([0.0, 0.0], min_length=2, max_length=2)
    due: list[str] = []
    data: str = ""
    environment: dict[str, str | int] = {}


def read(path: Path, warn: Callable[[str], None] = warnings.warn) -> tuple[Checkpoint, Path]:
    """Return (content, where it came from): of a damaged latest.pt, those of latest.prev.pt beside it, and `warn`.

    Of a .safetensors file, what `exchange.save_tensors` wrote. Raises ToydiffError if neither is whole. A file of a
    newer toydiff is not damaged: the older one beside it would be continued, and the newer one overwritten.
    """
    if path.suffix == SUFFIX:
        _check(path, (content := load_tensors(path)).header)
        return content, path
    return _or_previous(checkpoints.load, path, warn, lambda content: content.header)


def read_header(path: Path, warn: Callable[[str], None] = warnings.warn) -> tuple[dict[str, Any], Path]:
    """Return the header alone, in the same way."""
    return _or_previous(checkpoints.read_header, path, warn, lambda header: header)


def _check(path: Path, header: dict[str, Any]) -> None:
    """Raise ToydiffError unless a run could have written the header."""
    try:
        Header.model_validate(header)
    except ValidationError as error:
        detail = error.errors()[0]
        what = f"`{'.'.join(str(part) for part in detail['loc'])}`: {detail['msg'][0].lower()}{detail['msg'][1:]}"
        raise ToydiffError(
            f"{shown(path)} is not a usable checkpoint: its header has an odd {shown(what)}",
            "Give a checkpoint that `toydiff train` wrote.",
        ) from error


def _or_previous(
    reader: Callable[[Path], Content],
    path: Path,
    warn: Callable[[str], None],
    header_of: Callable[[Content], dict[str, Any]],
) -> tuple[Content, Path]:
    def read_and_check(path: Path) -> Content:
        _check(path, header_of(content := reader(path)))
        return content

    try:
        return read_and_check(path), path
    except NewerFormat:
        raise
    except ToydiffError as error:
        previous = path.with_name(PREVIOUS)
        if path.name != LATEST or not previous.is_file():
            raise
        try:
            content = read_and_check(previous)
        except ToydiffError as second:
            raise ToydiffError(f"{error.message}; {second.message}", "Take best.pt, or train again.") from error
        warn(f"{error.message}; {shown(previous)}, the one before it, is whole and taken instead")
        return content, previous
