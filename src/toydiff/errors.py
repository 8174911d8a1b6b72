"""What can go wrong, said so that the reader knows what to do next; each class has its exit code."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ToydiffError(Exception):
    """A failure toydiff understands: what went wrong and where, and in `hint` what to do (exit code 1)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigurationError(ToydiffError):
    """An unknown name, key or value, or options that do not go together (exit code 2)."""

    exit_code = 2


class TrainingDiverged(ToydiffError):
    """A loss or gradient that is not finite; it never reached the weights (exit code 3)."""

    exit_code = 3


def shown(name: object) -> str:
    """Return a path or another name from outside as one printable line: control characters are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean `…`? Known: …", the nearest of `known` first, as a hint for an unknown `name`."""
    known = sorted(known)
    nearest = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    guess = f"Did you mean `{nearest[0]}`? " if nearest else ""
    return f"{guess}Known: {', '.join(known)}."
