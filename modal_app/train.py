"""toydiff train on a rented GPU: modal run modal_app/train.py --preset shapes32 --epochs 200 --batch-size 128

The job runs the command line of this project, `toydiff train --resume auto`, in a container whose runs folder is the
volume `diffusion-checkpoints`: preempted, crashed or repeated, it goes on where it was. What it has learned comes back:

    modal volume get diffusion-checkpoints best.pt checkpoints/
    toydiff sample --checkpoint best.pt
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

import modal

GPU = os.environ.get("TOYDIFF_GPU", "A100")
"""What to rent: A100, H100, L4 …; with a number, A100:8, each of so many GPUs trains on its part of every batch."""
RUNS = Path("/checkpoints")
"""Where the volume is, in the container."""
EVERY = 60.0
"""Seconds between two commits of the volume: what is not committed is lost with its machine."""
FINAL = (0, 2, 3)
"""Exit codes that another attempt would give again: done, a wrong option, training that diverges."""

app = modal.App("toydiff")
volume = modal.Volume.from_name("diffusion-checkpoints", create_if_missing=True)
image = modal.Image.debian_slim(python_version="3.12")
if modal.is_local():  # in the container it is built already, and the project is not there as a folder
    root = Path(__file__).resolve().parents[1]
    parts = ("pyproject.toml", "README.md", "LICENSE", "src/**", "presets/**", "checkpoints/pretrained/**")
    image = (
        image.add_local_file(root / "constraints.txt", "/constraints.txt", copy=True)
        .pip_install_from_pyproject(str(root / "pyproject.toml"), extra_options="--constraint /constraints.txt")
        .add_local_dir(root, "/toydiff", copy=True, ignore=["**", *(f"!{part}" for part in parts)])
        .run_commands("pip install --no-deps /toydiff")
    )


@app.function(
    image=image,
    gpu=GPU,
    volumes={str(RUNS): volume},
    timeout=24 * 3600,
    retries=modal.Retries(max_retries=8, initial_delay=10.0, max_delay=60.0),
    single_use_containers=True,
)
def train(words: list[str]) -> int:
    """Run `toydiff train` with these words; return its exit code if another attempt would give it again.

    Raises RuntimeError for whatever else ended it, for Modal to try again.
    """
    child = subprocess.Popen(command(words, GPU), env=os.environ | {"TOYDIFF_RUNS": str(RUNS)})
    signals: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        child.terminate()  # it finishes the step and saves; Modal grants 30 seconds

    main_thread = threading.current_thread() is threading.main_thread()
    old = {n: signal.signal(n, forward) for n in (signal.SIGINT, signal.SIGTERM) if main_thread}
    try:
        while (code := ended(child, EVERY)) is None:
            keep()
        keep()
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        if child.poll() is None:
            child.kill()
    if signals:
        raise KeyboardInterrupt(f"preempted by {signal.Signals(signals[0]).name}; saved")
    if code not in FINAL:
        raise RuntimeError(
            f"toydiff train ended with exit code {code}; the next attempt goes on from the last checkpoint"
        )
    return code


def command(words: list[str], gpu: str) -> list[str]:
    """Return what is run: under torchrun, where there is more than one GPU."""
    _, _, count = gpu.partition(":")
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count, "--max-restarts", "3"]
    return [
        sys.executable,
        *(several if count not in ("", "1") else []),
        "-m",
        "toydiff",
        "train",
        "--resume",
        "auto",
        *words,
    ]


def ended(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Return the exit code of the child, if it ends within so many seconds."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def keep() -> None:
    """Copy the newest best.pt of all runs to the volume's root, where it is easily found, and commit the volume."""
    if best := sorted(RUNS.glob("*/best.pt"), key=lambda path: path.stat().st_mtime):
        beside = RUNS / ".best.pt.tmp"
        shutil.copyfile(best[-1], beside)
        os.replace(beside, RUNS / "best.pt")
    if not modal.is_local():
        volume.commit()


@app.local_entrypoint()
def main(
    preset: str = "", epochs: int | None = None, batch_size: int | None = None, set: str = "", options: str = ""
) -> None:
    """Train there as `toydiff train` would here; --set can be repeated, other options go into --options "--seed 3"."""
    words = [preset] if preset else []
    for name, value in (("--epochs", epochs), ("--batch-size", batch_size)):
        words += [name, str(value)] if value is not None else []
    for assignment in repeated("--set", sys.argv) or ([set] if set else []):
        words += ["--set", assignment]
    words += shlex.split(options)
    check = subprocess.run(
        [sys.executable, "-m", "toydiff", "train", *words, "--print-config", "-q"], stdout=subprocess.DEVNULL
    )
    if check.returncode:  # said before anything is rented
        raise SystemExit(check.returncode)
    raise SystemExit(train.remote(words))


def repeated(name: str, words: list[str]) -> list[str]:
    """Return every value of an option, in order: Modal's own command line keeps the last one only."""
    values = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == name:
            values.append(following)
        elif word.startswith(f"{name}="):
            values.append(word.partition("=")[2])
    return values
