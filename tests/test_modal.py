"""The rented GPU, without renting one: what would run there is run here, interrupted, repeated and compared."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from toydiff.cli.app import app as cli

from .cli.program import TINY
from .cli.several import files_of

pytest.importorskip("modal", reason="modal is not installed: pip install toydiff[modal]")
pytestmark = pytest.mark.filterwarnings("ignore:The train function is executing locally")
APP = Path(__file__).parents[1] / "modal_app" / "train.py"
RECORD = "record={validation=100, log_every=50, validate_every=100, save_every=20, sample_every=1000}"
RUN = [*TINY, "--name", "run", "--steps", "1000", "--set", RECORD]


@pytest.fixture(scope="module")
def job() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("modal_app_train", APP)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


@pytest.fixture
def volume(job: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the volume, committed often."""
    monkeypatch.setattr(job, "RUNS", tmp_path / "volume")
    monkeypatch.setattr(job, "EVERY", 0.1)
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


def test_help_names_the_options() -> None:
    command = [sys.executable, "-m", "modal", "run", str(APP), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for option in ("--preset", "--epochs", "--batch-size", "--set", "--options"):
        assert option in done.stdout


def test_interrupted_repeated_and_finished_equals_undisturbed(
    job: ModuleType, volume: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = CliRunner().invoke(cli, ["train", "--resume", "moons", *RUN, "-q", "--runs-dir", str(tmp_path / "runs")])
    assert whole.exit_code == 0, whole.output

    over = threading.Event()

    def preempt() -> None:
        while not (volume / "best.pt").exists():
            if over.wait(0.005):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=preempt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt, match="preempted by SIGTERM"):
            job.train.local(["moons", *RUN])
    finally:
        over.set()
        thread.join()
    assert "stopped by SIGTERM" in capfd.readouterr().err
    assert job.train.local(["moons", *RUN]) == 0
    assert "continuing" in capfd.readouterr().err
    assert files_of(volume / "run") == files_of(tmp_path / "runs" / "run")
    assert (volume / "best.pt").read_bytes() == (volume / "run" / "best.pt").read_bytes()


def test_only_what_may_end_otherwise_is_tried_again(
    job: ModuleType, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(code: int) -> None:
        monkeypatch.setattr(job, "command", lambda words, gpu: [sys.executable, "-c", f"raise SystemExit({code})"])

    for code in (0, 2, 3):
        ends(code)
        assert job.train.local([]) == code
    for code in (1, 130, 143):
        ends(code)
        with pytest.raises(RuntimeError, match=f"exit code {code}; the next attempt goes on"):
            job.train.local([])


def test_the_words_are_those_of_the_command_line(job: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[str]] = []
    monkeypatch.setattr(job, "train", type("Train", (), {"remote": lambda self, words: sent.append(words) or 0})())
    typed = ["--preset", "moons", "--batch-size", "128", "--set", "seed=3", "--set=training.lr=1", "--options"]
    monkeypatch.setattr(sys, "argv", ["modal", "run", "train.py", *typed, "--steps 5 --name 'a b'"])
    checked: list[list[str]] = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(job.subprocess, "run", lambda words, **_: checked.append(words) or done)
    with pytest.raises(SystemExit) as left:
        job.main.info.raw_f("moons", None, 128, "training.lr=1", "--steps 5 --name 'a b'")
    words = [
        "moons",
        "--batch-size",
        "128",
        "--set",
        "seed=3",
        "--set",
        "training.lr=1",
        "--steps",
        "5",
        "--name",
        "a b",
    ]
    assert left.value.code == 0 and sent == [words] and checked[0][3:-2] == ["train", *words]

    done.returncode = 2  # refused here: nothing is rented
    with pytest.raises(SystemExit) as left:
        job.main.info.raw_f("moon")
    assert left.value.code == 2 and len(sent) == 1


def test_several_gpus_train_under_torchrun(job: ModuleType) -> None:
    assert job.command(["moons"], "A100")[1:] == ["-m", "toydiff", "train", "--resume", "auto", "moons"]
    assert job.command([], "A100:1") == job.command([], "A100")
    several = job.command(["moons"], "H100:8")
    assert several[1:3] == ["-m", "torch.distributed.run"] and several[several.index("--nproc-per-node") + 1] == "8"
    assert several[-6:] == ["-m", "toydiff", "train", "--resume", "auto", "moons"]
