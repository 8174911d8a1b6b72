"""The notebooks run from top to bottom, teach what they say, and are stored without outputs."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def stored(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def code(name: str) -> list[str]:
    return ["".join(cell["source"]) for cell in stored(name)["cells"] if cell["cell_type"] == "code"]


def test_there_is_one_for_every_source_of_data() -> None:
    assert set(NAMES) >= {"cifar10", "mnist", "moons", "swissroll"}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_stored_without_outputs(name: str) -> None:
    import nbformat

    nbformat.validate(nbformat.from_dict(stored(name)))
    for cell in stored(name)["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert set(cell["metadata"]) <= {"tags"}


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_with_its_parameters(name: str) -> None:
    cells = stored(name)["cells"]
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"][0].startswith("# ")
    assert cells[1]["metadata"]["tags"] == ["parameters"]
    assert "TOYDIFF_NOTEBOOK_STEPS" in "".join(cells[1]["source"])


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, official: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, a cell after the other, as a kernel does: the last expression of a cell is what it shows."""
    monkeypatch.setenv("TOYDIFF_NOTEBOOK_STEPS", "4")
    names: dict[str, Any] = {"__name__": "__main__"}
    pictures = 0
    for cell in code(name):
        *before, last = ast.parse(cell).body
        tail: ast.AST = ast.Module([last], [])
        if shown := isinstance(last, ast.Expr):
            tail = ast.Expression(last.value)
        exec(compile(ast.Module(before, []), name, "exec"), names)
        value = eval(compile(tail, name, "eval" if shown else "exec"), names)  # type: ignore[arg-type]
        if hasattr(value, "_repr_png_"):
            assert value.width > 200 and len(set(value.convert("L").get_flattened_data())) > 2
            pictures += 1
    assert pictures >= 5
    assert names["step"].step == 4


def test_a_kernel_runs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("TOYDIFF_NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    document = nbformat.read(FOLDER / "moons.ipynb", as_version=4)
    NotebookClient(document, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))
    shown = [output for cell in document.cells for output in cell.get("outputs", ()) if "data" in output]
    assert sum("image/png" in output["data"] for output in shown) >= 5
