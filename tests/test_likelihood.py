"""The likelihood along the ODE against densities in closed form, its order, and its estimate of the trace."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toydiff.denoiser import Denoiser, target_coefficients
from toydiff.errors import ConfigurationError
from toydiff.likelihood import log_prob
from toydiff.oracle import ExactDenoiser, Gaussian, Mixture
from toydiff.schedules import EDM, Cosine, Flow, Level, Linear, LogLinear, Schedule

SCHEDULES: list[Schedule] = [Cosine(T=None), Linear(T=1000), LogLinear(sigma_min=5e-4), EDM(sigma_min=5e-4), Flow()]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.kind)


def mixture() -> Mixture:
    """Five modes of widths 0.08 … 0.5, of mean 0 and RMS 1."""
    means = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    oracle = Mixture(means, torch.tensor([0.3, 0.1, 0.5, 0.08, 0.2]), labels=torch.tensor([0, 0, 1, 1, 1]))
    return oracle.affine(oracle.mean, oracle.rms)


def points(oracle: ExactDenoiser, n: int) -> Tensor:
    return oracle.draw(n, torch.Generator().manual_seed(1)).double()


# ── closed forms ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("schedule", [Cosine(T=None), LogLinear(sigma_min=5e-4)], ids=lambda s: s.kind)
def test_the_flow_of_the_exact_denoiser_has_the_mixtures_density(schedule: Schedule) -> None:
    """To 1e-3 nats at every one of 1,000 points, with the exact law at the noisy end."""
    oracle = mixture()
    x = points(oracle, 1000)
    error = log_prob(oracle, x, schedule, prior=oracle.log_prob) - oracle.log_prob(x)
    assert error.abs().max() < 1e-3


@every_schedule
def test_a_gaussian_end_is_good_enough(schedule: Schedule) -> None:
    oracle = mixture()
    x = points(oracle, 150)
    error = log_prob(oracle, x, schedule) - oracle.log_prob(x)
    assert error.abs().max() < 2e-3 and error.abs().mean() < 2e-4


@pytest.mark.parametrize("std", [0.02, 1.0, 5.0])
def test_a_gaussian_of_another_scale(std: float) -> None:
    oracle = Gaussian(torch.zeros(1, 2, 2), std)
    x = points(oracle, 20)
    error = log_prob(oracle, x, Cosine(T=None), steps=100, sigma_data=std) - oracle.log_prob(x)
    assert error.abs().max() < 1e-3


class Perfect(nn.Module):
    """The network that answers with the conditional mean of the target itself."""

    def __init__(self, oracle: ExactDenoiser, target: str) -> None:
        super().__init__()
        self.oracle, self.target = oracle, target

    def forward(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
        x0 = self.oracle(x, level, label)
        a, b = target_coefficients(self.target, level)
        return a * x0 + b * (x - level.alpha * x0) / level.sigma


@pytest.mark.parametrize(
    ("target", "schedule"),
    [("eps", Linear(T=None)), ("v", Cosine(T=None)), ("score", LogLinear(sigma_min=5e-4)), ("edm", EDM(sigma_min=5e-4)),
     ("flow", Flow()), ("x0", Linear(T=1000, zero_terminal_snr=True))],
)  # fmt: skip
def test_a_perfect_network_of_any_target_and_schedule(target: Any, schedule: Schedule) -> None:
    oracle = mixture()
    denoiser = Denoiser(Perfect(oracle, target), target, schedule, normalize_input=False)
    x = points(oracle, 40)
    error = log_prob(denoiser, x, schedule, steps=100) - oracle.log_prob(x)
    assert error.abs().max() < 5e-3


def test_of_a_class() -> None:
    oracle = mixture()
    x = points(oracle, 40)
    error = log_prob(lambda x, level: oracle(x, level, 1), x, Flow(), steps=100) - oracle.log_prob(x, label=1)
    likely = oracle.log_prob(x, label=1) > -10
    assert likely.sum() > 10 and error[likely].abs().max() < 5e-3


# ── numbers of steps, and of probes ──────────────────────────────────────────────────────────────────────────────────


def test_the_error_falls_with_the_fourth_power_of_the_step() -> None:
    oracle = Mixture(torch.tensor([[-0.9, 0.0], [0.9, 0.5]]), 0.35)
    x = points(oracle, 30)
    truth = oracle.log_prob(x)
    errors = [
        float((log_prob(oracle, x, Cosine(T=None), steps=n, prior=oracle.log_prob) - truth).abs().mean())
        for n in (20, 40, 80)
    ]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders[-1] == pytest.approx(4.0, abs=0.7)


def test_all_sign_vectors_together_give_the_exact_trace() -> None:
    """Over the 2³ equally likely Rademacher probes Hutchinson's estimate averages to the trace: exactly."""
    means = torch.randn(4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    oracle = Mixture(means, 0.4)
    x = points(oracle, 10)
    exact = log_prob(oracle, x, Flow(), steps=8)
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=3)), dtype=torch.float64)[:, None]
    torch.testing.assert_close(log_prob(oracle, x, Flow(), steps=8, probes=signs), exact, rtol=1e-10, atol=1e-10)
    alone = torch.stack([log_prob(oracle, x, Flow(), steps=8, probes=v[None]) for v in signs])
    torch.testing.assert_close(alone.mean(0), exact, rtol=1e-10, atol=1e-10)
    assert (alone.std(0) > 1e-3).all()


def test_probes_of_each_point_its_own() -> None:
    oracle = mixture()
    x = points(oracle, 5)
    v = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    together = log_prob(oracle, x, Flow(), steps=10, probes=v)
    alone = torch.cat([log_prob(oracle, x[k : k + 1], Flow(), steps=10, probes=v[:, k : k + 1]) for k in range(5)])
    torch.testing.assert_close(together, alone)


def test_float32_is_near_and_keeps_its_type() -> None:
    oracle = mixture()
    x = points(oracle, 40)
    near = log_prob(oracle, x.float(), Flow(), steps=50)
    assert near.dtype == torch.float32 and not near.requires_grad
    torch.testing.assert_close(near.double(), log_prob(oracle, x, Flow(), steps=50), rtol=1e-4, atol=1e-3)


def test_no_steps_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 steps"):
        log_prob(mixture(), torch.zeros(1, 2), Flow(), steps=0)
