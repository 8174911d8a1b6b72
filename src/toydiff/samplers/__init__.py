"""Samplers: generators over noise levels. Adding one is one class, and its name in `AnySampler`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toydiff.samplers.ancestral import DDPM
from toydiff.samplers.base import Frame, Sampler
from toydiff.samplers.ode import DDIM, Heun
from toydiff.schedules import noise_levels

AnySampler = Annotated[DDPM | DDIM | Heun, Field(discriminator="kind")]

__all__ = ["DDIM", "DDPM", "AnySampler", "Frame", "Heun", "Sampler", "noise_levels"]
