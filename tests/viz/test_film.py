"""Films are read back with other people's decoders: size, frames, time, colour; and none is ever half there."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.viz.film import film_strip, save_film
from toydiff.viz.formats import FILM_FORMATS, check_encoder

BLUE, ORANGE = (0, 114, 178), (230, 159, 0)


def square_moves(count: int = 5, height: int = 64, width: int = 96) -> Iterator[np.ndarray]:
    """A blue square that moves right by eight pixels a frame, an orange one that stays."""
    for k in range(count):
        frame = np.full((height, width, 3), 255, np.uint8)
        frame[40:56, 70:86] = ORANGE
        frame[8:24, 8 + 8 * k : 24 + 8 * k] = BLUE
        yield frame


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def clock(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Frames and their durations in milliseconds, as Pillow reads them."""
    frames, durations = [], []
    with Image.open(path) as picture:
        for k in range(picture.n_frames):
            picture.seek(k)
            frames.append(np.asarray(picture.convert("RGB")))
            durations.append(picture.info["duration"])
    return frames, durations


def test_mp4_has_the_size_frames_rate_and_colours_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    save_film(path, square_moves(), fps=10, hold=(0.3, 0.7))
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (96, 64, 10)
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        times = [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
    assert times == pytest.approx(np.arange(5 + 3 + 7) / 10)
    frames = decoded(path)
    for k, frame in enumerate(frames):
        moved = min(max(k - 3, 0), 4)
        assert np.abs(frame[16, 16 + 8 * moved] - np.array(BLUE, float)).max() < 12
        assert np.abs(frame[48, 78] - np.array(ORANGE, float)).max() < 12
        assert frame[4, 4].min() > 250
    content = path.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")  # starts to play before it is all there


def test_mp4_says_which_matrix_its_colours_were_coded_with(tmp_path: Path) -> None:
    save_film(tmp_path / "film.mp4", square_moves())
    with av.open(str(tmp_path / "film.mp4")) as film:
        context = film.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        luma = np.frombuffer(next(film.decode(video=0)).planes[0], np.uint8).reshape(64, -1)[16, 16]
    red, green, blue = (c / 255 for c in BLUE)
    assert luma == pytest.approx(16 + 219 * (0.2126 * red + 0.7152 * green + 0.0722 * blue), abs=2)  # BT.709


@pytest.mark.parametrize(("height", "width"), [(63, 95), (64, 95), (1, 1)])
def test_odd_sides_are_padded_for_mp4_by_repeating_the_edge(tmp_path: Path, height: int, width: int) -> None:
    save_film(tmp_path / "film.mp4", [np.full((height, width, 3), 200, np.uint8)] * 2)
    frame = decoded(tmp_path / "film.mp4")[0]
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(frame.astype(int) - 200).max() <= 3


@pytest.mark.parametrize(("kind", "off"), [("gif", 3), ("webp", 24), ("apng", 0)])
def test_gif_webp_and_apng_hold_their_ends_by_longer_frames(tmp_path: Path, kind: str, off: int) -> None:
    path = tmp_path / f"film.{kind}"
    save_film(path, square_moves(), fps=20, hold=(0.5, 1.5))
    frames, durations = clock(path)
    assert durations == [550, 50, 50, 50, 1550]
    for k, (frame, wanted) in enumerate(zip(frames, square_moves(), strict=True)):
        assert frame.shape == wanted.shape
        assert np.abs(frame[16, 16 + 8 * k] - np.array(BLUE, float)).max() <= off
        assert np.abs(frame[48, 78] - np.array(ORANGE, float)).max() <= off
        assert frame[0, 0].min() >= 255 - off
    with Image.open(path) as picture:
        assert picture.info["loop"] == 0


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_rounded_durations_do_not_add_up_to_a_wrong_length(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"film.{kind}"
    save_film(path, square_moves(9, width=160), fps=30, hold=(0, 0))
    assert sum(clock(path)[1]) == pytest.approx(9 * 1000 / 30, abs=10)


@pytest.mark.parametrize("kind", ["gif", "apng"])
def test_the_same_film_is_the_same_bytes(tmp_path: Path, kind: str) -> None:
    for name in ("one", "other"):
        save_film(tmp_path / name, square_moves(), format=kind)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_missing_encoder_is_said_in_our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in FILM_FORMATS:
        check_encoder(kind)
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    check_encoder("gif")
    with pytest.raises(ToydiffError, match="no mp4 can be made here") as refused:
        check_encoder("mp4")
    assert "pip install" in refused.value.hint


def test_a_gif_has_one_palette_that_knows_colours_of_the_last_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(3)]
    last = np.full((40, 40, 3), 255, np.uint8)
    last[10:30, 10:30] = BLUE
    save_film(tmp_path / "film.gif", [*noise, last], fps=10)
    frames, _ = clock(tmp_path / "film.gif")
    assert np.abs(frames[-1].astype(int) - last).max() <= 24
    assert len(np.unique(np.concatenate(frames).reshape(-1, 3), axis=0)) <= 256


def test_a_strip_goes_from_the_first_frame_to_the_last(tmp_path: Path) -> None:
    frames = [np.full((30, 20, 3), k, np.uint8) for k in range(101)]
    strip = np.asarray(film_strip(frames, most=5))
    assert [int(strip[15, 10 + k * (20 + 2), 0]) for k in range(5)] == [0, 25, 50, 75, 100]
    save_film(tmp_path / "film.png", frames[:3])
    with Image.open(tmp_path / "film.png") as picture:
        assert picture.size == (3 * 20 + 2 * 2, 30)


@pytest.mark.parametrize("kind", FILM_FORMATS)
def test_one_frame_is_a_film(tmp_path: Path, kind: str) -> None:
    save_film(tmp_path / "still", square_moves(1), format=kind)
    if kind == "mp4":
        assert len(decoded(tmp_path / "still")) == 1 + 10 + 30
    else:
        with Image.open(tmp_path / "still") as picture:
            assert picture.format == kind.upper().replace("APNG", "PNG")
            assert np.abs(np.asarray(picture.convert("RGB"))[16, 16] - np.array(BLUE, float)).max() <= 24


@pytest.mark.parametrize("kind", FILM_FORMATS)
@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("wrong", [ZeroDivisionError, KeyboardInterrupt])
def test_an_interrupted_film_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, after: int, wrong: type[BaseException]
) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    (out / f"film.{kind}").write_bytes(b"the film of yesterday")

    def breaking() -> Iterator[np.ndarray]:
        yield from square_moves(after)
        raise wrong

    with pytest.raises(wrong):
        save_film(out / f"film.{kind}", breaking())
    assert [each.read_bytes() for each in out.iterdir()] == [b"the film of yesterday"]
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("kind", FILM_FORMATS)
def test_a_long_film_takes_no_more_memory_than_a_short_one(tmp_path: Path, kind: str) -> None:
    alive: weakref.WeakSet[np.ndarray] = weakref.WeakSet()
    most = 0

    class Watched(np.ndarray):
        __hash__ = object.__hash__  # type: ignore[assignment]
        __eq__ = object.__eq__  # type: ignore[assignment]

    def frames() -> Iterator[np.ndarray]:
        nonlocal most
        for frame in square_moves(60, width=640):
            watched = frame.view(Watched)
            alive.add(watched)
            most = max(most, len(alive))
            yield watched
            del watched, frame

    save_film(tmp_path / f"film.{kind}", frames())
    assert 1 <= most <= 4


@pytest.mark.parametrize("fps", [0, -3, 1e-6, float("nan"), float("inf"), 1000])
def test_impossible_rates_are_refused_before_a_frame_is_drawn(tmp_path: Path, fps: float) -> None:
    def never() -> Iterator[np.ndarray]:
        raise AssertionError("drawn")
        yield

    with pytest.raises(ConfigurationError, match="frames a second"):
        save_film(tmp_path / "film.mp4", never(), fps=fps)
    with pytest.raises(ConfigurationError, match="frames a second"):
        save_film(tmp_path / "film.gif", never(), fps=51)
    with pytest.raises(ConfigurationError, match="avi"):
        save_film(tmp_path / "film.avi", never())


@pytest.mark.parametrize("kind", FILM_FORMATS)
@pytest.mark.parametrize(
    "frames",
    [
        [],
        [np.zeros((8, 8, 3))],
        [np.zeros((8, 8), np.uint8)],
        [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 10, 3), np.uint8)],
        [np.zeros((0, 8, 3), np.uint8)],
    ],
    ids=["none", "float", "grey", "growing", "empty"],
)
def test_frames_no_encoder_can_take_are_refused(tmp_path: Path, kind: str, frames: list[np.ndarray]) -> None:
    with pytest.raises(ToydiffError):
        save_film(tmp_path / f"film.{kind}", frames)
    assert not list(tmp_path.iterdir())


def test_what_an_encoder_refuses_is_said_in_our_words(tmp_path: Path) -> None:
    with pytest.raises(ToydiffError, match=r"webp|mp4"):
        save_film(tmp_path / "film.webp", [np.zeros((2, 17000, 3), np.uint8)] * 2)
    with pytest.raises(ToydiffError, match="mp4 could not be encoded"):
        save_film(tmp_path / "film.mp4", [np.zeros((2, 40000, 3), np.uint8)])
    assert not list(tmp_path.iterdir())
