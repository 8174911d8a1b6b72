"""toydiff on real and odd terminals: pipes that close, full disks, no colour, no Greek, and no terminal at all."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from toydiff.cli.talk import Talk

from .program import TINY, program

COLOUR = re.compile(r"\x1b\[[0-9;]*\b3[0-7]")


def shell(command: str, here: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which `toydiff` is this one."""
    words = command.replace("toydiff", f"{shlex.quote(sys.executable)} -m toydiff", 1)
    environment = os.environ | {"TOYDIFF_RUNS": "runs"} | environment
    return subprocess.run(["bash", "-c", words], cwd=here, env=environment, capture_output=True, text=True)


def on_terminal(words: list[str], here: Path, **environment: str) -> str:
    """Return what a terminal of 80 columns receives."""
    master, slave = pty.openpty()
    environment = os.environ | {"TOYDIFF_RUNS": "runs", "COLUMNS": "80", "TERM": "xterm"} | environment
    program = subprocess.Popen(
        [sys.executable, "-m", "toydiff", *words], cwd=here, env=environment, stdout=slave, stderr=slave
    )
    os.close(slave)
    received = b""
    try:
        while part := os.read(master, 65536):
            received += part
    except OSError:  # how Linux says that the other side has closed
        pass
    os.close(master)
    assert program.wait() is not None
    return received.decode().replace("\r\n", "\n")


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    done = shell("toydiff inspect samplers | head -c 1", tmp_path)
    assert (done.stdout, done.stderr) == ("n", "")


def test_a_closed_stdout_is_no_error(tmp_path: Path) -> None:
    done = shell("toydiff inspect samplers >&-", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_stderr_does_not_turn_errors_into_results(tmp_path: Path) -> None:
    done = shell("toydiff sample nosuch 2>&-", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_said_in_one_line(tmp_path: Path) -> None:
    done = shell("toydiff inspect samplers >/dev/full", tmp_path)
    assert done.returncode == 1
    assert "error: cannot print the result: no space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_terminal_without_greek_gets_escapes(tmp_path: Path) -> None:
    done = program("inspect", "schedules", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert r"\u03b2_i linear" in done.stdout


def test_a_file_name_that_is_no_text_is_shown_harmlessly(tmp_path: Path) -> None:
    done = shell(r"toydiff sample exact:moons -n 2 -q -o $'\xfe\e[31m.npz'", tmp_path)
    assert done.returncode == 0
    assert r"\udcfe\x1b[31m.npz: 2 samples" in done.stdout


def test_neither_home_nor_locale_is_needed(tmp_path: Path) -> None:
    done = shell("env -u HOME -u XDG_CACHE_HOME LC_ALL=C toydiff sample exact:moons -n 2 -o 'ü 🌀.png'", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ü 🌀.png"]


def test_pipes_get_plain_text(tmp_path: Path) -> None:
    done = program("inspect", "samplers", cwd=tmp_path)
    assert "\x1b" not in done.stdout
    assert "\x1b" not in program("trian", cwd=tmp_path).stderr


def test_no_color_is_respected(tmp_path: Path) -> None:
    assert COLOUR.search(on_terminal(["trian"], tmp_path))
    assert not COLOUR.search(on_terminal(["trian"], tmp_path, NO_COLOR="1"))


def test_a_terminal_sees_the_run_go_by_and_then_the_result(tmp_path: Path) -> None:
    words = ["train", "moons", "--name", "a", *TINY, "--steps", "40"]
    seen = on_terminal(words, tmp_path)
    for part in ("loss ", " it/s", "lr ", "|g| ", "40/40"):
        assert part in seen
    lines = seen.rpartition("trained 40 steps")[2].splitlines()  # the bar has gone
    assert [line for line in lines[1:] if line.startswith("  next: toydiff ")] == [
        "  next: toydiff sample a", "  next: toydiff animate a --to mp4", "  next: toydiff inspect a --summary",
    ]  # fmt: skip


def test_tables_fit_a_terminal(tmp_path: Path) -> None:
    seen = on_terminal(["data", "list"], tmp_path, NO_COLOR="1")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", seen).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["name", "about"]


def test_shells_complete_names(tmp_path: Path) -> None:
    (tmp_path / "runs" / "my-run").mkdir(parents=True)
    (tmp_path / "runs" / "my-run" / "config.toml").touch()

    def completed(line: str) -> list[str]:
        asked = {"_TOYDIFF_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        code = "import sys; sys.argv[0] = 'toydiff'; from toydiff.cli.app import main; main()"
        environment = os.environ | {"TOYDIFF_RUNS": "runs"} | asked
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return done.stdout.split()

    assert completed("toydiff train swissroll-c") == ["swissroll-cond", "swissroll-cosine40"]
    assert {"my-run", "moons", "mnist"} <= set(completed("toydiff sample m"))
    assert completed("toydiff sample x --sampler dd") == ["ddpm", "ddim"]
    assert completed("toydiff data show c") == ["circles", "checkerboard", "cifar10", "csv:"]


def test_a_log_names_the_level_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("log.txt", "log.jsonl"):
        Talk(log_file=tmp_path / name, quiet=True).warn("beware")
        assert capsys.readouterr().err == "warning: beware\n"
    assert (tmp_path / "log.txt").read_text().split()[1:] == ["warning", "beware"]
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert (row["level"], row["message"]) == ("warning", "beware")
