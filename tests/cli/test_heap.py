"""Freed memory is kept for what comes next: page faults are counted, which no clock disturbs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

ROUNDS, PAGES = 20, 64 * 2**20 // os.sysconf("SC_PAGE_SIZE")
PROGRAM = f"""
import resource, sys
import numpy as np
from toydiff.cli.heap import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
np.ones(64 * 2**20, np.uint8)  # the first time every page is new
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    np.ones(64 * 2**20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **variables: str) -> int:
    """Return the page faults of filling 64 MB anew, ROUNDS times."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    # numpy asks for huge pages otherwise, of which a fault each is enough
    environment |= {"NUMPY_MADVISE_HUGEPAGE": "0", **variables}
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_pages_that_were_freed_are_not_cleared_again() -> None:
    left_alone = faults("as it is")
    assert left_alone > ROUNDS * PAGES // 2
    assert faults("kept") < left_alone // 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_who_has_set_malloc_is_left_alone() -> None:
    assert faults("kept", MALLOC_TRIM_THRESHOLD_="131072") > ROUNDS * PAGES // 2
