"""Freed memory is kept for what comes next: page faults are counted, which no clock disturbs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")

ROUNDS, BLOCKS, SIZE = 20, 4, 24 * 2**20
PAGES = ROUNDS * BLOCKS * SIZE // os.sysconf("SC_PAGE_SIZE")
PROGRAM = f"""
import ctypes, resource, sys
import numpy as np
from toydiff.cli.app import main
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: a fault for every small page
if sys.argv.pop() == "by main":
    sys.argv.append("--version")
    try:
        main()
    except SystemExit:
        pass
def fill():
    blocks = [np.ones({SIZE}, np.uint8) for _ in range({BLOCKS})]
fill()  # the first time every page is new
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **variables: str) -> int:
    """Return the page faults of filling four blocks of 24 MB anew, ROUNDS times."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def test_pages_that_were_freed_are_not_cleared_again() -> None:
    assert faults("as it is") > PAGES // 2
    assert faults("by main") < PAGES // 50
    assert faults("by main", MALLOC_ARENA_MAX="2") < PAGES // 50  # says nothing of what is kept


@pytest.mark.parametrize(
    "variable", [("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")]
)
def test_who_has_set_malloc_is_left_alone(variable: tuple[str, str]) -> None:
    assert faults("by main", **dict([variable])) > PAGES // 2
