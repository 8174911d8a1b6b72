"""A page about a run that needs nothing beside it: pictures inside, no script, no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from typing import TypeAlias

from PIL import Image

from toydiff.viz.png import Picture
from toydiff.viz.style import pixels, theme

Table: TypeAlias = str | Sequence[Sequence[str]]
"""Text that stands as it is; or rows of two words, or of more, the first of which is the heading."""

STYLE = """
:root {{ color-scheme: {scheme}; }}
body {{ margin: 0 auto; max-width: 72rem; padding: 1rem 1.25rem 3rem; background: {paper}; color: {ink};
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.15rem; margin: 2.2rem 0 .6rem; }}
figure {{ margin: 0; }} img {{ display: block; max-width: 100%; height: auto; margin: 0 auto; }}
.pictures {{ display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid {hairline}; }}
th {{ color: {muted}; font-weight: normal; white-space: nowrap; }}
.scores td:nth-child(-n+4) {{ white-space: nowrap; overflow-wrap: normal; }}
.scores td:last-child {{ min-width: 14rem; }}
pre {{ overflow-x: auto; padding: .8rem 1rem; border: 1px solid {hairline}; font-size: .85rem; line-height: 1.45; }}
"""


def report_page(title: str, pictures: Mapping[str, Picture], tables: Mapping[str, Table]) -> str:
    """Return an HTML document: the pictures by title, as PNG inside it, then the tables. Every word is escaped."""
    style = STYLE.format(scheme="dark" if theme().paper < "#8" else "light", **theme()._asdict())
    drawn = "".join(_figure(name, picture) for name, picture in pictures.items())
    said = "".join(f"<section><h2>{escape(name)}</h2>{_table(table)}</section>\n" for name, table in tables.items())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{style}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        f'<div class="pictures">\n{drawn}</div>\n{said}</body></html>\n'
    )


def _figure(name: str, picture: Picture) -> str:
    image, file = Image.fromarray(pixels(picture)), BytesIO()
    image.save(file, format="PNG", optimize=True)
    source = f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
    size = f'width="{round(image.width / 1.5)}" height="{round(image.height / 1.5)}"'
    return f'<figure><h2>{escape(name)}</h2><img alt="{escape(name)}" {size} src="{source}"></figure>\n'


def _table(table: Table) -> str:
    if isinstance(table, str):
        return f"<pre>{escape(table)}</pre>"
    if all(len(row) == 2 for row in table):
        rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>\n" for key, value in table)
        return f'<div class="wide"><table>{rows}</table></div>'
    heading, *body = table
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in body)
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    return f'<div class="wide"><table class="scores"><tr>{cells}</tr>\n{rows}</table></div>'
