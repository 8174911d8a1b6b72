"""Help pages, tables and terminal pictures, to the letter: on a terminal of 80 columns, without colours.

When one has changed on purpose: `SNAPSHOTS=write pytest tests/cli/test_snapshots.py`, and read the diff.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from .conftest import Toydiff

FOLDER = Path(__file__).parent / "snapshots"
WRITE = os.environ.get("SNAPSHOTS") == "write"
TERMINAL = {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
COMMANDS = ("train", "resume", "sample", "animate", "inspect", "evaluate")
DATA_COMMANDS = ("list", "show", "fetch", "verify", "export", "stats")
NOUNS = ("samplers", "schedules", "targets", "weights", "densities", "couplings", "networks", "presets", "datasets")
LINES = {
    "help": "--help",
    **{f"help-{command}": f"{command} --help" for command in COMMANDS},
    "help-data": "data --help",
    **{f"help-data-{command}": f"data {command} --help" for command in DATA_COMMANDS},
    **{f"inspect-{noun}": f"inspect {noun}" for noun in NOUNS},
    "inspect-model": "inspect shapes32 --model",
    "stats-moons": "data stats moons",
    "stats-shapes": "data stats shapes -n 2000",
    "preview-swissroll": "data show swissroll --preview -n 1000 -o a.png",
    "preview-shapes": "data show shapes --preview -n 4 -o b.png",
    "preview-line": "data show mixture1d --preview -o c.png",
    "preview-pairs": "data show npy:deep.npy --preview -o d.png",
    "preview-beside": "sample exact:gaussians --preview -n 500 -o e.png",
}
"""What is typed, by the name of the file that holds what is to be seen."""


@pytest.mark.parametrize("name", LINES)
def test_it_looks_as_it_did(name: str, here: Path, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in TERMINAL.items():
        monkeypatch.setenv(key, value)
    if "deep.npy" in LINES[name]:
        x = np.arange(400) / 400
        np.save("deep.npy", np.stack([np.sin(k * x) for k in (3, 5, 1, 2, 4, 6, 7, 8, 9, 10)], axis=1))
    done = toydiff(*shlex.split(LINES[name]))
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr if "--preview" in LINES[name] else done.stdout)
    seen = "".join(f"{line.rstrip()}\n" for line in seen.strip("\n").splitlines())
    assert max(map(cell_len, seen.splitlines())) <= 80
    file = FOLDER / f"{name}.txt"
    if WRITE:
        file.write_text(seen, encoding="utf-8")
    assert seen == file.read_text(encoding="utf-8"), "if it is meant: SNAPSHOTS=write pytest, and read the diff"


def test_every_command_and_noun_has_a_snapshot() -> None:
    from toydiff.cli import data
    from toydiff.cli.app import app
    from toydiff.cli.nouns import NOUNS as nouns

    assert [command.name for command in app.registered_commands] == list(COMMANDS)
    assert {command.name or command.callback.__name__ for command in data.app.registered_commands} == set(DATA_COMMANDS)
    assert nouns == NOUNS
    assert {path.stem for path in FOLDER.iterdir()} == set(LINES)
