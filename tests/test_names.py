"""Which checkpoint a NAME means: a path, a run, best.pt, a preset; never two answers for one state of the folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.names import Found, find, preset_names, run_folders, runs_dir

RUNS = Path("runs")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("toydiff.names.pretrained_dir", lambda: Path("pretrained"))


def run(name: str, *checkpoints: str, age: int = 0, preset: str | None = None) -> None:
    """Make a run folder that was active `age` seconds before a certain day."""
    folder = RUNS / name
    folder.mkdir(parents=True)
    for file in ("config.toml", *checkpoints):
        (folder / file).touch()
        os.utime(folder / file, (1e9 - age, 1e9 - age))
    if preset is not None:
        (folder / "env.json").write_text(json.dumps({"preset": preset}))


def value(name: str, *, latest: bool = False) -> str:
    return find(name, RUNS, latest=latest).value


def test_a_path_is_itself() -> None:
    Path("a.pt").touch()
    Path("sub").mkdir()
    Path("sub/a.pt").touch()
    assert [value(name) for name in ("a.pt", "./a.pt", "sub/a.pt")] == ["a.pt", "./a.pt", "sub/a.pt"]


def test_a_run_is_its_best_checkpoint_or_its_latest() -> None:
    run("both", "best.pt", "latest.pt")
    run("young", "latest.pt")
    assert value("both") == value("run:both") == value("runs/both") == "runs/both/best.pt"
    assert value("both", latest=True) == value("runs/both", latest=True) == "runs/both/latest.pt"
    assert value("young") == "runs/young/latest.pt"


def test_a_run_without_a_checkpoint_says_so() -> None:
    run("empty")
    with pytest.raises(ToydiffError, match="the run runs/empty has no checkpoint yet") as error:
        find("empty", RUNS)
    assert "toydiff train --name empty" in error.value.hint


def test_a_path_goes_before_a_run_and_a_run_before_a_preset() -> None:
    run("moons", "best.pt")
    run("newest", "best.pt", preset="moons", age=-9)
    assert value("moons") == "runs/moons/best.pt"
    assert value("preset:moons") == "runs/newest/best.pt"
    Path("moons").touch()
    assert value("moons") == "moons"
    assert value("run:moons") == "runs/moons/best.pt"


def test_a_folder_without_checkpoints_does_not_hide_a_run_of_that_name() -> None:
    run("roll", "best.pt")
    Path("roll").mkdir()
    assert value("roll") == "runs/roll/best.pt"


def test_a_bare_name_is_in_the_runs_folder_or_the_newest_run_that_has_one() -> None:
    run("old", "best.pt", "latest.pt", age=20)
    run("new", "latest.pt", age=10)
    assert (value("best.pt"), value("latest.pt")) == ("runs/old/best.pt", "runs/new/latest.pt")
    (RUNS / "best.pt").touch()
    assert value("best.pt") == "runs/best.pt"
    Path("best.pt").touch()
    assert value("best.pt") == "best.pt"


def test_newest_is_the_most_recently_active() -> None:
    run("first", "latest.pt", age=30)
    run("second", "latest.pt", age=20)
    run("failed", age=10)
    assert [folder.name for folder in run_folders(RUNS)] == ["failed", "second", "first"]
    os.utime(RUNS / "first" / "latest.pt", (1e9, 1e9))  # resumed
    assert [folder.name for folder in run_folders(RUNS)] == ["first", "failed", "second"]
    (RUNS / "no run").mkdir()
    assert len(run_folders(RUNS)) == 3


def test_a_preset_is_its_newest_run_with_a_checkpoint_else_its_pretrained_checkpoint() -> None:
    Path("pretrained").mkdir()
    Path("pretrained/moons.pt").touch()
    run("other", "best.pt", preset="swissroll")
    assert value("moons") == "pretrained/moons.pt"
    run("older", "best.pt", preset="moons", age=20)
    run("newer", "best.pt", preset="moons", age=10)
    run("hopeless", preset="moons")
    assert value("moons") == "runs/newer/best.pt"


def test_a_pretrained_checkpoint_need_not_be_a_preset() -> None:
    Path("pretrained").mkdir()
    Path("pretrained/moons-guide.pt").touch()
    assert find("moons-guide", RUNS) == Found(
        "checkpoint", "pretrained/moons-guide.pt", "the pretrained checkpoint of moons-guide"
    )
    run("moons-guide", "best.pt")
    assert value("moons-guide") == "runs/moons-guide/best.pt"
    with pytest.raises(ConfigurationError, match="neither a path, a run nor a preset") as error:
        find("moons-gude", RUNS)
    assert "moons-guide" in error.value.hint


def test_a_damaged_environment_file_is_no_preset_and_no_error() -> None:
    for k, text in enumerate(("{", "[]", '{"preset": 3}', "\ufffd")):
        run(f"r{k}", "best.pt")
        (RUNS / f"r{k}" / "env.json").write_text(text)
    with pytest.raises(ToydiffError, match="neither a run in runs nor a pretrained checkpoint") as error:
        find("moons", RUNS)
    assert error.value.exit_code == 1
    assert "toydiff train moons" in error.value.hint


def test_prefixes_say_what_is_meant() -> None:
    assert find("data:moons", RUNS) == Found("data", "moons", "the data set moons")
    assert find("exact:moons", RUNS) == Found("exact", "moons", "the exact denoiser of moons")
    assert find("exact:moons@1500", RUNS).why == (
        "the exact denoiser of 1,500 samples of moons: it has memorised them, and gives back nothing else"
    )


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("nothing", ConfigurationError, "`nothing` is neither a path, a run nor a preset"),
        ("none.pt", ToydiffError, "none.pt is not there"),
        ("a/b", ToydiffError, "a/b is not there"),
        ("run:none", ConfigurationError, "there is no run `none`"),
        ("run:", ConfigurationError, "there is no run ``"),
        ("run:..", ConfigurationError, "there is no run"),
        ("preset:none", ConfigurationError, "there is no preset `none`"),
        ("data:none", ConfigurationError, "unknown data set `none`"),
        ("data:moons@5", ConfigurationError, "unknown data set `moons@5`"),
        ("exact:moons@-5", ConfigurationError, "`-5` is not a number of samples"),
        ("exact:moons@99999999", ConfigurationError, "`99999999` is not a number of samples"),
        ("..", ToydiffError, "the folder .. holds no checkpoint"),
        ("", ConfigurationError, "`` is neither"),
    ],
)
def test_what_means_nothing_is_refused(name: str, error: type[ToydiffError], words: str) -> None:
    with pytest.raises(error) as caught:
        find(name, RUNS)
    assert words in caught.value.message
    assert type(caught.value) is error
    assert caught.value.hint


def test_the_runs_folder_is_the_option_else_the_environment_else_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_dir() == Path("checkpoints")
    monkeypatch.setenv("TOYDIFF_RUNS", "elsewhere")
    assert (runs_dir(), runs_dir("here")) == (Path("elsewhere"), Path("here"))
    monkeypatch.setenv("TOYDIFF_RUNS", "")
    assert runs_dir() == Path("checkpoints")


def test_presets_are_those_the_issue_names() -> None:
    assert {"swissroll", "moons", "gaussians", "checkerboard", "swissroll-cosine40"} <= set(preset_names())
