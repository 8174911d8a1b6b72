"""One step of denoising at several noise levels: where it leads, and the score field, learned beside exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from toydiff.schedules import Level
from toydiff.viz.moving import grid, squashed
from toydiff.viz.points import dots
from toydiff.viz.process import draw_arrows, level_caption, planar
from toydiff.viz.style import (
    TEXT,
    TITLE,
    Array,
    ArrayLike,
    Limits,
    as_points,
    frame_only,
    new_figure,
    robust_limits,
    set_limits,
    theme,
)

CELLS = 18
"""Arrows of the score field across and up."""


class OneStep(NamedTuple):
    """One noise level, in data units: x_t (N, 2), and from each denoiser by name x̂_0 (N, 2) and the score's arrows.

    `scores` are sigma ∇ log p(x_t) at `places(limits)`, (CELLS², 2).
    """

    level: Level
    x_t: ArrayLike
    x0: Mapping[str, ArrayLike]
    scores: Mapping[str, ArrayLike]


def places(limits: Limits) -> Array:
    """Return the (CELLS², 2) points at which the score is drawn."""
    return grid(limits, CELLS)


def shared_limits(data: ArrayLike, x_t: Sequence[ArrayLike]) -> list[Limits]:
    """Return the limits of each level's panels: one square for all, unless noise would make the data a dot in it."""
    each = [robust_limits(data, x, margin=0.08) for x in x_t]
    sides = [high - low for low, high, _, _ in each]
    return each if max(sides) > 3 * min(sides) else [each[int(np.argmax(sides))]] * len(each)


def one_step_picture(steps: Sequence[OneStep], data: ArrayLike, limits: Sequence[Limits], title: str = "") -> Figure:
    """Draw a row a noise level: arrows x_t → x̂_0 over the data, then the score over x_t, each denoiser beside the next.

    An arrow of the score has its direction, and the length tanh(½ |sigma ∇ log p|) of a cell.
    """
    names = list(steps[0].x0)
    headings = [f"xₜ → estimate of x₀\n{name}" for name in names] + [f"score ∇ log p(xₜ)\n{name}" for name in names]
    figure = new_figure(3.1 * len(headings) + 0.4, 3.1 * len(steps) + 1.3)
    axes = figure.subplots(len(steps), len(headings), squeeze=False)
    for row, step, box in zip(axes, steps, limits, strict=True):
        at, cell = places(box), (box[1] - box[0]) / CELLS
        for k, name in enumerate(names):
            draw_arrows(row[k], step.x_t, step.x0[name], data, size=0.8)
            dots(row[len(names) + k], planar(step.x_t), theme().hairline)
            arrow = squashed(step.scores[name], cell)
            row[len(names) + k].quiver(
                *at.T, *arrow.T, angles="xy", scale_units="xy", scale=1, color=theme().blue, pivot="mid",
                units="width", width=0.0045, headwidth=4.5, headlength=5.5, headaxislength=5, minlength=0.5, zorder=3,
            )  # fmt: skip
        for ax in row:
            set_limits(ax, box)
            frame_only(ax)
        row[0].set_ylabel(level_caption(step.level), fontsize=TEXT, color=theme().ink, labelpad=8)
    for ax, heading in zip(axes[0], headings, strict=True):
        ax.set_title(heading, fontsize=TEXT, color=theme().ink, pad=8)
    marks, words = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        marks, words, loc="outside lower center", ncols=2, frameon=False, fontsize=TEXT, markerscale=2.2,
        labelcolor=theme().ink, handletextpad=0.2,
    )  # fmt: skip
    figure.suptitle(title, fontsize=TITLE, color=theme().ink)
    return figure


def root_mean_square(x: ArrayLike, y: ArrayLike) -> float:
    """Return √ E‖x − y‖² of two sets of points (N, D): how far they lie apart."""
    return float(np.sqrt(((as_points(x) - as_points(y)) ** 2).sum(1).mean()))
