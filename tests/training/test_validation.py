"""The validation loss: the same draws at every call, against closed forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toydiff.data import Gaussians
from toydiff.denoiser import Denoiser
from toydiff.networks import MLP
from toydiff.schedules import Cosine, Flow, Level
from toydiff.training import Training, Validator

CPU = torch.device("cpu")


class Zero(nn.Module):
    def forward(self, x: Tensor, level: Level, label: Tensor | None) -> Tensor:
        return torch.zeros_like(x)


def validator(n: int = 4000, seed: int = 0, **options: Any) -> Validator:
    return Validator(Gaussians(), Training(**options), n=n, seed=seed, device=CPU)


def test_it_is_the_same_number_at_every_call_whatever_the_batch_size() -> None:
    torch.manual_seed(0)
    denoiser = Denoiser(MLP(widths=(8,)).build((2,)), "v", Flow())
    torch.nn.init.normal_(denoiser.network.last.weight)  # type: ignore[union-attr, arg-type]
    check = validator(n=1000)
    first = check(denoiser)
    torch.rand(100)
    assert check(denoiser) == first == validator(n=1000)(denoiser)
    assert check(denoiser, batch_size=64).loss == pytest.approx(first.loss, rel=1e-6)
    assert validator(n=1000, seed=1)(denoiser).loss != first.loss


def test_who_predicts_nothing_has_the_loss_of_the_target_itself() -> None:
    """eps: E eps² = 1 at every level. flow: E|eps − x_0|² = 1 + 1 in model units, where x_0 has RMS 1."""
    data = Gaussians()
    for target, expected in (("eps", 1.0), ("flow", 2.0)):
        denoiser = Denoiser(Zero(), target, Flow(), shift=data.shift, scale=data.scale)  # type: ignore[arg-type]
        result = validator()(denoiser)
        assert result.loss == pytest.approx(expected, rel=4 * (2 / 8000) ** 0.5)
        assert all(loss == pytest.approx(expected, rel=4 * (2 / 800) ** 0.5) for _, loss in result.bins)


def test_the_bins_are_ten_equal_shares_from_clean_to_noisy_and_average_to_the_loss() -> None:
    denoiser = Denoiser(Zero(), "v", Cosine(T=None))
    result = validator(n=1000)(denoiser)
    log_snr = [value for value, _ in result.bins]
    assert len(result.bins) == 10 and log_snr == sorted(log_snr, reverse=True)
    assert sum(loss for _, loss in result.bins) / 10 == pytest.approx(result.loss, rel=1e-6)
    t = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000  # one level in each thousandth of the density
    expected = Cosine(T=None)(t).log_snr.reshape(10, 100).mean(1)
    assert log_snr == pytest.approx(expected.tolist(), rel=1e-9)


def test_it_leaves_no_gradient_and_changes_nothing() -> None:
    denoiser = Denoiser(MLP(widths=(8,)).build((2,), classes=8), "v", Flow())
    before = [p.detach().clone() for p in denoiser.parameters()]
    validator(n=100)(denoiser)
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, denoiser.parameters(), strict=True))
