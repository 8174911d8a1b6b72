"""Two papers, one hand: legible on either, told apart by colour-blind eyes, the same bytes in every format."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from toydiff.cli.drawing import THEMES
from toydiff.schedules import Cosine, Flow
from toydiff.viz import curves, points, process, style
from toydiff.viz.png import save_picture

# Machado, Oliveira & Fernandes 2009, table 1, severity 1.0: protanopia and deuteranopia, in linear RGB
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2.1: (L1 + 0.05) / (L2 + 0.05) of relative luminances."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb: np.ndarray) -> np.ndarray:
    lms = np.cbrt(
        rgb.clip(0) @ np.array([[0.4122, 0.2119, 0.0883], [0.5363, 0.6807, 0.2817], [0.0514, 0.1074, 0.6300]])
    )
    return lms @ np.array([[0.2105, 1.9780, 0.0259], [0.7936, -2.4286, 0.7828], [-0.0041, 0.4506, -0.8087]])


@pytest.mark.parametrize("name", THEMES)
def test_what_is_written_and_drawn_stands_out_from_its_paper(name: str) -> None:
    theme = style.THEMES[name]
    assert contrast(theme.ink, theme.paper) > 12
    assert contrast(theme.muted, theme.paper) > 4.5  # small text (WCAG AA)
    assert min(contrast(colour, theme.paper) for colour in (*theme.palette[:3], theme.data)) > 3  # graphics


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("eye", BLIND)
def test_classes_are_told_apart_without_red_or_green(name: str, eye: str) -> None:
    seen = [oklab(np.array(BLIND[eye]) @ linear(colour)) for colour in style.THEMES[name].palette[:6]]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.06


def test_a_theme_ends_where_its_block_does() -> None:
    assert tuple(style.THEMES) == THEMES
    with pytest.raises(ZeroDivisionError), style.themed("dark"):
        assert style.theme() is style.DARK
        raise ZeroDivisionError
    assert style.theme() is style.LIGHT


def pictures() -> list[Figure]:
    x = np.random.default_rng(0).normal(size=(200, 2))
    levels = [Flow()(t) for t in (1.0, 0.0)]
    return [
        points.scatter(x, "title"), points.samples_beside(x, x), points.marginals(x, x),
        process.process_strip(levels, [x, x], [x, x]), process.trajectories(np.stack([x, x]), [1, 0]),
        process.arrows(x, x + 1), curves.schedule_plot(Cosine(), levels), curves.loss_curve([1, 2, 3], [3, 2, 1]),
        curves.lr_curve([1, 2], [1, 2]),
    ]  # fmt: skip


def test_dark_pictures_are_dark_all_over() -> None:
    with style.themed("dark"):
        for figure in pictures():
            drawn = style.pixels(figure).mean(axis=2)
            assert (drawn < 60).mean() > 0.7, figure
            assert drawn.max() > 150


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_papers_get_shapes_and_the_same_bytes_every_time(tmp_path: Path, kind: str) -> None:
    for name in ("one", "other"):
        save_picture(tmp_path / f"{name}.{kind}", pictures()[0], {"seeds": "0-9 & <more>"})
    content = (tmp_path / f"one.{kind}").read_bytes()
    assert content == (tmp_path / f"other.{kind}").read_bytes()
    assert content.startswith(b"<?xml" if kind == "svg" else b"%PDF") and b"image/png" not in content
    assert (b"seeds: 0-9 &amp; &lt;more&gt;" if kind == "svg" else b"seeds: 0-9 & <more>") in content
    save_picture(tmp_path / f"grid.{kind}", Image.new("RGB", (90, 30), "red"))
    assert (tmp_path / f"grid.{kind}").stat().st_size > 500


def test_a_png_has_the_width_or_the_dots_asked_for(tmp_path: Path) -> None:
    for size, dpi, width in ((333, None, 333), (None, 300, 1380), (1234, 72, 1234)):
        save_picture(tmp_path / "a.png", points.scatter(np.zeros((3, 2))), size=size, dpi=dpi)
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.width == width
            assert picture.info["dpi"] == pytest.approx((dpi or 150,) * 2, abs=0.1)
        save_picture(tmp_path / "b.png", Image.new("RGB", (90, 30)), size=size, dpi=dpi)
        with Image.open(tmp_path / "b.png") as picture:
            assert picture.size == ((size, round(size / 3)) if size else (180, 60))
