"""Memory that was freed is kept for what comes next, where the C library is GNU's."""

from __future__ import annotations

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_… of malloc.h
LARGE = 2**25
"""Bytes that still come from the system and go back to it: the most that every glibc takes for a threshold."""
OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")


def keep_freed_memory() -> None:
    """Let malloc keep what is freed, and serve what is smaller than LARGE from it.

    Left alone, it gives back all it can beyond 64 MB at most, and the system clears every page again when the next
    layer asks: 20,000 page faults a training step of shapes32 in float32, an eighth of its time or more
    (benchmarks/unet.md). A step needs no more memory for it, a whole command up to 100 MB. Who has set malloc by the
    environment is left alone.
    """
    if any(name in os.environ for name in OWN) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return
    try:
        os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError):
        return  # another system, or another C library
    libc = ctypes.CDLL(None)
    if libc.mallopt(MMAP_THRESHOLD, LARGE):  # the other alone would send every tensor back at once
        libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
