"""What is read from a file: samples, their classes, and which of them are held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from toydiff.errors import ToydiffError, shown

MOST_CLASSES = 1000


class Content(NamedTuple):
    """x (N, *shape), float32, or uint8 of images; label (N,) int64 and the names of the labels; held (N,) bool."""

    x: Tensor
    label: Tensor | None = None
    names: tuple[str, ...] = ()
    held: Tensor | None = None

    @property
    def word(self) -> str:
        """What one calls the samples."""
        return "points" if self.x.ndim == 2 else "images"


def classes(values: Sequence[str], name: str, where: Callable[[int], str]) -> tuple[Tensor, tuple[str, ...]]:
    """Return (label (N,), names) of the classes of a file called `name`: sorted, as numbers if all of them are.

    Raises ToydiffError, saying `where` row k is, for a class without a name or called "none", and for too many.
    """
    whole = {value: int(value) for value in set(values) if value.lstrip("+-").isdecimal() and len(value) < 19}
    names = sorted(set(values), key=whole.__getitem__) if len(whole) == len(set(values)) else sorted(set(values))
    if len(names) > MOST_CLASSES:
        raise ToydiffError(
            f"{name}: {len(names):,} different labels, more than the {MOST_CLASSES:,} allowed",
            "Is that column a class?",
        )
    for wrong in ("", "none"):
        if wrong in names:
            raise ToydiffError(
                f"{where(values.index(wrong))}: a class cannot be called `{wrong}`", "Give it another name."
            )
    index = {value: k for k, value in enumerate(names)}
    return torch.tensor([index[value] for value in values]), tuple(shown(each)[:200] for each in names)
