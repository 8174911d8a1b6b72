"""toydiff train: from a preset to a trained model in a run folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toydiff import __version__
from toydiff.cli import options, ranks
from toydiff.cli.configure import configuration_layers, to_toml, warn_of_idle, which_preset
from toydiff.cli.doctor import warn_of_what_is_wrong
from toydiff.cli.nouns import NOUNS
from toydiff.cli.sample import free_name
from toydiff.cli.talk import Talk
from toydiff.cli.terminal import PreviewOption
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import shown
from toydiff.names import checkpoint_in, data_source, preset_names, run_folders, runs_dir

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from toydiff.cli.trainer import Trainer
    from toydiff.config import Run
    from toydiff.dist import World

SMOKE = ("training.steps=20", "record.log_every=5", "record.validate_every=10", "record.save_every=10")
SMOKE_MORE = ("record.sample_every=10", "record.validation=100", "sampling.n=64")


@options.guarded
def train(
    preset: Annotated[
        str | None, typer.Argument(metavar="PRESET", help="What to train.", autocompletion=options.complete_preset)
    ] = None,
    preset_option: Annotated[
        str | None, typer.Option("--preset", help="The same as PRESET.", autocompletion=options.complete_preset)
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file instead of, or on top of, a preset.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Other data: moons, csv:points.csv …", autocompletion=options.complete_data)
    ] = None,
    sets: options.Set = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data (finite data sets).")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    samples: Annotated[int | None, typer.Option(help="Train on this many fixed data instead of endless ones.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Data in one update.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16 or auto.")] = None,
    compile: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Use torch.compile.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Split each batch into so many parts.")] = None,
    max_time: Annotated[str | None, typer.Option(help="Stop and save after: 90s, 10m, 1h.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue that --name or the newest unfinished run like this; else start.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would happen, and stop.")
    ] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="A few steps of everything, leaving nothing behind.")] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the configuration, each value with its source.")
    ] = False,
    preview: PreviewOption = False,
    device: options.Device = None,
    runs: options.RunsDir = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_file: options.LogFile = None,
    debug: options.Debug = False,
) -> None:
    """Train a model: toydiff train swissroll"""
    place = ranks.place()
    talk = Talk(quiet=quiet, verbose=verbose, log_file=log_file, json=as_json, silent=place.rank > 0, preview=preview)
    flags = {
        "steps": steps, "epochs": epochs, "samples": samples, "batch_size": batch_size, "lr": lr, "seed": seed,
        "precision": precision, "compile": compile, "accumulate": accumulate,
    }  # fmt: skip
    if steps is not None and epochs is not None:
        raise ConfigurationError("--steps and --epochs are both a length of training", "Give one of the two.")
    seconds = options.parse_time(max_time)
    source = data_source(data.removeprefix("data:")) if data is not None else None
    chosen, where = which_preset(preset, preset_option, config, runs_dir(runs), source), runs_dir(runs)
    check_runs_dir(where)
    if name is not None:
        check_run_name(name, where, resume)
    sets = [*(sets or []), *(SMOKE + SMOKE_MORE if smoke else ())]
    layers = configuration_layers(chosen, config, sets, flags, source)
    called = chosen or "run"
    if source is not None:
        called = re.sub(r"[^\w.+@-]", "-", source.stem).strip(".-")[:80] or source.kind
        if chosen not in (None, source.kind):
            talk.note(f"{shown(data)}, by the recipe of {chosen}")
            chosen = None  # or `toydiff sample moons` would find a model of something else

    from toydiff.layers import resolve

    run, sources = resolved = resolve(layers)
    warn_of_idle(resolved, talk)
    if advice := run.data.advice:
        talk.warn(advice)
    if print_config:
        talk.result(to_toml(run, sources), run.model_dump(mode="json"))
        return
    place.check(run)
    where_to = place.device(device)
    with place.joined(where_to) as world:
        run.data.check()
        if run.record.evaluate_every is not None:
            from toydiff.evaluation import check_followed

            check_followed(run.data)
        if smoke:
            return _smoke(run, chosen, talk, where_to, world)

        def choose() -> list[str]:
            folder, checkpoint = _to_resume(run, where, name, talk) if resume else (None, None)
            if checkpoint is None:
                warn_of_what_is_wrong(run, talk)
            folder = folder or new_folder(where, name or f"{called}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
            return [str(path) for path in (folder, checkpoint) if path is not None]

        folder, *checkpoints = map(Path, world.decide(choose))
        checkpoint = checkpoints[0] if checkpoints else None
        if dry_run:
            parameters = sum(p.numel() for p in run.build().parameters())
            facts = {"folder": str(folder), "steps": run.total_steps, "parameters": parameters, "device": where_to}
            talk.result(
                f"would train {parameters:,} parameters for {run.total_steps:,} steps on {where_to}, in {folder}", facts
            )
            return
        if checkpoint is not None:
            talk.note(f"continuing {shown(folder)}")
        finish(trainer_of(run, folder, chosen, talk, where_to, checkpoint, world), talk, seconds)


def trainer_of(
    run: Run, folder: Path, preset: str | None, talk: Talk, device: str, checkpoint: Path | None, world: World
) -> Trainer:
    """Return what trains in `folder`, from `checkpoint` if there is one; ToydiffError unless it is so on all ranks."""
    import torch

    from toydiff.cli.trainer import Trainer

    with world.together():
        trainer = Trainer(run, folder, preset=preset, talk=talk, device=device, resume=checkpoint, world=world)
    read = trainer.state.digest if trainer.state else ""
    facts = {"configuration": run.model_dump_json(), "data": trainer.fingerprint, "checkpoint": read}
    facts["precision by training.precision=auto"] = str(run.training.bfloat16(torch.device(device)))
    world.same({"version of toydiff": __version__, **facts})
    return trainer


def _smoke(run: Run, preset: str | None, talk: Talk, device: str, world: World) -> None:
    """Do a little of everything in a folder that is removed again: of images, two at a time on each rank."""
    if run.data.pictorial:
        few = {
            "training": run.training.model_copy(
                update={"batch_size": 2 * world.size, "accumulate": min(2, run.training.accumulate)}
            ),
            "sampling": run.sampling.model_copy(update={"n": 2}),
            "record": run.record.model_copy(update={"validation": 10}),
        }
        run = run.model_copy(update=few)
    with tempfile.TemporaryDirectory(prefix="toydiff-smoke-") as scratch:
        trainer = trainer_of(run, Path(scratch) / "smoke", preset, talk, device, None, world)
        trainer.train()
        if trainer.stop is not None:
            raise typer.Exit(128 + trainer.stop)
        draw_curves(trainer)
    talk.result("smoke test passed: trained, validated, saved and sampled; nothing is left behind", {"passed": True})


def finish(trainer: Trainer, talk: Talk, seconds: float | None) -> None:
    """Run the trainer to its end, alone in its folder; print the result, where it is, and what to try next."""
    folder = trainer.folder
    known_as = shlex.quote(shown(folder.name if folder.parent == runs_dir() else folder))
    summary = {"step": trainer.start, "seconds": 0.0, "best": trainer.best, "folder": str(folder)}
    if trainer.finished:
        talk.result(f"{shown(folder)} has finished already: {trainer.start:,} steps", summary)
        talk.note(f"To go on: toydiff resume {known_as} --steps {2 * trainer.start}")
        return
    with trainer.alone():  # before it is announced
        _train(trainer, talk, seconds, known_as, summary)


def _train(trainer: Trainer, talk: Talk, seconds: float | None, known_as: str, summary: dict[str, Any]) -> None:
    """Announce the run, train it, and say how it ended; `summary` gets what a machine would read of it."""
    from toydiff.cli.speed import rate

    run, folder = trainer.run, trainer.folder
    batches = f"{run.training.batch_size}" + f", shared by {trainer.world.size} ranks" * (trainer.world.size > 1)
    talk.note(f"training in {shown(folder)} on {trainer.device}: {run.total_steps:,} steps of {batches}")

    def on_metrics(row: dict[str, Any]) -> None:
        if talk.json:
            talk.result("", row)

    step = trainer.train(seconds, on_metrics)
    if step is None:
        return
    if trainer.stop is not None and not trainer.finished:
        talk.note(
            f"stopped by {signal.Signals(trainer.stop).name} at step {step.step:,}; saved {shown(folder / 'latest.pt')}"
        )
        talk.note(f"To go on: toydiff resume {known_as}")
        raise typer.Exit(128 + trainer.stop)
    draw_curves(trainer)
    best = trainer.best
    judged = f"validation loss {best['loss']:.5f} (best, at step {best['step']:,})" if best else "not validated yet"
    if step.step < step.total:
        talk.note(f"time is up at step {step.step:,} of {step.total:,}; to go on: toydiff resume {known_as}")
    summary |= {"step": step.step, "seconds": round(trainer.seconds, 2), "best": trainer.best}
    summary["samples_per_second"] = round(trainer.speed, 1)
    speed = rate(trainer.speed, run.data.word)
    talk.result(
        f"trained {step.step - trainer.start:,} steps in {trainer.seconds:.1f} s ({speed}); {judged}\n"
        f"{shown(folder)}: {'best.pt, ' if best else ''}latest.pt, samples/, loss.png, metrics.jsonl",
        summary,
    )
    for command in (f"sample {known_as}", f"animate {known_as} --to mp4", f"inspect {known_as} --summary"):
        talk.note(f"  next: toydiff {command}")


def draw_curves(trainer: Trainer) -> None:
    """Draw the losses of the whole run, of which rank 0 has kept them."""
    if trainer.world.rank:
        return

    import numpy as np

    from toydiff.viz.curves import loss_curve
    from toydiff.viz.png import save_png

    def column(key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = [row for row in trainer.metrics if key in row]
        return np.array([row["step"] for row in rows], float), np.array([row[key] for row in rows], float)

    training, validation = column("loss"), column("validation")
    if len(training[0]):
        figure = loss_curve(*training, validation if len(validation[0]) else None, trainer.folder.name)
        save_png(trainer.folder / "loss.png", figure, {"toydiff": trainer.folder.name})


def check_run_name(name: str, where: Path, resume: bool) -> None:
    """Raise ConfigurationError for a name that is a preset, a noun, no plain folder name, or taken."""
    if name in preset_names() or name in NOUNS:
        what = "a preset" if name in preset_names() else "a word of `toydiff inspect`"
        raise ConfigurationError(f"a run cannot be called `{name}`: that is {what}", f"Call it {name}-1, say.")
    if not re.fullmatch(r"[\w.+@ -]{1,200}", name) or name.startswith((".", "-")) or name.endswith(".pt"):
        raise ConfigurationError(
            f"`{shown(name)}` is no name for a run", "Use letters, digits, . _ + - and spaces; not .pt at the end."
        )
    if not resume and (where / name).exists():
        raise ConfigurationError(
            f"the run {shown(where / name)} exists; nothing is overwritten silently",
            "Add --resume to continue it, or choose another --name.",
        )


def check_runs_dir(where: Path) -> None:
    """Raise ToydiffError if runs cannot be kept there, because that or a folder above it is a file."""
    there = next(path for path in (where, *where.parents, Path()) if os.path.lexists(path))
    if not os.path.isdir(there):
        raise ToydiffError(
            f"cannot keep runs in {shown(where)}: {shown(there)} is not a folder",
            "Choose another with --runs-dir or TOYDIFF_RUNS.",
        )


def new_folder(where: Path, name: str) -> Path:
    """Return a folder below `where` that does not exist yet: name, else name-2, name-3, …"""
    return free_name(where / name)


def _to_resume(run: Run, where: Path, name: str | None, talk: Talk) -> tuple[Path | None, Path | None]:
    """Return (folder, checkpoint) of the run of that name, else of the newest unfinished one of this configuration.

    A folder without a checkpoint is started in; no folder: start anew.
    """
    from toydiff.runs import read_header, run_of

    config = run.model_dump(mode="json")
    if name is not None:
        folder = where / name
        if (saved := checkpoint_in(folder, "latest.pt")) is None:
            return (folder if folder.exists() else None), None
        header, saved = read_header(saved, talk.warn)
        if run_of(header, saved) != run:
            raise ConfigurationError(
                f"the run {shown(folder)} was started with another configuration",
                f"To extend it: toydiff resume {shlex.quote(shown(name))} --steps N. Otherwise choose another --name.",
            )
        return folder, saved
    for folder in run_folders(where):
        if (saved := checkpoint_in(folder, "latest.pt")) is None:
            continue
        said: list[str] = []
        try:
            header, saved = read_header(saved, said.append)
        except ToydiffError as error:  # perhaps of another experiment: no reason to stop, but worth knowing
            talk.warn(f"{error.message}; it is not considered")
            continue
        if header.get("config") == config and (header["step"] < header["total"] or header.get("due")):
            for text in said:
                talk.warn(text)
            return folder, saved
    return None, None
