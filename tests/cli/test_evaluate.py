"""toydiff evaluate as typed: a table, a document, samplers side by side; and scores along a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from toydiff import evaluation
from toydiff.cli import trainer
from toydiff.cli.scores import _apart, cells, compared, number
from toydiff.errors import SamplingDiverged
from toydiff.metrics import classifier
from toydiff.metrics.floors import floor
from toydiff.metrics.points import energy_distance, sliced_w2
from toydiff.metrics.scores import Floor, Meaning, Score
from toydiff.runs import Loaded, load

from .. import scripted
from .conftest import Toydiff
from .program import TINY


@pytest.fixture(autouse=True)
def cache(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("TOYDIFF_DATA", "cache")
    return here / "cache"


def test_a_table_of_80_columns_and_the_same_as_json(with_run: Path, cache: Path, toydiff: Toydiff) -> None:
    done = toydiff("evaluate", "tiny", "-n", "40", "--draws", "2", "--seed", "7")
    table = done.stdout.split("\n\n")
    assert max(map(len, "\n\n".join(table[:3]).splitlines())) <= 80
    for words in ("tiny against held-out points of moons", "2 draws of 40 samples from seed 7", "H = 1.007585 nats"):
        assert words in table[0]
    found = json.loads(toydiff("evaluate", "tiny", "-n", "40", "--draws", "2", "--seed", "7", "--json").stdout)
    assert len(list((cache / "floors").iterdir())) == 1
    assert (found["n"], found["draws"], found["seed"], found["evaluations"]) == (40, 2, 7, 79)
    for name, score in found["scores"].items():
        row = next(line for line in table[1].splitlines() if line.startswith(name))
        assert ("n/a" in row) == (score["value"] is None)
        if score["value"] is None:
            assert f"n/a: {score['note']}" in " ".join(done.stdout.split())
        else:
            assert score["interval"][0] <= score["value"] <= score["interval"][1]
            assert (score["z"] is None and score["floor"]["sd"] == 0) or f"{score['z']:+.1f}" in row


def test_samplers_side_by_side(with_run: Path, toydiff: Toydiff) -> None:
    words = ("evaluate", "tiny", "-n", "30", "--draws", "2", "--compare", "ddim:4,heun:4,ddpm:5,euler:4")
    found = json.loads(toydiff(*words, "--json").stdout)
    assert list(found["compare"]) == ["ddim:4", "heun:4", "ddpm:5", "euler:4"]
    assert [each["evaluations"] for each in found["compare"].values()] == [4, 7, 5, 4]
    apart = found["differences"]
    assert list(apart) == ["heun:4", "ddpm:5", "euler:4"]
    assert all(abs(score["value"]) < 1e-6 for score in apart["euler:4"].values())  # euler is ddim without noise
    values = [found["compare"][name]["scores"]["sliced W2"]["value"] for name in ("heun:4", "ddim:4")]
    assert apart["heun:4"]["sliced W2"]["value"] == pytest.approx(values[0] - values[1])
    said = toydiff(*words).stdout
    assert said.count("floor ± sd") == 2 and max(map(len, said.splitlines())) <= 80
    assert "KL" not in said and "ddim:4" in said
    of = {name: each["scores"]["sliced W2"]["z"] for name, each in found["compare"].items()}
    told = [f"z = {of[name]:+.1f}" for name in ("ddim:4", "heun:4", "ddpm:5")]
    assert any(all(each in line for each in told) for line in said.splitlines())


def test_guidance_by_another_model_changes_the_samples_and_is_said(with_run: Path, toydiff: Toydiff) -> None:
    words = ("evaluate", "tiny", "-n", "30", "--draws", "2", "--compare", "euler:4,heun:4", "--json")
    plain = json.loads(toydiff(*words).stdout)
    guided, nowhere, self_guided = (
        json.loads(toydiff(*words, "--guidance", "3", *more).stdout)
        for more in (
            ("--guide", "exact:moons"),
            ("--guide", "exact:moons", "--guidance-interval", "0,1e-9"),
            ("--guide", "tiny"),
        )
    )
    assert (plain["guidance"], plain["guide"]) == (1, None)
    assert (guided["guidance"], guided["guide"], nowhere["guidance_interval"]) == (3, "exact:moons", "0,1e-9")
    distance = [
        each["compare"]["heun:4"]["scores"]["sliced W2"]["value"] for each in (plain, guided, nowhere, self_guided)
    ]
    assert distance[1] != pytest.approx(distance[0], rel=1e-3)
    assert distance[2] == distance[0]  # guided nowhere on the way
    assert distance[3] == pytest.approx(distance[0], rel=1e-4)  # away from itself leads nowhere
    said = toydiff(*words[:-1], "--guidance", "3", "--guide", "exact:moons", "--guidance-interval", "0.2,3").stdout
    assert "guidance 3 by exact:moons for sigma/alpha in 0.2 … 3" in " ".join(said.split())


def test_guidance_takes_two_evaluations_of_a_network(with_run: Path, toydiff: Toydiff) -> None:
    words = ("evaluate", "exact:gaussians", "-n", "30", "--draws", "2", "--steps", "5", "--json")
    plain = json.loads(toydiff(*words).stdout)
    guided = json.loads(toydiff(*words, "--guidance", "2").stdout)
    assert plain["evaluations"] == 9 and guided["evaluations"] == 18
    assert (guided["guidance"], guided["weights"]) == (2, "ema")


def test_what_is_said_is_of_what_was_measured(with_run: Path, toydiff: Toydiff) -> None:
    words = ("evaluate", "exact:gaussians", "-n", "30", "--draws", "2", "--steps", "5")
    plain = " ".join(toydiff(*words).stdout.split())
    assert "H = -0.134144 nats" in plain and "from t = " not in plain and "ODE, unguided" in plain
    one = toydiff(*words, "--label", "3", "--set", "sampling.start=0.9", "--set", "sampling.prior=unit").stdout
    assert "nats" not in one.splitlines()[1]  # that entropy is of all classes together
    assert "from t = 0.9, prior N(0, I)" in one
    assert "entropy" not in json.loads(toydiff(*words, "--label", "3", "--json").stdout)


def test_numbers_beyond_all_bounds_have_powers_of_ten() -> None:
    score = Score("W", Meaning("", "lower", ""), (2e31, 4e31), (1e31, 5e31), Floor(0.1, 0.01))
    assert [len(cell) < 25 for cell in cells(score)] == [True] * 5 and cells(score)[1::3] == ("3e+31", "+3e+33")
    assert number(20_012_345, 3e3) == "2.00123e+07" and number(-2.5e12, 1e9) == "-2.5e+12"
    certain = Score("W", Meaning("", "lower", ""), (1.0, 1.0), (1.0, 1.0), Floor(0.5, 0.0))
    assert "z = +∞" in compared({"one": ("", 1, [certain]), "other": ("", 1, [certain])})


def test_a_difference_has_no_powers_of_ten() -> None:
    assert _apart({"value": -3.6, "interval": (-33.0, 26.0)}) == "-4 ± 30"
    assert _apart({"value": -1.34, "interval": (-11.1, 8.5)}) == "-1.3 ± 9.8"
    assert _apart({"value": 0.0261, "interval": (0.0205, 0.0317)}) == "+0.0261 ± 0.0056*"


def test_a_run_goes_on_when_its_samples_cannot_be_measured(
    here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SamplingDiverged("sampling gave a number that is not finite")

    monkeypatch.setattr(trainer, "follow", refuse)
    words = ("--set", "record.evaluate_every=10", "--runs-dir", "runs")
    done = toydiff("train", "moons", "--name", "odd", "--steps", "20", *TINY, *words)
    assert done.exit_code == 0
    assert "sampling gave a number that is not finite, after step 10: no scores; training goes on" in " ".join(
        done.stderr.split()
    )
    rows = [json.loads(line) for line in (here / "runs" / "odd" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 20 and not any("scores" in row for row in rows)


def test_a_likelihood_that_is_not_finite_is_no_number(
    with_run: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loaded, "log_prob", lambda self, x, *_, **__: torch.full((len(x),), float("nan")))
    done = toydiff("evaluate", "tiny", "-n", "30", "--draws", "2", "--json")
    found = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(word))["scores"]["KL(data‖model)"]
    assert (found["value"], found["interval"], found["floor"]) == (None, None, None) and "not finite" in found["note"]


def test_scores_are_written_along_a_run_beside_their_floors_and_a_resumed_run_has_the_same(
    here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "FLOOR_DRAWS", 4)
    words = ("--set", "record.evaluate_every=10", "--set", "sampling.steps=4", "--runs-dir", "runs")
    once = "measuring 4 pairs of 2,000 real points, once"
    said = toydiff("train", "moons", "--name", "whole", "--steps", "20", *TINY, *words, "--verbose").stderr
    assert said.count(once) == 1 and "step 10: sliced W2 ↓ " in said and "(real data: 0.0" in said
    toydiff("train", "moons", "--name", "halves", "--steps", "20", *TINY, *words, "--max-time", "0.001s")
    assert once not in toydiff("resume", "halves", "--runs-dir", "runs").stderr  # kept from the run before
    whole, halves = ((here / "runs" / name / "metrics.jsonl").read_text() for name in ("whole", "halves"))
    assert whole == halves
    rows = [row for row in map(json.loads, whole.splitlines()) if "scores" in row]
    assert [row["step"] for row in rows] == [10, 20] and set(rows[0]["scores"]) == {"sliced W2", "energy distance"}
    assert rows[0]["scores"] != rows[1]["scores"] and rows[0]["floors"] == rows[1]["floors"]
    data = load("runs/whole").data
    names = {"sliced W2": sliced_w2, "energy distance": energy_distance}
    for name, score in names.items():  # the same draws, by another way
        mean, sd = floor(score, data, 2000, draws=4)
        assert rows[0]["floors"][name] == pytest.approx({"mean": mean, "sd": sd})
        assert rows[1]["z"][name] == pytest.approx((rows[1]["scores"][name] - mean) / sd)


def test_images_are_measured_by_a_classifier_made_once(
    here: Path, cache: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 40)
    random, label = np.random.default_rng(0), np.arange(400) % 3
    x = random.integers(0, 120, (400, 8, 8), dtype=np.uint8)
    x[label == 1, :4], x[label == 2, :, :4] = 230, 230  # the upper half is bright, or the left one
    np.savez("halves.npz", images=x, labels=label, split=np.arange(400) >= 200)
    words = ("evaluate", "exact:npz:halves.npz@200", "-n", "66", "--draws", "2", "--steps", "5")
    done = toydiff(*words)
    assert "training the classifier that measures images of halves.npz, once: about" in done.stderr
    assert "FID" not in done.stdout.replace("this is no FID", "") and "FD-small ↓" in done.stdout
    assert max(map(len, done.stdout.split("\n\n")[1].splitlines())) <= 80
    again = toydiff(*words, "--json")
    assert "classifier" not in again.stderr and len(list((cache / "classifiers").iterdir())) == 1
    found = json.loads(again.stdout)["scores"]
    assert found["class accuracy"]["value"] == pytest.approx(found["class accuracy"]["floor"]["mean"], abs=0.05)
    assert found["class accuracy"]["value"] > 0.9 and found["copying"]["value"] > 0.9  # an exact model of the images
    assert found["FD-small"]["floor"]["mean"] > 0 and "held-out images right" in found["FD-small"]["note"]
    assert found["KL(data‖model)"]["value"] is None


def test_images_are_measured_along_a_run(here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 5)
    random = np.random.default_rng(0)
    np.savez("a.npz", images=random.integers(0, 256, (700, 8, 8), dtype=np.uint8), labels=np.arange(700) % 2)
    small = ("network.channels=4", "network.multipliers=[1]", "network.attention=[]", "network.heads=1")
    sets = ("data.kind=npz", "data.path=a.npz", "record.evaluate_every=1", "sampling.steps=4", "training.batch_size=4")
    words = [word for assignment in (*sets, *small) for word in ("--set", assignment)]
    toydiff("train", "mnist-cond", "--name", "small", "--steps", "1", "--runs-dir", "runs", *words)
    rows = [json.loads(row) for row in (here / "runs" / "small" / "metrics.jsonl").read_text().splitlines()]
    (scores,) = [row["scores"] for row in rows if "scores" in row]
    assert set(scores) == {"FD-small", "class accuracy", "brightness", "contrast"}


def test_fid_by_a_file_of_the_users(here: Path, cache: Path, toydiff: Toydiff) -> None:
    images = np.random.default_rng(0).integers(0, 256, (240, 8, 8), dtype=np.uint8)
    np.savez("grey.npz", images=images, split=np.arange(240) >= 120)
    Path("sees.pt").write_bytes(scripted.program(scripted.Sees(2048)))
    words = ("evaluate", "exact:npz:grey.npz@120", "-n", "40", "--draws", "2", "--steps", "5", "--inception", "sees.pt")
    done = toydiff(*words)
    digest = hashlib.sha256(Path("sees.pt").read_bytes()).hexdigest()
    assert digest in done.stderr and "FID ↓" in done.stdout
    assert max(map(len, done.stdout.split("\n\n")[1].splitlines())) <= 80
    said = " ".join(done.stdout.split())
    for words_of_it in ("of 2,048 features", "of 40 samples", "50,000", digest[:12], "not the file of the literature"):
        assert words_of_it in said
    found = json.loads(toydiff(*words, "--json").stdout)
    assert found["inception"] == {"file": "sees.pt", "sha256": digest, "features": 2048}
    fid = found["scores"]["FID"]
    assert len(fid["draws"]) == 2 and fid["value"] > 0 and fid["floor"]["mean"] > 0
