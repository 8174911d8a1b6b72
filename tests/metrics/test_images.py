"""Image metrics whose result is known: Gaussian features in closed form, real data as samples, copies, a classifier."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from toydiff import checkpoint
from toydiff.data import Batch, Npz
from toydiff.errors import ToydiffError
from toydiff.metrics import classifier, points
from toydiff.metrics.floors import pair, real
from toydiff.metrics.images import MEANINGS, PIXELS, ImageMeasures
from toydiff.metrics.points import density_and_coverage, frechet_distance, kernel_distance, nearest, two_nearest


def draw(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(n: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (images, labels): a bright quarter on noise; one label in ten is wrong, so that nobody is always right."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % 4
    x = random.integers(0, 120, (n, side, side), dtype=np.uint8)
    for k in range(4):
        rows, columns = (slice(half * side // 2, (half + 1) * side // 2) for half in divmod(k, 2))
        x[label == k, rows, columns] = 230
    wrong = random.random(n) < 0.1
    return x, np.where(wrong, (label + 1) % 4, label)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 600 labelled images, half of them held out."""
    path = tmp_path_factory.mktemp("images") / "quarters.npz"
    x, label = images(600, 8, 0)
    np.savez(path, images=x, labels=label, split=np.arange(600) >= 300)
    return path


@pytest.fixture
def quarters(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npz:
    monkeypatch.setenv("TOYDIFF_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "STEPS", 40)
    return Npz(path=str(path))


def test_frechet_distance_is_that_of_gaussians_in_closed_form() -> None:
    a, b = draw(3, 3, 0), draw(3, 3, 1)
    s, t = a @ a.T, b @ b.T  # they do not commute
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    expected = 5.25 + float(s.trace() + t.trace() - 2 * np.trace(sqrtm((s @ t).numpy()).real))
    x, y = draw(200_000, 3, 2) @ a.T, draw(200_000, 3, 3) @ b.T + mean
    assert frechet_distance(x, y) == pytest.approx(expected, rel=0.01)
    assert frechet_distance(torch.zeros(9, 4), torch.ones(9, 4)) == pytest.approx(4)


def test_frechet_distance_has_its_invariances_and_a_second_route() -> None:
    x, y = draw(300, 16, 0), draw(200, 16, 1) * 2 + 1
    rotation = torch.linalg.qr(draw(16, 16, 2)).Q
    found = frechet_distance(x, y)
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(found)
    assert frechet_distance(y, x) == pytest.approx(found)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    # fewer samples than features: tr (S S′)^½ is the nuclear norm of A Bᵀ, S = AᵀA and S′ = BᵀB
    few, other = x[:10], y[:12]
    a, b = ((z - z.mean(0)) / math.sqrt(len(z) - 1) for z in (few, other))
    apart = (few.mean(0) - other.mean(0)).square().sum() + a.square().sum() + b.square().sum()
    second = float(apart - 2 * torch.linalg.matrix_norm(a @ b.T, "nuc"))
    assert frechet_distance(few, other) == pytest.approx(second, rel=1e-6)
    with pytest.raises(ToydiffError, match="no covariance"):
        frechet_distance(x[:1], y)


def test_kernel_distance_is_unbiased_and_the_sum_over_pairs() -> None:
    values = torch.tensor([kernel_distance(draw(40, 8, 2 * k), draw(60, 8, 2 * k + 1)) for k in range(400)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 20
    x, y = draw(5, 3, 0), draw(4, 3, 1) + 1

    def k(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / 3 + 1) ** 3

    pairs = [sum(k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j) for z in (x, y)]
    expected = pairs[0] / 20 + pairs[1] / 12 - 2 * sum(k(a, b) for a in x for b in y) / 20
    assert kernel_distance(x, y) == pytest.approx(expected)


def test_neighbours_are_the_same_with_a_tree_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(200, 12, 0), draw(300, 12, 1)
    with_tree = two_nearest(x, y), density_and_coverage(x, y)
    exact = (x[:, None] - y).square().sum(-1).sqrt().sort().values[:, :2]
    torch.testing.assert_close(with_tree[0], exact.double(), rtol=1e-5, atol=1e-6)
    assert two_nearest(x, y[:1])[0].tolist() == [pytest.approx(float((x[0] - y[0]).norm())), math.inf]
    monkeypatch.setattr(points, "_TREE", 0)
    monkeypatch.setattr(points, "_PAIRS", 1000)
    torch.testing.assert_close(two_nearest(x, y), with_tree[0], rtol=1e-9, atol=1e-9)
    assert two_nearest(x, y[:1])[0].tolist() == [pytest.approx(float((x[0] - y[0]).norm())), math.inf]
    assert torch.equal(nearest(x, y), two_nearest(x, y)[:, 0])
    assert density_and_coverage(x, y) == pytest.approx(with_tree[1])


def test_the_same_seed_makes_the_same_file_and_it_is_read_again(quarters: Npz, tmp_path: Path) -> None:
    said: list[str] = []
    first = classifier.kept(quarters, note=said.append, on_progress=str)
    (file,) = (tmp_path / "cache" / "classifiers").iterdir()
    content = file.read_bytes()
    assert len(said) == 1 and "training the classifier that measures images of quarters.npz, once: about" in said[0]
    assert first.accuracy == pytest.approx(0.9, abs=0.06) and first.tested == 300
    again = classifier.kept(quarters, note=said.append, on_progress=str)
    assert len(said) == 1 and again.accuracy == first.accuracy
    x = quarters.fixed().x
    assert torch.equal(again.features(x), first.features(x))
    file.unlink()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    classifier.kept(quarters.model_copy(update={"n": 50}), note=str, on_progress=str)  # of all images all the same
    assert file.read_bytes() == content
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.equal(classifier.train(quarters, 1, 2).features(x), first.features(x))


def test_a_damaged_classifier_is_named_and_made_again(
    quarters: Npz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = classifier.train(quarters, steps=2)
    monkeypatch.setattr(classifier, "train", lambda *given, **how: trained)
    classifier.kept(quarters, note=str, on_progress=str)
    (file,) = (tmp_path / "cache" / "classifiers").iterdir()
    content, kept = file.read_bytes(), checkpoint.load(file)
    made = {"key": kept.header | {"key": "another"}, "accuracy": kept.header | {"accuracy": "all"}, "shapes": {}}
    damage = {"cut": content[:-100], "text": b"hello", "empty": b""}
    damage["flipped"] = content[:999] + bytes([content[999] ^ 1]) + content[1000:]
    for name, header in made.items():
        weights = {"body": torch.ones(1)} if name == "shapes" else kept.model
        checkpoint.save(file, header=header or kept.header, model=weights, ema={}, optimizer={})
        damage[name] = file.read_bytes()
    for damaged in damage.values():
        file.write_bytes(damaged)
        said: list[str] = []
        classifier.kept(quarters, note=said.append, on_progress=str)
        assert len(said) == 1 and str(file) in said[0] and said[0].endswith("made again")
        assert file.read_bytes() == content
    # no cache is no failure, but it is said
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOYDIFF_DATA", str(tmp_path / "file"))
    classifier.kept(quarters, note=said.append, on_progress=str)
    assert "could not be kept" in said[-1]


def test_real_images_read_as_the_floor_and_class_accuracy_is_the_test_accuracy(quarters: Npz) -> None:
    measures = ImageMeasures(quarters, conditional=True)
    held = quarters.held_out(300, torch.Generator().manual_seed(0))
    one, two = Batch(held.x[:150], held.label[:150]), Batch(held.x[150:], held.label[150:])
    found = measures(one, two)
    assert set(found) == set(MEANINGS) and not measures.missing
    assert found["coverage"] > 0.8 and found["copying"] == pytest.approx(0.5, abs=0.1)
    accuracy = classifier.kept(quarters, note=str, on_progress=str).accuracy
    assert measures.quick(held, held)["class accuracy"] == pytest.approx(accuracy)
    assert f"{accuracy:.2%} of 300 held-out images" in measures.remark("FD-small")
    copied = measures(Batch(quarters.fixed().x[:150], None), two)
    assert copied["copying"] > 0.95
    noise = measures(Batch(torch.rand(150, 1, 8, 8) * 2 - 1, None), two)
    assert noise["FD-small"] > 5 * found["FD-small"] and noise["coverage"] < found["coverage"]
    assert noise["KD-small"] > 5 * abs(found["KD-small"])
    dark = measures(Batch(one.x - 0.25, None), two)
    assert dark["brightness"] == pytest.approx(0.25, abs=0.02) and dark["contrast"] < 0.02
    black = one._replace(x=one.x[one.label == 0])
    assert measures(black._replace(label=None), two)["class shares"] > 0.5


def test_images_without_labels_are_measured_in_pixels_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", images=images(100, 8, 0)[0])
    data = Npz(path=str(tmp_path / "plain.npz"))
    measures = ImageMeasures(data)
    batch = data.draw(20, torch.Generator())
    assert set(measures(batch, batch)) == set(PIXELS) == set(MEANINGS) - set(measures.missing)
    assert "the images have no labels" in measures.missing["FD-small"]


def test_pairs_of_real_draws_have_nothing_in_common_and_only_too_large_ones_hold_training_images(
    quarters: Npz, tmp_path: Path
) -> None:
    def keys(batch: Batch) -> set[bytes]:
        return {row.numpy().tobytes() for row in batch.x}

    x, label = images(600, 8, 1)
    np.savez(tmp_path / "few.npz", images=x, labels=label, split=np.arange(600) >= 450)
    data = Npz(path=str(tmp_path / "few.npz"))
    held = keys(real(data, 150, 0, "floor", 0, None))
    assert len(held) == 150
    for n, second_held in ((75, True), (120, False)):
        one, two = pair(data, n, 0, 3, None)
        assert len(keys(one)) == len(keys(two)) == n and not keys(one) & keys(two)
        assert keys(one) <= held and bool(keys(two) & held) == second_held
        assert one.label is not None and len(one.label) == n
    one, two = pair(quarters, 30, 0, 3, 2)
    assert not keys(one) & keys(two) and set(one.label.tolist()) == set(two.label.tolist()) == {2}


def test_a_mirrored_copy_is_a_copy_where_training_mirrors(quarters: Npz) -> None:
    copies = Batch(quarters.fixed().x[:150].flip(-1), None)
    found = {}
    for augment in (None, "hflip"):
        measures = ImageMeasures(quarters.model_copy(update={"augment": augment}))
        measures.prepare()
        found[augment] = measures(copies, quarters.held_out(150, torch.Generator().manual_seed(0)))["copying"]
    assert found[None] < 0.8 < 0.999 < found["hflip"]


@pytest.mark.parametrize(("side", "channels"), [(4, 1), (7, 3), (28, 1), (60, 3)])
def test_the_network_takes_images_of_every_size(side: int, channels: int) -> None:
    network = classifier.Network(channels, 5).eval()
    assert network(torch.zeros(2, channels, side, side + 1)).shape == (2, 5)


def test_shifts_move_each_image_by_two_pixels_at_most() -> None:
    x = torch.arange(36.0).reshape(1, 1, 6, 6).expand(400, 1, 6, 6)
    moved = classifier.shifted(x, torch.Generator().manual_seed(0))
    middle = moved[:, 0, 2, 2]  # 14 where nothing moves
    assert set(middle.tolist()) == {14.0 + 6 * down + right for down in range(-2, 3) for right in range(-2, 3)}
    assert torch.equal(moved[:, 0, 3, 3] - middle, torch.full((400,), 7.0))
