"""sample, animate, inspect and data, the right way, typed as in the documentation."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from toydiff import checkpoint as checkpoints
from toydiff.cli.films import forward
from toydiff.data import AnyData
from toydiff.denoiser import TARGETS, AnyWeight
from toydiff.names import FILE_KINDS, preset_names
from toydiff.published import OFFICIAL
from toydiff.runs import load
from toydiff.samplers import AnySampler
from toydiff.schedules import AnySchedule
from toydiff.spec import kinds
from toydiff.training.couplings import AnyCoupling
from toydiff.training.densities import AnyDensity

from .conftest import Toydiff
from .program import TINY


def opened(path: str) -> Image.Image:
    return Image.open(BytesIO(Path(path).read_bytes()))


def test_the_lab_as_typed(here: Path, toydiff: Toydiff) -> None:
    toydiff("train", "--preset", "swissroll", *TINY, "--set", "training.steps=30")
    toydiff("resume", "--steps", "40")
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("swissroll-2")
    assert checkpoints.load(run / "latest.pt").header["step"] == 40
    done = toydiff("sample", "--checkpoint", "best.pt", "--show-process", "--output", "samples.png")
    assert f"the newest run that has one, {run}/best.pt" in done.stderr
    done = toydiff("animate", "swissroll", "to", "mp4")
    assert f"the newest run of the preset swissroll, {run}/best.pt" in done.stderr
    toydiff("animate", "swissroll", "--to", "mp4")
    for film in ("swissroll.mp4", "swissroll-2.mp4"):
        with av.open(film) as file:
            assert sum(1 for _ in file.decode(video=0)) == 40
    assert opened("samples.png").size[0] > 500
    assert {path.name for path in here.iterdir()} == {"runs", "samples.png", "swissroll.mp4", "swissroll-2.mp4"}


# ── sample ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def sampled(toydiff: Toydiff, *words: str, name: str = "tiny") -> dict[str, np.ndarray]:
    toydiff("sample", name, "-o", "x.npz", *words)
    with np.load("x.npz") as file:
        arrays = dict(file)
    Path("x.npz").unlink()
    return arrays


def test_arrays_have_points_labels_and_seeds(with_run: Path, toydiff: Toydiff) -> None:
    arrays = sampled(toydiff, "--seed", "7", "-n", "20")
    assert {key: (a.shape, a.dtype.str) for key, a in arrays.items()} == {
        "x": ((20, 2), "<f4"), "label": ((20,), "<i8"), "seed": ((20,), "<i8"),
    }  # fmt: skip
    assert arrays["seed"].tolist() == list(range(7, 27))
    assert set(arrays["label"]) == {0, 1}  # drawn by training frequency
    assert sampled(toydiff, "-n", "3", name="plain").keys() == {"x", "seed"}


@pytest.mark.parametrize("sampler", ["heun:4", "ddim:4", "ddpm:4", "unipc:4", "langevin:4", "dpmpp_2m_sde:4"])
def test_a_seed_gives_the_same_sample_in_any_company(sampler: str, with_run: Path, toydiff: Toydiff) -> None:
    many = sampled(toydiff, "--seed", "0-63", "--sampler", sampler)
    assert many["seed"].tolist() == list(range(64))
    for words, rows in ((("-n", "5"), slice(0, 5)), (("--seed", "9-11"), slice(9, 12))):
        few = sampled(toydiff, *words, "--sampler", sampler)
        np.testing.assert_allclose(few["x"], many["x"][rows], atol=1e-5)
        assert few["label"].tolist() == many["label"][rows].tolist()
    other = sampled(toydiff, "--seed", "64-127", "--sampler", sampler)
    assert np.abs(other["x"] - many["x"]).min() > 1e-4


def test_options_change_what_they_say(with_run: Path, toydiff: Toydiff) -> None:
    base = sampled(toydiff, "-n", "50", "--label", "upper")
    assert set(base["label"]) == {0}
    assert np.array_equal(sampled(toydiff, "-n", "50", "--label", "0")["x"], base["x"])
    for words in (
        ("--label", "lower"), ("--weights", "raw"), ("--guidance", "3"), ("--sampler", "ddpm"), ("--steps", "3"),
        ("--spacing", "log_snr"), ("--set", "start=0.5"), ("--clip", "-0.1,0.1"), ("--sampler", "ddim", "--eta", "1"),
    ):  # fmt: skip
        label = () if "--label" in words else ("--label", "upper")
        assert not np.allclose(sampled(toydiff, "-n", "50", *label, *words)["x"], base["x"], atol=1e-4), words
    assert np.array_equal(sampled(toydiff, "-n", "50", "--label", "upper", "--guidance", "1")["x"], base["x"])


def test_an_adaptive_sampler_says_what_it_took(with_run: Path, toydiff: Toydiff) -> None:
    words = ("sample", "tiny", "-n", "20", "--sampler", "rk45:2", "--spacing", "log_snr", "-o")
    done = toydiff(*words, "x.npz", "--json")
    (count,) = re.findall(
        r"rk45 .*, 2 steps, log_snr, from t = 0.98, (\d+) evaluations$", json.loads(done.stdout)["sampler"]
    )
    less = toydiff(*words, "y.npz", "--set", "sampler.atol=0.01", "--set", "sampler.rtol=0.01").stdout
    assert 7 < int(re.findall(r"(\d+) evaluations", less)[0]) < int(count)
    film = toydiff("animate", "tiny", "to", "gif", "--sampler", "rk45", "--frames", "5", "-n", "9", "--size", "64")
    assert re.search(r"rk45 .* evaluations", film.stdout)
    assert "evaluations" not in toydiff("sample", "tiny", "-n", "3", "-o", "z.npz").stdout


def test_csv_has_a_line_a_sample(with_run: Path, toydiff: Toydiff) -> None:
    arrays = sampled(toydiff, "-n", "4")
    toydiff("sample", "tiny", "-n", "4", "--to", "csv", "-o", "four")
    first, *lines = Path("four.csv").read_text().splitlines()
    assert first == "x1,x2,label,seed"
    table = np.array([[float(cell) for cell in line.split(",")] for line in lines])
    np.testing.assert_allclose(table, np.column_stack([arrays["x"], arrays["label"], arrays["seed"]]), rtol=1e-8)


def test_a_picture_knows_how_it_was_made(with_run: Path, toydiff: Toydiff) -> None:
    done = toydiff("sample", "tiny", "-n", "9", "--sampler", "ddim:3", "-o", "a b 🌀.png", "--json")
    assert json.loads(done.stdout) == {
        "output": "a b 🌀.png", "n": 9, "seeds": [0, 8], "model": "tiny",
        "sampler": "ddim eta=0.0, 3 steps, trailing, from t = 0.98",
    }  # fmt: skip
    text = opened("a b 🌀.png").text
    assert (text["seeds"], text["sampler"]) == ("0-8", "ddim eta=0.0, 3 steps, trailing, from t = 0.98")


def test_outputs_without_a_name_are_numbered(with_run: Path, toydiff: Toydiff) -> None:
    for _ in range(2):
        toydiff("sample", "tiny", "-n", "3", "--to", "npz", "-q")
    toydiff("sample", "exact:moons@50", "-n", "3", "--to", "npz", "-q")
    names = {path.name for path in with_run.glob("*.npz")}
    assert names == {"tiny-samples.npz", "tiny-samples-2.npz", "moons-50-samples.npz"}


def test_exact_denoisers_sample_their_data(here: Path, toydiff: Toydiff) -> None:
    points = sampled(toydiff, "-n", "200", "--sampler", "ddim:200", name="exact:gaussians")["x"]
    radius = np.linalg.norm(points, axis=1)
    assert abs(radius.mean() - 1) < 0.03  # eight modes of sd 0.08 on the unit circle


# ── animate ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_film_has_the_frames_asked_for(kind: str, with_run: Path, toydiff: Toydiff) -> None:
    words = ("animate", "tiny", "to", kind, "--frames", "6", "-n", "50", "--size", "120", "--json")
    facts = json.loads(toydiff(*words).stdout)
    assert (facts["output"], facts["frames"], facts["n"], facts["model"]) == (f"tiny.{kind}", 6, 50, "tiny")
    film = opened(f"tiny.{kind}")
    assert film.n_frames >= 6
    assert film.size == (120, 120)


def test_the_format_may_follow_a_checkpoint_that_is_no_argument(with_run: Path, toydiff: Toydiff) -> None:
    for words in (("--checkpoint", "tiny", "to", "gif"), ("to", "gif", "--checkpoint", "tiny"), ("tiny", "to", "gif")):
        facts = json.loads(toydiff("animate", *words, "--frames", "3", "-n", "9", "--size", "64", "--json").stdout)
        assert (facts["output"].removesuffix(".gif")[:4], facts["model"], facts["frames"]) == ("tiny", "tiny", 3)


def test_the_film_of_a_few_points_goes_from_them(here: Path) -> None:
    loaded = load("exact:moons@3")
    _, shots, labels, _ = forward(loaded, torch.arange(5), 4)
    points = loaded.data.fixed()
    frames = list(shots)
    torch.testing.assert_close(frames[0].x, points.x[[0, 1, 2, 0, 1]], atol=1e-5, rtol=0)
    assert labels is not None and labels.tolist() == points.label[[0, 1, 2, 0, 1]].tolist()  # type: ignore[index]


def test_a_film_of_fewer_frames_than_asked_for_says_why(with_run: Path, toydiff: Toydiff) -> None:
    words = ("animate", "tiny", "to", "gif", "-n", "9", "--size", "64", "-q", "--steps", "3")
    done = toydiff(*words, "--frames", "9")
    assert "warning: the film has 4 frames, not 9: the noise, and one for each of the 3 steps" in done.stderr
    assert "4 frames" in done.stdout
    for enough in (("--frames", "4"), ()):
        done = toydiff(*words, *enough)
        assert (done.stderr, "4 frames" in done.stdout) == ("", True)


def test_one_film_goes_to_the_data_and_the_other_comes_from_them(here: Path, toydiff: Toydiff) -> None:
    ends = {}
    for what in ("reverse", "forward"):
        words = ("animate", "exact:moons", "--what", what, "--frames", "20", "--size", "200", "-q")
        toydiff(*words, "-o", f"{what}.gif")
        film = opened(f"{what}.gif")
        for k in (0, film.n_frames - 1):
            film.seek(k)
            picture = np.asarray(film.convert("L"), float).reshape(10, 20, 10, 20).mean((1, 3))  # coarse: noise differs
            ends[what, bool(k)] = picture.ravel()

    def alike(one: tuple[str, bool], other: tuple[str, bool]) -> float:
        return float(np.corrcoef(ends[one], ends[other])[0, 1])

    data, noise = ("forward", False), ("forward", True)
    assert alike(("reverse", True), data) > 0.9 > alike(("reverse", False), data)
    assert alike(("reverse", False), noise) > 0.9 > alike(("reverse", True), noise)


# ── inspect ──────────────────────────────────────────────────────────────────────────────────────────────────────────

NOUNS = {
    "samplers": kinds(AnySampler),
    "schedules": kinds(AnySchedule),
    "weights": kinds(AnyWeight),
    "densities": kinds(AnyDensity),
    "couplings": kinds(AnyCoupling),
    "datasets": kinds(AnyData),
    "targets": TARGETS,
    "presets": preset_names(),
}


@pytest.mark.parametrize("noun", NOUNS)
def test_nouns_list_everything_there_is(noun: str, toydiff: Toydiff) -> None:
    rows = json.loads(toydiff("inspect", noun, "--json").stdout)
    assert [row["name"] for row in rows] == list(NOUNS[noun])
    assert all(row["about"] for row in rows)
    text = toydiff("inspect", noun).stdout
    assert all(any(line.startswith(name) for line in text.splitlines()) for name in NOUNS[noun])


@pytest.mark.parametrize("name", ["tiny", "run:tiny", "runs/tiny", "runs/tiny/latest.pt", "best.pt", "moons"])
def test_inspect_explains_a_run_by_any_name(name: str, with_run: Path, toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("inspect", name, "--json").stdout)
    assert facts["checkpoint"]["name"] == "tiny"
    assert facts["checkpoint"]["step"] == facts["steps"] == 30
    assert facts["checkpoint"]["sha256"] == checkpoints.load(facts["checkpoint"]["path"]).digest
    assert facts["config"]["data"]["kind"] == "moons"
    assert facts["network"]["parameters"] == sum(layer["parameters"] for layer in facts["network"]["layers"])
    weights = checkpoints.load(facts["checkpoint"]["path"]).model
    assert facts["network"]["parameters"] == sum(
        w.numel() for k, w in weights.items() if k.endswith((".weight", ".bias"))
    )
    text = toydiff("inspect", name).stdout
    for words in ("30 of 30", f"{facts['network']['parameters']:,}", 'kind = "moons"', facts["checkpoint"]["sha256"]):
        assert words in text


def test_inspect_explains_a_preset_nobody_has_trained(here: Path, toydiff: Toydiff) -> None:
    done = toydiff("inspect", "swissroll-cosine40", "--json")
    facts = json.loads(done.stdout)
    assert facts["checkpoint"] == {}
    assert (facts["config"]["data"]["n"], facts["schedule"]["kind"]) == (100_000, "cosine")
    assert "it has not been trained here" in done.stderr
    assert facts["schedule"]["alpha_bar_T"] == pytest.approx(facts["schedule"]["terminal_snr"], rel=0.01)


def test_inspect_shows_parts(with_run: Path, toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("inspect", "tiny", "--model", "--json").stdout)
    assert facts.keys() == {"kind", "input", "layers", "parameters", "macs", "receptive_field", "attention"}
    assert facts["layers"][2] == {
        "name": "hidden.0",
        "kind": "Linear 16 → 16",
        "shape": [16],
        "parameters": 272,
        "macs": 256,
    }
    lines = toydiff("inspect", "tiny", "--model").stdout.splitlines()
    assert any(line.split() == ["hidden.0", "Linear", "16", "→", "16", "16", "272", "256"] for line in lines)
    done = toydiff("inspect", "swissroll-cosine40", "--schedule", "-o", "s.png")
    assert done.stdout.startswith("s.png: ")
    assert opened("s.png").size[0] > 300


# ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_data_list_is_inspect_datasets(toydiff: Toydiff) -> None:
    assert toydiff("data", "list").stdout == toydiff("inspect", "datasets").stdout
    assert [row["name"] for row in json.loads(toydiff("data", "list", "--json").stdout)] == list(kinds(AnyData))


@pytest.mark.parametrize("name", [name for name in kinds(AnyData) if name not in ("shapes", *OFFICIAL, *FILE_KINDS)])
def test_every_data_set_is_measured(name: str, toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("data", "stats", name, "-n", "2000", "--json").stdout)
    assert (facts["data"], facts["n"], facts["shape"], facts["duplicates"]) == (name, 2000, [2], 0)
    np.testing.assert_allclose(facts["mean"], facts["known_mean"], atol=4 * facts["known_rms"] / 2000**0.5)
    assert sum(facts["classes"].values()) == pytest.approx(1, abs=1e-3)


def test_pictures_are_measured_as_a_whole(toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("data", "stats", "shapes", "-n", "2000", "--json").stdout)
    assert (facts["data"], facts["n"], facts["shape"]) == ("shapes", 2000, [1, 32, 32])
    assert (facts["min"], facts["max"], facts["shift"], facts["scale"]) == ([-1], [1], [0], 1)
    assert facts["mean"] == pytest.approx([2 * facts["white_share"] - 1])
    assert facts["sd"] == pytest.approx([(1 - facts["mean"][0] ** 2) ** 0.5], rel=1e-4)
    assert len(facts["classes"]) == 28 and sum(facts["classes"].values()) == pytest.approx(1, abs=2e-3)
    text = toydiff("data", "stats", "shapes", "-n", "50").stdout
    assert len(text.splitlines()) < 24 and "white share" in text


def test_pictures_are_exported(here: Path, toydiff: Toydiff) -> None:
    toydiff("data", "export", "shapes", "--to", "npz", "-n", "20", "--set", "size=28", "-o", "a")
    with np.load("a.npz") as arrays:
        assert (arrays["x"].shape, arrays["x"].dtype, arrays["label"].shape) == ((20, 1, 28, 28), np.float32, (20,))
        assert np.unique(arrays["x"]).tolist() == [-1, 1]


def test_data_are_shown_and_exported(here: Path, toydiff: Toydiff) -> None:
    toydiff("data", "show", "moons", "-n", "200", "-o", "moons.png")
    toydiff("data", "show", "moons", "-n", "200", "--forward", "-o", "strip.png")
    assert opened("strip.png").size[0] > opened("moons.png").size[0]
    toydiff("data", "export", "moons", "-n", "100", "-o", "a.npz")
    toydiff("data", "export", "moons", "-n", "100", "-o", "a.csv")
    with np.load("a.npz") as arrays:
        assert (arrays["x"].shape, arrays["label"].shape) == ((100, 2), (100,))
        np.testing.assert_allclose(np.loadtxt("a.csv", delimiter=",", skiprows=1)[:, :2], arrays["x"], rtol=1e-8)
    facts = json.loads(toydiff("data", "export", "moons", "--set", "noise=0.3", "-n", "5", "--json").stdout)
    assert facts["data"] == {"kind": "moons", "n": None, "seed": 0, "noise": 0.3}


def test_a_preset_is_a_data_set_as_well(toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("data", "stats", "swissroll-cosine40", "-n", "100", "--json").stdout)
    assert facts["data"] == "swissroll"
