"""Points that move: one figure on which each frame draws dots, a density, arrows, trails or a field anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from toydiff.errors import ToydiffError
from toydiff.schedules import Level
from toydiff.viz.points import dots
from toydiff.viz.process import planar, time_colours
from toydiff.viz.style import (
    Array,
    ArrayLike,
    Limits,
    angle_colours,
    as_points,
    dot_alpha,
    dot_area,
    set_limits,
    snapshot,
    theme,
)

MOST_DOTS = 20_000
"""A film draws this many points at most, evenly chosen: more would only turn the same pixels the same colour."""
BINS, BLUR = 160, 1.4
"""Bins of a density across and up, and how many of them it is smoothed over."""
FIELD = 24
"""Arrows of a field across and up."""
SMALL, LEGIBLE = 8.0, 4.5
"""Points of the words in small frames, where they fit; and those below which nobody could read them."""


class Shot(NamedTuple):
    """What a panel of a film shows at one moment: x (N, …) in data units, the words under it, and where it is going.

    x0 (N, …) is where arrows from x end; of a field, its (FIELD², 2) arrows. `level` is the noise on x, if there is any
    to speak of: the colour of what is coloured by t.
    """

    x: ArrayLike
    caption: str
    x0: ArrayLike | None = None
    level: Level | None = None


class Stage:
    """One figure for the whole film: what stands still is drawn once, what moves on top of it in every frame."""

    def __init__(self, limits: Limits, size: int, overlay: ArrayLike | None, title: str) -> None:
        inches = (size + 0.01) / 100  # or what is restored before each frame ends a pixel short of the edge
        self.canvas = FigureCanvasAgg(Figure(figsize=(inches, inches), dpi=100, facecolor=theme().paper))
        self.zoom, self.limits = size / 720, limits
        self.ax = ax = self.canvas.figure.add_axes((0, 0, 1, 1))
        ax.axis("off")
        set_limits(ax, limits)
        plate = {"facecolor": theme().paper, "edgecolor": "none", "alpha": 0.85, "boxstyle": "round,pad=0.25"}
        text: dict[str, Any] = {"transform": ax.transAxes, "color": theme().ink, "bbox": plate, "animated": True}
        larger, smaller = (max(points * self.zoom, SMALL) for points in (21, 19))
        self.heading = ax.text(0.5, 0.965, title, ha="center", va="top", fontsize=larger, **text)
        self._fit(self.heading, title)
        if overlay is not None:
            dots(ax, planar(overlay), theme().hairline, size=1.5 * self.zoom**2)
        self.caption = ax.text(0.03, 0.03, "", ha="left", va="bottom", fontsize=smaller, **text)
        self.canvas.draw()  # type: ignore[no-untyped-call]
        self._copy()

    def lay(self, artist: Artist) -> None:
        """Leave the artist where it is for the rest of the film."""
        self.canvas.restore_region(self.background)  # type: ignore[no-untyped-call]
        self.ax.draw_artist(artist)
        self._copy()

    def shoot(self, artists: Iterable[Artist], caption: str) -> NDArray[np.uint8]:
        """Return the frame in which the artists are drawn over what stands still."""
        self._fit(self.caption, caption)
        self.canvas.restore_region(self.background)  # type: ignore[no-untyped-call]
        for artist in (*artists, self.caption, self.heading):
            self.ax.draw_artist(artist)
        return snapshot(self.canvas)

    def _fit(self, text: Text, words: str) -> None:
        """Write words smaller until they fit into the frame, and leave out what would be illegible."""
        canvas, points = self.canvas.get_renderer(), float(text.get_fontsize())  # type: ignore[no-untyped-call]
        text.set_text(f"{words}000")  # numbers may get longer: their size should not change in the film
        while points >= LEGIBLE and text.get_window_extent(canvas).width > 0.94 * 720 * self.zoom:
            points -= 0.25  # not by the ratio of widths: letters have whole pixels
            text.set_fontsize(points)
        text.set(text=words, visible=points >= LEGIBLE)

    def _copy(self) -> None:
        self.background = self.canvas.copy_from_bbox(self.canvas.figure.bbox)  # type: ignore[no-untyped-call]


class Dots:
    """A dot a point, in random order: classes would cover one another; the same in every frame: no dot flickers.

    A point keeps its colour through the film: `colour` (N, 3), or by the direction in which it starts; or all have
    that of their time, "t".
    """

    def __init__(self, stage: Stage, first: Array, colour: Array | str | None) -> None:
        count, self.by_time = len(first), isinstance(colour, str)
        self.chosen = np.random.default_rng(0).permutation(count)[:MOST_DOTS]
        shade = angle_colours(first) if colour is None or self.by_time else np.broadcast_to(colour, (count, 3))
        self.times, self.shade, shown = time_colours(), shade[self.chosen], len(self.chosen)
        self.dots = stage.ax.scatter(
            np.zeros(shown), np.zeros(shown), s=1.8 * stage.zoom**2 * dot_area(shown),
            c=self.shade, alpha=dot_alpha(shown), linewidths=0, animated=True,
        )  # fmt: skip

    def now(self, shot: Shot) -> Array:
        """Return the (M, 3) colours of the dots in this shot."""
        if not self.by_time or shot.level is None:
            return self.shade
        return np.broadcast_to(np.array(self.times(float(shot.level.t)))[:3], self.shade.shape)

    def __call__(self, stage: Stage, points: Array, shot: Shot) -> list[Artist]:
        self.dots.set_offsets(points[self.chosen])
        if self.by_time:
            self.dots.set_facecolor([(*rgb, dot_alpha(len(self.chosen))) for rgb in self.now(shot)])
        return [self.dots]


class Arrows(Dots):
    """Dots, and an arrow from each to its x_0."""

    def __init__(self, stage: Stage, first: Array, colour: Array | str | None) -> None:
        super().__init__(stage, first, colour)
        self.quiver = _quiver(stage, np.zeros((len(self.chosen), 2)), self.shade, alpha=0.7)

    def __call__(self, stage: Stage, points: Array, shot: Shot) -> list[Artist]:
        drawn = super().__call__(stage, points, shot)
        if shot.x0 is None:
            return drawn
        start, end = points[self.chosen], planar(shot.x0)[self.chosen]
        self.quiver.set_offsets(start)
        self.quiver.set_UVC(*(end - start).T)
        if self.by_time:
            self.quiver.set_facecolor(list(map(tuple, self.now(shot))))
        return [self.quiver, *drawn]


class Paths(Dots):
    """Dots, and behind each the way it has come."""

    def __init__(self, stage: Stage, first: Array, colour: Array | str | None) -> None:
        super().__init__(stage, first, colour)
        self.before: Array | None = None
        crowd = max(len(self.chosen), 1) ** 0.5
        width, alpha = float(np.clip(22 / crowd, 0.5, 1.6)), float(np.clip(7 / crowd, 0.12, 0.7))
        self.trail = LineCollection([], linewidths=width * stage.zoom, alpha=alpha, animated=True)
        stage.ax.add_collection(self.trail, autolim=False)

    def __call__(self, stage: Stage, points: Array, shot: Shot) -> list[Artist]:
        here = points[self.chosen]
        if self.before is not None:
            self.trail.set_segments(list(np.stack([self.before, here], 1)))
            self.trail.set_color(list(map(tuple, self.now(shot))))
            stage.lay(self.trail)
        self.before = here
        return super().__call__(stage, points, shot)


class Density:
    """How many points lie where, smoothed: the root of their share, so that what is thin is seen as well.

    The colours mean the same in every frame: the darkest is the `peak` share of a bin.
    """

    def __init__(self, stage: Stage, peak: float) -> None:
        paper, first, ink = theme().paper, theme().blue, theme().ink
        shades = [(*to_rgb(paper), 0.0), (*to_rgb(paper), 0.6), (*to_rgb(first), 1.0), (*to_rgb(ink), 1.0)]
        self.map = LinearSegmentedColormap.from_list("density", list(zip((0, 0.06, 0.6, 1), shades, strict=True)))
        self.peak = peak
        self.image = stage.ax.imshow(
            np.zeros((BINS, BINS)), cmap=self.map, vmin=0, vmax=1, extent=stage.limits, origin="lower",
            interpolation="bilinear", animated=True,
        )  # fmt: skip

    def __call__(self, stage: Stage, points: Array, shot: Shot) -> list[Artist]:
        self.image.set_data(np.sqrt(shares(points, stage.limits) / self.peak).clip(0, 1))
        return [self.image]


class Field:
    """Arrows on a grid that stands still, over the points that it moves."""

    def __init__(self, stage: Stage, first: Array, colour: Array | str | None) -> None:
        shade = np.broadcast_to(to_rgb(theme().data), (len(first), 3)) if colour is None else colour
        self.dots = Dots(stage, first, shade)
        self.quiver = _quiver(stage, grid(stage.limits), np.array([to_rgb(theme().blue)]), alpha=1.0, pivot="mid")

    def __call__(self, stage: Stage, points: Array, shot: Shot) -> list[Artist]:
        self.quiver.set_UVC(*planar(shot.x0 if shot.x0 is not None else np.zeros((FIELD**2, 2))).T)
        return [*self.dots(stage, points, shot), self.quiver]


def points_film(
    shots: Iterable[Shot],
    limits: Limits,
    style: str = "scatter",
    colour: Array | str | None = None,
    size: int = 720,
    overlay: ArrayLike | None = None,
    title: str = "",
    peak: float = 0.0,
) -> Iterator[NDArray[np.uint8]]:
    """Yield a `size` × `size` frame for each shot of (N, D) points, its caption in the lower left corner,
    on a plate of paper, for points run under it.

    style: scatter, density (darkest at a share of `peak` a bin, of the first shot's if 0), arrows, paths, or field.
    `colour` is (N, 3), "t", or None: by the direction in which a point starts. `overlay` (M, D) lies still in grey
    behind, the data for example. D = 1 is spread out in height, with limits from −1.2 to 1.2; of D > 2 the first two
    coordinates are drawn. `title` is written at the top. Raises ToydiffError when the number of points changes.
    """
    stage = Stage(limits, size, overlay, title)
    shots = iter(shots)
    if (opening := next(shots, None)) is None:
        return
    first, count = as_points(opening.x), len(opening.x)
    painter: Dots | Density | Field
    if style == "density":
        painter = Density(stage, peak or float(shares(planar(first), limits).max()) or 1.0)
    else:
        painters: dict[str, type[Dots | Field]] = {"scatter": Dots, "arrows": Arrows, "paths": Paths, "field": Field}
        painter = painters[style](stage, first, colour)
    for shot in chain([opening], shots):
        if len(shot.x) != count:
            raise ToydiffError(f"a film of {count} points got a frame of {len(shot.x)}", "Keep the number of points.")
        yield stage.shoot(painter(stage, planar(shot.x), shot), shot.caption)


def shares(points: Array, limits: Limits) -> Array:
    """Return (BINS, BINS) shares of (N, 2) points, rows upwards, smoothed by a Gaussian of BLUR bins.

    H ← G H Gᵀ, G_ij ∝ exp(−(i − j)²/2·BLUR²).
    """
    points = points[np.isfinite(points).all(axis=1)]
    edges = np.linspace(limits[2], limits[3], BINS + 1), np.linspace(limits[0], limits[1], BINS + 1)
    counts = np.histogram2d(points[:, 1], points[:, 0], bins=edges)[0] / max(len(points), 1)
    away = np.arange(BINS)
    smooth = np.exp(-((away[:, None] - away) ** 2) / (2 * BLUR**2))
    smooth /= smooth.sum(axis=1, keepdims=True)
    out: Array = smooth @ counts @ smooth.T
    return out


def grid(limits: Limits, count: int = FIELD) -> Array:
    """Return (count², 2) points evenly within the limits: where a field has its arrows."""
    across, up = (low + (np.arange(count) + 0.5) / count * (high - low) for low, high in (limits[:2], limits[2:]))
    return np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)


def squashed(arrows: ArrayLike, cell: float) -> Array:
    """Return (N, 2) arrows with their directions, and lengths tanh(½ |arrow|) · cell: they fit the cells of a grid."""
    arrows = as_points(arrows)
    length = np.linalg.norm(arrows, axis=1, keepdims=True)
    out: Array = arrows / np.maximum(length, 1e-12) * np.tanh(length / 2) * cell
    return out


def _quiver(stage: Stage, at: Array, colour: Array, alpha: float, pivot: str = "tail") -> Any:
    """Return arrows whose lengths are in the units of the data: axes are equal, so that "uv" is the angle seen."""
    return stage.ax.quiver(
        *at.T, np.zeros(len(at)), np.zeros(len(at)), color=list(map(tuple, colour)), alpha=alpha,
        angles="uv", scale_units="x", scale=1, units="width", width=0.0024, headwidth=5.5, headlength=7,
        headaxislength=6.5, minlength=0.5, animated=True, pivot=pivot,
    )  # fmt: skip
