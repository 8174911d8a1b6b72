"""Tables on stdout: aligned, wrapped to the terminal, plain when piped."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as text: the first column whole, the last one wrapped; no line for headings that are all ""."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=any(headings))
    for k, heading in enumerate(headings):
        made.add_column(heading, no_wrap=k == 0, overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    stdout, text = Console(), StringIO()
    width = stdout.width if stdout.is_terminal else 120
    Console(file=text, width=width, force_terminal=stdout.is_terminal, highlight=False, markup=False).print(made)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())
