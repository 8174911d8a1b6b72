"""Every kind of film shows what it says, drawn while it is sampled; its points are those that `sample` makes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from toydiff.cli import filming, films
from toydiff.cli.app import app
from toydiff.cli.filming import words_of
from toydiff.runs import load
from toydiff.samplers import DDIM
from toydiff.viz import frames
from toydiff.viz.moving import Shot, grid

from .conftest import Toydiff
from .program import TINY


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `kept`, which kept its steps 5 and 15 of 30."""
    folder = tmp_path_factory.mktemp("kept") / "runs"
    words = ["train", "--preset", "moons", "--name", "kept", "--steps", "30", "--runs-dir", str(folder), "-q", *TINY]
    done = CliRunner().invoke(app, [*words, "--set", "record.keep=[5,15]"])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def with_kept(here: Path, runs: Path) -> Path:
    shutil.copytree(runs, here / "runs")
    return here


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[Shot]]:
    """The shots of each panel, as they are handed to whoever draws them."""
    panels: list[list[Shot]] = []
    draw = frames.film_frames

    def spy(data: object, reels: list[frames.Panel], look: frames.Look) -> object:
        def noted(shots: object, seen: list[Shot]) -> object:
            for shot in shots:  # type: ignore[attr-defined]
                seen.append(shot)
                yield shot

        panels.extend([] for _ in reels)
        kept = [reel._replace(shots=noted(reel.shots, seen)) for reel, seen in zip(reels, panels, strict=True)]  # type: ignore[arg-type]
        return draw(data, kept, look)  # type: ignore[arg-type]

    monkeypatch.setattr(frames, "film_frames", spy)
    return panels


SMALL = ("--size", "64", "-n", "20", "-q")


def samples(toydiff: Toydiff, *words: str) -> np.ndarray:
    toydiff("sample", "-o", "x.npz", "-n", "20", "-q", *words)
    with np.load("x.npz") as arrays:
        x = arrays["x"]
    Path("x.npz").unlink()
    return x


def film(toydiff: Toydiff, *words: str) -> None:
    toydiff("animate", "-o", "film.png", *SMALL, *words)
    Path("film.png").unlink()


def test_the_last_frame_is_what_sample_makes(with_kept: Path, toydiff: Toydiff, drawn: list[list[Shot]]) -> None:
    film(toydiff, "kept", "--frames", "6", "--sampler", "ddpm:12", "--seed", "5", "--weights", "raw")
    (shots,) = drawn
    assert np.array_equal(
        shots[-1].x, samples(toydiff, "kept", "--sampler", "ddpm:12", "--seed", "5", "--weights", "raw")
    )
    assert [shot.caption.split("step ")[1] for shot in (shots[0], shots[-1])] == ["0 of 12", "12 of 12"]
    assert len(shots) == 6


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp", "apng"])
def test_a_film_shows_the_samples_where_they_are(kind: str, here: Path, toydiff: Toydiff) -> None:
    words = ("exact:gaussians@3", "--sampler", "ddim:8")
    more = ("-n", "20", "--frames", "9", "--fps", "12", "--size", "401", "--json")
    facts = json.loads(toydiff("animate", *words, "-o", f"f.{kind}", *more).stdout)
    if kind == "mp4":
        with av.open("f.mp4") as file:
            stream = file.streams.video[0]
            assert (stream.width, stream.height, stream.average_rate) == (402, 402, facts["fps"])
            pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    else:
        with Image.open(f"f.{kind}") as file:
            assert file.size == (401, 401)
            pictures = []
            for k in range(file.n_frames):
                file.seek(k)
                pictures.append(np.asarray(file.convert("RGB")))
    assert len(pictures) == facts["frames"] == 9
    limits = frames.film_limits(load("exact:gaussians@3").data)
    x = samples(toydiff, *words)
    column = ((x[:, 0] - limits[0]) / (limits[1] - limits[0]) * 401).astype(int)
    row = ((limits[3] - x[:, 1]) / (limits[3] - limits[2]) * 401).astype(int)
    assert (pictures[-1][row, column].min(axis=1) < 225).all()
    assert (pictures[0][row, column].min(axis=1) < 225).mean() < 0.5


def test_arrows_lead_to_what_the_denoiser_sees_in_x_t(here: Path) -> None:
    loaded = load("exact:moons")
    cast = films.Cast(torch.arange(4), "none")
    shots = list(films.reverse(loaded, cast, 5).shots)
    for shot in shots[:-1]:
        x_t = (torch.as_tensor(shot.x) - loaded.shift) / loaded.scale
        torch.testing.assert_close(shot.x0, loaded.to_data(loaded.denoise()(x_t, shot.level)), atol=1e-4, rtol=0)
    torch.testing.assert_close(shots[-1].x, shots[-1].x0)


def test_samplers_side_by_side_share_noise_and_clock(
    with_kept: Path, toydiff: Toydiff, drawn: list[list[Shot]]
) -> None:
    film(toydiff, "kept", "--frames", "9", "--side-by-side", "data,ddpm:16,ddim:4")
    data, many, few = drawn
    assert len(data) == len(many) == len(few) == 9
    assert np.array_equal(many[0].x, few[0].x) and not np.array_equal(many[-1].x, few[-1].x)
    for side, sampler in ((many, "ddpm:16"), (few, "ddim:4")):
        assert np.array_equal(side[-1].x, samples(toydiff, "kept", "--sampler", sampler))
    for k in range(9):  # each shows the state it has reached by the time that both are at
        now = float(many[0].level.t) * (1 - k / 8)  # type: ignore[union-attr]
        assert all(float(side[k].level.t) >= now - 1e-9 for side in (many, few))  # type: ignore[union-attr]
    assert [shot.caption[-6:] for shot in few[::2]] == ["0 of 4", "1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert all(shot.x is data[0].x for shot in data)


def test_a_film_of_training_samples_each_checkpoint_from_one_noise(
    with_kept: Path, toydiff: Toydiff, drawn: list[list[Shot]]
) -> None:
    film(toydiff, "kept", "--what", "training")
    (shots,) = drawn
    assert [shot.caption for shot in shots] == [f"after {step} training steps" for step in (5, 15, 30)]
    for shot, name in zip(shots, ("step-5", "step-15", "latest"), strict=True):
        assert np.array_equal(shot.x, samples(toydiff, f"runs/kept/{name}.pt"))
    toydiff("animate", "kept", "to", "html", "--what", "training", "-n", "5", "-q")
    page = Path("kept.html").read_text(encoding="utf-8")
    assert [f'"caption":"{shot.caption}"' in page for shot in shots] == [True] * 3


def test_a_missing_encoder_is_said_before_anything_is_sampled(
    with_kept: Path, toydiff: Toydiff, drawn: list[list[Shot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    said = toydiff("animate", "kept", "to", "mp4", code=1).stderr
    assert "no mp4 can be made here: PyAV has no encoder libx264" in said and "--to png" in said
    assert "filming" not in said and not drawn and not Path("kept.mp4").exists()


def test_a_film_larger_than_the_limit_is_made_if_one_says_yes(
    with_kept: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filming, "SIZE_LIMIT", 1000)
    words = ("animate", "kept", "to", "gif", "--frames", "3", "--size", "80", "-n", "5")
    assert "Say --yes" in toydiff(*words, code=2).stderr and not Path("kept.gif").exists()
    toydiff(*words, "--yes")
    assert Path("kept.gif").stat().st_size > 1000


def test_beside_the_data_the_film_says_what_it_is(with_kept: Path, toydiff: Toydiff) -> None:
    for what, title in (("reverse", "samples"), ("forward", "data with noise")):
        name = f"{what}.html"
        toydiff("animate", "kept", "-o", name, "--side-by-side", "data", "--what", what, "--frames", "3", "-n", "5")
        assert re.findall(r'"title":"(.*?)"', Path(name).read_text(encoding="utf-8"))[1:] == ["data", title]


def test_interpolation_ends_at_the_samples_of_both_seeds(
    with_kept: Path, toydiff: Toydiff, drawn: list[list[Shot]]
) -> None:
    film(toydiff, "kept", "--what", "interpolate", "--interpolate", "3,70", "--frames", "3", "--sampler", "ddpm:6")
    (shots,) = drawn
    for shot, seed in ((shots[0], "3"), (shots[2], "70")):
        wanted = samples(toydiff, "kept", "--seed", seed, "--sampler", "ddpm:6")
        np.testing.assert_allclose(shot.x, wanted, atol=1e-5)
    assert shots[1].caption == "seed 3–22 → 70–89,  50% of the way"


def test_live_noises_and_denoises_what_it_has(with_kept: Path, toydiff: Toydiff, drawn: list[list[Shot]]) -> None:
    film(toydiff, "kept", "--what", "live", "--strength", "0.2", "--frames", "4")
    (shots,) = drawn
    assert np.array_equal(shots[0].x, samples(toydiff, "kept"))
    np.save("before.npy", shots[1].x)
    assert np.array_equal(
        shots[2].x, samples(toydiff, "kept", "--init", "before.npy", "--strength", "0.2", "--seed", "40")
    )
    moved = [float((b.x - a.x).norm(dim=1).mean()) for a, b in pairwise(shots)]  # type: ignore[operator]
    assert 0 < max(moved) < 1.5


def test_the_score_field_is_that_of_the_density(here: Path) -> None:
    loaded = load("exact:gaussians")
    (panel,) = films.score(loaded, films.Cast(torch.arange(7), None), 3)
    exact = loaded.data.exact().affine(loaded.shift, loaded.scale)
    limits = frames.film_limits(loaded.data)
    at = (torch.from_numpy(grid(limits)).float() - loaded.shift) / loaded.scale
    for shot in panel.shots:
        pull = shot.level.sigma * exact.score(at, shot.level)  # type: ignore[union-attr]
        arrow = torch.as_tensor(shot.x0).float()
        cell = (limits[1] - limits[0]) / 24
        torch.testing.assert_close(arrow.norm(dim=1), (pull.norm(dim=1) / 2).tanh() * cell, atol=1e-4, rtol=1e-3)
        far = pull.norm(dim=1) > 0.1
        assert torch.cosine_similarity(arrow[far], pull[far]).min() > 0.999


def test_learned_beside_exact_where_it_is_known_and_unguided(with_kept: Path) -> None:
    loaded = load("kept")
    cast = films.Cast(torch.arange(3), None)
    assert [panel.title for panel in films.score(loaded, cast, 2)] == ["learned", "exact"]
    assert len(films.score(loaded, replace(cast, options={"guidance": 2.0}), 2)) == 1


@pytest.mark.parametrize("what", ["reverse", "forward", "interpolate", "live"])
def test_a_film_is_drawn_while_it_is_sampled(what: str, here: Path) -> None:
    """A shot is made when it is asked for, and nobody keeps it."""
    loaded = load("exact:moons@5")
    loaded = replace(
        loaded,
        config=loaded.config.model_copy(
            update={"sampling": loaded.config.sampling.model_copy(update={"sampler": DDIM(), "steps": 400})}
        ),
    )
    asked: list[None] = []
    denoiser = loaded.denoiser
    loaded = replace(loaded, denoiser=lambda *a, **k: (asked.append(None), denoiser(*a, **k))[1])
    stage = films.staged(what, loaded, films.Cast(torch.arange(3), None), 200, [], [], None, 0.5)
    next(stage.panels[0].shots)
    assert len(asked) <= 401 and (what != "reverse" or len(asked) <= 2)


def test_frames_of_any_number_go_from_the_first_to_the_last() -> None:
    assert films.evenly(3, 9) == [0, 1, 2]
    assert films.evenly(101, 5) == [0, 25, 50, 75, 100]
    assert films.by_time([1, 0.5, 0], 5) == [0, 0, 1, 1, 2]
    assert films.by_time([1, 0.9, 0.1, 0], 3) == [0, 1, 3]


def test_overlay_may_say_what_it_shows() -> None:
    assert words_of("swissroll", ["to", "mp4", "data"], None, True) == ("swissroll", ["to", "mp4"])
    assert words_of("data", ["swissroll", "to", "mp4"], None, True) == ("swissroll", ["to", "mp4"])
    assert words_of("data", [], None, True) == ("data", [])
    assert words_of("to", ["gif"], "best.pt", False) == (None, ["to", "gif"])


def test_ctrl_c_while_it_is_drawn_leaves_nothing(with_kept: Path) -> None:
    words = ["animate", "kept", "--frames", "3000", "-o", "film.mp4", "--steps", "100", "--what", "live"]
    scratch = with_kept / "scratch"
    scratch.mkdir()
    program = subprocess.Popen(
        [sys.executable, "-m", "toydiff", *words],
        env=os.environ | {"TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(scratch.glob("*/film.mp4")) and time.monotonic() < deadline:
        assert program.poll() is None, program.communicate()[1]
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    said = program.communicate(timeout=60)[1]
    assert program.returncode == 130 and "interrupted" in said and "Traceback" not in said
    assert {path.name for path in with_kept.iterdir()} == {"runs", "scratch"} and not list(scratch.iterdir())


def test_what_a_run_learned_by_and_by(with_kept: Path, toydiff: Toydiff) -> None:
    for words in (("--at-steps", "all"), ("--at-steps", "5,30", "--theme", "dark", "--size", "500")):
        toydiff("sample", "kept", "-o", "p.png", *words)
        picture = Image.open(BytesIO(Path("p.png").read_bytes()))
        Path("p.png").unlink()
    assert picture.width == 500 and np.asarray(picture.convert("L"))[0, 0] < 40
