"""What is decided about a film before anything is sampled: its format, its panels, its size, what goes together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from toydiff.cli.sampling import check_sampler_words, with_sampling
from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.files import shown

if TYPE_CHECKING:
    from toydiff.runs import Loaded

TO = ("to", "as", "into")
WHATS = ("reverse", "forward", "training", "score", "interpolate", "live")
STYLES = ("scatter", "density", "arrows", "paths")
COLOURS = ("class", "start", "t")
RATES = {"training": 2.0, "live": 6.0}
"""Frames a second, where 15 would be too fast to see."""
POINTS = {"density": 10_000, "arrows": 300, "paths": 300, "score": 1000, "interpolate": 1000, "live": 1000}
"""Points in a film of a kind or style, where those of other pictures would show too little or too much."""
IMAGES = {"interpolate": 16, "live": 16}
"""Images, each frame of which takes all steps of a sampler."""
REASONS = {
    "forward": "samples nothing",
    "score": "follows no path",
    "training": "has a frame for each checkpoint, which samples as its run does",
}
SIZE_LIMIT = 200e6
BYTES = {"mp4": 0.05, "gif": 0.1, "webp": 0.09, "apng": 0.3, "png": 0.0}
"""Bytes a pixel of each frame: about the middle of what films of points and of images took; a strip is eight frames."""


def words_of(name: str | None, words: list[str], checkpoint: str | None, overlay: bool) -> tuple[str | None, list[str]]:
    """Return NAME and the words after it, as a person means them.

    With --checkpoint the first word is no NAME; and `--overlay data` says what --overlay shows anyway.
    """
    if overlay and name == "data" and words:
        name, words = words[0], words[1:]
    elif overlay and "data" in words:
        words = [word for word in words if word != "data"]
    if name is not None and name.lower() in TO and checkpoint not in (None, name):
        return None, [name, *words]
    return name, words


def format_of(words: list[str], to: str | None) -> str | None:
    """Return the format of "to FORMAT", the words a person types, or of --to."""
    if not words:
        return to
    if len(words) != 2 or words[0].lower() not in TO:
        raise ConfigurationError(
            f"`{shown(' '.join(words))}` is not understood", "For example: toydiff animate swissroll to mp4"
        )
    if to is not None and to != words[1]:
        raise ConfigurationError(f"`to {shown(words[1])}` and --to {shown(to)} disagree", "Give one of the two.")
    return words[1]


def check_one_of(what: str, value: str | None, known: tuple[str, ...]) -> None:
    """Raise ConfigurationError for a word that is not known."""
    if value is not None and value not in known:
        raise ConfigurationError(f"unknown {what} `{shown(value)}`", did_you_mean(value, known))


class Side(NamedTuple):
    """A panel of --side-by-side: the data, or a sampler with its steps."""

    sampler: str | None = None
    steps: int | None = None


def parse_sides(text: str | None) -> list[Side]:
    """Return the panels of --side-by-side, from the left."""
    sides = []
    for part in (text or "").split(",") if text is not None else []:
        sides.append(Side() if part == "data" else Side(*check_sampler_words(part.strip(), None, "--side-by-side")))
    if len(sides) > 6:
        raise ConfigurationError(f"--side-by-side of {len(sides)} panels", "A film shows up to 6 beside one another.")
    return sides


def parse_rate(fps: float | None, kind: str, what: str) -> float:
    """Return the frames a second; ConfigurationError for a rate no player keeps."""
    rate, most = RATES.get(what, 15.0) if fps is None else fps, 50 if kind == "gif" else 240
    if not 0.1 <= rate <= most:
        raise ConfigurationError(
            f"{rate:g} frames a second for {kind}", "Take a rate from 0.1 up to 50 for gif, 240 otherwise."
        )
    return rate


def parse_hold(text: str | None, kind: str) -> tuple[float, float]:
    """Return for how many seconds the first and the last frame stand still.

    An mp4, at whose end players stop by themselves, has just the frames asked for unless told otherwise.
    """
    if text is None:
        return (0.0, 0.0) if kind == "mp4" else (0.5, 1.5)
    try:
        first, last = (float(part) for part in text.split(","))
    except ValueError:
        first, last = -1.0, -1.0
    if not (0 <= first <= 60 and 0 <= last <= 60):
        raise ConfigurationError(
            f"`--hold {shown(text)}` is not two times in seconds",
            "From 0 to 60, the first frame's and the last's: 0.5,2",
        )
    return first, last


def parse_strength(strength: float | None) -> float:
    """Return the time to which --what live noises."""
    if strength is not None and not 0 < strength <= 1:
        raise ConfigurationError(
            f"a strength of {strength:g}", "It lies in (0, 1]: near 0 little changes, at 1 nothing is kept."
        )
    return 0.5 if strength is None else strength


def refuse_idle(what: str, **given: object) -> None:
    """Raise ConfigurationError for options that do nothing in a film of this kind."""
    idle = {
        "forward": (
            "sampler",
            "steps",
            "spacing",
            "eta",
            "guidance",
            "guidance_interval",
            "guide",
            "label",
            "clip",
            "set",
        ),
        "score": ("sampler", "steps", "spacing", "eta", "clip", "set", "style", "colour", "side_by_side"),
        "training": ("frames",),
    }.get(what, ())
    if extra := [name for name in idle if given.get(name) not in (None, [], False)]:
        raise ConfigurationError(
            f"--what {what} {REASONS[what]}: {', '.join('--' + name.replace('_', '-') for name in extra)} would have "
            "no effect",
            "Leave them out.",
        )
    for name, only in (("strength", "live"), ("interpolate", "interpolate")):
        if given.get(name) is not None and what != only:
            raise ConfigurationError(f"--{name} belongs to another film", f"Add --what {only}.")
    sides = given.get("side_by_side")
    if isinstance(sides, str) and sides != "data":
        if what != "reverse":
            raise ConfigurationError(
                f"--side-by-side {shown(sides)}: only on the way from noise do samplers differ",
                f"With --what {what} there can be: --side-by-side data",
            )
        if given.get("sampler") is not None or given.get("steps") is not None:
            raise ConfigurationError("--side-by-side names samplers, and so do --sampler and --steps", "Give one.")
    style, colour = given.get("style"), given.get("colour")
    if style == "arrows" and what not in ("reverse", "forward"):
        raise ConfigurationError(
            f"arrows go from xₜ to the estimate of x₀, and --what {what} shows samples", "Take --style paths."
        )
    if style == "density" and colour is not None:
        raise ConfigurationError("the colours of a density say how dense it is", "Leave --colour out.")
    if colour == "t" and what not in ("reverse", "forward"):
        raise ConfigurationError(f"nothing in --what {what} has a time", "Take --colour start, or class.")


def check_points(loaded: Loaded, what: str, **given: object) -> None:
    """Raise ConfigurationError for what is made of points alone, or of points in the plane, or of classes."""
    data, name = loaded.data, shown(loaded.name)
    if data.pictorial:
        if given.get("overlay"):
            raise ConfigurationError(f"--overlay shows data behind points, and `{name}` makes images", "Leave it out.")
        if extra := [key for key in ("style", "colour") if given.get(key) is not None]:
            raise ConfigurationError(f"--{extra[0]} is for points, and `{name}` makes images", "Leave it out.")
    if what == "score" and data.shape != (2,):
        raise ConfigurationError(
            f"a score is drawn in the plane, and a sample of `{name}` has shape {data.shape}", "Take --what reverse."
        )
    if given.get("colour") == "class" and not (loaded.conditional or (what == "forward" and data.label_names)):
        raise ConfigurationError(f"`{name}` knows no classes", "Take --colour start, or t.")


def film_count(loaded: Loaded, asked: int | None, size: int, what: str, style: str | None, titled: bool) -> int:
    """Return how many samples a film shows: those asked for, else as many as suit it, if there is room."""
    if not loaded.data.pictorial:
        return asked or POINTS.get(what) or POINTS.get(style or "") or loaded.config.shown
    from toydiff.viz.frames import film_room

    return asked or max(1, min(IMAGES.get(what, loaded.config.shown), film_room(loaded.data.shape, size, titled)))


def check_grid(loaded: Loaded, count: int, size: int, titled: bool) -> None:
    """Raise ConfigurationError for more images than a frame has room for."""
    if loaded.data.pictorial:
        from toydiff.viz.frames import film_grid

        film_grid(count, loaded.data.shape, size, titled)


def with_steps(loaded: Loaded, frames: int, sampler: str | None, steps: int | None, **options: object) -> Loaded:
    """Return the model sampling in one step a frame, as far as its schedule has steps, unless told otherwise."""
    knots = loaded.schedule.knot_times
    start = loaded.config.sampling.start or 1.0
    most = frames - 1 if knots is None else min(frames - 1, round(start * len(knots)))
    return with_sampling(loaded, sampler=sampler, steps=most if steps is None else steps, **options)  # type: ignore[arg-type]


def check_bytes(out: Path, kind: str, pixels: int, frames: int, agreed: bool) -> None:
    """Raise ConfigurationError for a film that would be larger than most disks and mailboxes like, unless agreed."""
    estimate = BYTES[kind] * pixels * frames
    if estimate > SIZE_LIMIT and not agreed:
        raise ConfigurationError(
            f"{shown(out)} would have about {estimate / 1e6:,.0f} MB",
            "Say --yes if that is what you want; or take fewer --frames, a smaller --size"
            + ("." if kind == "mp4" else ", or mp4."),
        )
