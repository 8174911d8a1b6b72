"""toydiff: a diffusion lab for one laptop.

A schedule names noise levels, a denoiser returns E[x_0 | x_t], a sampler walks from noise to data:

    import toydiff

    run = toydiff.load("swissroll")

The names below are loaded when they are first used: `import toydiff` alone does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toydiff.denoiser import Denoiser
    from toydiff.runs import load
    from toydiff.samplers import noise_levels
    from toydiff.training import Training, fit

__version__ = "0.1.0"
__all__ = ["Denoiser", "Training", "__version__", "fit", "load", "noise_levels"]

_HOMES = {
    "Denoiser": "toydiff.denoiser",
    "Training": "toydiff.training",
    "fit": "toydiff.training",
    "load": "toydiff.runs",
    "noise_levels": "toydiff.samplers",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module `toydiff` has no attribute `{name}`")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
