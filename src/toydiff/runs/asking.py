"""How a model is asked for x̂_0: each evaluation counted, its last answer remembered, guided by another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from toydiff.config import Sampling
from toydiff.denoiser import Denoise
from toydiff.guidance import Autoguided, Guided, Interval, SelfConditioned
from toydiff.schedules import Level


def asking(
    denoiser: Callable[..., Tensor], asked: list[Level] | None, sampling: Sampling | None
) -> Callable[..., Tensor]:
    """Return `denoiser(x, level, label=None)` that writes down the level of every evaluation.

    With a `sampling` it is a self-conditioned one's, which is given its own estimates as that says.
    """

    def counted(x: Tensor, level: Level, label: Tensor | None = None, *guess: Tensor | None) -> Tensor:
        if asked is not None:
            asked.append(level)
        return denoiser(x, level, label, *guess)

    return counted if sampling is None else SelfConditioned(counted, sampling.guess_from, sampling.refine_until)


def guided(
    own: Callable[..., Tensor], label: Tensor | None, scale: float, interval: Interval, weak: Denoise | None
) -> Denoise:
    """Return denoise(x, level), the label bound: guided by the weaker model if there is one, else classifier-free."""
    denoise: Denoise = partial(own, label=label)
    if weak is not None:
        return Autoguided(denoise, weak, scale, interval)
    return Guided(own, label, scale, interval) if label is not None and scale != 1 else denoise
