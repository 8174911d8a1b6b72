"""Quality of the presets of points against seconds: trains each, and looks at it on the way.

    python benchmarks/quality.py > benchmarks/quality.md
    python benchmarks/quality.py --measure [PRESET …]

The second appends a line for each preset to benchmarks/quality.jsonl; the first makes the table. Sliced W2 and energy
distance are those of n = 5,000 samples against 5,000 fresh draws, beside what two fresh draws score against each
other; z is in standard deviations of that. KL(data‖model) is over 4,000 held-out points, by the probability-flow ODE.
Seconds are those of training on one thread of the CPU, without what looking costs.
"""

from __future__ import annotations

import json
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from presets import configuration, machine, meaning, read

from toydiff import evaluation
from toydiff.config import Run
from toydiff.data import Data
from toydiff.errors import ToydiffError
from toydiff.files import write_text
from toydiff.metrics.floors import Floor, floor
from toydiff.metrics.points import energy_distance, sliced_w2
from toydiff.names import Found, preset_names
from toydiff.runs import Loaded
from toydiff.training import fit, streams

MEASURED = Path(__file__).with_suffix(".jsonl")
N, HELD_OUT = 5000, 4000
PARTS = (8, 4, 2, 1)
"""Looks after an eighth of the steps, a quarter, a half, and all."""
SCORES = {"sliced W2": sliced_w2, "energy distance": energy_distance}


def measure(preset: str) -> dict[str, Any]:
    """Train a preset; return its scores on the way, with seconds."""
    run = configuration(preset)
    looks = {max(1, run.total_steps // part) for part in PARTS}
    row: dict[str, Any] = {"preset": preset, "meaning": meaning(run), "machine": machine("cpu"), "looks": []}
    spent, began = 0.0, time.process_time()
    for step in fit(run.build(), run.data, run.training, seed=run.seed):
        if step.step in looks:
            spent += time.process_time() - began
            model = Loaded(
                preset, Found("checkpoint", preset, ""), run, step.ema, step.ema.shift, float(step.ema.scale)
            )
            row["looks"].append({"step": step.step, "cpu_seconds": round(spent, 1)} | scores(model, run))
            began = time.process_time()
    return row


def scores(model: Loaded, run: Run) -> dict[str, Any]:
    """Return the KL, None where there is none, and (value, mean and sd of the floor, z) of the others."""
    try:
        kl = evaluation.divergence(model, HELD_OUT).value
    except ToydiffError:
        kl = None
    with torch.no_grad():
        x = model.sample(N).x
    real = run.data.draw(N, streams.generator(1, "fresh")).x
    found: dict[str, Any] = {"kl": kl}
    for name, base in floors(run.data).items():
        value = SCORES[name](x, real)
        found[name] = (value, base.mean, base.sd, base.z(value))
    return found


@cache
def floors(data: Data) -> dict[str, Floor]:
    """Return what two draws of the data score against each other."""
    return {name: floor(score, data, N) for name, score in SCORES.items()}


def of_points(preset: str) -> bool:
    """Return whether a preset makes points."""
    return not configuration(preset).data.pictorial


def table(rows: list[dict[str, Any]]) -> str:
    """Return the page: the presets as far as they mean today what was measured."""
    newest = {(row["preset"], row["meaning"]): row for row in rows}
    names = [name for name in preset_names() if of_points(name)]
    found = [newest.get((name, meaning(configuration(name)))) for name in names]
    lines = [
        PREFACE,
        "| preset | steps | s of CPU | KL, nats | sliced W2 | energy distance |",
        "|---|---|---|---|---|---|",
    ]
    for row in (row for row in found if row is not None):
        for look in row["looks"]:
            cells = [row["preset"], f"{look['step']:,}", f"{look['cpu_seconds']:.1f}"]
            cells.append("–" if look["kl"] is None else f"{look['kl']:.3f}")
            for name in SCORES:
                value, mean, sd, z = look[name]
                cells.append(f"{value:.2g} ({mean:.1g} ± {sd:.1g}, z = {z:+.1f})")
            lines.append(f"| {' | '.join(cells)} |")
    machines = sorted({row["machine"] for row in found if row is not None})
    missing = [name for name, row in zip(names, found, strict=True) if row is None]
    lines += ["", f"Machine: {'; '.join(machines)}." + (f" Not measured: {', '.join(missing)}." if missing else "")]
    return "\n".join(lines) + "\n"


PREFACE = """# Quality of the presets of points against seconds

By `python benchmarks/quality.py`; measured by `python benchmarks/quality.py --measure`.

n = 5,000 samples against 5,000 fresh draws; in brackets what two fresh draws score, and z. KL(data‖model) is over
4,000 held-out points; – where the data have no density. Each preset was trained once, to its end, and looked at on the
way: the same seconds with a rate that ends there would give a little more.
"""


def main() -> None:
    """Print the table; or measure, and keep what was measured."""
    if sys.argv[1:2] != ["--measure"]:
        print(table(read(MEASURED)), end="")
        return
    torch.set_num_threads(1)  # as `toydiff train` does for networks this small
    for preset in sys.argv[2:] or filter(of_points, preset_names()):
        row = measure(preset)
        write_text(MEASURED, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in [*read(MEASURED), row]))
        print(preset, row["looks"][-1], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
