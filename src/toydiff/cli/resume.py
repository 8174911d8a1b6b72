"""toydiff resume: continue a run exactly where it stopped, or extend it to a new total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toydiff.cli import options, ranks
from toydiff.cli.talk import Talk
from toydiff.cli.terminal import PreviewOption
from toydiff.cli.train import finish, trainer_of
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import shown
from toydiff.names import find, run_folders, runs_dir

if TYPE_CHECKING:
    from toydiff.config import Run


@options.guarded
def resume(
    name: options.Name = None,
    checkpoint: options.Checkpoint = None,
    steps: Annotated[int | None, typer.Option(help="New total of steps.", min=1)] = None,
    epochs: Annotated[int | None, typer.Option(help="New total of epochs.", min=1)] = None,
    max_time: Annotated[str | None, typer.Option(help="Stop and save after: 90s, 10m, 1h.")] = None,
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
    """Continue a run where it stopped: toydiff resume. Or to a new total: toydiff resume --steps 5000"""
    place = ranks.place()
    talk = Talk(quiet=quiet, verbose=verbose, log_file=log_file, json=as_json, silent=place.rank > 0, preview=preview)
    if steps is not None and epochs is not None:
        raise ConfigurationError("--steps and --epochs are both a length of training", "Give one of the two.")
    seconds, where = options.parse_time(max_time), runs_dir(runs)
    wanted = options.one_name(name, checkpoint, default="")
    if not wanted:
        newest = next(iter(run_folders(where)), None)
        if newest is None:
            raise ToydiffError(f"there is no run in {shown(where)}", "Train one first: toydiff train swissroll")
        wanted = f"run:{newest.name}"
    found = find(wanted, where, latest=True)
    if found.kind != "checkpoint" or found.path.suffix != ".pt" or not (found.path.parent / "config.toml").is_file():
        raise ConfigurationError(
            f"`{shown(wanted)}` is not a run that can go on: it is {found.why}",
            "Only a run folder keeps what training needs. Give the name of one, or train one: toydiff train",
        )
    talk.note(f"resuming {found.why}")

    from toydiff.layers import Layer, resolve
    from toydiff.runs import read_header, run_of

    header, path = read_header(found.path, talk.warn)
    before = run_of(header, path)
    total = {"training.steps": steps, "training.epochs": epochs}
    layer = Layer("resume", [(path, value) for path, value in total.items() if value is not None])
    run, _ = resolve([layer], base=before)
    if run.total_steps < header["step"]:
        raise ConfigurationError(
            f"the run has done {header['step']:,} steps, more than {run.total_steps:,}", "Give a larger total."
        )
    if run.total_steps != header["total"]:
        at = header["step"]
        talk.warn(
            f"the total goes from {header['total']:,} to {run.total_steps:,} steps, so the learning rate jumps from "
            f"{_rate(before, at, header['total']):.2e} to {_rate(run, at + 1, run.total_steps):.2e} and the EMA "
            "follows the new total: not what an uninterrupted run of that length would have given"
        )
    place.check(run)
    where_to = place.device(device)
    with place.joined(where_to) as world:
        trainer = trainer_of(run, found.path.parent, header.get("preset"), talk, where_to, path, world)
        finish(trainer, talk, seconds)


def _rate(run: Run, step: int, total: int) -> float:
    return run.training.optimizer.lr * run.training.rate(step, total)
