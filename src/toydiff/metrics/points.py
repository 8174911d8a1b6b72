"""Distances between two sets of points, (N, D) and (M, D), computed in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from toydiff.errors import ToydiffError

_PAIRS = 2**21
"""Pairs looked at together: 16 MiB of distances."""
_TREE = 16
"""Dimensions beyond which a tree of points finds the nearest no sooner than looking at all of them."""


def sliced_w2(x: Tensor, y: Tensor, projections: int = 512) -> float:
    """Return √(mean over directions of W_2² of the projections), in data units (Bonneel et al. 2015).

    In one dimension W_2² = mean (x_(i) − y_(i))² of the sorted values, so both sets need equal size.
    The directions are the same at every call. Raises ToydiffError for sets of different size.
    """
    _check_equal("sliced W2", x, y)
    x, y = x.flatten(1).double(), y.flatten(1).double()
    direction = torch.randn(x.shape[1], projections, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction /= direction.norm(dim=0)
    difference = (direction.T @ x.T).sort().values - (direction.T @ y.T).sort().values
    return float(difference.square().mean().sqrt())


def exact_w2(x: Tensor, y: Tensor) -> float:
    """Return W_2 = √(min over pairings π of mean |x_i − y_π(i)|²), in data units: an assignment, solved exactly.

    Takes a second for 2,000 points and grows with the cube of their number. Raises ToydiffError for sets of different
    size. (Crouse 2016, in scipy.)
    """
    from scipy.optimize import linear_sum_assignment

    _check_equal("W2", x, y)
    cost = torch.cdist(x.flatten(1).double(), y.flatten(1).double()).square().numpy()
    return float(cost[linear_sum_assignment(cost)].mean() ** 0.5)


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Return 2 E|x − y| − E|x − x′| − E|y − y′|, unbiased, in data units (Székely & Rizzo 2013)."""
    return 2 * _mean(x, y, Tensor.clone) - _mean(x, x, Tensor.clone) - _mean(y, y, Tensor.clone)


def mmd2(x: Tensor, y: Tensor, bandwidth: float) -> float:
    """Return E k(x, x′) + E k(y, y′) − 2 E k(x, y), unbiased; below 0 by chance alone (Gretton et al. 2012, eq. 3).

    k is the mean of five Gaussian kernels exp(−|x − y|²/2h²) with h = 2, 1, ½, ¼ and ⅛ times `bandwidth`.
    """

    def kernel(distance: Tensor) -> Tensor:
        k = (distance / (2 * bandwidth)).square_().mul_(-0.5).exp_()  # the widest; half as wide is its fourth power
        total = k.clone()
        for _ in range(4):
            total += k.square_().square_()
        return total / 5

    return _mean(x, x, kernel) + _mean(y, y, kernel) - 2 * _mean(x, y, kernel)


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Return |μ_x − μ_y|² + tr(S_x + S_y − 2 (S_x S_y)^½), from the means and covariances of two sets of features.

    It is W_2² between Gaussians of such moments; from few points it comes out too large, by less the more there are.
    Raises ToydiffError for less than two of them. (Dowson & Landau 1982; of images: Heusel et al. 2017, eq. 6.)
    """
    if min(len(x), len(y)) < 2:
        raise ToydiffError("one sample has no covariance", "Give more of them.")
    x, y = x.flatten(1).double(), y.flatten(1).double()
    r_x, r_y = (torch.linalg.qr((z - z.mean(0)) / math.sqrt(len(z) - 1), mode="r").R for z in (x, y))
    # S = RᵀR, and S_x S_y has the eigenvalues of M Mᵀ, M = R_x R_yᵀ: their roots are the singular values of M. No root
    # of a rounding error is taken, of which there would be as many as S is short of ranks: 1e-8 each instead of 1e-16
    cross = torch.linalg.svdvals(r_x @ r_y.T).sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + r_x.square().sum() + r_y.square().sum() - 2 * cross)


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Return E k(x, x′) + E k(y, y′) − 2 E k(x, y), k = (x·y/D + 1)³, unbiased: 0 on average where both have one law.

    (Bińkowski et al. 2018, eq. 4.)
    """
    x, y = x.flatten(1).double(), y.flatten(1).double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def mean(a: Tensor, b: Tensor, own: Tensor | float = 0.0, apart: int = 0) -> Tensor:
        total = torch.stack([kernel(rows, b).sum() for rows in torch.split(a, max(1, _PAIRS // len(b)))]).sum()
        return (total - own) / (len(a) * (len(b) - apart))

    def within(a: Tensor) -> Tensor:  # a sample is no pair with itself
        return mean(a, a, ((a.square().sum(1) / a.shape[1] + 1) ** 3).sum(), 1)

    return float(within(x) + within(y) - 2 * mean(x, y))


def median_distance(x: Tensor) -> float:
    """Return the median of |x_i − x_j| over all pairs of points that are apart: the usual bandwidth of a kernel."""
    distances = torch.nn.functional.pdist(x.flatten(1).double())
    return float(distances[distances > 0].median())


def density_and_coverage(samples: Tensor, real: Tensor, k: int = 5) -> tuple[float, float]:
    """Return (density, coverage) of samples by the balls around real points that reach to their k-th nearest real one.

        density = (1/kM) Σ_j #{balls that hold sample j},   coverage = share of the N balls that hold a sample

    Density may exceed 1, where samples crowd in the middle of the data. (Naeem et al. 2020, eq. 3 and 4.)
    """
    from scipy.spatial import KDTree

    x, y = samples.flatten(1).double(), real.flatten(1).double()
    if x.shape[1] > _TREE:
        rows = torch.split(y, max(1, _PAIRS // max(len(x), len(y))))
        radii = (torch.cdist(some, y).kthvalue(k + 1).values for some in rows)  # the nearest is the point itself
        held = torch.cat([(torch.cdist(a, x) <= r[:, None]).sum(1) for a, r in zip(rows, radii, strict=True)])
        return float(held.sum() / (k * len(x))), float((held > 0).double().mean())
    radius = KDTree(y).query(y, k=k + 1)[0][:, -1]
    inside = KDTree(x).query_ball_point(y, radius, return_length=True)
    return float(inside.sum() / (k * len(x))), float((inside > 0).mean())


def nearest(x: Tensor, points: Tensor) -> Tensor:
    """Return the distance from every x to the nearest of `points`, (N,) float64."""
    return two_nearest(x, points)[:, 0]


def two_nearest(x: Tensor, points: Tensor) -> Tensor:
    """Return the distances from every x to the nearest of `points` and the next, (N, 2) float64; ∞ if there is none."""
    from scipy.spatial import KDTree

    a, b = x.flatten(1).double(), points.flatten(1).double()
    if a.shape[1] <= _TREE:
        return torch.from_numpy(KDTree(b.numpy()).query(a.numpy(), k=2)[0])
    far = b.new_full((len(a), 1), math.inf)
    distances = (torch.cdist(rows, b) for rows in torch.split(a, max(1, _PAIRS // len(b))))
    found = torch.cat([each.topk(min(2, len(b)), largest=False).values for each in distances])
    return torch.cat([found, far], 1)[:, :2]


def copying(x: Tensor, held_out: Tensor, training: Tensor) -> float:
    """Return how often a sample x_i is nearer to the training points than a held-out point: ½ where nothing is copied.

    What is as near as rounding leaves it is a copy: held-out points that are in the training set twice over tie with
    those. (Meehan et al. 2020.)
    """
    points = training.flatten(1).double()
    rounding = 1e-5 * float((points - points.mean(0)).square().sum(1).mean().sqrt())
    far, usual = (nearest(each, training) for each in (x, held_out))
    return mann_whitney(far.where(far > rounding, 0.0), usual.where(usual > rounding, 0.0))


def repeated(held_out: Tensor, training: Tensor) -> float:
    """Return the share of held-out data that are in the training set as well."""
    seen = set(row_keys(training))
    return sum(key in seen for key in row_keys(held_out)) / len(held_out)


def row_keys(x: Tensor) -> list[int]:
    """Return a number for each x_i, the same one for equal ones: hashes of its bytes, −0 as 0."""
    return [hash(row.tobytes()) for row in (x + 0.0).numpy()]


def mann_whitney(a: Tensor, b: Tensor) -> float:
    """Return the share of pairs in which a_i < b_j, ties for half: ½ where both have one law (Mann & Whitney 1947)."""
    from scipy.stats import rankdata

    ranks = rankdata(torch.cat([a, b]).numpy())[: len(a)]
    return float(1 - (ranks.sum() - len(a) * (len(a) + 1) / 2) / (len(a) * len(b)))


def _mean(x: Tensor, y: Tensor, of: Callable[[Tensor], Tensor]) -> float:
    """Return the mean of a function of the distance over all pairs; over those of different points, if x is y."""
    a, b, total, own = x.flatten(1).double(), y.flatten(1).double(), 0.0, 0
    rows = max(1, _PAIRS // len(b))
    for start in range(0, len(a), rows):
        values = of(torch.cdist(a[start : start + rows], b))
        if x is y:  # a point is no pair with itself
            values.diagonal(start).zero_()
            own += len(values)
        total += float(values.sum())
    return total / (len(a) * len(b) - own)


def _check_equal(what: str, x: Tensor, y: Tensor) -> None:
    if len(x) != len(y):
        raise ToydiffError(f"{what} of {len(x)} and {len(y)} points", "Give two sets of equal size.")
