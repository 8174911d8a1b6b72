"""How many samples of a run are pictures the generator of shapes could have drawn: by training time, and by sampler.

    python benchmarks/validity.py checkpoints/shapes32-long --speed 490 > benchmarks/validity.md
    python benchmarks/validity.py checkpoints/shapes32-long --also checkpoints/shapes32-short
    python benchmarks/validity.py checkpoints/shapes32-long --guide checkpoints/pretrained/shapes32-guide.pt
    python benchmarks/validity.py checkpoints/shapes32-long --picture invalid.png

Takes the step-N.pt of a run folder, or its best.pt. The same noise goes into every row of a table. Minutes are those of
the steps at `--speed` images/s; without it, what timing.jsonl counted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import Tensor

from toydiff.cli.sampling import with_sampling
from toydiff.editing import Edit
from toydiff.metrics.shapes import areas, decided, pieces, valid
from toydiff.metrics.validity import Explanation, explain
from toydiff.runs import Loaded, load, read_header

SAMPLERS = [  # name, steps, spacing, start
    ("dpmpp_2m_sde", 14, "shift:1.5", 1.0),
    ("dpmpp_2m_sde", 14, "trailing", 1.0),
    ("dpmpp_2m_sde", 14, "shift:2", 1.0),
    ("dpmpp_2m_sde", 15, "log_snr:5", 0.99),
    ("dpmpp_2m_sde", 20, "log_snr:5", 0.99),
    ("dpmpp_2m", 15, "log_snr:5", 0.99),
    ("unipc", 15, "log_snr:5", 0.99),
    ("ddpm", 15, "log_snr:5", 0.99),
    ("dpmpp_2m_sde", 140, "shift:1.5", 1.0),
    ("dpmpp_2m", 150, "log_snr:5", 0.99),
]
NOISES = [  # steps, eta, S_tmax
    (14, 0.5, None),
    (14, 1.0, None),
    (14, 2.0, 4.5),
    (14, 3.0, 4.5),
    (14, 3.0, 2.7),
    (14, 6.0, 2.7),
    (140, 20.0, 2.7),
]
"""Of dpmpp_2m_sde: its share of the reverse SDE's noise, and the sigma/alpha from which on it has that."""
GUESSES = [(-3.0, 1.0), (-3.0, -3.0), (-100.0, -100.0), (100.0, 100.0), (-4.0, 1.0), (-3.0, 3.0)]
"""Log-SNR from which there is a guess, and to which every estimate is made twice."""
SCORES = ["valid, %", "but for 2", "but for 4", "decided", "blank", "white pixels", "pieces"]
WHOLE = np.ones((3, 3))
NOISE = """The last checkpoint, by dpmpp_2m_sde on its own grid: `eta` times the reverse SDE's noise below S_tmax.
More makes pictures simpler: what the model does not draw well, lines most of all, it takes away."""


# ── what is wrong with a picture ─────────────────────────────────────────────────────────────────────────────────────


def failure(x: Tensor) -> str:
    """Return the worst thing about a picture (1, size, size) that is no union of shapes: blank, a hole, …

    Each white piece is explained by itself. Of those that no shapes explain, the largest counts.
    """
    white = (x[0] > 0).numpy()
    labelled, count = ndimage.label(white, structure=WHOLE)
    if count == 0:
        return "blank"
    parts = np.stack([labelled == k + 1 for k in range(count)])
    alone = explain(torch.from_numpy(parts[:, None] * 2.0 - 1), within=0)
    wrong = [piece for piece, each in zip(parts, alone, strict=True) if each.distance is None]
    if not wrong:
        return "more than 3 shapes"
    piece = max(wrong, key=np.sum)
    if piece.sum() < 6:
        return "a speck"
    if 0 < (ndimage.binary_fill_holes(piece) & ~piece).sum() <= 12:  # larger ones lie between shapes
        return "a hole"
    if not ndimage.binary_erosion(piece, np.ones((4, 4))).any():
        return "a ragged line"
    return "a ragged outline"


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def row(x: Tensor) -> tuple[list[Explanation], list[str]]:
    """Return the explanations of samples, and the cells that both tables have."""
    found = explain(x)
    shares = [f"{100 * valid(found, tolerance):.1f}" for tolerance in (0, 2, 4)]
    white = areas(x)
    others = [f"{100 * decided(x):.2f}", f"{100 * float((white == 0).mean()):.1f}", f"{float(white.mean()):.0f}"]
    return found, [*shares, *others, f"{float(pieces(x).mean()):.2f}"]


def table(headings: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [headings, ["---"] * len(headings), *rows])


def steps_of(folder: Path) -> list[tuple[int, Path]]:
    """Return the step and the file of every checkpoint kept, in order; best.pt, too, if it is another."""
    kept = {int(file.stem.removeprefix("step-")): file for file in folder.glob("step-*.pt")}
    best = folder / "best.pt"
    return sorted(({int(read_header(best)[0]["step"]): best} | kept).items())


def minutes(folder: Path, step: int, batch: int, speed: float | None) -> str:
    if speed is not None:
        return f"{step * batch / speed / 60:.1f}"
    rows = [json.loads(line) for line in (folder / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    return f"{max((r['seconds'] for r in rows if r['step'] <= step), default=math.nan) / 60:.1f}"


def by_time(folder: Path, n: int, speed: float | None) -> tuple[str, Loaded, Tensor, list[Explanation]]:
    """Return the table of the checkpoints, and the last one with its samples and their explanations."""
    rows = []
    for step, file in steps_of(folder):
        loaded = load(str(file))
        x = loaded.sample(n).x
        found, cells = row(x)
        rows.append([f"{step:,}", minutes(folder, step, loaded.config.training.batch_size, speed), *cells])
    return table(["steps", "minutes", *SCORES], rows), loaded, x, found


def by_sampler(loaded: Loaded, n: int) -> str:
    rows = []
    for name, steps, spacing, start in SAMPLERS:
        how = with_sampling(loaded, sampler=name, steps=steps, spacing=spacing, eta=None, sets=[f"start={start}"])
        evaluations: list[int] = []
        x = torch.cat([how.sample(min(64, n - k), seed=k, evaluations=evaluations).x for k in range(0, n, 64)])
        began = time.perf_counter()
        how.sample(64)
        seconds = time.perf_counter() - began
        said = [f"{name}:{steps}", spacing, f"{start:g}", str(evaluations[0])]
        rows.append([*said, *row(x)[1], f"{seconds:.1f}"])
    return table(["sampler", "spacing", "start", "evaluations", *SCORES, "s for 64"], rows)


def by_noise(loaded: Loaded, n: int) -> str:
    """Return the table of what more noise on the way than the reverse SDE's does, and less."""
    rows = []
    for steps, eta, above in NOISES:
        sets = ["start=1"] + ([] if above is None else [f"sampler.S_tmax={above}"])
        how = with_sampling(loaded, sampler="dpmpp_2m_sde", steps=steps, spacing=None, eta=eta, sets=sets)
        evaluations: list[int] = []
        x = torch.cat([how.sample(min(64, n - k), seed=k, evaluations=evaluations).x for k in range(0, n, 64)])
        rows.append([f"{eta:g}", "–" if above is None else f"{above:g}", str(evaluations[0]), *row(x)[1]])
    return table(["eta", "S_tmax", "evaluations", *SCORES], rows)


def by_guess(loaded: Loaded, n: int) -> str:
    """Return the table of what a self-conditioned network's guesses are worth, by where they are handed on."""
    rows = []
    for start, end in GUESSES:
        sampling = loaded.config.sampling.model_copy(update={"guess_from": start, "refine_until": end})
        how = replace(loaded, config=loaded.config.model_copy(update={"sampling": sampling}))
        evaluations: list[int] = []
        x = torch.cat([how.sample(min(64, n - k), seed=k, evaluations=evaluations).x for k in range(0, n, 64)])
        said = ["everywhere" if start < -50 else "nowhere" if start > 50 else f"{start:g}"]
        rows.append([*said, f"{end:g}" if start < end else "never", str(evaluations[0]), *row(x)[1]])
    return table(["a guess from", "twice until", "evaluations", *SCORES], rows)


def by_guidance(loaded: Loaded, guides: list[Path], n: int) -> str:
    """Return the table of guidance by worse models (Karras et al. 2024), the same noise in every row."""
    rows = [["none", "1", *row(loaded.sample(n).x)[1]]]
    for file in guides:
        weak = load(str(file))
        for scale in (1.5, 2.0, 2.5, 3.0):
            rows.append([file.stem, f"{scale:g}", *row(loaded.sample(n, guidance=scale, guide=weak).x)[1]])
    return table(["guide", "guidance", *SCORES], rows)


def by_level(loaded: Loaded, n: int) -> str:
    """Return the table of real pictures noised to a level, and denoised from there in 20 equal steps of t."""
    how = with_sampling(loaded, sampler=None, steps=20, spacing="trailing", eta=None, sets=["start=1"])
    real = how.data.draw(n, torch.Generator().manual_seed(0)).x
    rows = []
    for log_snr in (2.0, 1.0, 0.0, -1.0, -2.0, -4.0):
        strength = float(how.schedule.time_of(log_snr))
        rows.append([f"{log_snr:g}", *row(how.sample(n, edit=Edit(init=real, strength=strength)).x)[1]])
    return table(["log-SNR", *SCORES], rows)


def by_failure(x: Tensor, found: list[Explanation]) -> str:
    near = [each.distance is not None and each.distance <= 2 for each in found]
    counts = Counter(failure(each) for each, fine in zip(x, near, strict=True) if not fine)
    return table(["what is wrong", "of 100 samples"], [[k, f"{100 * v / len(x):.1f}"] for k, v in counts.most_common()])


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def picture(x: Tensor, found: list[Explanation], path: Path, across: int = 10, zoom: int = 3) -> None:
    """Draw the samples that are farther than 2 pixels from every union, a row for each thing that is wrong."""
    groups: dict[str, list[Tensor]] = {}
    for each, said in zip(x, found, strict=True):
        if said.distance is None or said.distance > 2:
            groups.setdefault(failure(each), []).append(each)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    side, left = 32 * zoom + 6, 190
    sheet = Image.new("L", (left + across * side, len(ordered) * side), 120)
    pen = ImageDraw.Draw(sheet)
    for line, (name, images) in enumerate(ordered):
        pen.text((8, line * side + side // 2 - 8), f"{name}\n{len(images)} of {len(x)}", fill=255)
        for k, image in enumerate(images[:across]):
            tile = Image.fromarray(((image[0].clamp(-1, 1) + 1) * 127.5).byte().numpy())
            sheet.paste(
                tile.resize((32 * zoom, 32 * zoom), Image.Resampling.NEAREST), (left + k * side, line * side + 3)
            )
    sheet.save(path)


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("--also", type=Path, help="a shorter run, whose training is looked at as well")
    parser.add_argument("--speed", type=float, help="images/s that minutes are counted with")
    parser.add_argument("--picture", type=Path, help="write the last checkpoint's invalid samples here, and stop")
    parser.add_argument(
        "--guide", type=Path, nargs="+", default=[], help="checkpoints of worse models, which guide the last one"
    )
    asked = parser.parse_args()
    if asked.picture:
        x = load(str(steps_of(asked.run)[-1][1])).sample(asked.n).x
        return picture(x, explain(x), asked.picture)
    time_table, loaded, x, found = by_time(asked.run, asked.n, asked.speed)
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    machine = f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores"
    print("# Strict validity of pictures of shapes\n")
    how = f"on {machine}, {threads}, torch {torch.__version__}"
    print(f"By `python benchmarks/validity.py RUN …`, whose first lines tell the rest, {how}.")
    error = f"√(p(1 − p)/{asked.n}), {50 / math.sqrt(asked.n):.1f} points at most"
    print(f"{asked.n} samples a row; the standard error of a share p is {error}.")
    real = loaded.data.draw(4000, torch.Generator().manual_seed(0)).x
    ink, parts = float(areas(real).mean()), float(pieces(real).mean())
    print(f"4,000 real pictures have {ink:.0f} white pixels in {parts:.2f} pieces, on average.\n")
    clock = f" Minutes are those of the steps at {asked.speed:g} images/s." if asked.speed else ""
    print(f"## By training time\n\nAs the run samples by itself.{clock}\n\n{time_table}\n")
    if asked.also:
        shorter, last, *_ = by_time(asked.also, asked.n, asked.speed)
        print(f"A run of {last.config.total_steps:,} steps, over which the rate falls as far:\n\n{shorter}\n")
    print(f"## What is wrong with the rest\n\n{by_failure(x, found)}\n")
    print(
        "## Where it goes wrong\n\nReal pictures noised to a level, and denoised from there in 20 equal steps of t.\n"
    )
    print(f"{by_level(loaded, asked.n)}\n")
    if asked.guide:
        print("## Guided by a worse model\n\nThe last checkpoint.\n")
        print(f"{by_guidance(loaded, asked.guide, asked.n)}\n")
    if loaded.self_conditioned:
        print("## By guess\n\nFrom which log-SNR the last checkpoint sees a guess, and to which it is asked twice.\n")
        print(f"{by_guess(loaded, asked.n)}\n")
    print(f"## By sampler\n\nThe last checkpoint.\n\n{by_sampler(loaded, asked.n)}\n")
    print(f"## By noise\n\n{NOISE}\n\n{by_noise(loaded, asked.n)}")


if __name__ == "__main__":
    main()
