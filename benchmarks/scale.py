"""What a training step costs, by width, resolution, batch and number of ranks: measured here, and what follows from it.

    OMP_NUM_THREADS=1 python benchmarks/scale.py > benchmarks/scale.md

Times of steps are seconds of one CPU thread, those of the all-reduce seconds by the clock; the best of several each.
Fitted to them is

    step = a + batch · (b · multiply–accumulates + c · numbers that pass through the network's parts)

for non-negative a, b, c; between the sizes of an all-reduce is interpolated. What is extrapolated says from what.
"""

from __future__ import annotations

import math
import os
import platform
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scipy.optimize import nnls

from toydiff.cli.configure import configuration_layers
from toydiff.config import Run
from toydiff.data import Shapes
from toydiff.layers import resolve
from toydiff.networks import UNet
from toydiff.networks.cost import parts
from toydiff.training import Step, Training, fit

SIZES = tuple(2**k for k in (2, 8, 14, 18, 20, 22, 24))
"""Numbers in an all-reduce of float32."""
DATASHEET, SHARES = 312e12, (0.05, 0.15, 0.4)
"""Peak of an A100 in bfloat16, FLOP/s (NVIDIA's datasheet, dense), and shares of it that training may sustain."""
NVLINK = 300e9
"""Bytes a second in each direction between A100s (the same datasheet: 600 GB/s both ways)."""
IMAGES = 200_000 * 128
"""Images that the preset cifar10 trains on."""


class Cost(NamedTuple):
    """A step that was timed: its seconds, and what they are explained by."""

    channels: int
    size: int
    batch: int
    seconds: float
    macs: int
    numbers: int

    @property
    def row(self) -> tuple[float, float, float]:
        return 1.0, float(self.batch * self.macs), float(self.batch * self.numbers)


def work(run: Run) -> tuple[int, int, int]:
    """Return (multiply–accumulates, numbers that pass through the parts) of one sample, and the parameters."""
    network = run.build("meta").network
    found = parts(network, run.input_shape)
    passed = sum(math.prod(part.shape) for part in found)
    return sum(part.macs for part in found), passed, sum(p.numel() for p in network.parameters())


def timed(channels: int, size: int, batch: int) -> Cost:
    """Time training steps of a U-Net on pictures of shapes."""
    network = UNet(channels=channels, multipliers=(1, 2), blocks=1, attention=(), patch=1)
    data = Shapes(size=size, n=256)
    run = Run(data=data, network=network, training=Training(batch_size=batch, steps=20))
    return Cost(channels, size, batch, seconds_of(run), *work(run)[:2])


def seconds_of(run: Run) -> float:
    """Return the seconds of one thread that a step takes, the best of four."""
    path, seconds = fit(run.build(), run.data, run.training), []
    next(path)  # which also loads libraries
    for _ in range(4):
        began = time.process_time()
        next(path)
        seconds.append(time.process_time() - began)
    return min(seconds)


def fitted(costs: list[Cost]) -> np.ndarray:
    """Return a, b, c of least relative error."""
    seconds = np.array([cost.seconds for cost in costs])
    rows = np.array([cost.row for cost in costs]) / seconds[:, None]
    scale = rows.max(0)
    found: np.ndarray = nnls(rows / scale, np.ones(len(costs)))[0] / scale
    return found


def rank(number: int, ranks: int, port: int, times: mp.SimpleQueue) -> None:
    """Time all-reduces of every size over Gloo."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=number, world_size=ranks)
    for size in SIZES:
        x, best = torch.ones(size), math.inf
        for _ in range(40):
            dist.barrier()
            began = time.perf_counter()
            dist.all_reduce(x)
            best = min(best, time.perf_counter() - began)
        if number == 0:
            times.put(best)
    dist.destroy_process_group()


def all_reduces(ranks: int) -> list[float]:
    """Return the seconds of all-reduces between processes of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    times: mp.SimpleQueue = mp.get_context("spawn").SimpleQueue()
    mp.start_processes(rank, (ranks, port, times), nprocs=ranks, start_method="spawn")
    return [times.get() for _ in SIZES]


def table(header: str, *rows: str) -> None:
    """Print a table."""
    print(f"\n{header}\n" + "|---" * (header.count("|") - 1) + "|")
    print(*rows, sep="\n", flush=True)


def steps() -> np.ndarray:
    """Measure and fit the cost of a step."""
    costs = [timed(w, s, b) for w in (8, 16, 32) for s in (16, 32) for b in (4, 16)]
    found = fitted(costs)
    said = [float(np.dot(found, cost.row)) for cost in costs]
    print("## A step, by width, resolution and batch\n")
    print("U-Nets of two levels without attention, in float32. `model` is the fit.")
    table(
        "| channels | pixels | batch | M MACs an image | ms | model | off |",
        *(
            f"| {c.channels} | {c.size}² | {c.batch} | {c.macs / 1e6:.1f} | {1e3 * c.seconds:.1f} | {1e3 * s:.1f} "
            f"| {s / c.seconds - 1:+.0%} |"
            for c, s in zip(costs, said, strict=True)
        ),
    )
    off = np.array(said) / [cost.seconds for cost in costs] - 1
    a, b, c = found
    print(f"\nstep = {1e3 * a:.1f} ms + batch · ({1e12 * b:.0f} ps · MACs + {1e9 * c:.2f} ns · numbers)")
    print(f"Residual: {np.sqrt((off**2).mean()):.0%} (root mean square), {np.abs(off).max():.0%} at most.")
    if b:
        print(f"A multiply–accumulate forward is six FLOP with its gradient: {6 / b / 1e9:.1f} GFLOP/s at the margin.")
    return found


def between() -> list[float]:
    """Measure the all-reduce of two processes; return the seconds by size."""
    seconds = all_reduces(2)
    print("\n## An all-reduce of float32 between two processes of this machine, over Gloo")
    rows = [f"| {n:,} | {1e3 * s:.3f} | {4e-9 * n / s:.3f} |" for n, s in zip(SIZES, seconds, strict=True)]
    table("| numbers | ms | GB/s |", *rows)
    return seconds


def ranks(step: np.ndarray, reduced: list[float]) -> None:
    """Extrapolate the step of a preset to several machines like this one, and hold its first row against a clock."""
    run = preset("shapes32")
    macs, numbers, parameters = work(run)
    batch, latency = run.training.batch_size, reduced[0]
    moved = float(np.interp(parameters, SIZES, reduced)) - latency
    measured = seconds_of(run)
    print("\n## More machines like this one: extrapolated, not measured\n")
    print(
        f"The preset shapes32 ({parameters / 1e6:.2f} M parameters, batches of {batch}), one thread a rank: the step "
        "above for batch / ranks images, and an all-reduce of the gradients that does not overlap it. A ring of n "
        "ranks sends 2 (n − 1) / n times the gradients in 2 (n − 1) messages, scaled from the table of two. One rank "
        f"was measured as well: {measured:.3f} s. The preset has {len(run.network.multipliers)} levels, the fitted "
        "networks two."
    )
    rows, alone = [], float(step @ (1, batch * macs, batch * numbers))
    for n in (1, 2, 4, 8, 16):
        compute = float(step @ (1, batch / n * macs, batch / n * numbers))
        send = (n - 1) * latency + 2 * (n - 1) / n * moved
        whole = compute + send
        rows.append(f"| {n} | {compute:.3f} | {send:.3f} | {1 / whole:.1f} | {alone / whole:.1f} |")
    table("| ranks | compute, s | all-reduce, s | steps a second | times one rank |", *rows)
    print(f"\nThe model is {alone / measured - 1:+.0%} off where it was measured, at one rank.")


def points() -> None:
    """Time steps of an MLP on points, one thing changed at a time, in turns with the preset's own."""
    print("\n## A step of points, by width, depth, batch and number of data\n")
    print(
        "The preset swissroll with one thing changed; the ratio is the median of pieces of 64 steps trained in turns.\n"
    )
    own, rows = preset("swissroll"), []
    changes = [f"network.widths={[width] * 4}" for width in (32, 64, 96, 128, 256)]
    changes += [f"network.widths={[96] * depth}" for depth in (2, 8)]
    changes += [f"training.batch_size={batch}" for batch in (64, 256, 2048)]
    changes += [f"data.n={n}" for n in (1000, 100_000, 1_000_000)]
    for change in changes:
        run = resolve(configuration_layers("swissroll", None, [change], {})).run
        paths = [fit(each.build(), each.data, each.training) for each in (run, own)]
        pieces = [[piece(path) for path in paths] for _ in range(6)][1:]  # the first also loads libraries
        ratio, mine = (np.median(column) for column in ([a / b for a, b in pieces], [a for a, _ in pieces]))
        rows.append(f"| {change} | {mine / 64 * 1e3:.2f} | {ratio:.2f} |")
    table("| changed | ms a step | times the preset |", *rows)


def piece(path: Iterator[Step]) -> float:
    """Return the seconds of one thread that 64 steps take: as many as draws are made for at once."""
    began = time.process_time()
    for _ in range(64):
        next(path)
    return time.process_time() - began


def preset(name: str) -> Run:
    """Return the run of a preset."""
    return resolve(configuration_layers(name, None, [], {})).run


def cifar() -> None:
    """Estimate CIFAR-10 on eight A100s."""
    print("\n## CIFAR-10 on eight A100s: an estimate, not a measurement\n")
    fine = preset("cifar10")
    runs = {"cifar10": fine, "the same with network.patch = 1": fine.model_copy(update={"network": finer(fine)})}
    print(
        "Counted: multiply–accumulates, as `toydiff inspect` does. Assumed: six FLOP for each, forward and backward; "
        f"{IMAGES / 1e6:.1f} M images, as many as the preset trains on; a share of the {DATASHEET / 1e12:.0f} TFLOP/s "
        "that the datasheet gives for bfloat16 is sustained, small networks reaching the lower shares; gradients go "
        f"over NVLink at the datasheet's {NVLINK / 1e9:.0f} GB/s each way; data and records cost nothing."
    )
    rows = []
    for name, run in runs.items():
        macs, _, parameters = work(run)
        for gpus in (1, 8):
            hours = [6 * macs * IMAGES / gpus / (share * DATASHEET) / 3600 for share in SHARES]
            step = 6 * macs * 128 / gpus / (SHARES[1] * DATASHEET)
            send = 2 * (gpus - 1) / gpus * 4 * parameters / NVLINK
            times = " | ".join(f"{60 * hour:.0f} min" if hour < 3 else f"{hour:.1f} h" for hour in hours)
            rows.append(
                f"| {name} | {macs / 1e6:.0f} M | {parameters / 1e6:.1f} M | {gpus} | {times} "
                f"| {1e3 * step:.2f} | {1e3 * send:.2f} |"
            )
    heads = " | ".join(f"at {share:.0%}" for share in SHARES)
    middle = f"{SHARES[1]:.0%}"
    table(
        f"| network | MACs an image | parameters | GPUs | {heads} | ms a step of 128 at {middle} | ms all-reduce |",
        *rows,
    )
    print(
        "\nA step of 128 images on eight GPUs is 16 images each: the time to launch its kernels, some milliseconds "
        "that no column has, then counts for more than the arithmetic. Eight GPUs pay with larger batches or finer "
        "networks."
    )


def finer(run: Run) -> UNet:
    """Return its U-Net without folded pixels."""
    assert isinstance(run.network, UNet)
    return run.network.model_copy(update={"patch": 1})


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print("# What a step costs, and what follows for more machines\n")
    where = f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores"
    print(f"By `python benchmarks/scale.py` on {where}, torch {torch.__version__}, one thread, on a machine in use.\n")
    step = steps()
    points()
    ranks(step, between())
    cifar()


if __name__ == "__main__":
    main()
