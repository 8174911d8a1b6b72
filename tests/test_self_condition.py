"""Self-conditioning: the loss against its own algorithm written out, and a memory that belongs to one trajectory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from toydiff.config import Run
from toydiff.data import Shapes
from toydiff.denoiser import Denoiser
from toydiff.guidance import Guided, SelfConditioned
from toydiff.names import Found
from toydiff.runs import Loaded
from toydiff.samplers import DDIM, DDPM, Heun
from toydiff.schedules import Flow, Level, noise_levels
from toydiff.training import Training, fit
from toydiff.training.batches import Batches, every_other
from toydiff.training.densities import Laplace

SMALL = {"kind": "unet", "channels": 4, "multipliers": [1, 2], "blocks": 1, "attention": []}


def small(**model: object) -> Run:
    """Return a run of tiny pictures whose network takes a guess, or whatever `model` says."""
    training = {"steps": 3, "batch_size": 6, "precision": "float32"}
    return Run.model_validate(
        {
            "data": {"kind": "shapes", "size": 16},
            "schedule": {"kind": "flow"},
            "network": SMALL,
            "model": {"target": "x0", "self_condition": True, **model},
            "training": training,
            "sampling": {"steps": 4},
        }
    )


def awake(run: Run) -> Denoiser:
    """Return the run's denoiser with every weight away from zero, so that the guess matters."""
    denoiser, generator = run.build(), torch.Generator().manual_seed(1)
    for parameter in denoiser.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return denoiser


def loaded(run: Run, denoiser: Denoiser) -> Loaded:
    return Loaded("small", Found("checkpoint", "small", ""), run, denoiser.eval(), denoiser.shift, 1.0)


def batch(run: Run, size: int = 6):
    conditional = run.model.conditional
    return Batches(
        run.data, run.schedule, Laplace(), batch_size=size, conditional=conditional, label_dropout=0.0, seed=0,
        device=torch.device("cpu"),
    )(1)  # fmt: skip


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_loss_is_that_of_algorithm_1_a_sample_at_a_time() -> None:
    run = small()
    denoiser, b = awake(run), batch(run)
    together = denoiser.loss(b.x0, b.level, b.eps, guessed=b.guessed)
    for k in range(6):
        level = b.level[k : k + 1]
        alpha, sigma = level.alpha.float(), level.sigma.float()
        x_t = alpha * b.x0[k : k + 1] + sigma * b.eps[k : k + 1]
        seen = x_t / (alpha**2 * run.sigma_data**2 + sigma**2).sqrt()
        guess = torch.zeros_like(x_t)
        if k % 2 == 0:
            guess = denoiser.network(torch.cat([seen, guess], 1), level, None)
        estimate = denoiser.network(torch.cat([seen, guess], 1), level, None)
        assert torch.allclose(together[k], (estimate - b.x0[k]).square().mean(), rtol=1e-4)


@pytest.mark.parametrize("target", ["eps", "x0", "v", "edm", "flow"])
def test_a_guess_is_an_estimate_of_x0_in_every_target(target: str) -> None:
    run = small(target=target).model_copy(update={"schedule": Flow()}) if target != "eps" else None
    if run is None:
        run = Run.model_validate(small().model_dump() | {"schedule": {"kind": "cosine"}, "model": {
            "target": "eps", "self_condition": True}})  # fmt: skip
    denoiser, b = awake(run), batch(run)
    x_t = b.level.alpha.float() * b.x0 + b.level.sigma.float() * b.eps
    guess = denoiser.guess(x_t, b.level, None, b.guessed)
    for k in range(6):
        expected = denoiser(x_t[k : k + 1], b.level[k : k + 1]) if k % 2 == 0 else torch.zeros(1, *run.data.shape)
        assert torch.allclose(guess[k], expected[0], atol=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_no_gradient_flows_through_the_guess_and_all_of_it_through_the_answer(precision: torch.dtype) -> None:
    """As if the guess had been a constant; autocast, too, must not keep weights from the pass without gradients."""
    run = small()
    denoiser, b = awake(run), batch(run)

    def gradient(constant: Tensor | None) -> Tensor:
        model = copy.deepcopy(denoiser)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            if constant is not None:
                model.guess = lambda *_: constant  # type: ignore[method-assign]
            loss = model.loss(b.x0, b.level, b.eps, guessed=b.guessed).sum()
        loss.backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    x_t = b.level.alpha.float() * b.x0 + b.level.sigma.float() * b.eps
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        constant = denoiser.guess(x_t, b.level, None, b.guessed)
    assert constant.abs().max() > 0
    assert torch.equal(gradient(None), gradient(constant))


def test_half_of_a_batch_has_guesses_however_it_is_split() -> None:
    b = batch(small(), size=7)
    assert b.guessed.tolist() == [True, False, True, False, True, False, True]
    assert b.part(slice(3, 6)).guessed.tolist() == [False, True, False]
    assert every_other(0).tolist() == []


def test_accumulation_sees_the_same_guesses() -> None:
    """In parts of three, every second of which begins with a sample that has no guess."""
    run, ends = small(), []
    for accumulate in (1, 2):
        training = Training(steps=2, batch_size=6, accumulate=accumulate)
        *_, last = fit(awake(run), run.data, training)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in last.denoiser.parameters()]))
    assert torch.allclose(ends[0], ends[1], atol=2e-5)


def test_a_network_without_guesses_is_trained_as_before() -> None:
    run = small(self_condition=False)
    denoiser, b = awake(run), batch(run)
    assert torch.equal(denoiser.loss(b.x0, b.level, b.eps, guessed=b.guessed), denoiser.loss(b.x0, b.level, b.eps))


# ── sampling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), Heun()])
def test_each_evaluation_sees_the_estimate_of_the_one_before(sampler) -> None:
    seen: list[Tensor | None] = []
    answers: list[Tensor] = []

    def denoiser(x: Tensor, level: Level, label: Tensor | None, guess: Tensor | None) -> Tensor:
        seen.append(guess)
        answers.append(x.sin() / (1 + len(answers)))
        return answers[-1]

    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    levels = noise_levels(Flow(), 5)
    list(sampler.trajectory(SelfConditioned(denoiser), x, levels, torch.randn_like))
    assert seen[0] is None
    assert len(seen) >= 5
    assert all(given is answer for given, answer in zip(seen[1:], answers, strict=False))


def test_guided_sampling_keeps_what_it_knows_of_a_label_apart() -> None:
    seen: list[tuple[bool, float | None]] = []

    def denoiser(x: Tensor, level: Level, label: Tensor | None, guess: Tensor | None) -> Tensor:
        seen.append((label is None, None if guess is None else float(guess[0])))
        return torch.full_like(x, 1.0 if label is None else 2.0)

    guided = Guided(SelfConditioned(denoiser), torch.zeros(1, dtype=torch.long), 3.0)
    for _ in range(2):
        assert float(guided(torch.zeros(1), Flow()(0.5))) == 4.0  # 1 + 3 · (2 − 1)
    assert seen == [(False, None), (True, None), (False, 2.0), (True, 1.0)]


def test_a_sample_is_its_seed_alone_though_the_network_remembers() -> None:
    run = small()
    model = loaded(run, awake(run))
    first = model.sample(5).x
    assert torch.equal(first, model.sample(5).x)
    assert torch.allclose(first[3:], model.sample(2, seed=3).x, atol=1e-5)
    alone = torch.cat([model.frames(torch.tensor([k]))[0][-1].x for k in range(5)])
    assert torch.allclose(first, alone, atol=1e-5)


def test_the_memory_changes_samples_and_nothing_else() -> None:
    run = small()
    model = loaded(run, awake(run))
    denoise, x, level = model.denoise(clip=None), torch.randn(2, 1, 16, 16), run.schedule(0.5)
    assert torch.equal(denoise(x, level), denoise(x, level))  # a function of (x, level): likelihoods, fields
    assert torch.equal(denoise(x, level), model.denoiser(x, level))
    on_the_way = model.denoise(clip=None, remember=True)
    first, second = on_the_way(x, level), on_the_way(x, level)
    assert torch.equal(first, model.denoiser(x, level))
    assert torch.equal(second, model.denoiser(x, level, None, first))
    assert not torch.equal(first, second)
    a, b = model.log_prob(x, steps=3, probes=1), model.log_prob(x, steps=3, probes=1)
    assert torch.equal(a, b)


def test_a_guided_conditional_model_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    run = small(conditional=True)
    model = loaded(run, awake(run))
    plain, guided = (model.sample(3, label=0, guidance=scale).x for scale in (1.0, 2.0))
    assert guided.isfinite().all()
    assert not torch.equal(plain, guided)


# ── configuration ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_network_sees_twice_the_channels_and_answers_one_picture() -> None:
    run = small()
    network = run.build().network
    assert run.input_shape == (2, 16, 16)
    assert network(torch.zeros(2, *run.input_shape), Flow()(0.5), None).shape == (2, 1, 16, 16)
    assert small(self_condition=False).input_shape == Shapes(size=16).shape


@pytest.mark.parametrize("patch", [1, 2])
def test_folded_pixels_and_odd_sizes_keep_the_answer_like_x(patch: int) -> None:
    run = small()
    network = run.network.model_copy(update={"patch": patch}).build((3, 18, 17), 0, guess=True)
    assert network(torch.zeros(2, 6, 18, 17), Flow()(0.5), None).shape == (2, 3, 18, 17)


def test_a_perceptron_takes_no_guess() -> None:
    with pytest.raises(ValueError, match=r"model\.self_condition: the network `mlp` takes no guess of x_0"):
        Run.model_validate({"model": {"self_condition": True}})


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bounded_estimate_is_the_tanh_of_the_output() -> None:
    run = small(bounded=True)
    denoiser, b = awake(run), batch(run)
    free = Denoiser(denoiser.network, "x0", run.schedule, run.sigma_data, self_condition=True)
    x_t = b.level.alpha.float() * b.x0 + b.level.sigma.float() * b.eps
    assert torch.allclose(denoiser(x_t, b.level), free(x_t, b.level).tanh(), atol=1e-6)


def test_bounds_are_in_the_units_of_the_data() -> None:
    """A network that says ±20 everywhere gives black or white, however the data are shifted and scaled."""

    class Constant(torch.nn.Module):
        def forward(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
            return torch.full_like(x, self.value)

    network, shift = Constant(), torch.tensor([[[0.3, -0.2]]])
    denoiser = Denoiser(network, "x0", Flow(), shift=shift, scale=0.4, bounds=(-1.0, 1.0))
    for network.value, expected in ((-20.0, -1.0), (0.0, 0.0), (20.0, 1.0)):
        x0 = denoiser.to_data(denoiser(torch.randn(3, 1, 1, 2), Flow()(0.5)))
        assert torch.allclose(x0, torch.full_like(x0, expected), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": {"bounded": True, "target": "x0"}}, r"model\.bounded: the data `swissroll` may lie anywhere"),
        (
            {"data": {"kind": "shapes"}, "network": SMALL, "model": {"bounded": True, "target": "v"}},
            r"model\.bounded: only x_0 has the range of the data, not `v`; take model\.target=x0",
        ),
    ],
)
def test_what_cannot_be_bounded(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Run.model_validate(settings)
