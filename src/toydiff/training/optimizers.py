"""Optimizers, and learning-rate schedules that are functions of (step, total steps) alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from toydiff.errors import ToydiffError
from toydiff.spec import Spec
from toydiff.training import eager
from toydiff.training.muon import OrthogonalMomentum, is_matrix

Share = Annotated[float, Field(ge=0, le=1)]


class _Optimizer(Spec):
    """What the optimizers have in common: β₁ and β₂ of Adam's two moments, and what they keep of a parameter."""

    lr: float = Field(1e-3, gt=0, le=10)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)

    def moments(self, parameter: Tensor) -> set[str]:
        """Return the names of what is kept beside a parameter, shaped like it or (`step`) a number."""
        return {"step", "exp_avg", "exp_avg_sq"}

    @property
    def stride(self) -> float:
        """About how far one step moves a weight, in units of lr (for Adam: Kingma & Ba 2015, section 2.1)."""
        return 1.0


class Adam(_Optimizer):
    """Adam (Kingma & Ba 2015)."""

    kind: Literal["adam"] = "adam"

    def build(self, parameters: Iterable[nn.Parameter], bfloat16: bool = False) -> torch.optim.Optimizer:
        """Return the optimizer; fused, because that one can refuse a step on the device."""
        return eager.Adam(parameters, lr=self.lr, betas=(self.beta1, self.beta2), fused=True)


class AdamW(_Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    weight_decay: float = Field(0.01, ge=0, le=10)

    def build(self, parameters: Iterable[nn.Parameter], bfloat16: bool = False) -> torch.optim.Optimizer:
        """Return the optimizer; fused, because that one can refuse a step on the device."""
        return eager.AdamW(
            parameters, lr=self.lr, betas=(self.beta1, self.beta2), weight_decay=self.weight_decay, fused=True
        )


class Muon(_Optimizer):
    """Muon for matrices and convolutions, AdamW for biases and norms (Jordan et al. 2024; Liu et al. 2025).

    `rms` is the size of a matrix's update in units of lr; 0.2 is about that of Adam.
    """

    kind: Literal["muon"] = "muon"
    momentum: float = Field(0.95, ge=0, lt=1)
    rms: float = Field(0.2, gt=0, le=100)
    weight_decay: float = Field(0.01, ge=0, le=10)

    def build(self, parameters: Iterable[nn.Parameter], bfloat16: bool = False) -> torch.optim.Optimizer:
        """Return the optimizer; it can refuse a step on the device too. Large matrices may be taken in `bfloat16`."""
        return OrthogonalMomentum(
            parameters, lr=self.lr, momentum=self.momentum, rms=self.rms, betas=(self.beta1, self.beta2),
            weight_decay=self.weight_decay, bfloat16=bfloat16,
        )  # fmt: skip

    def moments(self, parameter: Tensor) -> set[str]:
        return {"momentum"} if is_matrix(parameter) else super().moments(parameter)

    @property
    def stride(self) -> float:
        return self.rms  # matrices are nearly all there is


AnyOptimizer = Annotated[AdamW | Adam | Muon, Field(discriminator="kind")]


def restore(spec: AnyOptimizer, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a `state_dict` into what `spec` built, each moment laid out in memory as its parameter is; `state` stays.

    A file keeps moments contiguous, convolutions may be channels_last, and fused Adam pairs the elements of the two by
    their place in memory: it would give every weight the moments of another one, or read and write beyond the end of
    moments that are too small. Options are the optimizer's own. Raises ToydiffError for moments of another network.
    """
    own = optimizer.state_dict()["param_groups"]
    check_moments(spec, state, [parameter for group in optimizer.param_groups for parameter in group["params"]])
    optimizer.load_state_dict({"state": copy.deepcopy(state["state"]), "param_groups": own})  # deep: it writes into it
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter.detach(), dtype=value.dtype).copy_(value)


def check_moments(spec: AnyOptimizer, state: dict[str, Any], parameters: list[nn.Parameter]) -> None:
    """Raise ToydiffError unless `state` holds what the optimizer keeps for parameters like these.

    A parameter that has never had a gradient has no moments.
    """

    def fits(k: Any, moments: Any) -> bool:
        if type(k) is not int or not 0 <= k < len(parameters) or not isinstance(moments, dict):
            return False
        names = spec.moments(parameters[k])
        shapes = {name: torch.Size() if name == "step" else parameters[k].shape for name in names}
        return {name: getattr(value, "shape", None) for name, value in moments.items()} == shapes and all(
            isinstance(value, Tensor) and value.is_floating_point() for value in moments.values()
        )

    kept = state.get("state")
    back = "Go back to an earlier checkpoint of that run."
    if kept is None or kept == {}:  # every saved step has been one of the optimizer's
        raise ToydiffError("the optimizer's state is missing: training cannot go on as if it had never stopped", back)
    if not isinstance(kept, dict) or not all(fits(k, moments) for k, moments in kept.items()):
        raise ToydiffError("the optimizer's state does not fit the network", back)


class _Rate(Spec):
    """A factor on the learning rate: linear from 0 during `warmup` (a share of the run), then the kind's own curve."""

    warmup: Share = 0.0

    def __call__(self, step: int, total: int) -> float:
        """Return the factor for the update that makes `step` (1 … total)."""
        warm = self.warmup * total
        if step <= warm:
            return step / warm
        return self.after_warmup(max(step - 1 - warm, 0) / max(total - warm, 1))  # the first step after it is at 0

    def after_warmup(self, progress: float) -> float:
        """Return the factor at `progress` ∈ [0, 1) of the rest."""
        raise NotImplementedError


class ConstantRate(_Rate):
    """The learning rate as it is."""

    kind: Literal["constant"] = "constant"

    def after_warmup(self, progress: float) -> float:
        return 1.0


class CosineRate(_Rate):
    """Half a cosine from 1 to `final` (Loshchilov & Hutter 2017)."""

    kind: Literal["cosine"] = "cosine"
    final: Share = 0.0

    def after_warmup(self, progress: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


class LinearRate(_Rate):
    """A straight line from 1 to `final`."""

    kind: Literal["linear"] = "linear"
    final: Share = 0.0

    def after_warmup(self, progress: float) -> float:
        return 1 + (self.final - 1) * progress


class StepRate(_Rate):
    """Multiplied by `gamma` after every `every`-th part of the run."""

    kind: Literal["step"] = "step"
    every: float = Field(0.25, gt=0, le=1)
    gamma: float = Field(0.3, gt=0, le=1)

    def after_warmup(self, progress: float) -> float:
        return self.gamma ** math.floor(progress / self.every + 1e-9)  # 0.75/0.25 may be 2.9999…


AnyRate = Annotated[CosineRate | LinearRate | StepRate | ConstantRate, Field(discriminator="kind")]
