"""Where a run was made, and of what data: facts for env.json and the checkpoint's header."""

from __future__ import annotations

import hashlib
import os
import platform
from typing import Any

import torch

from toydiff import __version__
from toydiff.data import Data

SMALL = 1_000_000


def settle_threads(parameters: int, device: str) -> None:
    """Train a small network on one CPU thread, unless OMP_NUM_THREADS says otherwise.

    Below about a million parameters a second thread gains a sixth on an idle machine, and costs a factor of four to
    ten on a shared one, where the two wait for each other at every small operation (measured on two cores).
    """
    if device == "cpu" and parameters < SMALL and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def environment(device: str, world_size: int = 1) -> dict[str, Any]:
    """Return what bit-exact resume depends on: device, threads, ranks, and the versions of everything that computes."""
    return {
        "toydiff": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "world_size": world_size,
    }


def fingerprint(data: Data) -> str:
    """Return a SHA-256 of the first 1,000 samples: data that changed behind the same configuration show."""
    x = data.fixed().x[:1000] if data.n is not None else data.draw(1000, torch.Generator().manual_seed(0)).x
    return hashlib.sha256(x.numpy().tobytes()).hexdigest()
