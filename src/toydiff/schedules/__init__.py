"""Noise levels, the schedules that name them, and the grids samplers walk along.

A schedule maps time t ∈ [0, 1] (0 = data, 1 = noise) to a `Level(t, alpha, sigma)` with

    x_t = alpha · x_0 + sigma · eps,     eps ~ N(0, I).

Time is only a label: any (alpha, sigma) is a legal level, and samplers see nothing but levels.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toydiff.schedules.base import Schedule
from toydiff.schedules.grids import SPACINGS, noise_levels, parse_spacing
from toydiff.schedules.level import CLEAN, LOG_SNR_BOUND, Level
from toydiff.schedules.others import EDM, Flow, LogLinear
from toydiff.schedules.preserving import Cosine, Linear, Quadratic, Sigmoid

AnySchedule = Annotated[Linear | Quadratic | Cosine | Sigmoid | LogLinear | EDM | Flow, Field(discriminator="kind")]

__all__ = [
    "CLEAN",
    "EDM",
    "LOG_SNR_BOUND",
    "SPACINGS",
    "AnySchedule",
    "Cosine",
    "Flow",
    "Level",
    "Linear",
    "LogLinear",
    "Quadratic",
    "Schedule",
    "Sigmoid",
    "noise_levels",
    "parse_spacing",
]
