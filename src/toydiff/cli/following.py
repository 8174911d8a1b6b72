"""Scores along a run: a few of its samples, measured again and again, beside what real data read in their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from toydiff.cli.scores import cells
from toydiff.cli.talk import Talk
from toydiff.errors import ToydiffError
from toydiff.published import data_dir

if TYPE_CHECKING:
    from toydiff.metrics.scores import Floor, Score
    from toydiff.runs import Loaded


def follow(loaded: Loaded, floors: dict[str, Floor], talk: Talk) -> list[Score]:
    """Return the quick scores of a model in training, by its run's seed; `floors` as `track` has them."""
    from toydiff.evaluation import track

    return track(loaded, loaded.config.seed, floors, kept_floors(), talk.note)


def kept_floors() -> Path | None:
    """Return the folder that floors are kept in, None where there is no home for it."""
    try:
        return data_dir() / "floors"
    except ToydiffError:
        return None


def as_row(scores: list[Score]) -> dict[str, dict[str, Any]]:
    """Return what metrics.jsonl has of scores: the values, and what they are to be compared with."""
    return {
        "scores": {score.name: score.value for score in scores},
        "floors": {score.name: score.floor and score.floor._asdict() for score in scores},
        "z": {score.name: score.z for score in scores},
    }


def in_line(scores: list[Score]) -> str:
    """Return scores and their floors in words."""
    rows = (cells(score) for score in scores)
    return ", ".join(f"{name} {value} (real data: {floor})" for name, value, _, floor, _ in rows)
