"""What every sampler is: a generator over noise levels that sees only `denoise`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from toydiff.denoiser import Denoise
from toydiff.schedules import Flow, Level, noise_levels
from toydiff.spec import Spec

if TYPE_CHECKING:  # shapes are checked in tests only
    from jaxtyping import Float


class Frame(NamedTuple):
    """One step of a trajectory: x_s at the level it has reached, and the x̂_0 that led there, both (B, …)."""

    level: Level
    x: Float[Tensor, " B *shape"]
    x0: Float[Tensor, " B *shape"]


class Sampler(Spec):
    """`trajectory(denoise, x, levels, noise)` yields one `Frame` a step.

    `denoise(x, level)` → E[x_0 | x_t]; `x` (B, …) already at the first level; `levels` noisiest first, ending in
    CLEAN; `noise(x)` → a standard normal like x. Pictures, progress and counting belong to the caller.
    """

    order: ClassVar[int] = 1
    """Order of convergence of the deterministic part as the grid is refined."""
    evaluations: ClassVar[int] = 1
    """Evaluations of the denoiser a step (the last step may need fewer)."""

    @property
    def stochastic(self) -> bool:
        """Whether it draws noise on the way, for which x_0 and eps must be independent: a walk of 64 steps shows it."""
        drawn = []

        def noise(x: Tensor) -> Tensor:
            drawn.append(x)
            return torch.zeros_like(x)

        for _ in self.trajectory(lambda x, level: x / 2, torch.ones(1, 1), noise_levels(Flow(), 64, "log_snr"), noise):
            if drawn:
                return True
        return False

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        raise NotImplementedError
