"""Why shapes32 is set as it is: each setting changed alone, and what that costs in error and in seconds.

    python benchmarks/shapes_recipes.py > benchmarks/shapes_recipes.md
    python benchmarks/shapes_recipes.py --measure [RECIPE …]

The second trains every recipe for 300 steps on one thread and appends a line each to benchmarks/shapes_recipes.jsonl;
the first makes the table. Strict validity says nothing so early, but what decides it can be read at once: a picture is
made or spoiled between log-SNR 2 and −1 more than anywhere else (benchmarks/validity.md: where it goes wrong), so the
table has the mean square error of x̂_0 there, and at −6, near to where sampling begins; of held-out pictures, the same
pictures and noise for all. A network that takes a guess is asked twice, the second time with its first answer. Seconds
are those of the CPU.

    python benchmarks/shapes_recipes.py --validity [RECIPE …]

trains those in VALIDITY for 1,500 steps, some six minutes each, and counts the samples that are unions of shapes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from presets import machine, meaning, read

from toydiff.cli.configure import configuration_layers
from toydiff.cli.heap import keep_freed_memory
from toydiff.config import Run
from toydiff.denoiser import Denoiser
from toydiff.files import write_text
from toydiff.layers import resolve
from toydiff.metrics.shapes import areas, valid
from toydiff.metrics.validity import explain
from toydiff.names import Found
from toydiff.runs import Loaded
from toydiff.schedules import Level
from toydiff.training import fit

MEASURED = Path(__file__).with_suffix(".jsonl")
STEPS, HELD_OUT, BATCH = 300, 512, 128
LOG_SNR = (2.0, 1.0, 0.0, -1.0, -6.0)
FOLDED = ("network.patch=2", "network.channels=32", "network.multipliers=[1,2,3]", "network.attention=[1,2]")
FIRST = ("network.patch=2", "network.channels=48", "network.multipliers=[1,2,4]", "network.attention=[1,2]")
ADAMW = "training.optimizer={{kind='adamw',lr={lr},beta2=0.99}}"
LOG_NORMAL = "training.density={{kind='log_normal',mean={mean},std={std}}}"
WIDE = ("sampling.steps=20", "sampling.spacing=log_snr:5", "sampling.start=0.99")
PEAK_ONLY = "training.density.uniform=0"
PLAIN = (PEAK_ONLY, "model.bounded=false", "model.self_condition=false", *WIDE)
"""What most recipes were measured around: the preset as it was before it had these three, and its grid, of 20 steps."""
FIRST_ROWS: dict[str, tuple[str, ...]] = {
    "the preset": (),
    "the preset, another seed": ("seed=1",),
    "density Laplace, no share uniform in t": (PEAK_ONLY, "sampling.spacing=trailing"),
    "that, self-conditioned, not bounded": (*PLAIN[:2], "sampling.spacing=trailing"),
    "that, bounded, not self-conditioned": (PEAK_ONLY, *PLAIN[2:]),
    "plain: that, neither": PLAIN,
}
ROWS: dict[str, tuple[str, ...]] = {
    "another seed": ("seed=1",),
    "density ln sigma/alpha ~ N(−0.2, 1²)": (LOG_NORMAL.format(mean=-0.2, std=1.0),),
    "density ln sigma/alpha ~ N(0, 0.6²)": (LOG_NORMAL.format(mean=0.0, std=0.6),),
    "density uniform in t": ("training.density={kind='uniform'}",),
    "density Laplace, scale 0.5": ("training.density.scale=0.5",),
    "two blocks": ("network.blocks=2",),
    "pixels folded 2 × 2, three blocks of 32, 64, 96": (*FOLDED, "network.blocks=3"),
    "as it was first: folded, one block of 48, 96, 192, N(0.5, 1.4²), AdamW": (
        *FIRST, "network.group=4", LOG_NORMAL.format(mean=0.5, std=1.4), ADAMW.format(lr="1.5e-3"),
    ),
    "attention on 8 × 8 and 4 × 4": ("network.attention=[2,3]",),
    "down to 4 × 4 instead of 2 × 2": ("network.multipliers=[1,2,4,8]",),
    "down to 4 × 4, with 160 channels there": ("network.multipliers=[1,2,4,10]",),
    "down to 4 × 4, attention there and on 8 × 8": ("network.multipliers=[1,2,4,8]", "network.attention=[2,3]"),
    "norms over groups of four channels": ("network.group=4",),
    "AdamW, lr 0.002": (ADAMW.format(lr="2e-3"),),
    "Muon, updates of RMS 0.2 lr": ("training.optimizer.rms=0.2",),
    "Muon, updates of RMS 1.8 lr": ("training.optimizer.rms=1.8",),
    "target v": ("model.target=v",),
    "target flow": ("model.target=flow",),
    "weight SNR": ("training.weight={kind='snr'}",),
    "weight uniform": ("training.weight={kind='uniform'}",),
    "batch 128, half the steps": ("training.batch_size=128", f"training.steps={STEPS // 2}"),
    "batch 32, twice the steps": ("training.batch_size=32", f"training.steps={STEPS * 2}"),
}  # fmt: skip
RECIPES = FIRST_ROWS | {name: (*PLAIN, *sets) for name, sets in ROWS.items()}
VALIDITY = tuple(name for name in FIRST_ROWS if "seed" not in name)
LONGER, SAMPLES = 1500, 1024


def configuration(recipe: str, steps: int = STEPS) -> Run:
    """Return the preset with the settings of a recipe, in a short training."""
    sets = [f"training.steps={steps}", *RECIPES[recipe]]
    return resolve(configuration_layers("shapes32", None, sets, {})).run


def measure(recipe: str) -> dict[str, Any]:
    """Train a recipe; return what it costs and how wrong its estimates of held-out pictures are."""
    run = configuration(recipe)
    denoiser = run.build()
    row: dict[str, Any] = {"recipe": recipe, "meaning": meaning(run), "machine": machine("cpu")}
    row |= {"steps": run.total_steps, "parameters": sum(each.numel() for each in denoiser.parameters())}
    began = time.process_time()
    *_, last = fit(denoiser, run.data, run.training, seed=run.seed)
    row["cpu_seconds"] = round(time.process_time() - began, 1)
    return row | {"errors": errors(last.ema, run)}


@torch.no_grad()
def errors(denoiser: Denoiser, run: Run) -> list[float]:
    """Return E (x̂_0 − x_0)² a pixel at each LOG_SNR, x_0 from −1 to 1."""
    generator = torch.Generator().manual_seed(0)
    x0 = run.data.draw(HELD_OUT, generator).x
    eps = torch.randn(x0.shape, generator=generator)
    found = []
    for log_snr in LOG_SNR:
        level = Level.at(torch.tensor(log_snr, dtype=torch.float64))
        x = level.alpha.float() * x0 + level.sigma.float() * eps
        estimate = torch.cat([answer(denoiser, part, level) for part in x.split(BATCH)])
        found.append(round(float((estimate.clamp(-1, 1) - x0).square().mean()), 6))
    return found


def answer(denoiser: Denoiser, x: torch.Tensor, level: Level) -> torch.Tensor:
    """Return x̂_0, by a network that takes a guess after one of its own."""
    return denoiser(x, level, None, denoiser(x, level) if denoiser.self_condition else None)


def validity(recipe: str) -> dict[str, Any]:
    """Train a recipe for longer; return the shares of its samples that are unions of shapes, or nearly."""
    run = configuration(recipe, LONGER)
    row: dict[str, Any] = {"recipe": recipe, "meaning": meaning(run), "machine": machine("cpu")}
    began = time.process_time()
    *_, last = fit(run.build(), run.data, run.training, seed=run.seed)
    row["cpu_seconds"] = round(time.process_time() - began, 1)
    model = Loaded(recipe, Found("checkpoint", recipe, ""), run, last.ema, last.ema.shift, float(last.ema.scale))
    evaluations: list[int] = []
    x = torch.cat([model.sample(BATCH, seed=k, evaluations=evaluations).x for k in range(0, SAMPLES, BATCH)])
    found = explain(x)
    row |= {"evaluations": evaluations[0], "area": round(float(areas(x).mean()), 1)}
    return row | {"valid": [round(valid(found, tolerance), 4) for tolerance in (0, 2, 4)]}


def longer(newest: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    """Return the lines of the table of VALIDITY, as far as it was measured."""
    found = [newest.get((name, meaning(configuration(name, LONGER)))) for name in VALIDITY]
    rows = [
        f"| {row['recipe']} | {row['cpu_seconds']:.0f} | {row['evaluations']} "
        f"| {' | '.join(f'{100 * share:.1f}' for share in row['valid'])} | {row['area']:.0f} |"
        for row in found if row is not None
    ]  # fmt: skip
    return [LONGER_PREFACE.format(steps=LONGER, n=SAMPLES), *rows] if rows else []


def table(rows: list[dict[str, Any]]) -> str:
    """Return the page: the recipes, as far as they mean today what was measured."""
    newest = {(row["recipe"], row["meaning"]): row for row in rows}
    found = [newest.get((name, meaning(configuration(name)))) for name in RECIPES]
    measured = [row for row in found if row is not None]
    heads = ["recipe", "parameters", "s of CPU", *(f"error at log-SNR {level:g}" for level in LOG_SNR)]
    lines = [PREFACE.format(steps=STEPS, n=HELD_OUT, machine=measured[0]["machine"] if measured else "not measured")]
    lines += [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in measured:
        cells = [row["recipe"], f"{row['parameters'] / 1e6:.2f} M", f"{row['cpu_seconds']:.0f}"]
        lines.append(f"| {' | '.join([*cells, *(f'{1000 * error:.2f}' for error in row['errors'])])} |")
    missing = [name for name, row in zip(RECIPES, found, strict=True) if row is None]
    lines += [f"\nNot measured: {'; '.join(missing)}."] if missing else []
    lines += longer(newest)
    return "\n".join(lines) + "\n"


PREFACE = """# Recipes for shapes32

By `python benchmarks/shapes_recipes.py`; measured by `python benchmarks/shapes_recipes.py --measure`: {machine}.

The first rows are the preset and what it is without its share of all levels, its bounds and its guess; each recipe
below "plain" is the plain one with what it names changed. All were trained for {steps} steps. Errors are 1,000 times
the mean square error of the averaged weights' x̂_0, a pixel, over {n} held-out pictures. What another seed changes, two
rows say. Seconds are of several sittings on a machine in use: differences of less than a half say nothing.
"""
LONGER_PREFACE = """
## Unions of shapes

After {steps} steps, over which the rate falls as far: of {n:,} samples, those that are a union of at most three shapes,
and those that are but for two pixels and four. Their standard error is 1.6 points at most. Real pictures have 192 white
pixels on average. A smaller error, above, is no promise of more unions.

| recipe | s of CPU | evaluations | valid, % | but for 2 | but for 4 | white pixels |
|---|---|---|---|---|---|---|"""


def main() -> None:
    """Print the table; or measure, and keep what was measured."""
    ways = {"--measure": (measure, tuple(RECIPES)), "--validity": (validity, VALIDITY)}
    if (way := ways.get(sys.argv[1] if len(sys.argv) > 1 else "")) is None:
        print(table(read(MEASURED)), end="")
        return
    keep_freed_memory()
    torch.set_num_threads(1)
    measured, names = way
    for recipe in sys.argv[2:] or names:
        if recipe not in RECIPES:
            sys.exit(f"There is no recipe `{recipe}`. There are: {', '.join(RECIPES)}.")
        row = measured(recipe)
        write_text(MEASURED, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in [*read(MEASURED), row]))
        print(recipe, row["cpu_seconds"], row.get("errors", row.get("valid")), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
