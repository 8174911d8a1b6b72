"""The average of the weights: its half-life, its ramp, and that it touches nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from toydiff.training import EMA


def test_half_life_means_half() -> None:
    """After the ramp, a weight's share in the average halves in half_life · total steps."""
    ema = EMA(half_life=0.05, ramp=1.0)
    left = 1.0
    for step in range(500, 550):
        left *= ema.decay(step, 1000)
    assert left == pytest.approx(0.5, rel=1e-12)


def test_the_ramp_shortens_the_first_half_lives() -> None:
    ema = EMA(half_life=0.02, ramp=0.05)
    assert ema.decay(100, 10_000) == pytest.approx(0.5 ** (1 / 5))  # 0.05 · 100 steps
    assert ema.decay(4000, 10_000) == ema.decay(10_000, 10_000) == pytest.approx(0.5 ** (1 / 200))
    decays = [ema.decay(step, 10_000) for step in range(1, 10_001)]
    assert decays == sorted(decays) and 0 <= decays[0] < 1e-5  # the first average is nearly the first weights
    lingering = 1.0
    for decay in decays[:200]:
        lingering *= decay
    assert lingering < 1e-20  # nothing of the random start is left after 2 % of the run


def test_no_half_life_is_no_average() -> None:
    model, average = nn.Linear(3, 2), nn.Linear(3, 2)
    EMA(half_life=0).update(average, model, 1, 100)
    assert EMA(half_life=0).decay(50, 100) == 0
    assert all(torch.equal(a, b) for a, b in zip(average.parameters(), model.parameters(), strict=True))


def test_the_update_is_the_formula_and_leaves_the_model_alone() -> None:
    model, average = nn.Linear(3, 2), nn.Linear(3, 2)
    ema, before = EMA(half_life=0.1, ramp=1), [p.detach().clone() for p in average.parameters()]
    weights = [p.detach().clone() for p in model.parameters()]
    ema.update(average, model, 5, 100)
    decay = 0.5**0.2  # still on the ramp
    for a, old, new in zip(average.parameters(), before, weights, strict=True):
        torch.testing.assert_close(a.detach(), decay * old + (1 - decay) * new)
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))


def test_the_average_of_steady_weights_is_those_weights() -> None:
    model, average = nn.Linear(3, 2), nn.Linear(3, 2)
    for step in range(1, 201):
        EMA().update(average, model, step, 200)
    for a, b in zip(average.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
