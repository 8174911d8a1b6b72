"""The batch of every step, a function of (seed, step): data, noise levels, noise, and who loses its label."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from toydiff.data.base import Data
from toydiff.schedules import Level, Schedule
from toydiff.training import streams
from toydiff.training.couplings import Coupling, Independent
from toydiff.training.densities import Density, stratified

BLOCK_ELEMENTS = 1 << 20
"""Draws are made for up to 64 steps at once, because counter-based noise does not care; this bounds their memory."""


class TrainingBatch(NamedTuple):
    """What a step is made of: x0 (B, …) in data units, eps (B, …), levels (B, 1, …), label (B,) or None.

    `guessed` (B,) marks the samples for which a network that takes a guess makes one; it stays on the CPU.
    """

    x0: Tensor
    level: Level
    eps: Tensor
    label: Tensor | None
    guessed: Tensor

    def part(self, rows: slice) -> TrainingBatch:
        """Return some rows of the batch."""
        label = None if self.label is None else self.label[rows]
        return TrainingBatch(self.x0[rows], self.level[rows], self.eps[rows], label, self.guessed[rows])


class Batches:
    """`batches(step)` → the batch of that step (1, 2, …), whatever was asked before."""

    def __init__(
        self,
        data: Data,
        schedule: Schedule,
        density: Density,
        *,
        batch_size: int,
        conditional: bool,
        label_dropout: float,
        seed: int,
        device: torch.device,
        stratified: bool = False,
        coupling: Coupling = Independent(),  # noqa: B008 — frozen
    ) -> None:
        self.data, self.schedule, self.density, self.coupling = data, schedule, density, coupling
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self.conditional, self.label_dropout, self.stratified = conditional, label_dropout, stratified
        self.block = max(1, min(64, BLOCK_ELEMENTS // (batch_size * math.prod(data.shape))))
        self.epoch_steps = steps_per_epoch(data.count, batch_size)
        self._block = lru_cache(maxsize=1)(self._draw_block)
        self._order = lru_cache(maxsize=1)(self._draw_order)
        if data.count is not None:
            fixed = data.fixed()
            self._x0 = fixed.x.to(device)
            self._label = None if fixed.label is None else fixed.label.to(device)

    def __call__(self, step: int) -> TrainingBatch:
        block, k = divmod(step - 1, self.block)
        x0, label, level, eps, dropped = self._block(block)
        if self.epoch_steps is None:
            assert x0 is not None
            x0, label = x0[k], None if label is None else label[k]
        else:
            epoch, position = divmod(step - 1, self.epoch_steps)
            rows = self._order(epoch)[position * self.batch_size :][: self.batch_size]
            x0, label = self._x0[rows], None if self._label is None else self._label[rows]
        if self.data.augments:
            index = torch.arange(len(x0))
            x0 = self.data.augmented(x0, streams.uniform((), seed=self.seed, stream="augment", step=step, index=index))
        size = len(x0)  # the last batch of an epoch may be smaller
        if not self.conditional:
            label = None
        elif label is not None:
            label = torch.where(dropped[k, :size], len(self.data.label_names), label)
        eps = self.coupling(x0, eps[k, :size], label)
        return TrainingBatch(x0, level[k, :size], eps, label, every_other(size, step))

    def _draw_block(self, block: int) -> tuple[Tensor | None, Tensor | None, Level, Tensor, Tensor]:
        """Draw all of a block of steps; blocks begin at fixed steps, so that a resumed run draws the same ones."""
        size, shape = self.batch_size, self.data.shape
        step = torch.arange(self.block)[:, None] + block * self.block + 1
        address: dict[str, Any] = {"seed": self.seed, "step": step, "index": torch.arange(size)}
        u = self._uniform(step)
        eps = streams.normal(shape, stream="noise", device=self.device, **address)
        dropped = streams.uniform((), stream="label dropout", **address) <= self.label_dropout
        level = self.density(u, self.schedule)
        if self.device.type != "mps":  # which has no float64: there each step casts its own
            level = Level(level.t.to(self.device), level.alpha.to(self.device), level.sigma.to(self.device))
        x0: Tensor | None = None
        label: Tensor | None = None
        if self.epoch_steps is None:
            batch = self.data.draw(self.block * size, streams.generator(self.seed, "data", block))
            x0 = batch.x.to(self.device).view(self.block, size, *shape)
            label = None if batch.label is None else batch.label.to(self.device).view(self.block, size)
        return x0, label, level, eps, dropped.to(self.device)

    def _uniform(self, step: Tensor) -> Tensor:
        """Return the numbers (S, B, 1, …) in (0, 1] that the density turns into the levels of steps (S, 1)."""
        ones, index = (1,) * len(self.data.shape), torch.arange(self.batch_size)
        u = streams.uniform((), seed=self.seed, stream="level", step=step, index=index)
        if self.stratified:
            size = torch.full_like(step, self.batch_size)
            if self.epoch_steps is not None and (rest := len(self._x0) % self.batch_size):
                size[step % self.epoch_steps == 0] = rest  # the last batch of an epoch is stratified too
            u = stratified(u, index % size, size)  # the rows past `size` are dropped
        return u.reshape(*u.shape, *ones)

    def _draw_order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self._x0), generator=streams.generator(self.seed, "order", epoch)).to(self.device)


def every_other(size: int, step: int = 0) -> Tensor:
    """Return marks (B,): half of the samples see a guess, half do not (Chen et al. 2023), in turns by step."""
    return (torch.arange(size) + step) % 2 == 0


def steps_per_epoch(n: int | None, batch_size: int) -> int | None:
    """Return the steps of one pass over n data, the last batch possibly smaller; None for endless data."""
    return None if n is None else math.ceil(n / batch_size)
