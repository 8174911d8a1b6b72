"""The point data sets: their draws against their density, and their density against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from toydiff.data import AnyData, Checkerboard, Circles, Gaussians, Moons, Pinwheel, Spirals, SwissRoll
from toydiff.data.base import Data
from toydiff.data.points import Points
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.oracle import Mixture
from toydiff.schedules import Level
from toydiff.spec import kinds, summary

DEFAULTS = {kind: data() for kind, data in kinds(AnyData).items() if issubclass(data, Points)}
VARIANTS = {
    "raw roll": SwissRoll(sd=None, noise=0.8),
    "roll, noise after": SwissRoll(sd=0.5, noise=0.05, noise_units="data"),
    "roll with radius": SwissRoll(theta_min=math.pi / 2, theta_max=5 * math.pi, radius=(0.05, 1), noise=0.02, sd=None),
    "rare modes": Gaussians(modes=3, std=0.3, weights=(1, 2, 5)),
    "chessboard": Checkerboard(squares=5, size=2.0),
    "three spirals": Spirals(arms=3, turns=0.5, noise=0.1),
    "fine circles": Circles(factor=0.8, noise=0.03),
}
every_data = pytest.mark.parametrize("data", [*DEFAULTS.values(), *VARIANTS.values()], ids=[*DEFAULTS, *VARIANTS])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_mean(values: torch.Tensor, expected: float, errors: float = 4.0) -> None:
    """The mean of independent values lies within `errors` standard errors of what it should be."""
    assert abs(values.mean() - expected) < errors * values.std() / len(values) ** 0.5 + 1e-6


# ── draws, density and entropy are one distribution ──────────────────────────────────────────────────────────────────


@every_data
def test_entropy_is_the_mean_of_minus_log_prob_over_draws(data: Data) -> None:
    x = data.draw(10_000, generator(1)).x
    assert data.entropy is not None
    assert_mean(-data.log_prob(x).double(), data.entropy)


@every_data
def test_the_oracle_draws_the_same_distribution(data: Data) -> None:
    x = data.exact().draw(5000, generator(4))
    assert_mean(-data.log_prob(x).double(), float(data.entropy or math.nan))


@every_data
def test_each_label_is_the_distribution_of_its_draws(data: Data) -> None:
    """Conditional cross entropies: draws of the data against draws of the oracle, label by label."""
    x, label = data.draw(3000, generator(5))
    assert label is not None and label.dtype == torch.int64
    assert sorted(label.unique().tolist()) == list(range(len(data.label_names)))
    oracle = data.exact()
    ours = oracle.log_prob(x, Level(0.0, 1.0, 0.05), label).double()
    theirs = oracle.log_prob(oracle.draw(3000, generator(6), label), Level(0.0, 1.0, 0.05), label).double()
    assert_mean(ours - theirs, 0.0, errors=5)


@every_data
def test_labels_come_as_often_as_their_components_weigh(data: Data) -> None:
    _, label = data.draw(20_000, generator(7))
    oracle = data.exact()
    assert label is not None and oracle.labels is not None
    for k in range(len(data.label_names)):
        assert_mean((label == k).double(), float(oracle.weights[oracle.labels == k].sum()))


@every_data
def test_the_density_integrates_to_one(data: Data) -> None:
    if isinstance(data, Checkerboard):
        extent, cells = data.size / 2, 8 * data.squares  # cells that end where the squares do
    else:
        std = float(data.exact().stds)  # the trapezoid rule is exact to 1e-8 at a step of one std
        extent = float((data.draw(2000, generator()).x - data.shift).abs().max()) + 5 * std
        cells = math.ceil(2 * extent / std)
    ticks = ((torch.arange(cells, dtype=torch.float64) + 0.5) * 2 / cells - 1) * extent
    grid = torch.cartesian_prod(ticks, ticks) + data.shift
    assert float(data.log_prob(grid).exp().sum()) * (2 * extent / cells) ** 2 == pytest.approx(1, abs=1e-3)


@every_data
def test_known_constants_standardise(data: Data) -> None:
    x = data.draw(20_000, generator(2)).x
    z = ((x - data.shift) / data.scale).double()
    assert data.shift.dtype == torch.float32 and z.shape[1:] == data.shift.shape == data.shape
    for column in z.T:
        assert_mean(column, 0.0)
    assert_mean(z.square().mean(1), 1.0)


@every_data
def test_the_exact_denoiser_halves_nothing_but_noise(data: Data) -> None:
    """E|x_0 − E[x_0|x_t]|² is the least of all denoisers: below the linear one, and below sigma²."""
    x0, level = data.draw(4000, generator(3)).x, Level(0.0, 1.0, 0.3 * data.scale)
    x = x0 + float(level.sigma) * torch.randn(x0.shape, generator=generator(4))
    error = (data.exact()(x, level) - x0).square().mean()
    ratio = 1 / (1 + 0.3**2)
    assert error < (data.shift + ratio * (x - data.shift) - x0).square().mean()


# ── geometry ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_circles_against_the_closed_form() -> None:
    """Noise s around a circle R: p(r) = exp(−(r² + R²) / 2s²) I₀(rR / s²) / 2πs²."""
    x, density = 1.2 * torch.randn(200, 2, generator=generator(), dtype=torch.float64), torch.zeros(200)
    r, s = x.norm(dim=1), 0.05
    for R in (1.0, 0.5):
        scaled = torch.special.i0e(r * R / s**2)  # times exp(−rR / s²)
        density = density + torch.exp(-((r - R) ** 2) / (2 * s**2)) * scaled / (2 * math.pi * s**2) / 2
    torch.testing.assert_close(Circles(noise=s).log_prob(x).exp(), density, rtol=2e-5, atol=1e-12)


@pytest.mark.parametrize("data", [SwissRoll(noise=0.5), Moons(), Pinwheel()], ids=lambda data: data.kind)
def test_more_components_would_change_nothing(data: Pinwheel | SwissRoll | Moons) -> None:
    centre, gain, noise = data._frame
    points, _, weights = data._along(4 * data._panels)
    finer = Mixture(((points - centre) * gain).reshape(-1, 2), noise, weights.repeat(len(points)))
    x = data.draw(1000, generator()).x.double()
    torch.testing.assert_close(data.log_prob(x), finer.log_prob(x), rtol=0, atol=1e-4)
    assert data.entropy == pytest.approx(finer.entropy, abs=1e-6)


def test_the_raw_roll_is_r_equal_theta() -> None:
    x, label = SwissRoll(noise=0, sd=None).draw(3000, generator())
    r = x.double().norm(dim=1)
    torch.testing.assert_close(x.double(), r[:, None] * torch.stack([r.cos(), r.sin()], 1), rtol=0, atol=1e-4)
    assert 1.5 * math.pi < r.min() and r.max() < 4.5 * math.pi
    assert_mean(r, 3 * math.pi)  # uniform in θ
    assert label is not None
    for third in range(3):
        inside = r[label == third]
        assert (1.5 + third) * math.pi <= inside.min() + 1e-5 and inside.max() - 1e-5 <= (2.5 + third) * math.pi


def test_a_roll_with_given_radii() -> None:
    roll = SwissRoll(theta_min=math.pi / 2, theta_max=5 * math.pi, radius=(0.05, 1.0), noise=0, sd=None)
    r = roll.draw(3000, generator()).x.norm(dim=1)
    assert 0.05 <= r.min() < 0.06 and 0.99 < r.max() <= 1


@pytest.mark.parametrize("sd", [0.5, 1.0, 3.0])
def test_sd_with_the_noise_of_the_roll_and_of_the_data(sd: float) -> None:
    within, after = SwissRoll(sd=sd, noise=2.0), SwissRoll(sd=sd, noise=0.1, noise_units="data")
    assert within.scale == pytest.approx(sd, rel=1e-4)
    assert after.scale == pytest.approx(math.hypot(sd, 0.1), rel=1e-4)
    assert within.shift.abs().max() < 1e-4 * sd and after.shift.abs().max() < 1e-4 * sd


def test_moons_are_two_half_circles() -> None:
    x, label = Moons(noise=0).draw(1000, generator())
    assert label is not None
    upper, lower = x[label == 0], x[label == 1] - torch.tensor([1.0, 0.5])
    for half, sign in ((upper, 1), (lower, -1)):
        torch.testing.assert_close(half.norm(dim=1), torch.ones(len(half)))
        assert (sign * half[:, 1] >= -1e-6).all()


def test_every_dark_square_of_the_checkerboard_and_no_other() -> None:
    board = Checkerboard()
    x, label = board.draw(4000, generator())
    cell = (x + 2).floor().long()
    assert (cell.sum(1) % 2 == 0).all()
    assert board.label_names[:4] == ("a1", "c1", "b2", "d2")
    assert label is not None
    assert [board.label_names[k] for k in label] == ["abcd"[i] + str(j + 1) for i, j in cell.tolist()]
    assert board.entropy == pytest.approx(math.log(8))


# ── where the density is not known ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("noise", [0.0, 1e-4])
@pytest.mark.parametrize("data", [SwissRoll, Moons, Circles, Spirals, Pinwheel])
def test_curves_too_thin_for_a_density_say_so(data: type[SwissRoll], noise: float) -> None:
    thin = data(noise=noise)
    assert thin.entropy is None
    for ask in (thin.exact, lambda: thin.log_prob(torch.zeros(1, 2))):
        with pytest.raises(ToydiffError) as error:
            ask()
        assert f"exact:{thin.kind}@500" in error.value.hint
    z = (thin.draw(20_000, generator()).x - thin.shift) / thin.scale  # the constants are known all the same
    assert z.mean(0).abs().max() < 0.05 and z.square().mean() == pytest.approx(1, abs=0.03)


# ── the contract ─────────────────────────────────────────────────────────────────────────────────────────────────────


@every_data
def test_draws_depend_on_the_generator_alone(data: Data) -> None:
    first, again, other = (data.draw(50, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.x, again.x) and not torch.equal(first.x, other.x)
    assert first.label is not None and again.label is not None and torch.equal(first.label, again.label)
    assert first.x.dtype == torch.float32 and first.x.shape == (50, *data.shape) and first.x.isfinite().all()


def test_fixed_points_come_from_the_seed() -> None:
    data = Moons(n=100, seed=3)
    assert data.fixed().x.shape == (100, 2)
    assert torch.equal(data.fixed().x, Moons(n=100, seed=3).fixed().x)
    assert not torch.equal(data.fixed().x, Moons(n=100, seed=4).fixed().x)
    with pytest.raises(ConfigurationError, match="endless"):
        Moons().fixed()


@pytest.mark.parametrize("kind", DEFAULTS)
def test_kinds_read_from_a_table_and_describe_themselves(kind: str) -> None:
    data: Data = TypeAdapter(AnyData).validate_python({"kind": kind, "n": 10})
    assert data == DEFAULTS[kind].model_copy(update={"n": 10}) and hash(data) == hash(data)
    assert 20 < len(summary(type(data))) < 120


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (SwissRoll, {"theta_min": 5.0, "theta_max": 4.0}),
        (SwissRoll, {"radius": (-1.0, 1.0)}),
        (SwissRoll, {"noise": -0.1}),
        (Gaussians, {"weights": (1.0, 2.0)}),
        (Gaussians, {"modes": 2, "weights": (1.0, 0.0)}),
        (Checkerboard, {"squares": 1}),
        (Circles, {"factor": 1.0}),
        (Moons, {"n": 0}),
        (Spirals, {"arm": 3}),
    ],
)
def test_impossible_settings_are_refused(data: type[Data], wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        data(**wrong)
