"""What a film shows: each kind hands its shots one by one to whoever draws them, and keeps none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from toydiff.cli.sampling import described
from toydiff.denoiser import Denoise, scaled_score
from toydiff.editing import Edit
from toydiff.oracle import ExactDenoiser
from toydiff.samplers import Frame
from toydiff.training import streams
from toydiff.viz.frames import Panel, film_limits
from toydiff.viz.moving import FIELD, Shot, grid, squashed
from toydiff.viz.process import level_caption

if TYPE_CHECKING:
    from toydiff.runs import Loaded

NOISIEST, CLEANEST = -4.0, 6.0
"""Log-SNR at which a film of the score begins and ends: sigma/alpha from 7.4 to 0.05."""


@dataclass(frozen=True)
class Cast:
    """Whom a film is about: the seeds of its samples, their labels, and how they are sampled.

    `options` are those of `Loaded.frames` and `trajectory`: guidance, interval, guide, clip, device.
    """

    seeds: Tensor
    label: str | Tensor | None
    options: dict[str, Any] = field(default_factory=dict)
    evaluations: list[int] = field(default_factory=list)
    """How often each way of sampling asked the denoiser, when it is done."""

    def labels(self, loaded: Loaded) -> Tensor | None:
        """Return the label of every sample, if the model takes any."""
        return self.label if isinstance(self.label, Tensor) else loaded.labels(self.label, self.seeds)


def data_panel(loaded: Loaded, count: int, frames: int) -> Panel:
    """Return the data, standing still."""
    real = loaded.real(count, torch.Generator().manual_seed(0))
    label = real.label if loaded.conditional else None
    return Panel("data", repeat(Shot(real.x[:count], ""), frames), None if label is None else label[:count], True)


def forward(loaded: Loaded, seeds: Tensor, frames: int) -> Panel:
    """Return x_t = alpha x_0 + sigma eps from data to noise, one eps a sample; arrows lead back to x_0."""
    x0, labels = loaded.real(len(seeds), streams.generator(int(seeds[0]), "film"))
    again = torch.arange(len(seeds)) % len(x0)  # the points of "exact:moons@3" take turns
    x0, labels = x0[again], None if labels is None else labels[again]
    model_x0 = (x0 - loaded.shift) / loaded.scale
    eps = streams.normal(loaded.data.shape, seed=seeds, stream="film")

    def shots() -> Iterator[Shot]:
        for t in torch.linspace(0, 1, frames, dtype=torch.float64):
            level = loaded.schedule(t)
            yield Shot(loaded.to_data(level.alpha * model_x0 + level.sigma * eps), level_caption(level), x0, level)

    return Panel("", shots(), labels)


def reverse(loaded: Loaded, cast: Cast, frames: int, linked: bool = False) -> Panel:
    """Return x_t from noise to samples, and where the denoiser sees each going, in `frames` shots at most.

    They are spread evenly over the steps; `linked` to a clock that runs evenly from the first time to 0, a film of few
    steps waits for one of many.
    """
    levels, labels = loaded.config.levels(), cast.labels(loaded)
    steps = len(levels) - 1
    picks = by_time([float(level.t) for level in levels], frames) if linked else evenly(steps + 1, frames)

    def shots() -> Iterator[Shot]:
        film = loaded.trajectory(cast.seeds, label=labels, evaluations=cast.evaluations, **cast.options)
        for k, frame in enumerate(looking_ahead(film)):
            shot = Shot(frame.x, f"{level_caption(frame.level)},  step {k} of {steps}", frame.x0, frame.level)
            yield from repeat(shot, picks.count(k))

    sampling = loaded.config.sampling
    return Panel(f"{sampling.sampler.kind}, {steps} steps" if linked else "", shots(), labels)


def looking_ahead(film: Iterator[Frame]) -> Iterator[Frame]:
    """Give each frame the x̂_0 that is made from its x; the last one, of which none is made, keeps its own."""
    before = next(film)
    for frame in film:
        yield before._replace(x0=frame.x0)
        before = frame
    yield before


def evenly(count: int, frames: int) -> list[int]:
    """Return which of `count` shots are seen in a film of at most `frames`, the first and the last among them."""
    if count <= frames:
        return list(range(count))
    return [round(k * (count - 1) / (frames - 1)) for k in range(frames)]


def by_time(times: Sequence[float], frames: int) -> list[int]:
    """Return which shot each of the frames sees, when the clock runs evenly from the first time to the last: the one
    it has come to."""
    first, last = times[0], times[-1]
    clock = [first + (last - first) * k / (frames - 1) for k in range(frames)]
    return [sum(time >= now - 1e-9 for time in times) - 1 for now in clock]


def training(checkpoints: Sequence[tuple[int, Callable[[], Loaded]]], cast: Cast) -> Panel:
    """Return the samples of each checkpoint, (step, how to load it), all from the same noise."""
    labels = cast.labels(checkpoints[0][1]())

    def shots() -> Iterator[Shot]:
        for step, load in checkpoints:
            frames, _ = load().frames(cast.seeds, label=labels, **cast.options)
            yield Shot(frames[-1].x, f"after {step:,} training steps")

    return Panel("", shots(), labels)


def interpolation(loaded: Loaded, cast: Cast, other: Tensor, frames: int) -> Panel:
    """Return the samples of the noise on the way from the cast's seeds to `other` ones: see `editing.between`."""
    begin, end = (f"{first}–{last}" if last > first else f"{first}" for first, last in map(_ends, (cast.seeds, other)))

    def shots() -> Iterator[Shot]:
        for weight in torch.linspace(0, 1, frames).tolist():
            edit = Edit(towards=other, weight=torch.full((len(other),), weight))
            made, _ = loaded.frames(cast.seeds, label=cast.label, edit=edit, **cast.options)
            yield Shot(made[-1].x, f"seed {begin} → {end},  {weight:.0%} of the way")

    return Panel("", shots(), cast.label if isinstance(cast.label, Tensor) else None)


def _ends(seeds: Tensor) -> tuple[int, int]:
    return int(seeds.min()), int(seeds.max())


def live(loaded: Loaded, cast: Cast, strength: float, frames: int) -> Panel:
    """Return samples that are noised to the time `strength` and denoised, again and again; each round has new noise."""
    level = loaded.config.levels(strength)[0]
    label = "none" if cast.label is None and loaded.conditional else cast.label
    count = len(cast.seeds)

    def shots() -> Iterator[Shot]:
        made, _ = loaded.frames(cast.seeds, label=label, **cast.options)
        yield Shot(made[-1].x, "as sampled")
        for k in range(1, frames):
            edit = Edit(init=made[-1].x, strength=strength)
            made, _ = loaded.frames(cast.seeds + k * count, label=label, edit=edit, **cast.options)
            yield Shot(made[-1].x, f"round {k}:  noise to {level_caption(level)},  and back")

    return Panel("", shots(), label if isinstance(label, Tensor) else None)


def score(loaded: Loaded, cast: Cast, frames: int) -> list[Panel]:
    """Return the score ∇ log p_t on a grid at falling noise, over data with that noise: learned, and beside it exact.

        σ_t ∇ log p_t(x) = (alpha E[x_0 | x_t = x] − x) / sigma        (Tweedie; Efron 2011)

    An arrow has that direction, and the length tanh(½ |σ_t ∇ log p_t|) of one cell of the grid. Guided, a model has no
    exact counterpart.
    """
    labels = None if cast.label is None else cast.labels(loaded)
    label = None if labels is None else labels[:1]  # None: of the whole distribution
    x0, classes = loaded.real(len(cast.seeds), streams.generator(int(cast.seeds[0]), "film"))
    if label is not None and classes is not None and (classes == label).any():
        x0 = x0[classes == label]
    model_x0 = (x0 - loaded.shift) / loaded.scale
    eps = streams.normal(loaded.data.shape, seed=torch.arange(len(x0)), stream="film")
    limits = film_limits(loaded.data)
    at, cell = torch.from_numpy(grid(limits)).float(), (limits[1] - limits[0]) / FIELD
    x = (at - loaded.shift) / loaded.scale
    levels = [loaded.schedule(loaded.schedule.time_of(v)) for v in torch.linspace(NOISIEST, CLEANEST, frames)]

    def shots(denoise: Denoise) -> Iterator[Shot]:
        for level in levels:
            with torch.no_grad():
                pull = scaled_score(denoise, x.to(loaded.device), level)
            noisy = loaded.to_data(level.alpha * model_x0 + level.sigma * eps)
            yield Shot(noisy, level_caption(level), squashed(pull, cell), level)

    options = {key: value for key, value in cast.options.items() if key != "device"}
    own = shots(loaded.denoise(None if label is None else label.to(loaded.device), **options))
    if isinstance(loaded.denoiser, ExactDenoiser):
        return [Panel("", own)]
    if (exact := loaded.exact) is None or options.get("guidance", 1) != 1:
        return [Panel("", own)]
    return [Panel("learned", own), Panel("exact", shots(partial(exact, label=label)))]


class Staged(NamedTuple):
    """A film about to run: its panels, how many frames each has, and in words what they show."""

    panels: list[Panel]
    length: int
    words: str


def staged(
    what: str,
    loaded: Loaded,
    cast: Cast,
    length: int,
    sides: Sequence[Loaded | None],
    checkpoints: Sequence[tuple[int, Callable[[], Loaded]]],
    ends: tuple[int, int] | None,
    strength: float,
) -> Staged:
    """Return the film `what` of at most `length` frames.

    `sides` are the panels beside one another: models that sample in different ways, or None for the data; beside the
    data alone there is the film itself. `ends` are the seeds between which to interpolate, the next ones unless given.
    """
    count, words = len(cast.seeds), ""
    if any(sides):
        panels = [
            data_panel(loaded, count, length) if side is None else reverse(side, cast, length, True) for side in sides
        ]
        return Staged(panels, length, " beside ".join(described(side) if side else "data" for side in sides))
    if what == "score":
        return Staged(score(loaded, cast, length), length, "the score from high noise to low")
    if what == "forward":
        main, words = forward(loaded, cast.seeds, length), "the forward process"
    elif what == "training":
        main, words = training(checkpoints, cast), f"of {length} checkpoints from the same noise"
    elif what == "interpolate":
        first = int(cast.seeds[0])
        begin, end = ends or (first, first + count)
        main, words = (
            interpolation(loaded, cast, cast.seeds + (end - begin), length),
            f"from seed {begin} to seed {end}",
        )
    elif what == "live":
        main, words = live(loaded, cast, strength, length), f"noised to t = {strength:g} and denoised in each"
    else:
        length = min(length, len(loaded.config.levels()))
        main = reverse(loaded, cast, length)
    if sides:
        titled = main._replace(title="data with noise" if what == "forward" else "samples")
        return Staged([*(data_panel(loaded, count, length) for _ in sides), titled], length, words)
    return Staged([main], length, words)
