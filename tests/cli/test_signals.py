"""Signals: training finishes its step, saves and leaves; every other command leaves nothing half written."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from toydiff import checkpoint as checkpoints

from .forks import Forks
from .program import TINY

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
BOTH = pytest.mark.parametrize("number", CODES, ids=["SIGINT", "SIGTERM"])

# In the program: the first write into a temporary file called so sends the program the signal.
IN_A_WRITE = """
import builtins, os, signal
from toydiff import files

class Struck:
    def __init__(self, file): self.file = file
    def __enter__(self): return self
    def __exit__(self, *how): return self.file.__exit__(*how)
    def write(self, data):
        self.file.write(data[:10])
        os.kill(os.getpid(), NUMBER)
        return 10 + self.file.write(data[10:])
    def __getattr__(self, name): return getattr(self.file, name)

def opened(*a, **k):
    return Struck(builtins.open(*a, **k))

files.open = opened
check = files.check_writable  # which opens a file, and writes nothing
"""

WRITERS = (
    "sample tiny -n 5 -o new.png",
    "sample tiny -n 5 -o new.npz",
    "sample tiny -n 5 -o new.csv",
    "animate tiny to gif -n 5 --frames 3 -o new.gif",
    "data show moons -n 5 -o new.png",
    "data export moons -n 5 -o new.npz",
    "inspect tiny --export new.safetensors",
    "inspect tiny --schedule -o new.png",
)


@BOTH
@pytest.mark.parametrize("words", WRITERS, ids=lambda words: words.rpartition(" -o ")[0] or words)
def test_a_signal_in_the_middle_of_a_file_leaves_none(
    words: str, number: signal.Signals, with_run: Path, forks: Forks
) -> None:
    before = {path: path.read_bytes() for path in with_run.rglob("*") if path.is_file()}
    code, out, err = forks(*words.split(), cwd=with_run, before=IN_A_WRITE.replace("NUMBER", str(int(number))))
    assert (code, out) == (CODES[number], ""), err
    assert err.splitlines()[-1] == ("interrupted" if number == signal.SIGINT else "terminated")
    assert {path: path.read_bytes() for path in with_run.rglob("*") if path.is_file()} == before


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TRAIN = ("train", "moons", "--name", "run", *TINY, "--steps", "1000")

# Each step takes a while and says that it has begun and ended.
SLOW = """
import time
from toydiff.training import loop
update = loop._update
def slow(*a):
    with open("begun", "a") as file: file.write("x")
    time.sleep(0.2)
    return update(*a)
loop._update = slow
"""


@BOTH
def test_training_ends_with_the_step_it_is_in(number: signal.Signals, here: Path, forks: Forks) -> None:
    begun = here / "begun"

    def in_the_third_step(process: int) -> None:
        forks.until(lambda: begun.exists() and begun.stat().st_size == 3)
        os.kill(process, number)

    code, _, err = forks(*TRAIN, cwd=here, before=SLOW, meanwhile=in_the_third_step)
    assert code == CODES[number], err
    step = checkpoints.read_header(here / "runs" / "run" / "latest.pt")["step"]
    assert step == begun.stat().st_size and step in (3, 4)  # the step it was in; a slow machine may have been a step on
    assert f"stopped by {number.name} at step {step}; saved runs/run/latest.pt" in err
    assert not list(here.rglob("*.tmp"))


@pytest.mark.slow
def test_it_is_out_within_two_seconds(here: Path, forks: Forks) -> None:
    sent: list[float] = []

    def stop(process: int) -> None:
        forks.until(lambda: (here / "begun").exists())
        os.kill(process, signal.SIGTERM)
        sent.append(time.monotonic())

    assert forks(*TRAIN, cwd=here, before=SLOW, meanwhile=stop)[0] == 143
    assert time.monotonic() - sent[0] < 2 + 0.2


HANGING = """
import time
from toydiff.cli import trainer
def hang(*a, **k):
    open("saving", "w").close()
    time.sleep(600)
trainer.checkpoints.save = hang
"""


@BOTH
def test_the_second_signal_leaves_at_once(number: signal.Signals, here: Path, forks: Forks) -> None:
    def twice(process: int) -> None:
        forks.until((here / "begun").exists)
        os.kill(process, signal.SIGINT)
        forks.until((here / "saving").exists)
        os.kill(process, number)

    code, _, err = forks(*TRAIN, cwd=here, before=SLOW + HANGING, meanwhile=twice)
    assert code == CODES[number], err
    assert not (here / "runs" / "run" / "latest.pt").exists() and not list(here.rglob("*.tmp"))


# What is made after a step, not the step, takes for ever: it is left, and made when the run goes on.
LONG = """
import os, signal, time
from toydiff.cli import trainer
which = "WHICH"
def for_ever(*a, **k):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)
if which == "validation":
    trainer.Validator.__call__ = for_ever
else:
    trainer.preview = for_ever
"""


@pytest.mark.parametrize(("which", "step", "due"), [
    ("validation", 10, ["validation"]), ("picture", 20, ["picture"]), ("picture at the end", 29, ["picture"]),
])  # fmt: skip
def test_what_a_signal_left_undone_is_done_when_the_run_goes_on(
    which: str, step: int, due: list[str], here: Path, forks: Forks
) -> None:
    end = "29" if which.endswith("end") else "40"
    words = ("train", "moons", *TINY, "--steps", end, "--set", "record.keep_every=20", "-q")
    if end == "29":
        words = (*words, "--set", "record.sample_every=1000")
    whole = forks(*words, "--name", "run", "--runs-dir", "whole", cwd=here)
    assert whole[0] == 0, whole[2]
    code, _, err = forks(*words, "--name", "run", cwd=here, before=LONG.replace("WHICH", which))
    assert code == 143, err
    run = here / "runs" / "run"
    header = checkpoints.read_header(run / "latest.pt")
    assert (header["step"], header["due"]) == (step, due)
    code, _, err = forks(*words, "--name", "run", "--resume", cwd=here)
    assert code == 0, err
    for path in sorted((here / "whole" / "run").rglob("*")):
        name = str(path.relative_to(here / "whole" / "run"))
        if path.is_file() and not re.match(r"timing|env|tensorboard|latest\.prev", name):
            assert (run / name).read_bytes() == path.read_bytes(), name
