"""Editing: beginning from data instead of noise, keeping some of them, and walking between two seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toydiff.denoiser import Denoise
from toydiff.errors import ConfigurationError
from toydiff.schedules import Level


@dataclass(frozen=True)
class Edit:
    """What sampling begins from besides the noise of its seeds, in the units of the data.

    init (1 or B, *shape): x_t = alpha · init + sigma · eps at the time `strength` ∈ (0, 1] (Meng et al. 2022).
    mask (*shape), one for all channels (H, W) or (1, H, W): true where samples are painted anew; see `Inpainted`.
    Without a strength what is painted begins as pure noise. towards (B,), weight (B,): see `between`.
    Raises ConfigurationError for parts that do not go together.
    """

    init: Tensor | None = None
    mask: Tensor | None = None
    strength: float | None = None
    towards: Tensor | None = None
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        if self.init is None and (self.mask is not None or self.strength is not None):
            which = "a mask" if self.mask is not None else "a strength"
            raise ConfigurationError(f"{which}, and nothing to edit", "Say what the samples begin from: --init FILE.")
        if self.init is not None and self.mask is None and self.strength is None:
            raise ConfigurationError("how much of the beginning is kept?", "Give --strength, or a --mask.")
        if self.strength is not None and not 0 < self.strength <= 1:
            raise ConfigurationError(
                f"a strength of {self.strength:g}", "It lies in (0, 1]: near 0 little changes, at 1 nothing is kept."
            )

    @property
    def departs(self) -> bool:
        """Whether sampling begins from anything but the noise of its seeds."""
        return self.init is not None or self.towards is not None

    def __getitem__(self, rows: Tensor) -> Edit:
        """Return the edit of some of the samples."""
        init = self.init if self.init is None or len(self.init) == 1 else self.init[rows]
        towards, weight = (None if v is None else v[rows] for v in (self.towards, self.weight))
        return Edit(init, self.mask, self.strength, towards, weight)

    def check(self, shape: tuple[int, ...], n: int) -> None:
        """Raise ConfigurationError, saying both sizes, for what does not fit n samples of `shape`."""
        if self.init is not None and tuple(self.init.shape[1:]) != shape:
            raise ConfigurationError(
                f"what the samples begin from has shape {tuple(self.init.shape[1:])}, the data {shape}",
                "Give something of the size of the data.",
            )
        if self.init is not None and len(self.init) not in (1, n):
            raise ConfigurationError(
                f"{n} samples cannot begin from {len(self.init)}", f"Give one for all, or ask for {len(self.init)}."
            )
        fitting = (shape, (1, *shape[1:]), shape[1:]) if len(shape) == 3 else (shape,)
        if self.mask is not None and tuple(self.mask.shape) not in fitting:
            raise ConfigurationError(
                f"the mask has shape {tuple(self.mask.shape)}, the data {shape}", "Give a mask of their size."
            )

    def begin(self, x: Tensor, eps: Tensor, level: Level, init: Tensor, denoise: Denoise) -> tuple[Tensor, Denoise]:
        """Return x_t and the denoiser to begin with at `level`, in the units of the model, as `init` now is.

        x is what the samples of `eps` would begin as if there were nothing to edit.
        """
        init = init.to(x).expand_as(x)
        x_t = level.alpha * init + level.sigma * eps
        if self.mask is None:
            return x_t, denoise
        mask = self.mask.to(x.device)
        return (torch.where(mask, x, x_t) if self.strength is None else x_t), Inpainted(denoise, init, mask)

    def noise(self, normal: Callable[[Tensor], Tensor], seeds: Tensor) -> Tensor:
        """Return the noise of `seeds`, or on the way from there towards the other ones."""
        if self.towards is None or self.weight is None:
            return normal(seeds)
        return between(normal(seeds), normal(self.towards), self.weight)


@dataclass(frozen=True)
class Inpainted:
    """x̂_0 = D(x_t) where the mask is true, the known data elsewhere: replacement at every level.

    If x starts as alpha · known + sigma · eps where the mask is false, every sampler keeps it q(x_t | known) there:
    each step leaves as much noise on that x̂_0 as its level has (after Song et al. 2021, appendix I.2, who replace x_t
    itself; Lugmayr et al. 2022). It approximates conditioning: D is shown the known part with noise on it, so that
    what is painted knows less of it than it might. Beside a known 1 of correlation 0.9, where 0.9 is right on average,
    it paints 0.45 by the ODE and 0.62 by ancestral sampling; Langevin steps at each level come nearer, at their price.
    """

    denoise: Denoise
    known: Tensor
    mask: Tensor

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        return torch.where(self.mask, self.denoise(x, level), self.known)


def between(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Return cos(½π w) a + sin(½π w) b for weights w (B,): N(0, I) for every w if the noises a, b (B, …) are.

    The great circle between orthogonal vectors of equal length, which independent noises in many dimensions nearly are
    (Shoemake 1985; Song, Meng & Ermon 2021, appendix D.5).
    """
    angle = (math.pi / 2 * weight.double()).reshape(-1, *(1,) * (a.ndim - 1))
    return angle.cos().to(a) * a + angle.sin().to(b) * b
