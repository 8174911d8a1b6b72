"""Pictures of shapes explained: real ones exactly, planted defects by their size, and what else is measured of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from toydiff.data import Batch, Shapes
from toydiff.data.shapes import KINDS
from toydiff.metrics import placements, shapes
from toydiff.metrics.shapes import ShapeMeasures
from toydiff.metrics.validity import explain


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*calls: tuple[str, list[Any]]) -> Tensor:
    """Return a picture made of Pillow's own shapes, (1, 1, 32, 32)."""
    image = Image.new("L", (32, 32))
    pen = ImageDraw.Draw(image)
    for name, where in calls:
        getattr(pen, name)(where, fill=255, **({"width": 2} if name == "line" else {}))
    return torch.from_numpy(np.array(image)).float()[None, None] / 127.5 - 1


def flipped(x: Tensor, *pixels: tuple[int, int]) -> Tensor:
    x = x.clone()
    for row, column in pixels:
        x[..., row, column] *= -1
    return x


# ── what may lie on a pixel: the generator's law, by drawing ─────────────────────────────────────────────────────────


def test_a_shape_that_the_generator_draws_is_among_those_on_each_of_its_pixels() -> None:
    batch = Shapes(most=1).draw(60, generator(1))
    for white in (batch.x[:, 0] > 0).numpy():
        pixels = np.argwhere(white)
        for y, x in pixels[:: max(1, len(pixels) // 2)]:
            found = placements.covering((int(y), int(x)), white, 0)
            ink = placements.unpack(found.bits, 32)
            assert ink[:, y, x].all() and not (ink & ~white).any()
            assert (ink == white).all((1, 2)).any()


def test_what_lies_on_a_pixel_is_what_pillow_draws_there() -> None:
    """All rectangles and circles on a pixel of a white picture, counted by hand; lines by drawing every one."""
    white, (y, x) = np.ones((32, 32), dtype=bool), (9, 1)
    found = placements.covering((y, x), white, 0)
    kind = {name: placements.unpack(found.bits, 32)[found.kind == k] for k, name in enumerate(KINDS)}

    def spans(at: int, w: int) -> int:
        return sum(1 for start in range(32 - w) if start <= at <= start + w)

    sides = range(4, 17)
    assert len(kind["rectangle"]) == sum(spans(x, w) for w in sides) * sum(spans(y, h) for h in sides)
    pictures: set[bytes] = set()
    angles = [2 * np.pi * k / 4096 for k in range(4096)]
    ends = {(round(n * np.cos(a)), round(n * np.sin(a))) for n in range(5, 21) for a in angles}
    for (dx, dy), u, v in itertools.product(sorted(ends)[::11], range(0, 24, 3), range(0, 32, 3)):
        ink = drawn(("line", [u, v, u + dx, v + dy]))[0, 0] > 0
        if ink[y, x]:
            pictures.add(ink.numpy().tobytes())
    assert len(pictures) > 100 and pictures <= {ink.tobytes() for ink in kind["line"]}


# ── real pictures, and almost real ones ──────────────────────────────────────────────────────────────────────────────


def check_real(data: Shapes, n: int, seed: int) -> float:
    """Explain n real pictures exactly, and return how often by their own kinds and number."""
    batch = data.draw(n, generator(seed))
    found = explain(batch.x, data.most, 0)
    assert [each.distance for each in found] == [0] * n
    for white, each in zip(batch.x[:, 0] > 0, found, strict=True):
        assert torch.equal(each.ink.any(0), white)
        assert len(each.ink) == len(each.kinds) <= data.most and list(each.kinds) == sorted(each.kinds)
    assert batch.label is not None
    return shapes.agreement(found, batch.label, data)


def test_a_label_agrees_by_its_kinds_alone() -> None:
    """Not by how many: one triangle more is needed to explain a pixel too many, and one may cover another."""
    data = Shapes()
    names = ["circle", "circle:2", "circle+rectangle", "line", "rectangle+circle:3", "triangle"]
    labels = torch.tensor([*(data.label_of(name) for name in names), len(data.label_names)])  # the last one: "none"
    alone, both = explain(drawn(CIRCLE)) * 7, explain(drawn(CIRCLE, BOX)) * 7
    assert shapes.agreement(alone, labels, data) == pytest.approx(2 / 7)
    assert shapes.agreement(both, labels, data) == pytest.approx(2 / 7)
    assert shapes.agreement(explain(drawn()), labels, data) == 0
    assert shapes.agreement(both[:3], labels, data) == pytest.approx(1 / 3)


def test_real_pictures_are_explained_exactly_and_mostly_by_what_they_are_made_of() -> None:
    assert check_real(Shapes(), 150, 2) > 0.8
    assert check_real(Shapes(most=1), 50, 3) == 1  # nothing covers anything
    check_real(Shapes(size=21, most=2), 40, 4)


@pytest.mark.slow
def test_two_thousand_real_pictures_are_explained_exactly() -> None:
    assert check_real(Shapes(), 2000, 2026) > 0.85


CIRCLE, BOX = ("ellipse", [4, 4, 14, 14]), ("rectangle", [18, 13, 29, 23])
LINE = ("line", [3, 28, 15, 22])


@pytest.mark.parametrize(
    ("x", "distance", "kinds"),
    [
        (drawn(CIRCLE), 0, ["circle"]),
        (drawn(CIRCLE, BOX, LINE), 0, ["circle", "line", "rectangle"]),
        (flipped(drawn(CIRCLE, BOX), (30, 2)), 1, ["circle", "rectangle"]),  # a speck
        (flipped(drawn(CIRCLE, BOX), (9, 9), (9, 10)), 2, ["circle", "rectangle"]),  # a hole
        (flipped(drawn(CIRCLE, BOX), (9, 9), (9, 10), (30, 2)), 3, ["circle", "rectangle"]),
        (flipped(drawn(CIRCLE, BOX), *((18, k) for k in range(20, 26))), None, []),  # a slit of 6 pixels
        (drawn(CIRCLE, BOX, LINE, ("rectangle", [22, 2, 28, 8])), None, []),  # a fourth shape
        (drawn(("ellipse", [2, 2, 28, 28])), None, []),  # radius 13
        (drawn(), None, []),  # blank
        (flipped(drawn(), (5, 5), (20, 20)), None, []),  # but for 2 pixels
    ],
)  # fmt: skip
def test_a_defect_counts_by_its_pixels(x: Tensor, distance: int | None, kinds: list[str]) -> None:
    (found,) = explain(x)
    assert found.distance == distance
    assert list(found.kinds) == kinds
    if kinds:
        assert int((found.ink.any(0) != (x[0, 0] > 0)).sum()) == distance


def test_a_broken_line_is_two_lines_or_a_defect() -> None:
    line = drawn(("line", [3, 28, 22, 28]))
    rows, columns = torch.nonzero(line[0, 0] > 0).T
    gap = [(int(y), int(x)) for y, x in zip(rows, columns, strict=True) if x in (11, 12)]
    broken = flipped(line, *gap)
    (alone,), (crowded,) = explain(broken), explain(torch.maximum(broken, drawn(CIRCLE, BOX)))
    assert (alone.distance, alone.kinds) == (0, ("line", "line"))
    assert crowded.distance == len(gap) == 4  # no shape is left for the other half
    assert crowded.kinds == ("circle", "line", "rectangle")


def test_a_search_without_end_is_given_up() -> None:
    assert explain(torch.ones(1, 1, 32, 32), within=0)[0].distance is None


def test_flipped_pixels_are_found_nearly_always() -> None:
    x = Shapes().draw(20, generator(5)).x
    places = torch.randint(0, 32, (20, 2, 2), generator=generator(6)).tolist()
    planted = torch.cat([flipped(each[None], *map(tuple, two)) for each, two in zip(x, places, strict=True)])
    found = explain(planted, within=2)
    assert sum(each.distance is not None for each in found) >= 19
    for each, picture in zip(found, planted, strict=True):
        if each.distance is not None:
            assert each.distance <= 2
            assert int((each.ink.any(0) != (picture[0] > 0)).sum()) == each.distance


# ── the other scores ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_pixels_areas_and_pieces_by_hand() -> None:
    x = torch.cat([drawn(CIRCLE), drawn(BOX), drawn(CIRCLE, BOX), drawn()])
    assert shapes.areas(x).tolist()[1:] == [12 * 11, 12 * 11 + shapes.areas(x)[0], 0]
    assert shapes.pieces(x).tolist() == [1, 1, 2, 0]
    assert shapes.pieces(flipped(drawn(), (5, 5), (6, 6))).tolist() == [1]  # they touch at a corner
    assert shapes.decided(torch.tensor([[[[-1.0, 0.95, 0.9, 0.0]]]])) == 0.5
    assert shapes.total_variation(np.array([1, 1, 2, 3]), np.array([1, 2, 2, 5])) == pytest.approx(0.5)


def test_measures_tell_defects_from_real_pictures() -> None:
    data = Shapes(n=50)
    measures = ShapeMeasures(data, conditional=True)
    real, fresh = data.draw(30, generator(8)), data.draw(30, generator(9))
    good = measures(fresh, real)
    assert set(good) == set(measures.meanings) and not measures.missing
    assert good["valid"] == good["decided"] == 1 and good["seen before"] < 0.1 and good["label agreement"] > 0.7
    assert fresh.label is not None
    poor = measures(Batch(fresh.x * 0.8, fresh.label.roll(1)), real)
    assert poor["valid"] == 1 and poor["decided"] == 0 and poor["label agreement"] < 0.3
    assert measures(data.fixed(), real)["seen before"] == 1
    assert measures(Batch(fresh.x[:10].clone().fill_(-1), fresh.label[:10]), real)["area"] > 2 * good["area"]
    assert measures.quick(fresh, real) == {"decided": 1, "valid": 1, "valid but for 2": 1}
    assert "label agreement" in ShapeMeasures(data).missing
    large = ShapeMeasures(Shapes(size=40))
    assert "valid" in large.missing and "area" in large(*(Shapes(size=40).draw(9, generator(k)) for k in (0, 1)))
