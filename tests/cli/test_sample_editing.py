"""toydiff sample: guidance, beginning from data, masks, the way between two seeds, and every class at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toydiff.data import Moons, Shapes
from toydiff.runs import load

from .conftest import Toydiff


def arrays(path: str | Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def opened(path: str) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
    return picture


def test_the_exact_denoiser_is_a_model(toydiff: Toydiff) -> None:
    done = toydiff("sample", "--checkpoint", "exact:swissroll", "-o", "x.png", "-n", "200")
    assert "200 samples of exact:swissroll" in done.stdout
    assert opened("x.png").width > 300
    done = toydiff("sample", "exact:moons@30", "-o", "x.npz", "-n", "50")
    assert "30 samples of moons: it has memorised them, and gives back nothing else" in done.stderr
    away = np.linalg.norm(arrays("x.npz")["x"][:, None] - Moons(n=30).fixed().x.numpy(), axis=2)
    assert away.min(1).max() < 1e-5


def test_guidance_by_interval_and_by_a_weaker_model(with_run: Path, toydiff: Toydiff) -> None:
    ways = {
        "plain": (),
        "guided": ("--guidance", "3"),
        "nowhere": ("--guidance", "3", "--guidance-interval", "1e-9,2e-9"),
        "between": ("--guidance", "3", "--guidance-interval", "0.5,5"),
        "by plain": ("--guidance", "3", "--guide", "plain"),
        "by itself": ("--guidance", "3", "--guide", "tiny"),
    }
    x, said = {}, {}
    for name, words in ways.items():
        done = toydiff("sample", "tiny", "-o", f"{name}.npz", "-n", "20", "--label", "1", *words)
        x[name], said[name] = arrays(f"{name}.npz")["x"], " ".join(done.stdout.split())
    assert np.array_equal(x["nowhere"], x["plain"])
    np.testing.assert_allclose(x["by itself"], x["plain"], atol=1e-4)
    for one, other in (("guided", "plain"), ("between", "plain"), ("between", "guided"), ("by plain", "guided")):
        assert np.abs(x[one] - x[other]).max() > 1e-3, (one, other)
    assert "guidance" not in said["plain"]
    assert said["guided"].endswith("guidance 3")
    assert said["between"].endswith("guidance 3 for sigma/alpha in 0.5 … 5")
    assert said["by plain"].endswith("guidance 3 by plain")
    toydiff("sample", "plain", "-o", "unconditional.npz", "-n", "5", "--guidance", "2", "--guide", "tiny")
    film = toydiff("animate", "tiny", "-o", "film.gif", "--frames", "3", "--label", "1", *ways["by plain"])
    assert "guidance 3 by plain" in " ".join(film.stdout.split())


def test_points_begin_where_they_are_told(here: Path, toydiff: Toydiff) -> None:
    data = load("exact:moons").data.draw(12, torch.Generator().manual_seed(0))
    np.savez("begin.npz", x=data.x.numpy())
    Path("begin.csv").write_text("x1,x2,label\n" + "\n".join(f"{a},{b},0" for a, b in data.x.tolist()))
    np.save("begin.npy", data.x.numpy())
    x = {}
    for kind in ("npz", "csv", "npy"):
        words = ("--init", f"begin.{kind}", "--strength", "0.02", "-o", f"{kind}.npz", "--json")
        assert json.loads(toydiff("sample", "exact:moons", *words).stdout)["n"] == 12
        x[kind] = arrays(f"{kind}.npz")["x"]
    np.testing.assert_allclose(x["npz"], x["csv"], atol=1e-6)
    np.testing.assert_allclose(x["npz"], x["npy"], atol=1e-6)
    assert np.linalg.norm(x["npz"] - data.x.numpy(), axis=1).max() < 0.2


def test_a_mask_keeps_what_is_zero(here: Path, toydiff: Toydiff) -> None:
    Path("point.csv").write_text("0.5,9\n")
    Path("mask.csv").write_text("0,1\n")
    words = ("--init", "point.csv", "--mask", "mask.csv", "--label", "upper", "-n", "40")
    toydiff("sample", "exact:moons", *words, "-o", "x.npz")
    x = arrays("x.npz")["x"]
    np.testing.assert_allclose(x[:, 0], 0.5, atol=1e-5)
    assert 0 < np.median(x[:, 1]) < 1.5


def test_pictures_begin_from_pictures(here: Path, toydiff: Toydiff) -> None:
    """Beside what is black in the mask nothing changes, to the last grey level."""
    picture = ((Shapes(n=5).fixed().x[0, 0] + 1) * 127.5).round().byte().numpy()
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = 255
    Image.fromarray(picture).save("begin.png")
    Image.fromarray(mask).save("mask.png")
    common = ("sample", "exact:shapes@5", "--init", "begin.png", "-n", "3", "--steps", "10")
    toydiff(*common, "--mask", "mask.png", "-o", "masked.npz")
    x = arrays("masked.npz")["x"]
    assert x.shape == (3, 1, 32, 32)
    np.testing.assert_allclose(x[:, 0, :, :16], np.broadcast_to(picture[:, :16] / 127.5 - 1, (3, 32, 16)), atol=1e-5)
    toydiff(*common, "--strength", "0.2", "-o", "near.npz")
    np.testing.assert_allclose(
        arrays("near.npz")["x"][:, 0], np.broadcast_to(picture / 127.5 - 1, (3, 32, 32)), atol=0.02
    )


def test_the_way_between_two_seeds(with_run: Path, toydiff: Toydiff) -> None:
    common = ("sample", "tiny", "--label", "0")
    facts = json.loads(toydiff(*common, "--interpolate", "3,7", "-o", "way.npz", "--json").stdout)
    assert facts["n"] == 9 and facts["seeds"] == [3, 7]
    x = arrays("way.npz")["x"]
    for place, seed in ((0, "3"), (-1, "7")):
        toydiff(*common, "--seed", seed, "-n", "1", "-o", f"{seed}.npz")
        np.testing.assert_allclose(x[place], arrays(f"{seed}.npz")["x"][0], atol=1e-4)
    toydiff(*common, "--interpolate", "3,7", "-n", "4", "-o", "way.png")
    assert opened("way.png").text["seeds"] == "from 3 to 7"  # type: ignore[attr-defined]


def test_every_class_with_the_same_seeds(with_run: Path, toydiff: Toydiff) -> None:
    facts = json.loads(toydiff("sample", "tiny", "--label", "all", "-n", "6", "-o", "all.npz", "--json").stdout)
    found = arrays("all.npz")
    assert facts["n"] == 12 and found["label"].tolist() == [0] * 6 + [1] * 6
    assert found["seed"].tolist() == [*range(6), *range(6)]
    for label in (0, 1):
        toydiff("sample", "tiny", "--label", str(label), "-n", "6", "-o", f"{label}.npz")
        np.testing.assert_allclose(found["x"][6 * label :][:6], arrays(f"{label}.npz")["x"], atol=1e-5)
    toydiff("sample", "tiny", "--label", "all", "-o", "all.png")
    assert opened("all.png").width > 300
    toydiff("sample", "tiny", "--label", "all", "--guidance", "2", "--interpolate", "1,2", "-n", "3", "-o", "way.npz")
    assert len(arrays("way.npz")["x"]) == 6


@pytest.mark.parametrize("words", [("--interpolate", "1,2"), ("--init", "p.csv", "--strength", "0.5")])
def test_an_edit_of_no_class_cannot_be_guided(words: tuple[str, ...], with_run: Path, toydiff: Toydiff) -> None:
    Path("p.csv").write_text("0,0\n")
    done = toydiff("sample", "tiny", "-o", "x.png", "--guidance", "2", *words, code=2)
    assert "--guidance leads towards a class, and there is none" in done.stderr
