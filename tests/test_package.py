"""The package from outside: what importing costs, what the wheel carries, where presets are found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import toydiff
from toydiff.assets import presets_dir, pretrained_dir

ROOT = Path(__file__).parents[1]


def python(code: str, *path: Path) -> str:
    """Run `code` in a fresh interpreter, with `path` before everything else, and return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_toydiff_imports_neither_torch_nor_anything_large() -> None:
    loaded = set(python("import sys, toydiff; dir(toydiff); print(*sys.modules)").split())
    assert "toydiff" in loaded
    assert not loaded & {"torch", "numpy", "pydantic", "matplotlib", "tensorboard", "typer", "rich"}


@pytest.mark.parametrize("name", toydiff.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(toydiff, name) is not None
    assert name in dir(toydiff)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute `lod`"):
        _ = toydiff.lod


def test_presets_of_a_clone_are_found() -> None:
    assert presets_dir() == ROOT / "presets"
    assert pretrained_dir() == ROOT / "checkpoints" / "pretrained"
    assert (presets_dir() / "swissroll.toml").is_file()


def test_the_wheel_carries_presets_and_checkpoints_and_runs_from_anywhere(tmp_path: Path) -> None:
    clone, dist, site = tmp_path / "clone", tmp_path / "dist", tmp_path / "site"
    clone.mkdir()
    for file in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / file, clone)
    for folder in ("src", "presets"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for checkpoint in ("pretrained/planted.pt", "swissroll-20260101/latest.pt"):  # one is shipped, a run is not
        (clone / "checkpoints" / checkpoint).parent.mkdir(parents=True)
        (clone / "checkpoints" / checkpoint).write_bytes(b"weights")

    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
    subprocess.run(build, cwd=clone, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def below(folder: Path) -> set[str]:
        return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}

    expected = below(clone / "src" / "toydiff") | {"_pretrained/planted.pt"}
    assert below(site / "toydiff") == expected | {f"_presets/{name}" for name in below(ROOT / "presets")}
    code = "import toydiff, toydiff.assets as a; print(toydiff.__version__, a.presets_dir(), a.pretrained_dir())"
    package = site / "toydiff"
    assert python(code, site) == f"{toydiff.__version__} {package / '_presets'} {package / '_pretrained'}"
