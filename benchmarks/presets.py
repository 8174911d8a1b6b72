"""The table of presets: what each one teaches, how large it is, and what came of it where somebody has measured.

    python benchmarks/presets.py > benchmarks/presets.md
    python benchmarks/presets.py --measure NAME …

The second trains presets from the first step to the last and appends a line each to benchmarks/presets.jsonl; the first
makes the table of the newest line of each, so that a preset of many hours is not measured anew for every table. A line
is taken as long as the preset still means the same: after a change of its configuration it counts as not measured.
"""

from __future__ import annotations

import atexit
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from toydiff import evaluation
from toydiff.assets import presets_dir
from toydiff.cli.configure import configuration_layers
from toydiff.config import Run
from toydiff.environment import settle_threads
from toydiff.errors import ToydiffError
from toydiff.files import write_text
from toydiff.layers import resolve
from toydiff.names import Found, preset_names
from toydiff.runs import Loaded
from toydiff.training import fit
from toydiff.viz.images import font
from toydiff.viz.png import save_png

MEASURED = Path(__file__).with_name("presets.jsonl")
# settings that came after the first measurements: where they are off, everything is as it was then
LATER = ("bounded", "self_condition")
OF_GUESSES = ("guess_from", "refine_until")
OF_SDE = {"eta": 1.0, "S_tmax": None}
N, DRAWS = 1000, 3
RESULTS = ("sliced W2", "NLL − H", "valid but for 2", "FD-small", "class accuracy", "label agreement")
"""Scores that the table shows, where a model has them; the file keeps all."""


def configuration(preset: str) -> Run:
    """Return what a preset means; the one that draws points from your picture gets the word toydiff."""
    sets = [f"data.path={logo()}"] if "--set data.path" in text_of(preset) else []
    return resolve(configuration_layers(preset, None, sets, {})).run


@cache
def logo() -> Path:
    """Write the word toydiff, black on white, into a folder of its own, which goes when the program ends."""
    folder = tempfile.mkdtemp(prefix="toydiff-presets-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    picture = Image.new("L", (520, 180), 255)
    ImageDraw.Draw(picture).text((260, 90), "toydiff", fill=0, font=font(110), anchor="mm")
    save_png(path := Path(folder) / "toydiff.png", picture)
    return path


def text_of(preset: str) -> str:
    return (presets_dir() / f"{preset}.toml").read_text(encoding="utf-8")


def about(preset: str) -> str:
    """Return the first sentence of a preset's opening comment."""
    words = " ".join(line.lstrip("# ") for line in text_of(preset).splitlines() if line.startswith("#"))
    return re.split(r"(?<!et al)\. |: ", words)[0].rstrip(".").replace("|", "\\|")


def meaning(run: Run) -> str:
    """Return a digest of what a configuration computes: measurements of another one do not count."""
    kept = run.model_dump(mode="json", exclude={"record": True, "data": {"path": True, "known": {"settings"}}})
    kept["model"] = {name: value for name, value in kept["model"].items() if value or name not in LATER}
    if not run.model.self_condition:
        kept["sampling"] = {name: value for name, value in kept["sampling"].items() if name not in OF_GUESSES}
    sampler = kept["sampling"]["sampler"]
    if sampler["kind"] == "dpmpp_2m_sde":
        kept["sampling"]["sampler"] = {k: v for k, v in sampler.items() if k not in OF_SDE or v != OF_SDE[k]}
    if kept["training"]["density"].get("uniform") == 0:
        del kept["training"]["density"]["uniform"]
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def measure(preset: str, n: int = N, draws: int = DRAWS, run: Run | None = None) -> dict[str, Any]:
    """Train a preset, on the CPU or the first GPU, and return its time and every score beside its floor."""
    run = run or configuration(preset)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    denoiser = run.build()
    settle_threads(sum(p.numel() for p in denoiser.parameters()), device)
    denoiser.to(device)
    wall, cpu = time.perf_counter(), time.process_time()
    *_, last = fit(denoiser, run.data, run.training, seed=run.seed)
    last.loss.item()  # until the device has done it
    row: dict[str, Any] = {"preset": preset, "meaning": meaning(run), "steps": last.total}
    row |= {"seconds": round(time.perf_counter() - wall, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    row |= {"machine": machine(device), "n": n, "scores": {}}
    loaded = Loaded(preset, Found("checkpoint", preset, ""), run, last.ema, last.ema.shift.cpu(), float(last.ema.scale))
    try:
        scores = evaluation.evaluate(loaded, n, draws=draws, device=device)
    except ToydiffError as error:
        return row | {"note": error.message}
    for score in scores:
        if score.value is not None and score.floor is not None:
            row["scores"][score.name] = [score.value, score.floor.mean, score.floor.sd]
    return row


def machine(device: str) -> str:
    """Return where it was measured: the GPU, or the processor's kind and the threads that were used."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{threads} thread{'s' * (threads > 1)} of {platform.machine()} ({capability}), torch {torch.__version__}"


def read(path: Path = MEASURED) -> list[dict[str, Any]]:
    """Return the lines of a file of measurements, the oldest first; none if it is not there."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def size(preset: str) -> list[str]:
    """Return the cells that need no training: what it teaches, its data, its network, its length."""
    run = configuration(preset)
    parameters = sum(p.numel() for p in run.build("meta").parameters())
    shape = " × ".join(map(str, run.data.shape))
    return [about(preset), f"{run.data.kind}, {shape}", f"{run.network.kind}, {parameters:,}", f"{run.total_steps:,}"]


def result(row: dict[str, Any] | None) -> list[str]:
    """Return the cells of a measurement: scores beside their floors, the time, the machine."""
    if row is None:
        return ["not measured", "", ""]
    chosen = [(name, row["scores"][name]) for name in RESULTS if name in row["scores"]][:2]
    said = [f"{name} {value:.3g} (floor {mean:.2g} ± {sd:.1g})" for name, (value, mean, sd) in chosen]
    seconds = f"{row['seconds']:,.0f} s" + (
        f" ({row['cpu_seconds']:,.0f} s of CPU)" if "thread" in row["machine"] else ""
    )
    return ["; ".join(said) or row.get("note", ""), seconds, row["machine"]]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the page: every preset, with the newest measurement of what it means today."""
    newest = {(row["preset"], row["meaning"]): row for row in rows}
    lines = [
        "# Presets\n",
        "By `python benchmarks/presets.py`; measured by `python benchmarks/presets.py --measure NAME`.\n",
        f"Results are means of {DRAWS} draws of {N:,} samples of the averaged weights, each beside what real data read",
        "in the samples' place. The time is that of training alone; seconds on the clock also count what else the",
        "machine had to do.\n",
        "| preset | what it is | data | network, parameters | steps | result | time | machine |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for preset in preset_names():
        cells = [f"`{preset}`", *size(preset), *result(newest.get((preset, meaning(configuration(preset)))))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table; or measure, and keep what was measured."""
    if sys.argv[1:2] != ["--measure"]:
        print(table(read()), end="")
        return
    for preset in sys.argv[2:] or sys.exit("Which ones? python benchmarks/presets.py --measure moons circles"):
        row = measure(preset)
        kept = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in [*read(), row])
        write_text(MEASURED, kept)
        print(preset, *result(row), file=sys.stderr, flush=True)


if __name__ == "__main__":
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    main()
