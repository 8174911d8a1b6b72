"""The exact denoisers against independent routes: autograd, quadrature, scipy, and each other."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import scipy.stats
import torch
from torch import Tensor

from toydiff.errors import ToydiffError
from toydiff.oracle import Boxes, Empirical, ExactDenoiser, Gaussian, Lattice, Mixture
from toydiff.schedules import CLEAN, Level

LEVELS = [Level.at(4.0), Level.at(0.0), Level.at(-5.0), Level(0.5, 1.0, 3.0), Level(1.0, 0.0, 1.0)]
DENSE = [level for level in LEVELS if level.alpha > 0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def mixture(shape: tuple[int, ...] = (2,)) -> Mixture:
    stds, weights = torch.tensor([0.3, 0.1, 0.5, 0.05, 0.2]), torch.tensor([0.1, 0.4, 0.2, 0.2, 0.1])
    return Mixture(normal(5, *shape, seed=1), stds, weights, torch.tensor([0, 1, 0, 2, 1]))


def boxes() -> Boxes:
    lows = torch.tensor([[-2.0, -1.0], [0.0, 0.0], [0.0, -3.0]])
    return Boxes(lows, lows + torch.tensor([[1.0, 0.5], [0.2, 3.0], [1.0, 2.0]]), torch.tensor([1.0, 2.0, 3.0]))


def covariance() -> Tensor:
    root = normal(3, 3, seed=2)
    return root @ root.T + 0.1 * torch.eye(3)


def lattice(noise: float = 0.0) -> Lattice:
    """Two dark corners and a grey one, far enough apart that little noise is lost between them."""
    mass = torch.zeros(7, 5)
    mass[0, 0], mass[6, 4], mass[6, 3], mass[2, 0] = 1.0, 2.0, 3.0, 0.5
    return Lattice(mass, torch.tensor([-1.0, -2.0]), 0.6, noise)


ORACLES: dict[str, ExactDenoiser] = {
    "gaussian": Gaussian(normal(2, 3), 0.7),
    "covariance": Gaussian(normal(3), cov=covariance()),
    "mixture": mixture(),
    "mixture of pictures": mixture((2, 1, 3)),
    "boxes": boxes(),
    "boxes on a line": Boxes(torch.tensor([[-1.0], [2.0]]), torch.tensor([[0.0], [2.5]]), labels=torch.tensor([0, 1])),
    "lattice": lattice(),
    "blurred lattice": lattice(0.2),
    "empirical": Empirical(normal(40, 2, seed=3).float()),
}
SMOOTH = {name: oracle for name, oracle in ORACLES.items() if name != "empirical"}
every_oracle = pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)


def noised(oracle: ExactDenoiser, level: Level, n: int = 64) -> Tensor:
    x0 = oracle.draw(n, generator(5)).double()
    return level.alpha * x0 + level.sigma * torch.randn(x0.shape, generator=generator(6), dtype=torch.float64)


# ── identities that hold for every distribution ──────────────────────────────────────────────────────────────────────


@every_oracle
@pytest.mark.parametrize("level", DENSE, ids=repr)
def test_tweedie(oracle: ExactDenoiser, level: Level) -> None:
    """E[x_0 | x_t] = (x_t + sigma² ∇ log p(x_t)) / alpha, the gradient by autograd (Robbins 1956; Efron 2011)."""
    x = noised(oracle, level).requires_grad_()
    (score,) = torch.autograd.grad(oracle.log_prob(x, level).sum(), x)
    torch.testing.assert_close(oracle.score(x, level), score, rtol=1e-6, atol=1e-6)
    tweedie = (x + level.sigma**2 * score) / level.alpha
    torch.testing.assert_close(oracle(x, level), tweedie, rtol=1e-6, atol=1e-6)


@every_oracle
def test_clean_data_stay_as_they_are(oracle: ExactDenoiser) -> None:
    x = torch.randn(20, *oracle.shape, generator=generator())
    assert torch.equal(oracle(x, CLEAN), x)


@every_oracle
def test_pure_noise_gives_the_mean(oracle: ExactDenoiser) -> None:
    x = 3 * normal(20, *oracle.shape)
    level = Level(1.0, 0.0, 1.0)
    torch.testing.assert_close(oracle(x, level), oracle.mean.expand_as(x))
    torch.testing.assert_close(oracle.score(x, level), -x)
    log_normal = -(x.square() + math.log(2 * math.pi)).reshape(20, -1).sum(1) / 2
    torch.testing.assert_close(oracle.log_prob(x, level), log_normal)


@every_oracle
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("log_snr", [-60.0, -20.0, 0.0, 20.0, 40.0])
def test_finite_everywhere_with_finite_gradients(oracle: ExactDenoiser, log_snr: float, scale: float) -> None:
    x = (scale * normal(16, *oracle.shape)).requires_grad_()
    level = Level.at(log_snr)
    x0 = oracle(x, level)
    (gradient,) = torch.autograd.grad(x0.sum(), x)
    assert x0.isfinite().all() and gradient.isfinite().all()
    assert oracle.log_prob(x, level).isfinite().all() and oracle.score(x, level).isfinite().all()


@every_oracle
def test_batched_levels_equal_single_ones(oracle: ExactDenoiser) -> None:
    x = normal(len(LEVELS) + 1, *oracle.shape)
    levels = [*LEVELS, CLEAN]
    column = (-1, *[1] * len(oracle.shape))
    together = Level(*(torch.stack([getattr(v, f) for v in levels]).reshape(column) for f in ("t", "alpha", "sigma")))
    alone = torch.cat([oracle(x[i : i + 1], level) for i, level in enumerate(levels)])
    torch.testing.assert_close(oracle(x, together), alone, rtol=1e-12, atol=1e-12)


@every_oracle
def test_affine_is_a_change_of_units(oracle: ExactDenoiser) -> None:
    """y_t = alpha (x_0 − shift) / scale + sigma eps is x_t at noise scale · sigma, shifted by alpha · shift."""
    shift, scale = normal(*oracle.shape, seed=8), 2.5
    model, level = oracle.affine(shift, scale), Level.at(0.7)
    assert type(model) is type(oracle)
    x, wider = normal(30, *oracle.shape), Level(level.t, level.alpha, level.sigma * scale)
    y = (x - level.alpha * shift) / scale
    dim = math.prod(oracle.shape)
    torch.testing.assert_close(model(y, level), (oracle(x, wider) - shift) / scale, rtol=1e-6, atol=1e-6)
    expected = oracle.log_prob(x, wider) + dim * math.log(scale)
    torch.testing.assert_close(model.log_prob(y, level), expected, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(model.mean, (oracle.mean - shift) / scale, rtol=1e-6, atol=1e-6)
    assert model.rms == pytest.approx(oracle.rms / scale)


@every_oracle
def test_draws_have_the_moments_and_the_dtype(oracle: ExactDenoiser) -> None:
    x = oracle.draw(20_000, generator(1))
    assert x.dtype == torch.float32 and x.shape == (20_000, *oracle.shape)
    assert torch.equal(x, oracle.draw(20_000, generator(1)))
    error = (x.double() - oracle.mean) / oracle.rms
    assert (error.mean(0).abs() < 5 * error.std(0) / 20_000**0.5).all()
    square = error.square().flatten(1).mean(1)
    assert abs(square.mean() - 1) < 5 * square.std() / 20_000**0.5


@pytest.mark.parametrize("name", [name for name in SMOOTH if name != "mixture of pictures"])
def test_entropy_is_the_mean_of_minus_log_prob(name: str) -> None:
    oracle = SMOOTH[name]
    surprise = -oracle.log_prob(oracle.draw(20_000, generator(3))).double()
    assert abs(surprise.mean() - oracle.entropy) < 4 * surprise.std() / 20_000**0.5 + 1e-6


@every_oracle
def test_answers_come_in_the_dtype_of_x(oracle: ExactDenoiser) -> None:
    x, level = torch.randn(3, *oracle.shape, generator=generator()), Level.at(0.0)
    for answer in (oracle(x, level), oracle.log_prob(x, level), oracle.score(x, level)):
        assert answer.dtype == torch.float32
    assert oracle(x[:0], level).shape == x[:0].shape


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ToydiffError, match="shape"):
        mixture()(normal(3, 3), Level.at(0.0))


# ── Gaussians and mixtures ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("level", LEVELS, ids=repr)
def test_a_gaussian_is_a_mixture_of_one(level: Level) -> None:
    mean, x = normal(3, 1, 2), normal(10, 3, 1, 2, seed=4)
    gaussian, one = Gaussian(mean, 0.4), Mixture(mean[None], 0.4)
    torch.testing.assert_close(gaussian(x, level), one(x, level))
    torch.testing.assert_close(gaussian.log_prob(x, level), one.log_prob(x, level))
    torch.testing.assert_close(gaussian.score(x, level), one.score(x, level))


def test_covariance_against_torch_distributions() -> None:
    mean, cov, level, x = normal(3), covariance(), Level.at(1.0), normal(10, 3, seed=4)
    marginal = torch.distributions.MultivariateNormal(
        level.alpha * mean, level.alpha**2 * cov + level.sigma**2 * torch.eye(3)
    )
    gaussian = Gaussian(mean, cov=cov)
    torch.testing.assert_close(gaussian.log_prob(x, level), marginal.log_prob(x))
    assert gaussian.entropy == pytest.approx(float(torch.distributions.MultivariateNormal(mean, cov).entropy()))


@pytest.mark.parametrize("level", [CLEAN, *LEVELS], ids=repr)
def test_mixture_against_torch_distributions(level: Level) -> None:
    oracle, x = mixture(), normal(50, 2)
    scale = (level.alpha**2 * oracle.stds**2 + level.sigma**2).sqrt()[:, None].expand(-1, 2)
    marginal = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(oracle.weights),
        torch.distributions.Independent(torch.distributions.Normal(level.alpha * oracle.means, scale), 1),
    )
    torch.testing.assert_close(oracle.log_prob(x, level), marginal.log_prob(x))


def test_many_components_in_chunks_equal_one_softmax() -> None:
    """9,000 components are three chunks, 700 rows several blocks; the running maximum must not show."""
    points, x, level = normal(9000, 2), normal(700, 2, seed=1), Level.at(6.0)
    stds = 0.01 + 0.1 * torch.rand(9000, generator=generator(), dtype=torch.float64)
    v = level.alpha**2 * stds**2 + level.sigma**2
    logits = (
        -(torch.cdist(x, level.alpha * points, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / (2 * v) - v.log()
    )
    expected = (logits.softmax(1) * level.sigma**2 / v) @ points
    expected += (logits.softmax(1) * level.alpha * stds**2 / v).sum(1, keepdim=True) * x
    oracle = Mixture(points, stds)
    torch.testing.assert_close(oracle(x, level), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        oracle.log_prob(x, level), logits.logsumexp(1) - math.log(9000 * 2 * math.pi), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("dim", [1, 2])
def test_mixture_entropy_by_other_routes(dim: int) -> None:
    mean, std = torch.zeros(1, dim), 0.3
    single = dim / 2 * math.log(2 * math.pi * math.e * std**2)
    assert Mixture(mean, std).entropy == pytest.approx(single, abs=1e-7)
    apart = Mixture(torch.cat([mean, mean + 50]), std, torch.tensor([0.25, 0.75]))
    choice = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert apart.entropy == pytest.approx(single + choice, abs=1e-7)
    together = Mixture(torch.cat([mean, mean + 1.3, mean - 0.5]), torch.tensor([0.3, 0.2, 0.6]))
    ticks = torch.arange(-6, 7, 0.02, dtype=torch.float64)
    log_p = together.log_prob(torch.cartesian_prod(*[ticks] * dim).reshape(-1, dim))
    assert together.entropy == pytest.approx(-float((log_p.exp() * log_p).sum()) * 0.02**dim, abs=1e-6)


@pytest.mark.parametrize("dim", [3, 10])
def test_mixture_entropy_in_many_dimensions_is_a_mean_over_draws(dim: int) -> None:
    """Of Gaussians far apart it is known: the mean of theirs, and that of the choice between them."""
    stds, weights = torch.tensor([0.3, 0.7]), torch.tensor([0.25, 0.75])
    apart = Mixture(torch.stack([torch.zeros(dim), torch.full((dim,), 50.0)]), stds, weights)
    singles = dim / 2 * (2 * math.pi * math.e * stds.double() ** 2).log()
    known = float((weights * (singles - weights.log())).sum())
    assert 0 < apart.entropy_error < 0.04
    assert 0 < abs(apart.entropy - known) < apart.entropy_error
    assert apart.entropy == Mixture(apart.means, stds, weights).entropy  # the same draws every time


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_label_restricts_to_its_components() -> None:
    oracle, x, level = mixture(), normal(12, 2), Level.at(2.0)
    for label in range(3):
        own = oracle.labels == label
        alone = Mixture(oracle.means[own], oracle.stds[own], oracle.weights[own])
        torch.testing.assert_close(oracle(x, level, label), alone(x, level))
        torch.testing.assert_close(oracle.log_prob(x, label=label), alone.log_prob(x))
        drawn = oracle.draw(4000, generator(), label).double()
        assert (drawn.mean(0) - alone.mean).norm() < 6 * alone.rms / 4000**0.5


def test_labels_one_a_row_and_none() -> None:
    """Row 3 of an embedding of three classes is "none": the whole mixture."""
    oracle, x, level = mixture(), normal(8, 2), Level.at(2.0)
    label = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    mixed = oracle(x, level, label)
    for row in range(8):
        torch.testing.assert_close(mixed[row : row + 1], oracle(x[row : row + 1], level, int(label[row])))
    torch.testing.assert_close(mixed[3:5], oracle(x[3:5], level))
    assert torch.equal(oracle.draw(8, generator(), label), oracle.draw(8, generator(), label))


@pytest.mark.parametrize("label", [-1, 4])
def test_unknown_labels_are_refused(label: int) -> None:
    with pytest.raises(ToydiffError, match="unknown label"):
        mixture()(normal(2, 2), CLEAN, label)


def test_labels_nobody_has_are_refused() -> None:
    some = Empirical(normal(3, 2), torch.tensor([0, 0, 2]))
    assert some(normal(1, 2), Level.at(0.0), 2).isfinite().all()
    with pytest.raises(ToydiffError, match="no component"):
        some(normal(1, 2), Level.at(0.0), 1)
    with pytest.raises(ToydiffError) as error:
        some.affine(1.0, 2.0)(normal(1, 2), Level.at(0.0), 1)
    assert error.value.hint == "There are 0, 2; 3 means none."
    with pytest.raises(ToydiffError, match="2 labels for 3 points"):
        some(normal(3, 2), Level.at(0.0), torch.tensor([0, 2]))
    with pytest.raises(ToydiffError, match="no labels"):
        boxes()(normal(1, 2), Level.at(0.0), 1)


def test_classes_that_no_point_has_still_count() -> None:
    """Of 4 classes 2 are seen: "none" is 4, before and after a change of units, and is the whole set."""
    points, x, level = normal(5, 2), normal(6, 2, seed=1), Level.at(1.0)
    few = Empirical(points, torch.tensor([2, 0, 2, 0, 0]), classes=4)
    for oracle in (few, few.affine(0.0, 1.0), Mixture(points, 0.0, labels=few.labels, classes=4).affine(0.0, 1.0)):
        assert (oracle.label_count, oracle.seen) == (4, [0, 2])
        torch.testing.assert_close(oracle(x, level, 4), Empirical(points)(x, level))
        torch.testing.assert_close(oracle(x, level, 2), Empirical(points[[0, 2]])(x, level))
        for label, words in ((3, "no component has this label"), (5, "unknown label")):
            with pytest.raises(ToydiffError, match=words):
                oracle(x, level, label)


# ── a data set ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_empirical_is_the_softmax_over_its_points() -> None:
    points, x, level = normal(300, 4), normal(20, 4, seed=1), Level.at(3.0)
    weights = (-(torch.cdist(x, level.alpha * points) ** 2) / (2 * level.sigma**2)).softmax(1)
    torch.testing.assert_close(Empirical(points)(x, level), weights @ points, rtol=1e-7, atol=1e-7)


def test_empirical_goes_to_the_nearest_point() -> None:
    points = normal(300, 4)
    x = points[:50] + 1e-3 * normal(50, 4, seed=1)
    torch.testing.assert_close(Empirical(points)(x, Level(0.0, 1.0, 1e-5)), points[:50], rtol=0, atol=1e-12)


def test_float32_points_far_from_the_origin_lose_nothing() -> None:
    """Expanding |x − m|² in float32, or about the origin, would be off by thousands of nats here."""
    near = (normal(200, 3, seed=2) * 64).round() / 64
    level, x = Level(0.0, 1.0, 0.02), near[:10] + 0.02 * normal(10, 3)
    expected = Empirical(near)(x, level) + 4096
    actual = Empirical((near + 4096).float())(x + 4096, level)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-7)


def test_points_have_no_density_until_noise_is_added() -> None:
    points = Empirical(normal(5, 2))
    assert points.log_prob(points.means, Level(0.0, 1.0, 0.1)).isfinite().all()
    with pytest.raises(ToydiffError, match="no density"):
        points.log_prob(points.means)
    with pytest.raises(ToydiffError, match="no entropy"):
        _ = points.entropy


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux's /proc")
def test_sixty_thousand_pictures_take_bounded_memory() -> None:
    """Beyond the points (179 MiB as float32) and their copy in model units: chunks, and nothing of the size of both."""
    program = """
import torch
from toydiff.oracle import Empirical
from toydiff.schedules import Level
def peak():  # not getrusage, which remembers the parent's
    return next(int(line.split()[1]) / 2**10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
points = torch.empty(60_000, 1, 28, 28).uniform_(-1, 1)
before = peak()
model = Empirical(points, torch.arange(60_000) % 10).affine(torch.zeros(1, 28, 28), 0.5)
x0 = model(2 * points[:32] + 0.1, Level.at(2.0), torch.arange(32) % 10)
assert (x0 - 2 * points[:32]).abs().max() < 1e-3
print(before, peak())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = (float(word) for word in done.stdout.split())
    assert before > 179
    assert after - before < 179 + 150


# ── boxes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("level", LEVELS, ids=repr)
def test_boxes_against_quadrature_over_the_boxes(level: Level) -> None:
    oracle, x = boxes(), normal(40, 2) * 2
    ticks = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    cells = torch.cartesian_prod(ticks, ticks)
    points = torch.cat([low + (high - low) * cells for low, high in zip(oracle.lows, oracle.highs, strict=True)])
    x = x[:8]
    logits = -((x[:, None] - level.alpha * points) ** 2).sum(2) / (2 * level.sigma**2)
    logits = logits + oracle.weights.log().repeat_interleave(len(cells)) - math.log(len(cells))
    torch.testing.assert_close(oracle(x, level), logits.softmax(1) @ points, rtol=0, atol=1e-3)
    log_p = logits.logsumexp(1) - (2 * math.pi * level.sigma**2).log()
    torch.testing.assert_close(oracle.log_prob(x, level), log_p, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sigma", [3.0, 0.5, 0.1, 0.02])
def test_one_box_against_scipy_truncated_normals(sigma: float) -> None:
    x = torch.linspace(-4, 4, 41, dtype=torch.float64)[:, None] * max(sigma, 0.5)
    expected = scipy.stats.truncnorm.mean((-1 - x) / sigma, (0.5 - x) / sigma, loc=x, scale=sigma)
    box = Boxes(torch.tensor([[-1.0]]), torch.tensor([[0.5]]))
    torch.testing.assert_close(box(x, Level(0.0, 1.0, sigma)), torch.as_tensor(expected), rtol=1e-9, atol=1e-9)


def test_far_from_a_box_the_nearest_face_answers() -> None:
    """Beyond a face the posterior decays as exp(−distance · depth / sigma²), so its mean depth is sigma²/distance."""
    box = Boxes(torch.tensor([[-1.0]]), torch.tensor([[1.0]]))
    for distance, sigma in ((1.0, 1e-3), (30.0, 0.01), (1e4, 0.5)):
        x = torch.tensor([[1 + distance], [-1 - distance]], dtype=torch.float64)
        depth = sigma**2 / distance * torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        inner = box(x, Level(0.0, 1.0, sigma)) - x.sign()
        torch.testing.assert_close(inner, depth, rtol=1e-4, atol=1e-12)


def test_clean_boxes_are_flat_inside_and_empty_outside() -> None:
    oracle = boxes()
    inside, outside = torch.tensor([[-1.5, -0.75], [0.1, 2.0], [0.5, -2.0]]), torch.tensor([[9.0, 9.0], [-0.5, 0.0]])
    volumes = torch.tensor([0.5, 0.6, 2.0])
    torch.testing.assert_close(oracle.log_prob(inside), (torch.tensor([1.0, 2.0, 3.0]) / 6 / volumes).log())
    assert (oracle.log_prob(outside) == -math.inf).all()
    assert Boxes(oracle.lows, oracle.highs).entropy == pytest.approx(math.log(3.1))


def test_a_lattice_is_the_boxes_of_its_squares() -> None:
    """Two products against a sum over squares, also where the products underflow."""
    oracle = lattice()
    lows = oracle.low + oracle.side * oracle.mass.nonzero().double()
    same, x = Boxes(lows, lows + oracle.side, oracle.mass[oracle.mass > 0]), 3 * normal(50, 2)
    for level in (Level(0.0, 1.0, 1e-3), Level(0.0, 1.0, 0.03), *LEVELS):
        torch.testing.assert_close(oracle(x, level), same(x, level), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(oracle.log_prob(x, level), same.log_prob(x, level), rtol=1e-9, atol=1e-9)
    inside = same.draw(200, generator())
    torch.testing.assert_close(oracle.log_prob(inside), same.log_prob(inside))
    assert (oracle.log_prob(torch.tensor([[9.0, 9.0], [0.1, 0.1]])) == -math.inf).all()
    around = torch.tensor([[9.0, 0.7], [3.3, 0.7], [-1.1, -1.7], [-0.7, -2.1], [-0.7, 9.0]])  # beyond each of its sides
    assert (oracle.log_prob(around) == -math.inf).all()
    assert (oracle.entropy, oracle.rms) == (pytest.approx(same.entropy), pytest.approx(same.rms))


def test_noise_on_a_lattice_is_noise_before_the_noise() -> None:
    """x_0 = u + 0.3 z has the density of u at sigma = 0.3, and at any level that of u at √(sigma² + 0.3² alpha²)."""
    plain, blurred, x = lattice(), lattice(0.3), 3 * normal(50, 2)
    torch.testing.assert_close(blurred.log_prob(x), plain.log_prob(x, Level(0.0, 1.0, 0.3)))
    assert blurred.everywhere and not plain.everywhere
    for level in LEVELS:
        more = Level(level.t, level.alpha, (level.sigma**2 + 0.09 * level.alpha**2).sqrt())
        torch.testing.assert_close(blurred.log_prob(x, level), plain.log_prob(x, more), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(blurred.score(x, level), plain.score(x, more), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.2, 3.0])
def test_the_entropy_of_a_blurred_lattice(noise: float) -> None:
    """Two far squares: a coin's entropy and twice that of u + noise · z in one dimension, by a fine sum."""
    mass = torch.zeros(200, 1)
    mass[0], mass[-1] = 1.0, 3.0
    oracle = Lattice(mass, torch.zeros(2), 0.5, noise)
    edge = torch.linspace(-12 * noise, 0.5 + 12 * noise, 2_000_001, dtype=torch.float64)
    p = (torch.special.ndtr(edge / noise) - torch.special.ndtr((edge - 0.5) / noise)) / 0.5
    one = -float(torch.trapezoid(torch.xlogy(p, p), edge))
    coin = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert abs(oracle.entropy - (coin + 2 * one)) <= oracle.entropy_error + 1e-9
    assert oracle.entropy_error < 1e-6


def test_impossible_distributions_are_refused() -> None:
    corner = torch.tensor([[0.0, 0.0], [0.5, 0.5]])
    with pytest.raises(ToydiffError, match="overlap"):
        Boxes(corner, corner + 1)
    with pytest.raises(ToydiffError, match="wider"):
        Boxes(corner, corner)
    with pytest.raises(ToydiffError, match="squares wider"):
        Lattice(torch.ones(2, 2), torch.zeros(2), 0.0)
    with pytest.raises(ToydiffError, match="noise ≥ 0"):
        Lattice(torch.ones(2, 2), torch.zeros(2), 1.0, -1.0)
    with pytest.raises(ToydiffError, match="not all 0"):
        Lattice(torch.zeros(2, 2), torch.zeros(2), 1.0)
    with pytest.raises(ToydiffError, match="std or cov"):
        Gaussian(corner)
    with pytest.raises(ToydiffError, match="positive"):
        Gaussian(corner, 0.0)
    with pytest.raises(ToydiffError, match="weights"):
        Mixture(corner, 1.0, torch.tensor([1.0, -1.0]))
    with pytest.raises(ToydiffError, match="stds"):
        Mixture(corner, torch.ones(3))
    with pytest.raises(ToydiffError, match="labels"):
        Mixture(corner, 1.0, labels=torch.tensor([0]))
