"""toydiff sample: pictures and arrays from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toydiff.cli import editing, options, process, progression, shards, singly
from toydiff.cli.drawing import PICTURES, DpiOption, SizeOption, ThemeOption, check_drawing, provenance
from toydiff.cli.memory import enough_memory, too_many
from toydiff.cli.sampling import check_sampler_words, described, parse_clip, with_sampling
from toydiff.cli.talk import Talk
from toydiff.cli.terminal import PreviewOption, in_terminal
from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean
from toydiff.files import check_writable, refuse_existing, shown
from toydiff.names import Found, data_source, find, runs_dir

if TYPE_CHECKING:
    from torch import Tensor

    from toydiff.data import Batch
    from toydiff.runs import Loaded
    from toydiff.samplers import Frame
    from toydiff.viz.png import Picture

FORMATS = (*PICTURES, "npz", "csv")


@options.guarded
def sample(
    name: options.Name = None,
    checkpoint: options.Checkpoint = None,
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
    init: editing.InitOption = None,
    strength: editing.StrengthOption = None,
    mask: editing.MaskOption = None,
    interpolate: editing.InterpolateOption = None,
    show_process: process.ProcessOption = False,
    show_x0: process.X0Option = False,
    at_steps: progression.AtStepsOption = None,
    shard: shards.ShardOption = None,
    merge: shards.MergeOption = False,
    threshold: Annotated[
        bool, typer.Option("--threshold", help="Show images also in black and white; arrays are as they are.")
    ] = False,
    each: singly.EachOption = False,
    preview: PreviewOption = False,
    theme: ThemeOption = None,
    size: SizeOption = None,
    dpi: DpiOption = None,
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
    """Sample from a model: toydiff sample swissroll -o samples.png"""
    talk = Talk(quiet=quiet, verbose=verbose, log_file=log_file, json=as_json)
    found = find(options.one_name(name, checkpoint), runs_dir(runs))
    chosen, steps = check_sampler_words(sampler, steps)
    if weights not in ("ema", "raw"):
        raise ConfigurationError(f"unknown weights `{shown(weights)}`", did_you_mean(weights, ("ema", "raw")))
    out = choose_output(
        output, to, f"{_stem(found.value, found.kind)}-{'process' if show_process else 'samples'}", FORMATS
    )
    paper, drawn = check_drawing(out, theme, size, dpi), out.suffix.lower().removeprefix(".") in PICTURES
    process.check_words(show_process, show_x0, drawn)
    if threshold and (show_process or not drawn):
        raise ConfigurationError(
            "--threshold shows samples in black and white, in a picture of their own", "Give -o something.png alone."
        )
    others = {"show_process": show_process, "threshold": threshold, "init": init, "interpolate": interpolate}
    wanted = progression.check_words(at_steps, drawn, **others)
    unlike = (
        "--show-process" if show_process else "--at-steps" if at_steps else "--preview" if preview and shard else None
    )
    share = shards.parse_shard(shard, merge, output, unlike)
    bounds, interval = parse_clip(clip), editing.parse_interval(guidance_interval)
    editing.check_words(guidance, guidance_interval, guide, init, mask)
    ends = editing.parse_interpolate(interpolate, seed)
    first, asked = options.parse_seeds(str(ends[0]) if ends else seed, n)
    weaker = find(guide, runs_dir(runs)) if guide is not None else None
    if each:
        together = {"--show-process": show_process, "--threshold": threshold, "--at-steps": at_steps}
        singly.check_words(out, {**together, "--theme": theme, "--size": size, "--dpi": dpi, "--shard": share})
    elif share is None:
        refuse_existing(out)
    check_writable(out)
    talk.note(f"sampling from {found.why}")

    from toydiff.data import Batch
    from toydiff.guidance import EVERYWHERE
    from toydiff.runs import load
    from toydiff.samplers import Frame
    from toydiff.schedules import CLEAN

    where = options.choose_device(device)
    checkpoints = progression.chosen(found, wanted) if at_steps else {}

    def ready(found: Found) -> Loaded:
        model = load(found, weights=weights, device=where, warn=talk.warn)
        return with_sampling(model, sampler=chosen, steps=steps, spacing=spacing, eta=eta, sets=sets or [])

    loaded = ready(list(checkpoints.values())[-1] if checkpoints else found)
    by = load(weaker, device=where, warn=talk.warn) if weaker else None
    scale = loaded.guidance(guidance, by)
    few = (show_process and drawn) or bool(checkpoints)
    shown_by_itself = process.ROWS if few and loaded.data.pictorial else loaded.config.shown
    count = asked or (editing.WAY if ends else shown_by_itself)
    start = editing.beginning(loaded, first, count, ends, label, init, strength, mask, free=asked is None)
    check_shape(loaded, out, threshold)
    if show_process:
        process.check_room(loaded, len(start.seeds), drawn)
    files = singly.files_of(loaded, out, start) if each else []
    progression.check_room(loaded, checkpoints, len(start.seeds))
    editing.check_leads(scale, by, start.label, start.edit.departs)
    last = loaded.config.sampling.steps
    steps_shown = process.shown_steps(last, drawn) if show_process else [last]
    keep = process.needed_steps(steps_shown, last)
    evaluations: list[int] = []
    guided: dict[str, Any] = {"guidance": scale, "interval": interval or EVERYWHERE, "guide": by}
    more: dict[str, Any] = {"clip": bounds, "device": where, "evaluations": evaluations, **guided}

    job = shards.Job(loaded, start, weights, out, more) if share or merge else None
    if job and share:
        with enough_memory(lambda: too_many(loaded, len(job.chunks[0]))):
            new, old = job.make(*share)
        said = f"{new} of {len(job.chunks):,} chunks made, {old} were there"
        return talk.result(f"shard {shard}: {said}, in {shown(job.folder)}", {"made": new, "there": old})

    def made(model: Loaded) -> tuple[list[Frame], Tensor | None]:
        return model.frames(start.seeds, keep=keep, label=start.label, edit=start.edit, **more)

    with enough_memory(lambda: too_many(loaded, len(start.seeds))):
        way = [(step, made(ready(each))) for step, each in checkpoints.items() if each.value != loaded.found.value]
        if job:
            x, labels = job.merged()
            frames = [Frame(CLEAN, x, x)]
        else:
            frames, labels = made(loaded)
    how = described(loaded, bounds, evaluations, guided)
    text = {"seeds": start.said, "sampler": how, **provenance(loaded)}
    samples = Batch(frames[-1].x, labels)
    strip = process.way(dict(zip(keep, frames, strict=True)), steps_shown, last) if show_process else []
    real = (
        beside(loaded, len(samples.x), talk)
        if (drawn and not strip and not files) or (preview and not loaded.data.pictorial)
        else None
    )
    if files:
        singly.write_each(loaded, samples, start, files, text)
    elif drawn:
        learning = [(f"step {step:,}", Batch(f[-1].x, label)) for step, (f, label) in way]
        learning += [(f"step {max(checkpoints):,}", samples)] if checkpoints else []
        paper.draw(lambda: drawing(loaded, samples, real, strip, show_x0, threshold, learning), **text)
    else:
        write(samples, start.seeds, strip, out)
    if preview:
        in_terminal(talk, loaded.data, titled(samples, real))
    words = shown(out) if len(files) < 2 else f"{shown(files[0])} … {shown(files[-1].name)}"
    talk.result(
        f"{words}: {len(start.seeds):,} sample{'s' * (len(start.seeds) > 1)} of {shown(loaded.name)}, {how}",
        {
            "output": [str(file) for file in files] or str(out),
            "n": len(start.seeds),
            "seeds": start.ends,
            "sampler": how,
            "model": loaded.name,
        },
    )


def check_shape(loaded: Loaded, out: Path, threshold: bool) -> None:
    """Raise ConfigurationError, before anything is sampled, for what cannot be made of samples of that shape."""
    if out.suffix == ".csv":
        from toydiff.arrays import check_csv

        check_csv(loaded.data.shape)
    if threshold and not loaded.data.pictorial:
        raise ConfigurationError(f"--threshold is for images, and `{shown(loaded.name)}` makes points", "Leave it out.")


def write(samples: Batch, seeds: Tensor, way: list[Frame], out: Path) -> None:
    """Write samples as arrays, with the way to them if that is wanted."""
    from toydiff.arrays import write_csv, write_npz, write_way_csv

    if out.suffix.lower() == ".npz":
        write_npz(out, samples, seeds, way)
    elif way:
        write_way_csv(out, way, samples.label, seeds)
    else:
        write_csv(out, samples, seeds)


def beside(loaded: Loaded, count: int, talk: Talk) -> Batch | None:
    """Return data to show beside so many samples, or None, with a note, where they are not at hand."""
    import torch

    few = count if loaded.data.pictorial else 2000  # fewer points would not show where the data lie
    try:
        return loaded.real(min(max(count, few), 20_000), torch.Generator().manual_seed(0))
    except ToydiffError as error:  # a model needs no data to sample
        talk.note(f"no data beside the samples: {error.message}")
        return None


def titled(samples: Batch, real: Batch | None) -> list[tuple[str, Batch]]:
    """Return what is shown, with titles: the data if they are at hand, then the samples."""
    from toydiff.viz.overview import counted

    return [*([] if real is None else [("data", real)]), (counted(len(samples.x), "sample"), samples)]


def drawing(
    loaded: Loaded,
    samples: Batch,
    real: Batch | None,
    frames: list[Frame],
    show_x0: bool,
    threshold: bool,
    learning: list[tuple[str, Batch]],
) -> Picture:
    """Return the picture of samples beside the data, where those are at hand; of the way, or of how it was learned."""
    from toydiff.viz.overview import process_picture, samples_picture

    data = loaded.data
    if frames:
        levels, x_t, x0 = ([getattr(frame, key) for frame in frames] for key in ("level", "x", "x0"))
        return process_picture(data, levels, x_t, x0 if show_x0 else None, samples.label)
    if learning:
        from toydiff.viz.progression import progression_picture

        return progression_picture(data, real, learning)
    return samples_picture(data, *titled(samples, real), threshold=threshold)


def choose_output(output: Path | None, to: str | None, stem: str, formats: tuple[str, ...]) -> Path:
    """Return the output with the extension that says its format; ConfigurationError if the two disagree.

    Without an output it is `stem` in this folder, numbered if that is taken.
    """
    wanted = to.lower().lstrip(".") if to else None
    if wanted is not None and wanted not in formats:
        raise ConfigurationError(f"unknown format `{shown(wanted)}`", did_you_mean(wanted, formats))
    if output is None:
        return free_name(Path(f"{stem}.{wanted or formats[0]}"))
    extension = output.suffix.lower().lstrip(".")
    if not extension and wanted:
        return output.with_name(f"{output.name}.{wanted}")
    if extension not in formats:
        raise ConfigurationError(
            f"{shown(output)}: unknown format `{shown(extension)}`", did_you_mean(extension, formats)
        )
    if wanted not in (None, extension):
        raise ConfigurationError(f"--to {wanted} and {shown(output)} disagree", "Give one of the two.")
    return output


def free_name(path: Path) -> Path:
    """Return `path`, or the first of path-2, path-3, … that does not exist."""
    free, k = path, 1
    while free.exists():
        k += 1
        free = path.with_name(f"{path.stem}-{k}{path.suffix}")
    return free


def _stem(value: str, kind: str) -> str:
    """Return what an output is called by default: after the run, or the data set."""
    path = Path(value)
    stem = path.parent.name if path.name in ("best.pt", "latest.pt") and path.parent.name else path.stem
    return data_source(value, counted=True).stem if kind == "exact" else stem
