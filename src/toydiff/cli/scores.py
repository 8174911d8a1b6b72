"""Scores as tables and as JSON: as many digits as the spread allows; what they are, in 80 columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toydiff.cli.tables import table

if TYPE_CHECKING:
    from toydiff.metrics.scores import Score

    Result = tuple[str, int, list[Score]]
    """How it was sampled, evaluations of the network, and what was measured."""

ARROWS = {"lower": "↓", "higher": "↑", "near": "="}
HEADINGS = ("score", "value", "95 % interval", "floor ± sd", "z")
LARGE = 1e7
"""From here on, powers of ten."""
BESIDE = 2
"""Samplers that stand beside the first one in a table of 80 columns."""


def scores_table(scores: list[Score]) -> str:
    """Return the scores, and beneath them what they say."""
    rows, words = [], []
    for score in scores:
        rows.append(cells(score))
        meaning = score.meaning.words + (f", {score.meaning.units}" if score.meaning.units else "")
        words.append((score.name, (f"n/a: {score.note}" if score.value is None else meaning)))
        if score.note and score.value is not None:
            words.append(("", score.note))
    main = table(HEADINGS, rows)
    legend = (
        "↓ less is better, ↑ more is better, = the nearer to the floor the better.\n"
        "The floor is what real data read in the samples' place; z is how many of its sd\n"
        "a value lies above it.\n"
    )
    return f"{main}\n\n{legend}\n{table(('score', 'what it says'), words)}"


def cells(score: Score) -> tuple[str, str, str, str, str]:
    """Return what a table says of a score, beneath `HEADINGS`."""
    spread = _spread(score)
    value = "n/a" if score.value is None else number(score.value, spread)
    interval = "" if score.interval is None else " … ".join(number(end, spread) for end in score.interval)
    floor = "" if score.floor is None else f"{number(score.floor.mean, spread)} ± {score.floor.sd:.2g}"
    return _headed(score), value, interval, floor, _z(score)


def compared(columns: Mapping[str, Result]) -> str:
    """Return the scores, a column a sampler: beside the first one, how far each differs, with a paired interval."""
    first, *others = columns
    base = columns[first][2]
    found, tables = differences(columns), []
    for k in range(0, len(others), BESIDE):
        beside = others[k : k + BESIDE]
        rows = [("evaluations", *(f"{columns[name][1]:,}" for name in (first, *beside)), "")]
        for row, score in enumerate(base):
            if all(columns[name][2][row].value is None for name in (first, *beside)):
                continue
            spread = _spread(score)
            cells = [columns[name][2][row] for name in (first, *beside)]
            floor = "" if score.floor is None else f"{number(score.floor.mean, spread)} ± {score.floor.sd:.2g}"
            values = ("n/a" if cell.value is None else number(cell.value, _spread(cell)) for cell in cells)
            rows.append((_headed(score), *values, floor))
            rows.append(("", "", *(_apart(found[name].get(score.name)) for name in beside), ""))
            if any(z := [_z(cell) for cell in cells]):
                rows.append(("", *(f"z = {each}" * bool(each) for each in z), ""))
        tables.append(table(("score", first, *beside, "floor ± sd"), rows))
    below = (
        f"Below a value stands how far it lies from that of {first}, ± half of a\n"
        "paired 95 % interval, and * where 0 lies outside it. All share noise and data.\n"
        "z is how many sd of the floor a value lies above it.\n"
        "↓ less is better, ↑ more is better, = the nearer to the floor the better."
    )
    return "\n\n".join([*tables, below])


def differences(columns: Mapping[str, Result]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return {sampler: {score: {value, interval}}} of each sampler less the first one, where both have a value."""
    from toydiff.metrics.scores import difference

    (_, _, base), found = next(iter(columns.values())), {}
    for name, (_, _, scores) in list(columns.items())[1:]:
        pairs = ((score.name, difference(score, other)) for score, other in zip(scores, base, strict=True))
        found[name] = {key: {"value": pair[0], "interval": pair[1]} for key, pair in pairs if pair is not None}
    return found


def as_dict(score: Score) -> dict[str, Any]:
    """Return a score as JSON has it."""
    return {
        "value": score.value,
        "interval": score.interval,
        "floor": score.floor and {key: finite(value) for key, value in score.floor._asdict().items()},
        "z": score.z,
        "draws": [finite(value) for value in score.values],
        "units": score.meaning.units,
        "better": score.meaning.better,
        "words": score.meaning.words,
        "note": score.note,
    }


def finite(value: float) -> float | None:
    """Return a number as JSON has it: null for what is none."""
    return value if math.isfinite(value) else None


def number(value: float, spread: float) -> str:
    """Return a value with the digits that its spread leaves meaning to: two of the spread's."""
    if (top := max(abs(value), spread)) >= LARGE:
        digits = math.floor(math.log10(top)) - math.floor(math.log10(spread)) + 2 if spread > 0 else 4
        return f"{value:.{min(digits, 12)}g}"
    if spread > 0:
        decimals = max(0, 1 - math.floor(math.log10(spread)))
        if decimals <= 6:
            return f"{value:.{decimals}f}"
        return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.6f}"
    return f"{value:.4g}" if abs(value) > 1e-12 else "0"


def _z(score: Score) -> str:
    if score.z is not None:
        return f"{score.z:+.1f}" if abs(score.z) < LARGE else f"{score.z:+.3g}"
    if score.value is None or score.floor is None or score.floor.sd > 0 or score.value == score.floor.mean:
        return ""
    return "+∞" if score.value > score.floor.mean else "−∞"  # real data read the same every time


def _headed(score: Score) -> str:
    return f"{score.name} {ARROWS[score.meaning.better]}"


def _spread(score: Score) -> float:
    """Return what the last digits of a score are to be judged by."""
    ends = score.interval or (0.0, 0.0)
    return (ends[1] - ends[0]) / 2 or (score.floor.sd if score.floor else 0.0)


def _apart(found: dict[str, Any] | None) -> str:
    if found is None or found["interval"] is None:
        return ""
    low, high = found["interval"]
    star = "" if low <= 0 <= high else "*"
    half = (high - low) / 2
    value = number(found["value"], half)
    return f"{'' if value.startswith('-') else '+'}{value} ± {number(half, half)}{star}"
