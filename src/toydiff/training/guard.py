"""The non-finite guard: a bad step never reaches the weights, and the host need not look at every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from toydiff.errors import TrainingDiverged
from toydiff.schedules import Level


class Guard:
    """Watches loss and gradient norm on the device; `check()` reads it, and raises TrainingDiverged for the first."""

    def __init__(self, device: torch.device) -> None:
        self.first = torch.full((), -1, dtype=torch.int64, device=device)
        self.at = torch.full((), math.nan, device=device)

    def watch(self, step: int, loss: Tensor, losses: Tensor, norm: Tensor, level: Level) -> Tensor:
        """Return 1.0 on the device if this step is not finite, else 0.0: an optimizer's `found_inf`.

        `loss` is the mean, also over other ranks; of the losses at hand and their levels the first bad one is told.
        """
        bad = ~(loss.isfinite() & norm.isfinite())
        culprit = (~losses.isfinite()).int().argmax()
        log_snr = level.log_snr.flatten().to(self.at).gather(0, culprit[None])[0]  # [culprit] would ask the host
        is_first = bad & (self.first < 0)
        self.at = torch.where(is_first & ~losses.isfinite().all(), log_snr, self.at)
        self.first = torch.where(is_first, step, self.first)
        return bad.float()  # what fused optimizers ask for, whatever the model's dtype

    def check(self) -> None:
        """Raise TrainingDiverged, naming step and noise level, if any step so far was not finite."""
        if (step := int(self.first)) < 0:
            return
        log_snr = float(self.at)
        where = (
            "in the gradient" if math.isnan(log_snr) else f"in the loss at sigma/alpha = {math.exp(-log_snr / 2):.4g}"
        )
        raise TrainingDiverged(
            f"training diverged at step {step}: a number that is not finite {where}; it did not reach the weights",
            "Try a smaller learning rate (--lr), clipping (--set training.clip=1), or a loss weight with less spread "
            "(--set training.weight.kind=uniform).",
        )
