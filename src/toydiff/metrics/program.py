"""A TorchScript file, looked at without torch and without running it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from toydiff.errors import ToydiffError, shown
from toydiff.guards import Zip, read_bytes

LARGEST = 1 << 30
"""Bytes of a file, packed and unpacked; the Inception-v3 of the literature has 96 MB."""


class Program(NamedTuple):
    """The bytes of a TorchScript file, its name without the folder, and its SHA-256: what is digested is what runs."""

    name: str
    digest: str
    content: bytes


def read_program(path: Path) -> Program:
    """Return a TorchScript file of at most 1 GiB, nothing of it run; ToydiffError if it is not there or is none."""
    content = read_bytes(path, LARGEST)
    names = list(Zip(path, LARGEST)) if content.startswith(b"PK\x03\x04") else []
    if not any(name.endswith("/constants.pkl") for name in names):  # torch.save writes none, torch.jit.save always
        raise ToydiffError(
            f"{shown(path)} is not a TorchScript program",
            "It takes what torch.jit.save writes: inception-2015-12-05.pt",
        )
    return Program(path.name, sha256(content).hexdigest(), content)
