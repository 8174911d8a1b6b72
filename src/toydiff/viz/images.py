"""Images as grids: one tile a sample, enlarged until a pixel can be seen, with what must be said in words around it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from toydiff.errors import ToydiffError
from toydiff.viz.style import (
    Array,
    ArrayLike,
    as_array,
    theme,
)

PADDING = 4
MARGIN = 12
GRID = 800
"""Pixels across a grid of its own choosing: 8 × 8 images of 32 × 32 are enlarged three times."""
SMALLEST = 11
"""Pixels of the smallest text."""
Domain = tuple[float, float]
"""The values shown as black and as white."""
UNIT: Domain = (-1.0, 1.0)


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the typeface of the plots for text drawn with Pillow (matplotlib carries it; it has Greek)."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def shades(x: ArrayLike, domain: Domain = UNIT) -> NDArray[np.uint8]:
    """Return (N, H, W, 3) uint8 from (N, C, H, W) in data units: domain[0] is black, domain[1] white, or full colour.

    Values beyond are clipped. One channel is grey and three are red, green and blue; any other number of channels is
    no colour: they lie side by side in grey, (N, H, C·W, 3). Raises ToydiffError for any other shape.
    """
    images = as_array(x).astype(np.float64)
    if images.ndim != 4:
        raise ToydiffError(f"an image grid cannot show an array of shape {images.shape}", "It takes (N, C, H, W).")
    if images.shape[1] not in (1, 3):
        n, c, h, w = images.shape
        images = images.transpose(0, 2, 1, 3).reshape(n, 1, h, c * w)
    low, high = domain
    levels = np.nan_to_num((images - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)
    return np.broadcast_to(levels, (len(levels), 3, *levels.shape[2:])).transpose(0, 2, 3, 1)


def tiles(x: ArrayLike, scale: int | None = None, domain: Domain = UNIT) -> NDArray[np.uint8]:
    """Return the `shades` of (N, C, H, W) images, each pixel a square of `scale` × `scale`.

    By default the shorter side gets about 96 pixels.
    """
    each = shades(x, domain)
    scale = scale or max(1, round(96 / min(each.shape[1:3])))
    return each.repeat(scale, axis=1).repeat(scale, axis=2)


def single(x: ArrayLike, domain: Domain = UNIT) -> Image.Image:
    """Return one (C, H, W) image, C = 1 or 3, pixel for pixel."""
    grey = len(x) == 1
    return Image.fromarray(shades(as_array(x)[None], domain)[0]).convert("L" if grey else "RGB")


def about_square(count: int, height: int, width: int) -> int:
    """Return how many of `count` tiles to put in a row, so that the grid is about as wide as tall."""
    return max(1, min(count, math.ceil(math.sqrt(count * height / width))))


def image_grid(
    x: ArrayLike,
    columns: int | None = None,
    scale: int | None = None,
    domain: Domain = UNIT,
    names: Sequence[str] = (),
) -> Image.Image:
    """Return a grid of (N, C, H, W) images, row by row, about square unless `columns` is given.

    `names`, one for each image, are written under them. Without a `scale` the grid is about 800 pixels wide, or as wide
    as the names need.
    """
    each = shades(x, domain)
    count, height, width = each.shape[:3]
    columns = max(1, min(columns or about_square(count, height, width), count or 1))
    if scale is None:
        words = {part for name in names for part in wrapped(name, font(SMALLEST), 0).splitlines()}
        needed = math.ceil(max((font(SMALLEST).getlength(word) for word in words), default=1) / width)
        scale = max(needed, min(GRID // columns - PADDING, GRID // 2) // width)
    each = each.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = each.shape[1:3]
    face = font(max(SMALLEST, min(16, round(width / 7.5))))
    lines = [wrapped(name, face, width) for name in names]
    line = round(face.size * 1.25)
    below = (max(text.count("\n") for text in lines) + 1) * line if lines else 0
    sheet = _sheet(math.ceil(count / columns), columns, height + below, width)
    for k, tile in enumerate(each):
        _place(sheet, tile, k // columns, k % columns, height + below)
    picture = Image.fromarray(sheet)
    pen = ImageDraw.Draw(picture)
    for k, text in enumerate(lines):
        row, column = divmod(k, columns)
        y = PADDING + row * (height + below + PADDING) + height
        for i, part in enumerate(text.splitlines()):
            place = (PADDING + column * (width + PADDING) + width / 2, y + (i + 0.5) * line)
            pen.text(place, part, fill=theme().ink, font=face, anchor="mm")
    return picture


def image_process(
    blocks: Mapping[str, Sequence[ArrayLike]],
    captions: Sequence[str],
    notes: Sequence[str] = (),
    names: Sequence[str] = (),
    scale: int | None = None,
    domain: Domain = UNIT,
    together: int = 1,
) -> Image.Image:
    """Return images at several noise levels: rows = samples, columns = levels, the blocks side by side.

    Each block {title: one (N, C, H, W) array a level} has its title on top and, over each column, the level's caption;
    `notes`, one for each level, are written under the columns and `names`, one for each row, before them. Both may
    have several lines. Between rows that belong `together`, so many of them, and the next there is some room.
    """
    if not captions:
        raise ToydiffError("no noise level to show", "Give at least one.")
    cells = [[tiles(each, scale, domain) for each in levels] for levels in blocks.values()]
    count, height, width = cells[0][0].shape[:3]
    face, heading = _fitting([*captions, *notes], width), font(max(15, min(22, round(width / 5))))
    line = round(face.size * 1.3)
    over, under = (max((text.count("\n") + 1 for text in texts), default=0) * line for texts in (captions, notes))
    top = MARGIN + (round(1.8 * heading.size) if any(blocks) else 0) + over
    labels = ["\n".join(wrapped(line, face, 140) for line in name.splitlines()) for name in names]
    left = MARGIN + round(max((face.getlength(part) for text in labels for part in text.splitlines()), default=-8) + 8)
    block = len(captions) * (width + PADDING) - PADDING
    at = [top + i * (height + PADDING) + i // together * (0 if together == 1 else MARGIN) for i in range(count)]
    foot = at[-1] + height + PADDING
    size = (left + len(cells) * (block + 2 * MARGIN) - MARGIN, foot + under + MARGIN)
    picture = Image.new("RGB", size, theme().paper)
    pen = ImageDraw.Draw(picture)
    for i, text in enumerate(labels):
        where = (left - 8, at[i] + height / 2)
        pen.multiline_text(where, text, fill=theme().muted, font=face, anchor="rm", align="right")
    for b, (title, levels) in enumerate(zip(blocks, cells, strict=True)):
        start = left + b * (block + 2 * MARGIN)
        pen.text((start + block / 2, MARGIN), title, fill=theme().ink, font=heading, anchor="ma")
        for k, column in enumerate(levels):
            x = start + k * (width + PADDING)
            for i, tile in enumerate(column):
                picture.paste(Image.fromarray(tile), (x, at[i]))
            for texts, y in ((captions, top - over), (notes, foot)):
                for i, part in enumerate(texts[k].splitlines() if texts else ()):
                    pen.text((x + width / 2, y + (i + 0.5) * line), part, fill=theme().ink, font=face, anchor="mm")
    return picture


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """Return `text` in lines of at most `width` pixels where that goes: broken before "+" and at spaces."""
    lines: list[str] = []
    for part in re.split(r"(?=\+)| ", text):
        joined = f"{lines[-1]}{'' if part.startswith('+') else ' '}{part}" if lines else part
        if lines and face.getlength(joined) > width:
            lines.append(part)
        else:
            lines[-1:] = [joined]
    return "\n".join(lines)


def with_title(picture: Image.Image, title: str) -> Image.Image:
    """Return `picture` with a title over its middle, wider if the title needs it."""
    face = font(max(16, min(24, round(picture.width / 32))))
    top, across = round(1.9 * face.size), max(picture.width, math.ceil(face.getlength(title)) + 2 * PADDING)
    tall = Image.new("RGB", (across, picture.height + top), theme().paper)
    tall.paste(picture, ((across - picture.width) // 2, top))
    ImageDraw.Draw(tall).text((across / 2, top / 2), title, fill=theme().ink, font=face, anchor="mm")
    return tall


def beside(*pictures: Image.Image) -> Image.Image:
    """Return pictures side by side, their tops level, with a margin of paper around them."""
    across = sum(picture.width + 2 * MARGIN for picture in pictures)
    sheet = Image.new("RGB", (across, max(picture.height for picture in pictures) + 2 * MARGIN), theme().paper)
    x = MARGIN
    for picture in pictures:
        sheet.paste(picture, (x, MARGIN))
        x += picture.width + 2 * MARGIN
    return sheet


def _fitting(texts: Sequence[str], width: float) -> ImageFont.FreeTypeFont:
    """Return the largest font, of SMALLEST to 18 pixels, in which every line of the texts is at most so wide."""
    lines = [line for text in texts for line in text.splitlines()]
    for size in range(18, SMALLEST, -1):
        face = font(size)
        if all(face.getlength(line) <= width for line in lines):
            return face
    return font(SMALLEST)


def _sheet(rows: int, columns: int, height: int, width: int) -> Array:
    size = columns * (width + PADDING) + PADDING, rows * (height + PADDING) + PADDING
    return np.array(Image.new("RGB", size, theme().paper))


def _place(sheet: Array, tile: Array, row: int, column: int, pitch: int) -> None:
    height, width = tile.shape[:2]
    y, x = PADDING + row * (pitch + PADDING), PADDING + column * (width + PADDING)
    sheet[y : y + height, x : x + width] = tile
