"""Characters decoded back are the dots and pixels they were made from; what a terminal shows fits into it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toydiff.data import Batch, Data, Moons, Npy, Shapes
from toydiff.viz.glance import glance
from toydiff.viz.sparkline import EIGHTHS, sparkline
from toydiff.viz.terminal import Cells, above, bars, beside, braille, framed, half_blocks, shaded, shrunk, words

UNIT = (0.0, 1.0, 0.0, 1.0)
BITS = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
"""(column, row) of dots 1 to 8, as Unicode numbers them."""


def dots(cells: Cells) -> set[tuple[int, int]]:
    """Return (column, row) of every dot, by the code points alone."""
    found = set()
    for row, line in enumerate(cells.text):
        for column, sign in enumerate(line):
            pattern = 0 if sign == " " else ord(sign) - 0x2800
            found |= {(2 * column + x, 4 * row + y) for k, (x, y) in enumerate(BITS) if pattern >> k & 1}
    return found


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.sets(st.tuples(st.integers(0, 13), st.integers(0, 11))), st.integers(0, 2**32 - 1))
def test_braille_decodes_to_the_occupied_cells(wanted: set[tuple[int, int]], seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = np.array(sorted(wanted), dtype=float).reshape(-1, 2)
    points = (corners + random.uniform(0.05, 0.95, corners.shape)) / (14, 12)
    points[:, 1] = 1 - points[:, 1]  # rows count from the top
    assert dots(braille(np.concatenate([points, points]), UNIT, 7, 3)) == wanted


def test_the_edges_belong_to_the_picture_and_nothing_beyond_does() -> None:
    corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
    beyond = [(-1e-9, 0.5), (0.5, 1.01), (math.nan, 0.5), (math.inf, 0.5)]
    assert dots(braille(np.array([*corners, *beyond]), UNIT, 5, 2)) == {(0, 0), (9, 0), (0, 7), (9, 7)}


def test_nothing_is_blank() -> None:
    assert braille(np.zeros((0, 2)), UNIT, 3, 2).lines == ["", ""]


def test_a_character_has_the_colour_of_most_of_its_points() -> None:
    points = np.array([(0.1, 0.1), (0.1, 0.2), (0.3, 0.3), (0.9, 0.9)])
    colours = np.array([(1, 0, 0), (1, 0, 0), (0, 0, 1), (0, 0, 1)], dtype=float)
    ink = braille(points, UNIT, 2, 2, colours).ink
    assert ink[1, 0].tolist() == [255, 0, 0]
    assert ink[0, 1].tolist() == [0, 0, 255]
    assert (ink[0, 0] == -1).all()


@pytest.mark.parametrize("height", [1, 6, 7])
def test_half_blocks_decode_to_the_pixels(height: int) -> None:
    pixels = image(height, 5)
    cells = half_blocks(pixels)
    assert set(cells.text.ravel()) == {"▀"}
    rows = np.stack([cells.ink, cells.paper], axis=1).reshape(-1, 5, 3)
    assert (rows[:height] == pixels).all()
    assert (rows[height:] == -1).all()


def test_shaded_blocks_are_the_nearest_there_are() -> None:
    covered = {
        " ": (0, 0), "░": (64, 64), "▒": (128, 128), "▓": (191, 191), "█": (255, 255), "▀": (255, 0), "▄": (0, 255),
    }  # fmt: skip
    pixels = np.array(list(covered.values()), dtype=np.uint8).T[:, :, None].repeat(3, axis=2)
    assert shaded(pixels).lines == ["".join(covered).rstrip()]
    random = image(20, 30)
    decoded = np.array([[covered[sign] for sign in row] for row in shaded(random).text]).transpose(0, 2, 1)
    grey = random @ np.array([0.299, 0.587, 0.114])
    assert abs(decoded.reshape(20, 30) - grey).max() <= 128  # at worst grey beside black: ▒ or █ for (255, 128)
    assert np.corrcoef(decoded.ravel(), grey.ravel())[0, 1] > 0.6


def test_bars_are_as_high_as_they_say() -> None:
    heights = np.array([0, 0.5, 1, 3 / 16, 1 / 32])
    cells = bars(heights, 2)
    eighths = [sum(EIGHTHS.index(sign) for sign in column) for column in cells.text.T]
    assert eighths == [0, 8, 16, 3, 0]
    assert cells.text[0, 3] == " "  # they stand on the ground


def test_shrinking_averages() -> None:
    pixels = image(7, 5)
    small = shrunk(pixels, 2)
    assert small.shape == (4, 3, 3)
    assert (small[1, 1] == pixels[2:4, 2:4].mean(axis=(0, 1)).round()).all()
    assert (small[3, 2] == pixels[6, 4]).all()
    assert (shrunk(pixels, 1) == pixels).all()


def test_pictures_are_put_together_without_loss() -> None:
    one, two = half_blocks(image(4, 3)), half_blocks(image(2, 6, seed=1))
    wide, tall = beside(one, two, gap=1), above(one, two)
    assert wide.text.shape == (2, 10)
    assert tall.text.shape == (3, 6)
    assert (wide.ink[:1, 4:] == two.ink).all()
    assert (tall.paper[2:] == two.paper).all()
    assert (tall.ink[:2, 3:] == -1).all()
    assert framed(Cells.plain(np.array([["a", "b"]]))).lines == ["┌──┐", "│ab│", "└──┘"]
    assert framed(Cells.plain(np.full((1, 12), "a")), (-1.5, 2)).lines[-1] == "└ −1.5 ─── 2 ┘"


@pytest.mark.parametrize(
    ("text", "width", "line"),
    [
        ("ab", 5, " ab"),
        ("abcdef", 4, "abc…"),
        ("abcdef", 1, "…"),
        ("上下", 4, "上下"),
        ("上下左", 4, "上 …"),
        ("\x1b[31mred\u0301", 7, "[31mred"),
        ("x", 0, ""),
    ],
)
def test_words_fill_the_columns_they_have(text: str, width: int, line: str) -> None:
    cells = words(text, width)
    assert cells.text.shape == (1, width)
    assert cells.lines == [line]


def test_a_curve_goes_from_its_least_to_its_largest() -> None:
    assert sparkline([1, 10, 100], 10) == "▁▅█"  # logarithmic
    assert sparkline([-7, 0], 10) == "▁█"  # not where there is no logarithm
    assert sparkline([2, 2, 2], 10) == "▅▅▅"
    assert sparkline([1, math.nan, 2, math.inf], 10) == "▁×█×"
    assert sparkline([math.nan], 10) == "×"
    assert (sparkline([], 10), sparkline([1], 0)) == ("", "")


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=50), st.integers(1, 20))
def test_a_curve_has_the_columns_it_may_have(values: list[float], width: int) -> None:
    assert len(sparkline(values, width)) == min(len(values), width)
    assert set(sparkline(sorted(values), width)) <= set(EIGHTHS[1:])
    assert list(sparkline(sorted(values), width)) == sorted(sparkline(sorted(values), width), key=EIGHTHS.index)


def drawn(data: Data, batch: Batch, columns: int, colour: bool = False, rows: int = 30) -> list[str]:
    return glance(data, [("data", batch), ("samples", batch)], columns, rows, colour).lines


@pytest.mark.parametrize("columns", [4, 8, 11, 15, 20, 40, 80, 200])
def test_whatever_is_drawn_fits(columns: int, tmp_path: Path) -> None:
    np.save(tmp_path / "line.npy", np.random.default_rng(0).normal(size=50))
    np.save(tmp_path / "deep.npy", np.random.default_rng(0).normal(size=(50, 10)))
    kinds = [Moons(), Shapes(), *(Npy(path=str(tmp_path / f"{name}.npy")) for name in ("line", "deep"))]
    for data in kinds:
        batch = data.draw(9, torch.Generator().manual_seed(0))
        for colour in (False, True):
            lines = drawn(data, batch, columns, colour)
            assert 4 <= max(map(len, lines)) <= columns
            assert 3 <= len(lines) <= 31
        if columns == 80:
            text = "\n".join(lines)
            assert ("x₁, x₃" in text) == (data.shape == (10,))


def test_points_of_a_panel_are_where_they_lie() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    lines = glance(Moons(), [("three", Batch(x, None))], 24, 40, False).lines
    assert lines[0].strip() == "three"
    seen = [(row, column) for row, line in enumerate(lines) for column, sign in enumerate(line) if sign > "\u2800"]
    (top, right), (bottom, left), (low, far) = seen
    assert top < bottom == low
    assert left < right == far
    assert 2 * (bottom - top) == pytest.approx(right - left, abs=2)  # equal axes: a character is twice as tall as wide


def test_a_panel_says_what_it_leaves_out() -> None:
    x = torch.rand(999, 2, generator=torch.Generator().manual_seed(0))
    stray = torch.cat([x, torch.tensor([[50.0, 0.0]])])
    lines = glance(Moons(), [("data", Batch(x, None)), ("made", Batch(stray, None))], 80, 30, False).lines
    assert "made (1 outside)" in lines[0]


def test_classes_are_told_by_colour_alone() -> None:
    batch = Moons().draw(50, torch.Generator().manual_seed(0))
    plain = glance(Moons(), [("data", batch)], 60, 30, False)
    coloured = glance(Moons(), [("data", batch)], 60, 30, True)
    assert (plain.ink == -1).all()
    assert coloured.lines[-1] == "● upper  ● lower"
    assert plain.lines == coloured.lines[:-1]
    assert len(np.unique(coloured.ink.reshape(-1, 3), axis=0)) == 3  # two classes, and what has no colour


def test_every_class_is_named_however_few_columns_there_are() -> None:
    cells = glance(Moons(), [("data", Moons().draw(50, torch.Generator().manual_seed(0)))], 12, 30, True)
    assert cells.lines[-2:] == ["● upper", "● lower"]
    assert len({tuple(ink[0]) for ink in cells.ink[-2:].tolist()}) == 2


def test_images_are_as_many_as_fit_and_named() -> None:
    batch = Shapes().draw(9, torch.Generator().manual_seed(0))
    cells = glance(Shapes(), [("made", batch)], 80, 40, True)
    assert cells.lines[0].strip() == "made, the first 4"
    low, high = -1.0, 1.0
    decoded = np.stack([cells.ink[1:17, :32, 0], cells.paper[1:17, :32, 0]], axis=1).reshape(32, 32)
    assert abs(decoded - ((batch.x[0, 0].numpy() - low) * 255 / (high - low))).max() <= 0.51
    names = [Shapes().label_names[k] for k in batch.label[:2].tolist()]
    assert cells.lines[17].split() == names
