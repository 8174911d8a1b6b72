"""inspect --summary and --html: what came of a run, in six panels or on a page that needs no network."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toydiff.cli.drawing import Paper, provenance
from toydiff.cli.evaluate import progress
from toydiff.cli.following import kept_floors
from toydiff.cli.memory import enough_memory, too_many
from toydiff.cli.sample import choose_output, free_name
from toydiff.cli.sampling import described
from toydiff.cli.scores import HEADINGS, cells
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import check_writable, refuse_existing, shown
from toydiff.guards import read_bytes
from toydiff.names import Found

if TYPE_CHECKING:
    from toydiff.metrics.scores import Score
    from toydiff.runs import Loaded
    from toydiff.viz.png import Picture
    from toydiff.viz.summary import Results

POINTS, IMAGES = 2000, 36
"""Samples in the picture."""
PATHS, ROW, MOST_LEVELS = 60, 6, 100
"""Points whose way is drawn, images whose way is, and levels of it at most."""
SCORED = {False: 500, True: 100}
"""Samples in each of DRAWS draws that are measured: of points, and of images. A glance, not an evaluation."""
DRAWS, FLOOR_DRAWS = 3, 20


def check_report(output: Path | None, found: Found | None) -> Path:
    """Return where the page goes: report.html in the run's folder, unless told; never onto something that is there."""
    if output is None and found is not None:
        folder, stem = found.path.parent, found.path.stem
        known = (folder / "config.toml").is_file()
        output = free_name(folder / "report.html" if known else Path(f"{stem}-report.html"))
    out = choose_output(output, None, "report", ("html",))
    refuse_existing(out)
    check_writable(out)
    return out


def needs_checkpoint(found: Found | None, wanted: str) -> Found:
    """Return what was found if there are results to show of it; ConfigurationError for what is not trained."""
    if found is None or found.kind != "checkpoint":
        name = shlex.quote(shown(wanted.removeprefix("preset:")))
        raise ConfigurationError(
            f"`{shown(wanted)}` has no results: nothing has been trained",
            f"Train it first: toydiff train {name}" if found is None else "Give a run, or a checkpoint.",
        )
    return found


def draw_summary(found: Found, paper: Paper, talk: Talk) -> None:
    """Write the six panels of a run."""
    from toydiff.viz.summary import run_summary

    loaded = loaded_cheaply(found, talk)
    results, scores = results_of(loaded, talk)
    paper.draw(lambda: run_summary(results, heading(loaded)), **provenance(loaded))
    said = {"output": str(paper.out), "scores": _values(scores)}
    talk.result(f"{shown(paper.out)}: {heading(loaded)}", said)


def write_report(found: Found, out: Path, theme: str, talk: Talk) -> None:
    """Write the page about a run: pictures inside it, and tables."""
    from toydiff.files import write_text
    from toydiff.viz.report import report_page
    from toydiff.viz.style import themed

    loaded = loaded_cheaply(found, talk)
    results, scores = results_of(loaded, talk)
    with themed(theme):
        page = report_page(heading(loaded), pictures(results), tables(loaded, results, scores))
    write_text(out, page)
    talk.result(f"{shown(out)}: {heading(loaded)}", {"output": str(out), "scores": _values(scores)})


def heading(loaded: Loaded) -> str:
    """Return what a summary is of: "moons-1, step 4,000 of 4,000"."""
    header = loaded.header
    return f"{shown(loaded.name)}, step {header['step']:,} of {header['total']:,}"


def loaded_cheaply(found: Found, talk: Talk) -> Loaded:
    """Return the model, which makes images in few steps, as the pictures of its run do."""
    from toydiff.cli.preview import cheap
    from toydiff.runs import load

    loaded = load(found, warn=talk.warn)
    return replace(loaded, config=cheap(loaded.config))


def results_of(loaded: Loaded, talk: Talk) -> tuple[Results, list[Score]]:
    """Return what there is to show of a model, and its scores, having sampled and measured it."""
    import torch

    from toydiff import evaluation
    from toydiff.cli.keeping import read_metrics
    from toydiff.viz.summary import Results

    data, scores, real, how = loaded.data, [], None, described(loaded)
    total = int(loaded.header.get("total", 0))

    metrics = read_metrics(Path(loaded.found.value).with_name("metrics.jsonl"), total)
    count, few = (IMAGES, ROW) if data.pictorial else (POINTS, PATHS)
    n, last = SCORED[data.pictorial], loaded.config.sampling.steps
    keep = sorted({round(k * last / MOST_LEVELS) for k in range(MOST_LEVELS + 1)})
    with enough_memory(lambda: too_many(loaded, count)), progress(talk) as on_progress:
        on_progress(f"{count:,} samples by {how}")
        samples = loaded.sample(count)
        way, _ = loaded.frames(torch.arange(few), keep=keep)
        try:
            real = loaded.real(count, torch.Generator().manual_seed(0))
            scores = evaluation.evaluate(
                loaded, n, draws=DRAWS, floor_draws=FLOOR_DRAWS, cache=kept_floors(), on_progress=on_progress
            )
            note = f"{DRAWS} draws of {n:,} samples by {how}; ↓ less is better, ↑ more, = near the floor"
        except ToydiffError as error:  # no data at hand, or nothing that could be measured of them
            note = error.message
    rows = [cells(score) for score in scores if score.value is not None]
    seen = [(name, value, floor, z) for name, value, _, floor, z in rows]
    levels = [level for level in loaded.config.levels() if float(level.sigma) > 0]
    return Results(data, loaded.config.schedule, levels, metrics, real, samples, way, seen, note), scores


def pictures(results: Results) -> dict[str, Picture]:
    """Return the pictures of a page by title."""
    import numpy as np

    from toydiff.viz.curves import loss_curve, lr_curve, schedule_plot
    from toydiff.viz.overview import process_picture, samples_picture
    from toydiff.viz.points import marginals
    from toydiff.viz.process import trajectories
    from toydiff.viz.style import as_points
    from toydiff.viz.summary import ROWS, column, paths

    drawn: dict[str, Picture] = {}
    step, loss = column(results.metrics, "loss")
    if np.isfinite(loss).any():
        validation = column(results.metrics, "validation")
        drawn["Loss"] = loss_curve(step, loss, validation if len(validation[0]) else None)
        drawn["Learning rate"] = lr_curve(*column(results.metrics, "lr"))
    real, samples, data = results.real, results.samples, results.data
    sets = [] if real is None else [("data", real)]
    drawn["Samples"] = samples_picture(data, *sets, ("samples", samples))
    if data.pictorial:
        way, last = results.way, len(results.way) - 1
        rows = [round(k * last / (ROWS - 1)) for k in range(ROWS)]
        levels, x_t = [way[k].level for k in rows], [way[k].x for k in rows]
        x0 = [way[min(k + 1, last)].x0 for k in rows]  # a frame's estimate was made at the level before it
        drawn["From noise to samples"] = process_picture(data, levels, x_t, x0, None)
    else:
        if real is not None:
            drawn["Histograms"] = marginals(real.x, samples.x)
        x, times, _ = paths(results)
        drawn["From noise to samples"] = trajectories(np.stack([as_points(each) for each in x]), times)
    drawn["Schedule"] = schedule_plot(results.schedule, results.levels)
    return drawn


def tables(loaded: Loaded, results: Results, scores: list[Score]) -> dict[str, Any]:
    """Return the tables of a page by title: rows of words, or text that stands as it is."""
    from toydiff.cli.configure import to_toml

    header, folder = loaded.header, Path(loaded.found.value).parent
    best = header.get("best") or {}
    result = [
        ("checkpoint", shown(loaded.found.value)),
        ("preset", shown(header.get("preset") or "none")),
        ("step", f"{header['step']:,} of {header['total']:,}"),
        ("best validation", f"{best['loss']:.5f} at step {best['step']:,}" if best else "none yet"),
        *[("time", f"{rows[-1]['seconds']:,.1f} s, the last attempt") for rows in [_timing(folder, header)] if rows],
        ("sampled by", described(loaded)),
    ]
    if scores:
        result.append(("measured", results.note))
    quality = [(*cells(score)[:4], score.note or score.meaning.words) for score in scores]
    return {
        "Result": result,
        "Quality": [(*HEADINGS[:4], "what it says"), *quality] if quality else results.note,
        "Configuration": to_toml(loaded.config).rstrip(),
        "Environment": [(key, shown(str(value))) for key, value in _environment(folder, header).items()],
    }


def _timing(folder: Path, header: Mapping[str, Any]) -> list[dict[str, Any]]:
    from toydiff.cli.keeping import read_metrics

    return read_metrics(folder / "timing.jsonl", int(header.get("total", 0)))


def _environment(folder: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """Return env.json of the run's folder, or what the checkpoint knows."""
    try:
        facts = json.loads(read_bytes(folder / "env.json", 1 << 20))
    except (ToydiffError, ValueError, RecursionError):
        facts = None
    return facts if isinstance(facts, dict) else dict(header.get("environment") or {})


def _values(scores: list[Score]) -> dict[str, float]:
    return {score.name: score.value for score in scores if score.value is not None}
