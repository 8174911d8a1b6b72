"""Memory that was freed is kept for what comes next, where the C library is GNU's."""

from __future__ import annotations

import ctypes
import os
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_… of malloc.h
LARGE = 2**30
"""Bytes of a tensor that may go back to the system: those of pictures' activations, 2 to 20 MB, should stay."""


def keep_freed_memory() -> None:
    """Let malloc keep what is freed, and serve up to LARGE bytes from it.

    Left alone, it gives back all it can beyond 64 MB at most, and the system clears every page again when the next
    layer asks: 26,000 page faults a training step of shapes32 in float32, a seventh of its time (benchmarks/unet.md).
    Memory at its highest is the same.
    Who has set malloc's own variables, MALLOC_…, is left alone.
    """
    if platform.libc_ver()[0] == "glibc" and not any(name.startswith("MALLOC_") for name in os.environ):
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, LARGE)
        libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
