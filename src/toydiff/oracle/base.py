"""What every exact denoiser shares, and the plainest of them: one Gaussian."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Generator, Tensor

from toydiff.errors import ToydiffError
from toydiff.schedules import CLEAN, Level

_BLOCK = 2**18  # float64 entries of a block's temporaries: 2 MiB stay in the processor's cache
LOG_2PI = math.log(2 * math.pi)


class Posterior(NamedTuple):
    """What the rows x_t tell: log p(x_t) (B, 1), E[x_0 | x_t] (B, D) and ∇ log p(x_t) (B, D)."""

    log_prob: Tensor
    x0: Tensor
    score: Tensor


def where_positive(value: Tensor, other: float = 1.0) -> Tensor:
    """Return value > 0 as it is and `other` for 0: the untaken side of a `where` must be finite for autograd too."""
    return torch.where(value > 0, value, other)


class ExactDenoiser:
    """What exact denoisers share: K weighted components, labels that select among them, and blocks of rows.

    A label is a class, or the number of classes for "none" (as in the last row of an embedding): one int, or (B,).
    There are `classes` of them, more than the components show where a class has none; None: as many as they show.
    """

    mean: Tensor
    """E[x_0], (*shape) float64."""
    rms: float
    """Root mean square deviation from the mean, per coordinate."""
    memorises: ClassVar[bool] = False
    """Whether all it can give back is the points it was made of."""
    everywhere: bool = True
    """Whether its density is nowhere 0."""
    _cost = 1  # float64 entries a row needs at once

    def __init__(self, shape: torch.Size, weights: Tensor, labels: Tensor | None, classes: int | None = None) -> None:
        weights = weights.double()
        if not bool((weights >= 0).all() and weights.sum() > 0 and weights.isfinite().all()):
            raise ToydiffError("the weights of a mixture must be ≥ 0 and finite, and not all 0")
        if labels is not None and (labels.shape != weights.shape or labels.min() < 0):
            raise ToydiffError(f"labels must be {len(weights)} integers ≥ 0, one for each component")
        labels = None if labels is None else labels.to(weights.device)
        self.shape, self.weights, self.labels = tuple(shape), weights / weights.sum(), labels
        self.label_count = 0 if labels is None else max(int(labels.max()) + 1, classes or 0)
        log_weights = self.weights.log()[None]
        if labels is not None:
            own = labels == torch.arange(self.label_count, device=labels.device)[:, None]
            log_weights = torch.cat([log_weights.masked_fill(~own, -math.inf), log_weights])
        self._log_weights = log_weights.log_softmax(1)  # (classes + 1, K): log p(component | label), "none" last
        self._unseen = self._log_weights.isnan().any(1)  # labels that no component has

    def __call__(self, x: Tensor, level: Level, label: Tensor | int | None = None) -> Tensor:
        """Return E[x_0 | x_t = x], (B, *shape), given the label if there is one."""
        return self._like(self._posterior(x, level, label).x0.reshape(x.shape), x)

    def log_prob(self, x: Tensor, level: Level = CLEAN, label: Tensor | int | None = None) -> Tensor:
        """Return log p(x_t = x), (B,) nats; raises ToydiffError for points without noise, which have no density."""
        self._need_density(level)
        return self._like(self._posterior(x, level, label).log_prob.squeeze(1), x)

    def score(self, x: Tensor, level: Level, label: Tensor | int | None = None) -> Tensor:
        """Return ∇ log p(x_t = x), (B, *shape); raises ToydiffError for points without noise."""
        self._need_density(level)
        return self._like(self._posterior(x, level, label).score.reshape(x.shape), x)

    def draw(self, n: int, generator: Generator, label: Tensor | int | None = None) -> Tensor:
        """Return n independent x_0, (n, *shape) float32 on the CPU; `label` one class, or one for each (n,)."""
        raise NotImplementedError

    @property
    def seen(self) -> list[int]:
        """The labels that some component has."""
        return [label for label in range(self.label_count) if not self._unseen[label]]

    @property
    def entropy(self) -> float:
        """−E log p(x_0) in nats; raises ToydiffError where there is no density or no way to integrate it."""
        raise NotImplementedError

    @property
    def entropy_error(self) -> float:
        """How far `entropy` may be off, in nats: 0 for what is known in closed form."""
        return 0.0

    def affine(self, shift: Tensor | float, scale: float) -> Self:
        """Return the same oracle for (x_0 − shift) / scale: from data units to model units."""
        raise NotImplementedError

    def _block(self, x: Tensor, alpha: Tensor, sigma: Tensor, rows: Tensor) -> Posterior:
        """Return what rows x (B, D) tell; alpha, sigma (B or 1, 1); rows (B or 1,) of the weights."""
        raise NotImplementedError

    def _need_density(self, level: Level) -> None:
        """Raise ToydiffError where p(x_t) is a sum of point masses."""

    def _rows(self, label: Tensor | int | None) -> Tensor:
        """Return the row of the log-weight table for each label, (B or 1,)."""
        if label is None:
            return torch.tensor([self.label_count])
        rows = torch.as_tensor(label, device=self.weights.device).long().reshape(-1)
        if self.labels is None:
            raise ToydiffError("this exact denoiser has no labels", "Leave the label out.")
        if ((rows < 0) | (rows > self.label_count)).any():
            raise ToydiffError("unknown label", f"Labels are 0 … {self.label_count - 1}; {self.label_count}: none.")
        if self._unseen[rows].any():
            there = ", ".join(map(str, self.seen))
            raise ToydiffError("no component has this label", f"There are {there}; {self.label_count} means none.")
        return rows

    def _posterior(self, x: Tensor, level: Level, label: Tensor | int | None) -> Posterior:
        if x.shape[1:] != self.shape:
            raise ToydiffError(f"x has shape {tuple(x.shape)}, the data (B, {', '.join(map(str, self.shape))})")
        device, rows = self.weights.device, self._rows(label)
        if len(rows) not in (1, len(x)):
            raise ToydiffError(f"{len(rows)} labels for {len(x)} points", "Give one label, or one for each.")
        x_t = x.to(device).double().reshape(len(x), math.prod(self.shape))  # first move, then widen: MPS has no float64
        alpha, sigma = (value.to(device).double().reshape(-1, 1) for value in (level.alpha, level.sigma))
        size, blocks = max(1, _BLOCK // self._cost), []
        for start in range(0, max(1, len(x)), size):
            part = slice(start, start + size)
            x_p, (a, s, r) = x_t[part], (v if len(v) == 1 else v[part] for v in (alpha, sigma, rows))
            block = self._block(x_p, a, s, r)
            clean = s == 0
            blocks.append(block._replace(x0=torch.where(clean, x_p / torch.where(clean, a, 1.0), block.x0)))
        return Posterior(*(torch.cat(values) for values in zip(*blocks, strict=True)))

    def _choose(self, n: int, generator: Generator, label: Tensor | int | None) -> Tensor:
        """Return n component indices, (n,)."""
        weights = self._log_weights[self._rows(label)].exp().cpu()
        if len(weights) == 1:
            return torch.multinomial(weights[0], n, replacement=True, generator=generator)
        return torch.multinomial(weights, 1, generator=generator).squeeze(1)

    @staticmethod
    def _like(value: Tensor, x: Tensor) -> Tensor:
        return value.to(x.dtype).to(x.device)


class Gaussian(ExactDenoiser):
    """N(mean, std² I), or N(mean, cov) with cov (D, D) over the flattened coordinates.

    E[x_0 | x_t] = mean + alpha Σ (alpha² Σ + sigma² I)⁻¹ (x_t − alpha mean).
    """

    def __init__(self, mean: Tensor, std: float | None = None, cov: Tensor | None = None) -> None:
        if (std is None) == (cov is None):
            raise ToydiffError("a Gaussian needs either std or cov")
        self.mean = mean.double()
        super().__init__(mean.shape, torch.ones(1, device=mean.device), None)
        self._axes: Tensor | None = None
        if cov is not None:
            self._variances, self._axes = torch.linalg.eigh(cov.double())
        else:
            self._variances = torch.full_like(self.mean.reshape(-1), float(std or 0) ** 2)
        if not bool((self._variances > 0).all()):
            raise ToydiffError("a Gaussian needs a positive standard deviation in every direction")
        self.rms = float(self._variances.mean().sqrt())

    def _block(self, x: Tensor, alpha: Tensor, sigma: Tensor, rows: Tensor) -> Posterior:
        away = x - alpha * self.mean.reshape(-1)
        away = away if self._axes is None else away @ self._axes
        variance = alpha**2 * self._variances + sigma**2
        log_prob = -((away**2 / variance + variance.log() + LOG_2PI) / 2).sum(1, keepdim=True)
        score, x0 = -away / variance, alpha * self._variances / variance * away
        if self._axes is not None:
            score, x0 = score @ self._axes.T, x0 @ self._axes.T
        return Posterior(log_prob, self.mean.reshape(-1) + x0, score)

    def draw(self, n: int, generator: Generator, label: Tensor | int | None = None) -> Tensor:
        self._rows(label)
        noise = torch.randn(n, self.mean.numel(), generator=generator, dtype=torch.float64)
        noise = noise * self._variances.cpu().sqrt()
        noise = noise if self._axes is None else noise @ self._axes.cpu().T
        x0: Tensor = self.mean.cpu() + noise.reshape(n, *self.shape)
        return x0.float()

    @property
    def entropy(self) -> float:
        return float((1 + LOG_2PI + self._variances.log()).sum() / 2)

    def affine(self, shift: Tensor | float, scale: float) -> Gaussian:
        mean = (self.mean - shift) / scale
        if self._axes is None:
            return Gaussian(mean, float(self._variances[0].sqrt()) / scale)
        return Gaussian(mean, cov=(self._axes * self._variances) @ self._axes.T / scale**2)
