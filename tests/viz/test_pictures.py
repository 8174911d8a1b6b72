"""Pictures: equal axes, honest limits, tiles where they belong, text that survives; no pyplot anywhere."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from toydiff.errors import ToydiffError
from toydiff.schedules import CLEAN, EDM, Cosine, Flow, Level, Linear, LogLinear, noise_levels
from toydiff.viz import curves, images, points, process, style
from toydiff.viz.png import save_png
from toydiff.viz.reading import read_picture


def cloud(dimension: int, count: int = 300) -> np.ndarray:
    return np.random.default_rng(dimension).normal(size=(count, dimension))


def inked(figure: Figure) -> np.ndarray:
    """Draw, and check that no text or dot touches the edge of the picture."""
    drawn = style.pixels(figure)
    edge = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
    assert (edge == 255).all()
    assert (drawn < 255).any()
    return drawn


def one_unit(figure: Figure) -> list[tuple[float, float]]:
    """Length in pixels of one unit across and up, for each panel."""
    style.pixels(figure)
    origin, across, up = ([ax.transData.transform(p) for ax in figure.axes] for p in ((0, 0), (1, 0), (0, 1)))
    return [(float(a[0] - o[0]), float(u[1] - o[1])) for o, a, u in zip(origin, across, up, strict=True)]


@pytest.mark.parametrize("dimension", [1, 2, 10])
@pytest.mark.parametrize("labelled", [False, True])
def test_points_of_any_dimension(dimension: int, labelled: bool) -> None:
    x = cloud(dimension)
    label = torch.arange(300) % 12 if labelled else None
    names = [f"class {k}" for k in range(12)] if labelled else []
    panels = {1: 1, 2: 1, 10: 3}[dimension]
    for figure, count in (
        (points.scatter(x, "title", label, names), panels),
        (points.samples_beside(x, torch.tensor(x), labels=(label, None), names=names), 2 * panels),
        (points.marginals(x, x), min(dimension, 4)),
    ):
        inked(figure)
        assert len(figure.axes) == count


@pytest.mark.parametrize("x", [np.zeros((0, 2)), np.zeros((1, 2)), np.full((5, 2), 3.0), np.full((5, 2), np.nan)])
def test_degenerate_sets_are_drawn(x: np.ndarray) -> None:
    for figure in (points.scatter(x), points.samples_beside(x, x), points.marginals(x, x), points.scatter(x[:, :1])):
        style.pixels(figure)


def test_axes_are_equal() -> None:
    x = cloud(2) * [4.0, 0.2]
    levels = [Cosine(T=None)(t) for t in (1.0, 0.5, 0.0)]
    for figure in (
        points.scatter(x),
        points.samples_beside(x, x),
        process.process_strip(levels, [x] * 3, [x] * 3),
        process.arrows(x, x / 2),
    ):
        for across, up in one_unit(figure):
            assert across == pytest.approx(up, rel=1e-6)
    across, up = one_unit(process.trajectories(np.stack([x, x / 2]), [1.0, 0.0]))[0]
    assert across == pytest.approx(up, rel=1e-6)


def test_limits_ignore_a_stray_point_and_the_panel_says_so() -> None:
    x = cloud(2, 1000)
    strayed = np.concatenate([x[:999], [[1e6, 0.0]]])
    assert np.allclose(style.robust_limits(strayed), style.robust_limits(x), atol=0.5)
    low_x, high_x, low_y, high_y = style.robust_limits(x * [3, 1])
    assert high_x - low_x == pytest.approx(high_y - low_y)
    assert np.quantile(x[:, 0] * 3, 0.998) < high_x
    figure = points.samples_beside(x * 0.5, np.concatenate([x[:10] * 0.1, np.full((10, 2), 99.0)]))
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [[], ["50.00% outside"]]


def test_the_strip_shows_x_t_above_and_its_estimate_below() -> None:
    x = cloud(2, 50)
    levels = [EDM()(t) for t in (1.0, 0.5, 0.0)]
    x_t = [x + float(level.sigma) * x[::-1] for level in levels]
    figure = process.process_strip(levels, x_t, [0.1 * x, 0.5 * x, x])
    drawn = [next(c for c in ax.collections if isinstance(c, PathCollection)).get_offsets() for ax in figure.axes]
    order = np.random.default_rng(0).permutation(50)
    for k, level in enumerate(levels):  # noise dwarfs the data: divided by √(alpha² + sigma²)
        assert np.allclose(drawn[k], x_t[k][order] / float(level.scale))
        assert np.allclose(drawn[3 + k], [0.1, 0.5, 1.0][k] * x[order])
    assert "σ = 80" in figure.axes[0].get_title() and "t = 0.00" in figure.axes[2].get_title()
    assert "√" in figure.axes[0].get_ylabel()


@pytest.mark.parametrize("n", [1, 3])
def test_every_panel_of_a_strip_of_few_points_shows_them(n: int) -> None:
    """On the way the estimates lie far outside the box of noise and data: at 5, the mean of the data, say."""
    levels = noise_levels(Flow(), 4)
    x_t = [np.full((n, 2), value) for value in (0.1, 0.0, 0.05, 0.1, 0.12)]
    x0 = [np.full((n, 2), value) for value in (5.0, -3.0, 2.0, 0.3, 0.12)]
    for ax in process.process_strip(levels, x_t, x0).axes:
        dots = np.asarray(next(c for c in ax.collections if isinstance(c, PathCollection)).get_offsets())
        assert (dots > [ax.get_xlim()[0], ax.get_ylim()[0]]).all()
        assert (dots < [ax.get_xlim()[1], ax.get_ylim()[1]]).all()
        assert not ax.texts


def test_a_strip_of_many_points_is_not_shrunk_by_wild_estimates_and_counts_them() -> None:
    x, levels = cloud(2), noise_levels(Flow(), 2)
    tame = process.process_strip(levels, [x] * 3, [x] * 3)
    wild = process.process_strip(levels, [x] * 3, [np.where(np.arange(300)[:, None] < 150, x, 40.0), 1.5 * x, x])
    assert wild.axes[0].get_xlim() == tame.axes[0].get_xlim()
    assert [text.get_text() for text in wild.axes[3].texts] == ["50.00% outside"]
    assert not wild.axes[0].texts


def test_t_and_sigma_have_the_same_number_of_digits() -> None:
    captions = [process.level_caption(level) for level in (Flow()(0.825), Flow()(1.0), CLEAN, EDM()(1.0))]
    assert [caption.replace("  ", " ") for caption in captions] == [
        "t = 0.825, σ = 0.825", "t = 1.00, σ = 1.00", "t = 0.00, σ = 0.00", "t = 1.00, σ = 80.0",
    ]  # fmt: skip
    assert process.level_caption(Level.at(0.0)) == "σ = 0.707"
    assert process.level_caption(Level(math.nan, 1.0, 250.0)) == "σ = 250"


@pytest.mark.parametrize("dimension", [1, 2, 10])
def test_process_pictures_of_any_dimension(dimension: int) -> None:
    x = cloud(dimension, 40)
    levels = [*noise_levels(Flow(), 3)]
    assert levels[-1] == CLEAN
    inked(process.process_strip(levels, [torch.tensor(x)] * 4))
    inked(process.process_strip(levels, [x] * 4, [x] * 4))
    inked(process.process_strip([levels[1]], [x]))
    inked(process.trajectories(np.stack([x, 2 * x, x]), [1.0, 0.5, 0.0], title="paths"))
    inked(process.arrows(x, 0.5 * x, "one step", data=x))


def test_loss_curve_smooths_without_a_bias_to_the_first_value() -> None:
    assert np.allclose(curves.smoothed(np.full(50, 3.0), 20), 3.0)
    values = np.random.default_rng(1).random(40)
    k, rho = 17, 1 - 1 / 7
    weights = rho ** np.arange(k, -1, -1)
    assert curves.smoothed(values, 7)[k] == pytest.approx((weights * values[: k + 1]).sum() / weights.sum())


def test_loss_curves_of_every_kind() -> None:
    step = np.arange(1, 2001)
    loss = torch.tensor(np.exp(-step / 400) + 0.1)
    log = curves.loss_curve(step, loss, (step[::500], loss[::500]), "a title")
    inked(log)
    assert log.axes[0].get_yscale() == "log" and len(log.axes[0].lines) == 3
    assert curves.loss_curve(step, loss - 0.5).axes[0].get_yscale() == "linear"
    inked(curves.loss_curve([1], [0.3]))
    inked(curves.loss_curve([1, 2, 3], [0.3, float("nan"), 1e-9]))
    inked(curves.lr_curve(step, 1e-3 * step[::-1] / 2000))
    with pytest.raises(ToydiffError, match="no finite loss"):
        curves.loss_curve([1, 2], [float("nan"), float("inf")])


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Linear(T=100, beta_min=4e-4, beta_max=0.04), "T = 100,  ᾱ(1) = 0.129,  terminal SNR = 0.148"),
        (Linear(zero_terminal_snr=True), "T = 1000,  ᾱ(1) = 0,  terminal SNR = 0"),
        (Cosine(T=None), "ᾱ(1) = 0,  terminal SNR = 0"),
        (EDM(), "α(1) = 1,  σ(1) = 80,  terminal SNR = 0.000156"),
        (LogLinear(N=400, sigma_max=2.0), "α(1) = 1,  σ(1) = 2,  terminal SNR = 0.25"),
        (Flow(), "α(1) = 0,  σ(1) = 1,  terminal SNR = 0"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_schedule_plot_says_what_is_left_of_the_data(schedule: Linear, said: str) -> None:
    figure = curves.schedule_plot(schedule, noise_levels(schedule, 6), "name")
    inked(figure)
    assert figure.get_suptitle() == f"name\n{said}"
    left, right, *shares = figure.axes
    t = np.linspace(0, 1, 1001)
    assert np.allclose(left.lines[0].get_xdata(), t)
    assert np.allclose(left.lines[1].get_ydata(), [float(schedule(float(each)).sigma) for each in t])
    assert np.isfinite(right.get_ylim()).all()
    assert bool(shares) == (schedule.variance == "preserving")
    if schedule.kind == "linear" and not schedule.zero_terminal_snr:  # ᾱ is the product of 1 − β, β the straight line
        alpha_bar, beta = (axes.lines[0].get_ydata() for axes in shares)
        assert np.allclose(beta, np.linspace(4e-4, 0.04, 100))
        assert np.allclose(alpha_bar[-1], np.prod(1 - beta))


@pytest.mark.parametrize("kind", ["figure", "image"])
def test_png_carries_seeds_and_command(tmp_path: Path, kind: str) -> None:
    picture = points.scatter(cloud(2)) if kind == "figure" else images.image_grid(np.zeros((1, 1, 4, 4)))
    text = {"seeds": "0-63", "command": "toydiff sample – σ = ½, 漢字"}
    save_png(tmp_path / "a.png", picture, text)
    with Image.open(tmp_path / "a.png") as back:
        back.load()
        assert back.format == "PNG" and back.text == text
        assert (np.asarray(back) == style.pixels(picture)).all()
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_colours_close_the_circle_and_classes_differ() -> None:
    assert np.allclose(style.hue_colours(np.array([0.0])), style.hue_colours(np.array([1.0])))
    for classes in (2, 7, 8, 10, 15):
        palette = style.class_palette(classes)
        assert palette.shape == (classes + 1, 3) and 0 <= palette.min() <= palette.max() <= 1
        apart = np.linalg.norm(palette[:, None] - palette, axis=2) + 9 * np.eye(classes + 1)
        assert apart.min() > 0.05
        assert np.ptp(palette[-1]) < 0.1  # "none" is grey
    # four of the same class, whatever the order, are one colour
    assert len(np.unique(style.class_colours(torch.tensor([3, 1, 3, 3, 3]), 4), axis=0)) == 2


def test_samples_without_a_class_are_grey_and_the_legend_says_none() -> None:
    none = torch.full((300,), 3)
    grey = style.class_palette(3)[-1]
    assert np.allclose(style.class_colours(none, 3), grey)
    for figure in (
        points.scatter(cloud(2), "", none, "abc"),
        points.samples_beside(cloud(2), cloud(2), labels=(none % 3, none), names="abc"),
    ):
        inked(figure)
        dots = next(c for c in figure.axes[-1].collections if isinstance(c, PathCollection)).get_facecolor()
        assert np.allclose(dots[:, :3], grey)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c", "none"]
    figure = points.scatter(cloud(2), "", none - 1, "abc")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]


def test_the_oklch_circle_is_what_its_definition_says() -> None:
    """Ottosson's forward transform, sRGB → OKLab, as an independent route back to lightness and chroma."""
    turns = np.linspace(0, 1, 24, endpoint=False)
    rgb = style.hue_colours(turns)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lms = np.array([
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ])  # fmt: skip
    lab = np.array([
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ])  # fmt: skip
    oklab = np.cbrt(linear @ lms.T) @ lab.T
    inside = ((rgb > 0.002) & (rgb < 0.998)).all(axis=1)  # clipping to the gamut moves the others
    assert inside.sum() > 12
    assert np.allclose(np.hypot(oklab[inside, 1], oklab[inside, 2]), 0.135, atol=2e-3)
    assert np.allclose(oklab[inside, 0], (0.64 + 0.09 * np.cos(2 * np.pi * turns - 1.9))[inside], atol=2e-3)


def test_no_pyplot() -> None:
    code = (
        "import sys, io, numpy as np\n"
        "from toydiff.viz import curves, film, frames, images, moving, overview, png, points, process, style\n"
        "style.pixels(points.scatter(np.zeros((3, 2)), '', np.arange(3), 'abc'))\n"
        "list(moving.points_film([moving.Shot(np.zeros((3, 2)), 't')], (-1, 1, -1, 1)))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_16_bits_keep_their_greys(channels: int, tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    read = read_picture(tmp_path / "deep.png", (channels, 8, 8))
    assert read.shape == (channels, 8, 8) and np.allclose(read, grey / 65535, atol=0.51 / 255)
