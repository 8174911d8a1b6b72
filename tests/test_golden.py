"""A checkpoint of every version of the format there has been, loaded and sampled for ever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from toydiff import checkpoint as checkpoints
from toydiff import load
from toydiff.cli.app import app

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = range(1, checkpoints.VERSION + 1)


def test_every_version_has_a_golden_file_and_keeps_it() -> None:
    """A new version: `python tests/golden/make.py`."""
    names = {f"checkpoint-v{version}.{kind}" for version in VERSIONS for kind in ("pt", "json")}
    assert {path.name for path in GOLDEN.glob("checkpoint-*")} == names
    assert all((GOLDEN / name).stat().st_size < 100_000 for name in names)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_samples_what_it_sampled_when_it_was_made(version: int, tmp_path: Path) -> None:
    path = GOLDEN / f"checkpoint-v{version}.pt"
    assert f"toydiff {version} sha256".encode() in path.read_bytes()[-100:]
    expected = torch.tensor(json.loads(path.with_suffix(".json").read_text())["samples"])
    loaded = load(str(path))
    torch.testing.assert_close(loaded.sample(len(expected), label=1).x, expected, rtol=0, atol=1e-6)
    assert loaded.header["step"] == 200 and expected.std() > 0.1
    # and goes on
    run = tmp_path / "golden"
    run.mkdir()
    shutil.copy(path, run / "latest.pt")
    (run / "config.toml").touch()
    words = ["resume", "golden", "--steps", "201", "-q", "--runs-dir", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert checkpoints.read_header(run / "latest.pt")["step"] == 201
