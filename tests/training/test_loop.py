"""`fit` against what it should learn, against itself resumed, and against one step computed by hand."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from toydiff.data import Batch, Data, Gaussians
from toydiff.denoiser import Denoiser, Target
from toydiff.errors import ConfigurationError
from toydiff.networks import MLP
from toydiff.samplers import AnySampler, noise_levels
from toydiff.schedules import EDM, Cosine, Flow, Linear, Schedule
from toydiff.spec import kinds
from toydiff.training import Step, Training, fit
from toydiff.training.batches import Batches
from toydiff.training.optimizers import AdamW, AnyOptimizer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def denoiser(
    data: Data, target: Target = "v", schedule: Schedule | None = None, classes: int = 0, seed: int = 0, **mlp: Any
) -> Denoiser:
    torch.manual_seed(seed)
    network = MLP(**{"widths": (16, 16), **mlp}).build(data.shape, classes)
    return Denoiser(network, target, schedule or Flow(), shift=data.shift, scale=data.scale)


def last(steps: Iterator[Step]) -> Step:
    for step in steps:
        final = step
    return final


# ── what is learned ──────────────────────────────────────────────────────────────────────────────────────────────────

SETTINGS: dict[str, tuple[Target, Schedule, dict[str, Any]]] = {
    "v": ("v", Cosine(T=None), {}),
    "eps": ("eps", Linear(), {"density": {"kind": "discrete"}, "weight": {"kind": "min_snr"}}),
    "edm": ("edm", EDM(), {"density": {"kind": "log_normal"}, "weight": {"kind": "edm"}}),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_trained_network_is_the_exact_one_within_3_percent_of_the_loss_floor(setting: str) -> None:
    """E w |F̂ − F*|² of the averaged weights, F* = a x_0* + b eps* from the exact denoiser; floor E w |F* − F|²."""
    target, schedule, options = SETTINGS[setting]
    data = Gaussians(modes=3, std=0.25)
    model = denoiser(data, target, schedule, widths=(64, 64, 64))
    training = Training(steps=1000, batch_size=256, optimizer=AdamW(lr=5e-3), **options)
    first = copy.deepcopy(model)
    trained = last(fit(model, data, training)).ema
    oracle = data.exact().affine(data.shift, data.scale)

    n, generator = 20_000, torch.Generator().manual_seed(1)
    x0 = trained.to_model(data.draw(n, generator).x)
    eps = torch.randn(n, 2, generator=generator)
    u = (torch.randperm(n, generator=generator).double()[:, None] + 0.5) / n
    level = training.density(u, schedule)
    alpha, sigma, (a, b) = level.alpha, level.sigma, trained.coefficients(level)
    weight = training.weight(level, a, b, trained.sigma_data)
    x = alpha * x0 + sigma * eps
    best = oracle(x, level)
    F, F_best = a * x0 + b * eps, a * best + b * (x - alpha * best) / sigma
    floor = (weight * (F_best - F).square()).mean()

    def excess(model: Denoiser) -> Tensor:
        with torch.no_grad():
            return (weight * (model.predict(x.float(), level) - F_best).square()).mean()

    assert excess(first) > 0.1 * floor  # there was something to learn
    assert excess(trained) < 0.03 * floor


def test_labels_are_learned_and_so_is_their_absence() -> None:
    """Out of pure noise E[x_0 | label] is the mode's mean, and without a label the mean of all."""
    data = Gaussians(modes=2, std=0.1, weights=(0.25, 0.75))
    model = denoiser(data, "flow", classes=2, widths=(32, 32))
    training = Training(steps=1000, batch_size=256, optimizer=AdamW(lr=5e-3), label_dropout=0.5)
    trained = last(fit(model, data, training)).ema
    eps = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for label, expected in ((0, [1.0, 0.0]), (1, [-1.0, 0.0]), (None, [-0.5, 0.0])):
            at = None if label is None else torch.full((500,), label)
            mean = trained.to_data(trained(eps, Flow()(1.0), at)).mean(0)
            assert mean.tolist() == pytest.approx(expected, abs=0.15)


# ── any shape ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Pattern(Data):
    """A fixed picture of any shape, brighter or darker by a random factor."""

    kind: Literal["pattern"] = "pattern"
    form: tuple[int, ...] = (1, 4, 4)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.form

    @property
    def picture(self) -> Tensor:
        return torch.linspace(-1, 1, math.prod(self.form)).reshape(self.form) + 0.5

    @property
    def shift(self) -> Tensor:
        return self.picture

    @property
    def scale(self) -> float:
        return float(0.3 * self.picture.square().mean().sqrt())

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        factor = 1 + 0.3 * torch.randn(n, *[1] * len(self.form), generator=generator)
        return Batch(factor * self.picture, None)


@pytest.mark.parametrize("form", [(3,), (1, 4, 4)])
def test_any_shape_is_trained_and_sampled(form: tuple[int, ...]) -> None:
    """Samples lie on the line of the pictures: mean, spread along it, and next to nothing beside it."""
    data = Pattern(form=form)
    training = Training(steps=500, batch_size=128, optimizer=AdamW(lr=5e-3))
    trained = last(fit(denoiser(data, widths=(64, 64)), data, training)).ema
    picture = data.picture.flatten()
    for cls in kinds(AnySampler).values():
        generator = torch.Generator().manual_seed(0)

        def noise(x: Tensor, generator: torch.Generator = generator) -> Tensor:
            return torch.randn(x.shape, generator=generator)

        sampler: Any = cls()
        with torch.no_grad():
            *_, frame = sampler.trajectory(trained, noise(torch.empty(400, *form)), noise_levels(Flow(), 40), noise)
        assert frame.x.shape == (400, *form)
        x = trained.to_data(frame.x).flatten(1)
        along = x @ picture / picture.square().sum()
        beside = x - along[:, None] * picture
        assert along.mean() == pytest.approx(1, abs=0.08)
        assert along.std() == pytest.approx(0.3, abs=0.08)
        assert beside.square().mean().sqrt() < 0.25 * data.scale


# ── resumed is uninterrupted ─────────────────────────────────────────────────────────────────────────────────────────


def state(step: Step) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "step": step.step,
            "model": step.denoiser.state_dict(),
            "ema": step.ema.state_dict(),
            "optimizer": step.optimizer.state_dict(),
        }
    )


def tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else []
    return [tensor for value in values for tensor in tensors(value)]


@pytest.mark.parametrize("n", [None, 100])
@pytest.mark.parametrize("stop", [1, 6, 64, 65])
@pytest.mark.parametrize("kind", kinds(AnyOptimizer))
def test_resumed_equals_uninterrupted_bit_for_bit(n: int | None, stop: int, kind: str) -> None:
    """Stopped after the first step, within an epoch of four, and on both sides of a block of draws."""
    data = Gaussians(n=n)
    training = Training(steps=70, batch_size=32, accumulate=2, optimizer={"kind": kind, "lr": 0.01})
    losses = []
    for step in fit(denoiser(data, classes=8), data, training, seed=3):
        losses.append(step.loss)
        if step.step == stop:
            saved = state(step)
    whole = state(step)

    torch.rand(7)  # nothing depends on torch's own generator
    resumed = denoiser(data, classes=8, seed=99)  # nor on the weights one happens to start with
    again = []
    for step in fit(resumed, data, training, seed=3, resume=saved):
        again.append(step.loss)
    assert step.step == 70 and len(again) == 70 - stop
    assert all(torch.equal(a, b) for a, b in zip(losses[stop:], again, strict=True))
    after = state(step)
    assert whole["optimizer"]["param_groups"] == after["optimizer"]["param_groups"]
    pairs = list(zip(tensors(whole), tensors(after), strict=True))
    assert len(pairs) > 3 * len(list(resumed.parameters()))  # weights, average, moments
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_same_seed_is_the_same_run_and_another_seed_is_not() -> None:
    data, training = Gaussians(), Training(steps=5, batch_size=32)
    a, b, c = (last(fit(denoiser(data), data, training, seed=seed)).loss for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


# ── one step by hand ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_loss_and_gradient_norm_are_those_of_the_batch_in_model_units() -> None:
    data = Gaussians(radius=5.0)
    training = Training(steps=3, batch_size=64, weight={"kind": "snr"}, clip=0.01)
    model = denoiser(data, "v")
    torch.nn.init.normal_(model.network.last.weight)  # type: ignore[union-attr, arg-type]
    by_hand = copy.deepcopy(model)
    draw = Batches(
        data, Flow(), training.density, batch_size=64, conditional=False, label_dropout=0.1, seed=2,
        device=torch.device("cpu"),
    )  # fmt: skip
    batch = draw(1)
    x0 = (batch.x0 - data.shift) / data.scale
    alpha, sigma = batch.level.alpha.float(), batch.level.sigma.float()
    x, size = alpha * x0 + sigma * batch.eps, (alpha**2 + sigma**2).sqrt()
    v = (alpha * batch.eps - sigma * x0) / size
    error = by_hand.network(x / size, batch.level) - v  # SNR |x̂_0 − x_0|² with x̂_0 − x_0 = −sigma/size (v̂ − v)
    loss = (alpha**2 / size**2 * error.square()).mean()
    torch.autograd.backward(loss)
    norm = torch.cat([p.grad.flatten() for p in by_hand.parameters() if p.grad is not None]).norm()

    step = next(fit(model, data, training, seed=2))
    assert float(step.loss) == pytest.approx(loss.item(), rel=1e-4)
    assert float(step.grad_norm) == pytest.approx(float(norm), rel=1e-4)  # as it was before clipping
    clipped = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    assert float(norm) > 0.02 and float(clipped) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("accumulate", [2, 3, 64])
@pytest.mark.parametrize(
    ("n", "draws"), [(None, {}), (100, {}), (100, {"stratified": True, "coupling": {"kind": "ot"}})]
)
def test_accumulation_is_the_whole_batch(accumulate: int, n: int | None, draws: dict[str, Any]) -> None:
    data = Gaussians(n=n)  # with n = 100 the second batch of an epoch has 36 rows
    whole = denoiser(data, classes=8)
    torch.nn.init.normal_(whole.network.last.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    pieces = copy.deepcopy(whole)
    options: dict[str, Any] = {"steps": 4, "batch_size": 64, "rate": {"kind": "constant"}, **draws}
    a = last(fit(whole, data, Training(**options)))
    b = last(fit(pieces, data, Training(**options, accumulate=accumulate)))
    torch.testing.assert_close(a.loss, b.loss, rtol=1e-5, atol=1e-6)
    for p, q in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


def test_what_a_step_says() -> None:
    data = Gaussians(n=100)
    training = Training(epochs=3, batch_size=32, rate={"kind": "linear", "warmup": 0.5})
    steps = []
    model = denoiser(data)
    for step in fit(model, data, training):
        steps.append((step.step, step.total, step.epoch, step.lr))
        assert all(group["lr"] == step.lr for group in step.optimizer.param_groups)
        assert step.denoiser is model and model.training
        assert not step.ema.training and not any(p.requires_grad for p in step.ema.parameters())
        assert not step.loss.requires_grad and step.loss.ndim == step.grad_norm.ndim == 0
    assert [entry[:3] for entry in steps] == [(k, 12, k / 4) for k in range(1, 13)]
    assert [entry[3] for entry in steps] == pytest.approx([1e-3 * training.rate(k, 12) for k in range(1, 13)])
    assert next(fit(denoiser(data), Gaussians(), Training(steps=3))).epoch is None


def test_without_an_average_the_average_is_the_model() -> None:
    data = Gaussians()
    step = last(fit(denoiser(data), data, Training(steps=5, batch_size=32, ema={"half_life": 0})))
    assert all(torch.equal(a, b) for a, b in zip(step.ema.parameters(), step.denoiser.parameters(), strict=True))


def test_bfloat16_trains_with_float32_weights() -> None:
    data = Gaussians()
    steps = list(fit(denoiser(data), data, Training(steps=30, batch_size=64, precision="bfloat16")))
    assert all(step.loss.isfinite() and step.loss.dtype == torch.float32 for step in steps)
    assert all(p.dtype == torch.float32 for p in steps[-1].denoiser.parameters())
    exact = list(fit(denoiser(data), data, Training(steps=30, batch_size=64)))
    assert not torch.equal(steps[-1].loss, exact[-1].loss)  # the option does something
    assert float(steps[-1].loss) == pytest.approx(float(exact[-1].loss), rel=0.05)


def test_the_length_of_a_run() -> None:
    assert Training(steps=7).total_steps(None) == Training(steps=7).total_steps(100) == 7
    assert Training(epochs=3, batch_size=32).total_steps(100) == 12
    with pytest.raises(ConfigurationError, match="no epochs") as error:
        Training(epochs=3).total_steps(None)
    assert "--steps" in error.value.hint
    with pytest.raises(ValueError, match="not both"):
        Training(steps=3, epochs=3)
    with pytest.raises(ValueError, match="accumulate"):
        Training(batch_size=4, accumulate=5)


def test_a_denoiser_without_a_schedule_cannot_be_trained() -> None:
    data = Gaussians()
    with pytest.raises(ConfigurationError, match="without a schedule"):
        next(fit(Denoiser(MLP(widths=(8,)).build(data.shape), "v"), data, Training(steps=1)))
