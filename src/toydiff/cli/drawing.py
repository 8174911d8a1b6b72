"""The options of every command that draws: the theme, and how large the picture is; and the one way it is written."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from toydiff import __version__
from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.files import shown

if TYPE_CHECKING:
    from toydiff.runs import Loaded
    from toydiff.viz.png import Picture

PICTURES = ("png", "svg", "pdf")
THEMES = ("light", "dark")

ThemeOption = Annotated[str | None, typer.Option("--theme", help="Paper to draw on: light or dark.")]
SizeOption = Annotated[int | None, typer.Option("--size", help="Width of a png in pixels.", min=64, max=10_000)]
DpiOption = Annotated[int | None, typer.Option("--dpi", help="Pixels an inch of a png (150).", min=30, max=600)]


class Paper(NamedTuple):
    """Where a picture goes, and how it is drawn there."""

    out: Path
    theme: str = THEMES[0]
    size: int | None = None
    dpi: int | None = None

    def draw(self, picture: Callable[[], Picture], **text: str) -> None:
        """Write the picture, with the command that made it and more `text` inside."""
        from toydiff.viz.png import save_picture
        from toydiff.viz.style import themed

        with themed(self.theme):
            save_picture(self.out, picture(), {"toydiff": command_line(), **text}, self.size, self.dpi)


def command_line() -> str:
    """Return the command as a shell would take it again."""
    return "toydiff " + " ".join(shlex.quote(word) for word in sys.argv[1:])


def provenance(loaded: Loaded) -> dict[str, str]:
    """Return what a picture says of the model that it shows."""
    said = {"model": loaded.name, "version": f"toydiff {__version__}"}
    return said | ({"checkpoint": f"{loaded.found.value}, sha256 {loaded.digest}"} if loaded.digest else {})


def check_theme(theme: str | None) -> str:
    """Return the theme, light if none is given; ConfigurationError for one that does not exist."""
    if theme not in (None, *THEMES):
        raise ConfigurationError(f"unknown theme `{shown(theme)}`", did_you_mean(str(theme), THEMES))
    return theme or THEMES[0]


def check_drawing(out: Path, theme: str | None, size: int | None, dpi: int | None) -> Paper:
    """Return how to draw; ConfigurationError for options of a picture where `out` is none, or has no pixels."""
    kind = out.suffix.lower().removeprefix(".")
    options = {"--theme": kind in PICTURES or theme is None, "--size": kind == "png" or size is None}
    options["--dpi"] = kind == "png" or dpi is None
    if idle := [name for name, fits in options.items() if not fits]:
        why = "is no picture" if kind not in PICTURES else "has no pixels: it is as large as the page wants it"
        raise ConfigurationError(
            f"{' and '.join(idle)} would have no effect: {shown(out)} {why}", "Leave them out, or give -o picture.png."
        )
    return Paper(out, check_theme(theme), size, dpi)
