"""What benchmarks/samplers.md claims: it names every kind, its orders and rankings hold, and it is not stale."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from toydiff.samplers import AnySampler
from toydiff.spec import kinds

FOLDER = Path(__file__).parents[2] / "benchmarks"
LINES = (FOLDER / "samplers.md").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("samplers_benchmark", FOLDER / "samplers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table below a heading, by their first cell."""
    start = LINES.index(heading)
    first = next(k for k in range(start, len(LINES)) if LINES[k].startswith("| ---")) + 1
    last = next((k for k in range(first, len(LINES)) if not LINES[k].startswith("|")), len(LINES))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES[first:last]]
    return {name: row for name, *row in cells}


def test_every_deterministic_kind_keeps_its_order_on_every_schedule(benchmark: ModuleType) -> None:
    table = rows("## Order of convergence")
    sampled = [sampler for sampler in benchmark.samplers() if sampler.evaluations is not None]
    assert list(table) == [benchmark.name(sampler) for sampler in sampled]
    for sampler in sampled:
        order, *measured, _equal_steps = map(float, table[benchmark.name(sampler)])
        assert order == sampler.order
        assert len(measured) == len(benchmark.SCHEDULES) == 4
        assert min(measured) >= order - 0.3


def test_every_multistep_method_beats_euler_from_nine_evaluations_on(benchmark: ModuleType) -> None:
    multistep = [s for s in benchmark.samplers() if s.order > 1 and s.evaluations == 1]
    assert {sampler.kind for sampler in multistep} == {"dpmpp_2m", "dpmpp_3m", "unipc", "deis", "ipndm"}
    for title in benchmark.SCHEDULES:
        table = rows(f"### {title}")
        columns = [k for k, n in enumerate(benchmark.BUDGETS) if n >= 9]
        for sampler in multistep:
            assert all(float(table[benchmark.name(sampler)][k]) < float(table["euler"][k]) for k in columns)


def test_the_table_is_what_the_program_measures(benchmark: ModuleType) -> None:
    schedule = benchmark.SCHEDULES["VE"]
    table = rows("### VE")
    for sampler in benchmark.samplers():
        if sampler.evaluations is not None:
            expected = float(table[benchmark.name(sampler)][benchmark.BUDGETS.index(10)])
            assert benchmark.budget_error(sampler, schedule, 10) == pytest.approx(expected, rel=0.06)
    heun = next(sampler for sampler in benchmark.samplers() if sampler.kind == "heun")
    assert benchmark.order(heun, schedule) == pytest.approx(float(rows("## Order of convergence")["heun"][3]), abs=0.02)


def test_the_kinds_left_out_ask_for_noise_or_choose_their_steps(benchmark: ModuleType) -> None:
    assert set(kinds(AnySampler)) - {sampler.kind for sampler in benchmark.samplers()} == {
        "ddpm", "euler_ancestral", "dpmpp_2m_sde", "langevin",
    }  # fmt: skip
    assert any(line.startswith("rk45: ") for line in LINES)
