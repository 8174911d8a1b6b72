"""The only place where a picture file is decoded: checked by its header before a single pixel is."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from toydiff.errors import ToydiffError, shown
from toydiff.guards import read_bytes

MOST_BYTES = 64 << 20
MOST_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def read_picture(
    path: str | os.PathLike[str], *, channels: int | None = None, first: bool = False, pixels: int = MOST_PIXELS
) -> NDArray[np.uint8]:
    """Return a picture file as uint8 (H, W, C); see `decode_picture`. Raises ToydiffError."""
    return decode_picture(read_bytes(path, MOST_BYTES), shown(path), channels=channels, first=first, pixels=pixels)


def decode_picture(
    content: bytes, name: str, *, channels: int | None = None, first: bool = False, pixels: int = MOST_PIXELS
) -> NDArray[np.uint8]:
    """Return a picture as uint8 (H, W, C): C = 1 grey, 3 RGB or 4 RGBA, as asked or else as the file has it.

    It is turned as its camera says; transparency is dropped unless it is asked for, and 16 bits are rounded to 8.
    Raises ToydiffError naming the file for any other format, damage, more than `pixels`, and an animation unless its
    `first` frame is asked for.
    """
    with _opened(content, name, pixels) as picture:
        # A camera's MPO has a thumbnail behind the picture: that is no film.
        if not first and picture.format != "MPO" and getattr(picture, "is_animated", False):
            raise ToydiffError(f"{name} holds more than one frame", "Give a picture of one frame.")
        picture.load()
        return _array(_eight_bits(ImageOps.exif_transpose(picture), name), channels)


def read_text(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the text chunks of a PNG file that stand before its pixels, which are not decoded. Raises ToydiffError."""
    with _opened(read_bytes(path, MOST_BYTES), shown(path), MOST_PIXELS, ("PNG",)) as picture:
        return {str(key): str(value) for key, value in picture.info.items() if isinstance(value, str)}


@contextmanager
def _opened(
    content: bytes, name: str, pixels: int, formats: tuple[str, ...] = FORMATS
) -> Iterator[ImageFile.ImageFile]:
    """Yield a picture whose header is believed; whatever goes wrong in the block is a ToydiffError naming the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which nobody reads
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=formats) as picture:
                if picture.width * picture.height > pixels:
                    raise Image.DecompressionBombError
                yield picture
    except ToydiffError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ToydiffError(f"{name} has more than the {pixels:,} pixels allowed", "Scale it down first.") from error
    except Exception as error:  # decoders meet hostile bytes in many ways; all of them mean the same
        if "truncated" in str(error).lower() or isinstance(error, EOFError):
            raise ToydiffError(f"{name} is cut off: it is not a whole picture", "Copy or download it again.") from error
        raise ToydiffError(f"{name} is not a picture that can be read", f"Known: {', '.join(formats)}.") from error


def _eight_bits(picture: Any, name: str) -> Any:
    """Return grey of 16 bits as grey of 8, which `convert` would cut off at 255."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ToydiffError(f"{name} has pixels that are not of 8 or 16 bits", "Save it as a PNG.")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _array(picture: Any, channels: int | None) -> NDArray[np.uint8]:
    if channels is None:
        transparent = "A" in picture.getbands() or "transparency" in picture.info
        channels = 4 if transparent else 1 if picture.mode in ("1", "L") else 3
    values = np.asarray(picture.convert(_MODES[channels]), dtype=np.uint8)
    return values.reshape(picture.height, picture.width, channels)
