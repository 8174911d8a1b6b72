"""Your own data: what is read is what was written, a tenth is held out, and a model needs the file no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from toydiff.arrays import write_csv, write_npz
from toydiff.config import Run
from toydiff.data import Batch, Csv, Folder, GaussianMixture, Moons, Npy, Npz, Shapes
from toydiff.errors import ToydiffError
from toydiff.viz.folder import save_folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(x: torch.Tensor) -> list[bytes]:
    return sorted(row.tobytes() for row in x.numpy())


def bytes_of(n: int = 30, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, *(shape or (8, 8))), np.uint8)


# ── there and back ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_toydiff_writes_it_reads() -> None:
    points, shapes = Moons().draw(40, generator()), Shapes(size=16).draw(20, generator())
    write_csv(Path("p.csv"), points, torch.arange(40))
    write_npz(Path("p.npz"), points)
    write_npz(Path("s.npz"), shapes)
    save_folder(Path("s"), shapes, Shapes(size=16).label_names, (-1, 1))
    for data, real in (
        (Csv(path="p.csv"), points),
        (Npz(path="p.npz"), points),
        (Npz(path="s.npz"), shapes),
        (Folder(path="s"), shapes),
    ):
        assert rows(data.draw(len(real.x), generator()).x) == rows(real.x)
        x, label = data.fixed()
        assert label is not None and real.label is not None
        k = int((real.x == x[3]).flatten(1).all(1).nonzero()[0])
        name = data.label_names[int(label[3])]
        assert name in (str(int(real.label[k])), Shapes(size=16).label_names[int(real.label[k])])
    assert Folder(path="s").shape == (1, 16, 16)


@pytest.mark.parametrize("between", [",", ";", "\t", " ", ", "])
@pytest.mark.parametrize("header", ["", "# a b word\n", "a{0}b{0}word\n"])
def test_tables_in_every_dialect(between: str, header: str) -> None:
    text = header.format(between) + "".join(f"{k}{between}{k * k}e-1{between}{'ab'[k % 2]}\n" for k in range(12))
    Path("t.csv").write_text("\ufeff" + text)
    data = Csv(path="t.csv")  # the only column of words is the class
    x, label = data.draw(12, generator())
    assert label is not None and data.label_names == ("a", "b")
    torch.testing.assert_close(x[:, 1], x[:, 0] ** 2 / 10)
    assert torch.equal(label, x[:, 0].long() % 2)


def test_columns_are_chosen_by_name_or_number() -> None:
    Path("t.csv").write_text("x,year,y\n" + "".join(f"{k},{2000 + k // 4},{-k}\n" for k in range(12)))
    assert Csv(path="t.csv").shape == (3,)
    data = Csv(path="t.csv", label="year")
    assert data.shape == (2,) and data.label_names == ("2000", "2001", "2002")
    assert torch.equal(data.label_frequencies(), torch.full((3,), 1 / 3, dtype=torch.float64))
    swapped = Csv(path="t.csv", label=2, columns=("y", 1)).draw(12, generator()).x
    assert torch.equal(swapped[:, 0], -swapped[:, 1]) and swapped[:, 1].min() >= 0
    assert Csv(path="t.csv", columns=(3,)).shape == (1,)


def test_arrays_of_points() -> None:
    table = np.stack([np.arange(20.0), np.arange(20.0) % 3, -np.arange(20.0)], 1)
    np.save("t.npy", table)
    np.save("line.npy", table[:, 0].astype(np.int16))
    assert Npy(path="t.npy").shape == (3,) and Npy(path="line.npy").shape == (1,)
    data = Npy(path="t.npy", label=2)
    x, label = data.draw(20, generator())
    assert label is not None and data.shape == (2,) and torch.equal(x[:, 0].long() % 3, label)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (bytes_of(), bytes_of()[:, None] / 127.5 - 1),
        (bytes_of(30, 8, 8, 3), bytes_of(30, 8, 8, 3).transpose(0, 3, 1, 2) / 127.5 - 1),
        (bytes_of(30, 3, 8, 8), bytes_of(30, 3, 8, 8) / 127.5 - 1),
        (bytes_of() / 255, bytes_of()[:, None] / 127.5 - 1),
        (bytes_of() / 127.5 - 1, bytes_of()[:, None] / 127.5 - 1),
        (bytes_of().astype(np.float64), bytes_of()[:, None] / 127.5 - 1),
        (bytes_of().astype(np.uint16) * 257, bytes_of()[:, None] / 127.5 - 1),
        (bytes_of() > 99, 2.0 * (bytes_of()[:, None] > 99) - 1),
    ],
    ids=["grey", "last", "first", "unit", "both signs", "float bytes", "16 bits", "two colours"],
)
def test_images_however_they_are_stored(array: np.ndarray, expected: np.ndarray) -> None:
    np.savez("i.npz", data=array)
    x, real = Npz(path="i.npz").draw(30, generator()).x, torch.tensor(expected).float()
    order = [int((real - each).abs().flatten(1).sum(1).argmin()) for each in x]
    assert sorted(order) == list(range(30))
    torch.testing.assert_close(x, real[order], rtol=0, atol=1e-5)


def test_pictures_of_every_mode_in_one_folder() -> None:
    """Grey beside colour makes all RGB; what is transparent is white; sizes agree when they are made to."""
    made = {
        "grey": Image.new("L", (8, 8), 51), "wide": Image.new("RGB", (12, 8), (255, 0, 0)),
        "palette": Image.new("RGB", (8, 8), (0, 0, 255)).convert("P"), "two": Image.new("1", (8, 8), 1),
        "clear": Image.new("RGBA", (8, 8), (9, 9, 9, 0)),
        "deep": Image.fromarray(np.full((8, 8), 257 * 102, np.uint16)),
    }  # fmt: skip
    Path("pics").mkdir()
    for name, picture in made.items():
        picture.save(f"pics/{name}.png")
    data = Folder(path="pics", size=8)
    assert (data.shape, data.label_names, data.available, data.count) == ((3, 8, 8), (), 6, 6)
    colours = {tuple(((x[:, 0, 0] + 1) * 127.5).round().int().tolist()) for x in data.fixed().x}
    assert colours == {(51,) * 3, (255, 0, 0), (0, 0, 255), (255,) * 3, (102,) * 3}
    assert Folder(path="pics", size=8, channels=1).shape == (1, 8, 8)


# ── what is trained on and what is not ───────────────────────────────────────────────────────────────────────────────


def test_a_tenth_is_held_out_and_the_rest_trained_on() -> None:
    write_csv(Path("p.csv"), Moons().draw(105, generator()))
    data = Csv(path="p.csv")
    assert (data.count, data.available) == (95, 105)
    training, held = data.fixed().x, data.held_out(4096, generator()).x
    assert len(training) == 95 and len(held) == 10
    assert rows(torch.cat([training, held])) == rows(data.draw(105, generator()).x)
    fewer = data.model_copy(update={"n": 20})
    assert fewer.count == 20 and torch.equal(fewer.fixed().x, training[:20])
    assert rows(fewer.held_out(10, generator()).x) == rows(held)
    assert rows(data.model_copy(update={"seed": 1}).held_out(10, generator()).x) != rows(held)
    twice = data.draw(210, generator()).x
    assert rows(twice) == sorted(2 * rows(training) + 2 * rows(held))
    with pytest.raises(ValidationError, match="n = 96 is more than the 95 points to train on"):
        data.model_copy(update={"n": 96})


def test_a_split_in_the_file_is_kept() -> None:
    images, split = bytes_of(), np.arange(30) % 5 == 0
    np.savez("s.npz", x=images, label=np.arange(30) % 2, split=split)
    data = Npz(path="s.npz", names=("even", "odd"))
    assert (data.count, data.label_names) == (24, ("even", "odd"))
    assert rows(data.held_out(99, generator()).x) == rows(torch.tensor(images[split][:, None]).float() / 127.5 - 1)
    assert len(data.fixed().x) == 24


def test_constants_standardise() -> None:
    write_csv(Path("p.csv"), Batch(torch.randn(500, 3, generator=generator()) * 4 + 7, None))
    np.savez("i.npz", images=bytes_of(100))
    for data in (Csv(path="p.csv"), Npz(path="i.npz")):
        z = (data.draw(data.available or 0, generator()).x.double() - data.shift) / data.scale
        assert float(z.square().mean()) == pytest.approx(1, rel=1e-5)


def test_mirrored_images_are_the_same_every_other_time() -> None:
    np.savez("i.npz", images=bytes_of())
    data = Npz(path="i.npz", augment="hflip")
    x = data.fixed().x
    assert torch.equal(data.augmented(x, torch.full((27,), 0.2)), x.flip(-1))
    assert torch.equal(data.augmented(x, torch.full((27,), 0.7)), x)


def test_columns_in_different_units_are_told() -> None:
    x = torch.randn(50, 2, generator=generator())
    write_csv(Path("p.csv"), Batch(x, None))
    write_csv(Path("q.csv"), Batch(x * torch.tensor([1.0, 100.0]), None))
    assert Csv(path="p.csv").advice == ""
    assert "coordinate 2 varies" in Csv(path="q.csv").advice


# ── a model needs the file no more ───────────────────────────────────────────────────────────────────────────────────


def test_a_configuration_survives_its_file() -> None:
    write_csv(Path("p.csv"), Moons().draw(60, generator()))
    run = Run.model_validate({"data": {"kind": "csv", "path": "p.csv"}, "model": {"conditional": True}})
    text, before = json.dumps(run.model_dump(mode="json")), run.build()
    Path("p.csv").unlink()
    again = Run.model_validate(json.loads(text))
    assert again == run and again.data.label_names == ("0", "1")
    assert (
        again.total_steps == run.total_steps
        and again.build().network.state_dict().keys() == before.network.state_dict().keys()
    )
    assert torch.equal(again.data.shift, run.data.shift) and again.data.outline(9).shape == (9, 2)
    for ask in (lambda: again.data.draw(3, generator()), again.data.fixed):
        with pytest.raises(ToydiffError, match=r"p\.csv is not there"):
            ask()


def test_another_path_is_another_file_and_a_changed_one_is_noticed() -> None:
    for name, n in (("p.csv", 60), ("q.csv", 200)):
        write_csv(Path(name), Moons().draw(n, generator()))
    data = Csv(path="p.csv")
    assert (data.count, data.model_copy(update={"path": "q.csv"}).count) == (54, 180)
    write_csv(Path("p.csv"), Batch(torch.randn(80, 3, generator=generator()), None))
    with pytest.raises(ToydiffError, match=r"p\.csv has changed"):
        data.fixed()


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (1 << 20, 1 << 20)}, {"shape": (3,)}, {"shift": (0.0,) * 3}, {"scale": 0.0}, {"labels": ("a",)},
        {"shares": (2.0, 0.0)}, {"train": 0}, {"shift": (float("nan"), 0.0)},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_strangers_checkpoint_says_of_a_file_is_bounded(wrong: dict[str, Any]) -> None:
    write_csv(Path("p.csv"), Moons().draw(60, generator()))
    facts = Csv(path="p.csv").model_dump()
    facts["known"] |= wrong
    if "shape" in wrong and wrong["shape"] == (3,):  # moments of the plane
        assert len(facts["known"]["shift"]) == 2
    with pytest.raises(ValidationError):
        Csv.model_validate(facts)


# ── mixtures of any dimension ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dimension", [1, 10])
def test_a_mixture_draws_its_density_in_any_dimension(dimension: int) -> None:
    means = torch.randn(3, dimension, generator=generator(1))
    data = GaussianMixture(means=tuple(map(tuple, means.tolist())), std=(0.2, 0.5, 0.3), weights=(1, 2, 3))
    x, label = data.draw(20_000, generator(2))
    assert label is not None and x.shape == (20_000, dimension) == (20_000, *data.shape)
    theirs = data.exact().draw(20_000, generator(3))
    ours, others = (-data.log_prob(each).double() for each in (x, theirs))
    assert abs(ours.mean() - others.mean()) < 4 * (ours.std() ** 2 + others.std() ** 2) ** 0.5 / 20_000**0.5
    for k, std in enumerate((0.2, 0.5, 0.3)):
        mode = x[label == k].double() - means[k].double()
        assert float(mode.square().mean().sqrt()) == pytest.approx(std, rel=0.03)
    if dimension == 1:
        assert data.entropy == pytest.approx(float(ours.mean()), abs=4 * float(ours.std()) / 20_000**0.5)
