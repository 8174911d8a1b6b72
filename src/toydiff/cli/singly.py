"""sample --each: every image in a file of its own, pixel for pixel, with its seed inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toydiff.cli.drawing import command_line
from toydiff.errors import ConfigurationError
from toydiff.files import refuse_existing, shown

if TYPE_CHECKING:
    from toydiff.cli.editing import Beginning
    from toydiff.data import Batch
    from toydiff.runs import Loaded

EachOption = Annotated[
    bool, typer.Option("--each", help="Write every image to a png of its own, as name-SEED.png, without enlarging it.")
]
MOST = 10_000


def check_words(out: Path, idle: dict[str, object]) -> None:
    """Raise ConfigurationError for what does not go with files of single images."""
    if out.suffix.lower() != ".png":
        raise ConfigurationError(f"--each writes png files, not {shown(out.suffix)}", "Give -o name.png.")
    if others := [option for option, given in idle.items() if given]:
        raise ConfigurationError(f"--each and {others[0]} do not go together", "Give one of the two.")


def files_of(loaded: Loaded, out: Path, start: Beginning) -> list[Path]:
    """Return the file of each sample, none of which is there yet; ConfigurationError for points, or too many."""
    if not loaded.data.pictorial or loaded.data.shape[0] not in (1, 3):
        raise ConfigurationError(f"--each is for images, and `{shown(loaded.name)}` makes none", "Give -o points.csv.")
    seeds = start.seeds.tolist()
    if len(seeds) > MOST:
        raise ConfigurationError(f"--each of {len(seeds):,} files", f"Take {MOST:,} or fewer, or -o images.npz.")
    # of --label all, which has each seed once in every class, or on the way between two seeds: by their number
    names: Sequence[int] = seeds if len(set(seeds)) == len(seeds) else range(len(seeds))
    files = [out.with_name(f"{out.stem}-{name}{out.suffix}") for name in names]
    for file in files:
        refuse_existing(file)
    return files


def write_each(loaded: Loaded, samples: Batch, start: Beginning, files: list[Path], text: dict[str, str]) -> None:
    """Write the images, one pixel for one."""
    from toydiff.viz.images import single
    from toydiff.viz.overview import domain_of
    from toydiff.viz.png import save_png

    names = [*loaded.data.label_names, "none"]
    for k, (file, seed) in enumerate(zip(files, start.seeds.tolist(), strict=True)):
        own = {"seeds": str(seed)} | ({} if samples.label is None else {"label": names[int(samples.label[k])]})
        picture = single(samples.x[k], domain_of(loaded.data))
        save_png(file, picture, {"toydiff": command_line(), **text, **(own if start.edit.towards is None else {})})
