"""Save a picture: as PNG, or as SVG or PDF for papers, with the seeds and the command that made it inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from toydiff.files import atomic_write
from toydiff.viz.style import DPI, pixels, theme

Picture: TypeAlias = Figure | Image.Image


def save_png(
    path: str | Path,
    picture: Picture,
    text: Mapping[str, str] | None = None,
    size: int | None = None,
    dpi: int | None = None,
) -> None:
    """Write `picture` to `path` atomically, each entry of `text` as a PNG text chunk (PIL: `Image.open(path).text`).

    Keys are 1 to 79 Latin-1 characters (PNG specification, section 11.3.3); values may be any text. `size` is the width
    in pixels, text and all; `dpi`, the pixels an inch, alone draws the same layout with more of them (150).
    """
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    image = _enlarged(picture, size, dpi)
    dots = dpi or DPI
    with atomic_write(Path(path)) as file:
        image.save(file, format="PNG", pnginfo=chunks, dpi=(dots, dots))


def save_picture(
    path: str | Path,
    picture: Picture,
    text: Mapping[str, str] | None = None,
    size: int | None = None,
    dpi: int | None = None,
) -> None:
    """Write `picture` as the extension of `path` says: .png (see `save_png`), .svg or .pdf.

    In SVG and PDF, points, lines and letters stay shapes at any scale, while a grid of images, which is pixels, is
    embedded as it is; `text` becomes the description. `size` and `dpi`, which count pixels, are for PNG alone.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind == "png":
        return save_png(path, picture, text, size, dpi)
    said = "; ".join(f"{key}: {value}" for key, value in (text or {}).items())
    about = {"Creator": "toydiff", **({"Date": None, "Description": said} if kind == "svg" else _undated(said))}
    # the same bytes for the same picture; and TrueType fonts, which journals ask for
    with atomic_write(Path(path)) as file, rc_context({"svg.hashsalt": "toydiff", "pdf.fonttype": 42}):
        _as_figure(picture).savefig(file, format=kind, metadata=about)


def _undated(said: str) -> dict[str, str | None]:
    return {"CreationDate": None, "Producer": None, "Subject": said}


def _enlarged(picture: Picture, size: int | None, dpi: int | None) -> Image.Image:
    """Return the picture in pixels, `size` across or of `dpi` to the inch."""
    if isinstance(picture, Figure):
        if size or dpi:
            pixels(picture)  # whose layout is found at the size it was made for
            picture.set_dpi((size + 0.01) / picture.get_figwidth() if size else dpi or DPI)
        return Image.fromarray(pixels(picture))
    width = size or round(picture.width * (dpi or DPI) / DPI)
    if width == picture.width:
        return picture
    way = Image.Resampling.BICUBIC if width > picture.width else Image.Resampling.LANCZOS
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), way)


def _as_figure(picture: Picture) -> Figure:
    """Return a figure of the same size in inches that shows the image, or the figure itself, its layout found."""
    if isinstance(picture, Figure):
        pixels(picture)
        return picture
    figure = Figure(figsize=(picture.width / DPI, picture.height / DPI), dpi=DPI, facecolor=theme().paper)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.axis("off")
    ax.imshow(picture, interpolation="none", aspect="auto")
    return figure
