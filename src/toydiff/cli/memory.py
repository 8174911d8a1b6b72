"""What to do when memory runs out: said in one line, with a setting to change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from toydiff.errors import ToydiffError
from toydiff.files import shown

if TYPE_CHECKING:
    from pathlib import Path

    from toydiff.data import Data
    from toydiff.runs import Loaded
    from toydiff.training import Training

SIGNS = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory|bad_alloc"
    r"|could not create a primitive\s*(\n|$)"  # oneDNN without room for its code; what it does not know ends otherwise
)
"""What libraries say of it, each in words of its own."""


@contextmanager
def enough_memory(what: Callable[[], tuple[str, str]]) -> Iterator[None]:
    """Turn running out of memory in the block into a ToydiffError of the (message, hint) that `what` returns then."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise ToydiffError(*what()) from error


def ran_out(error: Exception) -> bool:
    """Return whether an error says that memory has run out."""
    said = isinstance(error, RuntimeError) and SIGNS.search(str(error).lower())
    return isinstance(error, MemoryError) or bool(said)


def too_many(loaded: Loaded, count: int) -> tuple[str, str]:
    """Return what to say when memory has run out while `count` samples were made, and what to change."""
    said = f"out of memory while making {count:,} {loaded.data.word} with `{shown(loaded.name)}`"
    few = min(count, loaded.at_once) // 2  # more than `at_once` are made in batches of so many
    return said, f"Make fewer at once: -n {few}." if few else "Take a machine with more memory."


def too_much(data: Data) -> tuple[str, str]:
    """Return what to say when memory has run out while the data were drawn, and what to change."""
    n = data.count or 0
    said = "out of memory while drawing the data" + f", {n:,} {data.word}" * (n > 0)
    return said, f"Train on fewer: --samples {n // 2}." if n > 1 else ""


def too_large(training: Training, device: str, at: int, kept: Path) -> tuple[str, str]:
    """Return what to say when memory has run out after step `at` of training, and what to change."""
    size, parts = training.batch_size, training.accumulate
    said = f"out of memory on {device} after step {at:,}, with batches of {size:,}"
    said += f" in {parts:,} parts" * (parts > 1)
    ways = [f"`--batch-size {size // 2}`"] * (size > 1)
    ways += [f"`--accumulate {2 * parts}`, which makes the same batch of smaller parts"] * (2 * parts <= size)
    what = f"Train with {' or '.join(ways)}." if ways else "Take a smaller network."
    return said, what + (f" What is saved stays: {shown(kept)}." if kept.is_file() else "")
