"""Densities that are constant on the squares of a lattice, as a picture's pixels are: posteriors by two products."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Generator, Tensor

from toydiff.errors import ToydiffError
from toydiff.oracle.base import ExactDenoiser, Posterior, where_positive
from toydiff.oracle.boxes import cut_normal

_SMALLEST = 1e-200  # sums of products of two exponentials are trusted down to here
_AT_ONCE = 1 << 21  # numbers in a block of rows against all squares one by one
_REACH = 9  # standard deviations of noise: what lies beyond adds less to an entropy than its sum is rounded by
_SLAB = 256  # rows of the grid over which an entropy is summed, at once


class Lattice(ExactDenoiser):
    """Uniform on each square [low + side · (i, j), low + side · (i + 1, j + 1)], with mass ∝ mass[i, j], (W, H).

    Noise is as likely across as up, so the sum over squares is a matrix between two vectors of one-dimensional masses:
    p(x_t) = Σ_ij mass[i, j] a_i b_j, with a_i the mean over i's interval of N(x_t[0]; alpha x, sigma²), b_j likewise.
    With `noise` x_0 = u + noise · z for u on the squares: then x_t = alpha u + s z with s² = sigma² + alpha² noise²,
    and E[x_0 | x_t] = E[u | x_t] + alpha noise² / s² (x_t − alpha E[u | x_t]).
    """

    def __init__(self, mass: Tensor, low: Tensor, side: float, noise: float = 0.0) -> None:
        if mass.ndim != 2 or not side > 0 or not noise >= 0:
            raise ToydiffError("a lattice has a mass for each square, (W, H), squares wider than 0, and noise ≥ 0")
        mass = mass.double()
        self._cells = mass.nonzero()  # (K, 2): the squares with any mass
        super().__init__(torch.Size([2]), mass[mass > 0] if len(self._cells) else mass.reshape(-1), None)
        self.mass, self.low, self.side, self.noise = mass / mass.sum(), low.double(), float(side), float(noise)
        self.everywhere = self.noise > 0
        ticks = [torch.arange(size, dtype=torch.float64, device=mass.device) for size in mass.shape]
        self._axes = [low + self.side * tick for low, tick in zip(self.low, ticks, strict=True)]
        self._held = [self.mass.sum(1 - d) > 0 for d in (0, 1)]
        centre = self.low + self.side * (self._cells + 0.5)
        self.mean = self.weights @ centre
        spread = self.weights @ (centre - self.mean).square() + self.side**2 / 12 + self.noise**2
        self.rms = float(spread.mean().sqrt())
        self._cost = 20 * sum(mass.shape)

    def _block(self, x: Tensor, alpha: Tensor, sigma: Tensor, rows: Tensor) -> Posterior:
        variance = sigma**2 + (alpha * self.noise) ** 2
        clean, s = (variance == 0).expand(len(x), 1), where_positive(variance).sqrt()
        (log_a, at_a), (log_b, at_b) = (self._along(x, alpha, s, d) for d in (0, 1))
        top_a, top_b = (_top(log, held) for log, held in zip((log_a, log_b), self._held, strict=True))
        a, b = (log_a - top_a).clamp(max=0).exp(), (log_b - top_b).clamp(max=0).exp()
        across, up = a * (b @ self.mass.T), b * (a @ self.mass)  # (B, W), (B, H): what each column, each row weighs
        total = across.sum(1, keepdim=True)
        lost = (total < _SMALLEST).squeeze(1).nonzero().squeeze(1)  # far from all mass, as the noise goes
        total = torch.where(total < _SMALLEST, 1.0, total)
        log_prob = total.log() + top_a + top_b
        u = torch.stack([(across * at_a).sum(1), (up * at_b).sum(1)], 1) / total
        for part in torch.split(lost, max(1, _AT_ONCE // len(self._cells))):
            log_prob[part], u[part] = self._one_by_one(log_a[part], log_b[part], at_a[part], at_b[part])
        density = self._log_density(x / where_positive(alpha)) - 2 * where_positive(alpha).log()
        log_prob = torch.where(clean, density, log_prob - 2 * s.log())
        score = torch.where(clean, 0.0, (alpha * u - x) / s**2)  # flat inside a square
        return Posterior(log_prob, u - alpha * self.noise**2 * score, score)

    def _along(self, x: Tensor, alpha: Tensor, noise: Tensor, d: int) -> tuple[Tensor, Tensor]:
        """Return the log of the mean of φ over each interval of axis d, and the mean of u in it, both (B, size)."""
        start, width = (alpha * self._axes[d] - x[:, d : d + 1]) / noise, alpha * self.side / noise
        log, place = cut_normal(start, width.expand_as(start))
        return log, self._axes[d] + self.side * place

    def _one_by_one(self, log_a: Tensor, log_b: Tensor, at_a: Tensor, at_b: Tensor) -> tuple[Tensor, Tensor]:
        """Return (log Σ, E[u | x_t]) by a soft-max over all squares with mass: slower, and nothing underflows."""
        i, j = self._cells.T
        joint = log_a[:, i] + log_b[:, j] + self.weights.log()
        r = joint.softmax(1)
        return joint.logsumexp(1, True), torch.stack([(r * at_a[:, i]).sum(1), (r * at_b[:, j]).sum(1)], 1)

    def _log_density(self, x: Tensor) -> Tensor:
        """Return log p(x_0 = x), (B, 1): sides belong to the denser square, with room for the rounding of float32."""
        at, best = ((x - self.low) / self.side).clamp(-1, max(self.mass.shape) + 1), torch.zeros_like(x[:, 0])
        extent = torch.tensor(self.mass.shape, device=x.device)
        for corner in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            cell = (at + 1e-4 * torch.tensor(corner, device=x.device)).floor().long()
            inside = ((cell >= 0) & (cell < extent)).all(1)
            i, j = cell.where(inside[:, None], 0).T
            best = torch.maximum(best, torch.where(inside, self.mass[i, j], 0.0))
        return (best / self.side**2).log()[:, None]

    def draw(self, n: int, generator: Generator, label: Tensor | int | None = None) -> Tensor:
        cell = self._cells.cpu()[self._choose(n, generator, label)]
        place = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        blur = self.noise * torch.randn(n, 2, generator=generator, dtype=torch.float64) if self.noise else 0.0
        return (self.low.cpu() + self.side * (cell.cpu() + place) + blur).float()

    @property
    def entropy(self) -> float:
        return self._entropy_and_error[0]

    @property
    def entropy_error(self) -> float:
        """0 of squares; with noise how far a grid twice as coarse is off."""
        return self._entropy_and_error[1]

    @cached_property
    def _entropy_and_error(self) -> tuple[float, float]:
        if not self.noise:
            return float(2 * math.log(self.side) - torch.xlogy(self.weights, self.weights).sum()), 0.0
        fine, coarse = (self._integrated(spacing * self.noise) for spacing in (0.5, 1.0))
        return fine, abs(fine - coarse)

    def _integrated(self, step: float) -> float:
        """Return −∫ p log p by the trapezoid rule, which for sums of Gaussians converges faster than any power."""
        across, up = (self._ticks(d, step) for d in (0, 1))
        columns, entropy = self.mass.cpu() @ self._blurred(up, 1).T, 0.0
        for slab in torch.split(across, _SLAB):
            p = self._blurred(slab, 0) @ columns
            entropy -= float(torch.xlogy(p, p).sum()) * step**2
        return entropy

    def _ticks(self, d: int, step: float) -> Tensor:
        """Return the grid along axis d: all that the noise reaches."""
        low, reach = float(self.low[d]), _REACH * self.noise
        return torch.arange(low - reach, low + self.side * self.mass.shape[d] + reach, step, dtype=torch.float64)

    def _blurred(self, ticks: Tensor, d: int) -> Tensor:
        """Return the density at ticks (T,) of u + noise · z for u in each interval of axis d, (T, size)."""
        edges = float(self.low[d]) + self.side * torch.arange(self.mass.shape[d] + 1, dtype=torch.float64)
        beyond = torch.special.ndtr((ticks[:, None] - edges) / self.noise)  # P(edge + noise · z ≤ tick)
        density: Tensor = (beyond[:, :-1] - beyond[:, 1:]) / self.side
        return density

    def affine(self, shift: Tensor | float, scale: float) -> Lattice:
        return Lattice(self.mass, (self.low - shift) / scale, self.side / scale, self.noise / scale)


def _top(log: Tensor, held: Tensor) -> Tensor:
    """Return the largest log mass among the intervals that hold any of the density, (B, 1)."""
    return log.detach().masked_fill(~held, -math.inf).amax(1, keepdim=True)
