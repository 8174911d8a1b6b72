"""What a NAME means: a path, a run, a preset, a data set or an exact denoiser. Reads folders only; never torch."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from toydiff.assets import presets_dir, pretrained_dir
from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean
from toydiff.files import shown
from toydiff.guards import read_bytes

DATA_KINDS = (
    "swissroll", "moons", "circles", "gaussians", "mixture", "checkerboard", "spirals", "pinwheel", "shapes",
    "mnist", "fashion", "cifar10",
)  # fmt: skip
FILE_KINDS = ("csv", "npy", "npz", "folder", "picture")
"""Both known without importing torch; a test holds them to the union `AnyData`. Those of a file go with its path."""
EXAMPLES = {
    "csv": "points.csv", "npy": "points.npy", "npz": "images.npz", "folder": "photos", "picture": "logo.png",
}  # fmt: skip
PREFIXES = ("run", "preset", "data", "exact", *FILE_KINDS)


@dataclass(frozen=True)
class Found:
    """What a NAME means: a checkpoint's path, or the rest of "data:…" or "exact:…"; `why` says how it was chosen."""

    kind: Literal["checkpoint", "preset", "data", "exact"]
    value: str
    why: str

    @property
    def path(self) -> Path:
        """The checkpoint's path."""
        return Path(self.value)


def runs_dir(option: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of runs: `--runs-dir`, else TOYDIFF_RUNS, else checkpoints/."""
    return Path(option or os.environ.get("TOYDIFF_RUNS") or "checkpoints")


def preset_names() -> list[str]:
    """Return the presets' names."""
    return sorted(path.stem for path in presets_dir().glob("*.toml"))


def pretrained_names() -> list[str]:
    """Return the names of the checkpoints that come along: presets', and that of a guide."""
    return sorted(path.stem for path in pretrained_dir().glob("*.pt"))


def shipped_names() -> list[str]:
    """Return every name that a NAME may be without a run of one's own."""
    return sorted({*preset_names(), *pretrained_names()})


def preset_path(name: str) -> Path:
    """Return the file of a preset; ConfigurationError if there is none of that name."""
    if name not in (known := preset_names()):
        raise ConfigurationError(f"unknown preset `{shown(name)}`", did_you_mean(name, known))
    return presets_dir() / f"{name}.toml"


def run_folders(runs: Path) -> list[Path]:
    """Return the run folders below `runs` that have a configuration, the most recently active first."""

    def activity(run: Path) -> int:
        return max((run / name).stat().st_mtime_ns for name in ("latest.pt", "config.toml") if (run / name).exists())

    try:
        folders = [path for path in runs.iterdir() if (path / "config.toml").is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(folders, key=activity, reverse=True)


def run_preset(run: Path) -> str | None:
    """Return the preset a run was started from, as its env.json says."""
    try:
        preset = json.loads(read_bytes(run / "env.json", 1 << 20)).get("preset")
    except (ToydiffError, ValueError, AttributeError, RecursionError):
        return None
    return preset if isinstance(preset, str) else None


def checkpoint_in(run: Path, wanted: str | None = None) -> Path | None:
    """Return a run's checkpoint: the one asked for, else best.pt, else latest.pt; None if it has none."""
    for name in (wanted,) if wanted else ("best.pt", "latest.pt"):
        if (run / name).is_file():
            return run / name
    return None


def find(name: str, runs: Path, *, latest: bool = False) -> Found:
    """Return what `name` means: a path, a run, best.pt or latest.pt, a preset, a pretrained checkpoint; or its prefix.

    `latest` prefers latest.pt to best.pt in a run. Raises ToydiffError for a path that is not there,
    ConfigurationError for an unknown name, each saying what to run.
    """
    prefix, colon, rest = name.partition(":")
    if colon and prefix in PREFIXES:
        if prefix in ("data", "exact"):
            return _data_or_exact(prefix, rest)
        if prefix in FILE_KINDS:
            return _data_or_exact("data", name)
        found = _run(rest, runs, latest) if prefix == "run" else _preset(rest, runs, latest)
        if found is None:
            known = [run.name for run in run_folders(runs)] if prefix == "run" else preset_names()
            raise ConfigurationError(f"there is no {prefix} `{shown(rest)}`", did_you_mean(rest, known))
        return found
    ways: tuple[Callable[[str, Path, bool], Found | None], ...] = (_path, _run, _bare, _preset, _pretrained)
    for way in ways:
        if found := way(name, runs, latest):
            return found
    if os.path.isdir(name):
        raise ToydiffError(f"the folder {shown(name)} holds no checkpoint", "Give a run folder, or a .pt file.")
    if os.sep in name or name.endswith((".pt", ".safetensors", ".toml", ".png")):
        raise ToydiffError(f"{shown(name)} is not there", "Check the path, or train first: toydiff train swissroll")
    known = shipped_names() + [run.name for run in run_folders(runs)]
    raise ConfigurationError(f"`{shown(name)}` is neither a path, a run nor a preset", did_you_mean(name, known))


class Source(NamedTuple):
    """A data set by its name: its kind, the path of a file, and after @ a number of its samples."""

    kind: str
    path: str | None
    samples: int | None

    @property
    def stem(self) -> str:
        """What an output that shows it is called by default."""
        name = self.kind if self.path is None else Path(self.path).stem or self.kind
        return name if self.samples is None else f"{name}-{self.samples}"


def data_source(name: str, *, counted: bool = False) -> Source:
    """Return what "moons" or "csv:points.csv" means, and "moons@500" where samples may be `counted`.

    Raises ConfigurationError for an unknown data set, a file without a path, and what is no number behind an @.
    """
    kind, _, path = name.partition(":")
    if (own := kind in FILE_KINDS) and not path:
        raise ConfigurationError(f"`{kind}` is a file of yours: which one?", f"For example: {kind}:{EXAMPLES[kind]}")
    whole, at, count = (path if own else name).rpartition("@")
    if not (counted and at) or (own and not count.isdecimal()):  # an @ may be part of a path
        whole, at, count = path if own else name, "", ""
    if not own and whole not in DATA_KINDS:
        raise ConfigurationError(
            f"unknown data set `{shown(whole)}`",
            did_you_mean(whole, [*DATA_KINDS, *(f"{kind}:{EXAMPLES[kind]}" for kind in FILE_KINDS)]),
        )
    if at and not (count.isdecimal() and len(count) <= 8 and 1 <= int(count) <= 10_000_000):
        raise ConfigurationError(f"`{shown(count)}` is not a number of samples", "For example: exact:moons@500")
    return Source(kind if own else whole, whole if own else None, int(count) if at else None)


def _data_or_exact(prefix: str, rest: str) -> Found:
    source = data_source(rest, counted=prefix == "exact")
    called = shown(source.kind if source.path is None else f"{source.kind}:{source.path}")
    if prefix == "data":
        return Found("data", rest, f"the data set {called}")
    if source.samples is None:
        return Found("exact", rest, f"the exact denoiser of {called}")
    known = f"{source.samples:,} samples of {called}: it has memorised them, and gives back nothing else"
    return Found("exact", rest, f"the exact denoiser of {known}")


def _path(name: str, runs: Path, latest: bool) -> Found | None:
    path = Path(name)
    try:
        if path.is_dir() and (inside := checkpoint_in(path, "latest.pt" if latest else None) or checkpoint_in(path)):
            return Found("checkpoint", str(inside), f"the path {shown(inside)}")
        if path.exists() and not path.is_dir():
            return Found("checkpoint", name, f"the path {shown(name)}")
    except OSError:  # such as a name too long for a path
        return None
    return None


def _run(name: str, runs: Path, latest: bool) -> Found | None:
    folder = runs / name
    if not name or folder not in run_folders(runs):
        return None
    checkpoint = (checkpoint_in(folder, "latest.pt") if latest else None) or checkpoint_in(folder)
    if checkpoint is None:
        raise ToydiffError(
            f"the run {shown(folder)} has no checkpoint yet",
            f"Start it again: toydiff train --name {shlex.quote(shown(name))}",
        )
    return Found("checkpoint", str(checkpoint), f"the run {shown(folder)}, {checkpoint.name}")


def _bare(name: str, runs: Path, latest: bool) -> Found | None:
    if os.sep in name or not name.endswith(".pt"):
        return None
    if (runs / name).is_file():
        return Found("checkpoint", str(runs / name), f"the file {shown(runs / name)}")
    for run in run_folders(runs):
        if (run / name).is_file():
            return Found("checkpoint", str(run / name), f"the newest run that has one, {shown(run / name)}")
    return None


def _preset(name: str, runs: Path, latest: bool) -> Found | None:
    if name not in preset_names():
        return None
    for run in run_folders(runs):
        if run_preset(run) == name and (found := (latest and checkpoint_in(run, "latest.pt")) or checkpoint_in(run)):
            return Found("checkpoint", str(found), f"the newest run of the preset {name}, {shown(found)}")
    if pretrained := _pretrained(name, runs, latest):
        return pretrained
    raise ToydiffError(
        f"the preset {name} has neither a run in {shown(runs)} nor a pretrained checkpoint",
        f"Train it first: toydiff train {name}",
    )


def _pretrained(name: str, runs: Path, latest: bool) -> Found | None:
    if name not in pretrained_names():
        return None
    return Found("checkpoint", str(pretrained_dir() / f"{name}.pt"), f"the pretrained checkpoint of {name}")
