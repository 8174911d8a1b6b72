"""Guidance is a denoiser made of two; clipping comes after it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from toydiff.denoiser import Denoiser
from toydiff.guidance import Clipped, Guided
from toydiff.oracle import Mixture
from toydiff.schedules import Cosine, Level, noise_levels

SCHEDULE = Cosine(T=None)
LABEL = torch.tensor([0, 1, 1, 0, 1, 0])
X = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))


class ByLabel(nn.Module):
    """A conditional network whose answer depends on the label: row `classes` of its table is "none"."""

    classes = 2

    def forward(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
        none = torch.full((len(x),), self.classes)
        return x.sin() * torch.tensor([1.1, -0.7, 0.3])[none if label is None else label, None]


@pytest.fixture
def denoiser() -> Denoiser:
    return Denoiser(ByLabel(), "v", SCHEDULE)


@pytest.mark.parametrize("t", [0.01, 0.3, 1.0])
def test_scale_one_is_conditional_and_scale_zero_unconditional_to_the_bit(denoiser: Denoiser, t: float) -> None:
    level = SCHEDULE(t)
    conditional, unconditional = denoiser(X, level, LABEL), denoiser(X, level, None)
    assert not torch.equal(conditional, unconditional)
    assert torch.equal(Guided(denoiser, LABEL, 1)(X, level), conditional)
    assert torch.equal(Guided(denoiser, LABEL, 0)(X, level), unconditional)


@pytest.mark.parametrize("scale", [-1.0, 0.5, 2.0, 7.5])
def test_guidance_goes_along_the_line_through_both(denoiser: Denoiser, scale: float) -> None:
    level = SCHEDULE(0.6)
    conditional, unconditional = denoiser(X, level, LABEL), denoiser(X, level, None)
    expected = unconditional + scale * (conditional - unconditional)
    torch.testing.assert_close(Guided(denoiser, LABEL, scale)(X, level), expected, rtol=1e-5, atol=1e-6)


def test_guidance_is_the_same_line_in_eps() -> None:
    """Ho & Salimans 2022 write it in eps; x_0 is affine in eps, so nothing changes."""
    oracle = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.3, labels=torch.tensor([0, 1]))
    x, level = X.double(), SCHEDULE(0.7)

    def eps(x0: Tensor) -> Tensor:
        return (x - level.alpha * x0) / level.sigma

    guided = eps(Guided(oracle, LABEL, 3.0)(x, level))  # type: ignore[arg-type]
    conditional, unconditional = eps(oracle(x, level, LABEL)), eps(oracle(x, level))
    torch.testing.assert_close(guided, unconditional + 3 * (conditional - unconditional), rtol=1e-11, atol=1e-11)


def test_clipping_keeps_to_the_range_and_comes_after_guidance(denoiser: Denoiser) -> None:
    guided = Guided(denoiser, LABEL, 20.0)
    clipped = Clipped(guided, -0.5, 0.25)
    for level in noise_levels(SCHEDULE, 5)[:-1]:
        free, kept = guided(X, level), clipped(X, level)
        assert kept.min() >= -0.5 and kept.max() <= 0.25
        inside = (free >= -0.5) & (free <= 0.25)
        assert not inside.all()
        assert torch.equal(kept[inside], free[inside])
        assert torch.equal(kept[free > 0.25], torch.full_like(kept[free > 0.25], 0.25))


def test_each_coordinate_may_have_its_own_range() -> None:
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.5], dtype=torch.float64)
    clipped = Clipped(lambda x, level: 10 * x, low, high)(X, SCHEDULE(0.5))
    assert clipped.dtype == X.dtype
    assert torch.equal(clipped, torch.minimum(torch.maximum(10 * X, low), high.float()))
