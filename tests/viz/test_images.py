"""Images in pictures: the values they have, rows and columns where they belong, words that fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from toydiff.data import Batch, Moons, Shapes
from toydiff.data.base import Data
from toydiff.errors import ToydiffError
from toydiff.schedules import EDM, Cosine, Flow
from toydiff.viz import images, overview, style
from toydiff.viz.frames import Look, Panel, film_frames
from toydiff.viz.moving import Shot

PAD = images.PADDING


class Coloured(Data):
    """Two-channel images of any range: what no data set of ours is."""

    kind: str = "coloured"
    channels: int = 2

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, 6, 5)

    @property
    def shift(self) -> torch.Tensor:
        return torch.full(self.shape, 10.0)

    @property
    def scale(self) -> float:
        return 2.0


def batch(n: int, seed: int = 0) -> tuple[Shapes, Batch]:
    data = Shapes()
    return data, data.draw(n, torch.Generator().manual_seed(seed))


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of grids, as they are drawn."""
    said: list[str] = []
    titled = images.with_title
    monkeypatch.setattr(overview, "with_title", lambda picture, title: said.append(title) or titled(picture, title))
    return said


def drawn(picture: object) -> np.ndarray:
    """Return the picture's pixels, and check that no ink touches its edge."""
    assert isinstance(picture, Image.Image)
    pixels = style.pixels(picture)
    assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    return pixels


def test_tiles_are_nearest_neighbours_of_the_pixels() -> None:
    x = torch.tensor([[-1.0, 1.0], [0.0, 7.0]]).expand(3, 1, 2, 2)
    grid = np.asarray(images.image_grid(x, columns=2, scale=5))
    assert grid.shape == (2 * (10 + PAD) + PAD, 2 * (10 + PAD) + PAD, 3)
    wanted = np.kron([[0, 255], [128, 255]], np.ones((5, 5)))
    for row, column in ((0, 0), (0, 1), (1, 0)):
        y, x0 = PAD + row * (10 + PAD), PAD + column * (10 + PAD)
        assert (grid[y : y + 10, x0 : x0 + 10] == wanted[:, :, None]).all()
    assert (grid[-10:, -10:] == 255).all()  # the place of a fourth stays paper
    colour = np.asarray(images.image_grid(np.array([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1), scale=4))
    assert colour[PAD + 1, PAD + 1].tolist() == [255, 0, 0]


def test_the_domain_says_what_is_black_and_what_is_white() -> None:
    x = np.array([-3.0, 0.0, 5.0, 10.0, 99.0, np.nan]).reshape(6, 1, 1, 1)
    assert images.shades(x, (0, 10))[:, 0, 0, 0].tolist() == [0, 0, 128, 255, 255, 0]


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_are_no_colour_lie_side_by_side_and_the_title_says_so(channels: int, titles: list[str]) -> None:
    x = torch.arange(channels).reshape(1, channels, 1, 1).expand(1, channels, 2, 3) / (channels - 1)
    shown = images.shades(x, (0, 1))
    assert shown.shape == (1, 2, 3 * channels, 3)
    assert shown[0, 0, ::3, 0].tolist() == [round(255 * k / (channels - 1)) for k in range(channels)]
    data = Coloured(channels=channels)
    assert overview.domain_of(data) == (6.0, 14.0)
    four = Batch(torch.zeros(4, *data.shape), None)
    wide = drawn(overview.samples_picture(data, ("data", four), ("4 samples", four)))
    titles.clear()
    overview.data_picture(data, four)
    assert titles == [f"coloured: 4 images (its {channels} channels side by side)"] and wide.shape[1] > 500


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8)])
def test_arrays_that_are_no_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ToydiffError, match="shape"):
        images.image_grid(np.zeros(shape))


@pytest.mark.parametrize(("count", "across"), [(1, 392), (2, 780), (64, 804), (1024, 1156)])
def test_grids_are_as_large_as_can_be_looked_at(count: int, across: int) -> None:
    assert images.image_grid(torch.zeros(count, 1, 32, 32)).width == across


def test_names_are_written_under_the_images_in_lines_that_fit() -> None:
    face = images.font(13)
    text = images.wrapped("circle+line+rectangle:3", face, 96)
    assert text.split("\n") == ["circle+line", "+rectangle:3"]
    assert images.wrapped("ankle boot", face, 30) == "ankle\nboot" and images.wrapped("7", face, 2) == "7"
    _, three = batch(3)
    plain = images.image_grid(three.x, 3, 3)
    named = images.image_grid(three.x, 3, 3, names=["circle", "circle+line+rectangle:3", ""])
    assert named.height > plain.height
    pixels = np.asarray(named)
    assert (pixels[: plain.height - PAD] == np.asarray(plain)[:-PAD]).all()  # the images are where they were
    columns = [(pixels[plain.height :, PAD + k * 100 : PAD + k * 100 + 96] < 128).any() for k in range(3)]
    assert columns == [True, True, False]


def test_a_process_has_samples_in_rows_and_levels_in_columns() -> None:
    sign = np.array([1.0, -1.0]).reshape(2, 1, 1, 1)
    x_t = [np.full((2, 1, 8, 8), value) * sign for value in (0.2, 0.6, 1.0)]
    captions = ["t = 1.00\nσ = 1.00", "t = 0.50\nσ = 0.71", "σ = 0.002"]
    blocks = {"xₜ": x_t, "estimate": [np.full((2, 1, 8, 8), 0.0)] * 3}
    picture = drawn(images.image_process(blocks, captions, scale=12))
    step, margin = 96 + PAD, images.MARGIN
    bottom = picture.shape[0] - margin - PAD - 96

    def at(block: int, row: int, column: int) -> int:
        x = margin + block * (3 * step - PAD + 2 * margin) + column * step
        return int(picture[bottom - (1 - row) * step + 40, x + 40, 0])

    assert [[at(0, i, k) for k in range(3)] for i in range(2)] == [[153, 204, 255], [102, 51, 0]]
    assert [at(1, i, k) for k in range(3) for i in range(2)] == [128] * 6
    assert (picture[: bottom - step - PAD] < 128).any()  # captions
    more = drawn(images.image_process(blocks, captions, ["SNR = 1"] * 3, ["circle", "line+triangle"], 12))
    assert more.shape[0] > picture.shape[0] and more.shape[1] > picture.shape[1] + 30


def test_samples_beside_data_and_thresholded() -> None:
    data, real = batch(9)
    made = Batch(real.x * 0.3, real.label)
    two = drawn(overview.samples_picture(data, ("data", real), ("9 samples", made)))
    three = drawn(overview.samples_picture(data, ("data", real), ("9 samples", made), threshold=True))
    assert three.shape[1] == pytest.approx(1.5 * two.shape[1], rel=0.01)
    third = three.shape[1] // 3
    # a third as bright is the same image again once it is thresholded
    assert (three[60:, 2 * third + 20 : 3 * third - 20] == three[60:, 20 : third - 20]).all()
    assert (three[60:, third + 20 : 2 * third - 20] != three[60:, 20 : third - 20]).any()


def test_grids_say_what_they_show(monkeypatch: pytest.MonkeyPatch, titles: list[str]) -> None:
    said: list[tuple[list[str], int]] = []
    grid = images.image_grid
    monkeypatch.setattr(overview, "image_grid", lambda x, domain, names: said.append((names, len(x))) or grid(x[:1]))
    data, many = batch(1100)
    overview.samples_picture(data, ("data", many), ("1,100 samples", Batch(many.x, None)))
    assert titles == ["data (the first 1,024 shown)", "1,100 samples (the first 1,024 shown)"]
    assert said == [([], 1024)] * 2  # without labels nobody is named, the data neither
    titles.clear()
    alike = Batch(many.x[:5], torch.full((5,), data.label_of("circle")))
    overview.samples_picture(data, ("data", many), ("5 samples", alike))
    assert titles == ["data", "5 samples: circle"] and [len(names) for names, _ in said[2:]] == [5, 0]
    titles.clear()
    overview.data_picture(data, Batch(many.x[:2], torch.tensor([28, 0])))
    assert titles == ["shapes: 2 images"] and said[-1][0] == ["none", "circle"]


def test_equally_many_samples_of_each_class_are_a_row_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    data, many = batch(6)
    rows: list[tuple[list[torch.Tensor], list[str]]] = []
    process = images.image_process

    def seen(blocks: dict[str, list[torch.Tensor]], *words: object, names: list[str], **options: object) -> Image.Image:
        rows.append((next(iter(blocks.values())), names))
        return process(blocks, *words, names=names, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(overview, "image_process", seen)
    drawn(overview.data_picture(data, Batch(many.x, torch.tensor([3, 3, 3, 0, 0, 0]))))
    ((columns, names),) = rows
    assert names == [data.label_names[3], "circle"]
    assert torch.equal(torch.stack(columns, 1).flatten(0, 1), many.x)  # row by row, in their order
    for label in ([0, 0, 1], [0, 1, 2], [0, 0, 1, 1, 0, 0]):
        overview.data_picture(data, Batch(many.x[: len(label)], torch.tensor(label)))
    assert len(rows) == 1


def test_names_have_the_room_they_need() -> None:
    plain, named = (
        images.image_grid(torch.zeros(169, 1, 32, 32), names=names) for names in ([], ["rectangle:3"] * 169)
    )
    words = images.font(images.SMALLEST).getlength("rectangle:3")
    assert plain.width == 13 * (32 + PAD) + PAD and named.width >= 13 * words


@pytest.mark.parametrize("schedule", [Flow(), Cosine(T=None), EDM()], ids=lambda schedule: schedule.kind)
def test_every_schedule_has_its_process_and_its_forward_strip(schedule: Flow) -> None:
    data, two = batch(2)
    levels = [schedule(t) for t in (1.0, 0.5, 0.0)]
    title, scales = overview.seen(levels)
    assert ("√" in title) == (schedule.kind == "edm") == (scales[0] > 1)
    x_t = [two.x * float(level.alpha) + torch.ones_like(two.x) * float(level.sigma) for level in levels]
    process = drawn(overview.process_picture(data, levels, x_t, [two.x] * 3, two.label))
    forward = drawn(overview.forward_picture(data, schedule, levels[::-1], x_t[::-1], None))
    assert process.shape[1] > forward.shape[1] > 300


@pytest.mark.parametrize(
    ("schedule", "said"),
    [(Flow(), "α² = 0.25\nSNR = 1"), (Cosine(T=None), "ᾱ = 0.494\nSNR = 0.976"), (EDM(), "SNR = ")],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_under_a_column_stands_what_is_left_of_the_data(
    schedule: Flow, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(overview, "process_strip", lambda levels, x_t, *, colour, notes: told.extend(notes))
    x = Moons().draw(9, torch.Generator().manual_seed(0)).x
    overview.forward_picture(Moons(), schedule, [schedule(0.5)], [x], None)
    assert told[0].startswith(said)


def test_noise_that_dwarfs_the_data_is_shown_in_proportion() -> None:
    x = torch.tensor([0.0, 80.0, -40.0])
    assert overview.rescaled(x, 80.0, 0.0).tolist() == [0, 1, -0.5]
    assert overview.rescaled(torch.tensor([85.0]), 80.0, 5.0).tolist() == [6]


def test_films_of_images_divide_where_noise_dwarfs_the_data() -> None:
    data, four = batch(4)
    shots = [Shot(x, "t", None, EDM()(t)) for x, t in ((four.x * EDM()(1.0).scale, 1.0), (four.x, 0.0))]
    one, other = film_frames(data, [Panel("", iter(shots), four.label)], Look(200, divided=True))
    assert (one[:180] == other[:180]).all()
    plain, _ = film_frames(data, [Panel("", iter(shots), four.label)], Look(200))
    assert (plain[180:] != one[180:]).any()  # the caption says what it was divided by


def test_numbers_are_short() -> None:
    shown = [overview._short(value) for value in (float("inf"), 250_000.0, 12.94, 0.0706, 0.000156, 0.0)]
    assert shown == ["∞", "2e+05", "12.9", "0.0706", "2e-04", "0"]
    assert [overview.counted(n, "sample") for n in (1, 2, 5000)] == ["1 sample", "2 samples", "5,000 samples"]
