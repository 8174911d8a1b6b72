"""Muon: momentum, made orthogonal matrix by matrix (Jordan et al. 2024; its scale after Liu et al. 2025)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Jordan's a, b, c: five times a s + b s³ + c s⁵ brings every s in (0.003, 1] to between 0.68 and 1.14."""
ITERATIONS = {torch.float32: (5,), torch.bfloat16: (3, 2)}
"""How many on the square before X itself is looked at again: in bfloat16 the square soon is no longer that of X."""
WORTH = 96
"""Rows from which bfloat16 is faster on a CPU: a half of the time for 128, twice as much for 32."""

TOGETHER = 2**22
"""Numbers up to which stacks go together: more take long anyway, and their memory would add up."""


def orthogonal(stacks: Sequence[Tensor], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Return about U Vᵀ of each matrix G = U S Vᵀ of stacks (B, m, n), with products in `dtype`; zero for zero.

    Newton–Schulz: X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X from X = G/‖G‖, which acts on the singular values alone. Each step
    is P X with P = a I + b A + c A², a polynomial of A = X Xᵀ, so that A ← P A P = P² A: it is enough to iterate the
    smaller square A and the product Q of all P, and to multiply X by it at the end: where n = 9 m a third of the work,
    a half in bfloat16, which Jordan and torch.optim.Muon compute in, too. The smaller side, min(m, n), is that of all
    stacks: their squares are iterated as one stack.
    """
    X = []
    for G in stacks:
        wide = G if G.shape[-2] <= G.shape[-1] else G.mT
        X.append((wide / torch.linalg.matrix_norm(wide.float(), keepdim=True).clamp(min=1e-7)).to(dtype))
    for iterations in ITERATIONS[dtype]:
        Q = _polynomial(torch.cat([x @ x.mT for x in X]), iterations)
        X = [q @ x for q, x in zip(torch.split(Q, [*map(len, X)]), X, strict=True)]
    return [(x if x.shape == G.shape else x.mT).float() for x, G in zip(X, stacks, strict=True)]


def _polynomial(A: Tensor, iterations: int) -> Tensor:
    """Return Q (B, m, m), so that Q X is what so many iterations make of X, of A = X Xᵀ."""
    a, b, c = QUINTIC
    Q = None
    for k in range(iterations):
        P = torch.baddbmm(A, A, A, beta=b, alpha=c)
        P.diagonal(dim1=-2, dim2=-1).add_(a)
        Q = P if Q is None else P @ Q
        if k < iterations - 1:
            A = P @ A @ P
    assert Q is not None
    return Q


class OrthogonalMomentum(torch.optim.Optimizer):
    """W ← (1 − lr λ) W − lr · rms · √max(m, n) · orthogonal(ĝ), with m ← β m + (1 − β) g and ĝ = β m + (1 − β) g.

    For weights of two dimensions or more, convolutions as matrices of outputs × all the rest; biases and norms are
    AdamW's. An orthogonal m × n matrix has entries of RMS 1/√max(m, n), so that those of the update have `rms` · lr.
    With `bfloat16`, that is what large matrices are multiplied in; everything that is kept is float32.
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
        bfloat16: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "rms": rms, "betas": betas, "weight_decay": weight_decay}
        super().__init__(parameters, options)
        self.bfloat16 = bfloat16

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
        """Move the matrices, those of one shape in one stack."""
        for p in matrices:
            if not self.state[p]:
                self.state[p] = {"momentum": torch.zeros_like(p)}
        lr, beta, decay, refused = group["lr"], group["momentum"], group["weight_decay"], self._refused
        went = 1.0 if refused is None else (refused <= 0).float()
        for stacks in together(matrices):
            ahead = [self._look_ahead(stack, beta, went) for stack in stacks]
            dtype = torch.bfloat16 if self.bfloat16 and min(ahead[0].shape[1:]) >= WORTH else torch.float32
            for stack, steps in zip(stacks, orthogonal(ahead, dtype), strict=True):
                steps.mul_(lr * group["rms"] * max(steps.shape[1:]) ** 0.5 * went)
                for p, step in zip(stack, steps, strict=True):
                    if decay:
                        p.mul_(1 - lr * decay * went)
                    p.sub_(like(step, p))

    def _look_ahead(self, stack: list[nn.Parameter], beta: float, went: float | Tensor) -> Tensor:
        """Move the momenta of weights of one shape; return ĝ as matrices (B, m, n)."""
        refused, g = self._refused, [p.grad for p in stack if p.grad is not None]
        if refused is not None and (not refused.is_cpu or refused > 0):  # 0 · NaN is NaN; a CPU may look first
            g = [torch.where(refused > 0, 0, each) for each in g]
        kept = [self.state[p]["momentum"] for p in stack]
        for momentum, gradient in zip(kept, g, strict=True):
            momentum.lerp_(gradient, (1 - beta) * went)
        return torch.stack([*map(as_matrix, torch._foreach_lerp(g, kept, beta))])

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


def together(matrices: Iterable[nn.Parameter]) -> Iterator[list[list[nn.Parameter]]]:
    """Yield stacks of weights of one shape: all stacks of one smaller side, or one by one where those are large."""
    alike: dict[int, dict[tuple[int, int], list[nn.Parameter]]] = defaultdict(lambda: defaultdict(list))
    for p in matrices:
        rows, columns = len(p), p[0].numel()
        alike[min(rows, columns)][rows, columns].append(p)
    for shapes in alike.values():
        stacks = [*shapes.values()]
        small = sum(p.numel() for stack in stacks for p in stack) <= TOGETHER
        yield from [stacks] if small else ([stack] for stack in stacks)


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
