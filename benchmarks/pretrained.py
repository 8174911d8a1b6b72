"""The checkpoints that come with toydiff: trains them from their presets, makes them small, and says how good they are.

    python benchmarks/pretrained.py swissroll moons …     trains them, and writes checkpoints/pretrained/NAME.pt
    python benchmarks/pretrained.py shapes32 --run FOLDER  takes a run that is there already, however long it took
    python benchmarks/pretrained.py                        makes the page of what has been measured

Every step is a command that anyone can type. The small file has the averaged weights only, large tensors in half
precision; it is measured beside the run that it came from, so that one sees what the halves cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from toydiff.files import write_text
from toydiff.runs import read_header

GUIDES = {"shapes32-guide": ("shapes32", "step-2000.pt")}
"""Checkpoints that are an early state of another's run."""
FOLDER = Path(__file__).parents[1] / "checkpoints" / "pretrained"
MEASURED = Path(__file__).with_suffix(".jsonl")


def toydiff(*words: str) -> str:
    """Return what a command prints on stdout; the commands speak on stderr as for anyone."""
    command = [sys.executable, "-m", "toydiff", *words]
    print("$ toydiff", *words, file=sys.stderr, flush=True)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def scores(name: str, n: int) -> dict[str, list[float | None]]:
    """Return every score of a model: its value, the floor's mean and sd."""
    found = json.loads(toydiff("evaluate", "--checkpoint", name, "-n", str(n), "--json"))
    return {
        key: [score["value"], *((score["floor"]["mean"], score["floor"]["sd"]) if score["floor"] else ())]
        for key, score in found["scores"].items()
        if score["value"] is not None
    }


def trained(timing: list[dict[str, float]]) -> float:
    """Return the seconds of training of all attempts; each begins to count at 0."""
    seconds = [row["seconds"] for row in timing]
    return sum(now - before if now >= before else now for before, now in pairwise([0.0, *seconds]))


def make(name: str, run: Path | None, n: int, how: str | None) -> dict[str, Any]:
    """Train a preset (or take `run`), write its small file, and return what is to be said of it."""
    preset, file = GUIDES.get(name, (name, "best.pt"))
    with tempfile.TemporaryDirectory() as folder:
        if run is None:
            toydiff("train", "--preset", preset, "--name", f"{preset}-1", "--runs-dir", folder)
            run = Path(folder) / f"{preset}-1"
        small = FOLDER / f"{name}.pt"
        small.unlink(missing_ok=True)
        toydiff("inspect", "--checkpoint", str(run / file), "--export", str(small))
        step = int(read_header(small)[0]["step"])
        timing = [json.loads(line) for line in (run / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
        timing = timing[: next((k for k, row in enumerate(timing) if row["step"] > step), None)]
        return {
            "preset": name,
            "how": (how or f"`toydiff train --preset {preset}`") + f", its {file}" * (file != "best.pt"),
            "steps": step,
            "seconds": round(trained(timing), 1),
            "threads": json.loads((run / "env.json").read_text(encoding="utf-8")).get("threads"),
            "bytes": small.stat().st_size,
            "n": n,
            "torch": torch.__version__,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "whole": scores(str(run / file), n),
            "small": scores(str(small), n),
        }


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page that lies beside the checkpoints."""
    newest = {row["preset"]: row for row in rows if (FOLDER / f"{row['preset']}.pt").exists()}
    lines = [
        "# Pretrained checkpoints\n",
        "Made and measured by `python benchmarks/pretrained.py`; `toydiff sample NAME` takes them while you have no",
        "run of that preset. They hold the averaged weights, large tensors in half precision.\n",
        "| file | made by | steps | seconds of training | machine | kB |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in newest.items():
        threads = f"{row['threads']} thread{'s' * (row['threads'] != 1)}"
        how = row.get("how", f"`toydiff train --preset {name}`")
        lines.append(
            f"| {name}.pt | {how} | {row['steps']:,} | {row['seconds']:,.0f} "
            f"| {threads} of a 2-core x86_64 ({row['cpu']}), torch {row['torch']} | {row['bytes'] / 1000:,.0f} |"
        )
    lines += [
        "\nScores by `toydiff evaluate NAME` for points, by `toydiff evaluate NAME -n 100` for pictures: of the small",
        "file, of the run that it came from, and what real data read in the samples' place (mean ± sd).\n",
        "| file | score | small file | run | floor |",
        "|---|---|---|---|---|",
    ]
    for name, row in newest.items():
        for key, (value, *floor) in row["small"].items():
            whole = row["whole"].get(key, [None])[0]
            said = f"{floor[0]:.3g} ± {floor[1]:.1g}" if floor else ""
            lines.append(f"| {name} | {key} | {value:.3g} | {'–' if whole is None else f'{whole:.3g}'} | {said} |")
    return "\n".join(lines) + "\n"


def read() -> list[dict[str, Any]]:
    if not MEASURED.exists():
        return []
    return [json.loads(line) for line in MEASURED.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Make the checkpoints that are asked for, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--run", type=Path, help="a finished run of the preset to take instead of training one")
    parser.add_argument("--how", help="the commands that made that run, as Markdown")
    parser.add_argument("-n", type=int, default=2000)
    asked = parser.parse_args()
    if asked.run and len(asked.presets) != 1:
        parser.error("--run goes with one preset")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for preset in asked.presets:
        rows = [*read(), make(preset, asked.run, asked.n, asked.how)]
        write_text(MEASURED, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_text(FOLDER / "README.md", page(read()))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
