"""Quality of the 2-D presets against seconds: trains each, and scores its samples beside the real-against-real floor.

    python benchmarks/quality.py [PRESET …] > benchmarks/quality.md

n = 2,000 samples against 2,000 fresh draws, floor over 20 pairs of draws; z is in standard deviations of the floor.
NLL − H is the mean of −log p(x) of 20,000 samples under the true density, less the entropy: 0 for perfect samples,
more for stray ones, less for samples that keep to the middle of the data.
"""

from __future__ import annotations

import os
import platform
import sys
import time

import torch

from toydiff.cli.configure import configuration_layers
from toydiff.data import Data
from toydiff.errors import ConfigurationError
from toydiff.layers import resolve
from toydiff.metrics.floors import floor
from toydiff.metrics.points import energy_distance, sliced_w2
from toydiff.names import Found, preset_names
from toydiff.runs import Loaded
from toydiff.training import fit, streams

N = 2000


def surplus(data: Data, loaded: Loaded) -> str:
    """Return the mean of −log p(x) over 20,000 samples, less the entropy; or the share where p is 0, if any is."""
    log_prob = data.log_prob(loaded.sample(20_000, seed=50_000).x).double()
    if (outside := float((log_prob == -torch.inf).double().mean())) > 0:
        return f"{outside:.1%} where p = 0"
    if (entropy := data.entropy) is None:  # integrated in one and two dimensions only
        entropy = -float(data.log_prob(data.draw(200_000, streams.generator(2, "fresh")).x).double().mean())
    return f"{float(-log_prob.mean()) - entropy:+.3f}"


def row(preset: str) -> str:
    """Train a preset and return its line of the table."""
    run = resolve(configuration_layers(preset, None, [], {})).run
    began = time.perf_counter()
    *_, last = fit(run.build(), run.data, run.training, seed=run.seed)
    seconds = time.perf_counter() - began
    loaded = Loaded(preset, Found("checkpoint", preset, ""), run, last.ema, last.ema.shift, float(last.ema.scale))
    began = time.perf_counter()
    x = loaded.sample(N).x
    sampling = time.perf_counter() - began
    real = run.data.draw(N, streams.generator(1, "fresh")).x
    cells = [preset, f"{last.total:,}", f"{seconds:.1f}", f"{sampling:.2f}"]
    for score in (sliced_w2, energy_distance):
        base, value = floor(score, run.data, N), score(x, real)
        cells.append(f"{value:.4f} ({base.mean:.4f} ± {base.sd:.4f}, z = {base.z(value):+.1f})")
    cells.append(surplus(run.data, loaded))
    return "| " + " | ".join(cells) + " |"


def of_points(preset: str) -> bool:
    """Return whether a preset makes points, and needs no file for it."""
    try:
        return not resolve(configuration_layers(preset, None, [], {})).run.data.pictorial
    except ConfigurationError:
        return False


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)  # as `toydiff train` does for networks this small
    machine = (
        f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores "
        f"({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} thread, torch {torch.__version__}"
    )
    print(f"# Quality of the 2-D presets\n\nBy `python benchmarks/quality.py` on {machine}.\n")
    print("n = 2,000 samples against 2,000 fresh draws; in brackets the floor between two real draws, and z.\n")
    print("| preset | steps | training s | sampling s | sliced W2 | energy distance | NLL − H (nats) |")
    print("|---|---|---|---|---|---|---|")
    for preset in sys.argv[1:] or filter(of_points, preset_names()):
        print(row(preset), flush=True)


if __name__ == "__main__":
    main()
