"""One tiny trained run, shared, and a command line that runs in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from toydiff.cli.app import app

from .forks import Forks
from .program import TINY

Toydiff = Callable[..., Result]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose runs/ holds two runs of 30 steps: `plain`, then `tiny`, which knows its labels."""
    folder = tmp_path_factory.mktemp("trained")
    for name, conditional in (("plain", "false"), ("tiny", "true")):
        words = ["train", "--preset", "moons", "--name", name, "--steps", "30", "--runs-dir", str(folder / "runs")]
        done = CliRunner().invoke(app, [*words, *TINY, "--set", f"model.conditional={conditional}"])
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with runs in runs/ and no pretrained checkpoint, whichever are shipped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("toydiff.names.pretrained_dir", lambda: Path("pretrained"))
    monkeypatch.setenv("TOYDIFF_RUNS", "runs")
    monkeypatch.setenv("TOYDIFF_DATA", os.environ.get("TOYDIFF_DATA", "downloads"))  # --data-dir sets it, too
    return tmp_path


@pytest.fixture
def with_run(here: Path, trained: Path) -> Path:
    """The same folder with a copy of the trained run in it."""
    shutil.copytree(trained / "runs", here / "runs")
    return here


@pytest.fixture
def toydiff(here: Path) -> Toydiff:
    """`toydiff("sample", "tiny", code=0)` in this process; checks the exit code and that nobody sees a traceback."""

    def run(*words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == code, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return run


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """`forks("sample", "tiny", cwd=here)`: toydiff as a program of its own, without importing torch each time."""
    server = Forks(tmp_path_factory.mktemp("forks"))
    yield server
    server.close()
