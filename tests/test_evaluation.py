"""Evaluations whose result is known: exact models, models known to be wrong by so much, models that copy."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from toydiff import evaluation
from toydiff.cli.scores import as_dict
from toydiff.config import Run
from toydiff.data import Checkerboard, Data, Gaussians, Moons
from toydiff.data.files import Csv, Npz
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.evaluation import divergence, enough, evaluate, real, track
from toydiff.metrics.floors import pair
from toydiff.metrics.planar import MEANINGS
from toydiff.metrics.scores import Floor, Meaning, Score, confidence, copying_p, difference, remark
from toydiff.names import Found
from toydiff.oracle import ExactDenoiser, Gaussian
from toydiff.runs import Loaded, load
from toydiff.samplers import DDIM
from toydiff.schedules import Level


def by_name(scores: list[Score]) -> dict[str, Score]:
    return {score.name: score for score in scores}


def unlabelled(data: Data, oracle: ExactDenoiser) -> Loaded:
    """A model of `data` that is the exact denoiser of something else, whatever the label."""

    def denoise(x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
        return oracle(x, level)

    return Loaded("other", Found("exact", "", ""), Run(data=data), denoise, data.shift, data.scale)


def test_an_exact_model_is_at_its_floor_in_every_score() -> None:
    model = load("exact:moons")
    for score in evaluate(model, 150, draws=3):
        if score.name in ("outside", "copying"):
            assert score.value is None and score.note
        else:
            assert score.z is not None and abs(score.z) < 3, score
            assert score.interval is not None and score.interval[0] <= score.value <= score.interval[1]
    exact = divergence(load("exact:checkerboard"), 200)
    assert exact.value is not None and abs(exact.value) < 0.01 and abs(exact.z or 0) < 3


def test_a_model_made_of_points_copies_them() -> None:
    scores = by_name(evaluate(load("exact:moons@100"), 200, draws=2))
    assert scores["copying"].value == pytest.approx(1) and (scores["copying"].z or 0) > 10
    assert "p < 1e-16" in scores["copying"].note
    assert (scores["coverage"].z or 0) < -3  # a hundred points do not cover the moons
    assert divergence(load("exact:moons@100"), 50).value is None


@pytest.mark.parametrize("wrong", [0.7, 1.0, 1.5])
def test_the_divergence_of_a_gaussian_of_the_wrong_width(wrong: float) -> None:
    data = Gaussians(modes=1, radius=0, std=0.5)
    found = divergence(unlabelled(data, Gaussian(torch.zeros(2), wrong)), 2000)  # of data scaled to an RMS of 1
    # KL(N(0, I) ‖ N(0, s² I)) in the plane
    expected = 2 * math.log(wrong) + 1 / wrong**2 - 1
    assert found.interval is not None and found.interval[0] - 1e-5 <= expected <= found.interval[1] + 1e-5
    assert found.floor is not None and found.floor.sd < 0.03


def test_the_divergence_of_a_conditional_model_is_that_of_its_classes() -> None:
    """Given the class, an exact model is exact; asked for the other class, it is off by nats."""
    model = load("exact:gaussians")
    assert abs(divergence(model, 60, steps=30).value or 1) < 0.02
    assert abs(divergence(model, 60, steps=30, label="3").value or 1) < 0.02
    assert abs(divergence(model, 60, steps=30, label="none").value or 1) < 0.02

    def other(x: Tensor, level: Level, label: Tensor) -> Tensor:
        return model.denoiser(x, level, (label + 1) % 8)

    assert (divergence(replace(model, denoiser=other), 60, steps=30, label="3").value or 0) > 10


def test_one_class_stands_beside_that_class() -> None:
    model = load("exact:gaussians")
    scores = by_name(evaluate(model, 100, draws=2, floor_draws=5, label="3"))
    assert scores["sliced W2"].value is not None and scores["sliced W2"].value < 0.1
    assert scores["label agreement"].value == pytest.approx(1, abs=0.01)
    assert "one class" in scores["mode weights"].note
    assert (real(model.data, 50, 0, "evaluate", 0, 3).label == 3).all()
    with pytest.raises(ConfigurationError, match="unknown label"):
        evaluate(model, 50, label="9")


def test_draws_are_a_function_of_the_seed_and_pairs_share_noise_and_data() -> None:
    model = load("exact:moons")
    few = {"draws": 2, "floor_draws": 2, "seed": 7}
    first, same = evaluate(model, 50, **few), evaluate(model, 50, **few)
    assert [score.values for score in first] == [score.values for score in same]
    coarse = replace(model, config=model.config.model_copy(update={"sampling": {"sampler": DDIM(), "steps": 4}}))
    other = evaluate(coarse, 50, **few)
    mean, interval = difference(other[0], first[0]) or (0, None)
    assert mean == pytest.approx((other[0].value or 0) - (first[0].value or 0)) and interval is not None
    assert difference(first[0], same[0]) == (0, (0, 0))


def test_floors_are_kept_and_a_damaged_file_of_them_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"draws": 2, "floor_draws": 3, "cache": tmp_path / "floors"}
    before = [score.floor for score in evaluate(load("exact:moons"), 30, **few)]
    (file,) = (tmp_path / "floors").iterdir()
    changed = {name: [pair[0] + 1, pair[1]] for name, pair in json.loads(file.read_text()).items()}
    file.write_text(json.dumps(changed))
    kept = [score.floor for score in evaluate(load("exact:moons"), 30, **few)]
    assert kept == [floor and Floor(floor.mean + 1, floor.sd) for floor in before]
    for text in ("", "{}", '{"sliced W2": 3}', "[1]", "\0"):
        file.write_text(text)
        assert [score.floor for score in evaluate(load("exact:moons"), 30, **few)] == before
    monkeypatch.setattr(evaluation, "ARCHITECTURE", 0)  # of other features they are other floors
    evaluate(load("exact:moons"), 30, **few)
    assert len(list((tmp_path / "floors").iterdir())) == 2
    (tmp_path / "file").touch()
    evaluate(load("exact:moons"), 30, **(few | {"cache": tmp_path / "file" / "floors"}))  # no cache is no failure


def test_tracking_measures_the_same_at_every_call() -> None:
    model, floors, others = load("exact:gaussians"), {}, {}
    first = track(model, 3, floors)
    assert {score.name for score in first} == floors.keys() == {"sliced W2", "energy distance"}
    known = dict(floors)
    assert track(model, 3, floors) == first != track(model, 4, others) and floors == known != others
    assert all(score.floor == known[score.name] and abs(score.z) < 4 for score in first)


def test_of_a_finite_set_the_floor_is_training_data_beside_held_out_ones(tmp_path: Path) -> None:
    """Points of a file, one in ten of them held out: there are no fresh ones, and no more than those."""
    lines = torch.randn(600, 3, generator=torch.Generator().manual_seed(0)).tolist()
    (tmp_path / "points.csv").write_text("\n".join(",".join(map(str, line)) for line in lines))
    data = Csv(path=str(tmp_path / "points.csv"))
    loaded = unlabelled(data, Gaussian(torch.zeros(3), 1.0))
    scores = by_name(evaluate(loaded, 2000, draws=2, floor_draws=20))
    for name in ("sliced W2", "exact W2", "energy distance", "MMD²", "coverage", "density", "copying"):
        assert scores[name].z is not None and abs(scores[name].z or 9) < 4, scores[name]
    assert "no density" in scores["NLL − H"].note and divergence(loaded).value is None
    assert 40 < enough(data, 2000) < 80 and enough(data, 30) == 30
    held = {tuple(row) for row in real(data, 2000, 0, "evaluate", 0, None).x.tolist()}
    assert held.isdisjoint({tuple(row) for row in real(data, 2000, 0, "floor", 0, None, trained=True).x.tolist()})
    (tmp_path / "few.csv").write_text("1,2\n3,4\n5,6\n")
    with pytest.raises(ToydiffError, match="no points are held out"):
        enough(Csv(path=str(tmp_path / "few.csv")), 20)


def table(path: Path, rows: Tensor) -> Csv:
    path.write_text("\n".join(",".join(map(str, row)) for row in rows.tolist()))
    return Csv(path=str(path))


@pytest.mark.parametrize("n", [20, None])
def test_floors_of_a_finite_set_do_not_depend_on_how_few_of_it_are_trained_on(tmp_path: Path, n: int | None) -> None:
    points = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    data = table(tmp_path / "points.csv", points).model_copy(update={"n": n})
    one, other = pair(data, 60, 0, 3)
    assert len(one.x) == len(other.x) == 60
    trained = {tuple(row) for row in data.model_copy(update={"n": None}).fixed().x.tolist()}
    assert {tuple(row) for row in other.x.tolist()} <= trained
    assert trained.isdisjoint({tuple(row) for row in one.x.tolist()})


def test_where_each_pair_would_be_the_same_floors_are_between_halves_and_it_is_said(tmp_path: Path) -> None:
    """100 held out, 100 to train on: two draws of 100 would be those two sets every time, and vary by rounding."""
    points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    np.savez(tmp_path / "half.npz", data=points.numpy(), split=np.arange(200) >= 100)
    data = Npz(path=str(tmp_path / "half.npz"))
    assert [len(half.x) for half in pair(data, 100, 0, 0)] == [50, 50]
    said: list[str] = []
    scores = evaluate(unlabelled(data, Gaussian(torch.zeros(2), 1.0)), 100, draws=2, floor_draws=6, note=said.append)
    assert any("floors are between 50 and 50" in line for line in said)
    assert all(score.floor is None or score.floor.sd > 1e-4 * abs(score.floor.mean) for score in scores)
    assert all(score.z is None or abs(score.z) < 20 for score in scores)
    evaluate(unlabelled(data, Gaussian(torch.zeros(2), 1.0)), 40, draws=1, floor_draws=2, note=said.append)
    assert sum("floors are between" in line for line in said) == 1
    floors: dict[str, Floor] = {}
    for _ in range(2):
        track(unlabelled(data, Gaussian(torch.zeros(2), 1.0)), 0, floors, note=said.append)
    assert sum("floors are between" in line for line in said) == 2  # at the first look of a run


def test_held_out_data_that_are_training_data_tell_no_copies(tmp_path: Path) -> None:
    points = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)).repeat(10, 1)
    np.savez(tmp_path / "again.npz", data=points.numpy(), split=np.arange(1000) >= 900)
    data = Npz(path=str(tmp_path / "again.npz"))
    scores = by_name(evaluate(unlabelled(data, Gaussian(torch.zeros(2), 1.0)), 100, draws=2, floor_draws=3))
    assert scores["copying"].value is scores["coverage"].value is scores["density"].value is None
    assert scores["copying"].note.startswith("100% of held-out points are in the training data as well")


def test_a_likelihood_that_the_steps_decide_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = unlabelled(Gaussians(), Gaussian(torch.zeros(2), 1.0))
    rough = Loaded.log_prob
    for apart, known in ((1e-3, True), (500.0, False)):  # nats, half of which twice the steps take off

        def changed(
            self: Loaded, x: Tensor, label: Tensor | None = None, steps: int = 50, apart: float = apart
        ) -> Tensor:
            return rough(self, x, label, steps=50) - apart * (50 / steps)

        monkeypatch.setattr(Loaded, "log_prob", changed)
        found = divergence(loaded, 200)
        assert (found.value is not None) == known and ("is not resolved" in found.note) == (not known)


def test_no_interval_goes_beyond_what_a_score_can_be() -> None:
    values, ends = [0.1, 0.2, 0.6], {name: meaning.ends for name, meaning in MEANINGS.items()}
    assert confidence(values, ends["sliced W2"]) == (0, pytest.approx(0.957, abs=1e-2))
    low, high = confidence([0.9, 0.7, 1.0], ends["rarest mode"]) or (0.0, 0.0)
    assert 0 < low < 0.9 and high == 1
    assert ends["MMD²"] == ends["energy distance"] == (-math.inf, math.inf)  # unbiased: below 0 by chance


def test_floors_are_made_again_when_the_file_has_changed(tmp_path: Path) -> None:
    points = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    few = {"draws": 1, "floor_draws": 3, "cache": tmp_path / "floors"}

    def floors(spread: float) -> list[Floor | None]:
        """Of a file whose rows to train on have so much more spread, and so has the floor beside them."""
        x = torch.cat([points[:200], points[200:] * spread])
        np.savez(tmp_path / "half.npz", data=x.numpy(), split=np.arange(400) < 200)
        data = Npz(path=str(tmp_path / "half.npz"))
        return [score.floor for score in evaluate(unlabelled(data, Gaussian(torch.zeros(2), 1.0)), 60, **few)]

    assert floors(1.0) == floors(1.0)
    before = len(list((tmp_path / "floors").iterdir()))
    floors(3.0)
    assert len(list((tmp_path / "floors").iterdir())) > before


def test_data_that_are_mostly_one_value_have_scores_that_are_numbers(tmp_path: Path) -> None:
    """Three in four are 0, so the median of all distances is 0, and no bandwidth of a kernel."""
    points = torch.randn(600, 1, generator=torch.Generator().manual_seed(0))
    data = table(tmp_path / "zeros.csv", points.where(torch.arange(600)[:, None] % 4 == 0, 0.0))
    scores = by_name(evaluate(unlabelled(data, Gaussian(torch.zeros(1), 1.0)), 60, draws=2, floor_draws=4))
    assert scores["MMD²"].value is not None and scores["MMD²"].value > 0
    assert not any("true density is 0" in score.note for score in scores.values())
    json.dumps([as_dict(score) for score in scores.values()], allow_nan=False)
    nothing = Score("x", Meaning("", "lower", ""), (math.nan, 1.0), None, Floor(math.nan, math.nan))
    assert "not a number" in remark("x", nothing.values, 9) and json.dumps(as_dict(nothing), allow_nan=False)


def test_what_cannot_be_measured_is_refused_before_any_sampling() -> None:
    for draws in (0, 11):
        with pytest.raises(ConfigurationError, match=f"{draws} draws"):
            evaluate(load("exact:moons"), 30, draws=draws)
    with pytest.raises(ConfigurationError, match="5 samples in a draw are too few") as refused:
        evaluate(load("exact:moons"), 5)
    assert "Take 6 at least" in str(refused.value.hint)
    with pytest.raises(ConfigurationError, match="1 real points"):
        divergence(load("exact:moons"), 1)


def test_samples_where_the_density_is_zero() -> None:
    """Squares half filled by another board: half the samples lie outside, and the NLL is infinite."""
    data = Checkerboard()
    oracle = Checkerboard(squares=2, size=4).exact().affine(data.shift, data.scale)
    scores = by_name(evaluate(unlabelled(data, oracle), 400, draws=2, floor_draws=2))
    assert scores["outside"].value == pytest.approx(0.5, abs=0.08)
    assert scores["NLL − H"].value is None and "true density is 0" in scores["NLL − H"].note
    assert scores["NLL − H"].interval is None


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    x = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
    held = sum(low <= 0 <= high for low, high in filter(None, map(confidence, x))) / len(x)
    assert abs(held - 0.95) < 4 * math.sqrt(0.95 * 0.05 / len(x))
    assert confidence([1.0]) is None and confidence([1.0, math.inf]) is None
    low, high = confidence([0.0, 0.02, 0.05]) or (0.0, 0.0)
    assert low < 0 and confidence([0.0, 0.02, 0.05], (0, 1)) == (0, high)  # there is no share below 0
    assert confidence([1.0, 0.9, 1.0], (0, 1)) == (pytest.approx(0.8232, abs=1e-3), 1)


def test_a_score_without_a_spread_has_no_z() -> None:
    meaning = Meaning("", "lower", "")
    assert Score("x", meaning, (1.0,), None, Floor(0.0, 0.0)).z is None
    assert Score("x", meaning, (1.0, 3.0), None, Floor(0.0, 0.5)).z == 4
    assert Score("x", meaning, (math.inf, 1.0)).value is None
    assert copying_p([0.5], 100) == 0.5


def test_data_know_how_far_their_entropy_may_be_off() -> None:
    """Beside the mean of −log p over 100,000 draws, and exactly where there is a closed form."""
    assert Checkerboard().entropy_error == 0 and Moons(noise=0).entropy_error is None
    for data in (Moons(), Gaussians(weights=(1, 2, 3, 4, 5, 6, 7, 8))):
        log_p = data.log_prob(data.draw(100_000, torch.Generator().manual_seed(0)).x.double())
        assert data.entropy_error is not None and 0 < data.entropy_error < 1e-3
        assert float(log_p.mean()) == pytest.approx(-(data.entropy or 0), abs=4 * float(log_p.std()) / 316)
