"""The binary archive of CIFAR-10: a label and 3 × 32 × 32 bytes for each image; never the pickled one."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toydiff.errors import ToydiffError, shown
from toydiff.guards import tar_members

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST = "test_batch.bin"
META = "batches.meta.txt"
ARCHIVE_LIMIT, MEMBER_LIMIT = 256 << 20, 32 << 20  # the archive unpacks to 184 MB, a batch of it is 30.7 MB
_MEND = "Download it again: it should be cifar-10-binary.tar.gz."


class Records(NamedTuple):
    """Images (N, 3, 32, 32) and labels (N,), both bytes."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def read_cifar10(path: str | os.PathLike[str]) -> dict[str, Records]:
    """Return {"train": …, "test": …} from cifar-10-binary.tar.gz, read member by member; nothing is unpacked to disk.

    A record is the label, 0 … 9, and the image's red, green and blue, 1,024 bytes each, row by row. Raises ToydiffError
    for a member that is missing, there twice, or no whole number of records, for labels above 9, and for whatever
    `tar_members` refuses. (Krizhevsky 2009, "Learning multiple layers of features from tiny images".)
    """
    name = shown(path)
    found: dict[str, bytes] = {}
    for inside, content in tar_members(path, ARCHIVE_LIMIT, MEMBER_LIMIT):
        member = inside.rpartition("/")[2]
        if member in (*(batch.removesuffix(".bin") for batch in BATCHES), "batches.meta"):
            raise ToydiffError(f"{name} is the pickled archive, which is never read", _MEND)
        if member in (*BATCHES, TEST, META):
            if member in found:
                raise ToydiffError(f"{name} holds {member} twice", _MEND)
            found[member] = content
    if missing := [member for member in (*BATCHES, TEST, META) if member not in found]:
        raise ToydiffError(f"{name} lacks {', '.join(missing)}", _MEND)
    if (names := tuple(found[META].decode("utf-8", "replace").split())) != CLASSES:
        raise ToydiffError(f"{name} has other classes: {shown(' '.join(names)[:100])}", _MEND)
    records = {member: _records(found[member], f"{name}: {member}") for member in (*BATCHES, TEST)}
    train = (np.concatenate(parts) for parts in zip(*(records[member] for member in BATCHES), strict=True))
    return {"train": Records(*train), "test": records[TEST]}


def _records(content: bytes, name: str) -> Records:
    if not content or len(content) % RECORD:
        raise ToydiffError(f"{name} has {len(content):,} bytes, which is no number of records of {RECORD:,}", _MEND)
    rows = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if (highest := int(rows[:, 0].max())) >= len(CLASSES):
        raise ToydiffError(f"{name} has a label {highest}; they are 0 to {len(CLASSES) - 1}", _MEND)
    return Records(rows[:, 1:].reshape(-1, *SHAPE), rows[:, 0])
