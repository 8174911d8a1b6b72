"""Uniform densities on boxes: posteriors by truncated normals."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor

from toydiff.errors import ToydiffError
from toydiff.oracle.base import LOG_2PI, ExactDenoiser, Posterior, where_positive

_NODES, _WEIGHTS = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(20))


class Boxes(ExactDenoiser):
    """Uniform on K disjoint boxes lows ≤ x ≤ highs, (K, *shape), with weights (K,), in proportion to volume if None.

    Given the box, every coordinate of x_0 is a normal N(x_t / alpha, (sigma / alpha)²) cut off at the box's sides.
    """

    everywhere = False

    def __init__(
        self, lows: Tensor, highs: Tensor, weights: Tensor | None = None, labels: Tensor | None = None
    ) -> None:
        self.lows, self.highs = lows.double(), highs.double()
        low, high = self.lows.flatten(1), self.highs.flatten(1)
        if not bool((low < high).all()):
            raise ToydiffError("every box must be wider than 0")
        overlap = (torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low) > 1e-9).all(2)
        if overlap.sum() > len(low):
            raise ToydiffError("boxes must not overlap")
        self._low, self._width = low, high - low
        self._log_volume = self._width.log().sum(1)
        super().__init__(lows.shape[1:], self._log_volume.softmax(0) if weights is None else weights, labels)
        self.mean = (self.weights @ (low + high) / 2).reshape(self.shape)
        away = ((low + high) / 2 - self.mean.reshape(-1)).square() + self._width.square() / 12
        self.rms = float((self.weights @ away).mean().sqrt())
        self._cost = low.numel() * len(_NODES)

    def _block(self, x: Tensor, alpha: Tensor, sigma: Tensor, rows: Tensor) -> Posterior:
        log_weights = self._log_weights[rows]
        noise, x, a = where_positive(sigma)[..., None], x[:, None], alpha[..., None]  # (B, K, D) from here
        start, width = (a * self._low - x) / noise, a * self._width / noise
        log_density, place = cut_normal(start, width)
        joint = log_weights + (log_density - noise.log()).sum(2)
        # the sides belong to the box, with room for the rounding of float32
        u, room = x / torch.where(sigma == 0, alpha, 1.0)[..., None], 1e-6 * self._width
        inside = ((u >= self._low - room) & (u <= self._low + self._width + room)).all(2)
        clean = log_weights - self._log_volume - x.shape[2] * where_positive(alpha).log()
        joint_clean = torch.where(inside, clean, -math.inf)
        r = joint.softmax(1)[..., None]
        x0 = (r * (self._low + self._width * place)).sum(1)
        score = torch.where(sigma == 0, 0.0, (r * (start + width * place) / noise).sum(1))  # flat inside a box
        log_prob = torch.where(sigma == 0, joint_clean.logsumexp(1, True), joint.logsumexp(1, True))
        return Posterior(log_prob, x0, score)

    def draw(self, n: int, generator: Generator, label: Tensor | int | None = None) -> Tensor:
        which = self._choose(n, generator, label)
        low, high = self.lows.cpu()[which], self.highs.cpu()[which]
        return (low + (high - low) * torch.rand(low.shape, generator=generator, dtype=torch.float64)).float()

    @property
    def entropy(self) -> float:
        return float(self.weights @ self._log_volume - torch.xlogy(self.weights, self.weights).sum())

    def affine(self, shift: Tensor | float, scale: float) -> Boxes:
        return Boxes((self.lows - shift) / scale, (self.highs - shift) / scale, self.weights, self.labels)


def cut_normal(start: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Return log ∫₀¹ φ(start + width·v) dv and the mean of v ∈ [0, 1] under that density.

    Short or gentle pieces (down to width 0) are integrated by Gauss–Legendre, exact there to rounding; the others have
    the closed form, written with erfcx = exp(z²) erfc(z) so that nothing underflows far out in the tail.
    """
    flip = start + width / 2 < 0  # mirror, so that the far end is on the right
    low = torch.where(flip, -(start + width), start)
    short = (low + width) * width < 8
    nodes, weights = (1 + _NODES.to(low.device)) / 2, _WEIGHTS.to(low.device) / 2
    low_s, width_s = (torch.where(short, value, 0.0)[..., None] for value in (low, width))
    terms = weights * torch.exp(-width_s * nodes * (low_s + width_s * nodes / 2))
    total = terms.sum(-1)
    log_short, place_short = total.log() - low**2 / 2, (terms * nodes).sum(-1) / total

    low_l, width_l = torch.where(short, 1.0, low), torch.where(short, 8.0, width)
    high, fade = low_l + width_l, torch.exp(-width_l * (low_l + width_l / 2))  # φ(high) / φ(low)
    tail = torch.special.erfcx(low_l.clamp(min=0) / 2**0.5) - fade * torch.special.erfcx(high / 2**0.5)
    around = torch.erf(high / 2**0.5) - torch.erf(low_l / 2**0.5)  # twice the mass, where low < 0 < high
    low_n = low_l.clamp(max=0)
    bell = torch.exp(-(low_n**2) / 2)
    cut = low_l < 0
    mass, slope = torch.where(cut, around, tail), torch.where(cut, bell * (1 - fade), 1 - fade)
    place_long = ((2 / math.pi) ** 0.5 * slope / mass - low_l) / width_l
    log_long = (mass / width_l).log() + (LOG_2PI / 2 - math.log(2)) - torch.where(cut, 0.0, low_l**2 / 2)
    place = torch.where(short, place_short, place_long).clamp(0, 1)
    return torch.where(short, log_short, log_long) - LOG_2PI / 2, torch.where(flip, 1 - place, place)
