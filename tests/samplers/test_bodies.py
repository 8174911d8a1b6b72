"""Every sampler fits a slide, and says its order and its cost."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import pytest

from toydiff.samplers import AnySampler
from toydiff.spec import kinds, summary

MOST_LINES = 40


@pytest.mark.parametrize("cls", kinds(AnySampler).values(), ids=lambda cls: str(cls.__name__))
def test_a_body_fits_a_slide(cls: Any) -> None:
    function = ast.parse(textwrap.dedent(inspect.getsource(cls.trajectory))).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert function.end_lineno is not None
    assert function.end_lineno - function.lineno + 1 <= MOST_LINES


@pytest.mark.parametrize("cls", kinds(AnySampler).values(), ids=lambda cls: str(cls.__name__))
def test_a_summary_is_one_sentence_with_its_source(cls: Any) -> None:
    assert summary(cls).endswith(".")
    assert any(year in summary(cls) for year in ("19", "20"))


def test_no_two_bodies_are_the_same_code() -> None:
    """Thin names call what they are; nothing is copied."""
    bodies = [
        ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(cls.trajectory))))
        for cls in kinds(AnySampler).values()  # type: ignore[attr-defined]
    ]
    assert len(set(bodies)) == len(bodies)
