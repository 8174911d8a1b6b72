"""Layers point one way, libraries stay in their rooms, files stay small: read from the source, not from a run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "toydiff"
MOST_LINES = 320

# A module may import from the rows above its own, and from itself (a folder counts as one module).
LAYERS = [
    ["errors"],
    ["spec", "assets", "dist"],
    ["schedules"],
    ["denoiser"],
    ["guidance", "editing", "oracle", "networks"],
    ["samplers", "likelihood"],
    ["files"],
    ["guards"],
    ["pictures"],
    ["published"],
    ["download"],
    ["data"],
    ["training"],
    ["archive", "arrays", "lock"],
    ["checkpoint"],
    ["metrics"],
    ["config"],
    ["layers", "names", "environment"],
    ["runs"],
    ["evaluation", "doctor"],
    ["viz"],
    ["cli"],
    ["__main__", "__init__"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

CORE = {
    "spec",
    "schedules",
    "denoiser",
    "guidance",
    "editing",
    "oracle",
    "networks",
    "samplers",
    "likelihood",
    "training",
}
OUTSIDE = {"files", "guards", "pictures"}  # above `data`, which reads; the core knows nothing of them
CORE_LIBRARIES = {"torch", "numpy", "scipy", "pydantic", "typing_extensions", "jaxtyping", "toydiff"}

ROOMS = {  # what is used in one place only; nowhere at all where there is no place
    "matplotlib": ("viz",),
    "PIL": ("viz", "pictures"),
    "PIL.Image.open": ("pictures",),
    "av": ("viz",),
    "rich": ("cli",),
    "typer": ("cli",),
    "click": (),  # typer carries its own
    "torch.load": ("checkpoint",),
    "pickle.load": (),
    "pickle.loads": (),
    "numpy.load": (),
    "np.load": (),
    "print": ("cli",),
}


def module_of(file: Path, source: Path) -> str:
    """Return the first name below toydiff: `samplers` for samplers/ode.py, `spec` for spec.py."""
    return file.relative_to(source).parts[0].removesuffix(".py")


def imports(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, in functions and under TYPE_CHECKING as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every function called by its plain name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def violations(source: Path) -> list[str]:
    """Return one line for each broken rule below `source`, a package called toydiff."""
    found, files = [], sorted(source.rglob("*.py"))
    modules = RANK.keys() | {module_of(file, source) for file in files}
    for file in files:
        module, text = module_of(file, source), file.read_text()
        tree, where = ast.parse(text), file.relative_to(source).as_posix()
        if module not in RANK:
            found.append(f"{where}: `{module}` has no row in LAYERS")
            continue
        imported = list(imports(tree, ["toydiff", *file.relative_to(source).parts[:-1]]))
        for line, name in imported:
            top, _, rest = name.partition(".")
            if top == "toydiff" and rest != "__version__":  # the version may be read by everyone
                target = rest.partition(".")[0]
                target = target if target in modules else "__init__"  # `from toydiff import load`
                if target != module and RANK.get(target, -1) >= RANK[module]:
                    found.append(f"{where}:{line}: {module} imports {target}, which is not above it in LAYERS")
                if module in CORE and target in OUTSIDE:
                    found.append(f"{where}:{line}: {module} belongs to the core and imports {target}")
            if module in CORE and top not in CORE_LIBRARIES | set(sys.stdlib_module_names):
                found.append(f"{where}:{line}: {module} belongs to the core and imports {top}")
        for line, name in imported + list(calls(tree)):
            for thing, rooms in ROOMS.items():
                if module not in rooms and (name == thing or name.startswith(f"{thing}.")):
                    said = f"belongs in {' or '.join(rooms)}" if rooms else "is not used here"
                    found.append(f"{where}:{line}: {thing} {said}")
        if (lines := len(text.splitlines())) > MOST_LINES:
            found.append(f"{where}: {lines} lines; a file ends at {MOST_LINES}")
    return found


def test_layers_point_one_way_and_libraries_stay_in_their_rooms() -> None:
    assert not violations(SOURCE), "\n" + "\n".join(violations(SOURCE))


def test_the_table_names_only_modules_there_are() -> None:
    assert set(RANK) <= {module_of(file, SOURCE) for file in SOURCE.rglob("*.py")}


@pytest.mark.parametrize(
    ("where", "text", "complaint"),
    [
        ("schedules.py", "from toydiff.denoiser import Denoiser", "schedules imports denoiser"),
        ("schedules.py", "def f():\n    import toydiff.training.loop", "schedules imports training"),
        ("samplers/ode.py", "from ..files import atomic_write", "samplers imports files"),
        (
            "training/loop.py",
            "from toydiff.guards import read_bytes",
            "training belongs to the core",
        ),
        ("samplers/ode.py", "from toydiff import viz", "samplers imports viz"),
        ("guidance.py", "from toydiff.oracle import Mixture", "guidance imports oracle"),
        ("runs.py", "from toydiff import load", "runs imports __init__"),
        ("runs.py", "if TYPE_CHECKING:\n    from toydiff.cli.app import main", "runs imports cli"),
        ("oracle/base.py", "import tqdm", "oracle belongs to the core and imports tqdm"),
        ("cli/train.py", "from matplotlib import pyplot", "matplotlib belongs in viz"),
        ("cli/train.py", "import PIL.Image", "PIL belongs in viz or pictures"),
        ("cli/train.py", "import click", "click is not used here"),
        ("viz/film.py", "import rich", "rich belongs in cli"),
        ("arrays.py", "import numpy as np\nx = np.load('a.npy')", "np.load is not used here"),
        ("viz/film.py", "from PIL.Image import open", "PIL.Image.open belongs in pictures"),
        ("runs.py", "import torch\n\n\ndef f(p):\n    return torch.load(p)", "torch.load belongs in checkpoint"),
        ("runs.py", "from torch import load", "torch.load belongs in checkpoint"),
        ("training/loop.py", "print('step')", "print belongs in cli"),
        ("somewhere.py", "", "`somewhere` has no row"),
        ("config.py", "\n" * 321, "321 lines"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path: Path, where: str, text: str, complaint: str) -> None:
    file = tmp_path / where
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert any(complaint in line for line in violations(tmp_path))


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("samplers/ode.py", "from toydiff.samplers.base import Frame\nfrom .base import Sampler\nimport math, torch"),
        ("checkpoint.py", "import torch\nfrom toydiff import __version__\n\nx = torch.load('a.pt')"),
        ("viz/film.py", "import av\nfrom PIL import Image\nfrom toydiff.runs import load"),
        ("cli/app.py", "import typer\nprint('ok')\nfrom ..errors import ToydiffError"),
        ("training/loop.py", "from toydiff.data.base import Data"),
    ],
)
def test_what_is_allowed_is_left_alone(tmp_path: Path, where: str, text: str) -> None:
    file = tmp_path / where
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert violations(tmp_path) == []
