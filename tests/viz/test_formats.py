"""The format of a film is known before anything is drawn or sampled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toydiff.errors import ConfigurationError
from toydiff.viz.formats import FILM_FORMATS, film_format


@pytest.mark.parametrize("kind", FILM_FORMATS)
def test_names_and_paths_in_any_case_stand_for_the_same_format(kind: str) -> None:
    assert {
        film_format(each) for each in (kind, f".{kind}", kind.upper(), f"a.b/roll.v2.{kind}", Path("x", f"y.{kind}"))
    } == {kind}


@pytest.mark.parametrize("name", ["roll.mpg", "avi", "", "roll", "mp4/roll", "roll.mp4.part"])
def test_anything_else_is_refused_with_the_formats_there_are(name: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        film_format(name)
    assert all(kind in refusal.value.hint for kind in FILM_FORMATS)


def test_asking_imports_no_drawing_library() -> None:
    code = (
        "import sys, toydiff.viz.formats as f; f.film_format('x.gif');"
        "print(sorted({'matplotlib', 'av', 'PIL', 'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
