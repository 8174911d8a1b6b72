"""--preview: pictures of characters on stderr, for terminals with and without colours, and where there is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Toydiff
from .program import TINY

BRAILLE = re.compile("[\u2801-\u28ff]")
COLOUR = re.compile(r"\x1b\[[0-9;]*[34]8;[25];")
QUICK = ("train", "moons", *TINY, "--steps", "30")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A terminal of 80 × 24 with all colours; --preview takes stderr to be one."""
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch


def test_nothing_is_drawn_unasked(with_run: Path, toydiff: Toydiff) -> None:
    assert not BRAILLE.search(toydiff("sample", "tiny", "-n", "9", "-o", "a.png").stderr)
    assert not BRAILLE.search(toydiff("data", "show", "moons", "-o", "b.png").stderr)


@pytest.mark.parametrize("words", [(), ("--json",), ("--quiet",), ("--json", "--quiet")])
def test_a_pipe_gets_plain_text_and_stdout_only_results(
    words: tuple[str, ...], with_run: Path, toydiff: Toydiff
) -> None:
    done = toydiff("sample", "tiny", "-n", "50", "-o", "a.npz", "--preview", *words)
    assert "\x1b" not in done.stderr
    assert BRAILLE.search(done.stderr)
    assert not BRAILLE.search(done.stdout)
    assert max(map(len, done.stderr.splitlines())) <= 80
    if "--json" in words:
        assert json.loads(done.stdout)["n"] == 50
    assert np.load("a.npz")["x"].shape == (50, 2)


def test_a_terminal_gets_classes_in_colour(with_run: Path, toydiff: Toydiff, terminal: pytest.MonkeyPatch) -> None:
    assert COLOUR.search(toydiff("sample", "tiny", "-n", "50", "-o", "a.npz", "--preview").stderr)
    assert not COLOUR.search(toydiff("sample", "plain", "-n", "50", "-o", "b.npz", "--preview").stderr)


@pytest.mark.parametrize("missing", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLORTERM": "", "TERM": "xterm"}])
def test_without_colours_images_are_shaded(
    missing: dict[str, str], here: Path, toydiff: Toydiff, terminal: pytest.MonkeyPatch
) -> None:
    words = ("data", "show", "shapes", "-n", "2", "--preview")
    coloured = toydiff(*words, "-o", "a.png").stderr
    assert COLOUR.search(coloured)
    assert "█" not in coloured
    for name, value in missing.items():
        terminal.setenv(name, value)
    plain = toydiff(*words, "-o", "b.png").stderr
    assert not COLOUR.search(plain)
    assert "█" in plain


def test_a_narrow_terminal_gets_a_narrow_picture(here: Path, toydiff: Toydiff, terminal: pytest.MonkeyPatch) -> None:
    terminal.setenv("COLUMNS", "30")
    terminal.setenv("NO_COLOR", "1")
    for data in ("moons", "shapes"):
        lines = toydiff("data", "show", data, "-n", "40", "-o", f"{data}.png", "--preview").stderr.splitlines()
        assert 16 <= max(map(len, lines)) <= 30


def test_what_a_terminal_cannot_show_is_said(here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console.Console.encoding", "ascii")
    said = toydiff("data", "show", "moons", "-o", "a.png", "--preview").stderr
    assert said == "warning: no preview: this terminal's encoding, ascii, has no blocks and dots\n"
    assert Path("a.png").exists()


def test_points_of_many_coordinates_are_shown_in_pairs(here: Path, toydiff: Toydiff) -> None:
    np.save("deep.npy", np.random.default_rng(0).normal(size=(200, 10)))
    said = toydiff("data", "show", "npy:deep.npy", "-o", "a.png", "--preview").stderr
    for pair in ("x₁, x₂", "x₁, x₃", "x₂, x₃"):
        assert pair in said
    assert max(map(len, said.splitlines())) <= 80


def test_names_from_a_file_move_no_cursor(here: Path, toydiff: Toydiff, terminal: pytest.MonkeyPatch) -> None:
    Path("a.csv").write_text("x,y,label\n" + "".join(f"{k},{k % 3},\x1b[2J[red]a\n{k},1,b\n" for k in range(9)))
    said = toydiff("data", "show", "csv:a.csv", "-o", "a.png", "--preview").stderr
    assert "\x1b[2J" not in said
    assert "[2J[red]a" in said


def test_training_shows_its_samples_at_the_rhythm_of_the_run(here: Path, toydiff: Toydiff) -> None:
    done = toydiff(*QUICK, "--name", "a", "--preview")
    assert re.findall(r"step (\d+), averaged weights", done.stderr) == ["20", "30"]
    assert "\x1b" not in done.stderr
    again = toydiff("resume", "a", "--steps", "40", "--preview", "--json")
    assert re.findall(r"step (\d+), averaged weights", again.stderr) == ["40"]
    assert all("step" in json.loads(line) for line in again.stdout.splitlines())


def test_a_picture_of_a_run_shows_both_weights_unless_none_are_averaged(here: Path, toydiff: Toydiff) -> None:
    toydiff(*QUICK, "--name", "both")
    done = toydiff(*QUICK, "--name", "raw", "--preview", "--set", "training.ema.half_life=0")
    assert "averaged" not in done.stderr and re.search(r"\bstep 20\b(?!/)", done.stderr)
    sizes = []
    for name in ("both", "raw"):
        with Image.open(f"runs/{name}/samples/step-20.png") as picture:
            sizes.append(picture.size)
    assert sizes[0][0] == pytest.approx(1.5 * sizes[1][0], rel=0.01) and sizes[0][1] == sizes[1][1]


def test_the_board_keeps_one_picture_and_the_curve_of_losses(
    here: Path, toydiff: Toydiff, terminal: pytest.MonkeyPatch
) -> None:
    terminal.setenv("NO_COLOR", "1")
    done = toydiff(*QUICK, "--name", "a", "--preview", "--json")
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr)
    assert re.search(r"loss [\d.]+ [▁-█]{2,8} [\d.]+", said)
    last = said.rpartition("step 30, averaged weights")[2].replace("\r", "\n")
    assert BRAILLE.search(last)  # it stays when the bar has gone
    assert "loss" not in last.split("┘")[-1]
    assert [json.loads(line) for line in done.stdout.splitlines()][-1]["step"] == 30
    assert "{" not in said  # rows of JSON go to stdout, not above the bar


def test_a_dumb_terminal_gets_lines(here: Path, toydiff: Toydiff, terminal: pytest.MonkeyPatch) -> None:
    terminal.setenv("TERM", "dumb")
    said = toydiff(*QUICK, "--name", "a", "--preview").stderr
    assert "\x1b[2K" not in said
    assert "\r" not in said
    assert "step 20/30 · loss" in said
    assert BRAILLE.search(said)
