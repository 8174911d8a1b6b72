"""inspect --schedule: what the noise does, and at which levels a sampler looks at it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from toydiff.cli.description import schedule_facts
from toydiff.cli.drawing import Paper
from toydiff.cli.sampling import check_sampler_words, in_words, sampled_as
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.files import shown

if TYPE_CHECKING:
    from toydiff.config import Run
    from toydiff.schedules import Level

ROWS = 26
"""Levels of a grid that are printed; of more, as many spread evenly. --json has all."""


def draw_schedule(
    run: Run, paper: Paper, talk: Talk, sampler: str | None, steps: int | None, spacing: str | None
) -> None:
    """Write the picture of the schedule with the grid on it, and print both."""
    from toydiff.viz.curves import schedule_plot

    run = sampled_as(run, *check_sampler_words(sampler, steps), spacing)
    levels, way = run.levels(), in_words(run.sampling)
    title = f"{run.schedule.kind} schedule, dots: {way}"
    paper.draw(lambda: schedule_plot(run.schedule, levels[:-1], title))
    facts = schedule_facts(run)
    rows = [_row(level) for level in levels]
    last = len(rows) - 1
    few = sorted({round(k * last / (ROWS - 1)) for k in range(ROWS)})
    lines = [(k, *(_short(value) for value in rows[k].values())) for k in few]
    more = f" (of {len(rows):,} levels {len(few)} are shown)" if len(few) < len(rows) else ""
    asked = run.sampling.sampler.evaluations
    said = "as many evaluations as its tolerance takes" if asked is None else f"{asked * last:,} evaluations at most"
    text = table(("i", "t", "alpha", "sigma", "ᾱ", "sigma/alpha", "log-SNR"), lines)
    words = f"{shown(paper.out)}: {facts['words']}\nsampling grid: {way}; {said}{more}\n\n{text}"
    grid = [{key: value if math.isfinite(value) else None for key, value in row.items()} for row in rows]
    talk.result(words, {"output": str(paper.out), **facts, "sampling": way, "grid": grid})


def _row(level: Level) -> dict[str, float]:
    """Return one level of the grid in numbers."""
    alpha, sigma = float(level.alpha), float(level.sigma)
    return {
        "t": float(level.t), "alpha": alpha, "sigma": sigma, "alpha_bar": alpha**2,
        "sigma_over_alpha": sigma / alpha if alpha else math.inf, "log_snr": float(level.log_snr),
    }  # fmt: skip


def _short(value: float) -> str:
    return f"{'−' * (value < 0)}∞" if math.isinf(value) else f"{value:.4g}"
