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
        self.rank: int | None = None
        """Of several processes that train together, the one it happened in; None: in each of them."""


class ConfigurationError(ToydiffError):
    """An unknown name, key or value, or options that do not go together (exit code 2)."""

    exit_code = 2


class TrainingDiverged(ToydiffError):
    """A loss or gradient that is not finite; it never reached the weights (exit code 3)."""

    exit_code = 3


class SamplingDiverged(ToydiffError):
    """Samples that are not finite (exit code 1); a run that only looks at them goes on."""


class Elsewhere(ToydiffError):
    """Another of the processes that train together has failed, and says why; this one ends with its exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process of this run failed")
        self.exit_code = exit_code


def shown(name: object) -> str:
    """Return a path or another name from outside as one printable line: control characters are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean `…`? Known: …", the nearest of `known` first, as a hint for an unknown `name`."""
    known = sorted(known)
    nearest = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    guess = f"Did you mean `{nearest[0]}`? " if nearest else ""
    return f"{guess}Known: {', '.join(known)}."
