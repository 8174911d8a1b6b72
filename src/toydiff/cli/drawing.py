"""The options of every command that draws: the theme, and how large the picture is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.files import shown

PICTURES = ("png", "svg", "pdf")
THEMES = ("light", "dark")

ThemeOption = Annotated[str | None, typer.Option("--theme", help="Paper to draw on: light or dark.")]
SizeOption = Annotated[int | None, typer.Option("--size", help="Width of a png in pixels.", min=64, max=10_000)]
DpiOption = Annotated[int | None, typer.Option("--dpi", help="Pixels an inch of a png (150).", min=30, max=600)]


def check_theme(theme: str | None) -> str:
    """Return the theme, light if none is given; ConfigurationError for one that does not exist."""
    if theme not in (None, *THEMES):
        raise ConfigurationError(f"unknown theme `{shown(theme)}`", did_you_mean(str(theme), THEMES))
    return theme or THEMES[0]


def check_drawing(out: Path, theme: str | None, size: int | None, dpi: int | None) -> str:
    """Return the theme; ConfigurationError for options of a picture where `out` is none, or has no pixels."""
    kind = out.suffix.lower().removeprefix(".")
    options = {"--theme": kind in PICTURES or theme is None, "--size": kind == "png" or size is None}
    options["--dpi"] = kind == "png" or dpi is None
    if idle := [name for name, fits in options.items() if not fits]:
        why = "is no picture" if kind not in PICTURES else "has no pixels: it is as large as the page wants it"
        raise ConfigurationError(
            f"{' and '.join(idle)} would have no effect: {shown(out)} {why}", "Leave them out, or give -o picture.png."
        )
    return check_theme(theme)
