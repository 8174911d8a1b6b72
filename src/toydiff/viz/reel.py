"""What a page carries of a film: points in 16 bits, images in one sheet, and when each is on."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toydiff.data import Data
from toydiff.errors import ToydiffError
from toydiff.schedules import Schedule
from toydiff.viz.frames import Look, Panel, divided_shot
from toydiff.viz.images import about_square, shades
from toydiff.viz.moving import Shot
from toydiff.viz.overview import domain_of
from toydiff.viz.process import planar
from toydiff.viz.style import Array, ArrayLike, angle_turns, as_array

Carried: TypeAlias = dict[str, Any]
"""What becomes JSON."""
QUALITIES = (90, 75, 60, 40, 20, 5)
"""Of WebP, for sheets that are too large without loss: the best that fits."""


def base64(array: ArrayLike) -> str:
    """Return the bytes of an array, little-endian, as text."""
    values = as_array(array)
    return b64encode(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()).decode()


def packed(points: Array) -> Carried:
    """Return (N, 2) points as 16 bits of the way across the box [left, right, low, high] that holds them."""
    low, high = points.min(axis=0), points.max(axis=0)
    steps = (points - low) / np.where(high > low, high - low, 1) * 65535
    return {"data": base64(steps.round().astype(np.uint16)), "box": [low[0], high[0], low[1], high[1]]}


def carried_panels(
    data: Data, panels: list[Panel], moments: Iterable[tuple[Shot, ...]], look: Look, most: float
) -> list[Carried]:
    """Return what the page carries of panels whose shots come together, moment by moment.

    A shot that stays on is carried once; sheets of images take at most `most` bytes of text altogether. Raises
    ToydiffError where they cannot.
    """
    reels: list[list[Shot]] = [[] for _ in panels]
    orders: list[list[int]] = [[] for _ in panels]
    last: list[Shot | None] = [None] * len(panels)
    tiles: list[list[NDArray[np.uint8]]] = [[] for _ in panels]
    for shots in moments:
        for k, shot in enumerate(shots):
            if shot is not last[k]:
                last[k], seen = shot, divided_shot(shot, data) if look.divided else shot
                if data.pictorial:
                    tiles[k].append(shades(seen.x, domain_of(data)))
                    seen = seen._replace(x=np.zeros(0))
                reels[k].append(seen)
            orders[k].append(len(reels[k]) - 1)
    out = []
    for panel, reel, order, sheet in zip(panels, reels, orders, tiles, strict=True):
        grey = panel.still or (look.style == "field" and look.colour is None)
        carried: Carried = {"title": panel.title, "still": grey, "order": order}
        if data.pictorial:
            carried |= {"shots": [_words(shot) for shot in reel], **_sheet(sheet, most / len(panels))}
        else:
            carried |= _points(panel, reel, look.style == "field")
        out.append(carried)
    return out


def _words(shot: Shot) -> Carried:
    level = shot.level
    numbers = None if level is None else [float(level.t), float(level.alpha), float(level.sigma)]
    return {"caption": shot.caption, "level": numbers}


def _points(panel: Panel, reel: list[Shot], field: bool) -> Carried:
    """Return the shots of points, where arrows from them end or the field they lie in, and what colours them."""
    shots = []
    for shot in reel:
        carried = {**_words(shot), "x": packed(planar(shot.x))}
        if shot.x0 is not None:
            carried["field" if field else "x0"] = packed(planar(shot.x0))
        shots.append(carried)
    turns = (256 * angle_turns(reel[0].x)).round().astype(np.int64) & 255
    labels = None if panel.label is None else base64(as_array(panel.label).astype(np.uint16))
    return {"shots": shots, "labels": labels, "turns": base64(turns.astype(np.uint8))}


def _sheet(frames: list[NDArray[np.uint8]], most: float) -> Carried:
    """Return one picture that holds (N, H, W, 3) tiles of every frame, as a data: address of at most so many bytes."""
    count, height, width = frames[0].shape[:3]
    columns = about_square(count, height, width)
    rows = math.ceil(count / columns)
    across = max(1, round(math.sqrt(len(frames) * rows * height / (columns * width))))
    sheet = np.zeros((math.ceil(len(frames) / across) * rows * height, across * columns * width, 3), np.uint8)
    for k, tiles in enumerate(frames):
        down, right = k // across * rows, k % across * columns
        for i, tile in enumerate(tiles):
            y, x = (down + i // columns) * height, (right + i % columns) * width
            sheet[y : y + height, x : x + width] = tile
    grey = (sheet[..., :1] == sheet).all()
    picture = Image.fromarray(sheet[..., 0] if grey else sheet)
    place = {"count": count, "columns": columns, "height": height, "width": width, "across": across}
    return {"sheet": _encoded(picture, most), "tiles": place}


def _encoded(picture: Image.Image, most: float) -> str:
    """Return the picture as a data: address: as PNG if that is short enough, else as WebP."""
    file = BytesIO()
    picture.save(file, format="PNG", optimize=True)
    kind, content = "png", file.getvalue()
    for quality in QUALITIES:
        if len(content) * 4 / 3 <= most:
            break
        file = BytesIO()
        picture.save(file, format="WEBP", quality=quality, method=4)
        kind, content = "webp", file.getvalue()
    if len(content) * 4 / 3 > most:
        raise ToydiffError("the images do not fit into one page", "Take fewer of them with -n, or fewer --frames.")
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def carried_curves(schedule: Schedule) -> Carried:
    """Return alpha and sigma at 201 times, to six digits."""
    times = np.linspace(0, 1, 201)
    levels = [schedule(t) for t in times.tolist()]
    return {name: [float(f"{float(getattr(level, name)):.6g}") for level in levels] for name in ("t", "alpha", "sigma")}
