"""Where presets and pretrained checkpoints lie: at the top of a clone, or inside an installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_REPOSITORY = _PACKAGE.parents[1]  # src/toydiff → the clone; editable installs run from there as well


def presets_dir() -> Path:
    """Return the folder of `*.toml` presets: a clone's `presets/`, or the wheel's copy of it."""
    return _find("_presets", "presets")


def pretrained_dir() -> Path:
    """Return the folder of pretrained `*.pt`: a clone's `checkpoints/pretrained/`, or the wheel's copy of it.

    The folder need not exist: a toydiff without pretrained checkpoints is a legal one.
    """
    return _find("_pretrained", "checkpoints/pretrained")


def _find(packaged: str, cloned: str) -> Path:
    in_wheel = (_PACKAGE / "_presets").is_dir()  # one question for both, so that they never mix
    return _PACKAGE / packaged if in_wheel else _REPOSITORY / cloned
