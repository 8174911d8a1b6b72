"""A run at one glance: how it learned, what it makes beside the data, how it gets there, and how good that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from toydiff.data import Batch, Data
from toydiff.samplers import Frame
from toydiff.schedules import AnySchedule, Level
from toydiff.viz.curves import draw_losses, draw_rates, draw_schedule, schedule_summary
from toydiff.viz.images import image_grid
from toydiff.viz.overview import counted, domain_of, rescaled, seen
from toydiff.viz.points import class_legend, coordinate, dots, histogram, note_outside
from toydiff.viz.process import draw_paths
from toydiff.viz.style import (
    SMALL,
    TEXT,
    TITLE,
    Array,
    ArrayLike,
    as_array,
    as_points,
    class_colours,
    dress,
    interval,
    new_figure,
    pixels,
    robust_limits,
    set_limits,
    theme,
)

ROWS = 6
"""Noise levels on the way to a row of images."""
MOST_NAMES = 8
"""Classes that a legend names."""


class Results(NamedTuple):
    """What there is to show of a run."""

    data: Data
    schedule: AnySchedule
    levels: Sequence[Level]
    """The sampling grid."""
    metrics: Sequence[Mapping[str, Any]]
    """The rows of metrics.jsonl; none if the checkpoint lies alone."""
    real: Batch | None
    """Data to hold the samples against, None where they are not at hand."""
    samples: Batch
    way: Sequence[Frame]
    """How a few samples came to be, in data units, noise first."""
    scores: Sequence[tuple[str, str, str, str]]
    """(score, value, floor, z) in words."""
    note: str
    """How the scores were measured, or why there are none."""


def column(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[Array, Array]:
    """Return (steps, values) of the rows that have a number under the key."""
    kept = [(row["step"], row[key]) for row in rows if isinstance(row.get(key), (int, float))]
    return np.array([step for step, _ in kept], float), np.array([value for _, value in kept], float)


def run_summary(results: Results, title: str = "") -> Figure:
    """Draw six panels: losses and learning rate, data and samples, their histograms, the way, scores, the schedule.

    The histograms are of the first two coordinates of points, or of the pixels of images. The way is that of points
    from noise to samples, coloured by t, or of a row of images, a line a noise level.
    """
    figure = new_figure(17.5, 10.6)
    figure.suptitle(title, fontsize=TITLE + 2, color=theme().ink)
    parts: Any = figure.subfigures(2, 3, width_ratios=(1, 1.2, 1))
    images = results.data.pictorial
    panels = {
        "learning": _learning,
        "data and samples" if results.real is not None else "samples": _images if images else _points,
        "pixel values" if images else "histograms": _pixels if images else _histograms,
        "from noise to samples": _image_way if images else _point_way,
        "quality": _quality,
        f"{results.schedule.kind} schedule": _schedule,
    }
    for part, (heading, draw) in zip(parts.flat, panels.items(), strict=True):
        part.suptitle(heading, fontsize=TITLE, color=theme().ink)
        draw(part, results)
    return figure


def _learning(part: SubFigure, results: Results) -> None:
    step, loss = column(results.metrics, "loss")
    if not np.isfinite(loss).any():
        return _say(part, "There is no metrics.jsonl beside this checkpoint: how it learned is not known.")
    upper, lower = part.subplots(2, 1, height_ratios=(2, 1), sharex=True)
    validation = column(results.metrics, "validation")
    draw_losses(upper, step, loss, validation if len(validation[0]) else None)
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    draw_rates(lower, *column(results.metrics, "lr"))


def _sets(results: Results) -> list[tuple[str, Batch, str]]:
    """Return (title, set, colour) of the data, where they are at hand, and of the samples."""
    made = (counted(len(results.samples.x), "sample"), results.samples, theme().blue)
    return [made] if results.real is None else [("data", results.real, theme().data), made]


def _points(part: SubFigure, results: Results) -> None:
    sets = _sets(results)
    one = as_points(sets[0][1].x)
    box = robust_limits(one, margin=0.18, pair=(0, 0) if one.shape[1] == 1 else (0, 1))
    axes = part.subplots(1, len(sets), squeeze=False, sharey=True)[0]
    for k, (ax, (title, batch, plain)) in enumerate(zip(axes, sets, strict=True)):
        x = as_points(batch.x)
        shade: str | Array = plain
        if batch.label is not None and results.samples.label is not None:
            shade = class_colours(batch.label, len(results.data.label_names))
        if x.shape[1] == 1:
            histogram(ax, x[:, 0], box[:2], shade)
            ax.set_xlim(box[:2])
            dress(ax, title, "x", "density" if k == 0 else "", ticks=4)
        else:
            dots(ax, x[:, :2], shade, size=0.6)
            set_limits(ax, box)
            more = f" of {x.shape[1]}" if x.shape[1] > 2 else ""
            dress(ax, title, coordinate(0), f"{coordinate(1)}{more}" if k == 0 else "", ticks=4)
        note_outside(ax, x[:, :2], box)
        ax.title.set_fontsize(TEXT)
    if one.shape[1] == 1:
        axes[0].set_ylim(bottom=0)
    if results.samples.label is not None and 0 < len(names := results.data.label_names) <= MOST_NAMES:
        classes = class_legend(names, results.samples.label)
        part.legend(
            handles=classes, loc="outside lower center", ncols=4, frameon=False, fontsize=SMALL, labelcolor=theme().ink
        )


def _histograms(part: SubFigure, results: Results) -> None:
    sets = [(title, as_points(batch.x), colour) for title, batch, colour in _sets(results)]
    dimension = sets[0][1].shape[1]
    for k, ax in enumerate(part.subplots(min(dimension, 2), 1, squeeze=False)[:, 0]):
        bounds = interval(sets[0][1][:, k], margin=0.2)
        for _, x, colour in sets:
            histogram(ax, x[:, k], bounds, colour)
        ax.set_xlim(bounds)
        ax.set_ylim(0, ax.get_ylim()[1] * 1.05)
        more = f" of {dimension}" if dimension > 2 else ""
        dress(ax, "", "x" if dimension == 1 else coordinate(k) + more, "density", ticks=4)
    _legend(part, sets)


def _pixels(part: SubFigure, results: Results) -> None:
    ax, bounds = part.subplots(), interval(np.array(domain_of(results.data)), margin=0.03, tail=0)
    sets = _sets(results)
    for _, batch, colour in sets:
        histogram(ax, as_array(batch.x).ravel(), bounds, colour, bins=64)
    ax.set_yscale("log")  # most of a drawing is paper
    dress(ax, "", "value of a pixel", "density")
    ax.set_xlim(bounds)
    _legend(part, sets)


def _legend(part: SubFigure, sets: Sequence[tuple[str, Any, str]]) -> None:
    lines = [Line2D([], [], color=colour, linewidth=3, label=title) for title, _, colour in sets]
    part.legend(
        handles=lines, loc="outside lower center", ncols=2, frameon=False, fontsize=SMALL, labelcolor=theme().ink
    )


def _images(part: SubFigure, results: Results) -> None:
    sets = _sets(results)
    for ax, (title, batch, _) in zip(part.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        x = batch.x[: len(results.samples.x)]
        columns = max(1, round((len(x) / 1.4 * x.shape[-2] / x.shape[-1]) ** 0.5))  # about as tall as its room
        _place(ax, image_grid(x, columns if len(sets) > 1 else None, domain=domain_of(results.data)))
        ax.set_title(title, fontsize=TEXT, color=theme().ink, pad=8)


def _image_way(part: SubFigure, results: Results) -> None:
    frames = [results.way[round(k * (len(results.way) - 1) / (ROWS - 1))] for k in range(ROWS)]
    domain = domain_of(results.data)
    title, scales = seen([frame.level for frame in frames])
    rows = [rescaled(frame.x, scale, sum(domain) / 2) for frame, scale in zip(frames, scales, strict=True)]
    count, height = len(rows[0]), rows[0].shape[2]
    scale = max(1, 96 // height)
    ax = part.subplots()
    _place(ax, image_grid(np.concatenate(rows), count, scale, domain))
    pitch = height * scale + 4
    ax.set_yticks([pitch * (k + 0.5) for k in range(ROWS)], [f"t = {float(frame.level.t):.2f}" for frame in frames])
    ax.tick_params(length=0, labelcolor=theme().muted, labelsize=SMALL)
    ax.set_title(title, fontsize=TEXT, color=theme().ink, pad=8)


def _place(ax: Axes, picture: Any) -> None:
    """Show a picture, its pixels square, without a frame."""
    ax.imshow(pixels(picture), interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def paths(results: Results) -> tuple[list[ArrayLike], list[float], str]:
    """Return (x_t at each level, times, what of x_t that is) of the way of points."""
    levels = [frame.level for frame in results.way]
    what, scales = seen(levels)
    middle = as_array(results.data.shift)
    x = [rescaled(frame.x, scale, middle) for frame, scale in zip(results.way, scales, strict=True)]
    return list(x), [float(level.t) for level in levels], what


def _point_way(part: SubFigure, results: Results) -> None:
    x, times, what = paths(results)
    ax = part.subplots()
    draw_paths(ax, np.stack([as_points(each) for each in x]), times)
    ax.set_title(f"{what} of {len(x[0])} samples", fontsize=TEXT, color=theme().ink, pad=8)


def _quality(part: SubFigure, results: Results) -> None:
    if not results.scores:
        return _say(part, results.note)
    ax = part.subplots()
    ax.axis("off")
    columns = ((0.0, "left"), (0.52, "right"), (0.86, "right"), (1.0, "right"))
    lines = [("", "value", "floor ± sd", "z"), *results.scores]
    pitch = min(0.075, 0.86 / len(lines))
    for row, cells in enumerate(lines):
        for (x, side), words in zip(columns, cells, strict=True):
            colour = theme().muted if row == 0 or x > 0.6 else theme().ink
            place: dict[str, Any] = {"ha": side, "va": "top", "transform": ax.transAxes}
            ax.text(x, 1 - row * pitch, words, fontsize=SMALL, color=colour, **place)
    foot = fill(results.note, 58)
    ax.text(0, 0.0, foot, fontsize=SMALL, color=theme().muted, va="bottom", transform=ax.transAxes)


def _schedule(part: SubFigure, results: Results) -> None:
    upper, lower = part.subplots(2, 1, sharex=True)
    draw_schedule(upper, lower, results.schedule, results.levels)
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    upper.set_title(schedule_summary(results.schedule), fontsize=SMALL, color=theme().muted, pad=8)


def _say(part: SubFigure, words: str) -> None:
    """Write a sentence where a picture cannot be."""
    part.text(0.5, 0.5, fill(words, 44), fontsize=TEXT, color=theme().muted, ha="center", va="center")
