"""Points from a picture: their density is the picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toydiff.data import Picture
from toydiff.errors import ToydiffError
from toydiff.schedules import Level


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(pixels: np.ndarray, name: str = "p.png") -> str:
    Image.fromarray(pixels.astype(np.uint8)).save(name)
    return name


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_darkness_is_density_and_up_is_up() -> None:
    """One black pixel at the upper left, a grey one half as dark at the lower right: 2 / 3 and 1 / 3."""
    pixels = np.full((10, 12), 255)
    pixels[1, 1], pixels[8, 9] = 0, 127.5
    data = Picture(path=save(pixels), size=9.0)  # the margins cut off: 9 pixels across, 8 up
    x = data.draw(30_000, generator()).x
    upper = (x[:, 0] < 0) & (x[:, 1] > 0)
    black = 255 / (255 + 128)
    assert float(upper.float().mean()) == pytest.approx(black, abs=0.01)
    assert bool((x[upper].floor() == torch.tensor([-5.0, 3.0])).logical_or(x[upper] >= torch.tensor([-4.5, 3.0])).all())
    inside = torch.tensor([[-4.0, 3.5], [4.0, -3.5], [0.0, 0.0]])
    expected = torch.tensor([math.log(black), math.log(1 - black), -math.inf])
    torch.testing.assert_close(data.log_prob(inside), expected, atol=5e-3, rtol=0)
    law = torch.tensor([black, 1 - black])
    assert data.entropy == pytest.approx(float(-(law * law.log()).sum()), abs=1e-3)


def test_draws_and_density_are_one_distribution() -> None:
    rng = np.random.default_rng(0)
    data = Picture(path=save(np.where(rng.random((40, 60)) < 0.2, rng.integers(0, 200, (40, 60)), 255)))
    x = data.draw(20_000, generator()).x
    surprise = -data.log_prob(x).double()
    assert surprise.isfinite().all() and data.entropy is not None
    assert abs(float(surprise.mean()) - data.entropy) < 4 * float(surprise.std()) / 20_000**0.5
    z = (x - data.shift) / data.scale
    assert float(z.square().mean()) == pytest.approx(1, abs=0.02) and z.mean(0).abs().max() < 0.03
    level = Level(0.0, 1.0, 0.05)
    noisy = x[:500] + 0.05 * torch.randn(500, 2, generator=generator(1))
    assert float((data.exact()(noisy, level) - x[:500]).square().mean()) < 0.05**2  # better than no denoising


def test_noise_blurs_the_edges() -> None:
    """A black square of side 4 becomes one whose sides are normal distribution functions."""
    path = save(np.zeros((12, 12)))
    hard, soft = Picture(path=path), Picture(path=path, noise=0.1)
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.1, -2.0], [2.5, 0.0]]).double()
    sides = torch.special.ndtr((2 - x.abs()) / 0.1).prod(1) / 16
    torch.testing.assert_close(soft.log_prob(x), sides.log(), atol=1e-4, rtol=0)
    assert hard.log_prob(x)[2:].isneginf().all()
    drawn = soft.draw(20_000, generator()).x
    assert float((drawn[:, 0] > 2).float().mean()) == pytest.approx(0.1 / math.sqrt(2 * math.pi) / 4, rel=0.15)
    assert float(drawn.square().mean().sqrt()) == pytest.approx(math.sqrt(4 / 3 + 0.01), rel=0.01)
    assert Picture(path=path, noise=4 / 4096).entropy == pytest.approx(hard.entropy, abs=2e-3)
    assert soft.entropy is not None and hard.entropy is not None and soft.entropy > hard.entropy
    assert soft.scale == pytest.approx(math.sqrt(4 / 3 + 0.01)) and hard.scale == pytest.approx(math.sqrt(4 / 3))


def test_paper_ink_and_what_is_transparent() -> None:
    paper = np.full((20, 20), 240)
    paper[5:8, 5:15] = 40
    assert Picture(path=save(paper)).draw(500, generator()).x[:, 1].abs().max() <= 0.6  # a stroke, 4 long, 1.2 wide
    glow = Picture(path=save(255 - paper), invert=True)
    assert glow.known is not None and glow.known.shape == (2,)
    rgba = np.zeros((20, 20, 4))
    rgba[5:8, 5:15, 3] = 255  # black everywhere, opaque in the stroke
    torch.testing.assert_close(
        Picture(path=save(rgba, "a.png")).draw(50, generator()).x,
        Picture(path="p.png", invert=True).draw(50, generator()).x,
    )


def test_large_pictures_are_scaled_down() -> None:
    pixels = np.full((300, 900), 255)
    pixels[:, ::2] = 0  # stripes finer than the lattice: an even grey
    data = Picture(path=save(pixels), resolution=30)
    x = data.draw(4000, generator()).x
    assert x[:, 0].abs().max() <= 2 and x[:, 1].abs().max() <= 2 / 3 + 1e-6
    assert data.entropy == pytest.approx(math.log(4 * 4 / 3), abs=0.02)


def test_without_its_picture_it_still_has_its_constants() -> None:
    data = Picture(path=save(np.eye(16) * 255))
    stored = data.model_dump(mode="json")
    Path("p.png").unlink()
    again = Picture.model_validate(stored)
    assert again == data and torch.equal(again.shift, data.shift) and again.outline(5).shape == (5, 2)
    assert again.entropy is None
    # a setting that is newer than what was kept is at its default: the file need not be looked at
    stored["known"]["settings"] = stored["known"]["settings"].replace(', "noise": 0.0', "")
    assert "noise" not in stored["known"]["settings"]
    assert torch.equal(Picture.model_validate(stored).shift, data.shift)
    for asked in ('{"size": 4.0', "[1]", stored["known"]["settings"].replace("4.0", "5.0")):
        with pytest.raises(ToydiffError, match=r"p\.png is not there"):
            Picture.model_validate({**stored, "known": {**stored["known"], "settings": asked}})
    with pytest.raises(ToydiffError, match=r"p\.png is not there"):
        Picture.model_validate({**stored, "noise": 0.5})
    with pytest.raises(ToydiffError, match=r"p\.png is not there"):
        again.log_prob(torch.zeros(1, 2))
