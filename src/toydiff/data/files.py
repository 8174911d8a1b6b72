"""Your own data: points from tables, images from arrays or folders; a model that has learned them does without."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from toydiff.data import albums, tables
from toydiff.data.base import Batch, Mirrored
from toydiff.data.content import MOST_CLASSES, Content
from toydiff.data.known import FromFile, Known, stamp
from toydiff.errors import ToydiffError, shown

HELD_OUT = 10
"""One in so many samples is kept from training, for the validation loss."""
UNEVEN = 20
"""Times that one coordinate may vary more than another before something is said."""

Column = Annotated[str, Field(min_length=1, max_length=200)] | Annotated[int, Field(ge=1, le=10_000)]


class Samples(FromFile):
    """A finite set: one in ten, chosen by `seed`, is held out for validation, and models train on `n` of the others."""

    @model_validator(mode="after")
    def _as_there_are(self) -> Self:
        if isinstance(self, Mirrored) and self.augments and not self.pictorial:
            raise ValueError("augment: points are not mirrored")
        if self.n is not None and self.n > (most := self._facts.train or 1):
            raise ValueError(f"n = {self.n:,} is more than the {most:,} {self.word} to train on in {shown(self.path)}")
        return self

    @property
    def seeded(self) -> bool:
        return True

    @property
    def count(self) -> int | None:
        return self.n or self._facts.train

    def _read(self) -> Content:
        raise NotImplementedError

    def _find(self, settings: str) -> Known:
        x, label, names, held = content = _read(type(self), settings, stamp(self.path))
        if x.ndim == 2:
            wide = x.double()
            mean = wide.mean(0)
            shift, square = tuple(mean.tolist()), float((wide - mean).square().mean())
        else:  # black and white are −1/scale and 1/scale to the model, in every pixel
            shift, square = (0.0,), sum(float(_units(part).square().sum()) for part in torch.split(x, 4096)) / x.numel()
        if bool((x == x[:1]).all()) or not square > 0:
            alike = f"all {len(x):,} {content.word} are alike" if len(x) > 1 else f"it holds one {content.word[:-1]}"
            raise ToydiffError(f"{shown(self.path)}: {alike}", "There is nothing to learn from that.")
        shares = () if label is None else tuple((label.bincount(minlength=len(names)).double() / len(x)).tolist())
        train = len(x) - len(x) // HELD_OUT if held is None else int((~held).sum())
        return Known(
            settings=settings,
            shape=tuple(x.shape[1:]),
            shift=shift,
            scale=math.sqrt(square),
            train=train,
            labels=names,
            shares=shares,
        )

    @property
    def _content(self) -> Content:
        """The file's content; raises ToydiffError if it is no longer what the model was told of it."""
        facts = self._facts
        content = _read(type(self), facts.settings, stamp(self.path))
        if tuple(content.x.shape[1:]) != facts.shape or content.names != facts.labels:
            raise ToydiffError(
                f"{shown(self.path)} has changed: its samples have another shape, or other labels, than they had",
                "Bring the old file back, or train anew.",
            )
        return content

    @property
    def advice(self) -> str:
        """What to do about columns in units so different that the noise which hides one leaves another untouched."""
        x = self._content.x
        if x.ndim > 2 or x.shape[1] == 1:
            return ""
        sd = x.double().std(0)
        wide, narrow = int(sd.argmax()), int(sd.argmin())
        if sd[wide] < UNEVEN * sd[narrow]:
            return ""
        return (
            f"{self.name}: coordinate {wide + 1} varies {float(sd[wide] / sd[narrow]):.0f} times as much as coordinate "
            f"{narrow + 1}, and the model sees both in one unit: divide each by its standard deviation first"
        )

    def _rows(self) -> tuple[Tensor, Tensor]:
        """Return which rows are for training, in the order in which fewer would be taken, and which are held out."""
        x, _, _, held = self._content
        if held is not None:
            return (~held).nonzero().squeeze(1), held.nonzero().squeeze(1)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.seed))
        kept = len(x) - len(x) // HELD_OUT
        return order[:kept], order[kept:]

    def _batch(self, rows: Tensor) -> Batch:
        x, label, _, _ = self._content
        return Batch(_units(x[rows]), None if label is None else label[rows])

    @property
    def available(self) -> int | None:
        return len(self._content.x)

    @property
    def holds_out(self) -> bool:
        return not (self.known and self.known.train == self.available)

    def draw(self, n: int, generator: Generator) -> Batch:
        """Return n samples of the whole file, none of them twice before all have come once."""
        count = len(self._content.x)
        orders = [torch.randperm(count, generator=generator) for _ in range(-(-n // count))]
        return self._batch(torch.cat(orders)[:n])

    def fixed(self) -> Batch:
        return self._batch(self._rows()[0][: self.n])

    def held_out(self, n: int, generator: Generator) -> Batch:
        """Return n different samples that are not trained on, or as many as there are; of fewer than ten, all."""
        training, held = self._rows()
        rows = held if len(held) else training
        return self._batch(rows[torch.randperm(len(rows), generator=generator)[:n]])


def _units(x: Tensor) -> Tensor:
    """Return samples in data units: bytes as x = byte / 127.5 − 1."""
    return x.float().div_(127.5).sub_(1) if x.dtype == torch.uint8 else x


@lru_cache(maxsize=2)
def _read(kind: type[Samples], settings: str, stamp: object) -> Content:
    """Return the content of a file as it is now: `stamp` tells when that changes."""
    return kind.model_construct(**json.loads(settings))._read()


class Csv(Samples):
    """Points from a .csv text: a line a point, any number of columns; `label` names a column of classes.

    Columns are called by the header's names, or by number from 1 where there is no header. `columns` chooses among
    them; otherwise all but the label are coordinates. Unless said otherwise the label is the column called "label", or
    the only one that holds no numbers.
    """

    kind: Literal["csv"] = "csv"
    label: Column | None = None
    columns: Annotated[tuple[Column, ...], Field(min_length=1)] | None = None

    def _read(self) -> Content:
        return tables.read_csv(self.path, self.label, self.columns)


class Npy(Samples):
    """Points from an .npy array (N, D) or (N,); `label` is the number of a column of classes, counted from 1."""

    kind: Literal["npy"] = "npy"
    label: int | None = Field(None, ge=1)

    def _read(self) -> Content:
        return tables.read_npy(self.path, self.label)


class Npz(Samples, Mirrored):
    """Images from an .npz: `images`, `x` or `data`, with `labels`, `label` or `y`, and `split` (0: train) if there are.

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W), of bytes, or of numbers from 0 to 1 or from −1 to 1; (N, D) are
    points. `names` says what labels 0, 1, … are called.
    """

    kind: Literal["npz"] = "npz"
    names: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=MOST_CLASSES)
    ] = ()

    units: ClassVar[str] = "brightness, black −1 to white 1"
    domain: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)

    def _read(self) -> Content:
        return albums.read_npz(self.path, tuple(self.names))


class Folder(Samples, Mirrored):
    """Pictures in a folder, their classes its subfolders: grey or RGB, whatever the files are; transparency is white.

    All have one size, or `size` crops them to squares from their middle and scales those; `channels` makes all grey
    (1) or RGB (3).
    """

    kind: Literal["folder"] = "folder"
    size: int | None = Field(None, ge=albums.SMALLEST, le=512)
    channels: Literal[1, 3] | None = None

    units: ClassVar[str] = "brightness, black −1 to white 1"
    domain: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)

    def _read(self) -> Content:
        return albums.read_folder(self.path, self.size, self.channels)
