"""Self-conditioning: the loss against its own algorithm written out, and a memory that belongs to one trajectory."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from toydiff import checkpoint
from toydiff.config import Run
from toydiff.data import Shapes
from toydiff.denoiser import Denoiser
from toydiff.errors import ConfigurationError
from toydiff.guidance import Guided, SelfConditioned
from toydiff.names import Found
from toydiff.runs import Loaded, load
from toydiff.samplers import DDIM, DDPM, RK45, Heun
from toydiff.schedules import Flow, Level, noise_levels
from toydiff.training import Training, fit, streams
from toydiff.training.batches import Batches, every_other
from toydiff.training.densities import Laplace
from toydiff.training.validation import Validator

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
            "sampling": {"steps": 12},
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


@pytest.mark.parametrize("conditional", [False, True])
def test_the_loss_is_that_of_algorithm_1_a_sample_at_a_time(conditional: bool) -> None:
    run = small(conditional=conditional)
    denoiser, b = awake(run), batch(run)
    together = denoiser.loss(b.x0, b.level, b.eps, b.label, guessed=b.guessed)
    for k in range(6):
        level, label = b.level[k : k + 1], None if b.label is None else b.label[k : k + 1]
        alpha, sigma = level.alpha.float(), level.sigma.float()
        x_t = alpha * b.x0[k : k + 1] + sigma * b.eps[k : k + 1]
        seen = x_t / (alpha**2 * run.sigma_data**2 + sigma**2).sqrt()
        guess = torch.zeros_like(x_t)
        if k % 2 == 1:
            guess = denoiser.network(torch.cat([seen, guess], 1), level, label)
        estimate = denoiser.network(torch.cat([seen, guess], 1), level, label)
        assert torch.allclose(together[k], (estimate - b.x0[k]).square().mean(), rtol=1e-4)


def test_training_makes_guesses_and_validation_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of the first step, and of held-out data in pieces of any size, are those with guesses."""
    run = small()
    denoiser, b = awake(run), batch(run)
    loss = {given: denoiser.loss(b.x0, b.level, b.eps, guessed=marks).mean() for given, marks in
            (("guesses", b.guessed), ("none", None))}  # fmt: skip
    assert (loss["guesses"] - loss["none"]).abs() > 1e-3
    training = Training(steps=1, batch_size=6, density=Laplace())
    first = next(iter(fit(copy.deepcopy(denoiser), run.data, training)))
    assert torch.allclose(first.loss, loss["guesses"], rtol=1e-5)

    validator = Validator(run.data, training, n=30, seed=0, device=torch.device("cpu"))
    by_seven, at_once = validator(denoiser, batch_size=7).loss, validator(denoiser).loss
    assert by_seven == pytest.approx(at_once, rel=1e-5)
    monkeypatch.setattr(denoiser, "guess", lambda x, *_: torch.zeros_like(x))
    assert validator(denoiser).loss != pytest.approx(at_once, rel=1e-3)


@pytest.mark.parametrize("patch", [1, 2])
def test_a_part_in_which_nobody_is_guessed(patch: int) -> None:
    """A network asked about no samples at all might not know their shape."""
    run = small()
    run = run.model_copy(update={"network": run.network.model_copy(update={"patch": patch})})
    *_, last = fit(run.build(), run.data, Training(steps=2, batch_size=3, accumulate=3))
    assert last.loss.isfinite()


def test_one_level_for_all_samples() -> None:
    run = small()
    denoiser, b = awake(run), batch(run)
    one = run.schedule(0.5)
    several = Level(*(each.expand(6).reshape(6, 1, 1, 1) for each in (one.t, one.alpha, one.sigma)))
    losses = [denoiser.loss(b.x0, level, b.eps, guessed=b.guessed) for level in (one, several)]
    assert torch.allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("target", ["x0", "v", "edm", "flow"])
def test_a_guess_is_an_estimate_of_x0_in_every_target(target: str) -> None:
    run = small(target=target)
    denoiser, b = awake(run), batch(run)
    x_t = b.level.alpha.float() * b.x0 + b.level.sigma.float() * b.eps
    guess = denoiser.guess(x_t, b.level, None, b.guessed)
    for k in range(6):
        expected = denoiser(x_t[k : k + 1], b.level[k : k + 1]) if k % 2 == 1 else torch.zeros(1, *run.data.shape)
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
    b = batch(small(), size=7)  # of step 1; the next step turns it round
    assert b.guessed.tolist() == [False, True, False, True, False, True, False]
    assert b.part(slice(3, 6)).guessed.tolist() == [True, False, True]
    assert [every_other(1, step).tolist() for step in (1, 2)] == [[False], [True]]
    assert every_other(0).tolist() == []


def test_accumulation_sees_the_same_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts of three, every second of which begins with a sample that has no guess."""
    run, ends = small(), []
    for accumulate in (1, 2):
        training = Training(steps=2, batch_size=6, accumulate=accumulate)
        *_, last = fit(awake(run), run.data, training)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in last.denoiser.parameters()]))
    monkeypatch.setattr(Denoiser, "guess", lambda self, x, *_: torch.zeros_like(x))
    *_, without = fit(awake(run), run.data, Training(steps=2, batch_size=6))
    plain = torch.cat([parameter.detach().flatten() for parameter in without.denoiser.parameters()])
    assert torch.allclose(ends[0], ends[1], atol=2e-5)
    assert (ends[0] - plain).abs().max() > 1e-4


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


def test_from_one_level_on_there_is_a_guess_and_until_another_two_evaluations() -> None:
    asked: list[tuple[float, float | None]] = []

    def denoiser(x: Tensor, level: Level, label: Tensor | None, guess: Tensor | None) -> Tensor:
        asked.append((round(float(level.log_snr), 3), None if guess is None else float(guess)))
        return torch.tensor(float(len(asked)))

    denoise = SelfConditioned(denoiser, guess_from=-2.0, refine_until=1.0)
    for log_snr in (-3.0, -2.5, -1.5, 0.0, 1.0, 2.0):
        denoise(torch.tensor(0.0), Level.at(log_snr))
    assert asked == [
        (-3.0, None),
        (-2.5, None),
        (-1.5, 2.0),
        (-1.5, 3.0),
        (0.0, 4.0),
        (0.0, 5.0),
        (1.0, 6.0),
        (2.0, 7.0),
    ]


def test_both_evaluations_are_counted() -> None:
    run = small()
    evaluations: list[int] = []
    loaded(run, awake(run)).sample(1, sampler=DDIM(), evaluations=evaluations)
    twice = sum(-3 <= float(level.log_snr) < 1 for level in run.levels()[:-1])
    assert twice > 0
    assert evaluations == [12 + twice]


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
    on_the_way, late = model.denoise(clip=None, remember=True), run.schedule(0.1)
    first, second = on_the_way(x, late), on_the_way(x, late)
    assert torch.equal(first, model.denoiser(x, late))
    assert torch.equal(second, model.denoiser(x, late, None, first))
    assert not torch.equal(first, second)
    a, b = model.log_prob(x, steps=3, probes=1), model.log_prob(x, steps=3, probes=1)
    assert torch.equal(a, b)


def by_hand(model: Loaded, seed: int, label: Tensor | None = None, weak: Loaded | None = None, scale: float = 1.0):
    """Return DDIM's sample with everybody's estimates handed on, written out."""
    levels = model.config.levels()
    x = levels[0].scale.float() * streams.normal(model.data.shape, stream="sample", step=1, seed=torch.tensor([seed]))
    strong = handed_on = None
    for level, next_level in pairwise(levels):
        early, middle = float(level.log_snr) < -3, -3 <= float(level.log_snr) < 1  # as the configuration has it
        strong = model.denoiser(x, level, label, None if early else strong)
        if middle:
            strong = model.denoiser(x, level, label, strong)
        x0 = strong
        if weak is not None:
            of = label if weak is not model else None
            handed_on = weak.denoiser(x, level, of, None if early else handed_on)
            if middle:
                handed_on = weak.denoiser(x, level, of, handed_on)
            x0 = handed_on + scale * (x0 - handed_on)
        x0 = x0.clamp(-1, 1)
        eps = (x - level.alpha * x0) / level.sigma
        x = (next_level.alpha * x0 + next_level.sigma * eps).float()
    return x


@torch.no_grad()
def test_sampling_hands_the_last_estimate_on() -> None:
    run = small()
    model = loaded(run, awake(run))
    assert torch.allclose(model.sample(1, seed=5, sampler=DDIM()).x, by_hand(model, 5), atol=1e-4)
    # by the function of (x, level) alone it would be another sample
    levels = run.levels()
    x = levels[0].scale.float() * streams.normal(run.data.shape, stream="sample", step=1, seed=torch.tensor([5]))
    *_, last = DDIM().trajectory(model.denoise(), x, levels, torch.randn_like)
    assert (last.x - by_hand(model, 5)).abs().max() > 1e-3


def test_classifier_free_guidance_remembers_both_answers() -> None:
    run = small(conditional=True)
    model = loaded(run, awake(run))
    found = model.sample(1, seed=2, label=3, guidance=2.0, sampler=DDIM()).x
    assert torch.allclose(found, by_hand(model, 2, torch.tensor([3]), model, 2.0), atol=1e-4)


@pytest.mark.parametrize("remembering", [True, False])
def test_a_guide_remembers_for_itself_if_it_takes_a_guess(remembering: bool) -> None:
    run, other = small(), small(self_condition=remembering)
    model, guide = loaded(run, awake(run)), loaded(other, other.build())
    for parameter in guide.denoiser.parameters():
        parameter.data += 0.07
    found = model.sample(1, seed=2, guidance=1.5, guide=guide, sampler=DDIM()).x
    assert torch.allclose(found, by_hand(model, 2, None, guide, 1.5), atol=1e-4)


def test_a_checkpoint_keeps_what_its_network_takes(tmp_path: Path) -> None:
    run = small(bounded=True)
    denoiser = awake(run)
    header = {"config": run.model_dump(mode="json"), "step": 1, "total": 3}
    state = denoiser.state_dict()
    checkpoint.save(tmp_path / "best.pt", header=header, model=state, ema=state, optimizer={})
    again = load(str(tmp_path / "best.pt"))
    assert again.self_conditioned
    assert torch.equal(again.sample(2).x, loaded(run, denoiser).sample(2).x)


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


@pytest.mark.parametrize("target", ["eps", "score"])
def test_an_estimate_divided_by_alpha_is_no_guess(target: str) -> None:
    settings = small().model_dump() | {"schedule": {"kind": "linear"}}
    settings["model"] |= {"target": target}
    with pytest.raises(ValueError, match=f"an estimate of x_0 by `{target}` is divided by alpha"):
        Run.model_validate(settings)


def test_steps_that_are_taken_again_are_refused() -> None:
    problem = small().cannot_sample(RK45())
    assert problem is not None and "`rk45` takes a step again" in problem[0]
    assert small(self_condition=False).cannot_sample(RK45()) is None


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


def test_a_target_without_bounds_is_not_bent() -> None:
    with pytest.raises(ConfigurationError, match="`eps` has no bounds"):
        Denoiser(torch.nn.Identity(), "eps", bounds=(-1.0, 1.0))


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
