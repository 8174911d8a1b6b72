"""Small made-up data sets in the formats of the published ones."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile

import numpy as np

from toydiff.data.cifar import BATCHES, CLASSES, RECORD
from toydiff.data.cifar import TEST as TEST_BATCH

TRAIN, TEST = 200, 50
"""Images in the data sets of each."""


def idx(*sizes: int, content: bytes = b"") -> bytes:
    """Return an unpacked IDX file of unsigned bytes."""
    return struct.pack(f">HBB{len(sizes)}I", 0, 8, len(sizes), *sizes) + content


def images(n: int, channels: int, side: int, seed: int) -> tuple[bytes, bytes]:
    """Return (pixels, labels): label k = i mod 10 is a bright band, the k-th from the top, on random grey."""
    labels = np.arange(n, dtype=np.uint8) % 10
    pixels = np.random.default_rng(seed).integers(0, 120, (n, channels, side, side), dtype=np.uint8)
    for k in range(10):
        pixels[labels == k, :, k * side // 10 : (k + 1) * side // 10] = 255
    return pixels.tobytes(), labels.tobytes()


def mnist_files(seed: int) -> dict[str, bytes]:
    """Return the four files of a data set in the format of MNIST."""
    files = {}
    for k, (part, n) in enumerate((("train", TRAIN), ("t10k", TEST))):
        pixels, labels = images(n, 1, 28, 2 * seed + k)
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(n, 28, 28, content=pixels), 1, mtime=0)
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(n, content=labels), 1, mtime=0)
    return files


def tar_gz(members: dict[str, bytes]) -> bytes:
    """Return an archive of plain files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def cifar_members() -> dict[str, bytes]:
    """Return the members of a binary archive in the format of CIFAR-10."""
    members = {}
    for seed, (name, n) in enumerate([*((name, TRAIN // 5) for name in BATCHES), (TEST_BATCH, TEST)]):
        pixels, labels = images(n, 3, 32, seed)
        records = [labels[i : i + 1] + pixels[i * (RECORD - 1) : (i + 1) * (RECORD - 1)] for i in range(n)]
        members[f"cifar-10-batches-bin/{name}"] = b"".join(records)
    return members | {"cifar-10-batches-bin/batches.meta.txt": ("\n".join(CLASSES) + "\n\n").encode()}
