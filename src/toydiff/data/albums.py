"""Sets of images, from .npz and from folders of picture files: bytes (N, C, H, W), all of one size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toydiff.data.content import Content, classes
from toydiff.errors import ToydiffError, shown
from toydiff.guards import Npz
from toydiff.pictures import read_picture

MOST_BYTES = 4 << 30
"""Of an .npz, also unpacked."""
MOST_NUMBERS = 1 << 30
"""In all the images together."""
MOST_PICTURES = 200_000
SMALLEST = 4
"""Pixels across and up that an image has at least."""
ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
_IMAGES, _LABELS = ("images", "x", "data"), ("labels", "label", "y")
_MEND = "Mend the file."


def read_npz(path: str, names: tuple[str, ...]) -> Content:
    """Return the images (or points) of an .npz, with their labels and which of them its `split` holds out.

    Raises ToydiffError naming the array, and the row counted from 0, as numpy does.
    """
    file, arrays = shown(path), Npz(path, MOST_BYTES)
    key = next((key for key in _IMAGES if key in arrays), None)
    if key is None:
        there = ", ".join(f"`{shown(key)}`" for key in list(arrays)[:10]) or "nothing"
        raise ToydiffError(f"{file} holds {there}, and none of {', '.join(_IMAGES)}", "numpy.savez(file, images=…)")
    x = _samples(arrays[key], f"{key} in {file}")
    labels = next((key for key in _LABELS if key in arrays), None)
    label: torch.Tensor | None = None
    called: tuple[str, ...] = ()
    if labels is not None:
        label, called = _labels(_column(arrays[labels], len(x), f"{labels} in {file}"), f"{labels} in {file}", names)
    held = None
    if "split" in arrays:
        held = torch.from_numpy(_column(arrays["split"], len(x), f"split in {file}") != 0)
        if bool(held.all()):
            raise ToydiffError(f"split in {file} holds out every sample", "0 is for training, 1 for validation.")
    return Content(x, label, called, held if held is not None and bool(held.any()) else None)


def _samples(array: NDArray[Any], name: str) -> torch.Tensor:
    """Return images as uint8 (N, C, H, W), or float32 from −1 to 1 if they were no bytes; points as float32 (N, D)."""
    if array.ndim not in (2, 3, 4) or not array.size:
        shapes = "(N, H, W), (N, H, W, C) or (N, C, H, W)"
        raise ToydiffError(f"{name} has shape {array.shape}", f"Images are {shapes}, and at least one of them.")
    if array.size > MOST_NUMBERS:
        raise ToydiffError(f"{name} has shape {array.shape}: that is more than {MOST_NUMBERS:,} numbers", "Take fewer.")
    if array.dtype.kind == "f" and (wrong := np.argwhere(~np.isfinite(array))).size:
        raise ToydiffError(f"{name}: number {wrong[0].tolist()} is not finite", _MEND)
    if array.ndim == 2:
        return torch.from_numpy(array.astype(np.float32))
    given = array.shape
    if array.ndim == 3:
        array = array[..., None]
    if array.shape[3] not in (1, 3, 4):
        array = array.transpose(0, 2, 3, 1)
    _, height, width, channels = array.shape
    if channels not in (1, 3, 4):
        raise ToydiffError(
            f"{name} has shape {given}: none of that is 1 or 3 channels",
            "Images are (N, H, W, 3) or (N, 3, H, W), say.",
        )
    if min(height, width) < SMALLEST or max(height, width) > 4096:
        raise ToydiffError(
            f"{name}: images of {height} × {width} pixels", f"They have from {SMALLEST} to 4096 across and up."
        )
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(opaque(array).transpose(0, 3, 1, 2)))
    low, high = float(array.min()), float(array.max())
    values: NDArray[Any] = array.astype(np.float32)
    if array.dtype.kind == "b" or (low >= 0 and high <= 1):
        values = 2 * values - 1
    elif low < -1 or high > 1:
        whole = array.dtype.kind in "iu"
        if low < 0 or high > (65535 if whole else 255):
            raise ToydiffError(f"{name} has values from {low:g} to {high:g}", "Give bytes, or numbers 0 … 1 or −1 … 1.")
        values = values * (2 / (65535 if high > 255 else 255)) - 1
    if channels == 4:
        values = (values[..., :3] + 1) * (values[..., 3:] + 1) / 2 - values[..., 3:]  # over white
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


def opaque(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return bytes (…, C) as they look on white paper: C = 4 becomes 3."""
    if pixels.shape[-1] != 4:
        return pixels
    colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    mixed: NDArray[np.uint8] = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return mixed


def _column(array: NDArray[Any], n: int, name: str) -> NDArray[np.int64]:
    """Return n whole numbers; ToydiffError if the array is something else."""
    if array.shape not in ((n,), (n, 1)):
        raise ToydiffError(f"{name} has shape {array.shape}, and there are {n:,} samples", "Give one number a sample.")
    array = array.reshape(n)
    if (
        array.dtype.kind == "f"
        and (wrong := np.flatnonzero(~(np.abs(array) < 2**53) | (array != np.round(array)))).size
    ):
        raise ToydiffError(f"{name}[{wrong[0]}] is {array[wrong[0]]:g}, not a whole number", _MEND)
    return array.astype(np.int64)


def _labels(values: NDArray[np.int64], name: str, names: tuple[str, ...]) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Return (label, names): 0, 1, … as `names` has them, else each number that there is under its own name."""
    if names:
        if (wrong := np.flatnonzero((values < 0) | (values >= len(names)))).size:
            row = wrong[0]
            raise ToydiffError(
                f"{name}[{row}] is {values[row]}, and there are {len(names)} names",
                "Labels count from 0: see data.names.",
            )
        return torch.from_numpy(values), names
    if (wrong := np.flatnonzero(values < 0)).size:
        raise ToydiffError(f"{name}[{wrong[0]}] is {values[wrong[0]]}, and labels count from 0", _MEND)
    return classes([str(value) for value in values], name, lambda row: f"{name}[{row}]")


def read_folder(path: str, size: int | None, channels: int | None) -> Content:
    """Return the pictures below a folder, sorted by name; the first folder below it that each lies in is its class.

    Raises ToydiffError naming the picture that is damaged, animated, or of another size than those before it.
    """
    files, label, names = _listed(path)
    tiles: list[NDArray[np.uint8]] = []
    total = 0
    for file in files:
        tile = opaque(read_picture(file, channels=None))
        if channels is not None and tile.shape[2] != channels:
            tile = read_picture(file, channels=channels)
        tile = tile if size is None else _cropped(tile, size)
        height, width = tile.shape[:2]
        if tiles and (height, width) != tiles[0].shape[:2]:
            first = f"{shown(files[0])} {tiles[0].shape[1]} × {tiles[0].shape[0]}"
            raise ToydiffError(
                f"{shown(file)} is {width} × {height} pixels, {first}",
                "data.size=32, say, crops all to squares from their middle and scales those.",
            )
        if min(height, width) < SMALLEST:
            raise ToydiffError(
                f"{shown(file)} is {width} × {height} pixels", f"Images have {SMALLEST} across and up at least."
            )
        if (total := total + 3 * tile.size // tile.shape[2]) > MOST_NUMBERS:
            raise ToydiffError(f"{shown(path)} holds more pixels than memory should", "Set data.size=64, say.")
        tiles.append(tile)
    deepest = max(tile.shape[2] for tile in tiles)  # one picture in colour makes all of them RGB
    x = np.stack([np.broadcast_to(tile, (*tile.shape[:2], deepest)) for tile in tiles])
    return Content(torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))), label, names)


def _listed(path: str) -> tuple[list[Path], torch.Tensor | None, tuple[str, ...]]:
    """Return (pictures, labels, names): the classes are the subfolders, if there are any with pictures."""
    root, said = Path(path), shown(path)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "is not there"
        raise ToydiffError(f"{said} {what}", "Give a folder of pictures, its subfolders their classes.")
    pictures = [
        Path(folder, file)
        for folder, _, files in os.walk(root)
        for file in files
        if file.lower().endswith(ENDINGS) and not file.startswith(".")
    ]
    pictures.sort()
    if not pictures:
        raise ToydiffError(f"{said} holds no pictures", f"Known: {', '.join(ENDINGS)}.")
    if len(pictures) > MOST_PICTURES:
        raise ToydiffError(f"{said} holds more than {MOST_PICTURES:,} pictures", "Pack them into an .npz.")
    kinds = [file.relative_to(root).parts[0] if file.parent != root else None for file in pictures]
    if not any(kinds):
        return pictures, None, ()
    if None in kinds:
        stray = shown(pictures[kinds.index(None)])
        raise ToydiffError(f"{stray} lies beside the folders of classes", "Put it into one of them.")
    return pictures, *classes([kind or "" for kind in kinds], said, lambda row: shown(pictures[row]))


def _cropped(tile: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the largest square in the middle of (H, W, C), scaled to `size` with its pixels averaged."""
    side = min(tile.shape[:2])
    top, left = ((extent - side) // 2 for extent in tile.shape[:2])
    square = torch.from_numpy(tile[top : top + side, left : left + side].transpose(2, 0, 1).astype(np.float32))[None]
    small = torch.nn.functional.interpolate(square, (size, size), mode="bilinear", antialias=True)[0]
    pixels: NDArray[np.uint8] = small.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return pixels
