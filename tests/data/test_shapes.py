"""Pictures of shapes: drawn again one by one with Pillow, counted, and named."""

from __future__ import annotations

import math
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from pydantic import ValidationError
from scipy import stats

from toydiff.data import Shapes
from toydiff.data.shapes import KINDS
from toydiff.errors import ConfigurationError
from toydiff.schedules import Flow
from toydiff.training.batches import Batches
from toydiff.training.densities import UniformTime


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ── the law, written a second time: Python numbers and Pillow ────────────────────────────────────────────────────────


class Reference:
    """One picture from the uniform numbers of its row; remembers what it drew."""

    def __init__(self, row: list[float], size: int, most: int) -> None:
        self.image = Image.new("L", (size, size))
        self.size, self.pen, self.drawn = size, ImageDraw.Draw(self.image), []
        for k in range(1 + int(row[0] * most)):
            which, *numbers = row[1 + 5 * k : 6 + 5 * k]
            self.drawn.append(KINDS[int(4 * which)])
            getattr(self, self.drawn[-1])(*numbers)

    def length(self, u: float, low: int, high: int) -> int:
        low, high = (math.floor(bound * self.size / 32 + 0.5) for bound in (low, high))
        return low + int(u * (high - low + 1))

    def place(self, u: float, low: int, high: int) -> int:
        assert 0 <= low <= high < self.size
        return low + int(u * (high - low + 1))

    def inside(self, *corners: int) -> list[int]:
        assert 0 <= min(corners) <= max(corners) < self.size
        return list(corners)

    def circle(self, a: float, _: float, u: float, v: float) -> None:
        r = self.length(a, 3, 12)
        cx, cy = (self.place(w, r, self.size - 1 - r) for w in (u, v))
        self.pen.ellipse(self.inside(cx - r, cy - r, cx + r, cy + r), fill=255)

    def line(self, a: float, b: float, u: float, v: float) -> None:
        length, x, y = self.length(a, 5, 20), self.place(u, 0, self.size - 1), self.place(v, 0, self.size - 1)
        end = x + round(length * math.cos(2 * math.pi * b)), y + round(length * math.sin(2 * math.pi * b))
        self.pen.line([x, y, *end], fill=255, width=2)

    def rectangle(self, a: float, b: float, u: float, v: float) -> None:
        w, h = self.length(a, 4, 16), self.length(b, 4, 16)
        x, y = self.place(u, 0, self.size - 1 - w), self.place(v, 0, self.size - 1 - h)
        self.pen.rectangle(self.inside(x, y, x + w, y + h), fill=255)

    def triangle(self, a: float, b: float, u: float, v: float) -> None:
        w, h = self.length(a, 6, 14), self.length(b, 6, 14)
        x, y = self.place(u, 0, self.size - 1 - w), self.place(v, h, self.size - 1)
        corners = self.inside(x, y, x + w, y, x + w // 2, y - h)
        self.pen.polygon(corners, fill=255)


@pytest.mark.parametrize(("size", "most"), [(16, 3), (28, 3), (32, 3), (33, 1), (32, 8), (48, 2), (64, 3)])
def test_every_pixel_and_label_is_pillows(size: int, most: int) -> None:
    n, data = 600, Shapes(size=size, most=most)
    x, label = data.draw(n, generator(size))
    assert x.shape == (n, 1, size, size) and x.dtype == torch.float32 and x.abs().eq(1).all()
    assert label is not None and label.dtype == torch.int64
    rows = torch.rand(n, 1 + 5 * most, generator=generator(size), dtype=torch.float64).tolist()
    for i, row in enumerate(rows):
        reference = Reference(row, size, most)
        assert np.array_equal(np.asarray(reference.image) > 0, x[i, 0].numpy() > 0), (i, reference.drawn)
        assert label[i] == data.label_of("+".join(sorted(set(reference.drawn))) + f":{len(reference.drawn)}")


# ── the law, by counting ─────────────────────────────────────────────────────────────────────────────────────────────


def test_numbers_and_kinds_are_uniform_and_independent() -> None:
    """All 28 labels come as often as independent uniform kinds in a uniform number make them."""
    data = Shapes()
    label = data.draw(20_000, generator(1)).label
    assert label is not None
    law = dict.fromkeys(data.label_names, 0.0)
    for count in (1, 2, 3):
        for kinds in product(KINDS, repeat=count):
            law["+".join(sorted(set(kinds))) + (f":{count}" if count > len(set(kinds)) else "")] += 1 / 3 / 4**count
    torch.testing.assert_close(data.label_frequencies(), torch.tensor(list(law.values()), dtype=torch.float64))
    seen = label.bincount(minlength=28).numpy()
    assert stats.chisquare(seen, 20_000 * np.array(list(law.values()))).pvalue > 0.001


def test_sizes_and_places_are_uniform() -> None:
    """Single shapes are measured in the picture: all sizes equally often, and given the size all places."""
    data = Shapes(most=1)
    x, label = data.draw(30_000, generator(2))
    ink = x[:, 0] > 0
    across, down = ink.any(1), ink.any(2)
    wide, high = across.sum(1) - 1, down.sum(1) - 1
    left, top = across.int().argmax(1), down.int().argmax(1)
    bounds = {"circle": (6, 24), "rectangle": (4, 16), "triangle": (6, 14)}
    for k, (low, up) in ((data.label_of(kind), bound) for kind, bound in bounds.items()):
        of, step = label == k, 2 if data.label_names[k] == "circle" else 1
        for long in (wide, high):
            seen = long[of].bincount()[low::step]
            assert int(long[of].min()) == low and int(long[of].max()) == up
            assert stats.chisquare(seen.numpy()).pvalue > 0.001
        for start, long in ((left, wide), (top, high)):
            places = start[of & (long == 12)].bincount(minlength=20)
            assert len(places) == 20 and stats.chisquare(places.numpy()).pvalue > 0.001


def test_lines_point_everywhere_and_are_as_long_as_they_should_be() -> None:
    data = Shapes(most=1, size=64)
    x, label = data.draw(8000, generator(3))
    ink = x[label == data.label_of("line"), 0] > 0
    border = torch.ones(64, 64, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    ink = ink[~(ink & border).flatten(1).any(1)]  # whole lines; all the others are cut
    wide, high = ink.any(1).sum(1) - 1, ink.any(2).sum(1) - 1
    assert len(ink) > 800 and wide.min() <= 1 and high.min() <= 1
    length = torch.hypot(wide.double(), high.double())
    assert length.min() > 8 and length.max() < 43  # 10 … 40, a width of 2, and rounding
    angle = torch.atan2(high.double(), wide.double())
    assert 0.2 < (angle < math.pi / 8).double().mean() / (angle > 3 * math.pi / 8).double().mean() < 5


def test_shapes_that_are_not_lines_never_touch_the_wrong_side_of_the_border() -> None:
    """They reach the first and the last row and column, and are whole there: single discs stay as wide as high."""
    data = Shapes(most=1)
    x, label = data.draw(12_000, generator(4))
    discs = x[label == data.label_of("circle"), 0] > 0
    assert torch.equal(discs.any(1).sum(1), discs.any(2).sum(1))
    edges = discs[:, 0].any() & discs[:, -1].any() & discs[:, :, 0].any() & discs[:, :, -1].any()
    assert bool(edges)


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("most", "classes"), [(1, 4), (2, 14), (3, 28), (4, 43)])
def test_names_go_to_labels_and_back(most: int, classes: int) -> None:
    data = Shapes(most=most)
    names = data.label_names
    assert len(set(names)) == len(names) == classes
    for label, name in enumerate(names):
        kinds, _, count = name.partition(":")
        shapes = int(count or len(kinds.split("+")))
        assert data.label_of(label) == data.label_of(str(label)) == label
        for order in permutations(kinds.split("+")):
            assert data.label_of("+".join(order) + f":{shapes}") == label
            assert count or data.label_of("+".join(order)) == label
    assert data.label_of("none") == classes


def test_the_names_are_those_of_the_documentation() -> None:
    names = Shapes().label_names
    assert names[:4] == ("circle", "circle:2", "circle:3", "line")
    assert {"circle+line", "circle+line:3", "circle+line+rectangle", "rectangle+triangle:3"} <= set(names)


@pytest.mark.parametrize(
    "name",
    ["", "+", "circle+", "square", "circle+circle", "circle:0", "circle:02", "circle:4", "circle:", "circle+line:1",
     "Circle", "28", "-1", "1:1", "none:1", "circle:two", "circle:2:2", "circle+line+rectangle+triangle"],
)  # fmt: skip
def test_labels_there_are_not_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="unknown label"):
        Shapes().label_of(name)


def test_the_nearest_label_is_named_whatever_the_order() -> None:
    with pytest.raises(ConfigurationError) as error:
        Shapes().label_of("tringle+circle")
    assert "Did you mean `circle+triangle`?" in error.value.hint


def test_frequencies_of_fixed_pictures_are_counted() -> None:
    data = Shapes(n=50)
    label = data.fixed().label
    assert label is not None
    assert torch.equal(data.label_frequencies() * 50, label.bincount(minlength=28).double())


# ── the contract ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("size", "most"), [(32, 3), (16, 1), (40, 5)])
def test_picture_i_is_a_function_of_seed_and_i(size: int, most: int) -> None:
    whole = Shapes(n=1000, seed=7, size=size, most=most).fixed()
    for n in (1, 2, 3, 15, 16, 17, 100, 999):
        some = Shapes(n=n, seed=7, size=size, most=most).fixed()
        assert torch.equal(some.x, whole.x[:n]) and torch.equal(some.label, whole.label[:n])  # type: ignore[index,arg-type]


def test_another_seed_is_another_set() -> None:
    one, again, other = (Shapes(n=60, seed=seed).fixed().x for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert (one != other).flatten(1).any(1).double().mean() > 0.9


def test_one_state_of_the_generator_makes_one_draw_and_moves_on() -> None:
    state = generator(5)
    first, second = Shapes().draw(30, state).x, Shapes().draw(30, state).x
    assert torch.equal(first, Shapes().draw(30, generator(5)).x) and not torch.equal(first, second)


@pytest.mark.parametrize("n", [None, 40])
def test_batches_go_on_for_ever(n: int | None) -> None:
    options: dict[str, Any] = {"batch_size": 16, "conditional": True, "label_dropout": 0.0, "seed": 0}
    batches = Batches(Shapes(n=n), Flow(), UniformTime(), device=torch.device("cpu"), **options)
    seen = [batches(step) for step in (1, 2, 64, 65, 66, 10_000)]
    assert all(b.x0.shape[1:] == (1, 32, 32) and b.x0.abs().eq(1).all() for b in seen)
    if n is None:  # small discs come again now and then, whole batches do not
        assert len(torch.unique(torch.cat([b.x0 for b in seen]).flatten(1), dim=0)) > 80
        assert torch.equal(batches(64).x0, seen[2].x0)


def test_known_constants() -> None:
    data = Shapes(size=20)
    assert data.shift.shape == data.shape == (1, 20, 20) and not data.shift.any() and data.scale == 1
    assert data.domain == (-1, 1) and data.entropy is None


@pytest.mark.parametrize("wrong", [{"size": 15}, {"size": 513}, {"most": 0}, {"most": 21}, {"n": 0}, {"radius": 3}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Shapes(**wrong)  # type: ignore[arg-type]
