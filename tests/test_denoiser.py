"""One decoder for every target, under every schedule; loss weights; and what minimises the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from toydiff.denoiser import TARGETS, AnyWeight, Denoiser, MinSNR, Target, Weight, input_scale, target_coefficients
from toydiff.errors import ConfigurationError
from toydiff.networks import MLP
from toydiff.oracle import Gaussian, Mixture
from toydiff.schedules import CLEAN, AnySchedule, Cosine, Flow, Level, Linear, LogLinear, Schedule
from toydiff.spec import kinds

WEIGHTS = kinds(AnyWeight)
DATA_WEIGHTS = [kind for kind, cls in WEIGHTS.items() if hasattr(cls, "on_data")]
NEEDS_ALPHA = ("eps", "score")  # where alpha = 0, these say nothing about x_0 (Lin et al. 2023)


def schedules() -> Iterator[Schedule]:
    for cls in kinds(AnySchedule).values():
        options: list[dict[str, Any]] = [{}]
        if "T" in cls.model_fields:
            options += [{"T": None}, {"T": 40, "zero_terminal_snr": True}]
        for option in options:
            yield cls(**option)  # type: ignore[misc]


def name(schedule: Schedule) -> str:
    return " ".join([schedule.kind, *(f"{k}={v}" for k, v in schedule.model_dump(exclude_defaults=True).items())])  # type: ignore[attr-defined]


SCHEDULES = list(schedules())
every_target = pytest.mark.parametrize("target", TARGETS)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=name)


class Knows(nn.Module):
    """A network that has been told x_0 and eps, and answers exactly F at whatever level it is given."""

    def __init__(self, x0: Tensor, eps: Tensor, target: str, sigma_data: float = 1.0) -> None:
        super().__init__()
        self.x0, self.eps, self.target, self.sigma_data = x0, eps, target, sigma_data
        self.saw: list[tuple[Tensor, Level]] = []

    def forward(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
        self.saw.append((x, level))
        a, b = target_coefficients(self.target, level, self.sigma_data)
        return a * self.x0 + b * self.eps


class Answers(nn.Module):
    """A network that answers f(x, level)."""

    def __init__(self, f: Callable[[Tensor, Level], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
        return self.f(x, level)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    return 0.5 * x0 + 0.2, eps


def moderate(schedule: Schedule, bound: float = 10.0, count: int = 9) -> list[Level]:
    """Return levels along a schedule whose |log-SNR| is small enough for x_0 to survive in float64."""
    noisiest, cleanest = (schedule(t).log_snr.clamp(-bound, bound) for t in (1.0, 0.0))
    return [schedule(schedule.time_of(log_snr)) for log_snr in torch.linspace(noisiest, cleanest, count)]


# ── decoding ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_of_targets_is_the_type() -> None:
    assert set(TARGETS) == set(get_args(Target))


@every_target
@every_schedule
@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
def test_every_target_decodes_x0_under_its_own_schedule(
    target: Target, schedule: Schedule, sigma_data: float, pair: tuple[Tensor, Tensor]
) -> None:
    x0, eps = pair
    network = Knows(x0, eps, target, sigma_data)
    denoiser = Denoiser(network, target, schedule, sigma_data)
    for level in moderate(schedule):
        x = level.alpha * x0 + level.sigma * eps
        torch.testing.assert_close(denoiser(x, level), x0, rtol=0, atol=1e-12)
        saw, at = network.saw.pop()
        assert at == level  # its own level is not moved, not even by rounding
        torch.testing.assert_close(saw, x / torch.hypot(level.alpha * sigma_data, level.sigma), rtol=1e-14, atol=0)


@every_target
@every_schedule
def test_every_target_decodes_x0_under_every_foreign_schedule(
    target: Target, schedule: Schedule, pair: tuple[Tensor, Tensor]
) -> None:
    x0, eps = pair
    network = Knows(x0, eps, target)
    denoiser = Denoiser(network, target, schedule, normalize_input=False)
    for foreign in SCHEDULES:
        for level in moderate(foreign, 8.0, 4):
            x = level.alpha * x0 + level.sigma * eps
            torch.testing.assert_close(denoiser(x, level), x0, rtol=0, atol=1e-12)
            saw, own = network.saw.pop()
            assert own.log_snr == pytest.approx(float(level.log_snr), abs=1e-12)
            torch.testing.assert_close(saw, own.alpha * x0 + own.sigma * eps, rtol=0, atol=1e-12 * float(own.scale))
            assert own.t == schedule.time_of(level.log_snr) or own == level
            if schedule(0.0).log_snr >= level.log_snr >= schedule(1.0).log_snr:  # a level the schedule has
                torch.testing.assert_close(own.alpha, schedule(own.t).alpha, rtol=1e-4, atol=1e-12)
                torch.testing.assert_close(own.sigma, schedule(own.t).sigma, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in NEEDS_ALPHA])
@every_schedule
def test_pure_noise_is_decoded_too(target: Target, schedule: Schedule, pair: tuple[Tensor, Tensor]) -> None:
    """At alpha = 0, x_t is eps alone, and F still tells x_0."""
    x0, eps = pair
    if schedule(1.0).alpha > 0:
        return
    network = Knows(x0, eps, target)
    denoiser = Denoiser(network, target, schedule)
    for pure_noise in (schedule(1.0), Level(1.0, 0.0, 1.0), Level(math.nan, 0.0, 3.0), Flow()(1.0)):
        x = pure_noise.sigma * eps
        torch.testing.assert_close(denoiser(x, pure_noise), x0, rtol=0, atol=1e-12)
        assert network.saw.pop()[1].alpha == 0


@every_target
@every_schedule
def test_beyond_its_noisiest_level_a_model_answers_with_that_level(target: Target, schedule: Schedule) -> None:
    if schedule(1.0).alpha == 0:
        return
    denoiser = Denoiser(network := Knows(torch.zeros(1), torch.zeros(1), target), target, schedule)
    x0 = denoiser(torch.ones(4, 2), Flow()(1.0))
    assert network.saw.pop()[1] == schedule(1.0)
    assert x0.isfinite().all()


@every_schedule
def test_any_level_is_legal(schedule: Schedule, pair: tuple[Tensor, Tensor]) -> None:
    """Time is only a label: `Level.at` need not have one, and the scale is free."""
    x0, eps = pair
    denoiser = Denoiser(Knows(x0, eps, "v"), "v", schedule)
    for level in (Level.at(1.5), Level.at(-3.0, scale=7.0), Level(12.0, 0.3, 0.2), Level(-1.0, 2.0, 5.0)):
        x = level.alpha * x0 + level.sigma * eps
        torch.testing.assert_close(denoiser(x, level), x0, rtol=0, atol=1e-12)


@every_target
@every_schedule
def test_clean_data_come_back_as_they_are(target: Target, schedule: Schedule) -> None:
    network = Knows(torch.zeros(1), torch.zeros(1), target)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Denoiser(network, target, schedule)(x, CLEAN), x)
    assert not network.saw  # the network has nothing to say about it


@every_target
def test_a_batch_of_levels_is_its_rows(target: Target, pair: tuple[Tensor, Tensor]) -> None:
    x0, eps = pair
    denoiser = Denoiser(Answers(lambda x, level: x.sin() + level.sigma), target, Linear(T=None))
    for schedule in (Linear(T=None), Flow()):
        t = torch.linspace(0.1, 0.9, len(x0), dtype=torch.float64)[:, None]
        level = schedule(t)
        x = level.alpha * x0 + level.sigma * eps
        rows = [denoiser(x[i : i + 1], schedule(float(t[i]))) for i in range(len(x))]
        torch.testing.assert_close(denoiser(x, level), torch.cat(rows), rtol=1e-12, atol=1e-12)


def test_a_denoiser_without_a_schedule_takes_every_level_as_it_comes(pair: tuple[Tensor, Tensor]) -> None:
    x0, eps = pair
    denoiser = Denoiser(network := Knows(x0, eps, "v"), "v")
    level = Level(math.nan, 2.0, 5.0)
    torch.testing.assert_close(denoiser(2 * x0 + 5 * eps, level), x0, rtol=0, atol=1e-13)
    assert network.saw.pop()[1] is level


def test_the_network_sees_inputs_of_unit_size() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 40_000, 1, generator=generator)
    for level in moderate(LogLinear()):
        x = level.alpha * 0.3 * x0 + level.sigma * eps
        scaled, raw = (Knows(x0, eps, "edm", 0.3) for _ in range(2))
        Denoiser(scaled, "edm", LogLinear(), sigma_data=0.3)(x, level)
        Denoiser(raw, "edm", LogLinear(), sigma_data=0.3, normalize_input=False)(x, level)
        assert scaled.saw.pop()[0].std() == pytest.approx(1, abs=0.03)
        assert torch.equal(raw.saw.pop()[0], x)


def test_float32_stays_float32(pair: tuple[Tensor, Tensor]) -> None:
    x0, eps = (value.float() for value in pair)
    denoiser = Denoiser(Answers(lambda x, level: x), "v", Linear())
    for level in (Linear()(0.5), Flow()(0.5), Linear()(torch.full((5, 1), 0.5)), Flow()(torch.full((5, 1), 0.5))):
        assert denoiser(x0, level).dtype == torch.float32
    assert denoiser.loss(x0, Linear()(torch.full((5, 1), 0.5)), eps).dtype == torch.float32


def test_model_units_and_data_units() -> None:
    denoiser = Denoiser(nn.Identity(), shift=torch.tensor([1.0, -2.0]), scale=4.0)
    x = torch.tensor([[1.0, -2.0], [5.0, 2.0]])
    assert torch.equal(denoiser.to_model(x), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    assert torch.equal(denoiser.to_data(denoiser.to_model(x)), x)
    assert {"shift", "scale"} <= denoiser.state_dict().keys()  # they live in the checkpoint


def test_mistakes_are_told_with_a_hint() -> None:
    with pytest.raises(ConfigurationError, match="velocity") as error:
        Denoiser(nn.Identity(), "velocity")  # type: ignore[arg-type]
    assert "x0" in error.value.hint
    unconditional = Denoiser(Answers(lambda x, level: x), "v", Linear())
    with pytest.raises(ConfigurationError, match="no labels"):
        unconditional(torch.zeros(2, 2), Linear()(0.5), torch.tensor([0, 1]))


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def weigh(weight: Weight, target: str, level: Level, sigma_data: float = 1.0) -> Tensor:
    return weight(level, *target_coefficients(target, level, sigma_data), sigma_data)


def make(kind: str, **options: Any) -> Weight:
    return WEIGHTS[kind](**options)  # type: ignore[return-value]


LEVELS = Level.at(torch.linspace(-9, 9, 37, dtype=torch.float64), torch.linspace(0.5, 4, 37, dtype=torch.float64))


@pytest.mark.parametrize("gamma", [0.5, 5.0, 1e6])
def test_min_snr_on_eps_and_v_is_the_papers(gamma: float) -> None:
    """Hang et al. 2023: min(SNR, γ)/SNR for eps, min(SNR, γ)/(SNR + 1) for v, min(SNR, γ) for x_0."""
    snr = (LEVELS.alpha / LEVELS.sigma) ** 2
    least = torch.minimum(snr, torch.tensor(gamma, dtype=torch.float64))
    weight = MinSNR(gamma=gamma)
    torch.testing.assert_close(weigh(weight, "eps", LEVELS), least / snr, rtol=1e-12, atol=0)
    torch.testing.assert_close(weigh(weight, "v", LEVELS), least / (snr + 1), rtol=1e-12, atol=0)
    torch.testing.assert_close(weigh(weight, "x0", LEVELS), least, rtol=1e-12, atol=0)


@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
def test_weights_that_are_one_on_their_own_target(sigma_data: float) -> None:
    one = torch.ones_like(LEVELS.sigma)
    torch.testing.assert_close(weigh(make("edm"), "edm", LEVELS, sigma_data), one, rtol=1e-12, atol=0)
    torch.testing.assert_close(weigh(make("snr"), "eps", LEVELS, sigma_data), one, rtol=1e-12, atol=0)
    assert torch.equal(weigh(make("uniform"), "v", LEVELS, sigma_data), one)


def test_edm_weight_is_the_published_lambda() -> None:
    """Karras et al. 2022, table 1: λ = (σ² + σ_d²)/(σ σ_d)² on |x̂_0 − x_0|²."""
    level = LogLinear()(torch.linspace(0, 1, 9, dtype=torch.float64))
    expected = (level.sigma**2 + 0.25) / (level.sigma * 0.5) ** 2
    torch.testing.assert_close(weigh(make("edm"), "x0", level, 0.5), expected, rtol=1e-12, atol=0)


def test_inverse_sigma2() -> None:
    expected = 1 / (LEVELS.sigma**2 + 0.01)
    torch.testing.assert_close(weigh(make("inverse_sigma2", floor=0.01), "eps", LEVELS), expected, rtol=1e-14, atol=0)


@every_target
@pytest.mark.parametrize("kind", DATA_WEIGHTS)
@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
def test_a_weight_on_the_data_means_the_same_in_every_target(target: Target, kind: str, sigma_data: float) -> None:
    """Two outputs that differ by δ decode to x̂_0 that differ by Δ: w |δ|² must be on_data |Δ|² in every target."""
    weight = make(kind)
    x, F, delta = torch.randn(3, 37, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = LEVELS[:, None]  # type: ignore[index]
    denoiser = Denoiser(nn.Identity(), target, sigma_data=sigma_data)
    moved = denoiser.decode(x, level, F + delta) - denoiser.decode(x, level, F)
    on_target = weigh(weight, target, level, sigma_data) * delta.square()
    on_data = weight.on_data(level, sigma_data) * moved.square()  # type: ignore[attr-defined]
    torch.testing.assert_close(on_target, on_data, rtol=1e-9, atol=0)


@every_target
@pytest.mark.parametrize("kind", WEIGHTS)
def test_every_weight_is_positive_and_finite_where_there_is_signal(target: Target, kind: str) -> None:
    for schedule in SCHEDULES:
        level = schedule(torch.linspace(0.01, 0.99, 99, dtype=torch.float64))
        w = weigh(make(kind), target, level)
        assert w.shape == level.sigma.shape and (w > 0).all() and w.isfinite().all()


# ── the loss ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_target
@pytest.mark.parametrize("kind", WEIGHTS)
def test_the_loss_is_the_weighted_mean_square_a_sample(target: Target, kind: str) -> None:
    x0, eps = torch.randn(2, 6, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = Flow()(torch.linspace(0.1, 0.9, 6, dtype=torch.float64).reshape(6, 1, 1, 1))
    weight = make(kind)
    denoiser = Denoiser(Answers(lambda x, level: x.cos()), target, Flow(), sigma_data=0.5)
    alpha, sigma = level.alpha, level.sigma
    F = {  # each target as its paper writes it
        "eps": eps,
        "x0": x0,
        "v": (alpha * eps - sigma * x0) / (alpha**2 + sigma**2).sqrt(),
        "score": -eps,
        "flow": eps - x0,
        "edm": (x0 - 0.25 * alpha / (0.25 * alpha**2 + sigma**2) * (alpha * x0 + sigma * eps))
        * ((0.25 * alpha**2 + sigma**2).sqrt() / (0.5 * sigma)),  # (D − c_skip x)/c_out, in x/alpha and sigma/alpha
    }[target]
    x = (alpha * x0 + sigma * eps) / (0.25 * alpha**2 + sigma**2).sqrt()
    expected = weigh(weight, target, level, 0.5).flatten() * (x.cos() - F).square().mean((1, 2, 3))
    torch.testing.assert_close(denoiser.loss(x0, level, eps, weight=weight), expected, rtol=1e-11, atol=0)


def exact_target(oracle: Gaussian | Mixture, target: str, x: Tensor, level: Level) -> Tensor:
    """Return F* = a E[x_0 | x_t] + b E[eps | x_t], the best answer there is."""
    x0 = oracle(x, level)
    a, b = target_coefficients(target, level)
    return a * x0 + b * (x - level.alpha * x0) / level.sigma


def quadrature() -> tuple[Tensor, Tensor]:
    """Return nodes and weights of the trapezoid rule for N(0, 1), which for smooth functions is exact to rounding."""
    z = torch.arange(-8.5, 8.51, 0.25, dtype=torch.float64)
    w = (-z.square() / 2).exp()
    return z, w / w.sum()


def lattice(x0: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Return all pairs, (N · M, 1) each."""
    return x0.repeat_interleave(len(eps))[:, None], eps.repeat(len(x0))[:, None]


MIXTURE = Mixture(torch.tensor([[-1.0], [0.4]]).double(), torch.tensor([0.3, 0.6]).double(), torch.tensor([0.4, 0.6]))


@every_target
@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("t", [0.2, 0.7, 1.0])
def test_the_exact_denoiser_minimises_the_loss(target: Target, kind: str, t: float) -> None:
    """The expected loss is a sum over a lattice of (x_0, eps): at F* + h·δ(x_t) it is floor + h² E w δ²."""
    level = Cosine(T=None)(t)
    if level.alpha == 0 and target in NEEDS_ALPHA:
        return
    z, w = quadrature()
    x0 = torch.cat([mean + std * z for mean, std in zip(MIXTURE.means, MIXTURE.stds, strict=True)])
    p = (torch.cat([share * w for share in MIXTURE.weights])[:, None] * w).flatten()
    x0, eps = lattice(x0, z)
    weight = make(kind)
    w_level = float(weigh(weight, target, level))
    if not 0 < w_level < math.inf:  # SNR = 0 there
        assert level.alpha == 0
        return
    levels = Level(*(value.expand(len(x0), 1) for value in (level.t, level.alpha, level.sigma)))

    def expected_loss(h: float, delta: Callable[[Tensor], Tensor]) -> float:
        network = Answers(lambda x, level: exact_target(MIXTURE, target, x, levels) + h * delta(x))
        denoiser = Denoiser(network, target, Cosine(T=None), normalize_input=False)
        return float(p @ denoiser.loss(x0, levels, eps, weight=weight))

    floor = expected_loss(0, torch.sin)
    for delta in (torch.ones_like, torch.sin, lambda x: (3 * x).cos()):
        x = level.alpha * x0 + level.sigma * eps
        rise = w_level * float(p @ delta(x).flatten().square())
        up, down = expected_loss(0.1, delta), expected_loss(-0.1, delta)
        assert min(up, down) > floor
        assert (up - down) / 0.2 == pytest.approx(0, abs=1e-9 * max(1, w_level))  # the gradient is zero
        assert (up + down) / 2 - floor == pytest.approx(0.01 * rise, rel=1e-7)


def test_what_the_score_network_learns_is_sigma_times_the_score() -> None:
    """E[F | x_t] = sigma ∇ log p(x_t), sign included."""
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)[:, None]
    for level in moderate(Linear(T=None)):
        expected = level.sigma * MIXTURE.score(x, level)
        torch.testing.assert_close(exact_target(MIXTURE, "score", x, level), expected, rtol=1e-8, atol=1e-8)


@every_target
def test_on_gaussian_data_the_floor_of_the_loss_is_a_formula(target: Target) -> None:
    """x_0 ~ N(0, s²): E|F* − F|² = (alpha b − sigma a)² s² / (alpha² s² + sigma²), the variance of F given x_t."""
    s, (z, w), gaussian = 0.5, quadrature(), Gaussian(torch.zeros(1), 0.5)
    p = (w[:, None] * w).flatten()
    x0, eps = lattice(s * z, z)
    for level in moderate(Linear(T=None)):
        levels = Level(*(value.expand(len(x0), 1) for value in (level.t, level.alpha, level.sigma)))
        network = Answers(lambda x, level: exact_target(gaussian, target, x, level))
        denoiser = Denoiser(network, target, Linear(T=None), normalize_input=False)
        a, b = target_coefficients(target, level)
        floor = (level.alpha * b - level.sigma * a) ** 2 * s**2 / input_scale(level, s) ** 2
        assert float(p @ denoiser.loss(x0, levels, eps)) == pytest.approx(float(floor), rel=1e-10)


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_labels_that_do_not_exist_are_refused() -> None:
    denoiser = Denoiser(MLP(widths=(8,)).build((2,), classes=3), target="flow", schedule=Flow())
    x = torch.zeros(2, 2)
    assert denoiser(x, Flow()(0.5), torch.tensor([0, 3])).shape == x.shape  # 3 means none
    for label in (4, -1):
        for level in (Flow()(0.5), CLEAN):
            with pytest.raises(ConfigurationError, match="no such label") as error:
                denoiser(x, level, torch.tensor([0, label]))
            assert error.value.hint == "Labels are 0 … 2; 3 means none."
