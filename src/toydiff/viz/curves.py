"""Curves: loss and learning rate against steps, and what a noise schedule does over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from toydiff.errors import ToydiffError
from toydiff.schedules import Level, Schedule
from toydiff.viz.style import (
    SMALL,
    TEXT,
    TITLE,
    Array,
    ArrayLike,
    as_array,
    dress,
    new_figure,
    theme,
)


def smoothed(values: Array, span: float) -> Array:
    """Return the exponential moving average over about `span` values, without the bias towards the first one.

    m_k = Σ_j ρ^j v_(k−j) / Σ_j ρ^j,  ρ = 1 − 1/span.
    """
    rho = 1 - 1 / max(span, 1.0)
    out = np.empty(len(values))
    total = weight = 0.0
    for k, value in enumerate(values):
        total, weight = rho * total + value, rho * weight + 1
        out[k] = total / weight
    return out


def loss_curve(
    step: ArrayLike,
    loss: ArrayLike,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    title: str = "",
) -> Figure:
    """Draw the loss against the step: raw faint, smoothed bold; the axis is logarithmic unless a loss is ≤ 0.

    `validation` is (steps, losses) of a held-out set. Raises ToydiffError when no loss is finite.
    """
    if not np.isfinite(as_array(loss)).any():
        raise ToydiffError("there is no finite loss to draw", "Train for at least one step.")
    figure = new_figure(7.2, 4.2)
    ax = figure.subplots()
    draw_losses(ax, step, loss, validation)
    ax.set_title(title, fontsize=TITLE, color=theme().ink, pad=8)
    return figure


def draw_losses(
    ax: Axes, step: ArrayLike, loss: ArrayLike, validation: tuple[ArrayLike, ArrayLike] | None = None
) -> None:
    """Draw what `loss_curve` does into axes; at least one loss is finite."""
    x, y = as_array(step).astype(np.float64), as_array(loss).astype(np.float64)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    marker = "o" if len(y) == 1 else None
    ax.plot(x, y, color=theme().blue, alpha=0.22, linewidth=0.8, label="each step")
    ax.plot(x, smoothed(y, len(y) / 50), color=theme().blue, linewidth=2.2, marker=marker, label="smoothed")
    if validation is not None:
        ax.plot(
            *map(as_array, validation), color=theme().vermilion, linewidth=2.2, marker="o", ms=3.5, label="validation"
        )
    held_out = as_array(validation[1]) if validation is not None else y[:0]
    lowest = np.nanmin(np.append(held_out, y))
    if lowest > 0:
        low, high = np.quantile(y, [0.0005, 0.9995])  # a single spike must not flatten the curve
        low, high = np.nanmin(np.append(held_out, low)) / 1.15, np.nanmax(np.append(held_out, high)) * 1.15
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        if high < 300 * low:  # powers of ten alone would be too few
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
    dress(ax, "", "step", "loss")
    ax.grid(axis="y", color=theme().hairline, linewidth=0.6, alpha=0.6)
    ax.margins(x=0.02)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.legend(frameon=False, fontsize=SMALL, labelcolor=theme().ink)


def lr_curve(step: ArrayLike, lr: ArrayLike, title: str = "") -> Figure:
    """Draw the learning rate against the step, from zero."""
    figure = new_figure(7.2, 3.2)
    ax = figure.subplots()
    draw_rates(ax, step, lr)
    ax.set_title(title, fontsize=TITLE, color=theme().ink, pad=8)
    return figure


def draw_rates(ax: Axes, step: ArrayLike, lr: ArrayLike) -> None:
    """Draw what `lr_curve` does into axes."""
    x, y = as_array(step), as_array(lr)
    ax.plot(x, y, color=theme().green, linewidth=2.2, marker="o" if len(x) == 1 else None)
    ax.set_ylim(bottom=0)
    ax.margins(x=0.02)
    dress(ax, "", "step", "learning rate")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    ax.yaxis.get_offset_text().set(color=theme().muted, fontsize=SMALL)
    ax.grid(axis="y", color=theme().hairline, linewidth=0.6, alpha=0.6)


def schedule_summary(schedule: Schedule) -> str:
    """Return what is left of the data at t = 1: ᾱ_T and terminal SNR, or the largest sigma where alpha stays 1."""
    end = schedule(1.0)
    snr = f"terminal SNR = {float(end.snr):.3g}"
    if schedule.variance == "preserving":
        steps = "" if schedule.knot_times is None else f"T = {len(schedule.knot_times)},  "
        return f"{steps}ᾱ(1) = {float(end.alpha) ** 2:.3g},  {snr}"
    return f"α(1) = {float(end.alpha):.3g},  σ(1) = {float(end.sigma):.3g},  {snr}"


def schedule_plot(schedule: Schedule, levels: Sequence[Level] = (), title: str = "") -> Figure:
    """Draw against t alpha and sigma, log-SNR, and where variance is preserved ᾱ and β; and what is left at t = 1.

    `levels`, a sampling grid, adds a dot for each of its levels that has finite log-SNR.
    """
    preserving = schedule.variance == "preserving"
    figure = new_figure(14.4 if preserving else 9.6, 4.2)
    left, right, *more = figure.subplots(1, 3 if preserving else 2)
    draw_schedule(left, right, schedule, levels)
    if more:
        draw_betas(more[0], schedule)
    figure.suptitle("\n".join(filter(None, [title, schedule_summary(schedule)])), fontsize=TEXT, color=theme().ink)
    return figure


def draw_betas(ax: Axes, schedule: Schedule) -> None:
    """Draw ᾱ = alpha² from 0 to 1, and on a scale of its own β, against t."""
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    times, beta = schedule.beta_curve()
    other = ax.twinx()
    ax.plot(t, schedule(t).alpha ** 2, color=theme().green, linewidth=2.2, label="ᾱ = α²")
    discrete = schedule.knot_times is not None
    name = f"β of each of the {len(times)} steps" if discrete else "β(t) = −d log ᾱ / dt"
    few = discrete and len(times) <= 100
    style: dict[str, Any] = {"color": theme().palette[3], "linewidth": 2.2, "label": name}
    other.plot(times, beta, marker="o" if few else None, markersize=3, **style)
    for axes, words in ((ax, "ᾱ"), (other, "β")):
        dress(axes, "", "t", words)
    other.spines[["top", "left", "bottom"]].set_visible(False)
    other.spines["right"].set(visible=True, color=theme().hairline)
    other.yaxis.set_label_position("right")
    other.yaxis.tick_right()
    finite = beta[beta.isfinite()]
    if float(finite.max()) > 30 * float(finite.median()):
        other.set_yscale("log")  # of a cosine, or the last steps alone would be seen
    else:
        other.set_ylim(bottom=0)
    ax.set_ylim(-0.03, 1.06)
    lines = [*ax.get_lines(), *other.get_lines()]
    ax.legend(
        lines, [str(line.get_label()) for line in lines], loc="upper center",
        bbox_to_anchor=(0.5, 1.14), ncols=2, frameon=False, fontsize=SMALL, labelcolor=theme().ink,
    )  # fmt: skip


def draw_schedule(left: Axes, right: Axes, schedule: Schedule, levels: Sequence[Level]) -> None:
    """Draw alpha and sigma into the left axes and log-SNR into the right ones, as `schedule_plot` does."""
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    curve = schedule(t)
    for name, colour in (("α", theme().blue), ("σ", theme().vermilion)):
        values = curve.alpha if name == "α" else curve.sigma
        left.plot(t, values, color=colour, linewidth=2.2, label=name)
    if schedule.variance == "exploding":
        left.set_yscale("log")
    else:
        left.set_ylim(-0.03, 1.06)
    left.legend(
        frameon=False,
        fontsize=TEXT,
        labelcolor=theme().ink,
        loc="center left" if schedule.variance != "exploding" else "best",
    )
    dress(left, "", "t", "")
    log_snr = curve.log_snr.where(curve.log_snr.isfinite(), torch.nan)
    right.plot(t, log_snr, color=theme().ink, linewidth=2.2)
    dress(right, "", "t", "log-SNR")
    right.axhline(0, color=theme().hairline, linewidth=0.8, zorder=0)
    shown = [level for level in levels if bool(level.log_snr.isfinite()) and not bool(level.t.isnan())]
    if shown:
        when = [float(level.t) for level in shown]
        dot: dict[str, Any] = {"s": 26, "zorder": 3, "edgecolors": theme().paper, "linewidths": 0.7}
        left.scatter(when, [float(level.alpha) for level in shown], color=theme().blue, **dot)
        left.scatter(when, [float(level.sigma) for level in shown], color=theme().vermilion, **dot)
        right.scatter(when, [float(level.log_snr) for level in shown], color=theme().ink, **dot)
