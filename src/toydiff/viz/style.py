"""One theme for every picture, on light paper or dark: colours that colour-blind readers can tell apart, legible text.

Figures are plain `Figure` objects on an Agg canvas: no window, no global state, nothing to close.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

Array: TypeAlias = NDArray[Any]
ArrayLike: TypeAlias = Array | torch.Tensor
Limits: TypeAlias = tuple[float, float, float, float]
"""x_low, x_high, y_low, y_high."""


class Theme(NamedTuple):
    """Colours for one kind of paper: `palette` are those of classes and curves, strongest first."""

    paper: str
    ink: str
    muted: str
    hairline: str
    palette: tuple[str, ...]
    data: str
    """Real data beside samples, which take the palette's first."""
    none: str
    """The label "none"."""
    lightness: float
    """Of hues around the circle, in OKLab."""

    @property
    def blue(self) -> str:
        return self.palette[0]

    @property
    def vermilion(self) -> str:
        return self.palette[1]

    @property
    def green(self) -> str:
        return self.palette[2]


# Okabe & Ito 2008, whom colour-blind readers can tell apart: their yellow vanishes on white and their blue on black
LIGHT = Theme(
    "#ffffff", "#1f2933", "#6b7683", "#d5dae0",
    ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#4b4b4b"),
    data="#5f6b78", none="#a3abb4", lightness=0.64,
)  # fmt: skip
DARK = Theme(
    "#12161b", "#e8ebee", "#9fa9b4", "#3b444e",
    ("#56b4e9", "#e8702a", "#12b886", "#f0e442", "#d98bb8", "#e69f00", "#c3c9d0"),
    data="#929eab", none="#6f7a86", lightness=0.74,
)  # fmt: skip
THEMES = {"light": LIGHT, "dark": DARK}
_theme: ContextVar[Theme] = ContextVar("theme", default=LIGHT)


def theme() -> Theme:
    """Return the colours that everything is drawn with here and now."""
    return _theme.get()


@contextmanager
def themed(name: str) -> Iterator[None]:
    """Draw with the theme "light" or "dark" in the block; light everywhere else."""
    before = _theme.set(THEMES[name])
    try:
        yield
    finally:
        _theme.reset(before)


DPI = 150
TITLE, TEXT, SMALL = 14, 12, 11
"""Font sizes in points: at 150 dpi the smallest is 23 pixels high."""


def as_array(x: ArrayLike) -> Array:
    """Return `x` as a numpy array on the CPU; bfloat16 and half become float32."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        return (x.float() if x.is_floating_point() and x.itemsize < 4 else x).numpy()
    return np.asarray(x)


def as_points(x: ArrayLike) -> Array:
    """Return `x` as (N, D) float64; (N,) is read as N points on a line, (N, …) is flattened."""
    points = as_array(x).astype(np.float64)
    return points.reshape(len(points), -1) if points.size else points.reshape(0, 2)


def new_figure(width: float, height: float, dpi: float = DPI) -> Figure:
    """Return an empty figure of `width` × `height` inches with its own Agg canvas."""
    figure = Figure(
        figsize=(width, height), dpi=dpi, facecolor=theme().paper, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    )
    FigureCanvasAgg(figure)
    return figure


def snapshot(canvas: FigureCanvasAgg) -> NDArray[np.uint8]:
    """Return what is drawn on the canvas as (H, W, 3) uint8, copied."""
    return np.array(np.asarray(canvas.buffer_rgba())[..., :3])  # type: ignore[no-untyped-call]


def pixels(picture: Figure | Image.Image) -> NDArray[np.uint8]:
    """Return the picture, drawn, as (H, W, 3) uint8."""
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    figure, canvas = picture, picture.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    if figure.get_layout_engine() is not None:
        # twice: ticks, and so the room labels need, depend on the size that the layout finds; then leave it alone
        figure.draw_without_rendering()
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    canvas.draw()  # type: ignore[no-untyped-call]
    return snapshot(canvas)


def dress(ax: Axes, title: str = "", xlabel: str = "", ylabel: str = "", ticks: int = 5) -> None:
    """Give axes the theme: two hairlines, few ticks, quiet numbers."""
    ax.set_facecolor("none")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(theme().hairline)
    ax.tick_params(colors=theme().muted, labelsize=SMALL, color=theme().hairline, which="both")
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "linear":
            axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    ax.set_title(title, fontsize=TITLE, color=theme().ink, pad=8)
    ax.set_xlabel(xlabel, fontsize=TEXT, color=theme().muted)
    ax.set_ylabel(ylabel, fontsize=TEXT, color=theme().muted)


def frame_only(ax: Axes) -> None:
    """Leave a hairline frame and no numbers: for small panels that share limits."""
    ax.set(xticks=[], yticks=[], facecolor="none")
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(theme().hairline)


def set_limits(ax: Axes, limits: Limits) -> None:
    """Fix the limits and make one unit as long across as up."""
    ax.set_xlim(limits[0], limits[1])
    ax.set_ylim(limits[2], limits[3])
    ax.set_aspect("equal", adjustable="box")


def interval(*values: ArrayLike, margin: float = 0.12, tail: float = 0.002) -> tuple[float, float]:
    """Return (low, high) holding every array's central 1 − 2·tail, with a margin on either side; finite, low < high."""
    ends = []
    for each in values:
        finite = as_array(each).astype(np.float64).ravel()
        finite = finite[np.isfinite(finite)]
        if finite.size:
            ends.append(np.quantile(finite, [tail, 1 - tail]))
    if not ends:
        return -1.0, 1.0
    low, high = float(min(low for low, _ in ends)), float(max(high for _, high in ends))
    room = margin * (high - low) or margin * abs(low) or 1.0
    return low - room, high + room


def robust_limits(*points: ArrayLike, margin: float = 0.12, pair: tuple[int, int] = (0, 1)) -> Limits:
    """Return a square that holds all but the outermost 0.4 % of each set of (N, D) points along either axis.

    Quantiles, so that one stray sample does not shrink the picture; each set counts by itself, whatever its size.
    """
    columns = [as_points(each) for each in points]
    box = [interval(*[each[:, k] for each in columns if each.shape[1] > k], margin=margin) for k in pair]
    half = max(high - low for low, high in box) / 2
    (x_mid, y_mid) = ((low + high) / 2 for low, high in box)
    return x_mid - half, x_mid + half, y_mid - half, y_mid + half


def hue_colours(turns: Array) -> Array:
    """Return (N, 3) colours around a circle of near-constant lightness: turns 0 and 1 are the same colour.

    Lightness and chroma are set in OKLCh (Ottosson 2020), so no hue shouts; lightness still swings a little,
    which is what a colour-blind eye can follow.
    """
    angle = 2 * np.pi * np.asarray(turns, dtype=np.float64)
    lightness = theme().lightness + 0.09 * np.cos(angle - 1.9)
    a, b = 0.135 * np.cos(angle), 0.135 * np.sin(angle)
    lms = (lightness[:, None] + np.stack([a, b], 1) @ [[0.3963, -0.1056, -0.0895], [0.2158, -0.0639, -1.2915]]) ** 3
    linear = lms @ [[4.0767, -1.2684, -0.0042], [-3.3077, 2.6098, -0.7034], [0.2310, -0.3413, 1.7076]]
    linear = linear.clip(0, 1)
    rgb: Array = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb


def angle_colours(x: ArrayLike) -> Array:
    """Return (N, 3) colours by the direction in which each of (N, D) points lies: follow a point through a film."""
    return hue_colours(angle_turns(x))


def angle_turns(x: ArrayLike) -> Array:
    """Return the direction (N,) in which each of (N, D) points lies from their middle, in turns."""
    points = as_points(x)
    finite = np.asarray(np.isfinite(points).all(axis=1))
    centre = points[finite].mean(axis=0) if finite.any() else 0.0
    points = np.where(finite[:, None], points - centre, 0.0)
    if points.shape[1] == 1:  # no angle on a line: by rank, over half the circle, so that the ends differ
        ranks: Array = points[:, 0].argsort().argsort() / max(len(points), 1) / 2
        return ranks
    turns: Array = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi)
    return turns


def class_palette(classes: int) -> Array:
    """Return (classes + 1, 3) colours, grey for "none" the last: the theme's, or hues if there are more classes."""
    known = np.array([to_rgb(colour) for colour in (*theme().palette, theme().none)])
    colours = known[:classes] if classes < len(known) else hue_colours(np.arange(classes) / classes)
    return np.concatenate([colours, known[-1:]])


def class_colours(label: ArrayLike, classes: int | None = None) -> Array:
    """Return (N, 3) colours for integer labels 0 … classes − 1, and `classes` for "none"."""
    index = as_array(label).astype(np.int64).ravel()
    return class_palette(int(index.max(initial=0)) + 1 if classes is None else classes)[index]


def dot_area(n: int) -> float:
    """Return the area of a dot, in points², that suits `n` of them."""
    return float(np.clip(300 / max(n, 1) ** 0.5, 1.0, 30.0))


def dot_alpha(n: int) -> float:
    """Return the opacity that lets `n` overlapping dots still show where they are dense."""
    return float(np.clip(45 / max(n, 1) ** 0.5, 0.25, 0.85))
