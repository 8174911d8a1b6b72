"""Points in the plane, on a line, or the first coordinates of something larger."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from toydiff.viz.style import (
    SMALL,
    TEXT,
    Array,
    ArrayLike,
    Limits,
    as_array,
    as_points,
    class_colours,
    class_palette,
    dot_alpha,
    dot_area,
    dress,
    interval,
    new_figure,
    robust_limits,
    set_limits,
    theme,
)

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def coordinate(k: int) -> str:
    """Return the name of coordinate k, counted from 0: x₁, x₂, …"""
    return f"x{str(k + 1).translate(SUBSCRIPTS)}"


def dots(ax: Axes, x: Array, colour: str | Array, pair: tuple[int, int] = (0, 1), size: float = 1.0) -> None:
    """Draw (N, D) points as dots whose size and opacity suit their number; colour: a name or (N, 3).

    Points of different colours are drawn in a fixed random order: otherwise the last class hides the others.
    """
    order = np.random.default_rng(0).permutation(len(x)) if not isinstance(colour, str) else slice(None)
    shade = colour if isinstance(colour, str) else colour[order]
    ax.scatter(
        x[order, pair[0]], x[order, pair[1]], s=size * dot_area(len(x)), c=shade, alpha=dot_alpha(len(x)), linewidths=0
    )


def histogram(
    ax: Axes, x: Array, bounds: tuple[float, float], colour: str | Array, bins: int = 60, upright: bool = True
) -> None:
    """Draw the density of (N,) values, or where `colour` is (N, 3) that of each class, as large as its share.

    All points count, also those beyond the bounds. Upright, values lie along x; else along y.
    """
    finite = np.isfinite(x)
    total = np.count_nonzero(finite)
    way: Literal["vertical", "horizontal"] = "vertical" if upright else "horizontal"
    parts = [(colour, finite)] if isinstance(colour, str) else _by_colour(colour, finite)
    for shade, rows in parts:
        height, edges = np.histogram(x[rows], bins=bins, range=bounds)
        density = height / (max(total, 1) * np.diff(edges))
        ax.stairs(density, edges, fill=True, color=shade, alpha=0.30, orientation=way)
        ax.stairs(density, edges, color=shade, linewidth=1.6, orientation=way)


def _by_colour(colour: Array, among: Array) -> list[tuple[Any, Array]]:
    """Return (colour, which rows have it) for each of the colours (N, 3)."""
    return [(tuple(shade), (colour == shade).all(axis=1) & among) for shade in np.unique(colour, axis=0)]


def note_outside(ax: Axes, points: Array, limits: Limits, least: float = 0.0) -> None:
    """Write into the panel which share of (N, 1 or 2) points lies outside the limits, if that is more than `least`."""
    low, high = np.array(limits[::2]), np.array(limits[1::2])
    inside = ((points >= low[: points.shape[1]]) & (points <= high[: points.shape[1]])).all(axis=1)
    if (share := np.count_nonzero(~inside) / max(len(points), 1)) > least:
        words = f"{share:.2%} outside"
        plate = {"facecolor": theme().paper, "edgecolor": "none", "alpha": 0.85, "boxstyle": "square,pad=0.15"}
        place: dict[str, Any] = {"ha": "right", "va": "top", "transform": ax.transAxes, "bbox": plate}
        ax.text(0.985, 0.985, words, fontsize=SMALL, color=theme().muted, **place)


def _panels(sets: Sequence[tuple[Array, str, str | Array]], limits: Limits | None, legend: Sequence[Line2D]) -> Figure:
    """Draw sets of (points, title, colour) side by side, a row for each pair of the first three coordinates.

    Limits are shared and, unless given, those of the first set: a stray sample must neither shrink the picture nor be
    hidden without a word, so each panel says which share of its points lies outside.
    """
    dimension = sets[0][0].shape[1]
    where = f" of {dimension}" if dimension > 3 else ""
    pairs = [(0, 0)] if dimension == 1 else list(combinations(range(min(dimension, 3)), 2))
    tall, lying = 3.4 if dimension == 1 else 4.6, len(sets) == 1  # the pairs of a single set lie in a row
    across, down = (len(pairs), 1) if lying else (len(sets), len(pairs))
    figure = new_figure(4.6 * across + (1.3 if legend else 0), tall * down)
    axes = figure.subplots(down, across, squeeze=False, sharey=not lying and "row")
    for i, pair in enumerate(pairs):
        box = limits or robust_limits(sets[0][0], pair=pair, margin=0.18)
        for k, (points, title, colour) in enumerate(sets):
            ax, heading = axes[k, i] if lying else axes[i, k], title if i == 0 else ""
            if dimension == 1:
                histogram(ax, points[:, 0], box[:2], colour)
                ax.set_xlim(box[0], box[1])
                dress(ax, heading, "x", "density" if k == 0 else "")
            else:
                dots(ax, points, colour, pair)
                set_limits(ax, box)
                dress(ax, heading, coordinate(pair[0]), f"{coordinate(pair[1])}{where}" if k == 0 else "")
            note_outside(ax, points[:, list(pair[:dimension])], box)
    if dimension == 1:
        axes[0, 0].set_ylim(bottom=0)  # when all are drawn: earlier, it would keep the others' tops out
    if legend:
        figure.legend(handles=legend, loc="outside right upper", frameon=False, fontsize=TEXT, labelcolor=theme().ink)
    return figure


def class_legend(names: Sequence[str], *labels: ArrayLike | None) -> list[Line2D]:
    """Return an entry for every class that has a name, and one for "none" if any label is that."""
    nobody = any(label is not None and (as_array(label) == len(names)).any() for label in labels)
    entries = [*names, "none"] if names and nobody else names
    return [
        Line2D([], [], marker="o", linestyle="", markersize=8, color=tuple(colour), label=name)
        for name, colour in zip(entries, class_palette(len(names)), strict=False)
    ]


def scatter(
    x: ArrayLike,
    title: str = "",
    label: ArrayLike | None = None,
    names: Sequence[str] = (),
    limits: Limits | None = None,
    colour: str | None = None,
) -> Figure:
    """Draw (N, D) points: a histogram for D = 1, a scatter with equal axes for 2, pairs of the first three beyond.

    `label`, (N,) integers, colours the points by class; `names` adds a legend, and makes the label beyond them "none".
    """
    points = as_points(x)
    shade = colour or theme().blue if label is None else class_colours(label, len(names) or None)
    return _panels([(points, title, shade)], limits, class_legend(names, label) if label is not None else [])


def samples_beside(
    data: ArrayLike,
    samples: ArrayLike,
    titles: tuple[str, str] = ("data", "samples"),
    labels: tuple[ArrayLike | None, ArrayLike | None] = (None, None),
    names: Sequence[str] = (),
    limits: Limits | None = None,
) -> Figure:
    """Draw two sets of (N, D) points side by side, as `scatter` does, in the limits of the data unless given.

    The share of points outside is written in the panel. `labels`, integers, colour by class; `names` adds a legend,
    and makes the label beyond them "none".
    """
    return sets_beside(*zip(titles, (data, samples), labels, strict=True), names=names, limits=limits)


def sets_beside(
    *sets: tuple[str, ArrayLike, ArrayLike | None], names: Sequence[str] = (), limits: Limits | None = None
) -> Figure:
    """Draw sets of (title, (N, D) points, labels) side by side as `samples_beside` does, first the data."""
    labels = [label for *_, label in sets if label is not None]
    classes = len(names) or 1 + max([int(as_array(label).max(initial=0)) for label in labels] or [0])
    drawn: list[tuple[Array, str, str | Array]] = []
    for k, (title, x, label) in enumerate(sets):
        plain = theme().blue if k else theme().data
        drawn.append((as_points(x), title, plain if label is None else class_colours(label, classes)))
    return _panels(drawn, limits, class_legend(names, *labels) if labels else [])


def marginals(data: ArrayLike, samples: ArrayLike, titles: tuple[str, str] = ("data", "samples")) -> Figure:
    """Draw the histogram of each coordinate (the first four), data and samples on the same bins."""
    left, right = as_points(data), as_points(samples)
    count = min(left.shape[1], 4)
    figure = new_figure(4.6 * count, 3.4)
    for k, ax in enumerate(figure.subplots(1, count, squeeze=False)[0]):
        bounds = interval(left[:, k], margin=0.2)
        histogram(ax, left[:, k], bounds, theme().data)
        histogram(ax, right[:, k], bounds, theme().blue)
        ax.set_xlim(bounds)
        ax.set_ylim(0, ax.get_ylim()[1] * 1.05)
        dress(ax, "", coordinate(k), "density" if k == 0 else "")
    handles = [
        Line2D([], [], color=colour, linewidth=3, label=title)
        for title, colour in zip(titles, (theme().data, theme().blue), strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=TEXT, labelcolor=theme().ink
    )
    return figure
