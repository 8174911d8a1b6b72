"""One process at a time in a folder, and a dead one is in nobody's way."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from toydiff import lock
from toydiff.errors import ToydiffError
from toydiff.lock import locked

HOLDER = """
import sys
from pathlib import Path
from toydiff.lock import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Return another process that is in the folder until its stdin ends."""
    source = str(Path(lock.__file__).parents[1])
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": source},
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline() == "in\n"
    return child


def test_the_second_is_told_who_is_in(tmp_path: Path) -> None:
    child = holder(tmp_path)
    with pytest.raises(ToydiffError) as caught, locked(tmp_path):
        raise AssertionError("two are in")
    assert caught.value.exit_code == 1
    assert f"process {child.pid} on {socket.gethostname()} is training in it" in caught.value.message
    child.communicate()  # it leaves
    with locked(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_a_crash_releases_it_by_itself(tmp_path: Path) -> None:
    child = holder(tmp_path)
    child.kill()
    child.communicate()
    assert os.listdir(tmp_path) == [".lock"]
    with locked(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text()
    assert os.listdir(tmp_path) == []


def test_it_is_released_by_an_error_and_holds_within_one_process_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        with pytest.raises(ToydiffError, match="is in use"), locked(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_a_file_removed_between_open_and_lock_is_not_mistaken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, left = fcntl.flock, ["once"]

    def the_holder_leaves_first(descriptor: int, how: int) -> None:
        if left:
            left.pop()
            os.unlink(tmp_path / ".lock")
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", the_holder_leaves_first)
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()
        with pytest.raises(ToydiffError, match="is in use"), locked(tmp_path):
            pass


def test_a_file_system_without_locks_is_no_reason_not_to_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none_here)
    with locked(tmp_path):
        pass


def test_a_lock_that_cannot_be_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to("elsewhere")  # nothing is made where a link leads
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ToydiffError, match=r"cannot write .*\.lock"), locked(folder):
            pass
    assert os.listdir(tmp_path) == [".lock"]
