"""Distances between two sets of points, (N, D) and (M, D), computed in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from toydiff.errors import ToydiffError


def sliced_w2(x: Tensor, y: Tensor, projections: int = 512) -> float:
    """Return √(mean over directions of W_2² of the projections), in data units (Bonneel et al. 2015).

    In one dimension W_2² = mean (x_(i) − y_(i))² of the sorted values, so both sets need equal size.
    The directions are the same at every call. Raises ToydiffError for sets of different size.
    """
    if len(x) != len(y):
        raise ToydiffError(f"sliced W2 of {len(x)} and {len(y)} points", "Give two sets of equal size.")
    x, y = x.flatten(1).double(), y.flatten(1).double()
    direction = torch.randn(x.shape[1], projections, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction /= direction.norm(dim=0)
    difference = (direction.T @ x.T).sort().values - (direction.T @ y.T).sort().values
    return float(difference.square().mean().sqrt())


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Return 2 E|x − y| − E|x − x′| − E|y − y′|, unbiased, in data units (Székely & Rizzo 2013)."""
    x, y = x.flatten(1).double(), y.flatten(1).double()

    def within(z: Tensor) -> Tensor:
        return torch.cdist(z, z).sum() / (len(z) * (len(z) - 1))  # pairs of different points: unbiased

    return float(2 * torch.cdist(x, y).mean() - within(x) - within(y))
