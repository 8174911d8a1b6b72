"""Learning rates as functions of (step, total), and optimizers that can refuse a step on the device."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toydiff.errors import ToydiffError
from toydiff.spec import kinds
from toydiff.training.optimizers import (
    Adam,
    AdamW,
    AnyOptimizer,
    AnyRate,
    ConstantRate,
    CosineRate,
    LinearRate,
    StepRate,
    restore,
)

RATES = kinds(AnyRate)
OPTIMIZERS = kinds(AnyOptimizer)
every_rate = pytest.mark.parametrize("kind", RATES)
every_optimizer = pytest.mark.parametrize("kind", OPTIMIZERS)


# ── rates ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_rate
@pytest.mark.parametrize("total", [1, 7, 1000])
def test_every_rate_is_a_share_at_every_step(kind: str, total: int) -> None:
    for warmup in (0.0, 0.1, 1.0):
        rate: Any = RATES[kind](warmup=warmup)  # type: ignore[call-arg]
        factors = [rate(step, total) for step in range(1, total + 1)]
        assert all(0 <= factor <= 1 for factor in factors)
        assert all(factor > 0 for factor in factors)  # no update does nothing, the first and the last included


@every_rate
def test_warm_up_is_a_straight_line_from_zero_and_then_the_kinds_own_curve(kind: str) -> None:
    rate: Any = RATES[kind](warmup=0.2)  # type: ignore[call-arg]
    for step in range(1, 20):
        assert rate(step, 100) == pytest.approx(step / 20, rel=1e-12)
    assert rate(20, 100) == pytest.approx(1, rel=1e-12)
    assert rate(12, 61) == pytest.approx(12 / 12.2, rel=1e-12)  # its end may fall between two steps
    plain: Any = RATES[kind]()
    for step in range(21, 101):
        assert rate(step, 100) == pytest.approx(plain((step - 21) * 100 + 1, 80 * 100), rel=1e-9, abs=1e-12)


@every_rate
def test_rates_never_rise_after_the_warm_up(kind: str) -> None:
    rate: Any = RATES[kind](warmup=0.1)  # type: ignore[call-arg]
    factors = [rate(step, 200) for step in range(20, 201)]
    assert all(a >= b for a, b in pairwise(factors))


def test_where_the_rates_are() -> None:
    """As PyTorch's schedulers: step k is made at the rate of k − 1 steps done."""
    assert CosineRate()(1, 100) == LinearRate()(1, 100) == StepRate()(1, 100) == 1
    assert CosineRate(final=0.1)(100_000, 100_000) == pytest.approx(0.1, abs=1e-8)
    assert CosineRate()(51, 100) == pytest.approx(0.5)
    assert CosineRate()(26, 100) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert LinearRate()(100, 100) == pytest.approx(0.01)
    assert LinearRate(final=0.2)(51, 100) == pytest.approx(0.6)
    assert [StepRate(every=0.25, gamma=0.5)(step, 100) for step in (25, 26, 50, 51, 76, 100)] == pytest.approx(
        [1, 0.5, 0.5, 0.25, 0.125, 0.125]
    )
    assert StepRate(every=0.1, gamma=0.5)(31, 100) == 0.125  # 0.3/0.1 is 2.9999…
    assert {ConstantRate()(step, 100) for step in (1, 50, 100)} == {1.0}


# ── optimizers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def after(kind: str, gradients: list[Tensor], found_inf: list[float], **options: Any) -> tuple[nn.Parameter, Any]:
    parameter = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = OPTIMIZERS[kind](**options).build([parameter])  # type: ignore[attr-defined]
    for gradient, bad in zip(gradients, found_inf, strict=True):
        parameter.grad = gradient.clone()
        optimizer.found_inf, optimizer.grad_scale = torch.tensor(float(bad)), None
        optimizer.step()
    return parameter, optimizer


@every_optimizer
def test_a_refused_step_leaves_no_trace(kind: str) -> None:
    good, more = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([-0.2, 0.5, 0.1])
    bad = torch.tensor([math.nan, math.inf, 1.0])
    clean, clean_optimizer = after(kind, [good, more], [0, 0])
    guarded, optimizer = after(kind, [bad, good, bad, bad, more], [1, 0, 1, 1, 0])
    assert torch.equal(clean, guarded)
    state, clean_state = optimizer.state[guarded], clean_optimizer.state[clean]
    assert state.keys() == clean_state.keys()
    assert all(torch.equal(state[key], clean_state[key]) for key in state)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_and_adamw_are_the_papers(weight_decay: float) -> None:
    """Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2."""
    gradients = [torch.tensor([0.3, -1.0, 2.0]), torch.tensor([-0.2, 0.5, 0.1]), torch.tensor([1.0, 0.0, -3.0])]
    theta = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    m, v = torch.zeros(2, 3, dtype=torch.float64)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g.double() ** 2
        theta = theta - 0.01 * weight_decay * theta
        theta = theta - 0.01 * (m / (1 - 0.8**t)) / ((v / (1 - 0.95**t)).sqrt() + 1e-8)
    options = {"lr": 0.01, "beta1": 0.8, "beta2": 0.95}
    adamw, _ = after("adamw", gradients, [0, 0, 0], weight_decay=weight_decay, **options)
    torch.testing.assert_close(adamw.detach(), theta.float(), rtol=1e-6, atol=1e-6)
    if weight_decay == 0:
        adam, _ = after("adam", gradients, [0, 0, 0], **options)
        torch.testing.assert_close(adam.detach(), theta.float(), rtol=1e-6, atol=1e-6)


def test_their_numbers_reach_torch() -> None:
    for spec in (Adam(lr=0.1, beta1=0.5, beta2=0.7), AdamW(lr=0.1, beta1=0.5, beta2=0.7, weight_decay=0.3)):
        [group] = spec.build([nn.Parameter(torch.zeros(1))]).param_groups
        assert group["lr"] == 0.1 and group["betas"] == (0.5, 0.7)
        assert group["weight_decay"] == getattr(spec, "weight_decay", 0)


def test_moments_of_another_shape_are_refused() -> None:
    """Fused Adam takes the size of the parameter for the size of its moments, in memory."""
    network = nn.Linear(3, 2)
    optimizer = AdamW().build(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    restore(AdamW(), AdamW().build(network.parameters()), state)
    for key, moments in (
        (0, {"exp_avg": torch.ones(2)}), (1, {"exp_avg_sq": torch.ones(2, dtype=torch.long)}), (0, {"step": 3}),
        (5, {}), ("0", {}), (0, {"exp_avg": torch.ones(1).expand(2, 4)}),
    ):  # fmt: skip
        odd = {
            "state": state["state"] | {key: state["state"].get(key, state["state"][0]) | moments},
            "param_groups": [],
        }
        with pytest.raises(ToydiffError, match="does not fit the network"):
            restore(AdamW(), AdamW().build(network.parameters()), odd)
    said = {"does not fit the network": ([1], torch.zeros(2)), "is missing": (None, {})}
    for words, states in said.items():
        for kept in states:
            with pytest.raises(ToydiffError, match=words):
                restore(AdamW(), AdamW().build(network.parameters()), {"state": kept})
    with pytest.raises(ToydiffError, match="is missing"):
        restore(AdamW(), AdamW().build(network.parameters()), {})
