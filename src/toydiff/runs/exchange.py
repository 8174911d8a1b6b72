"""Files from and for strangers: safetensors, which hold tensors and text and nothing that could run.

A checkpoint becomes tensors called "model.…" and "ema.…" and two texts, "format" and "header", the same JSON as in a
`.pt` file. The state of the optimizer stays behind: such a file can be sampled and inspected, not trained further.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct

from safetensors.torch import load as parse
from safetensors.torch import save as serialize

from toydiff.checkpoint import HEADER_LIMIT, LIMIT, Checkpoint, checked
from toydiff.errors import ToydiffError
from toydiff.files import atomic_write, shown
from toydiff.guards import read_bytes

SUFFIX = ".safetensors"
FORMAT = "toydiff 1"
TABLE_LIMIT = 2 * HEADER_LIMIT
"""Bytes in the table of content, which has the header in it."""


def save_tensors(path: str | os.PathLike[str], content: Checkpoint) -> None:
    """Write weights and averaged weights as safetensors, with the checkpoint's header in the metadata."""
    parts = {"model": content.model, "ema": content.ema}
    tensors = {f"{part}.{key}": value.contiguous() for part, table in parts.items() for key, value in table.items()}
    metadata = {"format": FORMAT, "header": json.dumps(content.header, allow_nan=False)}
    with atomic_write(path) as file:
        file.write(serialize(tensors, metadata))


def load_tensors(path: str | os.PathLike[str]) -> Checkpoint:
    """Return what `save_tensors` wrote; ToydiffError, having executed and written nothing, for anything else."""
    data = read_bytes(path, LIMIT)
    try:
        size = struct.unpack_from("<Q", data)[0]
        if not 2 <= size <= min(TABLE_LIMIT, len(data) - 8):
            raise ValueError("its table of content is too long, or cut off")
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
        if metadata.get("format") != FORMAT:
            raise ValueError("its metadata do not say that toydiff wrote it")
        parts: dict[str, dict[str, object]] = {"model": {}, "ema": {}}
        for name, tensor in parse(data).items():
            part, _, key = name.partition(".")
            if part not in parts:
                raise ValueError(f"the tensor `{name[:80]}` belongs to neither model nor ema")
            parts[part][key] = tensor
        header, content = checked(metadata["header"], {**parts, "optimizer": {}})
    except Exception as error:  # hostile bytes can fail anywhere in here; they have run nothing
        said = shown((str(error) or type(error).__name__).splitlines()[0][:200])
        raise ToydiffError(
            f"{shown(path)} is not a usable safetensors file: {said}", "Give one that `toydiff inspect --export` wrote."
        ) from error
    return Checkpoint(header, content["model"], content["ema"], {}, hashlib.sha256(data).hexdigest())
