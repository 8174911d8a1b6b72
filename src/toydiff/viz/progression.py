"""What a run had learned by and by: samples of its checkpoints from the same noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from toydiff.data import Batch, Data
from toydiff.viz.images import beside, image_process
from toydiff.viz.overview import domain_of
from toydiff.viz.points import dots, note_outside
from toydiff.viz.process import planar
from toydiff.viz.style import (
    TITLE,
    Array,
    angle_colours,
    as_array,
    class_colours,
    frame_only,
    new_figure,
    robust_limits,
    set_limits,
    theme,
)

ACROSS = 4
"""Panels of points in a row."""


def progression_picture(data: Data, real: Batch | None, sets: Sequence[tuple[str, Batch]]) -> Figure | Image.Image:
    """Draw titled samples, a row of images or a panel of points for each set, and in the end the data, if at hand.

    A sample keeps its place in every row; in every panel it keeps its colour, that of its class, or of where it ends.
    """
    if data.pictorial:
        columns = list(np.stack([as_array(batch.x) for _, batch in sets], 1))
        titles = [title for title, _ in sets]
        return beside(image_process({"": columns}, [""] * len(columns), names=titles, domain=domain_of(data)))
    ends = angle_colours(sets[-1][1].x)
    shown = [*sets, *([] if real is None else [("data", real)])]
    limits = robust_limits(planar(shown[-1][1].x), margin=0.18)
    across, down = min(len(shown), ACROSS), math.ceil(len(shown) / ACROSS)
    figure = new_figure(3.1 * across + 0.2, 3.4 * down + 0.2)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for ax in panels[len(shown) :]:
        ax.set_visible(False)
    for ax, (title, (x, label)) in zip(panels, shown, strict=False):
        own: Array | str = theme().data if real is not None and x is real.x else ends
        if label is not None and sets[0][1].label is not None:
            own = class_colours(label, len(data.label_names))
        dots(ax, planar(x), own, size=0.5)
        set_limits(ax, limits)
        frame_only(ax)
        note_outside(ax, planar(x), limits, least=0.01)
        ax.set_title(title, fontsize=TITLE, color=theme().ink, pad=6)
    return figure
