"""What a check found: a verdict, the numbers it rests on, words for it, and what to change."""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["ok", "warning", "problem", "not applicable"]


class Finding(NamedTuple):
    """What one check found; `numbers` are what the verdict rests on, `fix` is what to change, "" where nothing is."""

    name: str
    verdict: Verdict
    words: str
    numbers: dict[str, float]
    fix: str = ""

    @property
    def wrong(self) -> bool:
        """Whether there is something to look at."""
        return self.verdict in ("warning", "problem")


def graded(value: float, warning: float, problem: float) -> Verdict:
    """Return the verdict on a value of which more is worse; what is no number is worst."""
    return "ok" if value <= warning else "warning" if value <= problem else "problem"


def not_applicable(name: str, words: str) -> Finding:
    """Return that a check says nothing here, and why."""
    return Finding(name, "not applicable", words, {})


def short(value: float) -> str:
    """Return a number of two digits for people: 9,600, 0.13, 1.5e-06."""
    rounded = float(f"{value:.1e}")
    return (
        f"{rounded:,.0f}" if 1000 <= abs(rounded) < 1e7 else f"{rounded:.2g}" if abs(rounded) < 100 else f"{rounded:g}"
    )


def worst(*verdicts: Verdict) -> Verdict:
    """Return the worst of some verdicts."""
    order: tuple[Verdict, ...] = ("not applicable", "ok", "warning", "problem")
    return max(verdicts, key=order.index)
