"""The loss on held-out draws with fixed noise, overall and by noise level."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from toydiff.data.base import Data
from toydiff.denoiser import Denoiser
from toydiff.training import streams
from toydiff.training.batches import every_other
from toydiff.training.loop import Training

BINS = 10


class Validation(NamedTuple):
    """Mean loss, and its mean and log-SNR in ten equal shares of the noise-level density, cleanest level first."""

    loss: float
    bins: list[tuple[float, float]]


class Validator:
    """`validator(denoiser)` → `Validation`: the same data, levels and noise at every call, so that curves compare."""

    def __init__(self, data: Data, training: Training, *, n: int, seed: int, device: torch.device) -> None:
        batch = data.held_out(n, streams.generator(seed, "validation"))
        self.training, self.n, self.device = training, (n := len(batch.x)), device
        self.x0, self.label = batch.x.to(device), None if batch.label is None else batch.label.to(device)
        self.eps = streams.normal(data.shape, seed=seed, stream="validation", index=torch.arange(n), device=device)
        # stratified: one level in each n-th of the density, in an order that has nothing to do with the data's
        u = (torch.randperm(n, generator=streams.generator(seed, "validation levels")).double() + 0.5) / n
        self.u = u.reshape(n, *(1,) * len(data.shape))
        self._noise = lru_cache(maxsize=1)(self._coupled)

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, batch_size: int = 2048) -> Validation:
        assert denoiser.schedule is not None
        level = self.training.density(self.u, denoiser.schedule)
        conditional = self.label is not None and denoiser.classes > 0
        eps, losses = self._noise(conditional), []
        for k in range(0, self.n, batch_size):
            piece = slice(k, k + batch_size)
            label = self.label[piece] if self.label is not None and conditional else None
            x0 = denoiser.to_model(self.x0[piece])
            guessed = every_other(self.n)[piece]  # as in training
            losses.append(denoiser.loss(x0, level[piece], eps[piece], label, self.training.weight, guessed))
        return Validation(*self._by_level(torch.cat(losses).double().cpu(), level.log_snr.flatten()))

    def _coupled(self, conditional: bool) -> Tensor:
        return self.training.coupling(self.x0, self.eps, self.label if conditional else None)

    def _by_level(self, losses: Tensor, log_snr: Tensor) -> tuple[float, list[tuple[float, float]]]:
        order = log_snr.argsort(descending=True, stable=True)
        bins = [(float(log_snr[rows].mean()), float(losses[rows].mean())) for rows in order.chunk(BINS)]
        return float(losses.mean()), bins
