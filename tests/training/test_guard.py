"""A number that is not finite, planted anywhere, never reaches weights, average or optimizer state, and is named."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toydiff.data import Batch, Data, Gaussians
from toydiff.denoiser import Denoiser
from toydiff.errors import TrainingDiverged
from toydiff.networks import MLP
from toydiff.schedules import Flow, Level
from toydiff.spec import kinds
from toydiff.training import Training, fit
from toydiff.training.batches import Batches
from toydiff.training.optimizers import AnyOptimizer

ROW = 5
"""The row of the batch that goes wrong."""


class _Explode(torch.autograd.Function):
    """The identity whose gradient is infinite."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * math.inf


class Sabotaged(nn.Module):
    """A network that goes wrong at some calls: in its output (nan, inf) or only in its gradient."""

    def __init__(self, what: str, calls: set[int]) -> None:
        super().__init__()
        self.network = MLP(widths=(8,)).build((2,))
        self.what, self.calls, self.count = what, calls, 0

    def forward(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
        output: Tensor = self.network(x, level, label)
        self.count += 1
        if self.count not in self.calls:
            return output
        if self.what == "gradient":
            exploding: Tensor = _Explode.apply(output)  # type: ignore[no-untyped-call]
            return exploding
        planted = torch.zeros_like(output)
        planted[ROW] = float(self.what)
        return output + planted


def snapshot(step: Any) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return copies of weights, average and optimizer state."""
    state = [value for entry in step.optimizer.state.values() for value in entry.values()]
    parts = (step.denoiser.parameters(), step.ema.parameters(), state)
    return tuple([value.detach().clone() for value in part] for part in parts)  # type: ignore[return-value]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def plan(**options: Any) -> Training:
    return Training(**{"steps": 12, "batch_size": 16, **options})


@pytest.mark.parametrize("what", ["nan", "inf", "-inf", "gradient"])
@pytest.mark.parametrize("optimizer", kinds(AnyOptimizer))
@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("bad", [1, 4])
def test_a_bad_step_changes_nothing(what: str, optimizer: str, clip: float | None, bad: int) -> None:
    training = plan(optimizer={"kind": optimizer, "lr": 0.01}, clip=clip)
    denoiser = Denoiser(Sabotaged(what, {bad, 7}), "v", Flow())
    before: Any = [p.detach().clone() for p in denoiser.parameters()], None, None
    with pytest.raises(TrainingDiverged) as error:
        for step in fit(denoiser, Gaussians(), training):
            after = snapshot(step)
            if step.step == bad:
                assert same(after[0], before[0])  # the weights
                if before[1] is not None:
                    average = [copy.deepcopy(step.ema), copy.deepcopy(step.denoiser)]
                    for p, old in zip(average[0].parameters(), before[1], strict=True):
                        p.data = old
                    training.ema.update(average[0], average[1], bad, 12)  # goes on towards the unchanged weights
                    assert same(after[1], [p.detach() for p in average[0].parameters()])
                    assert same(after[2], before[2])
            elif step.step != 7:
                assert not same(after[0], before[0])  # the other steps do train
            assert all(value.isfinite().all() for part in after for value in part)
            before = after
    assert f"step {bad}" in error.value.message  # the first, not the seventh
    assert error.value.exit_code == 3 and error.value.hint


def test_a_run_is_the_same_up_to_its_bad_step_and_the_caller_sees_that_loss() -> None:
    torch.manual_seed(0)
    good = Denoiser(Sabotaged("nan", set()), "v", Flow())
    torch.manual_seed(0)
    bad = Denoiser(Sabotaged("nan", {3}), "v", Flow())
    for a, b in zip(fit(good, Gaussians(), plan()), fit(bad, Gaussians(), plan()), strict=False):
        if a.step == 2:
            assert same(snapshot(a)[0], snapshot(b)[0])
        if a.step == 3:
            assert not same(snapshot(a)[0], snapshot(b)[0])
            assert not b.loss.isfinite()
            break


@pytest.mark.parametrize("what", ["nan", "inf"])
def test_step_and_noise_level_are_named(what: str) -> None:
    denoiser = Denoiser(Sabotaged(what, {3}), "v", Flow())
    draw = Batches(
        Gaussians(), Flow(), Training().density, batch_size=16, conditional=False, label_dropout=0.1, seed=5,
        device=torch.device("cpu"),
    )  # fmt: skip
    level = draw(3).level[ROW : ROW + 1]
    ratio = float(level.sigma / level.alpha)
    with pytest.raises(TrainingDiverged, match=r"step 3: .* in the loss") as error:
        list(fit(denoiser, Gaussians(), plan(), seed=5))
    named = float(error.value.message.split("sigma/alpha = ")[1].split(";")[0])
    assert named == pytest.approx(ratio, rel=1e-3)


def test_a_gradient_alone_is_named_as_such() -> None:
    with pytest.raises(TrainingDiverged, match=r"step 2: .* in the gradient"):
        list(fit(Denoiser(Sabotaged("gradient", {2}), "v", Flow()), Gaussians(), plan()))


@pytest.mark.parametrize("accumulate", [2, 16])
def test_a_bad_piece_of_an_accumulated_batch_spoils_the_whole_step(accumulate: int) -> None:
    denoiser = Denoiser(Sabotaged("gradient", {accumulate + 1}), "v", Flow())  # the first piece of step 2
    weights = []
    with pytest.raises(TrainingDiverged, match="step 2"):
        for step in fit(denoiser, Gaussians(), plan(accumulate=accumulate)):
            weights.append(snapshot(step)[0])
    assert same(weights[0], weights[1]) and not same(weights[1], weights[2])


def test_the_caller_can_look_at_any_time_and_the_end_is_never_reached_unnoticed() -> None:
    steps = []
    with pytest.raises(TrainingDiverged, match="step 12"):
        for step in fit(Denoiser(Sabotaged("nan", {12}), "v", Flow()), Gaussians(), plan()):
            step.guard.check()  # nothing so far
            steps.append(step.step)
    assert steps == list(range(1, 12))
    run = fit(Denoiser(Sabotaged("nan", {2}), "v", Flow()), Gaussians(), plan())
    next(run).guard.check()
    with pytest.raises(TrainingDiverged, match="step 2"):
        next(run).guard.check()


class OneBadRow(Gaussians):
    """Eight points, one of which is not a number."""

    n: int | None = 8

    def fixed(self) -> Batch:
        x, label = super().fixed()
        x[3, 1] = math.nan
        return Batch(x, label)


def test_bad_data_do_not_reach_the_weights_either() -> None:
    data: Data = OneBadRow()
    denoiser = Denoiser(MLP(widths=(8,)).build((2,)), "v", Flow())
    with pytest.raises(TrainingDiverged, match=r"step [12]:"):  # the first epoch of two steps
        for _ in fit(denoiser, data, plan(batch_size=4)):
            assert all(p.isfinite().all() for p in denoiser.parameters())
    assert all(p.isfinite().all() for p in denoiser.parameters())
