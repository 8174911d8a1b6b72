"""Distances between point sets against closed forms, and floors that hold their own data."""

import itertools
import math

import pytest
import torch
from scipy.stats import kstest, mannwhitneyu

from toydiff.data import GaussianMixture, Gaussians, Moons
from toydiff.errors import ToydiffError
from toydiff.metrics import points
from toydiff.metrics.floors import floor
from toydiff.metrics.planar import PointMeasures
from toydiff.metrics.points import (
    copying,
    density_and_coverage,
    energy_distance,
    exact_w2,
    kernel_distance,
    mann_whitney,
    mmd2,
    nearest,
    sliced_w2,
)
from toydiff.metrics.scores import copying_p


def draw(n, seed, shape=2):
    return torch.randn(n, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_sliced_w2_of_a_shift():
    x = draw(1000, 0)
    # W2² of a projection is (shift · direction)², whose mean over directions in the plane is |shift|²/2
    assert sliced_w2(x, x + torch.tensor([3.0, 4.0])) == pytest.approx(5 / math.sqrt(2), rel=0.03)
    assert sliced_w2(x, x[torch.randperm(1000)]) < 1e-12


def test_sliced_w2_of_two_gaussians():
    # N(0, 1) and N(0, 4) have W2 = |1 − 2| in every direction
    assert sliced_w2(draw(20_000, 0), 2 * draw(20_000, 1)) == pytest.approx(1, abs=0.02)


def test_energy_distance_on_a_line():
    # 2 E|X − Y| − E|X − X′| − E|Y − Y′| of N(0, 1) and N(2, 1): E|N(m, 2)| in closed form
    def folded(m):
        s = math.sqrt(2)
        return s * math.sqrt(2 / math.pi) * math.exp(-((m / s) ** 2) / 2) + m * math.erf(m / s / math.sqrt(2))

    expected = 2 * folded(2) - 2 * folded(0)
    assert energy_distance(draw(8000, 0, 1), draw(8000, 1, 1) + 2) == pytest.approx(expected, rel=0.03)


def test_energy_distance_is_unbiased():
    values = torch.tensor([energy_distance(draw(100, 2 * k), draw(100, 2 * k + 1)) for k in range(400)])
    assert abs(values.mean()) < 3 * values.std() / 20


def test_floor_holds_real_data_and_not_others():
    data = Moons()
    base = floor(sliced_w2, data, 500)
    real = [data.draw(500, torch.Generator().manual_seed(k)).x for k in (900, 901)]
    assert abs(base.z(sliced_w2(*real))) < 3
    assert base.z(sliced_w2(real[0], real[1] * 1.5)) > 5


def test_unequal_sizes_are_refused():
    with pytest.raises(ToydiffError, match="3 and 4"):
        sliced_w2(draw(3, 0), draw(4, 0))


def test_exact_w2_of_few_points_by_all_pairings():
    x, y = draw(6, 0), draw(6, 1)
    best = min(float((x - y[list(order)]).square().sum(1).mean()) for order in itertools.permutations(range(6)))
    assert exact_w2(x, y) == pytest.approx(best**0.5)


def test_exact_w2_of_gaussians():
    # N(0, I) and N(0, 9 I) in the plane: √2 · |1 − 3|; a shift of all points is its own length
    assert exact_w2(draw(600, 0), 3 * draw(600, 1)) == pytest.approx(2 * math.sqrt(2), rel=0.05)
    assert exact_w2(draw(300, 0), draw(300, 0) + torch.tensor([3.0, 4.0])) == pytest.approx(5)
    with pytest.raises(ToydiffError, match="3 and 4"):
        exact_w2(draw(3, 0), draw(4, 0))


def test_mmd2_is_unbiased_and_of_gaussians_in_closed_form():
    values = torch.tensor([mmd2(draw(60, 2 * k), draw(60, 2 * k + 1), 1.0) for k in range(300)])
    assert abs(values.mean()) < 3 * values.std() / 300**0.5 and (values < 0).any()

    def similarity(m):  # E k(x, y) for x − y ~ N(m, 2)
        widths = [(2.0 / 2**k) ** 2 for k in range(5)]
        return sum(math.sqrt(w / (w + 2)) * math.exp(-(m**2) / (2 * (w + 2))) for w in widths) / 5

    found = mmd2(draw(2000, 0, 1), draw(2000, 1, 1) + 1.5, 1.0)
    assert found == pytest.approx(2 * similarity(0) - 2 * similarity(1.5), rel=0.05)


def test_blocks_of_pairs_make_no_difference(monkeypatch):
    x, y = draw(37, 0), draw(23, 1)
    whole = energy_distance(x, y), mmd2(x, y, 0.7)
    wide = draw(37, 2, 20), draw(23, 3, 20)  # of more coordinates than a tree is for
    held, kernel = density_and_coverage(*wide), kernel_distance(*wide)
    monkeypatch.setattr(points, "_PAIRS", 100)
    assert (energy_distance(x, y), mmd2(x, y, 0.7)) == pytest.approx(whole)
    assert density_and_coverage(*wide) == pytest.approx(held) and kernel_distance(*wide) == pytest.approx(kernel)


def test_density_and_coverage_by_their_definition():
    x, y, k = draw(60, 0), draw(40, 1), 5
    radius = torch.cdist(y, y).sort(1).values[:, k]
    inside = torch.cdist(y, x) <= radius[:, None]
    density, coverage = density_and_coverage(x, y)
    assert density == pytest.approx(float(inside.sum()) / (k * 60))
    assert coverage == pytest.approx(float(inside.any(1).double().mean()))
    assert density_and_coverage(x + 100, y) == (0, 0)
    assert density_and_coverage(y, y)[1] == 1


def test_mann_whitney_is_scipys_and_its_p_uniform_where_nothing_is_copied():
    a, b = draw(50, 0, 1).flatten().round(decimals=1), draw(80, 1, 1).flatten().round(decimals=1)  # with ties
    assert mann_whitney(a, b) == pytest.approx(1 - float(mannwhitneyu(a, b).statistic) / (50 * 80))
    training, p = draw(100, 0), []
    for k in range(1, 401):
        closest = [nearest(draw(100, 2 * k + j), training) for j in (0, 1)]
        p.append(copying_p([mann_whitney(*closest)], 100))
    assert kstest(p, "uniform").pvalue > 0.01


def test_held_out_points_that_are_in_the_training_set_too_are_as_near_as_copies():
    """Copies that rounding sets apart tie with held-out points that are there twice: neither is the nearer."""
    training, fresh = draw(200, 0), draw(300, 1)
    twice = torch.cat([training[:150], fresh[:150]])  # half of the held-out points are in the training set
    rounded = training[50:].repeat(2, 1) * (1 + 1e-7)
    assert copying(rounded, twice, training) == pytest.approx(0.75)
    assert copying(rounded, fresh, training) == 1
    again = torch.cat([training[100:], draw(100, 2)])  # half of these samples, as is right
    assert copying(again, twice, training) == pytest.approx(0.5, abs=0.05)


def test_what_the_density_says_is_measured_in_three_dimensions() -> None:
    data = GaussianMixture(means=((0.0,) * 3, (3.0,) * 3), std=0.2)
    measures = PointMeasures(data, conditional=True)
    x, y = (data.draw(400, torch.Generator().manual_seed(k)) for k in (0, 1))
    assert set(measures.missing) == {"outside", "copying"}
    found = measures(x, y)
    assert found["label agreement"] == 1 and found["mode weights"] < 0.1
    assert 0 < abs(found["NLL − H"]) < 4 * (1.5 / 400) ** 0.5  # −log p of a Gaussian varies by D/2


@pytest.mark.parametrize(("n", "held_out"), [(60, 60), (40, 100)])
def test_its_p_allows_for_held_out_data_that_come_again_in_every_draw(n: int, held_out: int) -> None:
    training, p, naive = draw(100, 0), [], []
    for k in range(1, 301):
        kept, generator = draw(held_out, 10_000 + k), torch.Generator().manual_seed(k)
        shares = []
        for j in range(5):
            beside = kept[torch.randperm(held_out, generator=generator)[:n]]
            shares.append(mann_whitney(nearest(draw(n, 5 * k + j), training), nearest(beside, training)))
        p.append(copying_p(shares, n, held_out))
        naive.append(copying_p(shares, n))
    assert kstest(p, "uniform").pvalue > 0.01 > kstest(naive, "uniform").pvalue
    assert copying_p(shares, n, 10**9) == pytest.approx(copying_p(shares, n))


def test_modes_are_weighed_by_the_exact_posterior():
    data, wrong = Gaussians(), Gaussians(weights=(4, 1, 1, 1, 1, 1, 1, 1e-12))
    samples = wrong.draw(1000, torch.Generator().manual_seed(0))
    found = PointMeasures(data, conditional=True)(samples, data.draw(1000, torch.Generator().manual_seed(1)))
    assert found["mode weights"] == pytest.approx(4 / 10 - 1 / 8, abs=0.05)  # the others lack what the first has
    assert found["rarest mode"] == pytest.approx(0, abs=0.01)
    assert found["label agreement"] > 0.99
    turned = samples._replace(label=(samples.label + 1) % 8)
    assert PointMeasures(data, conditional=True)(turned, samples)["label agreement"] < 0.01
