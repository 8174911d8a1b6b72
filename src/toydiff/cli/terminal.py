"""Pictures in the terminal: --preview of train, resume, sample and data show, on stderr, in the colours it has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from toydiff.cli.talk import Talk

if TYPE_CHECKING:
    from toydiff.data import Batch, Data
    from toydiff.viz.terminal import Cells

PreviewOption = Annotated[
    bool, typer.Option("--preview", help="Also show some in the terminal, as characters, on stderr.")
]
TALL = 40
"""Lines of a picture that may scroll: two rows of images of 32 × 32."""
AROUND = 4
"""Lines of a terminal that a picture above a live line leaves free."""


def in_terminal(talk: Talk, data: Data, sets: Sequence[tuple[str, Batch]]) -> None:
    """Show titled sets of samples on stderr, images of the last set only; above the live line if there is one.

    Where there is no terminal it is plain text without colours, of 80 columns.
    """
    from toydiff.viz.glance import glance

    console = talk.console
    if talk.silent:
        return
    if not console.encoding.lower().startswith("utf"):
        return talk.warn(f"no preview: this terminal's encoding, {console.encoding}, has no blocks and dots")
    rows = TALL if talk.live is None else min(console.height - AROUND, TALL)
    talk.show(painted(glance(data, sets, console.width, rows, colourful(console)), console))


def colourful(console: Console) -> bool:
    """Whether there are colours enough for pictures: at least 256."""
    return not console.no_color and console.color_system in ("256", "truecolor")


def painted(cells: Cells, console: Console) -> Text:
    """Return cells as text for the console, in colours if it has them; lines end where their last character does."""
    picture = Text(no_wrap=True, overflow="crop", end="")
    for text, ink, paper in zip(*cells, strict=True):
        line = Text()
        for (front, back), run in groupby(zip(ink.tolist(), paper.tolist(), text, strict=True), itemgetter(0, 1)):
            line.append("".join(character for *_, character in run), Style(color=_colour(front), bgcolor=_colour(back)))
        line.rstrip()
        picture.append_text(line).append("\n")
    return picture


def _colour(parts: list[int]) -> Color | None:
    return None if parts[0] < 0 else Color.from_rgb(*parts)
