"""The loss by noise level: of x_0, and as the run weighs it, beside that of the exact denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from toydiff.metrics.levels import LevelLoss
from toydiff.viz.style import TEXT, TITLE, Array, dress, new_figure, theme


def losses_picture(losses: Sequence[LevelLoss], own: Sequence[float], own_name: str, title: str = "") -> Figure:
    """Draw the losses of x_0 against t; those times `own`, what the run's target and weight make; and the excess.

    The excess is E|x̂_0 − x̂_0*|² as a share of the floor: what is left to learn. Without an exact denoiser x̂_0* there
    is none, and the best linear denoiser is the yardstick.
    """
    known = [each for each in losses if each.floor and each.excess is not None]
    figure = new_figure(15.6 if known else 10.8, 4.6)
    left, right, *more = figure.subplots(1, 3 if known else 2)
    _draw(left, losses, np.ones(len(losses)), "loss of x₀,  E |x̂₀ − x₀|² a coordinate")
    _draw(right, losses, np.array(own), own_name)
    for ax in more:
        t = [float(each.level.t) for each in known]
        share = [100 * (each.excess or 0) / (each.floor or 1) for each in known]
        ax.plot(t, share, color=theme().blue, linewidth=1.8, marker="o", markersize=4)
        ax.fill_between(t, 0, share, color=theme().blue, alpha=0.18, linewidth=0)
        ax.set_ylim(0, (max(share) or 1) * 1.08)
        _dress(ax, "above the floor: left to learn, % of it")
    marks, words = left.get_legend_handles_labels()
    figure.legend(
        marks, words, loc="outside lower center", ncols=4, frameon=False, fontsize=TEXT, labelcolor=theme().ink
    )
    figure.suptitle(title, fontsize=TITLE, color=theme().ink)
    return figure


def _draw(ax: Axes, losses: Sequence[LevelLoss], factor: Array, name: str) -> None:
    t = np.array([float(each.level.t) for each in losses])
    loss = np.array([each.loss for each in losses]) * factor
    linear = np.array([each.linear for each in losses]) * factor
    dot: dict[str, Any] = {"marker": "o", "markersize": 4}
    shown = [loss, linear]
    ax.plot(t, linear, color=theme().data, linewidth=1.4, linestyle=(0, (4, 2)), label="best linear denoiser")
    if all(each.floor is not None for each in losses):
        floor = np.array([each.floor for each in losses]) * factor
        ax.plot(t, floor, color=theme().vermilion, linewidth=2.2, label="exact denoiser: the floor")
        shown.append(floor)
    ax.plot(t, loss, color=theme().blue, linewidth=1.8, label="network", **dot)
    values = np.concatenate(shown)
    positive = values[values > 0]
    if len(positive) and positive.max() > 20 * positive.min():
        ax.set_yscale("log")
        ax.set_ylim(max(positive.min(), positive.max() * 1e-5) / 1.4, positive.max() * 1.4)
    else:
        ax.set_ylim(0, values.max() * 1.08)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _dress(ax, name)


def _dress(ax: Axes, name: str) -> None:
    dress(ax, "", "t: data on the left, noise on the right", "")
    ax.set_title(name, fontsize=TEXT, color=theme().ink, pad=8)
    ax.grid(axis="y", color=theme().hairline, linewidth=0.6, alpha=0.6)
    ax.margins(x=0.02)
