"""inspect A --against B: what differs in two runs, how they learned, and what they make of the same noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toydiff.cli import options
from toydiff.cli.drawing import Paper
from toydiff.cli.evaluate import progress
from toydiff.cli.memory import enough_memory, too_many
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import shown
from toydiff.names import Found, find

if TYPE_CHECKING:
    from toydiff.runs import Loaded
    from toydiff.viz.against import Side

AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--against", help="Compare with another run: what differs, losses, samples of the same noise.",
        autocompletion=options.complete_name, metavar="NAME",
    ),
]  # fmt: skip
POINTS, IMAGES = 2000, 36
"""Samples of each."""


def other(name: str, runs: Path) -> Found:
    """Return what --against means; ConfigurationError for what is no run."""
    found = find(name, runs)
    if found.kind != "checkpoint":
        raise ConfigurationError(
            f"--against takes a run, and `{shown(name)}` is {found.why}", "Give a run or a checkpoint."
        )
    return found


def compare(found: Found, against: Found, paper: Paper, talk: Talk) -> None:
    """Write the picture of both, and print what differs."""
    import torch

    from toydiff.cli.summary import loaded_cheaply
    from toydiff.viz.against import against_picture

    talk.note(f"against {against.why}")
    models = [loaded_cheaply(each, talk) for each in (found, against)]
    first, second = models
    if first.data.shape != second.data.shape:
        raise ConfigurationError(
            f"samples of `{shown(first.name)}` have shape {first.data.shape}, "
            f"those of `{shown(second.name)}` {second.data.shape}",
            "Compare two runs of data of one shape.",
        )
    rows = differences(*(model.config.model_dump(mode="json") for model in models))
    count = IMAGES if first.data.pictorial else POINTS
    with enough_memory(lambda: too_many(first, count)), progress(talk) as on_progress:
        on_progress(f"{count:,} samples of each")
        sides = [side(model, name, count) for model, name in zip(models, _names(first, second), strict=True)]
    try:
        real = first.real(count, torch.Generator().manual_seed(0))
    except ToydiffError as error:  # a model needs no data to sample
        talk.note(f"no data beside the samples: {error.message}")
        real = None
    alike = all(_loss(model) == _loss(first) for model in models)
    note = "" if alike else "losses of different targets, weights or data: they do not compare"
    written = [(key, _cell(a), _cell(b)) for key, a, b in rows]
    text = {"seeds": f"0-{count - 1}", "models": ", ".join(f"{m.name} (sha256 {m.digest})" for m in models)}
    paper.draw(lambda: against_picture(first.data, real, sides, written, note), **text)
    told = [(each.name, _final(each, "loss"), _final(each, "validation")) for each in sides]
    parts = [
        f"{shown(paper.out)}: {sides[0].name} against {sides[1].name}, {count:,} samples of the same noise",
        table(("differs", sides[0].name, sides[1].name), written) if rows else "they are configured alike",
        table(("", "last loss", "last validation"), [(name, *map(_number, ends)) for name, *ends in told]),
        *([note] if note else []),
    ]
    talk.result(
        "\n\n".join(parts),
        {
            "output": str(paper.out),
            "differences": [{"key": key, "a": a, "b": b} for key, a, b in rows],
            "losses_compare": alike,
            "runs": [{"name": name, "loss": loss, "validation": valid} for name, loss, valid in told],
        },
    )


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (dotted key, in a, in b) where two configurations differ; None for what only the other has."""
    left, right = dict(_flat(a)), dict(_flat(b))
    keys = [*left, *(key for key in right if key not in left)]
    return [(key, left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)]


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in table.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return pairs


def side(model: Loaded, name: str, count: int) -> Side:
    """Return a run's metrics, and its samples of seeds 0, 1, …"""
    from toydiff.cli.keeping import read_metrics
    from toydiff.viz.against import Side

    metrics = read_metrics(Path(model.found.value).with_name("metrics.jsonl"), int(model.header.get("step", 0)))
    return Side(name, metrics, model.sample(count))


def _names(first: Loaded, second: Loaded) -> tuple[str, str]:
    """Return what to call the two: by their steps too, if they are of one run."""
    a, b = (shown(model.name) for model in (first, second))
    if a != b:
        return a, b
    a, b = (f"{shown(model.name)} at {model.header['step']:,}" for model in (first, second))
    return (a, b) if a != b else (f"{a} (A)", f"{b} (B)")


def _loss(model: Loaded) -> tuple[Any, ...]:
    run = model.config
    return run.data, run.schedule, run.model.target, run.model.standardize, run.training.weight, run.training.density


def _final(each: Side, key: str) -> float | None:
    values = [row[key] for row in each.metrics if isinstance(row.get(key), int | float)]
    return float(values[-1]) if values else None


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.5f}"


def _cell(value: Any) -> str:
    return "–" if value is None else shown(f"{value:g}" if isinstance(value, float) else value)
