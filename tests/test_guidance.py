"""Guidance is a denoiser made of two; clipping comes after it."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor, nn

from toydiff.denoiser import Denoiser
from toydiff.guidance import Autoguided, Clipped, Guided
from toydiff.oracle import Gaussian, Mixture
from toydiff.samplers import DDIM, Heun
from toydiff.schedules import EDM, Cosine, Level, LogLinear, noise_levels

SCHEDULE = Cosine(T=None)
LABEL = torch.tensor([0, 1, 1, 0, 1, 0])
X = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))


class ByLabel(nn.Module):
    """A conditional network whose answer depends on the label: row `classes` of its table is "none"."""

    classes = 2

    def forward(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
        none = torch.full((len(x),), self.classes)
        return x.sin() * torch.tensor([1.1, -0.7, 0.3])[none if label is None else label, None]


@pytest.fixture
def denoiser() -> Denoiser:
    return Denoiser(ByLabel(), "v", SCHEDULE)


@pytest.mark.parametrize("t", [0.01, 0.3, 1.0])
def test_scale_one_is_conditional_and_scale_zero_unconditional_to_the_bit(denoiser: Denoiser, t: float) -> None:
    level = SCHEDULE(t)
    conditional, unconditional = denoiser(X, level, LABEL), denoiser(X, level, None)
    assert not torch.equal(conditional, unconditional)
    assert torch.equal(Guided(denoiser, LABEL, 1)(X, level), conditional)
    assert torch.equal(Guided(denoiser, LABEL, 0)(X, level), unconditional)


@pytest.mark.parametrize("scale", [-1.0, 0.5, 2.0, 7.5])
def test_guidance_goes_along_the_line_through_both(denoiser: Denoiser, scale: float) -> None:
    level = SCHEDULE(0.6)
    conditional, unconditional = denoiser(X, level, LABEL), denoiser(X, level, None)
    expected = unconditional + scale * (conditional - unconditional)
    torch.testing.assert_close(Guided(denoiser, LABEL, scale)(X, level), expected, rtol=1e-5, atol=1e-6)


def test_guidance_is_the_same_line_in_eps() -> None:
    """Ho & Salimans 2022 write it in eps; x_0 is affine in eps, so nothing changes."""
    oracle = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.3, labels=torch.tensor([0, 1]))
    x, level = X.double(), SCHEDULE(0.7)

    def eps(x0: Tensor) -> Tensor:
        return (x - level.alpha * x0) / level.sigma

    guided = eps(Guided(oracle, LABEL, 3.0)(x, level))  # type: ignore[arg-type]
    conditional, unconditional = eps(oracle(x, level, LABEL)), eps(oracle(x, level))
    torch.testing.assert_close(guided, unconditional + 3 * (conditional - unconditional), rtol=1e-11, atol=1e-11)


def test_clipping_keeps_to_the_range_and_comes_after_guidance(denoiser: Denoiser) -> None:
    guided = Guided(denoiser, LABEL, 20.0)
    clipped = Clipped(guided, -0.5, 0.25)
    for level in noise_levels(SCHEDULE, 5)[:-1]:
        free, kept = guided(X, level), clipped(X, level)
        assert kept.min() >= -0.5 and kept.max() <= 0.25
        inside = (free >= -0.5) & (free <= 0.25)
        assert not inside.all()
        assert torch.equal(kept[inside], free[inside])
        assert torch.equal(kept[free > 0.25], torch.full_like(kept[free > 0.25], 0.25))


def test_each_coordinate_may_have_its_own_range() -> None:
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.5], dtype=torch.float64)
    clipped = Clipped(lambda x, level: 10 * x, low, high)(X, SCHEDULE(0.5))
    assert clipped.dtype == X.dtype
    assert torch.equal(clipped, torch.minimum(torch.maximum(10 * X, low), high.float()))


# ── what guidance does to a distribution ─────────────────────────────────────────────────────────────────────────────

PAIR = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.3, labels=torch.tensor([0, 1]))


@pytest.mark.parametrize("t", [0.2, 0.7, 0.95])
@pytest.mark.parametrize("scale", [-1.0, 0.5, 3.0])
def test_the_guided_score_mixes_the_log_densities(scale: float, t: float) -> None:
    """(1 − w) ∇ log p(x_t) + w ∇ log p(x_t | c) by autograd, and x̂_0 from it by Tweedie's formula."""
    level, x = SCHEDULE(t), (2 * X.double()).requires_grad_()
    blend = (1 - scale) * PAIR.log_prob(x, level) + scale * PAIR.log_prob(x, level, LABEL)
    (score,) = torch.autograd.grad(blend.sum(), x)
    expected = (x + level.sigma**2 * score) / level.alpha
    torch.testing.assert_close(Guided(PAIR, LABEL, scale)(x, level), expected, rtol=1e-9, atol=1e-9)  # type: ignore[arg-type]


class Nested:
    """p(x) = N(0, 1) and p(x | c) = N(m, s²): guidance is linear, and its flow can be written down."""

    m, s = 0.8, 0.5

    def __call__(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
        oracle = Gaussian(torch.zeros(1), 1.0) if label is None else Gaussian(torch.full((1,), self.m), self.s)
        return oracle(x, level)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0, 3.0])
def test_guided_samples_move_as_the_closed_form_predicts(scale: float) -> None:
    """With alpha = 1 the flow is dx/dσ = σ [(1 − w) x/(1 + σ²) + w (x − m)/(s² + σ²)]: linear, so that

    x_0 = x_T / h(σ_T) + w m ∫ σ / ((s² + σ²) h(σ)) dσ,   h(σ) = (1 + σ²)^((1−w)/2) (1 + σ²/s²)^(w/2).
    """
    m, s = Nested.m, Nested.s

    def h(sigma: float) -> float:
        return float((1 + sigma**2) ** ((1 - scale) / 2) * (1 + (sigma / s) ** 2) ** (scale / 2))

    levels = noise_levels(LogLinear(sigma_min=1e-3, sigma_max=50.0), 120, "karras")
    x = 50 * torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    guided = Guided(Nested(), torch.zeros(9, dtype=torch.long), scale)  # type: ignore[arg-type]
    *_, last = Heun().trajectory(guided, x, levels, torch.zeros_like)
    drift, _ = quad(lambda sigma: sigma / ((s**2 + sigma**2) * h(sigma)), 0, 50, points=[0.1, 1, 5], limit=200)
    torch.testing.assert_close(last.x, x / h(50.0) + scale * m * drift, rtol=0, atol=2e-3)


def test_on_two_modes_the_mean_moves_away_from_the_other_class() -> None:
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    apart = PAIR.means[1] - PAIR.means[0]

    def mean(scale: float) -> Tensor:
        guided = Guided(PAIR, torch.ones(500, dtype=torch.long), scale)  # type: ignore[arg-type]
        *_, last = DDIM().trajectory(guided, noise, noise_levels(SCHEDULE, 60, "log_snr"), torch.zeros_like)
        return last.x.mean(0)

    means = torch.stack([mean(scale) for scale in (0.0, 1.0, 2.0, 4.0)])
    along = (means - PAIR.means[0]) @ apart / apart.dot(apart)
    assert along[0] == pytest.approx(0.5, abs=0.1) and along[1] == pytest.approx(1.0, abs=0.02)
    assert along[1] < along[2] < along[3]
    across = (means - PAIR.means[0]) @ torch.stack([-apart[1], apart[0]]) / apart.norm()
    assert across.abs().max() < 0.06  # the modes differ along one line: guidance has nothing to say across it


# ── an interval of levels ────────────────────────────────────────────────────────────────────────────────────────────


def test_outside_the_interval_the_answer_is_conditional(denoiser: Denoiser) -> None:
    low, high = 0.5, 2.0
    everywhere, between = Guided(denoiser, LABEL, 3.0), Guided(denoiser, LABEL, 3.0, (low, high))
    for ratio in (0.1, low, 0.50001, 1.0, high, 2.00001, 50.0):  # open below, closed above
        level = Level(0.5, 1.0, ratio)
        expected = everywhere(X, level) if low < ratio <= high else denoiser(X, level, LABEL)
        assert torch.equal(between(X, level), expected)
    pure_noise = SCHEDULE(1.0)
    assert torch.equal(between(X, pure_noise), denoiser(X, pure_noise, LABEL))
    assert torch.equal(Guided(denoiser, LABEL, 3.0, (low, math.inf))(X, pure_noise), everywhere(X, pure_noise))


def test_a_batch_of_levels_is_guided_row_by_row(denoiser: Denoiser) -> None:
    ratio = torch.tensor([0.1, 0.4, 0.8, 1.0, 3.0, 9.0], dtype=torch.float64)[:, None]
    level = Level(torch.full_like(ratio, 0.5), torch.ones_like(ratio), ratio)
    between, everywhere = Guided(denoiser, LABEL, 3.0, (0.5, 2.0)), Guided(denoiser, LABEL, 3.0)
    expected = denoiser(X, level, LABEL)
    expected[2:4] = everywhere(X, level)[2:4]
    assert torch.equal(between(X, level), expected)


def test_each_row_has_its_own_level_in_a_batch(denoiser: Denoiser) -> None:
    """Two levels beside two points of the plane: which of the two axes they belong to must not be guessed."""
    x, label, t = X[:2], LABEL[:2], torch.tensor([0.2, 0.9])
    low, high = (SCHEDULE(v).sigma / SCHEDULE(v).alpha for v in (0.1, 0.5))
    one = [Guided(denoiser, label[k : k + 1], 3, (low, high))(x[k : k + 1], SCHEDULE(t[k])) for k in range(2)]
    for times in (t, t[:, None]):
        batch = Guided(denoiser, label, 3, (low, high))(x, SCHEDULE(times))
        torch.testing.assert_close(batch, torch.cat(one))


def test_no_evaluation_is_wasted_outside_the_interval() -> None:
    asked = []

    def weak(x: Tensor, level: Level) -> Tensor:
        asked.append(float(level.sigma))
        return x

    guided = Autoguided(lambda x, level: 2 * x, weak, 2.0, (0.5, 2.0))
    for sigma in (0.4, 1.0, 3.0):
        guided(X, Level(0.5, 1.0, sigma))
    Autoguided(lambda x, level: 2 * x, weak, 1.0)(X, Level(0.5, 1.0, 1.0))
    assert asked == [1.0]


# ── autoguidance ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_weaker_model_of_another_schedule_and_target_guides(denoiser: Denoiser) -> None:
    weak = Denoiser(ByLabel(), "edm", EDM())
    for level in noise_levels(SCHEDULE, 4)[:-1]:
        strong, weaker = denoiser(X, level, LABEL), weak(X, level, LABEL)
        guided = Autoguided(partial(denoiser, label=LABEL), partial(weak, label=LABEL), 2.5)(X, level)
        torch.testing.assert_close(guided, weaker + 2.5 * (strong - weaker), rtol=1e-5, atol=1e-5)


def test_autoguidance_undoes_what_a_weaker_model_blurs() -> None:
    """Strong N(0, s²), weak N(0, r²), r > s: the guided spread is s^w r^(1−w), narrower than the strong one's."""
    s, r, w, top = 0.5, 0.7, 2.0, 60.0
    strong, weak = Gaussian(torch.zeros(1), s), Gaussian(torch.zeros(1), r)
    levels = noise_levels(LogLinear(sigma_min=1e-3, sigma_max=top), 120, "karras")
    x = torch.tensor([[1.0]], dtype=torch.float64)
    *_, last = Heun().trajectory(Autoguided(strong, weak, w), x, levels, torch.zeros_like)
    gain = (s / math.hypot(s, top)) ** w * (r / math.hypot(r, top)) ** (1 - w)
    assert float(last.x) == pytest.approx(gain, rel=1e-3)
    assert gain * top == pytest.approx(s**w * r ** (1 - w), rel=1e-3)
