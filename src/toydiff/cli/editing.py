"""The options of `toydiff sample` that begin elsewhere than in noise, or guide the way."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from toydiff.cli import options
from toydiff.errors import ConfigurationError, did_you_mean, shown

if TYPE_CHECKING:
    from torch import Tensor

    from toydiff.editing import Edit
    from toydiff.runs import Loaded

IntervalOption = Annotated[
    str | None,
    typer.Option("--guidance-interval", help="Guide where LO < sigma/alpha ≤ HI only: 0.2,3.", metavar="LO,HI"),
]
GuideOption = Annotated[
    str | None,
    typer.Option(
        "--guide",
        help="Guide by a weaker model of the same data, not by the model without label.",
        autocompletion=options.complete_name,
        metavar="NAME",
    ),
]
InitOption = Annotated[
    Path | None, typer.Option("--init", help="Begin from data: a picture, or .csv, .npy, .npz.", metavar="FILE")
]
StrengthOption = Annotated[
    float | None, typer.Option(help="Noise put on --init, as a time: 0 is none, 1 is only noise.")
]
MaskOption = Annotated[
    Path | None, typer.Option("--mask", help="Paint --init anew where this is white, or not 0.", metavar="FILE")
]
InterpolateOption = Annotated[
    str | None, typer.Option("--interpolate", help="Go from one seed to another in -n samples: 3,7.", metavar="A,B")
]

ARRAYS, PICTURES = (".csv", ".npy", ".npz"), (".bmp", ".jpeg", ".jpg", ".png", ".webp")
WAY = 9
"""Samples on the way between two seeds, both ends included."""


def parse_interval(text: str | None) -> tuple[float, float] | None:
    """Return (low, high) of --guidance-interval LO,HI."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = math.nan, math.nan
    if not 0 <= low < high:
        raise ConfigurationError(
            f"`--guidance-interval {shown(text)}` is no interval of sigma/alpha",
            "Two numbers from 0 to inf, the lower first: --guidance-interval 0.2,3",
        )
    return low, high


def parse_interpolate(text: str | None, seed: str | None) -> tuple[int, int] | None:
    """Return the two seeds of --interpolate A,B."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,18}),(\d{1,18})", text)
    if match is None:
        raise ConfigurationError(f"`--interpolate {shown(text)}` is not two seeds", "For example: --interpolate 3,7")
    if seed is not None:
        raise ConfigurationError("--interpolate and --seed both choose the seeds", "Give one of the two.")
    return int(match[1]), int(match[2])


def check_words(guidance: float | None, interval: str | None, guide: str | None, *files: Path | None) -> None:
    """Raise ConfigurationError for options that would do nothing, and for files of unknown format."""
    for name, given in (("--guidance-interval", interval), ("--guide", guide)):
        if given is not None and guidance in (None, 1):
            raise ConfigurationError(f"{name} without a scale guides nowhere: 1 is no guidance", "Add --guidance 2.")
    for file in files:
        if file is not None and (extension := file.suffix.lower()) not in ARRAYS + PICTURES:
            known = [known.lstrip(".") for known in ARRAYS + PICTURES]
            raise ConfigurationError(
                f"{shown(file)}: unknown format `{shown(extension.lstrip('.'))}`", did_you_mean(extension, known)
            )


def check_leads(scale: float, guide: Loaded | None, label: str | Tensor | None, departs: bool) -> None:
    """Raise ConfigurationError for guidance towards no class, which only leads anywhere with a guide."""
    if scale != 1 and guide is None and label in (None, "none") and (departs or label):
        raise ConfigurationError("--guidance leads towards a class, and there is none", "Add --label, or --guide NAME.")


class Beginning(NamedTuple):
    """Whose seeds and labels are sampled, from what, and the first and last seed."""

    seeds: Tensor
    label: str | Tensor | None
    edit: Edit
    ends: tuple[int, int]

    @property
    def said(self) -> str:
        """The seeds in words: "0-63", or "from 3 to 7"."""
        return "from {} to {}".format(*self.ends) if self.edit.towards is not None else "{}-{}".format(*self.ends)


def beginning(
    loaded: Loaded,
    first: int,
    count: int,
    way: tuple[int, int] | None,
    label: str | None,
    init: Path | None,
    strength: float | None,
    mask: Path | None,
    free: bool,
) -> Beginning:
    """Return where to begin: at the noise of `count` seeds from `first` on, or on the way between two, or at data.

    --label all is every class in turn, each with the same seeds: rows of a grid to compare. Where the number is `free`
    there are as many samples as rows in the data, and fewer of each class. ConfigurationError for what does not fit.
    """
    import torch

    from toydiff.editing import Edit

    shape, begin, where = loaded.data.shape, None, None
    if init is not None:
        begin = _read(init, shape, *(loaded.data.domain or (-1.0, 1.0)))
        begin = begin[None] if begin.ndim <= len(shape) else begin
        count = len(begin) if free and len(begin) > 1 else count
    if mask is not None:
        where = _read(mask, shape, 0.0, 1.0) > 0.5
        where = where[0] if where.ndim > len(shape) and len(where) == 1 else where
    if label == "all":
        loaded.labels("0", torch.zeros(1))  # which refuses for a model without
        classes = len(loaded.data.label_names)
        count = max(8, count // classes) if free and way is None and begin is None else count
    seeds = torch.arange(first, first + count) if way is None else torch.full((count,), way[0])
    towards, weight = (None, None) if way is None else (torch.full((count,), way[1]), torch.linspace(0, 1, count))
    edit = Edit(begin, where, strength, towards, weight)
    edit.check(shape, count)
    ends = way or (first, first + count - 1)
    if label != "all":
        return Beginning(seeds, label, edit, ends)
    rows = torch.arange(count).repeat(classes)
    return Beginning(seeds[rows], torch.arange(classes).repeat_interleave(count), edit[rows], ends)


def _read(path: Path, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """Return an array as it is, or a picture with black as `low` and white as `high`."""
    import torch

    if path.suffix.lower() in PICTURES:
        from toydiff.viz.reading import read_picture

        return torch.from_numpy(low + (high - low) * read_picture(path, shape)).float()
    from toydiff.arrays import read_array

    return read_array(path)
