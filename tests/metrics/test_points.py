"""Distances between point sets against closed forms, and floors that hold their own data."""

import math

import pytest
import torch

from toydiff.data import Moons
from toydiff.errors import ToydiffError
from toydiff.metrics.floors import floor
from toydiff.metrics.points import energy_distance, sliced_w2


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
