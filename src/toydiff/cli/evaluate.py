"""toydiff evaluate: quality in absolute units, every score beside what real data read in the samples' place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from toydiff.cli import editing, options
from toydiff.cli.memory import enough_memory, too_many
from toydiff.cli.sampling import check_sampler_words, described, parse_clip, with_sampling
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.files import shown
from toydiff.names import find, runs_dir

if TYPE_CHECKING:
    from toydiff.metrics.scores import Score

FEWEST, MOST = 20, 20_000


@options.guarded
def evaluate(
    name: options.Name = None,
    checkpoint: options.Checkpoint = None,
    n: Annotated[int, typer.Option("-n", help="Samples in a draw.")] = 2000,
    sampler: options.SamplerOption = None,
    steps: options.Steps = None,
    spacing: options.Spacing = None,
    eta: options.Eta = None,
    guidance: options.Guidance = None,
    label: options.Label = None,
    weights: options.Weights = "ema",
    clip: options.Clip = None,
    seed: Annotated[str | None, typer.Option(help="Seed of the first sample.")] = None,
    sets: options.Set = None,
    device: options.Device = None,
    runs: options.RunsDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_file: options.LogFile = None,
    debug: options.Debug = False,
) -> None:
    """Measure how good a model is: toydiff evaluate swissroll"""
    talk = Talk(quiet=quiet, verbose=verbose, log_file=log_file, json=as_json)
    found = find(options.one_name(name, checkpoint), runs_dir(runs))
    chosen, steps = check_sampler_words(sampler, steps)
    if weights not in ("ema", "raw"):
        raise ConfigurationError(f"unknown weights `{shown(weights)}`", did_you_mean(weights, ("ema", "raw")))
    if not FEWEST <= n <= MOST:
        raise ConfigurationError(f"{n:,} samples in a draw", f"-n takes from {FEWEST} to {MOST:,} here.")
    bounds = parse_clip(clip)
    first, count = options.parse_seeds(seed, None)
    if count is not None:
        raise ConfigurationError(
            f"`--seed {shown(seed)}` is a range: draws follow one another from one seed", "For example: --seed 7"
        )
    editing.check_words(guidance, None, None, None, None)
    talk.note(f"evaluating {found.why}")

    from toydiff import evaluation
    from toydiff.runs import load

    where = options.choose_device(device)
    loaded = load(found, weights=weights, device=where, warn=talk.warn)
    loaded = with_sampling(loaded, sampler=chosen, steps=steps, spacing=spacing, eta=eta, sets=sets or [])
    evaluations: list[int] = []
    how: dict[str, Any] = {"guidance": loaded.guidance(guidance), "clip": bounds, "device": where}
    with enough_memory(lambda: too_many(loaded, n)):
        scores = evaluation.evaluate(
            loaded, n, seed=first, label=label, on_progress=talk.detail, evaluations=evaluations, **how
        )
    facts = {
        "model": loaded.name,
        "n": n,
        "draws": evaluation.DRAWS,
        "seed": first,
        "sampler": described(loaded, bounds, evaluations),
        "evaluations": max(evaluations),
        "split": "held-out",
    }
    talk.result(scores_table(scores), {**facts, "scores": {score.name: as_dict(score) for score in scores}})


def scores_table(scores: list[Score]) -> str:
    """Return the scores as a table of 80 columns."""
    rows = []
    for score in scores:
        value = "n/a" if score.value is None else f"{score.value:.4g}"
        interval = "" if score.interval is None else "{:.4g} … {:.4g}".format(*score.interval)
        floor = "" if score.floor is None else f"{score.floor.mean:.4g} ± {score.floor.sd:.2g}"
        rows.append((score.name, value, interval, floor, "" if score.z is None else f"{score.z:+.1f}"))
    return table(("score", "value", "95 % interval", "floor", "z"), rows)


def as_dict(score: Score) -> dict[str, Any]:
    """Return a score as JSON has it."""
    return {
        "value": score.value,
        "interval": score.interval,
        "floor": score.floor and score.floor._asdict(),
        "z": score.z,
        "units": score.meaning.units,
        "better": score.meaning.better,
        "words": score.meaning.words,
        "note": score.note,
    }
