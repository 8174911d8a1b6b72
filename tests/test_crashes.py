"""Killed, or refused by the disk, at every call of a save: what was saved before is there, whole, or what is newer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import toydiff

CAMPAIGN = """
import builtins, errno, json, os, random, signal, sys, time
from pathlib import Path

import torch

from toydiff import checkpoint as checkpoints
from toydiff import files
from toydiff.cli.keeping import keep_previous
from toydiff.errors import ToydiffError

torch.set_num_threads(1)
FATES = ("KILL", "ENOSPC", "EIO", "EPERM")


class Traced:
    # A file whose writes count.
    def __init__(self, file): self.file = file
    def __enter__(self): return self
    def __exit__(self, *how): return self.file.__exit__(*how)
    def write(self, data): strike(); return self.file.write(data)
    def __getattr__(self, name): return getattr(self.file, name)


calls, fate, at = 0, "", -1


def strike():
    global calls
    calls += 1
    if calls == at:
        if fate == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, fate)
        raise OSError(number, os.strerror(number))


def counted(function):
    def call(*arguments, **options):
        strike()
        return function(*arguments, **options)
    return call


def save(folder, step):
    # The order of a trainer's save: rows, the copy of the last one, the new one.
    weights = {"w": torch.full((1000,), float(step))}
    files.write_text(folder / "metrics.jsonl", json.dumps({"step": step}) + "\\n")
    keep_previous(folder, print)
    checkpoints.save(folder / "latest.pt", header={"step": step}, model=weights, ema=weights, optimizer={})


def child(folder, how, when, wait):
    global fate, at
    fate, at = how, when
    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
    files.open = lambda *a, **k: Traced(builtins.open(*a, **k))
    if wait:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, wait)
    try:
        for step in range(3, 4 if not wait else 10**6):
            save(folder, step)
    except ToydiffError:
        os._exit(1)
    except OSError:
        os._exit(9)
    os._exit(0)


def attempt(folder, how, when, wait=0.0):
    folder.mkdir()
    save(folder, 1)
    save(folder, 2)
    if (process := os.fork()) == 0:
        child(folder, how, when, wait)
    status = os.waitpid(process, 0)[1]
    steps = [checkpoints.load(folder / name).header["step"] for name in ("latest.prev.pt", "latest.pt")]
    rows = json.loads((folder / "metrics.jsonl").read_text())["step"]
    rubbish = [path.name for path in folder.glob(".*")]
    files.sweep(folder)
    left = len(list(folder.glob(".*")))
    return {"how": how, "status": status, "steps": steps, "rows": rows, "rubbish": len(rubbish), "left": left}


here, tries = Path(sys.argv[1]), int(sys.argv[2])
for how in FATES:
    for when in range(1, 100):
        found = attempt(here / f"{how}-{when}", how, when)
        print(json.dumps(found))
        if os.waitstatus_to_exitcode(found["status"]) == 0 and found["steps"] == [2, 3] and how == "KILL":
            break
        if how != "KILL" and when >= last:
            break
        last = when if how == "KILL" else last
generator = random.Random(0)
for k in range(tries):
    print(json.dumps(attempt(here / f"random-{k}", "random", 0, generator.uniform(0.0005, 0.03))))
"""


def campaign(folder: Path, tries: int) -> list[dict[str, object]]:
    """Return what was left of each save that was struck, in a process that forks one child for each."""
    source = str(Path(toydiff.__file__).parents[1])
    command = [sys.executable, "-W", "ignore", "-c", CAMPAIGN, str(folder), str(tries)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": source}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found: list[dict[str, object]]) -> None:
    for row in found:
        previous, latest = row["steps"]  # type: ignore[misc]
        assert latest in (2, 3) or row["how"] == "random", row
        assert latest - previous in (0, 1), row  # the older one is given up only for its whole successor
        assert row["rows"] in (latest, latest + 1), row  # rows too many, never too few
        assert row["left"] == 0, row
        assert row["status"] != 0 or latest == 3, row  # what ends well has saved
        if row["how"] not in ("KILL", "random"):
            assert row["rubbish"] == 0, row  # an error tidies up; only a kill leaves a temporary


@pytest.mark.parametrize("tries", [10, pytest.param(300, marks=pytest.mark.slow)])
def test_a_save_struck_anywhere_loses_nothing_older(tries: int, tmp_path: Path) -> None:
    found = campaign(tmp_path, tries)
    check(found)
    ends = {
        how: [os.waitstatus_to_exitcode(row["status"]) for row in found if row["how"] == how]
        for how in ("KILL", "ENOSPC", "EIO", "EPERM", "random")  # type: ignore[arg-type]
    }
    # Three files: write, fsync, rename, fsync of the folder; then the save that was not struck.
    *killed, whole = ends["KILL"]
    assert killed == [-9] * len(killed) and whole == 0 and len(killed) >= 12
    for how in ("ENOSPC", "EIO", "EPERM"):
        # The sync of a folder may fail without harm; everything else is told as what it is.
        assert len(ends[how]) == len(killed) and set(ends[how]) == {0, 1} and ends[how].count(0) == 3, ends[how]
    assert ends["random"] == [-9] * tries
    assert any(row["rubbish"] for row in found if row["how"] == "KILL")
