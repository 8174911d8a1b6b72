"""Which numbers suit which data."""

from __future__ import annotations

from functools import lru_cache

from toydiff.data import Data, Shapes
from toydiff.metrics.images import ImageMeasures
from toydiff.metrics.planar import PointMeasures
from toydiff.metrics.scores import Measures
from toydiff.metrics.shapes import ShapeMeasures


def kind_of(data: Data) -> type[Measures]:
    """Return what there is to measure of such data."""
    if isinstance(data, Shapes):
        return ShapeMeasures
    return ImageMeasures if data.pictorial else PointMeasures


@lru_cache(maxsize=8)
def measures_for(data: Data, conditional: bool, label: int | None) -> Measures:
    """Return the measures of such data, of one class if there is a `label`, for a model that may be `conditional`."""
    return kind_of(data)(data, conditional=conditional, label=label)
