"""Training: the `fit` generator and what it is made of."""

from __future__ import annotations

from toydiff.training.ema import EMA
from toydiff.training.loop import Step, Training, fit
from toydiff.training.validation import Validator

__all__ = ["EMA", "Step", "Training", "Validator", "fit"]
