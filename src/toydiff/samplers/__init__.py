"""Samplers: generators over noise levels. Adding one is one class, and its name in `AnySampler`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toydiff.samplers.adaptive import RK45
from toydiff.samplers.ancestral import DDPM, EulerAncestral, Langevin
from toydiff.samplers.base import Frame, Sampler
from toydiff.samplers.multistep import DEIS, IPNDM, DPMpp2M, DPMpp2MSDE, DPMpp3M, UniPC
from toydiff.samplers.ode import DDIM, EDM, Euler, Heun
from toydiff.schedules import noise_levels

AnySampler = Annotated[
    DDPM
    | DDIM
    | Euler
    | Heun
    | EDM
    | EulerAncestral
    | DPMpp2M
    | DPMpp3M
    | DPMpp2MSDE
    | UniPC
    | DEIS
    | IPNDM
    | Langevin
    | RK45,
    Field(discriminator="kind"),
]

__all__ = [
    "DDIM",
    "DDPM",
    "DEIS",
    "EDM",
    "IPNDM",
    "RK45",
    "AnySampler",
    "DPMpp2M",
    "DPMpp2MSDE",
    "DPMpp3M",
    "Euler",
    "EulerAncestral",
    "Frame",
    "Heun",
    "Langevin",
    "Sampler",
    "UniPC",
    "noise_levels",
]
