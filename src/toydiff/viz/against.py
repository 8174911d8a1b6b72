"""Two runs side by side: what differs in their configurations, how they learned, what they make of the same noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter

from toydiff.data import Batch, Data
from toydiff.viz.curves import smoothed
from toydiff.viz.images import image_grid
from toydiff.viz.overview import domain_of
from toydiff.viz.points import coordinate, dots, histogram, note_outside
from toydiff.viz.style import (
    SMALL,
    TEXT,
    TITLE,
    Array,
    as_points,
    dress,
    new_figure,
    pixels,
    robust_limits,
    set_limits,
    theme,
)
from toydiff.viz.summary import column

MOST_ROWS = 15
"""Differences that the picture has room for; the table on the terminal has all."""


class Side(NamedTuple):
    """One of the two: its name, the rows of its metrics, its samples."""

    name: str
    metrics: Sequence[Mapping[str, Any]]
    samples: Batch


def against_picture(
    data: Data, real: Batch | None, sides: Sequence[Side], differences: Sequence[tuple[str, str, str]], note: str = ""
) -> Figure:
    """Draw losses and differences above, and below the data, where they are at hand, beside the samples of each.

    `note` stands over the losses: whether they can be compared.
    """
    figure = new_figure(13.6, 10.0)
    figure.suptitle(" against ".join(side.name for side in sides), fontsize=TITLE + 1, color=theme().ink)
    parts: Any = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    upper, lower = parts
    losses, table = upper.subfigures(1, 2, width_ratios=(1.1, 1))
    _losses(losses.subplots(), sides, note)
    _differences(table, sides, differences)
    sets = [] if real is None else [("data", real, theme().data)]
    sets += [(f"{side.name}: samples", side.samples, colour) for side, colour in zip(sides, _colours(), strict=True)]
    (_images if data.pictorial else _points)(lower, data, sets)
    return figure


def _colours() -> tuple[str, str]:
    return theme().blue, theme().vermilion


def _losses(ax: Axes, sides: Sequence[Side], note: str) -> None:
    """Draw the smoothed losses, and the validation of each as dots."""
    ends: list[Array] = []
    for side, colour in zip(sides, _colours(), strict=True):
        step, loss = column(side.metrics, "loss")
        step, loss = step[np.isfinite(loss)], loss[np.isfinite(loss)]
        if not len(loss):
            continue
        smooth = smoothed(loss, len(loss) / 50)
        ax.plot(step, smooth, color=colour, linewidth=2, label=f"{side.name}, smoothed")
        ends.append(np.quantile(smooth, [0, 0.98]))
        when, held_out = column(side.metrics, "validation")
        if len(held_out):
            ax.plot(when, held_out, color=colour, linestyle="", marker="o", markersize=5, markeredgecolor=theme().paper)
            ends.append(held_out)
    dress(ax, note or "losses; dots: validation", "step", "loss")
    ax.title.set_fontsize(TEXT)
    if not ends:
        ax.text(0.5, 0.5, "no metrics.jsonl beside either", ha="center", transform=ax.transAxes, color=theme().muted)
        return
    low, high = float(np.concatenate(ends).min()), float(np.concatenate(ends).max())
    if low > 0 and high > 20 * low:
        ax.set_yscale("log")
    else:
        ax.set_ylim(low - 0.06 * (high - low or 1), high + 0.06 * (high - low or 1))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.grid(axis="y", color=theme().hairline, linewidth=0.6, alpha=0.6)
    ax.legend(frameon=False, fontsize=SMALL, labelcolor=theme().ink)


def _differences(part: SubFigure, sides: Sequence[Side], differences: Sequence[tuple[str, str, str]]) -> None:
    """Write what differs: a row a key, a column a run."""
    ax = part.subplots()
    ax.axis("off")
    ax.set_title("what differs in the configurations", fontsize=TEXT, color=theme().ink, pad=8)
    # the ends of long names differ: "… at 8,000"
    names = [side.name if len(side.name) <= 16 else f"…{side.name[-15:]}" for side in sides]
    lines = [("", *names), *differences[:MOST_ROWS]]
    if len(differences) > MOST_ROWS:
        lines.append((f"… and {len(differences) - MOST_ROWS} more", "", ""))
    if not differences:
        lines.append(("nothing: they are configured alike", "", ""))
    shades = (theme().muted, *_colours())
    for row, cells in enumerate(lines):
        for x, words, shade, most in zip((0.0, 0.5, 0.77), cells, shades, (34, 16, 16), strict=True):
            colour = shade if row == 0 or x == 0 else theme().ink
            place: dict[str, Any] = {"va": "top", "transform": ax.transAxes}
            said = words if len(words) <= most or not cells[1] else f"{words[: most - 1]}…"
            ax.text(x, 0.99 - row * 0.062, said, fontsize=SMALL, color=colour, **place)


def _points(part: SubFigure, data: Data, sets: Sequence[tuple[str, Batch, str]]) -> None:
    first = as_points(sets[0][1].x)
    on_line = first.shape[1] == 1
    box = robust_limits(first, margin=0.18, pair=(0, 0) if on_line else (0, 1))
    for k, (ax, (title, batch, colour)) in enumerate(zip(part.subplots(1, len(sets), sharey=True), sets, strict=True)):
        x = as_points(batch.x)
        if on_line:
            histogram(ax, x[:, 0], box[:2], colour)
            ax.set_xlim(box[:2])
            dress(ax, title, "x", "density" if k == 0 else "")
        else:
            dots(ax, x[:, :2], colour, size=0.8)
            set_limits(ax, box)
            dress(ax, title, coordinate(0), coordinate(1) if k == 0 else "")
        note_outside(ax, x[:, :2], box)
        ax.title.set_fontsize(TEXT)


def _images(part: SubFigure, data: Data, sets: Sequence[tuple[str, Batch, str]]) -> None:
    for ax, (title, batch, colour) in zip(part.subplots(1, len(sets)), sets, strict=True):
        ax.imshow(pixels(image_grid(batch.x, domain=domain_of(data))), interpolation="antialiased")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_title(shorten(title, 48), fontsize=TEXT, color=colour, pad=8)
