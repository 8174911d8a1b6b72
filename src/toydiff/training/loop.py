"""Training is a generator: `for step in fit(denoiser, data, training)` yields after every update."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from toydiff.data.base import Data
from toydiff.denoiser import AnyWeight, Denoiser, Uniform, Weight, unlearnable
from toydiff.dist import ALONE, World, without_sync
from toydiff.errors import ConfigurationError
from toydiff.schedules import Level
from toydiff.spec import Spec
from toydiff.training import streams
from toydiff.training.batches import Batches, TrainingBatch, steps_per_epoch
from toydiff.training.couplings import AnyCoupling, Independent
from toydiff.training.densities import AnyDensity, UniformTime
from toydiff.training.ema import EMA
from toydiff.training.guard import Guard
from toydiff.training.optimizers import AdamW, AnyOptimizer, AnyRate, CosineRate, restore

CHECK_EVERY = 50
"""Steps between two looks at the guard: each look waits for the device."""


class Training(Spec):
    """How to train: how long, on which noise levels, with what weight, optimizer and average."""

    steps: int | None = Field(None, ge=1, le=1_000_000_000)
    epochs: int | None = Field(None, ge=1, le=1_000_000_000)
    batch_size: int = Field(512, ge=1, le=1_000_000)
    accumulate: int = Field(1, ge=1, le=65_536)
    density: AnyDensity = UniformTime()
    stratified: bool = False
    """Draw one level in each B-th of the density: the loss of a batch is less noisy (after Kingma et al. 2021)."""
    coupling: AnyCoupling = Independent()
    weight: AnyWeight = Uniform()
    optimizer: AnyOptimizer = AdamW()
    rate: AnyRate = CosineRate()
    ema: EMA = EMA()
    clip: float | None = Field(1.0, gt=0, le=1e6)
    """Largest norm of the gradient; None does not clip."""
    label_dropout: float = Field(0.1, ge=0, le=1)
    """Share of labels replaced by "none", for classifier-free guidance (Ho & Salimans 2022)."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Of convolutions and products of matrices, Muon's too; auto: bfloat16 where the device computes with it."""
    compile: bool = False

    def bfloat16(self, device: torch.device) -> bool:
        """Return whether convolutions and products of matrices are in bfloat16 on `device`."""
        if self.precision != "auto":
            return self.precision == "bfloat16"
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        # an emulated bfloat16 would be slower than float32
        return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give either steps or epochs, not both")
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate ({self.accumulate}) is larger than batch_size ({self.batch_size})")
        return self

    def total_steps(self, n: int | None) -> int:
        """Return the steps of the whole run over n data (None: endless)."""
        if self.epochs is None:
            return self.steps or 2000
        per_epoch = steps_per_epoch(n, self.batch_size)
        if per_epoch is None:
            raise ConfigurationError(
                "an endless data set has no epochs", "Give --steps, or a number of data with --samples."
            )
        return self.epochs * per_epoch


@dataclass(frozen=True)
class Step:
    """What one update did; tensors stay on the device until somebody reads them."""

    step: int
    total: int
    epoch: float | None
    loss: Tensor
    grad_norm: Tensor
    lr: float
    denoiser: Denoiser
    ema: Denoiser
    optimizer: torch.optim.Optimizer
    guard: Guard


class _Loss(nn.Module):
    """The loss of each sample, as the module that is trained: what several ranks wrap.

    The derivative with respect to `one` is the loss itself, so that its mean over all ranks comes with the gradients.
    """

    def __init__(self, denoiser: Denoiser, weight: Weight, *, several: bool) -> None:
        super().__init__()
        self.one = nn.Parameter(denoiser.scale.new_ones(())) if several else None
        self.denoiser, self.weight = denoiser, weight

    def forward(self, batch: TrainingBatch) -> Tensor:
        x0 = self.denoiser.to_model(batch.x0)
        losses = self.denoiser.loss(x0, batch.level, batch.eps, batch.label, self.weight, batch.guessed)
        return losses if self.one is None else losses * self.one


def fit(
    denoiser: Denoiser,
    data: Data,
    training: Training,
    *,
    seed: int = 0,
    resume: dict[str, Any] | None = None,
    revisit: bool = False,
    world: World = ALONE,
) -> Iterator[Step]:
    """Train `denoiser` in place on `data`, yielding a `Step` after each optimizer and EMA update.

    Every draw is a function of (seed, stream, step), so `resume` = {"step", "model", "ema", "optimizer"} continues
    bit for bit; `revisit` yields that step first, its loss unknown (NaN), for what was left undone after it. The
    model's shift and scale are applied here: data come in data units. Each rank of a `world` computes its part of the
    same batch, and all have the same weights and average. Raises TrainingDiverged.
    """
    if denoiser.schedule is None:
        raise ConfigurationError("a denoiser without a schedule cannot be trained", "Give Denoiser a schedule=.")
    if problem := unlearnable(denoiser.target, denoiser.schedule):
        raise ConfigurationError(*problem)
    if denoiser.classes not in (0, len(data.label_names)):
        raise ConfigurationError(
            f"the network knows {denoiser.classes} classes, the data `{data.kind}` have {len(data.label_names)}",
            "Build the network with as many classes as data.label_names has, or with none.",
        )
    device = next(denoiser.parameters()).device
    total = training.total_steps(data.count)
    batches = Batches(
        data,
        denoiser.schedule,
        training.density,
        batch_size=training.batch_size,
        conditional=denoiser.classes > 0,
        label_dropout=training.label_dropout,
        seed=seed,
        device=device,
        stratified=training.stratified,
        coupling=training.coupling,
    )
    average = copy.deepcopy(denoiser).requires_grad_(False).eval()
    optimizer = training.optimizer.build(denoiser.parameters(), training.bfloat16(device))
    start = 0
    if resume is not None:
        start = resume["step"]
        denoiser.load_state_dict(resume["model"])
        average.load_state_dict(resume["ema"])
        restore(training.optimizer, optimizer, resume["optimizer"])
    if training.compile:
        denoiser.network.compile()
    guard = Guard(device)
    denoiser.train()
    model = world.wrap(_Loss(denoiser, training.weight, several=world.size > 1))
    dropout = any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in denoiser.modules())
    if revisit:
        epoch, unknown = _epoch(start, batches), torch.tensor(math.nan)
        lr = training.optimizer.lr * training.rate(start, total)
        for group in optimizer.param_groups:  # as that step left it: it may be saved again
            group["lr"] = lr
        yield Step(start, total, epoch, unknown, unknown, lr, denoiser, average, optimizer, guard)
    if world.size > 1 and start < total:
        # the first pass finds out in which order gradients come and the next ones send them so: a resumed run, too,
        # must add them up in that order from its first step on
        _backward(model, batches(start + 1), training, world)
    for step in range(start + 1, total + 1):
        lr = training.optimizer.lr * training.rate(step, total)
        with torch.random.fork_rng(enabled=dropout):
            if dropout:  # the one draw torch makes by itself becomes a function of (seed, step) as well
                stream = f"dropout of rank {world.rank}" if world.rank else "dropout"
                torch.manual_seed(streams.generator(seed, stream, step).initial_seed())
            loss, norm = _update(model, denoiser, optimizer, batches(step), training, lr, step, guard, world)
        training.ema.update(average, denoiser, step, total)
        if step % CHECK_EVERY == 0 or step == total:
            with world.together():
                guard.check()
        yield Step(step, total, _epoch(step, batches), loss, norm, lr, denoiser, average, optimizer, guard)


def _epoch(step: int, batches: Batches) -> float | None:
    return None if batches.epoch_steps is None else step / batches.epoch_steps


def _update(
    model: nn.Module,
    denoiser: Denoiser,
    optimizer: torch.optim.Optimizer,
    batch: TrainingBatch,
    training: Training,
    lr: float,
    step: int,
    guard: Guard,
    world: World,
) -> tuple[Tensor, Tensor]:
    """Make one optimizer step, refused on the device if it is not finite; return the loss and the gradient's norm."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    per_sample, loss, level = _backward(model, batch, training, world)
    parameters = [p for p in denoiser.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if training.clip is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, training.clip, norm)
    optimizer.found_inf = guard.watch(step, loss, per_sample, norm, level)  # type: ignore[attr-defined]
    optimizer.grad_scale = None  # type: ignore[attr-defined]
    optimizer.step()
    return loss, norm


def _backward(model: nn.Module, batch: TrainingBatch, training: Training, world: World) -> tuple[Tensor, Tensor, Level]:
    """Compute the gradient of the batch's mean loss; return the losses (B,) of this rank, the mean, and the levels."""
    model.zero_grad(set_to_none=True)
    size, rows = len(batch.x0), world.part(len(batch.x0))
    # ranks average their gradients, each of which is of a part of the batch
    share = size / world.size
    if rows.start == rows.stop:  # the end of an epoch may be smaller than the world: this rank takes part with nothing
        rows, share = slice(0, 1), math.inf
    mine = batch.part(rows)
    part, losses = math.ceil(len(mine.x0) / training.accumulate), []
    for k in range(0, len(mine.x0), part):
        with nullcontext() if k + part >= len(mine.x0) else without_sync(model):
            with torch.autocast(batch.x0.device.type, torch.bfloat16, enabled=training.bfloat16(batch.x0.device)):
                loss = model(mine.part(slice(k, k + part)))
            torch.autograd.backward(loss.sum() / share)
        losses.append(loss.detach())
    per_sample = torch.cat(losses)
    mean = per_sample.mean() if world.size == 1 else next(model.parameters()).grad  # of _Loss.one, which comes first
    assert mean is not None
    return per_sample, mean, mine.level
