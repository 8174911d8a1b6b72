"""`make gallery`: it knows every picture that is shown, and a command that fails is heard."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_that_is_shown_is_made(gallery: ModuleType) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {
        (page.parent / target).resolve().relative_to(ROOT / "docs").as_posix()
        for page in pages
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    }
    known = [each.file for each in (*gallery.PICTURES, *gallery.ELSEWHERE)]
    assert shown <= set(known)
    assert len({Path(file).name for file in known}) == len(known)  # they are made in one folder
    assert len({each.title for each in gallery.PICTURES}) == len(gallery.PICTURES)


def test_the_page_has_each_picture_with_its_command_under_it(gallery: ModuleType) -> None:
    page = gallery.page()
    for each in (*gallery.PICTURES, *gallery.ELSEWHERE):
        assert each.line in page.partition(f"]({each.file})")[2]


@pytest.mark.parametrize(
    "line", ["toydiff sample nosuch -o x.png", "toydiff data show moons -o none/x.png", "toydiff sample --nosuch"]
)
def test_a_command_that_fails_is_heard(
    line: str, gallery: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    with pytest.raises(SystemExit, match=f"gallery: `{line}` failed with exit code [12]; no picture was replaced"):
        gallery.make(line)


def test_a_command_that_succeeds_makes_its_picture(
    gallery: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    gallery.make("toydiff data show moons -n 50 -o forward.png")
    assert (tmp_path / "forward.png").stat().st_size > 1000
