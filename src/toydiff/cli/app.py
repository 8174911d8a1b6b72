"""The command line: registers the commands, one file each."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from toydiff.cli import data
from toydiff.cli.animate import animate
from toydiff.cli.evaluate import evaluate
from toydiff.cli.heap import keep_freed_memory
from toydiff.cli.inspect import inspect
from toydiff.cli.resume import resume
from toydiff.cli.sample import sample
from toydiff.cli.signals import leave
from toydiff.cli.train import train

app = typer.Typer(
    name="toydiff",
    help="A small diffusion lab: train a real diffusion model in seconds to minutes, watch it denoise, take it apart.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data.app, name="data")
app.command("train")(train)
app.command("resume")(resume)
app.command("sample")(sample)
app.command("animate")(animate)
app.command("inspect")(inspect)
app.command("evaluate")(evaluate)


def _version(wanted: bool) -> None:
    if wanted:
        from toydiff import __version__

        print(f"toydiff {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; `--resume auto` is `--resume`, whose value may be left out."""
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is None:  # closed by the shell: print would turn to the other one
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")  # a terminal without Greek letters is no reason to fail
    keep_freed_memory()
    signal.signal(signal.SIGTERM, leave)  # or it would kill without tidying up
    arguments = ["--resume" if word == "--resume=auto" else word for word in sys.argv[1:]]
    for k in range(len(arguments) - 1, 0, -1):
        if arguments[k - 1 : k + 1] == ["--resume", "auto"]:
            del arguments[k]
    app(arguments, prog_name="toydiff")
