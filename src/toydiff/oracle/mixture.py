"""Mixtures of isotropic Gaussians, and the mixture of spikes that a training set is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Generator, Tensor

from toydiff.errors import ToydiffError
from toydiff.oracle.base import LOG_2PI, ExactDenoiser, Posterior, where_positive
from toydiff.schedules import Level

_CHUNK = 4096  # components that meet a block of rows at once, fewer where they are large:
_CHUNK_NUMBERS = 2**19  # a chunk of pictures, widened to float64, takes 4 MiB


class Mixture(ExactDenoiser):
    """Σ_k w_k N(m_k, s_k² I): K means (K, *shape), stds one number or (K,), weights (K,) or equal, labels (K,) or none.

    E[x_0 | x_t] = Σ_k r_k (sigma² m_k + alpha s_k² x_t) / v_k,   v_k = alpha² s_k² + sigma²,
    r_k ∝ w_k N(x_t; alpha m_k, v_k I). A std of 0 is a point mass.
    """

    def __init__(
        self,
        means: Tensor,
        stds: Tensor | float,
        weights: Tensor | None = None,
        labels: Tensor | None = None,
        classes: int | None = None,
    ) -> None:
        equal = torch.ones(len(means), device=means.device)
        super().__init__(means.shape[1:], equal if weights is None else weights.to(means.device), labels, classes)
        self.means, self.stds = means, torch.as_tensor(stds, dtype=torch.float64, device=means.device).reshape(-1)
        if len(self.stds) not in (1, len(means)) or not bool((self.stds >= 0).all()):
            raise ToydiffError(f"stds must be one number or {len(means)}, each ≥ 0")
        flat = means.reshape(len(means), -1)
        chunk = max(64, min(_CHUNK, _CHUNK_NUMBERS // flat.shape[1]))
        self._parts = [slice(start, start + chunk) for start in range(0, len(means), chunk)]
        # distances are expanded, |x|² − 2 x·m + |m|²: about the centre little cancels, and float64 carries the rest
        total = mean = torch.zeros(flat.shape[1], dtype=torch.float64, device=flat.device)
        for part, values in self._widened(flat):
            total, mean = total + values.sum(0), mean + self.weights[part] @ values
        self._centre = total / len(flat)
        self._square = torch.empty(len(flat), dtype=torch.float64, device=flat.device)
        for part, values in self._widened(flat):
            self._square[part] = values.sub_(self._centre).square_().sum(1)
        self._cost = min(len(means), chunk)
        if flat.shape[1] > 16:  # widening pictures to float64 costs more than a cache miss: taller blocks
            self._cost = max(1, self._cost // 4, flat.shape[1] // 4)
        self.mean = mean.reshape(self.shape)
        spread = self.weights @ (self._square / flat.shape[1] + self.stds**2)
        self.rms = float((spread - (mean - self._centre).square().mean()).clamp(min=0).sqrt())

    def _widened(self, flat: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield the components a chunk at a time in float64, each in the same memory: new pieces of it leave holes."""
        buffer = torch.empty(self._parts[0].stop, flat.shape[1], dtype=torch.float64, device=flat.device)
        for part in self._parts:
            rows = flat[part]
            yield part, buffer[: len(rows)].copy_(rows)

    def _need_density(self, level: Level) -> None:
        if bool((self.stds == 0).any() and (level.sigma == 0).any()):
            raise ToydiffError("points without noise have no density", "Ask at a level with sigma > 0.")

    def _block(self, x: Tensor, alpha: Tensor, sigma: Tensor, rows: Tensor) -> Posterior:
        dim, flat = x.shape[1], self.means.reshape(len(self.means), -1)
        inverse = 1 / where_positive(alpha**2 * self.stds**2 + sigma**2)  # 1 / v, (B or 1, K or 1)
        x = x - alpha * self._centre
        ones = torch.ones_like(x[:, :1])
        # −½ |x − alpha m|² = [alpha x, −½ |x|², −½ alpha²] · [m, 1, |m|²]
        query = torch.cat([alpha * x, -x.square().sum(1, keepdim=True) / 2, -(alpha**2) / 2 * ones], 1)
        # one pass over the components with a running maximum, as in online soft-max
        top, total, moments = ones * torch.finfo(x.dtype).min, 0 * ones, 0 * query
        for part in self._parts:
            mean, square = flat[part].double() - self._centre, self._square[part, None]
            one, std = torch.ones_like(square), self.stds[part, None] if len(self.stds) > 1 else self.stds
            inverse_p = inverse[:, part] if inverse.shape[1] > 1 else inverse
            offsets = self._log_weights[:, part][rows] + dim / 2 * inverse_p.log()
            logits = (query @ torch.cat([mean, one, square], 1).T) * inverse_p + offsets
            new_top = torch.maximum(top, logits.detach().amax(1, keepdim=True))
            weights, decay = (logits - new_top).exp(), (top - new_top).exp()
            total = total * decay + weights.sum(1, keepdim=True)
            values = torch.cat([mean, one, std**2 * one], 1)  # to sum with weights r / v
            sums = (weights * inverse_p) @ values if inverse_p.shape[1] > 1 else (weights @ values) * inverse_p
            moments, top = moments * decay + sums, new_top
        mean, one, variance = (moments / total).tensor_split((dim, dim + 1), 1)
        log_prob = top + total.log() - dim / 2 * LOG_2PI
        return Posterior(log_prob, self._centre + sigma**2 * mean + alpha * variance * x, alpha * mean - one * x)

    def draw(self, n: int, generator: Generator, label: Tensor | int | None = None) -> Tensor:
        which = self._choose(n, generator, label)
        noise = torch.randn(n, *self.shape, generator=generator, dtype=torch.float64)
        std = (self.stds.cpu().expand(len(self.means)))[which].reshape(-1, *[1] * len(self.shape))
        return (self.means.cpu()[which] + std * noise).float()

    @property
    def entropy(self) -> float:
        return self._entropy_and_error[0]

    @property
    def entropy_error(self) -> float:
        """How far the entropy may be off, in nats.

        Of a lattice: how far one twice as coarse is off, which is more by orders of magnitude. Of draws, in more than
        two dimensions: four standard errors.
        """
        return self._entropy_and_error[1]

    @cached_property
    def _entropy_and_error(self) -> tuple[float, float]:
        if bool((self.stds == 0).any()):
            raise ToydiffError("points without noise have no entropy in nats")
        if math.prod(self.shape) <= 2:
            fine, coarse = (self._integrated(spacing) for spacing in (0.5, 1.0))
            return fine, abs(fine - coarse)
        generator = Generator().manual_seed(0)
        surprise = -torch.cat([self.log_prob(self.draw(10_000, generator).double()) for _ in range(20)])
        return float(surprise.mean()), 4 * float(surprise.std()) / math.sqrt(len(surprise))

    def _integrated(self, spacing: float) -> float:
        """Return the entropy by a lattice of `spacing` times the smallest std."""
        means = self.means.reshape(len(self.means), -1).double().cpu()
        return _integrate_entropy(means, self.stds.cpu().expand(len(means)), self.weights.cpu(), spacing)

    def affine(self, shift: Tensor | float, scale: float) -> Mixture:
        means, stds = (self.means - shift) / scale, self.stds / scale
        return Mixture(means, stds, self.weights, self.labels, self.label_count)


def _integrate_entropy(means: Tensor, stds: Tensor, weights: Tensor, spacing: float) -> float:
    """Return −∫ p log p of a mixture in 1-D or 2-D by the trapezoid rule on a lattice of step spacing · min(stds).

    For sums of Gaussians that rule converges faster than any power of the step. The lattice is cut into tiles of 64
    points a side, and only those within 9 stds of a mean are visited, so a thin curve costs what its tube holds.
    """
    dim, step, reach = means.shape[1], spacing * float(stds.min()), 9 * float(stds.max())
    ticks = torch.arange(64, dtype=torch.float64) * step
    side = 64 * step
    around = torch.arange(-math.ceil(reach / side), math.ceil(reach / side) + 1)
    offsets = torch.cartesian_prod(*[around] * dim).reshape(-1, dim)
    tiles = ((means / side).floor().long()[:, None] + offsets).reshape(-1, dim)
    entropy = 0.0
    for corner in torch.unique(tiles, dim=0).double() * side:
        near = ((means - corner - side / 2).abs() <= side / 2 + reach).all(1)
        std = stds[near]
        axes = [torch.exp(-(((corner[d] + ticks)[:, None] - means[near, d]) ** 2) / (2 * std**2)) for d in range(dim)]
        axes[0] = axes[0] * weights[near] / (2 * math.pi * std**2) ** (dim / 2)
        p = axes[0].sum(1) if dim == 1 else axes[0] @ axes[1].T  # a Gaussian is a product of its axes
        entropy -= float(torch.xlogy(p, p).sum()) * step**dim
    return entropy


class Empirical(Mixture):
    """The training set itself, (N, *shape): E[x_0 | x_t] = Σ_i softmax_i(−|x_t − alpha x_i|² / 2 sigma²) x_i.

    What a network that memorised its data would answer (Karras et al. 2022, eq. 57). Points keep their own dtype and
    are widened a chunk at a time. A few points may miss some of the `classes` of their data set.
    """

    memorises = True

    def __init__(self, points: Tensor, labels: Tensor | None = None, classes: int | None = None) -> None:
        super().__init__(points, 0.0, labels=labels, classes=classes)

    def affine(self, shift: Tensor | float, scale: float) -> Empirical:
        points = (self.means - shift).div_(scale)  # in place: the points may be most of memory
        return Empirical(points, self.labels, self.label_count)
