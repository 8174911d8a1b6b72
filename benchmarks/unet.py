"""What the U-Net is made of: norms, attention, and training steps of the image presets; on this CPU, and on a GPU.

    python benchmarks/unet.py > benchmarks/unet.md

Milliseconds are the best of several runs, images/s medians; ways of doing one thing are compared in turn.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from toydiff.cli.configure import configuration_layers
from toydiff.cli.heap import keep_freed_memory
from toydiff.config import Run
from toydiff.denoiser import Denoiser
from toydiff.layers import Layer, resolve
from toydiff.networks import pixels
from toydiff.schedules import Flow, Level
from toydiff.training import fit

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def best(work: Callable[[], object], runs: int = 5, each: int = 3) -> float:
    """Return the milliseconds of the fastest of some runs, after one that does not count."""
    work()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(each):
            work()
        seconds.append((time.perf_counter() - began) / each)
    return 1e3 * min(seconds)


def norms() -> None:
    """Compare norms, forward and backward, as the U-Net meets them: channels last."""
    print("\n## Norms: forward and backward, ms for 128 images\n")
    print("Groups of 4 channels and of 16, as the kernel takes them and by way of float32.\n")
    print("| channels × pixels | precision | 4 | 4, by float32 | 16 | 16, by float32 | layer norm over channels |")
    print("|---|---|---|---|---|---|---|")
    for width, side in ((32, 16), (64, 16), (64, 8), (128, 8), (96, 4)):
        for name, dtype in PRECISIONS.items():
            x = torch.randn(128, width, side, side).contiguous(memory_format=torch.channels_last).to(dtype)
            x.requires_grad_()
            w, b, slope = (
                torch.ones(width, requires_grad=True),
                torch.zeros(width, requires_grad=True),
                torch.randn_like(x),
            )

            def plain(size: int, x: Tensor = x, w: Tensor = w, b: Tensor = b) -> Tensor:
                return F.group_norm(x, x.shape[1] // size, w, b)

            def wide(size: int, x: Tensor = x, w: Tensor = w, b: Tensor = b) -> Tensor:
                return F.group_norm(x.float(), x.shape[1] // size, w, b).to(x.dtype)

            def layer(_: int, x: Tensor = x, w: Tensor = w, b: Tensor = b) -> Tensor:
                return F.layer_norm(x.permute(0, 2, 3, 1).float(), w.shape, w, b).permute(0, 3, 1, 2).to(x.dtype)

            ways = [partial(way, size) for size in (4, 16) for way in (plain, wide)] + [partial(layer, 0)]
            times = " | ".join(f"{best(lambda way=way, g=slope: way().backward(g)):.2f}" for way in ways)
            print(f"| {width} × {side}² | {name} | {times} |", flush=True)


def pixel_work() -> None:
    """Compare halving, doubling and modulating pixels: torch's layers and ours, forward and backward."""
    print("\n## Halving, doubling and modulating: forward and backward, ms for 64 images\n")
    print("By torch's own layers, and by networks/pixels.py, which training takes in bfloat16 alone.")
    print("From 32 channels on there is one way of modulating.\n")
    print("| work | channels × pixels | precision | torch's | ours |\n|---|---|---|---|---|")
    chosen = pixels.slowly
    for (width, side), (name, dtype) in product(((16, 32), (32, 16), (64, 8), (128, 4)), PRECISIONS.items()):
        wide = min(2 * width, 128)
        halve, double = pixels.Halve(width, wide).to(dtype), pixels.Double(wide, width).to(dtype)
        x, half = (
            torch.randn(64, *shape).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
            for shape in ((width, side, side), (wide, side // 2, side // 2))
        )
        scale, shift = torch.randn(64, 2 * width, dtype=dtype, requires_grad=True).chunk(2, 1)
        for layer in (halve, double):
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        work: dict[str, Callable[[], Tensor]] = {
            "halving": lambda layer=halve, x=x: layer(x),  # type: ignore[misc]
            "doubling": lambda layer=double, x=half: layer(x),  # type: ignore[misc]
            "modulating": lambda x=x, scale=scale, shift=shift: pixels.modulated(x, scale, shift),  # type: ignore[misc]
        }
        for what, one in work.items():
            slope, times = torch.randn_like(one()), []
            for ours in (False, True):
                pixels.slowly = lambda x, ours=ours: ours  # type: ignore[misc]
                times.append(best(lambda one=one, slope=slope: one().backward(slope, retain_graph=True), each=20))
            print(f"| {what} | {width} × {side}² | {name} | {times[0]:.2f} | {times[1]:.2f} |", flush=True)
    pixels.slowly = chosen


def attention() -> None:
    """Compare attention written out with the fused one, forward and backward."""
    print("\n## Attention of 4 heads: forward and backward, ms for 64 images\n")
    print("| tokens | precision | written out | scaled_dot_product_attention |\n|---|---|---|---|")
    for tokens, width in ((16, 48), (64, 24), (256, 16), (1024, 16)):
        for name, dtype in PRECISIONS.items():
            q, k, v = (torch.randn(64, 4, tokens, width).to(dtype).requires_grad_() for _ in range(3))
            slope = torch.randn_like(q)

            def written_out(q: Tensor = q, k: Tensor = k, v: Tensor = v) -> Tensor:
                return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v

            ways = (written_out, lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v))
            times = " | ".join(f"{best(lambda way=way, g=slope: way().backward(g), 3, 1):.1f}" for way in ways)
            print(f"| {tokens} | {name} | {times} |", flush=True)


NO_GUESS = "model.self_condition=false"
PRESETS = (("shapes32", 12), ("shapes32", 12, NO_GUESS), ("shapes32-cond", 12), ("shapes32-ddpm", 1))


def configuration(preset: str, precision: str, *sets: str) -> Run:
    """Return the run of a preset in a precision."""
    values = [("training.precision", precision), ("training.epochs", None), ("training.steps", 1000)]
    return resolve([*configuration_layers(preset, None, list(sets), {}), Layer("benchmark", values)]).run


def macs(run: Run) -> int:
    """Return the multiply–accumulates of one image's way through the network."""
    network = run.build("meta").network
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *run.input_shape, device="meta"), Flow()(torch.full((1,), 0.5)))
    return counter.get_total_flops() // 2


def speed(run: Run, steps: int, denoiser: Denoiser | None = None) -> float:
    """Return the training images a second of `fit` itself: data, noise, update and average; the median of three."""
    rates, path = [], fit(denoiser or run.build(), run.data, run.training)
    last = next(path)
    for _ in range(3):
        float(last.loss)  # a GPU is waited for
        began = time.perf_counter()
        for _ in range(steps):
            last = next(path)
        float(last.loss)
        rates.append(steps * run.training.batch_size / (time.perf_counter() - began))
    return sorted(rates)[1]


def presets() -> None:
    """Measure training steps of the image presets."""
    print("\n## Training steps of the presets\n")
    print("A network that takes a guess makes one for every other image: half a forward pass more a step.\n")
    print("| preset | parameters | MACs an image | batch | images/s float32 | images/s bfloat16 |")
    print("|---|---|---|---|---|---|")
    for preset, steps, *sets in PRESETS:
        runs = {name: configuration(preset, name, *sets) for name in PRECISIONS}
        run = runs["float32"]
        parameters = sum(p.numel() for p in run.build("meta").parameters())
        rates = " | ".join(f"{speed(each, steps):.0f}" for each in runs.values())
        count = f"{parameters / 1e6:.2f} M | {macs(run) / 1e6:.0f} M | {run.training.batch_size}"
        print(f"| {preset}{', without a guess' * bool(sets)} | {count} | {rates} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory of this process, all of the above in it: {peak:.1f} GiB.")


class Foreign(torch.nn.Module):
    """diffusers' U-Net as a network of ours, with as many parameters as that of shapes32."""

    def __init__(self) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        self.unet = UNet2DModel(
            sample_size=32, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(32, 64, 128),
            norm_num_groups=8, down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )  # fmt: skip

    def forward(self, x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.unet(x, 1000 * level.t.float().flatten().expand(len(x))).sample)


def beside_diffusers() -> None:
    """Compare training steps of shapes32 with the same steps of diffusers' U-Net, in turns; both by `fit`."""
    print("\n## Beside diffusers\n\nThe same `fit`, data, batch of 64 and optimiser; only the network is another.")
    print("Neither takes a guess.\n")
    print("| network | parameters | MACs an image | images/s float32 | images/s bfloat16 |\n|---|---|---|---|---|")
    runs = {name: configuration("shapes32", name, NO_GUESS) for name in PRECISIONS}
    ways: dict[str, dict[str, Denoiser]] = {"shapes32": {}, "diffusers' UNet2DModel": {}}
    for name, run in runs.items():
        ways["shapes32"][name] = run.build()
        ways["diffusers' UNet2DModel"][name] = Denoiser(
            Foreign(), target=run.model.target, schedule=run.schedule, bounds=run.data.domain
        )
    rates: dict[tuple[str, str], list[float]] = {(way, name): [] for way in ways for name in runs}
    for _ in range(3):
        for (way, name), found in rates.items():
            found.append(speed(runs[name], 4, ways[way][name]))
    median = {key: statistics.median(found) for key, found in rates.items()}
    for way, denoisers in ways.items():
        network = denoisers["float32"].network
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 1, 32, 32), Flow()(torch.full((1,), 0.5)))
        cells = [way, f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"]
        cells += [f"{counter.get_total_flops() // 2 / 1e6:.0f} M", *(f"{median[way, name]:.0f}" for name in runs)]
        print(f"| {' | '.join(cells)} |", flush=True)
    ours, theirs = ways
    ratios = (
        f"{statistics.median(a / b for a, b in zip(rates[ours, x], rates[theirs, x], strict=True)):.1f} in {x}"
        for x in runs
    )
    print(f"\nMedian ratio, taken in turns: {', '.join(ratios)}.")


def trained(kept: bool, precision: str) -> tuple[float, float, float]:
    """Return images/s, page faults a step and peak MB of shapes32 in this process, new and used for nothing else."""
    if kept:
        keep_freed_memory()
    run = configuration("shapes32", precision)
    path = fit(run.build(), run.data, run.training)
    for _ in range(6):
        next(path)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
    for _ in range(20):
        next(path)
    seconds = time.perf_counter() - began
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return (
        20 * run.training.batch_size / seconds,
        faults / 20,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def freed_memory() -> None:
    """Compare malloc as it is with `keep_freed_memory`, each in new processes, in turns."""
    print("## Freed memory\n\nTraining steps of shapes32: malloc as it comes, and as toydiff sets it.\n")
    print("| freed memory | precision | images/s | page faults a step | peak MB |\n|---|---|---|---|---|")
    turns = [(kept, name) for name in PRECISIONS for kept in (False, True)]
    found: dict[tuple[bool, str], list[tuple[float, float, float]]] = {turn: [] for turn in turns}
    for _ in range(5):
        for turn in turns:
            with get_context("spawn").Pool(1) as pool:
                found[turn].append(pool.apply(trained, turn))
    for (kept, name), measured in found.items():
        rate, faults, peak = map(statistics.median, zip(*measured, strict=True))
        print(f"| {'kept' if kept else 'given back'} | {name} | {rate:.0f} | {faults:,.0f} | {peak:.0f} |", flush=True)
    for name in PRECISIONS:
        pairs = zip(found[True, name], found[False, name], strict=True)
        print(f"\nMedian ratio in {name}, taken in turns: {statistics.median(a[0] / b[0] for a, b in pairs):.2f}.")


def on_a_gpu(device: str) -> None:
    """Measure training steps of shapes32 on a GPU: precision, layout, torch.compile, batch."""
    print("\n## On a CUDA GPU\n\nTraining steps of shapes32; the seconds to a validity stay open here, too.\n")
    if torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name()}.\n")
    print("| layout | precision | torch.compile | batch | images/s | peak memory, GiB |\n|---|---|---|---|---|---|")
    if not torch.cuda.is_available():
        print("| – | – | – | – | not measured: there was no CUDA GPU | – |")
        return
    for layout in (torch.channels_last, torch.contiguous_format):
        for precision, compiled, batch in product(PRECISIONS, (False, True), (64, 512)):
            values = [("training.compile", compiled), ("training.batch_size", batch), ("training.precision", precision)]
            run = resolve([*configuration_layers("shapes32", None, [], {}), Layer("benchmark", values)]).run
            torch._dynamo.reset()  # or the next batch size would get a graph of symbols
            torch.cuda.reset_peak_memory_stats()
            denoiser = run.build(device)
            denoiser.network.to(memory_format=layout)  # type: ignore[call-overload]
            rate = speed(run, 50, denoiser)
            peak = torch.cuda.max_memory_allocated() / 2**30
            cells = [str(layout).removeprefix("torch."), precision, "yes" if compiled else "no", str(batch)]
            print(f"| {' | '.join(cells)} | {rate:,.0f} | {peak:.2f} |", flush=True)


def main() -> None:
    """Print the tables."""
    keep_freed_memory()
    print("# The U-Net on a CPU\n")
    machine = f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores"
    how = f"{torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"By `python benchmarks/unet.py` on {machine} ({how}.")
    print("Between two tables lie minutes, in which such a machine may become a tenth faster or slower.\n")
    freed_memory()  # while this process is small: a new one counts its parent's peak as its own
    norms()
    pixel_work()
    attention()
    presets()
    beside_diffusers()
    on_a_gpu("cuda")


if __name__ == "__main__":
    main()
