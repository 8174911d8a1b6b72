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
    evaluations: ClassVar[int | None] = 1
    """Evaluations of the denoiser a step (the last step may need fewer); None: as many as its tolerance takes."""

    fewest_steps: ClassVar[int] = 1
    """With fewer, the method's own formula is never used: only the first-order steps at its beginning and end."""

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

    @property
    def idle(self) -> dict[str, str]:
        """{option: why} of those that have no effect beside the others, whatever their values."""
        return {}

    def trajectory(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[Tensor], Tensor]
    ) -> Iterator[Frame]:
        raise NotImplementedError


def is_endless(t: Level, s: Level) -> bool:
    """Return whether t → s leaves alpha = 0 or enters sigma = 0, and so is infinitely long in log-SNR.

    The rule for every sampler that reckons in log-SNR or in sigma/alpha: such a step is first order, and no earlier
    estimate is used in it or after it.
    """
    return bool(t.alpha == 0) or bool(s.sigma == 0)


def posterior_variance(t: Level, s: Level) -> Tensor:
    """Return the variance β̃ of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7)."""
    return (s.sigma / t.sigma) ** 2 * (t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2).clamp(min=0)


def keep_x0(x: Tensor, x0: Tensor, t: Level, s: Level, variance: Tensor | float = 0.0) -> Tensor:
    """Return alpha_s x̂_0 + √(sigma_s² − variance) ε̂, ε̂ the noise x̂_0 leaves in x_t (Song et al. 2021, eq. 12)."""
    eps = (x - t.alpha * x0) / t.sigma
    return s.alpha * x0 + (s.sigma**2 - variance).clamp(min=0).sqrt() * eps


def keep_eps(x: Tensor, eps: Tensor, t: Level, s: Level) -> Tensor:
    """Return alpha_s x̂_0 + sigma_s ε̂, x̂_0 what ε̂ leaves in x_t: x/alpha moves by ε̂ times the change of sigma/alpha."""
    return s.alpha * (x - t.sigma * eps) / t.alpha + s.sigma * eps


def weighted(weights: Tensor | Sequence[float], values: Sequence[Tensor]) -> Tensor:
    """Return Σ_j w_j v_j."""
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total + weight * value
    return total
