"""The IDX format of the MNIST family: a magic number, the sizes, and then nothing but bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toydiff.errors import ToydiffError

UBYTE = 0x08
_MEND = "Is it one of the official files? Download it again."


def parse_idx(content: bytes, name: str, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in the bytes of an unpacked IDX file called `name`, which must have so many dimensions.

        0, 0, type, D | the D sizes, 4 bytes each, the highest first | the elements, last index fastest

    Only unsigned bytes are read (type 8): images (N, H, W), labels (N,). Raises ToydiffError for another magic number,
    for nothing in it, and unless every byte is accounted for. (LeCun, Cortes & Burges 1998, "The MNIST database".)
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ToydiffError(f"{name} is no IDX file: it begins with {_hex(content)}, not with 00 00", _MEND)
    kind, count = content[2:4]
    if (kind, count) != (UBYTE, dimensions):
        raise ToydiffError(
            f"{name} has the magic number {_hex(content)}, not the 00 00 08 {dimensions:02x} of "
            + ("labels" if dimensions == 1 else "images"),
            "Images and labels swapped?" if (kind, count) in ((UBYTE, 1), (UBYTE, 3)) else _MEND,
        )
    begin = 4 + 4 * dimensions
    if len(content) < begin:
        raise ToydiffError(f"{name} is cut off in its header", _MEND)
    sizes: tuple[Any, ...] = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    said = " × ".join(map(str, sizes))
    if (told := math.prod(sizes)) != len(content) - begin:  # before any memory is asked for
        raise ToydiffError(f"{name} says it holds {said} = {told:,} bytes, and has {len(content) - begin:,}", _MEND)
    if told == 0:
        raise ToydiffError(f"{name} holds nothing: {said}", _MEND)
    return np.frombuffer(content, np.uint8, told, begin).reshape(sizes)


def _hex(content: bytes) -> str:
    return content[:4].hex(" ") or "nothing"
