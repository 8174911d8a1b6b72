"""inspect --verify and --export: whether files are whole, and weights for strangers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import check_writable, refuse_existing, shown


def verify(path: Path, talk: Talk) -> None:
    """Check one checkpoint, or all of a run folder: digest, structure, configuration, shapes; exit code 1 if one fails.

    Raises ToydiffError for a folder without checkpoints.
    """
    paths = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    if not paths:
        raise ToydiffError(f"{shown(path)} holds no checkpoint", "Give a run, or a file.")
    rows = [_verified(each) for each in paths]
    lines = [(shown(row["path"]), "whole" if row["whole"] else "NOT whole", row["about"]) for row in rows]
    whole = all(row["whole"] for row in rows)
    talk.result(table(("file", "", ""), lines), {"whole": whole, "files": rows})
    if not whole:
        raise typer.Exit(1)


def _verified(path: Path) -> dict[str, Any]:
    from toydiff import checkpoint as checkpoints
    from toydiff.runs import run_of
    from toydiff.runs.exchange import SUFFIX, load_tensors

    try:
        content = (load_tensors if path.suffix == SUFFIX else checkpoints.load)(path)
        network = run_of(content.header, path).build("meta")
        for weights in (content.model, content.ema) if content.model else (content.ema,):
            checkpoints.check_shapes(weights, network)
    except ToydiffError as error:
        return {"path": str(path), "whole": False, "about": error.message}
    count = sum(value.numel() for value in content.ema.values())
    about = f"step {content.header.get('step')}, {count:,} numbers, sha256 {content.digest}"
    return {"path": str(path), "whole": True, "about": about, "sha256": content.digest}


def check_export(out: Path) -> None:
    """Raise, before anything is read, for an output of another format, that is there, or that cannot be written."""
    if out.suffix not in (".safetensors", ".pt"):
        raise ConfigurationError(
            f"--export {shown(out)}: unknown format",
            "Give --export something.safetensors for strangers, or something.pt: small, for sampling.",
        )
    refuse_existing(out)
    check_writable(out)


def export(path: Path, out: Path, talk: Talk) -> None:
    """Write the weights of the checkpoint at `path`, with the configuration: safetensors, or a small checkpoint."""
    from toydiff.checkpoint import save_small
    from toydiff.runs import read
    from toydiff.runs.exchange import save_tensors

    content, path = read(path, talk.warn)
    if out.suffix == ".pt":
        save_small(out, content)
        what = f"the averaged weights of {shown(path)} in half precision: to sample from, not to train on"
    else:
        save_tensors(out, content)
        what = f"the weights of {shown(path)}, averaged and raw, without the optimizer"
    talk.result(f"{shown(out)}: {what}", {"output": str(out), "from": str(path)})
