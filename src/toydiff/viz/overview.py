"""Pictures of samples whatever their shape: points as scatters, images as grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from toydiff.data import Batch, Data
from toydiff.schedules import Level, Schedule
from toydiff.viz.images import Domain, beside, image_grid, image_process, with_title
from toydiff.viz.line import line_strip
from toydiff.viz.points import scatter, sets_beside
from toydiff.viz.process import level_caption, process_strip
from toydiff.viz.style import Array, ArrayLike, as_array, class_colours

MOST_TILES = 1024
"""Images a grid shows at most: more would be smaller than a person can look at."""


def domain_of(data: Data) -> Domain:
    """Return the values of images shown as black and white: the data's range, or two RMS around their mean."""
    middle = float(data.shift.mean())
    return data.domain or (middle - 2 * data.scale, middle + 2 * data.scale)


def data_picture(data: Data, batch: Batch) -> Figure | Image.Image:
    """Draw samples of a data set: a scatter coloured by class, or a grid with the names of the classes."""
    if not data.pictorial:
        return scatter(batch.x, f"{data.name}: {len(batch.x):,} points", batch.label, data.label_names)
    return beside(_grid(data, batch, f"{data.name}: {counted(len(batch.x), 'image')}"))


def samples_picture(data: Data, *sets: tuple[str, Batch], threshold: bool = False) -> Figure | Image.Image:
    """Draw titled sets of samples side by side: points coloured by class, or grids of images.

    Classes are told where the last set has labels. `threshold` adds a grid of the last set, black below the middle
    of the data's range and white above.
    """
    labelled = sets[-1][1].label is not None
    if not data.pictorial:
        names = data.label_names if labelled else ()
        if len(sets) == 1:
            return scatter(sets[0][1].x, sets[0][0], sets[0][1].label, names)
        return sets_beside(*((title, x, label if labelled else None) for title, (x, label) in sets), names=names)
    n = len(sets[-1][1].x)  # no more data than samples
    shown = [(title, Batch(x[:n], label[:n] if labelled and label is not None else None)) for title, (x, label) in sets]
    if threshold:
        low, high = domain_of(data)
        middle, x = (low + high) / 2, shown[-1][1].x
        binary = x.new_tensor(low).where(x < middle, x.new_tensor(high))
        shown.append((f"the same, thresholded at {middle:g}", Batch(binary, shown[-1][1].label)))
    return beside(*(_grid(data, batch, title) for title, batch in shown))


def process_picture(
    data: Data,
    levels: Sequence[Level],
    x_t: Sequence[ArrayLike],
    x0: Sequence[ArrayLike] | None,
    label: ArrayLike | None,
) -> Figure | Image.Image:
    """Draw the way from noise to data, a column a noise level: x_t, and below it the estimate of x_0 made from it, if
    given. Of images every sample has a row, or two."""
    if not data.pictorial:
        return _strip(data)(levels, x_t, x0)
    domain = domain_of(data)
    title, scales = seen(levels)
    rows = [rescaled(x, s, sum(domain) / 2) for x, s in zip(x_t, scales, strict=True)]
    names, captions = [] if label is None else names_of(data, label), [_lines(level) for level in levels]
    if x0 is None:
        return image_process({title: rows}, captions, names=names, domain=domain)
    pairs = [
        np.stack([x, as_array(estimate)], 1).reshape(-1, *x.shape[1:]) for x, estimate in zip(rows, x0, strict=True)
    ]
    under = [name for each in names or [""] * len(rows[0]) for name in (f"{each}\n{title}".strip(), "estimate of x₀")]
    return image_process({"": pairs}, captions, names=under, domain=domain, together=2)


def forward_picture(
    data: Data, schedule: Schedule, levels: Sequence[Level], x_t: Sequence[ArrayLike], label: ArrayLike | None
) -> Figure | Image.Image:
    """Draw data at growing noise, a column a level, with ᾱ (or alpha²) and SNR under it: first the data themselves."""
    # Where alpha and sigma go in a straight line no ᾱ is a product of steps, but alpha² says the same of the data.
    name = {"preserving": "ᾱ", "interpolating": "α²", "exploding": ""}[schedule.variance]
    notes = [
        (f"{name} = {float(level.alpha) ** 2:.3g}\n" if name else "") + f"SNR = {_short(float(level.snr))}"
        for level in levels
    ]
    if not data.pictorial:
        colour = None if label is None else class_colours(label, len(data.label_names))
        return _strip(data)(levels, x_t, colour=colour, notes=notes)
    domain = domain_of(data)
    title, scales = seen(levels)
    shown = {f"{data.name}: {title}": [rescaled(x, s, sum(domain) / 2) for x, s in zip(x_t, scales, strict=True)]}
    names = [] if label is None else names_of(data, label)
    return image_process(shown, [_lines(level) for level in levels], notes, names, domain=domain)


def _strip(data: Data) -> Callable[..., Figure]:
    """Return how points are drawn at one noise level after another: on a line, or in the plane of the first two x."""
    return line_strip if data.shape == (1,) else process_strip


def seen(levels: Sequence[Level]) -> tuple[str, list[float]]:
    """Return what of x_t is shown, and what it is divided by at each level: 1, unless noise dwarfs the data somewhere.

    Then it is √(alpha² + sigma²), which leaves x_t the size of the data at every level.
    """
    scales = [float(level.scale) for level in levels]
    return ("xₜ", [1.0] * len(scales)) if max(scales) <= 3 else ("xₜ / √(α² + σ²)", scales)


def rescaled(x: ArrayLike, scale: float, middle: float | Array) -> Array:
    """Return values in data units divided by `scale` about their middle."""
    values: Array = (as_array(x).astype(np.float64) - middle) / scale + middle
    return values


def counted(n: int, word: str) -> str:
    """Return "64 samples", "1 sample"."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _grid(data: Data, batch: Batch, title: str) -> Image.Image:
    """Return a titled grid, with the names of the classes under the images, or in the title if they are all one."""
    x, label = batch.x[:MOST_TILES], batch.label
    names = [] if label is None else names_of(data, label[:MOST_TILES])
    if len(set(names)) == 1 and len(names) > 1:
        title, names = f"{title}: {names[0]}", []
    if len(x) < len(batch.x):
        title = f"{title} (the first {len(x):,} shown)"
    if data.shape[0] not in (1, 3):
        title = f"{title} (its {data.shape[0]} channels side by side)"
    if (k := _equal_runs(names)) is not None:  # a row a class
        columns, scale = [x[j::k] for j in range(k)], None if len(names) <= 16 * k else max(1, 64 // min(x.shape[2:]))
        return image_process({title: columns}, [""] * k, names=names[::k], scale=scale, domain=domain_of(data))
    return with_title(image_grid(x, domain=domain_of(data), names=names), title)


def _equal_runs(names: Sequence[str]) -> int | None:
    """Return k if the names come in groups of k > 1 that are alike, each group another one's, or None."""
    groups = [(name, len(list(group))) for name, group in groupby(names)]
    lengths = {length for _, length in groups}
    distinct = len({name for name, _ in groups}) == len(groups) > 1
    return lengths.pop() if distinct and len(lengths) == 1 and lengths != {1} else None


def names_of(data: Data, label: ArrayLike) -> list[str]:
    """Return the name of each label; the number of classes means "none"."""
    known = [*data.label_names, "none"]
    return [known[k] for k in as_array(label).tolist()]


def _short(value: float) -> str:
    """Return a number ≥ 0 in few characters: 0.0706, 12.9, 2e-04, ∞."""
    rough = value and not 1e-3 <= value < 1e4
    return "∞" if value == float("inf") else f"{value:.0e}" if rough else f"{value:.3g}"


def _lines(level: Level) -> str:
    return level_caption(level).replace(",  ", "\n")
