"""Couplings: which noise each x_0 of a batch is mixed with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from toydiff.spec import Spec


class Coupling(Spec):
    """Which row of eps meets which row of x_0 in a training batch."""

    tweedie: ClassVar[bool] = True
    """Whether x_0 and eps are independent, as Tweedie's formula, stochastic samplers and exact loss floors assume."""

    def __call__(self, x0: Tensor, eps: Tensor, label: Tensor | None) -> Tensor:
        """Return the rows of eps (B, …) in the order in which they meet those of x0 (B, …)."""
        raise NotImplementedError


class Independent(Coupling):
    """x_0 and eps know nothing of each other: the diffusion of every paper (Sohl-Dickstein et al. 2015)."""

    kind: Literal["independent"] = "independent"

    def __call__(self, x0: Tensor, eps: Tensor, label: Tensor | None) -> Tensor:
        return eps


class OT(Coupling):
    """Minibatch optimal transport: least Σ |x_0 − eps|² in each chunk (Pooladian et al. 2023; Tong et al. 2024).

    Paths cross less, so that a flow is straighter and needs fewer steps. Neither marginal changes, but x_0 and eps are
    no longer independent: the model samples deterministically only. Rows are paired among those of the label that the
    network is shown, "none" being one more: each class, and the model without one, keeps noise that is N(0, I).
    Least Σ |x_0 − eps|² is largest Σ x_0 · eps, which does not depend on the units of x_0. The assignment is scipy's,
    on the CPU.
    """

    kind: Literal["ot"] = "ot"
    tweedie: ClassVar[bool] = False
    chunk: int = Field(256, ge=2, le=256)

    def __call__(self, x0: Tensor, eps: Tensor, label: Tensor | None) -> Tensor:
        from scipy.optimize import linear_sum_assignment  # a second to load, which other couplings do without

        paired = eps.clone()
        points, noise = (x.flatten(1).cpu().double() for x in (x0, eps))
        for rows in self._chunks(len(x0), label):
            gain = (points[rows] - points[rows].mean(0)) @ noise[rows].T
            _, order = linear_sum_assignment(gain.numpy(), maximize=True)
            paired[rows] = eps[rows[torch.from_numpy(order)]]
        return paired

    def _chunks(self, size: int, label: Tensor | None) -> Iterator[Tensor]:
        """Yield the rows of each chunk, at most `chunk` of one label."""
        if label is None:
            yield from torch.split(torch.arange(size), self.chunk)
            return
        label = label.cpu()
        for one in torch.unique(label):
            yield from torch.split((label == one).nonzero().squeeze(1), self.chunk)


AnyCoupling = Annotated[Independent | OT, Field(discriminator="kind")]
