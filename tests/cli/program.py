"""toydiff as a program of its own, and settings that train in a blink."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TINY = (
    "--set", "network={kind='mlp', widths=[16, 16], residual=false, fourier=4}",
    "--set", "record={validation=100, log_every=5, validate_every=10, save_every=10, sample_every=20}",
    "--set", "training.batch_size=32",
    "--set", "sampling.n=32",
)  # fmt: skip
"""A network and a record small enough to train in a blink."""


def program(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run toydiff as a program of its own."""
    environment = {**os.environ, "TOYDIFF_RUNS": "runs", "TOYDIFF_DATA": "downloads", **environment}
    command = [sys.executable, "-m", "toydiff", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)
