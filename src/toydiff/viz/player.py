"""The page that plays a film: one file with everything in it, put together from toydiff/web."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from html import escape
from pathlib import Path

import numpy as np

from toydiff.viz.reel import Carried
from toydiff.viz.style import THEMES, Theme, class_palette, hue_colours, themed

WEB = Path(__file__).resolve().parents[1] / "web"
SCRIPTS = ("noise", "network", "samplers", "film", "draw", "curves", "bench", "player")
LAYERS = {
    "scatter": ["scatter"],
    "density": ["density"],
    "arrows": ["arrows", "scatter"],
    "paths": ["paths", "scatter"],
    "field": ["field", "scatter"],
}
"""What of points is drawn at first, by style."""


def player_page(title: str, about: str, film: Carried) -> str:
    """Return an HTML document that plays the film, and fetches nothing. Every word is escaped."""
    parts = {
        "title": escape(title),
        "about": escape(about),
        "style": "\n".join([*(_variables(name, theme) for name, theme in THEMES.items()), _read("player.css")]),
        "script": "\n".join(_read(f"{name}.js") for name in SCRIPTS),
        # "<" would let a name end the script
        "film": json.dumps(film, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    return re.sub(r"<!-- (\w+) -->", lambda found: parts[found[1]], _read("player.html"))


def player_colours(classes: int) -> Carried:
    """Return the colours that canvases are drawn with, by theme: of classes, of 256 hues, and the theme's own."""
    out = {}
    for name, theme in THEMES.items():
        with themed(name):
            hues = (255 * hue_colours(np.arange(256) / 256)).round().astype(np.uint8)
            palette = (255 * class_palette(classes)).round().astype(int).tolist()
        out[name] = {
            **{key: getattr(theme, key) for key in ("paper", "ink", "muted", "data", "blue", "vermilion")},
            "hues": b64encode(hues.tobytes()).decode(),
            "classes": ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in palette],
        }
    return out


def _variables(name: str, theme: Theme) -> str:
    colours = {key: getattr(theme, key) for key in ("paper", "ink", "muted", "hairline", "blue", "vermilion")}
    lines = "".join(f" --{key}: {colour};" for key, colour in {**colours, "control": theme.muted}.items())
    return f":root{'' if name == 'light' else f'[data-theme={name}]'} {{ color-scheme: {name};{lines} }}"


def _read(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")
