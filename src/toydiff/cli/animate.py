"""toydiff animate: a film of noise turning into data, or of data turning into noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toydiff.cli import options
from toydiff.cli.memory import enough_memory, too_many
from toydiff.cli.sample import choose_output
from toydiff.cli.sampling import check_sampler_words, described, parse_clip, with_sampling
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError
from toydiff.files import check_writable, refuse_existing, shown
from toydiff.names import data_source, find, runs_dir
from toydiff.viz.formats import FILM_FORMATS

if TYPE_CHECKING:
    from torch import Tensor

    from toydiff.runs import Loaded
    from toydiff.samplers import Frame

TO = ("to", "as", "into")
FRAMES = 40


@options.guarded
def animate(
    name: options.Name = None,
    words: Annotated[list[str] | None, typer.Argument(metavar="to FORMAT", help="mp4, gif, webp or png.")] = None,
    checkpoint: options.Checkpoint = None,
    what: Annotated[str, typer.Option(help="reverse (noise to data) or forward (data to noise).")] = "reverse",
    frames: Annotated[int | None, typer.Option(help="Frames of the film (40).", min=2, max=10_000)] = None,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 15.0,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=64, max=4096)] = 720,
    n: Annotated[int | None, typer.Option("-n", help="Number of samples.")] = None,
    sampler: options.SamplerOption = None,
    steps: options.Steps = None,
    spacing: options.Spacing = None,
    eta: options.Eta = None,
    guidance: options.Guidance = None,
    label: options.Label = None,
    clip: options.Clip = None,
    seed: options.Seed = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Show the data in grey behind points.")] = False,
    sets: options.Set = None,
    output: options.Output = None,
    to: options.To = None,
    device: options.Device = None,
    runs: options.RunsDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_file: options.LogFile = None,
    debug: options.Debug = False,
) -> None:
    """Make a film: toydiff animate swissroll to mp4"""
    talk = Talk(quiet=quiet, verbose=verbose, log_file=log_file, json=as_json)
    if name is not None and name.lower() in TO and checkpoint not in (None, name):
        words, name = [name, *(words or [])], None  # animate --checkpoint X to gif: the first word is no NAME
    to = format_of(words or [], to)
    if what not in ("reverse", "forward"):
        raise ConfigurationError(f"unknown film `{shown(what)}`", "Known: forward, reverse.")
    if what == "forward":
        refuse_sampling(
            sampler=sampler, steps=steps, spacing=spacing, eta=eta, guidance=guidance, label=label, clip=clip, set=sets
        )
    wanted = options.one_name(name, checkpoint)
    found = find(wanted, runs_dir(runs))
    chosen, steps = check_sampler_words(sampler, steps)
    stem = wanted.removeprefix("preset:").removeprefix("run:").replace(":", "-").replace("@", "-")
    if found.kind == "exact":
        stem = f"exact-{data_source(found.value, counted=True).stem}"
    out = choose_output(output, to, Path(stem).stem if stem.endswith(".pt") else Path(stem).name, FILM_FORMATS)
    kind = out.suffix.lstrip(".").lower()
    if not 0 < fps <= (50 if kind == "gif" else 240):
        raise ConfigurationError(f"{fps:g} frames a second for {kind}", "Take a rate up to 50 for gif, 240 otherwise.")
    bounds = parse_clip(clip)
    first, asked = options.parse_seeds(seed, n)
    refuse_existing(out)
    check_writable(out)
    talk.note(f"filming {found.why}")

    import torch

    from toydiff.runs import load
    from toydiff.viz.film import HOLD, save_film
    from toydiff.viz.overview import film_frames

    where = options.choose_device(device)
    loaded = load(found, device=where, warn=talk.warn)
    wanted_frames = frames or FRAMES
    loaded = _with_steps(loaded, wanted_frames, chosen, steps, spacing, eta, sets or [])
    count = film_count(loaded, asked, size, overlay)
    seeds = torch.arange(first, first + count)
    evaluations: list[int] = []
    if what == "forward":
        film, labels = forward(loaded, seeds, wanted_frames)
    else:
        taken = loaded.config.sampling.steps
        if frames is not None and frames > taken + 1:
            talk.warn(
                f"the film has {taken + 1:,} frames, not {frames:,}: the noise, and one for each of the {taken:,} steps"
            )
        if label == "none" and guidance not in (None, 1):
            raise ConfigurationError(
                "--guidance leads towards a class, and there is none", "Leave one of --guidance and --label none out."
            )
        labels = loaded.labels(label, seeds)
        film = loaded.trajectory(
            seeds,
            label=labels,
            guidance=loaded.guidance(guidance),
            clip=bounds,
            device=where,
            evaluations=evaluations,
        )
    with enough_memory(lambda: too_many(loaded, count)):
        shots = evenly(list(film), wanted_frames)
    behind = loaded.real(2000, torch.Generator().manual_seed(0)).x if overlay else None
    levels, x_t = [shot.level for shot in shots], [shot.x.cpu() for shot in shots]
    save_film(
        out,
        film_frames(loaded.data, levels, x_t, labels, size, behind),
        fps=fps,
        hold=(0, 0) if kind == "mp4" else HOLD,  # an mp4 has just the frames asked for, at one rate
    )
    how = described(loaded, bounds, evaluations) if what == "reverse" else "the forward process"
    talk.result(
        f"{shown(out)}: {len(shots)} frames of {count:,} {loaded.data.word}, {how}",
        {"output": str(out), "frames": len(shots), "fps": fps, "n": count, "model": loaded.name},
    )


def format_of(words: list[str], to: str | None) -> str | None:
    """Return the format of "to FORMAT", the words a person types, or of --to."""
    if not words:
        return to
    if len(words) != 2 or words[0].lower() not in TO:
        raise ConfigurationError(
            f"`{shown(' '.join(words))}` is not understood", "For example: toydiff animate swissroll to mp4"
        )
    if to is not None and to != words[1]:
        raise ConfigurationError(f"`to {shown(words[1])}` and --to {shown(to)} disagree", "Give one of the two.")
    return words[1]


def film_count(loaded: Loaded, asked: int | None, size: int, overlay: bool) -> int:
    """Return how many samples a film shows: those asked for, else as many as other pictures, if there is room.

    Raises ConfigurationError, before anything is sampled, for a film that cannot be made of the model's samples.
    """
    shape, count = loaded.data.shape, asked or loaded.config.shown
    if not loaded.data.pictorial:
        return count
    if overlay:
        raise ConfigurationError(
            f"--overlay shows data behind points, and `{shown(loaded.name)}` makes images", "Leave it out."
        )
    from toydiff.viz.frames import film_grid, film_room

    count = asked or max(1, min(count, film_room(shape, size)))
    film_grid(count, shape, size)
    return count


def _with_steps(
    loaded: Loaded,
    frames: int,
    sampler: str | None,
    steps: int | None,
    spacing: str | None,
    eta: float | None,
    sets: list[str],
) -> Loaded:
    """Return the model sampling in one step a frame, as far as its schedule has steps, unless told otherwise."""
    knots = loaded.schedule.knot_times
    start = loaded.config.sampling.start or 1.0
    most = frames - 1 if knots is None else min(frames - 1, round(start * len(knots)))
    return with_sampling(loaded, sampler=sampler, steps=steps or most, spacing=spacing, eta=eta, sets=sets)


def refuse_sampling(**given: object) -> None:
    """Raise ConfigurationError for options about sampling: nothing is sampled on the way from data to noise."""
    if extra := [f"--{name}" for name, value in given.items() if value not in (None, [])]:
        raise ConfigurationError(
            f"--what forward samples nothing: {', '.join(extra)} would have no effect", "Leave them out."
        )


def forward(loaded: Loaded, seeds: Tensor, frames: int) -> tuple[Iterator[Frame], Tensor | None]:
    """Return frames of x_t = alpha x_0 + sigma eps from data to noise, one eps a point, and the points' labels."""
    import torch

    from toydiff.samplers import Frame
    from toydiff.training import streams

    x0, labels = loaded.real(len(seeds), streams.generator(int(seeds[0]), "film"))
    again = torch.arange(len(seeds)) % len(x0)  # the points of "exact:moons@3" take turns
    x0, labels = x0[again], None if labels is None else labels[again]
    model_x0 = (x0 - loaded.shift) / loaded.scale
    eps = streams.normal(loaded.data.shape, seed=seeds, stream="film")
    levels = [loaded.schedule(t) for t in torch.linspace(0, 1, frames, dtype=torch.float64)]
    film = (Frame(level, loaded.to_data(level.alpha * model_x0 + level.sigma * eps), x0) for level in levels)
    return film, labels


def evenly(shots: list[Frame], frames: int) -> list[Frame]:
    """Return at most `frames` of the shots, evenly spaced, the first and the last among them."""
    if len(shots) <= frames:
        return shots
    return [shots[round(k * (len(shots) - 1) / (frames - 1))] for k in range(frames)]
