"""sample --show-process: the way from noise to samples, in a picture or as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from toydiff.errors import ConfigurationError

if TYPE_CHECKING:
    from toydiff.runs import Loaded
    from toydiff.samplers import Frame

ProcessOption = Annotated[
    bool, typer.Option("--show-process", help="The way from noise to data: x_t in a picture, all of it in npz or csv.")
]
X0Option = Annotated[
    bool, typer.Option("--show-x0", help="In the picture of --show-process: the current estimate of x_0 below x_t.")
]
PANELS = 7
"""Noise levels that a picture shows; arrays have them all."""
ROWS, MOST_ROWS = 8, 100
"""Images it shows, and the most it can show."""
MOST_BYTES = 1 << 30
"""Of arrays of the way: they are in memory, all of them at once."""


def check_words(show_process: bool, show_x0: bool, drawn: bool) -> None:
    """Raise ConfigurationError for estimates of x_0 where no x_t is drawn."""
    if show_x0 and not show_process:
        raise ConfigurationError(
            "--show-x0 shows estimates of x_0 below x_t, and there is no x_t", "Add --show-process."
        )
    if show_x0 and not drawn:
        raise ConfigurationError("--show-x0 is for pictures: arrays of the process have x_0 anyway", "Leave it out.")


def check_room(loaded: Loaded, count: int, drawn: bool) -> None:
    """Raise ConfigurationError, before anything is sampled, for more than a picture or the memory has room for."""
    data = loaded.data
    if drawn and data.pictorial and count > MOST_ROWS:
        raise ConfigurationError(
            f"--show-process draws a row for each image: {count:,} are too many", f"Take {MOST_ROWS} or fewer, with -n."
        )
    each = 2 * 4 * len(loaded.config.levels()) * math.prod(data.shape)  # x_t and x_0, of four bytes a number
    if not drawn and count * each > MOST_BYTES:
        raise ConfigurationError(
            f"the way of {count:,} {data.word} at {len(loaded.config.levels()):,} noise levels takes "
            f"{count * each / 1e9:.1f} GB",
            f"Take -n {MOST_BYTES // each:,} or fewer, or fewer --steps.",
        )


def shown_steps(last: int, drawn: bool) -> list[int]:
    """Return after which of `last` steps the way is shown: all of them, 0 among them, or as many as a picture has."""
    return sorted({round(k * last / (PANELS - 1)) for k in range(PANELS)}) if drawn else list(range(last + 1))


def needed_steps(steps: list[int], last: int) -> list[int]:
    """Return which frames it takes to show those: also the next ones, whose x̂_0 was made from them."""
    return sorted({*steps, *(min(k + 1, last) for k in steps)})


def way(frames: Mapping[int, Frame], steps: list[int], last: int) -> list[Frame]:
    """Return the frames after those steps, each with the x̂_0 made from its x; the last, of which none is, keeps its
    own."""
    return [frames[k]._replace(x0=frames[min(k + 1, last)].x0) for k in steps]
