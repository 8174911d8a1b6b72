"""toydiff sample --at-steps: what a run had learned by its kept checkpoints, from the same noise."""

from __future__ import annotations

import re
from dataclasses import replace
from math import floor, log10
from typing import TYPE_CHECKING, Annotated

import typer

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import shown
from toydiff.names import Found, run_preset

if TYPE_CHECKING:
    from toydiff.runs import Loaded

AtStepsOption = Annotated[
    str | None,
    typer.Option(
        "--at-steps", help="Samples of kept checkpoints, from the same noise: 100,1000 or all.", metavar="N,N"
    ),
]
MOST = 32
"""Images of a checkpoint, its row, and checkpoints: more would be too small to look at."""


def parse_steps(text: str) -> list[int] | None:
    """Return the steps of --at-steps, rising; None for all there are."""
    if text == "all":
        return None
    if not re.fullmatch(r"\d{1,12}(,\d{1,12})*", text):
        raise ConfigurationError(
            f"`--at-steps {shown(text)}` is no list of steps", "For example: --at-steps 1000,10000, or --at-steps all"
        )
    return sorted({int(part) for part in text.split(",")})


def kept(found: Found) -> dict[int, Found]:
    """Return the checkpoints of a run by their step: those kept, and the last. ConfigurationError for no run."""
    from toydiff.checkpoint import read_header

    folder = found.path.parent
    if found.kind != "checkpoint" or not (folder / "config.toml").is_file():
        raise ConfigurationError(
            f"{found.why} is no run: a single checkpoint has learned, and cannot show how",
            "Train one that keeps some on its way: toydiff train PRESET --set 'record.keep=[10,100,1000]'",
        )
    files = {int(path.stem[5:]): path for path in folder.glob("step-*.pt") if path.stem[5:].isdecimal()}
    if (latest := folder / "latest.pt").is_file():
        files.setdefault(int(read_header(latest)["step"]), latest)
    return {step: replace(found, value=str(path)) for step, path in sorted(files.items())}


def enough(found: Found, checkpoints: dict[int, Found]) -> None:
    """Raise ToydiffError, saying how to keep more, unless there are two checkpoints to compare."""
    if len(checkpoints) < 2:
        folder, last = found.path.parent, max(checkpoints, default=1000)
        steps = sorted({_round(last / 10 ** (k / 2)) for k in (4, 3, 2, 1)})
        raise ToydiffError(
            f"the run {shown(folder)} has kept {len(checkpoints)} checkpoint, and its way takes two or more to be seen",
            f"Keep some on the way: toydiff train {run_preset(folder) or 'PRESET'} "
            f"--set 'record.keep=[{','.join(map(str, steps))}]'",
        )


def _round(step: float) -> int:
    """Return about `step`, as 1, 2 or 5 times a power of ten."""
    power = 10 ** floor(log10(max(step, 1)))
    return int(power * max(digit for digit in (1, 2, 5) if digit * power <= max(step, 1)))


def chosen(found: Found, wanted: list[int] | None) -> dict[int, Found]:
    """Return the checkpoints at the `wanted` steps, or all; ConfigurationError, saying which there are."""
    there = kept(found)
    if wanted is None:
        enough(found, there)
        return there
    if missing := [step for step in wanted if step not in there]:
        raise ConfigurationError(
            f"the run {shown(found.path.parent)} has kept no step {', '.join(f'{step:,}' for step in missing)}",
            f"There are {', '.join(map(str, there))}; more, in another run: "
            f"--set 'record.keep=[{','.join(map(str, wanted))}]'",
        )
    return {step: there[step] for step in wanted}


def check_words(text: str | None, drawn: bool, **others: object) -> list[int] | None:
    """Return the steps of --at-steps; ConfigurationError for what does not go with it."""
    if text is None:
        return None
    if given := [f"--{name.replace('_', '-')}" for name, value in others.items() if value]:
        raise ConfigurationError(f"--at-steps and {given[0]} are pictures of their own", "Give one of the two.")
    if not drawn:
        raise ConfigurationError("--at-steps draws a picture", "Give -o something.png.")
    return parse_steps(text)


def check_room(loaded: Loaded, checkpoints: dict[int, Found], count: int) -> None:
    """Raise ConfigurationError, before anything is sampled, for more than a picture has room for."""
    if len(checkpoints) > MOST:
        raise ConfigurationError(
            f"--at-steps draws a row or a panel for each step: {len(checkpoints)} are too many",
            f"Take {MOST} or fewer.",
        )
    if checkpoints and loaded.data.pictorial and count > MOST:
        raise ConfigurationError(
            f"--at-steps draws a column for each image: {count:,} are too many", f"Take {MOST} or fewer, with -n."
        )
