"""Pictures of shapes a second, on one thread, drawn by the thousand as training asks for them.

    python benchmarks/shapes.py > benchmarks/shapes.md

The best of five draws of 4,096 pictures counts: random numbers, painting, labels, and x in float32.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

import torch

from toydiff.data import Shapes

N = 4096


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of five runs, after one that does not count."""
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("# Pictures of shapes a second\n")
    machine = f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores"
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"By `python benchmarks/shapes.py` on {machine} ({capability}), 1 thread, torch {torch.__version__}.\n")
    print("| size | most shapes | pictures/s | µs a picture |\n|---|---|---|---|")
    for size, most in ((16, 3), (28, 3), (32, 1), (32, 3), (32, 8), (64, 3), (128, 3)):
        data, generator = Shapes(size=size, most=most), torch.Generator().manual_seed(0)
        seconds = best(lambda: data.draw(N, generator)) / N  # noqa: B023
        print(f"| {size} | {most} | {1 / seconds:,.0f} | {seconds * 1e6:.1f} |")


if __name__ == "__main__":
    main()
