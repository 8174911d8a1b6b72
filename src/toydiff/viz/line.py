"""Points on a line on their way between noise and data: their histogram at each noise level, from left to right."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from toydiff.schedules import Level
from toydiff.viz.points import histogram, note_outside
from toydiff.viz.process import level_caption
from toydiff.viz.style import SMALL, TEXT, Array, ArrayLike, as_points, dress, interval, new_figure, theme


def line_strip(
    levels: Sequence[Level],
    x_t: Sequence[ArrayLike],
    x0: Sequence[ArrayLike] | None = None,
    colour: Array | None = None,
    notes: Sequence[str] = (),
) -> Figure:
    """Draw a panel a noise level, x upwards: the density of x_t above, that of the estimates of x_0 below if given.

    Every array is (N, 1). `colour` (N, 3) draws one histogram a class. Where noise dwarfs the data (variance
    exploding) x_t is divided by √(alpha² + sigma²), and the axis says so. `notes` are written under the columns.
    """
    scales = [float(level.scale) for level in levels]
    divided = max(scales) > 3
    rows = [[as_points(x) / (scale if divided else 1.0) for x, scale in zip(x_t, scales, strict=True)]]
    rows += [] if x0 is None else [[as_points(x) for x in x0]]
    low, high = interval(rows[0][0], *(row[-1] for row in rows), margin=0.1)
    figure = new_figure(1.75 * len(levels) + 0.9, 3.0 * len(rows) + (0.9 if notes else 0.4))
    axes = figure.subplots(len(rows), len(levels), squeeze=False, sharey=True)
    names = ["xₜ / √(α² + σ²)" if divided else "xₜ", "estimate of x₀"]
    for i, row in enumerate(rows):
        for k, points in enumerate(row):
            ax = axes[i, k]
            histogram(ax, points[:, 0], (low, high), theme().blue if colour is None else colour, upright=False)
            dress(ax, ylabel=names[i] if k == 0 else "")
            ax.set_ylim(low, high)
            ax.set_xlim(left=0)
            ax.set_xticks([])
            note_outside(ax, points, (low, high, 0, 0), least=0.01)
            if i == 0:
                ax.set_title(level_caption(levels[k]).replace(",  ", "\n"), fontsize=TEXT, color=theme().ink, pad=6)
    for ax, note in zip(axes[-1], notes, strict=bool(notes)):
        ax.set_xlabel(note, fontsize=SMALL, color=theme().muted)
    return figure
