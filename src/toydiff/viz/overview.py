"""Pictures of samples whatever their shape: points as scatters, images as grids."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from toydiff.data import Batch
from toydiff.viz.points import samples_beside


def samples_picture(data: Batch, samples: Batch, names: Sequence[str], titles: tuple[str, str]) -> Figure:
    """Draw data and samples side by side, coloured by class where the samples have one."""
    labelled = samples.label is not None
    labels = (data.label, samples.label) if labelled else (None, None)
    return samples_beside(data.x, samples.x, titles, labels, names if labelled else ())
