"""FID by a network that the user supplies: images as they are saved, its name, its floor, and its distance."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from toydiff.data import Batch, Data, Npz, Shapes
from toydiff.evaluation import floors_of
from toydiff.metrics import inception
from toydiff.metrics.images import ImageMeasures
from toydiff.metrics.inception import Inception, WithInception
from toydiff.metrics.points import frechet_distance
from toydiff.metrics.program import read_program
from toydiff.metrics.scores import remark

from .. import scripted


def cross(spread: Tensor, d: int, seed: int) -> Tensor:
    """Return 2k points ± √((2k − 1)/2 s_i) e_i on k of d axes: their mean is 0 and their covariance is diagonal, s."""
    k = len(spread)
    axes = torch.randperm(d, generator=torch.Generator().manual_seed(seed))[:k]
    points = torch.zeros(k, d, dtype=torch.float64)
    points[torch.arange(k), axes] = (spread * (2 * k - 1) / 2).sqrt()
    return torch.cat([points, -points])


def test_frechet_distance_of_fewer_samples_than_features_is_that_in_closed_form() -> None:
    d, mean = 2048, torch.linspace(-1, 1, 2048, dtype=torch.float64)
    s, t = (torch.logspace(low, 2, 100, dtype=torch.float64) for low in (-6, -3))
    x, y = cross(s, d, 0), cross(t, d, 1)
    diagonals = [z.var(0) for z in (x, y)]
    assert diagonals[0].sum() == pytest.approx(float(s.sum())) and bool((diagonals[0] * diagonals[1] > 0).any())
    expected = float(mean.square().sum() + (diagonals[0].sqrt() - diagonals[1].sqrt()).square().sum())
    assert frechet_distance(x + mean, y) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(x + mean, x) == pytest.approx(float(mean.square().sum()), rel=1e-12)


@pytest.mark.parametrize(("n", "m", "rel"), [(300, 200, 1e-10), (300, 9, 1e-5)])
def test_frechet_distance_is_that_of_a_matrix_root_of_the_product(n: int, m: int, rel: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(24, 24, generator=generator, dtype=torch.float64)
    x = torch.randn(n, 24, generator=generator, dtype=torch.float64) @ mix
    y = torch.randn(m, 24, generator=generator, dtype=torch.float64) + 1
    s, t = np.cov(x.numpy().T), np.cov(y.numpy().T)
    # where one is singular, so is their product: a little more of t, as is usual, gives it a root, and a small error
    root = np.trace(sqrtm(s @ (t + (m < 24) * 1e-14 * np.eye(24)))).real
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace(s) + np.trace(t) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=rel)


def made(folder: Path, width: int, name: str = "sees.pt", data: Data | None = None) -> Inception:
    path = folder / name
    path.write_bytes(scripted.program(scripted.Sees(width)))
    return Inception(read_program(path), data or Shapes())


def grey(folder: Path, n: int = 200) -> Npz:
    np.savez(folder / "grey.npz", images=np.random.default_rng(0).integers(0, 256, (n, 8, 8), dtype=np.uint8))
    return Npz(path=str(folder / "grey.npz"))


def test_images_go_in_as_they_are_saved_and_grey_ones_in_three_channels(tmp_path: Path) -> None:
    network = made(tmp_path, 6)
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    x = levels / 127.5 - 1
    assert torch.equal(network.levels(x), levels.expand(1, 3, 16, 16))
    assert torch.equal(network.levels(x + 0.4 / 127.5), network.levels(x))
    assert network.levels(torch.tensor([-7.0, 7.0]).reshape(1, 1, 1, 2)).unique().tolist() == [0, 255]
    expected = scripted.Sees(6)(levels.expand(1, 3, 16, 16), return_features=True).double()
    assert torch.allclose(network.features(x), expected)


def test_features_that_are_remembered_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = made(tmp_path, 6)
    x = torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first = network.features(x[:5], keep=True)
    seen: list[int] = []
    look = network._seen
    monkeypatch.setattr(network, "_seen", lambda levels: seen.append(len(levels)) or look(levels))
    again = network.features(torch.cat([x[3:], x[8:], x[:1]]))
    assert seen == [4]  # 5, 6, 7 and 8, once
    assert torch.allclose(again[:2], first[3:]) and torch.equal(again[-1], first[0]) and torch.equal(again[5], again[6])
    monkeypatch.setattr(inception, "KEPT", 7)
    network.features(x[5:], keep=True)  # would be 9
    network.features(x[5:])
    assert seen == [4, 4, 4]


def test_it_is_called_fid_only_where_it_has_as_many_features(tmp_path: Path) -> None:
    for width, file, name in ((2048, "b.pt", "FID"), (64, "b.pt", "FD (b.pt)"), (64, "x" * 99, f"FD ({'x' * 15}…)")):
        assert made(tmp_path, width, file).name == name
    network = made(tmp_path, 2048)
    digest = sha256((tmp_path / "sees.pt").read_bytes()).hexdigest()
    assert network.digest == digest and digest[:12] in network.origin and "not the file" in network.origin
    network.digest = inception.FIELD
    assert network.origin.endswith(", the file of the literature")


def test_its_distance_stands_beside_the_others_with_a_floor_of_its_own(tmp_path: Path) -> None:
    data = grey(tmp_path)
    network, other = made(tmp_path, 2048, "a.pt", data), made(tmp_path, 2048, "b.pt", data)
    plain, measures = ImageMeasures(data), WithInception(ImageMeasures(data), network, 40)
    assert list(measures.meanings) == [*plain.meanings, "FID"] and measures.missing == plain.missing
    held, drawn = data.held_out(20, torch.Generator()), data.draw(40, torch.Generator())
    x = [scripted.Sees(2048)(network.levels(z.x), return_features=True) for z in (drawn, held)]
    assert measures(drawn, held) == plain(drawn, held) | {"FID": pytest.approx(frechet_distance(*x))}
    assert measures.quick(drawn, held) == plain.quick(drawn, held)
    assert "of 40 samples" in measures.remark("FID") and "50,000" in measures.remark("FID")
    assert not remark("FID", [1.0], 40) and measures.remark("brightness") == ""
    dark = Batch(drawn.x - 0.5, None)
    floor = floors_of(measures, data, 10, 0, 2, None, tmp_path / "floors", str)["FID"]
    assert 0 < floor.mean < measures(dark, held)["FID"] and floor.sd > 0
    other.digest = "another"
    floors_of(WithInception(ImageMeasures(data), other, 40), data, 10, 0, 2, None, tmp_path / "floors", str)
    assert len(kept := list((tmp_path / "floors").iterdir())) == 2
    assert all("FID" in json.loads(path.read_text()) for path in kept)
