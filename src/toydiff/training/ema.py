"""The exponential moving average of the weights, which is what one samples from."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from toydiff.spec import Spec


class EMA(Spec):
    """An average with half-life `half_life` · total steps, ramping up as `ramp` · step (after Karras et al. 2022).

    The ramp keeps the random first weights from lingering in a short run; half_life = 0 is no average at all.
    """

    half_life: float = Field(0.02, ge=0, le=1)
    ramp: float = Field(0.05, gt=0, le=10)

    def decay(self, step: int, total: int) -> float:
        """Return the factor on the old average at `step` (1 … total): ½^(1/half-life)."""
        half_life = min(self.half_life * total, self.ramp * step)
        return 0.5 ** (1 / half_life) if half_life > 0 else 0.0

    @torch.no_grad()
    def update(self, average: nn.Module, model: nn.Module, step: int, total: int) -> None:
        """average ← average + (1 − decay) · (model − average), for every parameter."""
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - self.decay(step, total))
