"""Why the 2-D presets are set as they are: each setting changed alone, and what that costs in nats and in seconds.

    python benchmarks/recipes.py > benchmarks/recipes.md
    python benchmarks/recipes.py --measure [PRESET[:RECIPE] …]

The second trains every recipe with three seeds, on one thread, and appends a line each to benchmarks/recipes.jsonl; the
first makes the table. KL(data‖model) is that of `toydiff evaluate`, over 4,000 held-out points, the same ones for all.
The KL is also looked for along the noise: ½ ∫ SNR E‖x̂_0 − x̂_0*‖² dlog-SNR, x̂_0* the exact denoiser's, in three
ranges of log-SNR (Song et al. 2021, "Maximum likelihood training", theorem 1). Seconds depend on what else the machine
does: what a step costs is therefore also the median ratio to the preset's own, measured in turns.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from presets import machine, meaning, read

from toydiff import evaluation
from toydiff.cli.configure import configuration_layers
from toydiff.config import Run
from toydiff.files import write_text
from toydiff.layers import resolve
from toydiff.names import Found
from toydiff.runs import Loaded
from toydiff.schedules import Level
from toydiff.training import fit

MEASURED = Path(__file__).with_name("recipes.jsonl")
SEEDS, N, TURNS = 3, 4000, 5
RANGES = ((-10, 0), (0, 8), (8, 14))
"""log-SNR: a blur, the structure of the data, and noise too small to see."""
PRESETS = ("swissroll", "moons", "circles", "spirals", "pinwheel", "gaussians", "checkerboard")
AS_IT_WAS = ("network.fourier_scale=1", "training.density={kind='log_normal',mean=-0.7,std=1.3}")
RECIPES: dict[str, tuple[str, ...]] = {
    "the preset": (),
    "as it was": (*AS_IT_WAS, "network.widths=[128,128,128,128]", "training.steps=4000"),
    "fourier_scale 1": AS_IT_WAS[:1],
    "density N(−0.7, 1.3²)": AS_IT_WAS[1:],
    "density uniform": ("training.density={kind='uniform'}",),
    "fourier_scale 0.5": ("network.fourier_scale=0.5",),
    "fourier_scale 0.12": ("network.fourier_scale=0.12",),
    "no sines of x": ("network.fourier=0",),
    "16 sines": ("network.fourier=16",),
    "target v": ("model.target=v",),
    "stratified levels": ("training.stratified=true",),
    "lr 0.002": ("training.optimizer.lr=2e-3",),
    "lr 0.01": ("training.optimizer.lr=1e-2",),
    "constant rate": ("training.rate={kind='constant'}",),
    "linear rate": ("training.rate={kind='linear'}",),
    "average half as long": ("training.ema.half_life=0.01",),
    "width 64": ("network.widths=[64,64,64,64]",),
    "width 128": ("network.widths=[128,128,128,128]",),
    "three layers of 96": ("network.widths=[96,96,96]",),
    "GELU": ("network.activation=gelu",),
    "batch 1,024, half the steps": ("training.batch_size=1024", "training.steps=1500"),
    "batch 256, twice the steps": ("training.batch_size=256", "training.steps=6000"),
    "1,000 steps": ("training.steps=1000",),
    "2,000 steps": ("training.steps=2000",),
    "4,000 steps": ("training.steps=4000",),
    "8,000 steps": ("training.steps=8000",),
    "16,000 steps": ("training.steps=16000",),
}
CURVE = ("the preset", "as it was", "1,000 steps", "2,000 steps", "8,000 steps", "16,000 steps")
"""What is measured of the presets but the first: the recipe before, and how far it is from its end."""


def configuration(preset: str, recipe: str, seed: int = 0) -> Run:
    """Return a preset with the settings of a recipe."""
    return resolve(configuration_layers(preset, None, [*RECIPES[recipe], f"seed={seed}"], {})).run


def measure(preset: str, recipe: str) -> dict[str, Any]:
    """Train a recipe with every seed; return what it costs and how good it is, a number a seed."""
    run = configuration(preset, recipe)
    row: dict[str, Any] = {"preset": preset, "recipe": recipe, "meaning": meaning(run), "machine": machine("cpu")}
    row |= {"steps": run.total_steps, "ratio": ratio(run, configuration(preset, "the preset")), "seeds": []}
    for seed in range(SEEDS):
        run = configuration(preset, recipe, seed)
        began = time.process_time()
        *_, last = fit(run.build(), run.data, run.training, seed=seed)
        seconds = time.process_time() - began
        model = Loaded(preset, Found("checkpoint", preset, ""), run, last.ema, last.ema.shift, float(last.ema.scale))
        row["seeds"].append({"cpu_seconds": round(seconds, 2), "places": places(model)} | scores(model))
    return row


def ratio(run: Run, other: Run) -> float:
    """Return the seconds of a step over those of another recipe's: the median of pieces trained in turns."""
    paths = [fit(each.build(), each.data, each.training) for each in (run, other)]
    ratios = []
    for _ in range(TURNS + 1):
        seconds = []
        for path in paths:
            began = time.process_time()
            for _ in range(64):  # as many steps as draws are made for at once
                next(path)
            seconds.append(time.process_time() - began)
        ratios.append(seconds[0] / seconds[1])
    return round(statistics.median(ratios[1:]), 2)  # the first also loads libraries


def scores(model: Loaded) -> dict[str, Any]:
    """Return the KL, its standard error, and {name: (value, z)} of the scores of two draws of 2,000 samples."""
    kl = evaluation.divergence(model, N)
    assert kl.floor is not None
    found = evaluation.evaluate(model, 2000, draws=2, cache=Path(tempfile.gettempdir()) / "toydiff-floors")
    return {
        "kl": kl.value,
        "kl_se": kl.floor.sd,
        "scores": {score.name: (score.value, score.z) for score in found if score.value is not None},
    }


def places(model: Loaded) -> list[float]:
    """Return ½ ∫ SNR E‖x̂_0 − x̂_0*‖² dlog-SNR, nats, of each of the RANGES."""
    batch = evaluation.real(model.data, 1000, 0, "likelihood", 0, None)
    x0, label = (batch.x - model.shift) / model.scale, batch.label if model.conditional else None
    exact = model.data.exact().affine(model.shift.double(), model.scale)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))

    def excess(log_snr: float) -> float:
        level = Level.at(torch.tensor(log_snr, dtype=torch.float64))
        x = level.alpha.float() * x0 + level.sigma.float() * eps
        away = model.denoiser(x, level, label).double() - exact(x, level, label).double()
        return float(away.square().sum(1).mean() * level.snr / 2)

    with torch.no_grad():  # by the rule of the middle, one unit of log-SNR wide
        return [sum(excess(k + 0.5) for k in range(*ends)) for ends in RANGES]


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def line(row: dict[str, Any]) -> str:
    """Return the cells of a recipe: means over the seeds, and the spread of the KL between them."""
    seeds = row["seeds"]
    kls = [seed["kl"] for seed in seeds]
    spread = statistics.stdev(kls) if len(kls) > 1 else 0.0
    cells = [row["recipe"], f"{row['steps']:,}", f"{statistics.median(s['cpu_seconds'] for s in seeds):.1f}"]
    cells += [f"{row['ratio']:.2f}", f"{statistics.fmean(kls):.3f} ± {spread:.3f}"]
    cells += [f"{statistics.fmean(places):.3f}" for places in zip(*(s["places"] for s in seeds), strict=True)]
    for name in ("energy distance", "sliced W2"):
        value, z = (statistics.fmean(s["scores"][name][k] for s in seeds) for k in (0, 1))
        cells.append(f"{value:.4f} (z = {z:+.1f})")
    worst, score = max((abs(z), name) for s in seeds for name, (_, z) in s["scores"].items() if z is not None)
    cells.append(f"{worst:.1f} ({score})")
    if row["preset"] == "checkerboard":
        cells.append(f"{statistics.fmean(s['scores']['outside'][0] for s in seeds):.1%}")
    return f"| {' | '.join(cells)} |"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the page: for each preset its recipes, as far as they mean today what was measured."""
    lines = ["# Recipes for points in the plane\n"]
    lines.append("By `python benchmarks/recipes.py`; measured by `python benchmarks/recipes.py --measure`.\n")
    lines.append(PREFACE.format(seeds=SEEDS, n=N))
    newest = {(row["preset"], row["recipe"], row["meaning"]): row for row in rows}
    for preset in PRESETS:
        found = [newest.get((preset, name, meaning(configuration(preset, name)))) for name in RECIPES]
        measured = [row for row in found if row is not None]
        if not measured:
            continue
        more = [" outside |", "---|"] if preset == "checkerboard" else ["", ""]
        lines.append(f"\n## {preset}\n\n{measured[0]['machine']}.\n")
        lines.append(HEAD + more[0])
        lines.append("|" + "---|" * (HEAD.count("|") - 1) + more[1])
        lines += [line(row) for row in measured]
    return "\n".join(lines) + "\n"


PREFACE = """Each recipe is the preset with one thing changed, but for "as it was", which is the recipe before. Means of
{seeds} seeds; KL(data‖model) in nats over {n:,} held-out points, ± its standard deviation between seeds. Blur,
structure and fine are where the bound on the KL lies: log-SNR −10 … 0, 0 … 8 and 8 … 14, the bound being the integral
of ½ SNR E‖x̂_0 − x̂_0*‖² (x̂_0* is exact). Seconds are those of training, of one CPU thread, whatever else the machine
did; the ratio is that of a step's cost to the preset's, the median of pieces trained in turns. z is in standard
deviations of the score's floor at n = 2,000; the last column is the score of samples beside data that is furthest from
its own floor, in any seed: the KL, whose floor is 0, is not among them."""
HEAD = (
    "| recipe | steps | s | cost of a step | KL | blur | structure | fine "
    "| energy distance | sliced W2 | furthest from its floor, sd |"
)


def asked(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (preset, recipe) of each PRESET or PRESET:RECIPE; of all there are, if none is named."""
    for word in words or PRESETS:
        preset, _, recipe = word.partition(":")
        if recipe and recipe not in RECIPES:
            sys.exit(f"There is no recipe `{recipe}`. There are: {', '.join(RECIPES)}.")
        for name in [recipe] if recipe else RECIPES if preset == PRESETS[0] else CURVE:
            yield preset, name


def main() -> None:
    """Print the table; or measure, and keep what was measured."""
    if sys.argv[1:2] != ["--measure"]:
        print(table(read(MEASURED)), end="")
        return
    torch.set_num_threads(1)  # as `toydiff train` does for networks this small
    for preset, recipe in asked(sys.argv[2:]):
        row = measure(preset, recipe)
        write_text(MEASURED, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in [*read(MEASURED), row]))
        print(preset, line(row), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
