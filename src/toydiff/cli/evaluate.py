"""toydiff evaluate: quality in absolute units, every score beside what real data read in the samples' place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.status import Status

from toydiff.cli import editing, options
from toydiff.cli.following import kept_floors
from toydiff.cli.memory import enough_memory, too_many
from toydiff.cli.sampling import check_sampler_words, described, guidance_in_words, parse_clip, with_sampling
from toydiff.cli.scores import as_dict, compared, differences, scores_table
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.files import shown
from toydiff.metrics import FEWEST
from toydiff.metrics.program import read_program
from toydiff.names import find, runs_dir

if TYPE_CHECKING:
    from toydiff.runs import Loaded

MOST = 20_000


@options.guarded
def evaluate(
    name: options.Name = None,
    checkpoint: options.Checkpoint = None,
    n: Annotated[int, typer.Option("-n", help="Samples in a draw.")] = 2000,
    draws: Annotated[int, typer.Option(help="Draws of samples; intervals come from them.", min=2, max=10)] = 5,
    compare: Annotated[
        str | None,
        typer.Option(help="Samplers side by side, from the same noise.", metavar="NAME[:STEPS],NAME[:STEPS],…"),
    ] = None,
    sampler: options.SamplerOption = None,
    steps: options.Steps = None,
    spacing: options.Spacing = None,
    eta: options.Eta = None,
    guidance: options.Guidance = None,
    guidance_interval: editing.IntervalOption = None,
    guide: editing.GuideOption = None,
    label: options.Label = None,
    weights: options.Weights = "ema",
    clip: options.Clip = None,
    inception: Annotated[
        Path | None,
        typer.Option(
            help="Also FID of images, by your copy of inception-2015-12-05.pt. TorchScript is a program, and is run: "
            "only take it from whom you trust.",
            metavar="FILE",
        ),
    ] = None,
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
    ways = parse_compare(compare, sampler, steps, eta) if compare is not None else [check_sampler_words(sampler, steps)]
    if weights not in ("ema", "raw"):
        raise ConfigurationError(f"unknown weights `{shown(weights)}`", did_you_mean(weights, ("ema", "raw")))
    if not FEWEST <= n <= MOST:
        raise ConfigurationError(f"{n:,} samples in a draw", f"-n takes from {FEWEST} to {MOST:,} here.")
    bounds, first, interval = parse_clip(clip), one_seed(seed), editing.parse_interval(guidance_interval)
    editing.check_words(guidance, guidance_interval, guide)
    weaker = find(guide, runs_dir(runs)) if guide is not None else None
    program = None if inception is None else read_program(inception)
    talk.note(f"evaluating {found.why}")

    from toydiff import evaluation
    from toydiff.guidance import EVERYWHERE
    from toydiff.metrics.inception import Inception
    from toydiff.runs import load

    where = options.choose_device(device)
    loaded = load(found, weights=weights, device=where, warn=talk.warn)
    asked: dict[str, Any] = {"spacing": spacing, "eta": eta, "sets": sets or []}
    samplings = [with_sampling(loaded, sampler=chosen, steps=count, **asked) for chosen, count in ways]
    if compare is not None:
        check_as_named(compare, ways, samplings)
    by = load(weaker, device=where, warn=talk.warn) if weaker is not None else None
    how: dict[str, Any] = {"guidance": loaded.guidance(guidance, by), "guide": by, "interval": interval or EVERYWHERE}
    how |= {"clip": bounds, "device": where}
    editing.check_leads(how["guidance"], by, label, departs=False)
    if (there := evaluation.enough(loaded.data, n, evaluation.class_of(loaded, label))) < n:
        talk.warn(f"only {there:,} {loaded.data.word} are held out: a draw is as many, not {n:,}")
        n = there
    facts: dict[str, Any] = {"model": loaded.name, "n": n, "draws": draws, "seed": first, "label": label}
    facts |= {"weights": weights, "guidance": how["guidance"], "guide": None if by is None else by.name}
    facts |= {"guidance_interval": guidance_interval}
    facts |= {"split": "held-out", "data": loaded.data.model_dump(mode="json")}
    network = None if program is None else Inception(program, loaded.data, where)
    if network is not None:
        facts["inception"] = {"file": network.file, "sha256": network.digest, "features": network.width}
        talk.note(f"{network.name} by {network.origin}; the whole sha256 is {network.digest}")
    whole = evaluation.class_of(loaded, label) is None  # the entropy is that of all classes together
    facts |= {"entropy": loaded.data.entropy, "entropy_error": loaded.data.entropy_error} if whole else {}
    results = []
    with enough_memory(lambda: too_many(loaded, n)), progress(talk) as on_progress:
        for each in samplings:
            evaluations: list[int] = []
            scores = evaluation.evaluate(
                each, n, seed=first, draws=draws, label=label, inception=network, cache=kept_floors(),
                on_progress=on_progress, note=talk.note, evaluations=evaluations, **how
            )  # fmt: skip
            results.append((described(each, bounds, evaluations), max(evaluations), scores))
        if compare is None:
            on_progress("likelihood by the probability-flow ODE")
            results[0][2].insert(0, evaluation.divergence(loaded, n, seed=first, label=label))
    if compare is None:
        said, count, scores = results[0]
        lines = [*opening(loaded, facts, how), f"{said}: {count:,} evaluations of the network", ""]
        document = {"sampler": said, "evaluations": count, "scores": {score.name: as_dict(score) for score in scores}}
        return talk.result("\n".join([*lines, scores_table(scores)]), {**facts, **document})
    columns = dict(zip(map(name_of, samplings), results, strict=True))
    document = {
        "compare": {
            key: {"sampler": said, "evaluations": count, "scores": {score.name: as_dict(score) for score in scores}}
            for key, (said, count, scores) in columns.items()
        },
        "differences": differences(columns),
    }
    talk.result("\n".join([*opening(loaded, facts, how), "", compared(columns)]), {**facts, **document})


def parse_compare(
    text: str, sampler: str | None, steps: int | None, eta: float | None
) -> list[tuple[str | None, int | None]]:
    """Return (name, steps) of each of --compare ddim:10,dpmpp_2m:10; ConfigurationError if there are not two."""
    if sampler is not None or steps is not None or eta is not None:
        raise ConfigurationError("--compare names the samplers itself", "Leave out --sampler, --steps and --eta.")
    words = [word.strip() for word in text.split(",")]
    if len(words) < 2 or len(set(words)) < len(words):
        raise ConfigurationError(
            f"`--compare {shown(text)}` does not name two different samplers or more",
            "For example: --compare ddim:10,dpmpp_2m:10,ddpm:1000",
        )
    for word in words:
        if not word:
            raise ConfigurationError(f"`--compare {shown(text)}`: a sampler has no name", "For example: ddim:10,heun:5")
    return [check_sampler_words(word, None, "--compare") for word in words]


def name_of(loaded: Loaded) -> str:
    """Return "ddim:10"; the steps count for rk45 too, whose last one is the grid's."""
    return f"{loaded.config.sampling.sampler.kind}:{loaded.config.sampling.steps}"


def check_as_named(text: str, ways: list[tuple[str | None, int | None]], samplings: list[Loaded]) -> None:
    """Raise ConfigurationError if --set makes another sampler of one that --compare names, or two are the same."""
    for (kind, steps), each in zip(ways, samplings, strict=True):
        sampling = each.config.sampling
        if sampling.sampler.kind != kind or steps not in (None, sampling.steps):
            raise ConfigurationError(
                f"--set makes {sampling.sampler.kind}:{sampling.steps} of what --compare names {kind}"
                + ("" if steps is None else f":{steps}"),
                "--compare names the samplers and their steps itself: leave them out of --set.",
            )
    names = [name_of(each) for each in samplings]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigurationError(
            f"`--compare {shown(text)}` names {twice} twice", "For example: --compare ddim:10,dpmpp_2m:10,ddpm:1000"
        )


def one_seed(seed: str | None) -> int:
    """Return the seed that draws begin at; ConfigurationError for a range."""
    if seed is not None and "-" in seed[1:]:
        raise ConfigurationError(
            f"`--seed {shown(seed)}`: draws follow one another from one seed, and -n says how many samples are in each",
            "For example: --seed 7",
        )
    return options.parse_seeds(seed, None)[0]


def opening(loaded: Loaded, facts: dict[str, Any], guided: dict[str, Any]) -> list[str]:
    """Return what was measured, in two lines."""
    what = f"{shown(loaded.name)} against held-out {loaded.data.word} of {loaded.data.kind}"
    what += f", class {shown(facts['label'])}" if facts["label"] is not None else ""
    what = ", ".join([what, *guidance_in_words(guided)])
    size = f"{facts['draws']} draws of {facts['n']:,} samples from seed {facts['seed']}"
    if "entropy" not in facts:
        return [what, size]
    if facts["entropy"] is None:
        return [what, f"{size}; the entropy of the data is not known"]
    error = f" (off by {facts['entropy_error']:.0e} at most)" if facts["entropy_error"] else ""
    return [what, f"{size}; H = {facts['entropy']:.6f} nats{error}"]


@contextmanager
def progress(talk: Talk) -> Iterator[Any]:
    """Yield what to call with each thing that is about to be done: a line that replaces itself on a terminal."""
    if talk.quiet or not talk.console.is_terminal:
        yield talk.detail
        return
    with Status("", console=talk.console) as status:
        yield status.update
