"""What sampling costs: seconds for 64 samples, by sampler and evaluations of the network.

    python benchmarks/sampling.py [PRESET …] > benchmarks/sampling.md

The networks are untrained: an evaluation of them costs what it does of a trained one. Beside the seconds, the median of
several goes in turns with bare evaluations, stands the ratio to as many of those: what the sampler itself adds.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from toydiff.cli.configure import configuration_layers
from toydiff.config import Run
from toydiff.environment import settle_threads
from toydiff.layers import resolve
from toydiff.names import Found
from toydiff.runs import Loaded
from toydiff.samplers import AnySampler
from toydiff.schedules import Level
from toydiff.spec import kinds

N, TURNS = 64, 2
STEPS = (10, 20)
PRESETS = ("swissroll", "shapes32")


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long it takes, once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def untrained(preset: str) -> Loaded:
    """Return the model of a preset before its first step."""
    run: Run = resolve(configuration_layers(preset, None, [], {})).run
    denoiser = run.build().requires_grad_(False).eval()
    torch.set_num_threads(os.cpu_count() or 1)
    settle_threads(sum(p.numel() for p in denoiser.parameters()), "cpu")
    return Loaded(preset, Found("checkpoint", preset, ""), run, denoiser, denoiser.shift, float(denoiser.scale))


def rows(preset: str) -> None:
    """Print the lines of a preset: every sampler, with every number of steps."""
    model = untrained(preset)
    x, level = torch.randn(N, *model.data.shape), Level.at(torch.tensor(0.0, dtype=torch.float64))
    label = model.labels(None, torch.arange(N))

    def bare(times: int) -> None:
        with torch.no_grad():
            for _ in range(times):
                model.denoiser(x, level, label)

    bare(3)
    threads = torch.get_num_threads()
    print(f"\n## {preset}, {threads} thread{'s' * (threads > 1)}\n")
    print("| sampler | steps | evaluations | s | times bare evaluations |\n|---|---|---|---|---|")
    for kind, cls in kinds(AnySampler).items():
        sampler = cls()
        if sampler.evaluations is None:  # as many as a tolerance asks for
            continue
        for steps in STEPS:
            if steps < sampler.fewest_steps:
                continue
            sampling = model.config.sampling.model_copy(update={"steps": steps})
            levels = model.config.model_copy(update={"sampling": sampling}).levels()
            asked: list[int] = []

            sample = partial(model.sample, N, sampler=sampler, levels=levels, evaluations=asked)
            sample()
            pairs = [(seconds_of(sample), seconds_of(partial(bare, asked[0]))) for _ in range(TURNS)]
            seconds = statistics.median(own for own, _ in pairs)
            ratio = statistics.median(own / other for own, other in pairs)
            print(f"| {kind} | {steps} | {asked[0]} | {seconds:.3f} | {ratio:.2f} |", flush=True)


def main() -> None:
    """Print the table."""
    machine = f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores"
    how = f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"
    print(f"# Seconds for {N} samples\n\nBy `python benchmarks/sampling.py` on {machine} ({how}).")
    for preset in sys.argv[1:] or PRESETS:
        rows(preset)


if __name__ == "__main__":
    main()
