"""The one file format: what a run has learned, in a `.pt` file that is read only if every byte is as it was written.

torch.save writes a zip archive; toydiff adds a comment to it, "toydiff <version> sha256 <hex>", whose digest covers
every byte before itself. (torch checks nothing, and the zip's own CRCs leave its headers uncovered.)

A file is data, never a program. Anyone can compute a digest, so a right one proves no good intentions: before torch
touches the file, `toydiff.archive` reads its outline, which makes no objects and believes no sizes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch
from torch import Tensor, nn

from toydiff.archive import ArchiveError, is_whole, outline
from toydiff.errors import ToydiffError
from toydiff.files import atomic_write, shown
from toydiff.guards import read_bytes

VERSION = 1
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version n → the function that turns its content into that of version n + 1."""

LIMIT = 4 * 1024**3
"""The largest file, in bytes."""
HEADER_LIMIT = 4 * 1024**2  # characters
NODE_LIMIT = 200_000  # values in a tree: branches can be shared, so that few bytes make a tree without end
DEPTH_LIMIT = 16

_DTYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip
_MARK = re.compile(rb"toydiff ([1-9][0-9]{0,5}) sha256 ([0-9a-f]{64})\Z")
_OTHERS = {"a PNG picture": b"\x89PNG", "a NumPy array": b"\x93NUMPY", "a pickle": b"\x80", "HDF5": b"\x89HDF"}
_DAMAGED = "Copy or download it again; in a run folder, latest.prev.pt is the one before latest.pt."
_FOREIGN = "Give a checkpoint that `toydiff train` wrote."


class NewerFormat(ToydiffError):
    """A whole file of a version that this toydiff does not know."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file: JSON header, weights, averaged weights, optimizer state; `digest` is its SHA-256."""

    header: dict[str, Any]
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, Any]
    digest: str


def save(
    path: str | os.PathLike[str],
    *,
    header: dict[str, Any],
    model: dict[str, Tensor],
    ema: dict[str, Tensor],
    optimizer: dict[str, Any],
) -> str:
    """Write a checkpoint atomically and return its SHA-256; the same content gives the same bytes.

    `header` must be JSON without NaN (ValueError, TypeError); the rest is tensors, numbers, strings, None, dicts, lists
    and tuples of them (TypeError). Raises ToydiffError if a tensor is not finite or the disk fails; then the file is
    as before.
    """
    text = json.dumps(header, allow_nan=False)
    content = {"model": model, "ema": ema, "optimizer": optimizer}
    try:
        _check_parts(content)
    except ValueError as error:
        raise ToydiffError(f"cannot write {shown(path)}: {error}", "Go back to an earlier checkpoint.") from error
    buffer = BytesIO()
    torch.save(_plain({"format": "toydiff", "version": VERSION, "header": text, **content}), buffer)
    archive = buffer.getbuffer()
    mark = f"toydiff {VERSION} sha256 ".encode()
    tail = struct.pack("<H", len(mark) + 64) + mark  # the record ends in the length of the comment: 0 so far
    if len(archive) + len(tail) + 64 > LIMIT:
        raise ToydiffError(f"cannot write {shown(path)}: it would have more than 4 GiB", "Train a smaller network.")
    digest = hashlib.sha256(archive[:-2])
    digest.update(tail)
    with atomic_write(path) as file:
        file.write(archive[:-2])
        file.write(tail + digest.hexdigest().encode())
    return digest.hexdigest()


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Return the content of a checkpoint, its tensors on the CPU.

    Raises ToydiffError, having executed and written nothing, for whatever is not a whole checkpoint.
    """
    data, version, digest = _verified(path)
    _outline(path, data)
    try:
        content = torch.load(BytesIO(data), weights_only=True, map_location="cpu")
    except Exception as error:
        raise _refused(path, f"PyTorch cannot read it ({_first_line(error)})", _DAMAGED) from error
    header, parts = _current(path, content, version)
    try:
        _check_parts(parts)
    except (ValueError, TypeError) as error:
        raise _refused(path, str(error), "Go back to an earlier checkpoint of that run.") from error
    ema = {name: value.float() if value.dtype == torch.float16 else value for name, value in parts["ema"].items()}
    return Checkpoint(header, parts["model"], ema, parts["optimizer"], digest)


def save_small(path: str | os.PathLike[str], content: Checkpoint) -> str:
    """Write what sampling takes, in an eighth of the bytes: the averaged weights, the large ones in half precision.

    `load` widens them again; the raw weights and the optimizer stay behind. Raises as `save` does, also for a weight
    beyond ±65,504.
    """
    large = {name for name, value in content.ema.items() if value.dtype == torch.float32 and value.numel() > 1024}
    ema = {name: value.half() if name in large else value for name, value in content.ema.items()}
    return save(path, header=content.header, model={}, ema=ema, optimizer={})


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the header alone, of a file whose digest and outline were checked, without making its tensors."""
    data, version, _ = _verified(path)
    return _current(path, _outline(path, data), version)[0]


def checked(header: Any, parts: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (header, parts) of a file of another format, held to the same rules; ValueError or TypeError."""
    _check_parts(parts)
    return _header(header), parts


def whole_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a checkpoint's bytes, to be copied; ToydiffError if its digest is not right."""
    return _verified(path)[0]


def check_shapes(weights: dict[str, Tensor], network: nn.Module) -> None:
    """Raise ToydiffError naming every key of `weights` that does not fit `network`, which may be on the meta device."""

    def listed(keys: list[str]) -> str:
        return ", ".join(f"`{shown(key)}`" for key in keys[:3]) + (f" and {len(keys) - 3} more" if keys[3:] else "")

    def form(tensor: Tensor) -> str:
        return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"

    expected = network.state_dict()
    missing = [key for key in expected if key not in weights]
    extra = [key for key in weights if key not in expected]
    different = [key for key in expected if key in weights and form(weights[key]) != form(expected[key])]
    problems = [f"missing {listed(missing)}"] if missing else []
    problems += [f"unknown {listed(extra)}"] if extra else []
    problems += [f"`{k}` is {form(weights[k])} instead of {form(expected[k])}" for k in different[:3]]
    problems += [f"{len(different) - 3} more differ"] if different[3:] else []
    if problems:
        raise ToydiffError(
            f"the weights do not fit the network: {'; '.join(problems)}",
            "The network of the configuration must be the one that was trained.",
        )


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _plain(value: Any) -> Any:
    """Return a copy whose pickle depends on nothing but its content.

    Pickle writes a second reference to one object shorter than an equal one, so containers are copied and strings
    interned; tensors get a contiguous storage of their own on the CPU.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return (tuple if isinstance(value, tuple) else list)(_plain(item) for item in value)
    return sys.intern(str(value)) if isinstance(value, str) else value


def _check_parts(content: dict[str, Any]) -> None:
    """Raise TypeError or ValueError unless model and ema are tensors by name, and all of it is plain and finite."""
    for part in ("model", "ema"):
        for name, value in content[part].items():
            if not (isinstance(name, str) and isinstance(value, Tensor)):
                raise TypeError(f"{part} is not a table of tensors by name")
    _check_tree(content)


def _check_tree(tree: dict[str, Any]) -> None:
    """Raise unless the tree is of sane size, and holds nothing but finite dense tensors and plain values."""
    nodes = 0

    def visit(value: Any, name: str, depth: int) -> None:
        nonlocal nodes
        nodes += 1
        if nodes > NODE_LIMIT or depth > DEPTH_LIMIT:
            raise ValueError("more values, or deeper nested ones, than a checkpoint has")
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_meta or value.dtype not in _DTYPES:
                raise TypeError(f"`{shown(name)}` is not a dense tensor of real numbers")
            if not value.isfinite().all():
                raise ValueError(f"`{shown(name)}` holds NaN or infinity")
        elif isinstance(value, dict):
            for key, item in value.items():
                if type(key) not in (str, int):
                    raise TypeError(f"`{shown(name)}` has a key that is neither text nor a whole number")
                visit(item, f"{name}.{key}" if name else str(key), depth + 1)
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                visit(item, f"{name}.{i}", depth + 1)
        elif type(value) not in (str, bool, int, float, type(None)):
            raise TypeError(f"`{shown(name)}` is of type {type(value).__name__}")

    visit(tree, "", 0)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _verified(path: str | os.PathLike[str]) -> tuple[bytes, int, str]:
    """Return (bytes, version, digest) of a file whose digest is right and whose version this toydiff knows."""
    data = read_bytes(path, LIMIT)
    if (mark := _MARK.search(data[-100:])) is None:
        raise _refused(path, *_what_it_is(data))
    version, digest = int(mark[1]), mark[2].decode()
    if hashlib.sha256(memoryview(data)[:-64]).hexdigest() != digest:
        raise _refused(path, "it is damaged (its SHA-256 does not match its content)", _DAMAGED)
    if version > VERSION:
        problem = f"it has version {version} of the format, this toydiff reads up to {VERSION}"
        newer = _refused(path, problem, "Update toydiff: pip install -U toydiff")
        raise NewerFormat(newer.message, newer.hint)
    return data, version, digest


def _outline(path: str | os.PathLike[str], data: bytes) -> dict[str, Any]:
    try:
        content: dict[str, Any] = outline(data)
    except ArchiveError as error:
        raise _refused(path, shown(error), _FOREIGN) from error
    return content


def _current(path: str | os.PathLike[str], content: Any, version: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (header, the other parts) in today's version of the format."""
    if not isinstance(content, dict) or content.get("format") != "toydiff" or content.get("version") != version:
        raise _refused(path, "its content does not say that toydiff wrote it", _FOREIGN)
    for older in range(version, VERSION):
        content = MIGRATIONS[older](content)
    parts = {key: value for key, value in content.items() if key not in ("format", "version", "header")}
    if set(parts) != {"model", "ema", "optimizer"} or not all(type(part) is dict for part in parts.values()):
        raise _refused(path, "its parts are not model, ema and optimizer", _FOREIGN)
    try:
        return _header(content.get("header")), parts
    except (ValueError, TypeError, RecursionError) as error:
        raise _refused(path, f"its header is damaged ({_first_line(error)})", _FOREIGN) from error


def _header(text: Any) -> dict[str, Any]:
    """Return the JSON object of a header; ValueError, TypeError or RecursionError if it is none of sane size."""
    if not isinstance(text, str) or len(text) > HEADER_LIMIT:
        raise ValueError("no JSON text of sane length")
    header = json.loads(text, parse_constant=_no_constant)
    if not isinstance(header, dict):
        raise ValueError("no JSON object")
    _check_tree(header)
    return header


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _what_it_is(data: bytes) -> tuple[str, str]:
    """Return (problem, hint) for a file without toydiff's mark at its end."""
    if not data:
        return "the file is empty", _DAMAGED
    if data.startswith(b"PK\x03\x04"):
        if not is_whole(data):
            return "it is truncated or damaged (the mark that toydiff puts at its end is missing)", _DAMAGED
        if b"/constants.pkl" in data:
            return "it is a TorchScript program, and toydiff runs no programs", _FOREIGN
        if b"/data.pkl" in data:
            return "it is a PyTorch file that toydiff did not write", _FOREIGN
        return "it is a zip archive, but not of PyTorch", _FOREIGN
    for kind, beginning in _OTHERS.items():
        if data.startswith(beginning):
            return f"it is {kind}", _FOREIGN
    start = data[:1000].decode("utf-8", errors="replace")[:-1]  # the last character may be cut in half
    if all(character.isprintable() or character.isspace() for character in start.replace("\ufffd", "\0")):
        return "it is a text file", _FOREIGN
    return "it is no PyTorch file, or its beginning is damaged", _FOREIGN


def _refused(path: str | os.PathLike[str], problem: str, hint: str) -> ToydiffError:
    return ToydiffError(f"{shown(path)} is not a usable checkpoint: {problem}", hint)


def _first_line(error: Exception) -> str:
    return shown((str(error) or type(error).__name__).splitlines()[0][:200])
