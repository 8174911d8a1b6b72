"""What a run keeps in its folder, and what of it still counts when the run goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from toydiff import checkpoint as checkpoints
from toydiff.config import Record
from toydiff.errors import ToydiffError
from toydiff.files import atomic_write, shown, sweep, write_text
from toydiff.guards import read_bytes
from toydiff.lock import locked

MOST_METRICS = 1 << 30
"""Bytes of a metrics file."""


@contextmanager
def alone(folder: Path, found: tuple[int, int, int] | None) -> Iterator[None]:
    """Make a run folder and keep other trainers out of it while the block runs.

    Raises ToydiffError if one is there, or was since: its latest.pt is no longer what was `found`.
    """
    make_folder(folder)
    with locked(folder):
        if identity(folder / "latest.pt") != found:
            raise ToydiffError(f"somebody else has trained in {shown(folder)} meanwhile", "Run the command again.")
        for place in (folder, folder / "samples"):
            sweep(place)
        yield


def make_folder(folder: Path) -> None:
    """Make a run folder, if it is not there; ToydiffError if it cannot be."""
    try:
        (folder / "samples").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToydiffError(
            f"cannot make the run folder {shown(folder)}: {(error.strerror or str(error)).lower()}",
            "Choose another with --runs-dir or TOYDIFF_RUNS.",
        ) from error


def write_folder(folder: Path, configuration: str, facts: dict[str, Any]) -> None:
    """Make the run folder with its configuration; fail before the first step if it cannot be written."""
    make_folder(folder)
    write_text(folder / "config.toml", configuration)
    write_text(folder / "env.json", json.dumps(facts, indent=1) + "\n")


def keep_previous(folder: Path, warn: Callable[[str], None]) -> None:
    """Copy latest.pt to latest.prev.pt, a disk that damages one may spare the other; a damaged one stays behind."""
    if (latest := folder / "latest.pt").is_file():
        try:
            whole = checkpoints.whole_bytes(latest)
        except ToydiffError as error:
            return warn(f"{error.message}; it is not kept as latest.prev.pt")
        with atomic_write(folder / "latest.prev.pt") as file:
            file.write(whole)


def best_kept(folder: Path, header: dict[str, Any], warn: Callable[[str], None]) -> dict[str, float] | None:
    """Return the best validation so far, {step, loss}, of a run's header; None if its best.pt is not whole any more."""
    best: dict[str, float] | None = header.get("best")
    if best is not None:
        try:
            checkpoints.read_header(folder / "best.pt")
        except ToydiffError as error:
            warn(f"{error.message}; the next validation makes a new one")
            return None
    return best


def rotate(folder: Path, record: Record) -> None:
    """Remove what `record.keep_every` made and `keep_last` newer ones, read and found whole, have replaced.

    The newest is the one of the highest step, whatever its date: step-9.pt is older than step-10.pt.
    """
    every, last, whole = record.keep_every, record.keep_last, 0
    if every is None or last is None:
        return
    steps = [int(match[1]) for path in folder.iterdir() if (match := re.fullmatch(r"step-(\d{1,10})\.pt", path.name))]
    for step in sorted((n for n in steps if n % every == 0 and n not in record.keep), reverse=True):
        path = folder / f"step-{step}.pt"
        with suppress(ToydiffError, OSError):
            if whole == last:
                path.unlink()
            else:
                checkpoints.whole_bytes(path)
                whole += 1


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words what is no longer as it was where a run was made: "torch 2.12 is now 2.13"; "" if nothing."""
    before = {"world_size": 1, **before}  # which older runs do not say
    changed = (key for key in now if key in before and before[key] != now[key])
    return ", ".join(shown(f"{key} {before[key]} is now {now[key]}") for key in changed)


def identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells one version of a file from the next, or None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def read_metrics(path: Path, until: int) -> list[dict[str, Any]]:
    """Return the rows of a metrics file up to step `until`: what came later is about to be done again."""
    rows: list[dict[str, Any]] = []
    if until > 0 and path.is_file():
        for line in read_bytes(path, MOST_METRICS).splitlines():
            try:
                row = json.loads(line)
                if row["step"] <= until:
                    rows.append(row)
            except (ValueError, TypeError, KeyError):
                break  # a torn last line
    return rows
