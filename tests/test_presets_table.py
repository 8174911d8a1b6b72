"""The table of presets: every one is in it, the newest measurement counts, and only of what it still means."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from toydiff.config import Run
from toydiff.data import Moons
from toydiff.names import preset_names
from toydiff.networks import MLP
from toydiff.training import Training

FILE = Path(__file__).parents[1] / "benchmarks" / "presets.py"


@pytest.fixture(scope="module")
def presets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("presets_table", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(page: str, preset: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{preset}` |")]
    return line.strip("| ").split(" | ")


def test_the_table(presets: ModuleType) -> None:
    now = presets.meaning(presets.configuration("moons"))
    row = {"preset": "moons", "steps": 4000, "machine": "1 thread of abacus", "n": 1000, "cpu_seconds": 8.0}
    rows = [
        {**row, "meaning": now, "seconds": 1.0, "scores": {}},
        {**row, "meaning": now, "seconds": 9.6, "scores": {"sliced W2": [0.0312, 0.03, 0.004], "copying": [1, 1, 1]}},
        {**row, "meaning": "what it was before", "seconds": 2.0, "scores": {}},
    ]
    page = presets.table(rows)
    assert page.count("\n| `") == len(preset_names())
    moons = cells(page, "moons")
    assert moons[1:5] == ["Two moons", "moons, 2", "mlp, 62,466", "4,000"]
    assert moons[5:] == ["sliced W2 0.0312 (floor 0.03 ± 0.004)", "10 s (8 s of CPU)", "1 thread of abacus"]
    assert cells(page, "circles")[5] == "not measured"
    assert "(Xiao et al. 2017)" in cells(page, "fashion")[1]  # that dot ends no sentence


def test_what_is_stored_is_of_presets_there_are(presets: ModuleType) -> None:
    for row in presets.read():
        assert row["preset"] in preset_names()
        assert all(len(numbers) == 3 for numbers in row["scores"].values())


def test_a_measurement(presets: ModuleType) -> None:
    run = Run(data=Moons(), network=MLP(widths=(8,)), training=Training(steps=3, batch_size=8))
    row = presets.measure("moons", n=30, draws=2, run=run)
    assert row["steps"] == 3 and row["seconds"] >= 0 and row["scores"]["sliced W2"][0] > 0
    assert row["meaning"] != presets.meaning(presets.configuration("moons"))
    assert presets.result(json.loads(json.dumps(row)))[0].startswith("sliced W2")
