"""What is answered before torch is imported, in fresh interpreters that say what they have loaded."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from toydiff.data import AnyData
from toydiff.names import DATA_KINDS, FILE_KINDS
from toydiff.spec import kinds

SLOW = {"torch", "matplotlib", "tensorboard", "scipy", "av", "PIL"}
CODE = """
import sys
from toydiff.cli.app import main
try:
    main()
except SystemExit as end:
    print(end.code or 0, *{name.partition(".")[0] for name in sys.modules}, file=open("loaded", "w"))
"""


def loaded(line: str, here: Path) -> tuple[int, set[str]]:
    """Run a command line in a fresh interpreter; return its exit code and the packages it loaded."""
    environment = os.environ | {"TOYDIFF_RUNS": "runs"}
    subprocess.run([sys.executable, "-c", CODE, *shlex.split(line)], cwd=here, env=environment, capture_output=True)
    code, *modules = (here / "loaded").read_text().split()
    return int(code), set(modules)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("train --help", 0),
        ("sample --help", 0),
        ("evaluate --help", 0),
        ("evaluate nosuch", 2),
        ("evaluate exact:moons --compare ddim:10", 2),
        ("evaluate exact:moons --inception there.png", 1),
        ("animate --help", 0),
        ("data --help", 0),
        ("inspect presets", 0),
        ("trian", 2),
        ("train swissroll --stepz 3", 2),
        ("train swisroll", 2),
        ("train swissroll --steps 3 --epochs 2", 2),
        ("train swissroll --name moons", 2),
        ("train --config none.toml", 1),
        ("resume", 1),
        ("sample none.pt", 1),
        ("sample nosuch", 2),
        ("sample circles", 1),
        ("sample exact:moon", 2),
        ("sample there.png -o there.png", 2),
        ("sample exact:moons -o none/x.png", 1),
        ("animate exact:moons -o there.png", 2),
        ("animate exact:moons to avi", 2),
        ("inspect nosuch", 2),
        ("data show moon", 2),
        ("data fetch moons", 2),
        ("data fetch mnist --offline --data-dir none", 1),
        ("data verify mnist --data-dir none", 1),
        ("data show moons -o there.png", 2),
        ("data export moons --to xlsx", 2),
    ],
)
def test_answers_that_need_no_torch_import_none(line: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "there.png").write_text("mine")
    returned, modules = loaded(line, tmp_path)
    assert returned == code
    assert not modules & SLOW
    assert "typer" in modules


def test_the_look_at_what_is_loaded_can_fail(tmp_path: Path) -> None:
    assert "torch" in loaded("inspect samplers", tmp_path)[1]


def test_training_begins_without_what_only_scores_need() -> None:
    code = "import sys, toydiff.cli.trainer; sys.exit('scipy' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_data_sets_known_without_torch_are_those_there_are() -> None:
    assert tuple(kinds(AnyData)) == (*DATA_KINDS, *FILE_KINDS)
