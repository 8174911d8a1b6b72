"""Makes the golden files of the current version of the checkpoint format: `python tests/golden/make.py`.

A tiny network, trained for 200 steps, and samples of it. A new version of the format gets new files; the old ones stay
as they are, for that is what they are for. Nothing is overwritten.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from typer.testing import CliRunner

from toydiff import load
from toydiff.checkpoint import VERSION
from toydiff.cli.app import app

HERE = Path(__file__).parent
WORDS = (
    "train", "moons", "--name", "golden", "--steps", "200", "--batch-size", "64", "-q",
    "--set", "network={kind='mlp', widths=[16, 16], residual=false, fourier=4}", "--set", "model.conditional=true",
    "--set", "record={validation=100, log_every=100, validate_every=100, save_every=100, sample_every=200}",
    "--set", "sampling={sampler={kind='ddim'}, steps=8, n=64}",
)  # fmt: skip
SEEDS, LABEL = 6, 1


def samples(path: Path) -> list[list[float]]:
    """Return what a golden checkpoint makes of the first seeds."""
    loaded = load(str(path))
    x = loaded.sample(SEEDS, label=LABEL).x
    return [[round(value, 9) for value in row] for row in x.double().tolist()]


def main() -> None:
    """Train, and write both files."""
    target = HERE / f"checkpoint-v{VERSION}.pt"
    if target.exists():
        sys.exit(f"{target} exists, and stays as it is")
    with TemporaryDirectory() as scratch:
        done = CliRunner().invoke(app, [*WORDS, "--runs-dir", scratch])
        if done.exit_code:
            sys.exit(done.output)
        target.write_bytes(Path(scratch, "golden", "latest.pt").read_bytes())
    target.with_suffix(".json").write_text(json.dumps({"samples": samples(target)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
