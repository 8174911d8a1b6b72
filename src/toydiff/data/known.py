"""Data that lie in a file or folder of yours, and what a model has to know of them to do without."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from toydiff.data.base import Data
from toydiff.data.content import MOST_CLASSES
from toydiff.errors import ToydiffError, shown
from toydiff.spec import Spec

MOST_NUMBERS = 1 << 22
"""In one sample."""


class Known(Spec):
    """What a model has to know of a file: found when the file is first looked at, and kept in the checkpoint."""

    settings: str
    """What was asked for when it was found; anything else is looked at anew."""
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], Field(min_length=1, max_length=3)]
    shift: Annotated[tuple[float, ...], Field(min_length=1, max_length=10_000)]
    """The mean of each coordinate of points; one number, 0, of images."""
    scale: float = Field(gt=0)
    train: int | None = Field(None, ge=1)
    """Samples to train on; None: the file is a density, and they are endless."""
    labels: Annotated[tuple[str, ...], Field(max_length=MOST_CLASSES)] = ()
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if math.prod(self.shape) > MOST_NUMBERS or len(self.shift) not in (1, math.prod(self.shape)):
            raise ValueError("a shape beyond reason, or a shift that does not fit it")
        if len(self.shares) != len(self.labels) or (self.shares and sum(self.shares) <= 0):
            raise ValueError("not a share for each label")
        return self


class FromFile(Data):
    """Data from a file or folder: `path` is relative to the current folder, and `known` is filled in by looking."""

    path: str = Field(min_length=1, max_length=4096)
    known: Known | None = None

    @model_validator(mode="after")
    def _look(self) -> Self:
        settings = self.model_dump(mode="json", exclude={"known", "n", "seed", "augment"})
        if self.known is None or not self._same(self.known.settings, settings):
            object.__setattr__(self, "known", self._find(json.dumps(settings, sort_keys=True)))
        return self

    def _same(self, asked: str, settings: dict[str, Any]) -> bool:
        """Return whether what was asked for means these settings: what was none of them then is at its default now."""
        with suppress(ValueError, TypeError):
            fields, before = type(self).model_fields, json.loads(asked)
            new = {name: fields[name].get_default() for name in settings if name not in before}
            return {**new, **before} == settings
        return False

    def _find(self, settings: str) -> Known:
        """Return what the file tells; raises ToydiffError naming the file, and the line where that makes sense."""
        raise NotImplementedError

    @property
    def _facts(self) -> Known:
        assert self.known is not None
        return self.known

    @property
    def shape(self) -> tuple[int, ...]:
        return self._facts.shape

    @property
    def shift(self) -> Tensor:
        shift = torch.tensor(self._facts.shift, dtype=torch.float32)
        return shift.reshape(self.shape) if len(shift) > 1 else shift[0].expand(self.shape).clone()

    @property
    def scale(self) -> float:
        return self._facts.scale

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._facts.labels

    def outline(self, n: int) -> Tensor:
        """Return draws; where the file has gone, normal numbers of the same mean and spread."""
        try:
            return super().outline(n)
        except ToydiffError:
            return self.shift + self.scale * torch.randn(n, *self.shape, generator=torch.Generator().manual_seed(0))

    def label_frequencies(self) -> Tensor:
        """Return how often each label comes, (K,) float64, in the whole file."""
        return torch.tensor(self._facts.shares, dtype=torch.float64)

    @property
    def name(self) -> str:
        return shown(os.path.basename(self.path.rstrip(os.sep)) or self.path)

    @property
    def _empirical_hint(self) -> str:
        return f"`exact:{self.kind}:{self.path}@500` is the exact denoiser of 500 of its samples."


def stamp(path: str) -> object:
    """Return what changes when a file, or a file in a folder, does."""
    try:
        found = [os.stat(path)]
        if os.path.isdir(path):
            found += [entry.stat() for folder, _, _ in sorted(os.walk(path)) for entry in os.scandir(folder)]
    except (OSError, ValueError):
        return None
    return tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in found)
