"""toydiff animate: a film of noise turning into data, of what a model learned, of what it can do."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toydiff.cli import editing, options, progression
from toydiff.cli import filming as film
from toydiff.cli.drawing import ThemeOption, check_theme
from toydiff.cli.memory import enough_memory, too_many
from toydiff.cli.player import carries_model, check_room, player_room, save_player
from toydiff.cli.progress import watched
from toydiff.cli.sample import choose_output
from toydiff.cli.sampling import check_sampler_words, described, parse_clip, with_sampling
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.files import check_writable, refuse_existing, shown
from toydiff.names import Found, data_source, find, runs_dir
from toydiff.viz.formats import ANIMATIONS, check_encoder

if TYPE_CHECKING:
    from toydiff.runs import Loaded

FRAMES = 40


@options.guarded
def animate(
    name: options.Name = None,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="to FORMAT", help="mp4, gif, webp, apng, png or html.")
    ] = None,
    checkpoint: options.Checkpoint = None,
    what: Annotated[str, typer.Option(help=f"{', '.join(film.WHATS)}.")] = "reverse",
    style: Annotated[str | None, typer.Option(help=f"Of points: {', '.join(film.STYLES)}.")] = None,
    colour: Annotated[
        str | None, typer.Option("--colour", "--color", help="Of points: by class, start (where it starts) or t.")
    ] = None,
    side_by_side: Annotated[
        str | None, typer.Option("--side-by-side", help="Panels: ddpm:100,ddim:10 or data or data,heun:20.")
    ] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Show the data in grey behind points.")] = False,
    strength: Annotated[float | None, typer.Option(help="Of live: the time each round noises to (0.5).")] = None,
    interpolate: editing.InterpolateOption = None,
    frames: Annotated[int | None, typer.Option(help="Frames of the film (40).", min=2, max=10_000)] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second (15; training 2, live 6).")] = None,
    hold: Annotated[
        str | None, typer.Option(help="Seconds the first and last frame stand still (0.5,1.5; mp4 0,0).", metavar="A,B")
    ] = None,
    theme: ThemeOption = None,
    size: Annotated[int, typer.Option(help="Width and height of a panel in pixels.", min=64, max=4096)] = 720,
    n: Annotated[int | None, typer.Option("-n", help="Number of samples.")] = None,
    sampler: options.SamplerOption = None,
    steps: options.Steps = None,
    spacing: options.Spacing = None,
    eta: options.Eta = None,
    guidance: options.Guidance = None,
    guidance_interval: editing.IntervalOption = None,
    guide: editing.GuideOption = None,
    label: Annotated[str | None, typer.Option(help="Class to sample, by name or number; all: -n of each.")] = None,
    weights: options.Weights = "ema",
    clip: options.Clip = None,
    seed: options.Seed = None,
    sets: options.Set = None,
    output: options.Output = None,
    to: options.To = None,
    yes: Annotated[bool, typer.Option("--yes", help="Make a film of more than 200 MB.")] = False,
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
    name, words = film.words_of(name, words or [], checkpoint, overlay)
    to = film.format_of(words, to)
    for noun, word, known in (
        ("film", what, film.WHATS), ("style", style, film.STYLES), ("colour", colour, film.COLOURS)
    ):  # fmt: skip
        film.check_one_of(noun, word, known)
    given = {
        "sampler": sampler, "steps": steps, "spacing": spacing, "eta": eta, "guidance": guidance, "label": label,
        "guidance_interval": guidance_interval, "guide": guide, "clip": clip, "set": sets, "frames": frames,
        "strength": strength, "interpolate": interpolate, "style": style, "colour": colour,
        "side_by_side": side_by_side,
    }  # fmt: skip
    film.refuse_idle(what, **given)
    sides, paper = film.parse_sides(side_by_side), check_theme(theme)
    if weights not in ("ema", "raw"):
        raise ConfigurationError(f"unknown weights `{shown(weights)}`", did_you_mean(weights, ("ema", "raw")))
    wanted = options.one_name(name, checkpoint)
    found = find(wanted, runs_dir(runs))
    chosen, steps = check_sampler_words(sampler, steps)
    stem = wanted.removeprefix("preset:").removeprefix("run:").replace(":", "-").replace("@", "-")
    if found.kind == "exact":
        stem = f"exact-{data_source(found.value, counted=True).stem}"
    out = choose_output(output, to, Path(stem).stem if stem.endswith(".pt") else Path(stem).name, ANIMATIONS)
    kind = out.suffix.lstrip(".").lower()
    rate, held = film.parse_rate(fps, kind, what), film.parse_hold(hold, kind)
    bounds, interval = parse_clip(clip), editing.parse_interval(guidance_interval)
    editing.check_words(guidance, guidance_interval, guide)
    strength = film.parse_strength(strength)
    ends = editing.parse_interpolate(interpolate, seed)
    first, asked = options.parse_seeds(str(ends[0]) if ends else seed, n)
    weaker = find(guide, runs_dir(runs)) if guide is not None else None
    refuse_existing(out)
    check_writable(out)
    check_encoder(kind)
    checkpoints = progression.chosen(found, None) if what == "training" else {}
    length = len(checkpoints) or frames or FRAMES
    if kind != "html":
        film.check_bytes(out, kind, size**2 * max(len(sides), 1), length, yes)
    talk.note(f"filming {found.why}")

    import torch

    from toydiff.cli.films import Cast, staged
    from toydiff.guidance import EVERYWHERE
    from toydiff.runs import load
    from toydiff.viz.film import save_film
    from toydiff.viz.frames import Look, film_frames
    from toydiff.viz.style import themed

    where = options.choose_device(device)
    way: dict[str, Any] = {"sampler": chosen, "steps": steps, "spacing": spacing, "eta": eta, "sets": sets or []}

    def ready(found: Found) -> Loaded:
        model = load(found, weights=weights, device=where, warn=talk.warn)
        return film.with_steps(model, length, **way) if what == "reverse" else with_sampling(model, **way)

    loaded = ready(list(checkpoints.values())[-1] if checkpoints else found)
    film.check_points(loaded, what, overlay=overlay, style=style, colour=colour)
    by = load(weaker, device=where, warn=talk.warn) if weaker else None
    scale = loaded.guidance(guidance, by)
    panels: list[Loaded | None] = [
        film.with_steps(loaded, length, **(way | side._asdict())) if side.sampler else None for side in sides
    ]
    model = kind == "html" and carries_model(loaded, what, by, talk)
    count = film.film_count(loaded, asked, size, what, None if kind == "html" else style, bool(sides))
    if kind == "html":
        room = player_room(loaded, what, panels, length, model)
        count = asked or min(count, room)
    start = editing.beginning(loaded, first, count, None, label, None, None, None, free=asked is None)
    editing.check_leads(scale, by, start.label, what in ("interpolate", "live"))
    film.check_grid(loaded, len(start.seeds), size, bool(sides))
    if kind == "html":
        check_room(len(start.seeds), room, length)
    guided = {"guidance": scale, "interval": interval or EVERYWHERE, "guide": by}
    cast = Cast(start.seeds, start.label, {"clip": bounds, "device": where, **guided})
    behind = loaded.real(2000, torch.Generator().manual_seed(0)).x if overlay else None
    look = Look(
        size,
        "field" if what == "score" else style or "scatter",
        colour,
        behind,
        divided=float(loaded.schedule(1.0).scale) > 3,
    )
    with enough_memory(lambda: too_many(loaded, len(cast.seeds))), themed(paper):
        stage = staged(
            what,
            loaded,
            cast,
            length,
            panels,
            [(k, partial(ready, each)) for k, each in checkpoints.items()],
            ends,
            strength,
        )
        if stage.length < (frames or 0):
            talk.warn(
                f"the film has {stage.length:,} frames, not {frames:,}: the noise, and one for each of the "
                f"{stage.length - 1:,} steps"
            )
        if kind == "html":
            save_player(out, loaded, stage, panels, cast, look, model, theme, (rate, held), talk)
        else:
            pictures = film_frames(loaded.data, stage.panels, look)
            save_film(out, watched(pictures, stage.length, talk), fps=rate, hold=held)
    how = stage.words or described(loaded, bounds, cast.evaluations, guided)
    talk.result(
        f"{shown(out)}: {stage.length} frames of {len(cast.seeds):,} {loaded.data.word}, {how}",
        {"output": str(out), "frames": stage.length, "fps": rate, "n": len(cast.seeds), "model": loaded.name},
    )
