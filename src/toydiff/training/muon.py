"""Muon: momentum, made orthogonal matrix by matrix (Jordan et al. 2024; its scale after Liu et al. 2025)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Jordan's a, b, c: five times a s + b s³ + c s⁵ brings every s in (0.003, 1] to between 0.68 and 1.14."""
ITERATIONS = 5


def orthogonal(G: Tensor) -> Tensor:
    """Return about U Vᵀ of each matrix G = U S Vᵀ of a stack (B, m, n), in float32; zero for a zero matrix.

    Newton–Schulz: X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X from X = G/‖G‖, which acts on the singular values alone. Each step
    is P X with P = a I + b A + c A², a polynomial of A = X Xᵀ, so that A ← P A P = P² A: it is enough to iterate the
    smaller square A and the product Q of all P, and to multiply G once, a third of the work where n = 9 m. X itself is
    nowhere needed, as ‖G‖² = tr G Gᵀ.
    """
    if G.shape[-2] > G.shape[-1]:
        return orthogonal(G.mT).mT
    a, b, c = QUINTIC
    G = G.float()  # the squares go astray in bfloat16, where A soon is no longer that of Q G
    Q, A = None, G @ G.mT
    norm = A.diagonal(dim1=-2, dim2=-1).sum(-1).clamp(min=1e-14).sqrt()[:, None, None]
    A = A / norm**2
    for k in range(ITERATIONS):
        P = torch.baddbmm(A, A, A, beta=b, alpha=c)
        P.diagonal(dim1=-2, dim2=-1).add_(a)
        Q = P if Q is None else P @ Q
        if k < ITERATIONS - 1:
            A = P @ A @ P
    assert Q is not None
    update: Tensor = (Q / norm) @ G
    return update


class OrthogonalMomentum(torch.optim.Optimizer):
    """W ← (1 − lr λ) W − lr · rms · √max(m, n) · orthogonal(ĝ), with m ← β m + (1 − β) g and ĝ = β m + (1 − β) g.

    For weights of two dimensions or more, convolutions as matrices of outputs × all the rest; biases and norms are
    AdamW's. An orthogonal m × n matrix has entries of RMS 1/√max(m, n), so that those of the update have `rms` · lr.
    Like fused Adam, it refuses a step on the device where `found_inf` is not zero.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float,
        rms: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "rms": rms, "betas": betas, "weight_decay": weight_decay}
        super().__init__(parameters, options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step; gradients have to be there, `closure` is not called."""
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            self._orthogonal_step([p for p in moving if is_matrix(p)], group)
            self._adam_step([p for p in moving if not is_matrix(p)], group)

    @property
    def _refused(self) -> Tensor | None:
        return getattr(self, "found_inf", None)

    def _orthogonal_step(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Move the matrices; those of one shape in one stack."""
        alike: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        for p in matrices:
            alike[len(p), p[0].numel()].append(p)
        lr, beta, decay, refused = group["lr"], group["momentum"], group["weight_decay"], self._refused
        went = 1.0 if refused is None else (refused <= 0).float()
        for (rows, columns), stack in alike.items():
            for p in stack:
                if not self.state[p]:
                    self.state[p] = {"momentum": torch.zeros_like(p)}
            g = [p.grad for p in stack if p.grad is not None]
            if refused is not None and (not refused.is_cpu or refused > 0):  # 0 · NaN is NaN; a CPU may look first
                g = [torch.where(refused > 0, 0, each) for each in g]
            kept = [self.state[p]["momentum"] for p in stack]
            for momentum, gradient in zip(kept, g, strict=True):
                momentum.lerp_(gradient, (1 - beta) * went)
            ahead = torch._foreach_lerp(g, kept, beta)
            length = lr * group["rms"] * max(rows, columns) ** 0.5
            steps = orthogonal(torch.stack([*map(as_matrix, ahead)])).mul_(length * went)
            for p, step in zip(stack, steps, strict=True):
                if decay:
                    p.mul_(1 - lr * decay * went)
                p.sub_(like(step, p))

    def _adam_step(self, rest: list[Tensor], group: dict[str, Any]) -> None:
        """Move what is no matrix as AdamW does."""
        for p in rest:
            if not self.state[p]:
                step = torch.zeros((), device=p.device)
                self.state[p] = {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        kept = [self.state[p] for p in rest]
        first, second, steps = ([each[name] for each in kept] for name in ("exp_avg", "exp_avg_sq", "step"))
        beta1, beta2 = group["betas"]
        gradients = [p.grad for p in rest if p.grad is not None]
        adamw(
            rest, gradients, first, second, [], steps, fused=True, found_inf=self._refused, amsgrad=False, beta1=beta1,
            beta2=beta2, lr=group["lr"], weight_decay=group["weight_decay"], eps=1e-8, maximize=False,
        )  # fmt: skip


def is_matrix(parameter: Tensor) -> bool:
    """Return whether Muon moves it: a weight of two dimensions or more."""
    return parameter.ndim >= 2


def as_matrix(weight: Tensor) -> Tensor:
    """Return a weight as a matrix of outputs × all the rest, the channels last, as they lie in memory.

    The order of the columns is all the same: that of U Vᵀ is that of G.
    """
    return weight.movedim(1, -1).flatten(1)


def like(matrix: Tensor, weight: Tensor) -> Tensor:
    """Return what `as_matrix` made of a weight in that weight's shape."""
    return matrix.view(weight.movedim(1, -1).shape).movedim(-1, 1)
