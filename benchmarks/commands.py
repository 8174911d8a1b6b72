"""How long commands take to start, from there to their last line, and how much memory.

    python benchmarks/commands.py [--soak] > benchmarks/commands.md

Each command runs in a process of its own. Seconds depend on what else the machine does: beside them stands the median
ratio to a bare `import torch`, taken in turns with it. Memory is the largest resident set, as the system counts it.
With --soak, 20,000 steps follow, and what they held in memory on the way.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

TURNS = 5
TORCH = [sys.executable, "-c", "import torch"]
MISTAKE = "train swisroll"
QUICK = ("--version", "--help", "inspect presets", "data list", MISTAKE, "train swissroll --dry-run")
"""Answered at once; the last but one is a mistake, the last needs torch."""
LONG = (
    "train swissroll --name roll", "sample roll -n 64 -o roll.npz", "sample roll -o roll.png", "inspect roll",
    "train shapes32 --steps 40 --name shapes", "sample shapes -n 64 -o shapes.png",
)  # fmt: skip
"""Each works on what those before it have left."""
SOAK = "train swissroll --steps 20000 --name soak"


class Spent(NamedTuple):
    """What a command took: seconds of the clock, of the processors, and MB at its peak."""

    wall: float
    cpu: float
    peak: float


def spent(words: list[str], here: Path) -> Spent:
    """Run a command in the folder `here`; SystemExit if it fails, unless it is the mistake."""
    began = time.perf_counter()
    process = subprocess.Popen(words, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status and MISTAKE not in " ".join(words):
        sys.exit(f"`{' '.join(words)}` failed")
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))


def toydiff(line: str) -> list[str]:
    """Return the command line as this Python runs it."""
    return [sys.executable, "-m", "toydiff", *line.split()]


def starts(here: Path) -> None:
    """Time the quick commands, in turns with `import torch`."""
    print("\n## Start\n\n| command | s | times `import torch` | peak MB |\n|---|---|---|---|")
    bare = [spent(TORCH, here) for _ in range(TURNS)]
    print(f"| `import torch` | {statistics.median(each.wall for each in bare):.2f} | 1 | {bare[0].peak:.0f} |")
    for line in QUICK:
        pairs = [(spent(toydiff(line), here), spent(TORCH, here)) for _ in range(TURNS)]
        ratio = statistics.median(own.wall / torch.wall for own, torch in pairs)
        wall = statistics.median(own.wall for own, _ in pairs)
        print(f"| `toydiff {line}` | {wall:.2f} | {ratio:.2f} | {max(own.peak for own, _ in pairs):.0f} |", flush=True)


def whole(here: Path) -> None:
    """Time commands from a cold start to their last line."""
    print("\n## From the start to the last line\n\n| command | s | s of CPU | peak MB |\n|---|---|---|---|")
    for line in LONG:
        each = spent(toydiff(line), here)
        print(f"| `toydiff {line}` | {each.wall:.1f} | {each.cpu:.1f} | {each.peak:.0f} |", flush=True)


def soak(here: Path) -> None:
    """Print what a long run holds in memory, over its time."""
    process = subprocess.Popen(toydiff(SOAK), cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    held: list[int] = []
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
            held += [int(row.split()[1]) for row in file if row.startswith("VmRSS")]
        time.sleep(0.5)
    print(f"\n## A soak: `toydiff {SOAK}`\n\n| part of its time | MB, largest within it |\n|---|---|")
    for k in range(10):
        part = held[len(held) * k // 10 : len(held) * (k + 1) // 10]
        print(f"| {k}0 – {k + 1}0 % | {max(part, default=0) / 1e3:.0f} |")


def main() -> None:
    """Print the tables."""
    os.environ["TOYDIFF_RUNS"] = "runs"
    machine = f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores"
    print(f"# Start-up and memory of commands\n\nBy `python benchmarks/commands.py` on {machine}, ", end="")
    print(f"OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'not set')}, torch {version('torch')}.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        starts(Path(folder))
        whole(Path(folder))
        if "--soak" in sys.argv[1:]:
            soak(Path(folder))


if __name__ == "__main__":
    main()
