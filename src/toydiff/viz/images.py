"""Images as grids: one tile a sample, enlarged until a pixel can be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from toydiff.errors import ToydiffError
from toydiff.viz.style import INK, PAPER, Array, ArrayLike, as_array

PADDING = 4


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the typeface of the plots for text drawn with Pillow (matplotlib carries it; it has Greek)."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def tiles(x: ArrayLike, scale: int | None = None) -> NDArray[np.uint8]:
    """Return (N, H·scale, W·scale, 3) uint8 from (N, C, H, W) in [−1, 1], C = 1 or 3.

    Values beyond are clipped, −1 is black; nearest-neighbour, by default until the shorter side has 96 pixels.
    Raises ToydiffError for any other shape.
    """
    images = as_array(x).astype(np.float64)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ToydiffError(
            f"an image grid cannot show an array of shape {images.shape}", "It takes (N, C, H, W) with C = 1 or 3."
        )
    scale = scale or max(1, round(96 / min(images.shape[2:])))
    levels = np.nan_to_num((images + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    levels = np.broadcast_to(levels, (len(levels), 3, *levels.shape[2:])).transpose(0, 2, 3, 1)
    return levels.repeat(scale, axis=1).repeat(scale, axis=2)


def _sheet(rows: int, columns: int, height: int, width: int, top: int = 0) -> Array:
    return np.full(
        (top + rows * (height + PADDING) + PADDING, columns * (width + PADDING) + PADDING, 3), 255, dtype=np.uint8
    )


def _place(sheet: Array, tile: Array, row: int, column: int, top: int = 0) -> None:
    height, width = tile.shape[:2]
    y, x = top + PADDING + row * (height + PADDING), PADDING + column * (width + PADDING)
    sheet[y : y + height, x : x + width] = tile


def image_grid(x: ArrayLike, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """Return a grid of (N, C, H, W) images in [−1, 1], row by row, about square unless `columns` is given."""
    each = tiles(x, scale)
    columns = max(1, min(columns or math.ceil(len(each) ** 0.5), len(each) or 1))
    sheet = _sheet(math.ceil(len(each) / columns), columns, *each.shape[1:3])
    for k, tile in enumerate(each):
        _place(sheet, tile, *divmod(k, columns))
    return Image.fromarray(sheet)


def image_process(x_t: Sequence[ArrayLike], captions: Sequence[str], scale: int | None = None) -> Image.Image:
    """Return the way from noise to images: rows = samples, columns = noise levels, a caption over each column.

    `x_t` holds one (N, C, H, W) array a level, in [−1, 1].
    """
    if not x_t:
        raise ToydiffError("no noise level to show", "Give at least one.")
    columns = [tiles(each, scale) for each in x_t]
    count, height, width = columns[0].shape[:3]
    size = max(11, round(width / 6))
    face = font(size)
    while size > 8 and any(face.getlength(caption) > width for caption in captions):
        size -= 1
        face = font(size)
    top = round(size * 1.6)
    sheet = _sheet(count, len(columns), height, width, top)
    for k, column in enumerate(columns):
        for i, tile in enumerate(column):
            _place(sheet, tile, i, k, top)
    picture = Image.fromarray(sheet)
    pen = ImageDraw.Draw(picture)
    for k, caption in enumerate(captions):
        middle = PADDING + k * (width + PADDING) + width / 2
        pen.text((middle, top - PADDING), caption, fill=INK, font=face, anchor="ms")
    return picture


def with_caption(picture: Image.Image, caption: str) -> Image.Image:
    """Return `picture` with a line of text under it, at the left."""
    size = max(12, min(24, round(picture.width / 18)))
    tall = Image.new("RGB", (picture.width, picture.height + round(size * 1.9)), PAPER)
    tall.paste(picture)
    place = (PADDING + 2, picture.height + round(size * 0.95))
    ImageDraw.Draw(tall).text(place, caption, fill=INK, font=font(size), anchor="lm")
    return tall
