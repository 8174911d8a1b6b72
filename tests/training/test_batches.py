"""A batch is a function of (seed, step): data, noise, levels and dropped labels, in whatever order they are asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy import stats

from toydiff.data import AnyData, Batch, Data, Gaussians
from toydiff.names import FILE_KINDS
from toydiff.schedules import Cosine, Flow
from toydiff.spec import kinds
from toydiff.training.batches import Batches, TrainingBatch, steps_per_epoch
from toydiff.training.densities import Discrete, UniformTime

CPU = torch.device("cpu")


def batches(data: Data, **options: Any) -> Batches:
    settings: dict[str, Any] = {
        "batch_size": 32, "conditional": True, "label_dropout": 0.3, "seed": 0, "device": CPU,
    }  # fmt: skip
    return Batches(data, Flow(), UniformTime(), **settings | options)


def same(a: TrainingBatch, b: TrainingBatch) -> bool:
    labels = (a.label is None and b.label is None) or (
        a.label is not None and b.label is not None and torch.equal(a.label, b.label)
    )
    return labels and torch.equal(a.x0, b.x0) and torch.equal(a.eps, b.eps) and a.level == b.level


@pytest.mark.parametrize("data", [Gaussians(), Gaussians(n=100)], ids=["endless", "fixed"])
def test_the_order_of_asking_does_not_matter(data: Data) -> None:
    forward, backward = batches(data), batches(data)
    steps = [1, 2, 3, 4, 5, 63, 64, 65, 66, 130, 1000]
    first = {step: forward(step) for step in steps}
    for step in [130, 1, 1000, 65, 64, 2, 5, 3, 66, 4, 63]:
        assert same(backward(step), first[step])
    distinct = [first[step].eps for step in steps]
    assert not any(torch.equal(a, b) for i, a in enumerate(distinct) for b in distinct[:i])


@pytest.mark.parametrize("data", [Gaussians(), Gaussians(n=100)], ids=["endless", "fixed"])
def test_another_seed_is_another_run(data: Data) -> None:
    a, b = batches(data)(7), batches(data, seed=1)(7)
    assert not (torch.equal(a.x0, b.x0) or torch.equal(a.eps, b.eps) or torch.equal(a.level.t, b.level.t))


@pytest.mark.parametrize("kind", [kind for kind in kinds(AnyData) if kind not in FILE_KINDS])
@pytest.mark.parametrize("n", [None, 50])
@pytest.mark.usefixtures("official")
def test_shapes_of_every_data_set(kind: str, n: int | None) -> None:
    data: Any = kinds(AnyData)[kind](n=n)  # type: ignore[call-arg]
    batch = batches(data)(1)
    ones = (1,) * len(data.shape)
    assert batch.x0.shape == batch.eps.shape == (32, *data.shape)
    assert batch.x0.dtype == batch.eps.dtype == torch.float32
    assert batch.level.t.shape == batch.level.alpha.shape == batch.level.sigma.shape == (32, *ones)
    assert batch.level.alpha.dtype == torch.float64
    if data.label_names:
        assert batch.label is not None and batch.label.shape == (32,)


@pytest.mark.parametrize(("n", "size"), [(100, 32), (96, 32), (5, 32), (100, 1), (2000, 512)])
def test_a_fixed_set_is_seen_whole_once_an_epoch(n: int, size: int) -> None:
    data = Gaussians(n=n)
    draw, steps = batches(data, batch_size=size, label_dropout=0.0), steps_per_epoch(n, size)
    assert steps == -(-n // size) == draw.epoch_steps
    fixed = data.fixed()
    assert fixed.label is not None
    expected = torch.cat([fixed.x, fixed.label[:, None]], 1)
    epochs = []
    for epoch in range(3):
        parts = [draw(epoch * steps + k + 1) for k in range(steps)]
        assert [len(part.x0) for part in parts[:-1]] == [size] * (steps - 1)
        assert all(len(part.x0) == len(part.eps) == len(part.level.t) == len(part.label) for part in parts)  # type: ignore[arg-type]
        seen = torch.cat([torch.cat([p.x0, p.label[:, None]], 1) for p in parts])  # type: ignore[index]
        assert torch.equal(torch.unique(seen, dim=0), torch.unique(expected, dim=0))  # rows with their labels
        assert len(seen) == n
        epochs.append(seen)
    assert not torch.equal(epochs[0], epochs[1])  # each epoch has its own order


def test_endless_data_never_repeat() -> None:
    draw = batches(Gaussians())
    assert draw.epoch_steps is None
    x = torch.cat([draw(step).x0 for step in (1, 2, 64, 65, 66)])
    assert len(torch.unique(x, dim=0)) == len(x)


def test_noise_is_normal_and_levels_follow_the_density_and_nothing_hangs_together() -> None:
    draw = batches(Gaussians(), batch_size=500)
    drawn = [draw(step) for step in range(1, 41)]
    x0, eps = (torch.cat([getattr(batch, field) for batch in drawn]) for field in ("x0", "eps"))
    t = torch.cat([batch.level.t for batch in drawn])
    assert stats.kstest(eps.flatten().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(t.flatten().numpy(), "uniform").pvalue > 1e-3
    correlation = torch.corrcoef(torch.cat([x0, eps, t.float()], 1).T)
    assert (correlation - torch.eye(5)).abs().max() < 5 / len(x0) ** 0.5


def test_levels_of_a_discrete_density_are_knots() -> None:
    schedule = Cosine(T=40)
    draw = Batches(
        Gaussians(), schedule, Discrete(), batch_size=400, conditional=False, label_dropout=0.0, seed=0, device=CPU
    )
    t = torch.cat([draw(step).level.t for step in range(1, 11)])
    knots, counts = torch.unique(t, return_counts=True)
    assert torch.equal(knots, schedule.knots().t)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_share_of_dropped_labels(share: float) -> None:
    """A dropped label is the number of classes, the table's last row; the others stay with their x_0."""
    data = Gaussians(modes=3, std=0.01)
    draw = batches(data, batch_size=500, label_dropout=share)
    means = data.exact().means  # type: ignore[attr-defined]
    dropped = 0
    for step in range(1, 21):
        batch = draw(step)
        assert batch.label is not None
        kept = batch.label < 3
        dropped += int((~kept).sum())
        nearest = torch.cdist(batch.x0.double(), means).argmin(1)
        assert torch.equal(batch.label[kept], nearest[kept])
        assert (batch.label[~kept] == 3).all()
    n = 20 * 500
    assert abs(dropped / n - share) <= 4 * (share * (1 - share) / n) ** 0.5


def test_an_unconditional_model_gets_no_labels() -> None:
    assert batches(Gaussians(), conditional=False)(1).label is None
    assert batches(Gaussians(n=50), conditional=False)(1).label is None


def test_large_samples_are_drawn_in_smaller_blocks() -> None:
    """Draws are made for many steps at once; memory, not the answer, decides for how many."""
    draw = batches(Gaussians(), batch_size=300_000)
    assert draw.block == 1
    assert len(draw(2).x0) == 300_000


# ── stratified levels ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n", [None, 100, 96])
def test_every_batch_has_a_level_in_every_piece_also_the_last_of_an_epoch(n: int | None) -> None:
    forward, again = batches(Gaussians(n=n), stratified=True), batches(Gaussians(n=n), stratified=True)
    for step in (9, 1, 2, 3, 4, 64, 65, 1000):
        batch = forward(step)
        t, size = batch.level.t.flatten(), len(batch.x0)
        assert batch.level.t.shape == (size, 1)
        pieces = (t * size - 1e-9).floor().long()
        assert torch.equal(pieces.sort()[0], torch.arange(size))
    assert all(same(again(step), forward(step)) for step in (1000, 4, 65, 1))
    other = batches(Gaussians(n=n), stratified=True, seed=1)
    assert not torch.equal(other(1).level.t, forward(1).level.t)


def test_stratified_levels_have_the_same_law_and_steadier_means() -> None:
    """The mean of t² over a batch of B has variance 4/(45 B); stratified it is E f′²/(12 B³) = 1/(9 B³)."""
    means = {
        stratified: torch.stack([draw(step).level.t.square().mean() for step in range(1, 513)])
        for stratified in (False, True)
        for draw in [batches(Gaussians(), stratified=stratified)]
    }
    assert means[True].mean() == pytest.approx(1 / 3, abs=4 * (1 / 9 / 32**3 / 512) ** 0.5)
    assert float(means[False].var()) == pytest.approx(4 / 45 / 32, rel=0.3)
    assert float(means[True].var()) == pytest.approx(1 / 9 / 32**3, rel=0.3)
    t = torch.cat([batches(Gaussians(), stratified=True)(step).level.t for step in (1, 7, 66, 300)])
    assert stats.kstest(t.flatten().numpy(), "uniform").pvalue > 1e-3


def test_pictures_get_one_level_each() -> None:
    shape = (1, 4, 4)
    data: Any = SimpleNamespace(
        shape=shape,
        count=None,
        augments=False,
        label_names=(),
        draw=lambda n, generator: Batch(torch.zeros(n, *shape), None),
    )
    batch = batches(data, stratified=True, conditional=False)(3)
    assert batch.level.sigma.shape == (32, 1, 1, 1) and batch.eps.shape == (32, *shape)
    assert len(torch.unique(batch.level.t)) == 32
