"""Makes every picture of the README and of docs/ anew from the pretrained checkpoints, and the page that shows them.

    make gallery

Each picture is what the command under it makes. Runs of yours are not used, unless --runs FOLDER says so. Nothing is
replaced unless all of them could be made.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parent


class Picture(NamedTuple):
    """A file below docs/, what is to be seen in it, and the command that makes it, but for its `-o`."""

    file: str
    title: str
    about: str
    command: str

    @property
    def line(self) -> str:
        """What a user types."""
        return f"toydiff {self.command} -o {Path(self.file).name}"


PICTURES = (
    Picture(
        "swissroll.png", "The swiss roll", "Samples beside the data they should look like.", "sample swissroll -n 2000"
    ),
    Picture(
        "gallery/swissroll-process.png",
        "From noise to data",
        "The same samples at seven noise levels; below each, the estimate of x₀ that the step from there is made with.",
        "sample swissroll --show-process --show-x0",
    ),
    Picture(
        "gallery/swissroll.gif",
        "A film of it",
        "Each point has the colour of the direction in which it started.",
        "animate swissroll --frames 32 --size 360 -n 1500",
    ),
    Picture(
        "gallery/forward.png",
        "Forward: from data to noise",
        "What the network is trained to undo, coloured by class.",
        "data show moons --forward -n 3000",
    ),
    Picture(
        "gallery/side-by-side.gif",
        "Two samplers, one noise",
        "A hundred steps of DDPM beside ten of DDIM: linked in time, and begun from the same points.",
        "animate moons --side-by-side ddpm:100,ddim:10 --frames 24 --size 300 -n 1000",
    ),
    Picture(
        "gallery/density.png",
        "Density",
        "Where samples are at each noise level, smoothed.",
        "animate checkerboard --style density --frames 4 --size 360",
    ),
    Picture(
        "gallery/score.png",
        "The score field",
        "∇ log p(xₜ) as the network has learned it, from much noise to little.",
        "animate gaussians --what score --frames 2 --size 360",
    ),
    Picture(
        "gallery/arrows.png",
        "One step, and the score",
        "Where one step of denoising sends points, and the field it follows: learned, beside exact.",
        "inspect moons --arrows",
    ),
    Picture(
        "gallery/loss-by-t.png",
        "What is hard to learn",
        "The loss by noise level, beside the exact denoiser's: no network can be better than that.",
        "inspect moons --loss-by-t",
    ),
    Picture(
        "shapes32.png",
        "Images",
        "64 samples of shapes32 beside data.",
        "sample shapes32",
    ),
    Picture(
        "gallery/shapes-process.png",
        "Images from noise",
        "xₜ, and below it the estimate of x₀ from it: first the mean of all data, then a blob, then outlines.",
        "sample shapes32 --show-process --show-x0 -n 4 --seed 4",
    ),
    Picture(
        "gallery/shapes-by-label.png",
        "Images to order",
        "Asked for a circle and a line, which little more than a third of its samples are, beside data of every class.",
        "sample shapes32-cond --label circle+line -n 16",
    ),
    Picture(
        "gallery/schedule-flow.png",
        "A schedule: flow",
        "α = 1 − t and σ = t: straight lines from data to noise.",
        "inspect swissroll --schedule",
    ),
    Picture(
        "gallery/schedule-cosine.png",
        "A schedule: cosine",
        "The levels that a sampler of 39 steps visits, as dots: it begins below the clipped β.",
        "inspect swissroll-cosine40 --schedule",
    ),
    Picture("gallery/dark.png", "On dark paper", "--theme dark, for slides.", "sample gaussians -n 2000 --theme dark"),
)
ELSEWHERE = (
    Picture(
        "mnist.png",
        "Digits to order",
        "Needs data that are not shipped: `toydiff data fetch mnist`, then `toydiff train --preset mnist-cond "
        "--max-time 20m`. So `make gallery` leaves it as it is.",
        "sample mnist-cond --label all -n 8 --guidance 1.5",
    ),
)


def page() -> str:
    """Return docs/gallery.md."""
    parts = [
        "# Gallery\n\nEach picture is made by the command under it from the pretrained checkpoints and presets; "
        "`make gallery` runs them all.\n"
    ]
    for each in (*PICTURES, *ELSEWHERE):
        parts.append(
            f"## {each.title}\n\n![{each.about if each in PICTURES else each.title}]({each.file})\n\n"
            f"{each.about}\n\n```console\n{each.line}\n```\n"
        )
    return "\n".join(parts)


def make(line: str) -> None:
    """Run one command as `toydiff` would, in this process; SystemExit unless it succeeds."""
    from toydiff.cli.app import app

    sys.argv = shlex.split(line)  # pictures keep the command they were made with
    try:
        with redirect_stdout(StringIO()):  # some say a page about what they draw
            app([*sys.argv[1:], "-q"], prog_name="toydiff")
    except SystemExit as end:
        if end.code:
            sys.exit(f"gallery: `{line}` failed with exit code {end.code}; no picture was replaced")


def main() -> None:
    """Make all pictures in a folder of their own, then put them in their places."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=Path, help="folder of runs to use instead of the pretrained checkpoints")
    parser.add_argument("--into", type=Path, default=DOCS, help="folder to write to (docs/)")
    options = parser.parse_args()
    into, began = options.into.resolve(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="toydiff-gallery-") as scratch:
        os.environ["TOYDIFF_RUNS"] = str(options.runs.resolve() if options.runs else Path(scratch) / "no-runs")
        os.chdir(scratch)
        for each in PICTURES:
            started = time.monotonic()
            print(each.line, flush=True)
            make(each.line)
            made = Path(Path(each.file).name)
            if not made.is_file():
                sys.exit(f"gallery: `{each.line}` made no {made}; no picture was replaced")
            print(f"  {made.stat().st_size / 1e3:,.0f} kB, {time.monotonic() - started:.1f} s", flush=True)
        for each in PICTURES:
            (into / each.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(each.file).name, into / each.file)
    (into / "gallery.md").write_text(page(), encoding="utf-8")
    print(f"{len(PICTURES)} pictures and gallery.md in {into}, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
