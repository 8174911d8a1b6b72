"""Every refusal of the table: its exit code, its words, and nothing changed that may not change."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from .bad_inputs import ROWS, Row, make
from .conftest import Toydiff
from .program import program


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return what is below a folder: when it changed last, and what is in it."""
    found = {}
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (path.stat().st_mtime_ns, content)
    return found


def check(row: Row, code: int, stdout: str, stderr: str) -> None:
    assert code == row.code, stderr
    assert stdout == ""
    said = re.sub(r"[\s│]+", " ", stderr)  # a usage error is framed and wrapped
    for words in row.words.split(" | "):
        assert words in said, stderr
    assert "Traceback" not in stderr
    assert "went wrong inside" not in stderr
    assert all(c.isprintable() for c in stderr.replace("\n", "")), "a control character reached the terminal"


@pytest.mark.parametrize("row", ROWS, ids=[ascii(f"{k}: {row.argv:.60}") for k, row in enumerate(ROWS)])
def test_what_is_wrong_is_said_and_nothing_is_touched(row: Row, here: Path, trained: Path, toydiff: Toydiff) -> None:
    make(row.fixture, here, trained)
    before = snapshot(here)
    done = toydiff(*shlex.split(row.argv), code=row.code)
    check(row, done.exit_code, done.stdout, done.stderr)
    after = snapshot(here)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed <= set(row.changes.split())


@pytest.mark.parametrize("row", ROWS[3::37], ids=lambda row: ascii(row.argv[:60]))
def test_the_program_says_the_same(row: Row, here: Path, trained: Path) -> None:
    make(row.fixture, here, trained)
    done = program(*shlex.split(row.argv), cwd=here)
    check(row, done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("folder", ["file", "file/runs", "/proc/none"])
def test_a_folder_that_cannot_be_is_not_announced(folder: str, here: Path, toydiff: Toydiff) -> None:
    Path("file").touch()
    assert "training in" not in toydiff("train", "moons", "--runs-dir", folder, code=1).stderr


def test_no_row_is_written_twice() -> None:
    assert len({row.argv for row in ROWS}) == len(ROWS)
