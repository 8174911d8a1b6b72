"""Films: frames go one by one into an encoder, so that a long film takes no more memory than a short one."""

from __future__ import annotations

import math
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import atomic_write
from toydiff.viz.formats import film_format
from toydiff.viz.style import theme

Picture = NDArray[np.uint8]
"""(H, W, 3)."""

HOLD = (0.5, 1.5)
"""Seconds that the first and the last frame stand still: the eye needs them to see where it starts and ends."""
WEBP_LIMIT = 16383


def save_film(
    path: str | Path,
    frames: Iterable[Picture],
    fps: float = 20,
    format: str | None = None,
    hold: tuple[float, float] = HOLD,
) -> None:
    """Write (H, W, 3) uint8 `frames` as mp4, gif, animated webp or png, or a png strip: as `format` or the path says.

    The first and the last frame are held for `hold` seconds: in mp4 as repeated frames, so that every player keeps
    the rate, in gif and webp as longer ones. Nothing appears at `path` until the film is whole; an exception while
    the frames are made leaves it as it was. Raises ConfigurationError for an unknown format or rate, ToydiffError
    for no frame, or frames that differ in shape.
    """
    kind = film_format(format or path)
    highest = 50 if kind == "gif" else 240
    if not 0.1 <= fps <= highest:
        why = (
            "A gif counts in 1/100 s and browsers slow down above 50" if kind == "gif" else "Players give up above 240"
        )
        raise ConfigurationError(f"{fps:g} frames a second", f"{why}: choose a rate from 0.1 to {highest}.")
    held = (max(0.0, hold[0]), max(0.0, hold[1]))
    with TemporaryDirectory(prefix="toydiff-film-") as folder:
        scratch = Path(folder, f"film.{kind}")
        try:
            if kind == "png":
                film_strip(frames).save(scratch)
            else:
                {"mp4": _mp4, "webp": _webp, "gif": _gif, "apng": _apng}[kind](scratch, _checked(frames), fps, held)
        except av.error.FFmpegError as error:
            raise ToydiffError(
                f"the {kind} could not be encoded: {error.strerror or error}",
                "Make smaller frames, choose another format, or free space where temporary files go.",
            ) from error
        with scratch.open("rb") as made, atomic_write(Path(path)) as file:
            shutil.copyfileobj(made, file, 1 << 20)


def film_strip(frames: Iterable[Picture], most: int = 8) -> Image.Image:
    """Return up to `most` frames, evenly spaced from the first to the last, side by side on paper."""
    with _Spool(_checked(frames)) as spool:
        chosen = [spool[k] for k in sorted({round(k) for k in np.linspace(0, len(spool) - 1, most)})]
    height, width = chosen[0].shape[:2]
    gap = max(2, math.ceil(width / 60))
    strip = Image.new("RGB", (len(chosen) * (width + gap) - gap, height), theme().paper)
    for k, frame in enumerate(chosen):
        strip.paste(Image.fromarray(frame), (k * (width + gap), 0))
    return strip


def _checked(frames: Iterable[Picture]) -> Iterator[Picture]:
    """Pass frames on, and stop at the first that no encoder can take."""
    shape: tuple[int, ...] | None = None
    for k, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ToydiffError(f"frame {k} is {frame.dtype} {frame.shape}", "A film takes (H, W, 3) uint8 frames.")
        if shape not in (None, frame.shape):
            raise ToydiffError(f"frame {k} has shape {frame.shape}, those before it {shape}", "Keep one size.")
        shape = frame.shape
        yield frame
    if shape is None:
        raise ToydiffError("a film needs at least one frame", "Ask for 1 frame or more.")


def _even(frame: Picture) -> Picture:
    """Repeat the last row and column where a side is odd: 4:2:0 video has even sides."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _with_holds(frames: Iterator[Picture], before: int, after: int) -> Iterator[Picture]:
    """Repeat the first frame `before` and the last frame `after` times more."""
    last = first = next(frames)
    yield from (first for _ in range(before))
    for last in chain([first], frames):
        yield last
    yield from (last for _ in range(after))


def _mp4(path: Path, frames: Iterator[Picture], fps: float, hold: tuple[float, float]) -> None:
    """Encode H.264, 4:2:0, even sides, index at the front: what every browser and slide program plays."""
    rate = Fraction(fps).limit_denominator(1001)
    shown = _with_holds(map(_even, frames), *(round(float(seconds * rate)) for seconds in hold))
    first = next(shown)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        # said in the stream and done in the conversion: else a player guesses by size, and the blues shift
        context = stream.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1
        for k, picture in enumerate(chain([first], shown)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = k, 1 / rate
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


def _clock(count: int, fps: float, unit: int, hold: float) -> int:
    """Return when frame `count` starts, in 1/unit s: rounded from the beginning, so that errors do not add up."""
    return round(unit * (count / fps + (hold if count else 0)))


def _webp(path: Path, frames: Iterator[Picture], fps: float, hold: tuple[float, float]) -> None:
    first = next(frames)
    if max(first.shape[:2]) > WEBP_LIMIT:
        raise ToydiffError(f"webp ends at {WEBP_LIMIT} pixels a side", "Make smaller frames, or an mp4.")
    count = 0
    with av.open(str(path), "w", format="webp", options={"loop": "0"}) as film:
        stream = film.add_stream("libwebp_anim", options={"quality": "90", "compression_level": "2"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "bgra"
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture in chain([first], frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format="bgra")
            frame.pts, frame.time_base = _clock(count, fps, 1000, hold[0]), Fraction(1, 1000)
            film.mux(stream.encode(frame))
            count += 1
        film.mux(stream.encode())
    if count > 1:  # a single one is a still picture
        _set_last_duration(path, round(1000 * (1 / fps + hold[1])))


def _set_last_duration(path: Path, milliseconds: int) -> None:
    """Write the duration of a webp's last frame: the encoder, told only when frames start, makes one up.

    RIFF: after 12 bytes, chunks of name (4), size (4, little-endian) and padded content; in an ANMF chunk's content
    the duration is bytes 12 to 14 (WebP container specification).
    """
    content = bytearray(path.read_bytes())
    place, last = 12, None
    while place + 8 <= len(content):
        if content[place : place + 4] == b"ANMF":
            last = place + 8
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    if last is not None:
        content[last + 12 : last + 15] = milliseconds.to_bytes(3, "little")
        path.write_bytes(content)


def _apng(path: Path, frames: Iterator[Picture], fps: float, hold: tuple[float, float]) -> None:
    """Encode an animated png: all colours, without loss; only the changed rectangle of each frame."""
    first, count = next(frames), 0
    last = Fraction(1) / Fraction(fps).limit_denominator(1000) + Fraction(hold[1]).limit_denominator(1000)
    with av.open(str(path), "w", format="apng", options={"plays": "0", "final_delay": str(last)}) as film:
        stream = film.add_stream("apng", options={"pred": "mixed"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "rgb24"
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture in chain([first], frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = _clock(count, fps, 1000, hold[0]), Fraction(1, 1000)
            film.mux(stream.encode(frame))
            count += 1
        film.mux(stream.encode())


class _Spool:
    """Frames on disk, compressed without loss: for formats that need to know the whole film before its first frame."""

    def __init__(self, frames: Iterable[Picture]) -> None:
        self.frames = frames

    def __enter__(self) -> _Spool:
        self.ends = [0]
        with ExitStack() as stack:
            self.file = stack.enter_context(TemporaryFile(prefix="toydiff-film-"))
            for frame in self.frames:
                self.shape = frame.shape
                self.ends.append(self.ends[-1] + self.file.write(zlib.compress(frame.tobytes(), 1)))
            self.opened = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.close()

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, k: int) -> Picture:
        self.file.seek(self.ends[k])
        raw = zlib.decompress(self.file.read(self.ends[k + 1] - self.ends[k]))
        return np.frombuffer(raw, np.uint8).reshape(self.shape)


def _palette(spool: _Spool) -> Image.Image:
    """Return an image whose ≤ 256 colours serve the whole film.

    Every second pixel of every second row falls into one of 32³ bins; then median cut over the bins' mean colours,
    each counted √n times: by n alone, paper would take every entry.
    """
    bins = 1 << 15
    counts, sums = np.zeros(bins), np.zeros((3, bins))
    for k in range(len(spool)):
        colours = spool[k][::2, ::2].reshape(-1, 3).astype(np.int64)
        which = (colours[:, 0] >> 3 << 10) | (colours[:, 1] >> 3 << 5) | (colours[:, 2] >> 3)
        counts += np.bincount(which, minlength=bins)
        sums += [np.bincount(which, colours[:, channel], minlength=bins) for channel in range(3)]
    used = counts.nonzero()[0]
    means = (sums[:, used] / counts[used]).T.round().astype(np.uint8)
    if len(used) <= 256:
        carrier = Image.new("P", (1, 1))
        carrier.putpalette(means.tobytes())
        return carrier
    share = np.sqrt(counts[used])
    times = np.ceil(share * min(1.0, 4e5 / share.sum())).astype(np.int64)
    return Image.fromarray(means.repeat(times, axis=0)[None]).quantize(256, Image.Quantize.MEDIANCUT)


def _gif(path: Path, frames: Iterator[Picture], fps: float, hold: tuple[float, float]) -> None:
    """Encode a gif with one palette and only the changed rectangle of each frame; its clock ticks in 1/100 s."""
    with _Spool(frames) as spool:
        palette = _palette(spool)
        colours = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
        entries = np.array(palette.getpalette("RGB"), np.uint8).reshape(-1, 3)
        colours[: len(entries), 1:] = entries
        last = round(100 * (1 / fps + (hold[1] if len(spool) > 1 else 0)))
        with av.open(str(path), "w", format="gif", options={"loop": "0", "final_delay": str(last)}) as film:
            stream = film.add_stream("gif")
            stream.height, stream.width = spool.shape[:2]
            stream.pix_fmt = "pal8"
            stream.codec_context.time_base = Fraction(1, 100)
            for k in range(len(spool)):
                indices = np.asarray(Image.fromarray(spool[k]).quantize(palette=palette, dither=Image.Dither.NONE))
                frame = av.VideoFrame.from_ndarray((indices, colours), format="pal8")  # type: ignore[arg-type]
                frame.pts, frame.time_base = _clock(k, fps, 100, hold[0]), Fraction(1, 100)
                film.mux(stream.encode(frame))
            film.mux(stream.encode())
