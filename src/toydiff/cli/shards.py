"""toydiff sample --shard I/N and --merge: many samples by many workers, in chunks named by what they are.

The samples of a job are made in chunks, the batches in which one process would make them, all of one size: how many
workers there are, who makes which, in which order and how often, changes no byte.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import atomic_write, shown, sweep

if TYPE_CHECKING:
    from torch import Tensor

    from toydiff.cli.editing import Beginning
    from toydiff.data import Batch
    from toydiff.runs import Loaded

ShardOption = Annotated[
    str | None,
    typer.Option("--shard", help="Make the I-th of N shares, as files beside -o, and no more.", metavar="I/N"),
]
MergeOption = Annotated[bool, typer.Option("--merge", help="Put together what all shards have made.")]

MOST_BYTES = 1 << 30
_CHUNK = re.compile(r"([0-9a-f]{16})-\d+-of-\d+\.npz")


def parse_shard(shard: str | None, merge: bool, output: Path | None, other: str | None) -> tuple[int, int] | None:
    """Return (I, N) of --shard I/N; ConfigurationError for words that do not go together, such as `other`."""
    if shard is None and not merge:
        return None
    name = "--merge" if merge else "--shard"
    if merge and shard is not None:
        raise ConfigurationError("--shard makes chunks and --merge puts them together", "Give one of the two.")
    if output is None:
        raise ConfigurationError(f"{name} has to know which file it is about", "Add -o samples.npz, the same for all.")
    if other is not None:
        raise ConfigurationError(f"{other} shows more than a chunk of samples holds", "Leave it out.")
    if shard is None:
        return None
    match = re.fullmatch(r"(\d{1,7})/(\d{1,7})", shard, re.ASCII)
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise ConfigurationError(
            f"`--shard {shown(shard)}` is no shard", "I/N with I from 1 to N: --shard 1/4 … --shard 4/4"
        )
    return part, parts


class Job:
    """All chunks of `start.seeds`, in the folder OUTPUT.shards; `options` are those of `Loaded.frames`."""

    def __init__(self, loaded: Loaded, start: Beginning, weights: str, out: Path, options: dict[str, Any]) -> None:
        self.loaded, self.start, self.options = loaded, start, options
        self.folder = out.with_name(out.name + ".shards")
        self.chunks = loaded.batches(len(start.seeds))
        guide, edit, label = options["guide"], start.edit, start.label
        self.facts = {
            "checkpoint": f"{loaded.digest or loaded.name} {weights}",
            "sampler": loaded.config.sampling.model_dump_json(exclude={"n"}),
            "seeds": f"{len(start.seeds)}: {start.said}",
            "label": label if isinstance(label, str) else _hash(label),
            "guidance": f"{options['guidance']} {options['interval']} {guide.digest if guide else ''}",
            "clip": str(loaded.clipping(options["clip"])),
            "beginning": f"{edit.strength} {_hash(edit.init, edit.mask, edit.towards, edit.weight)}",
            "chunks": f"of {len(self.chunks[0])}",
        }
        self.key = hashlib.sha256(json.dumps(self.facts).encode()).hexdigest()[:16]

    def path(self, k: int) -> Path:
        """Return the file of chunk k = 0, 1, …"""
        number, count = k + 1, len(self.chunks)
        return self.folder / f"{self.key}-{number:0{len(str(count))}}-of-{count}.npz"

    def make(self, part: int, parts: int) -> tuple[int, int]:
        """Make the chunks of a share that are not there whole; return how many were made, and how many were there."""
        from toydiff.data import Batch

        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ToydiffError(
                f"cannot make {shown(self.folder)}: {(error.strerror or str(error)).lower()}", "Choose another -o."
            ) from error
        made = there = 0
        for k in range(part - 1, len(self.chunks), parts):
            if self._read(k) is not None:
                there += 1
                continue
            rows, edit, label = self.chunks[k], self.start.edit, self.start.label
            frames, labels = self.loaded.frames(
                self.start.seeds[rows],
                label=label if label is None or isinstance(label, str) else label[rows],
                edit=edit[rows],
                batch_size=len(rows),
                **self.options,
            )
            self._write(k, Batch(frames[-1].x, labels))
            made += 1
        return made, there

    def merged(self) -> Batch:
        """Return the samples of all chunks; ToydiffError naming the first that is not there, or of another job."""
        import torch

        from toydiff.data import Batch

        chunks = [self._read(k) for k in range(len(self.chunks))]
        if missing := [k for k, chunk in enumerate(chunks) if chunk is None]:
            first = self.path(missing[0])
            what = "is damaged, or of another job" if first.exists() else "is missing"
            raise ToydiffError(
                f"{shown(first)} {what}: {len(missing):,} of {len(chunks):,} chunks are not there{self._foreign()}",
                "Make them: the same command with --shard 1/1 instead of --merge, or the shards that have not ended.",
            )
        sweep(self.folder)  # not while chunks are made: a process of another machine is not seen to be alive
        whole = [chunk for chunk in chunks if chunk is not None]
        labels = [chunk.label for chunk in whole if chunk.label is not None]
        count = len(self.start.seeds)
        return Batch(torch.cat([chunk.x for chunk in whole])[:count], torch.cat(labels)[:count] if labels else None)

    def _foreign(self) -> str:
        """Say what lies there that is of another job, and in what that differs."""
        for path in sorted(self.folder.glob("*.npz")):
            match = _CHUNK.fullmatch(path.name)
            if match is None or match[1] != self.key:
                about = _about(path)
                different = [name for name, value in self.facts.items() if about.get("facts", {}).get(name) != value]
                of = f"another {' and '.join(different)}" if about else "something else"
                return f"; {shown(path.name)} is of {of}"
        return ""

    def _write(self, k: int, batch: Batch) -> None:
        """Write a chunk: x, label, and what they are."""
        import numpy as np

        arrays = {"x": batch.x.numpy()} | ({} if batch.label is None else {"label": batch.label.numpy()})
        about = {"facts": self.facts, "chunk": k, "sha256": _hash(batch.x, batch.label)}
        with atomic_write(self.path(k)) as file:
            np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)  # type: ignore[arg-type]

    def _read(self, k: int) -> Batch | None:
        """Return a chunk that is there, whole and of this job."""
        import torch

        from toydiff.data import Batch
        from toydiff.guards import Npz

        about = _about(self.path(k))
        try:
            arrays = Npz(self.path(k), MOST_BYTES)
            x, *label = (torch.from_numpy(arrays[name].copy()) for name in ("x", "label") if name in set(arrays))
        except (ToydiffError, KeyError, ValueError, TypeError):
            return None
        batch = Batch(x, label[0] if label else None)
        right = {"facts": self.facts, "chunk": k, "sha256": _hash(*batch)}
        return batch if about == right and len(x) == len(self.chunks[k]) else None


def _about(path: Path) -> dict[str, Any]:
    """Return what a chunk says of itself; nothing if it cannot be read."""
    from toydiff.guards import Npz

    try:
        about = json.loads(Npz(path, MOST_BYTES)["about"].tobytes())
    except (ToydiffError, KeyError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) and isinstance(about.get("facts"), dict) else {}


def _hash(*tensors: Tensor | None) -> str:
    """Return a SHA-256 of tensors: their types, shapes and numbers."""
    digest = hashlib.sha256()
    for part in _parts(*tensors):
        digest.update(part)
    return digest.hexdigest()


def _parts(*tensors: Tensor | None) -> Iterator[bytes]:
    for tensor in tensors:
        yield b"none" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}".encode()
        if tensor is not None:
            yield tensor.contiguous().numpy().tobytes()
