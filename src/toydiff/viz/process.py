"""Points on their way between noise and data: strips of noise levels, trajectories, one-step denoising arrows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from toydiff.schedules import Level
from toydiff.viz.points import coordinate, dots, note_outside
from toydiff.viz.style import (
    SMALL,
    TEXT,
    TITLE,
    Array,
    ArrayLike,
    Limits,
    angle_colours,
    as_array,
    as_points,
    dress,
    frame_only,
    hue_colours,
    new_figure,
    robust_limits,
    set_limits,
    theme,
)


def time_colours() -> ListedColormap:
    """Return colours from clean, blue, through green to noise, orange: no end in which a thin line would vanish."""
    return ListedColormap(hue_colours(np.linspace(0.68, 0.14, 256)))


def planar(x: ArrayLike) -> Array:
    """Return (N, 2) for (N, D) points: the first two coordinates, or x with a fixed height for points on a line.

    The heights are a low-discrepancy sequence in [−1, 1], so that crowding along the line shows as density.
    """
    points = as_points(x)
    if points.shape[1] >= 2:
        return points[:, :2]
    height = (np.arange(len(points)) * 0.6180339887498949) % 1 * 2 - 1
    return np.stack([points[:, 0], height], 1)


def level_caption(level: Level) -> str:
    """Return "t = 0.500, σ = 0.707" for a level, both to three digits, without the time where it has none."""
    t, sigma = (f"{float(value):#.3g}".rstrip(".") for value in (level.t, level.sigma))
    return f"σ = {sigma}" if level.t.isnan() else f"t = {t},  σ = {sigma}"


def _process_limits(rows: Sequence[Sequence[Array]]) -> Limits:
    """Return limits that hold every panel, as far as that does not make dwarfs of all but one.

    Of few points the way between noise and data may lead far outside both ends, and must be seen. Many fill the
    space between: what lies far outside then are the estimates of a network gone astray, and each panel counts them.
    """
    ends = [rows[0][0], *(row[-1] for row in rows)]  # noise, data, and the last estimate; the first is the wildest
    inner, whole = robust_limits(*ends, margin=0.06), robust_limits(*chain(*rows), margin=0.06)
    return inner if len(ends[0]) >= 20 and whole[1] - whole[0] > 2 * (inner[1] - inner[0]) else whole


def process_strip(
    levels: Sequence[Level],
    x_t: Sequence[ArrayLike],
    x0: Sequence[ArrayLike] | None = None,
    limits: Limits | None = None,
    colour: Array | None = None,
    notes: Sequence[str] = (),
) -> Figure:
    """Draw one panel a noise level: x_t above, the estimate of x_0 below if given; t and sigma in the header.

    Every array is (N, D); points keep one colour, by the direction of their end point unless `colour` (N, 3) is given.
    Where noise dwarfs the data (variance exploding) the upper row is divided by √(alpha² + sigma²), and says so.
    A panel with more than 1 % of its points outside the limits says how many. `notes`, one for each level, are written
    under the columns. Of more than two coordinates the first two are drawn; points on a line are spread out in height.
    """
    scales = [float(level.scale) for level in levels]
    divided = max(scales) > 3
    upper = [planar(as_points(x) / (scale if divided else 1.0)) for x, scale in zip(x_t, scales, strict=True)]
    rows = [upper] if x0 is None else [upper, [planar(each) for each in x0]]
    names = ["x_t / √(α² + σ²)" if divided else "x_t", "estimate of x_0"]
    where = f"\nx₁ and x₂ of {more}" if (more := as_points(x_t[0]).shape[1]) > 2 else ""
    names = [name.replace("_t", "ₜ").replace("_0", "₀") + where for name in names]
    cleanest = min(range(len(levels)), key=lambda k: float(-levels[k].log_snr))
    shade = angle_colours(rows[-1][cleanest]) if colour is None else colour
    box = limits or _process_limits(rows)
    figure = new_figure(2.3 * len(levels) + 0.4, 2.3 * len(rows) + (0.9 if notes else 0.4))
    axes = figure.subplots(len(rows), len(levels), squeeze=False)
    for i, row in enumerate(rows):
        for k, points in enumerate(row):
            ax = axes[i, k]
            dots(ax, points, shade, size=0.35)
            set_limits(ax, box)
            frame_only(ax)
            note_outside(ax, points, box, least=0.01)
            if i == 0:
                ax.set_title(level_caption(levels[k]), fontsize=TEXT, color=theme().ink, pad=6)
        axes[i, 0].set_ylabel(names[i], fontsize=TEXT, color=theme().muted)
    for ax, note in zip(axes[-1], notes, strict=bool(notes)):
        ax.set_xlabel(note, fontsize=SMALL, color=theme().muted)
    return figure


def trajectories(x_t: ArrayLike, times: Sequence[float], limits: Limits | None = None, title: str = "") -> Figure:
    """Draw the paths of N points through K levels, (K, N, D) with K times, coloured by t; the end points are dots.

    Points on a line (D = 1) are drawn against time.
    """
    figure = new_figure(6.2, 5.2)
    ax = figure.subplots()
    draw_paths(ax, x_t, times, limits)
    ax.set_title(title, fontsize=TITLE, color=theme().ink, pad=8)
    return figure


def draw_paths(ax: Axes, x_t: ArrayLike, times: Sequence[float], limits: Limits | None = None) -> None:
    """Draw what `trajectories` does into axes, with the scale of t beside them."""
    paths = as_array(x_t).astype(np.float64)
    t = np.asarray([float(each) for each in times])
    on_line = paths.ndim == 2 or paths.shape[2] == 1
    if on_line:
        x = paths.reshape(len(paths), -1)
        paths = np.stack([np.broadcast_to(t[:, None], x.shape), x], 2)
    paths = paths[:, :, :2]
    segments = np.stack([paths[:-1], paths[1:]], 2)  # (K − 1, N, 2 ends, 2)
    when = np.broadcast_to(((t[:-1] + t[1:]) / 2)[:, None], segments.shape[:2])
    scale = Normalize(min(0.0, float(t.min())), max(1.0, float(t.max())))
    crowd = max(paths.shape[1], 1) ** 0.5
    lines = LineCollection(
        list(segments.reshape(-1, 2, 2)), cmap=time_colours(), norm=scale, array=when.ravel(),
        linewidths=float(np.clip(12 / crowd, 0.35, 1.6)), alpha=float(np.clip(9 / crowd, 0.3, 0.9)),
    )  # fmt: skip
    ax.add_collection(lines)
    ax.scatter(paths[-1, :, 0], paths[-1, :, 1], s=8, color=theme().ink, linewidths=0, zorder=3)
    if on_line:
        ax.set_xlim(scale.vmax, scale.vmin)
        low, high = robust_limits(paths[..., 1].reshape(-1, 1), pair=(0, 0))[:2]
        ax.set_ylim(low, high)
        dress(ax, "", "t", "x")
    else:
        set_limits(ax, limits or robust_limits(paths[0], paths[-1], margin=0.08))
        dress(ax, "", coordinate(0), coordinate(1))
    bar = ax.figure.colorbar(ScalarMappable(scale, time_colours()), ax=ax, shrink=0.8, aspect=28, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme().muted, labelsize=SMALL, color=theme().hairline)
    bar.set_label("t", fontsize=TEXT, color=theme().muted)


def arrows(
    x_t: ArrayLike,
    x0: ArrayLike,
    title: str = "",
    data: ArrayLike | None = None,
    limits: Limits | None = None,
) -> Figure:
    """Draw one-step denoising: an arrow from each x_t to its estimate of x_0, both (N, D), over the data."""
    figure = new_figure(6.0, 6.0)
    ax = figure.subplots()
    draw_arrows(ax, x_t, x0, data)
    set_limits(ax, limits or robust_limits(planar(x_t), planar(x0), margin=0.08))
    dress(ax, title, coordinate(0), coordinate(1) if as_points(x_t).shape[1] > 1 else "")
    ax.legend(
        loc="upper right", frameon=False, fontsize=SMALL, labelcolor=theme().ink, markerscale=2, handletextpad=0.2
    )
    ax.title.set_fontsize(TITLE)
    return figure


def draw_arrows(ax: Axes, x_t: ArrayLike, x0: ArrayLike, data: ArrayLike | None = None, size: float = 1.0) -> None:
    """Draw what `arrows` does into axes; `size` is that of its marks."""
    start, end = planar(x_t), planar(x0)
    if data is not None:
        dots(ax, planar(data), theme().hairline)
    ax.quiver(
        *start.T, *(end - start).T, angles="xy", scale_units="xy", scale=1, color=theme().blue, alpha=0.75,
        width=0.0028, headwidth=4.5, headlength=5.5, headaxislength=5, zorder=2,
    )  # fmt: skip
    ax.scatter(start[:, 0], start[:, 1], s=7 * size, color=theme().data, linewidths=0, zorder=3, label="xₜ")
    ax.scatter(
        end[:, 0], end[:, 1], s=9 * size, color=theme().vermilion, linewidths=0, zorder=4, label="estimate of x₀"
    )
