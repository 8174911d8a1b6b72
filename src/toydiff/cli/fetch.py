"""toydiff data fetch, toydiff data verify: the published data sets, from the net or a folder to this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from toydiff.cli import options
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.files import shown, size_of
from toydiff.names import DATA_KINDS
from toydiff.published import OFFICIAL, faults, folder_of, lacking

if TYPE_CHECKING:
    from toydiff.download import Progress

Name = Annotated[
    str, typer.Argument(metavar="NAME", help=f"One of {', '.join(OFFICIAL)}.", autocompletion=lambda: list(OFFICIAL))
]


@options.guarded
def fetch(
    name: Name,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="Take the official files from here, not the net.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Touch no network: only say what is missing.")] = False,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Download a published data set, each file checked: toydiff data fetch mnist"""
    talk = Talk(quiet=quiet, json=as_json)
    check_published(name)
    from toydiff.download import fetch as download

    with _progress(talk) as progress:
        paths = download(name, note=talk.note, warn=talk.warn, progress=progress, offline=offline, source=source)
    size = sum(file.size for file in OFFICIAL[name].files)
    talk.result(
        f"{shown(folder_of(name))}: {name}, {size_of(size)}, every byte as it was published",
        {"data": name, "folder": str(folder_of(name)), "files": [path.name for path in paths], "bytes": size},
    )


@options.guarded
def verify(
    name: Name,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check that the files of a published data set are the official ones: toydiff data verify mnist"""
    talk = Talk(json=as_json)
    check_published(name)
    found = faults(name)
    talk.result(
        table(("file", ""), [(file, why or "the official one") for file, why in found.items()]),
        {"data": name, "folder": str(folder_of(name)), "good": not any(found.values()), "files": found},
    )
    if wrong := {file: why for file, why in found.items() if why}:
        raise lacking(name, wrong)


def check_published(name: str) -> None:
    """Raise ConfigurationError unless `name` is a data set that is downloaded."""
    if name in OFFICIAL:
        return
    if name in DATA_KINDS:
        raise ConfigurationError(f"`{name}` is drawn, not downloaded", f"To download: {', '.join(OFFICIAL)}.")
    raise ConfigurationError(f"unknown data set `{shown(name)}`", did_you_mean(name, OFFICIAL))


@contextmanager
def _progress(talk: Talk) -> Iterator[Progress]:
    """Yield progress(file, bytes, of): a bar on a terminal, a line at every quarter otherwise, nothing when quiet."""
    if talk.console.is_terminal and not talk.quiet:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
        tasks: dict[str, TaskID] = {}
        with Bar(*columns, console=talk.console, transient=True) as bar:

            def move(file: str, done: int, of: int) -> None:
                if file not in tasks:
                    tasks[file] = bar.add_task(file, total=of)
                bar.update(tasks[file], completed=done)

            yield move
        return
    said: dict[str, int] = {}

    def say(file: str, done: int, of: int) -> None:
        quarter = 4 * done // of
        if quarter != said.get(file, 0):
            said[file] = quarter
            if 0 < quarter < 4:
                talk.note(f"{file}: {size_of(done)} of {size_of(of)}")

    yield say
