"""The methods that remember: against their integrals, one another, and what public copies make of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from toydiff.oracle import Gaussian, Mixture
from toydiff.samplers import DDIM, DEIS, IPNDM, DPMpp2M, DPMpp3M, Frame, Sampler, UniPC, multistep, noise_levels
from toydiff.schedules import Cosine, Flow, Level, Linear, LogLinear, Schedule

ORACLE = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.3)
MULTISTEP = [DPMpp2M(), DPMpp3M(), UniPC(), UniPC(p=3), UniPC(p=3, corrector=False), DEIS(), IPNDM()]
START = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def name(spec: Any) -> str:
    return " ".join([spec.kind, *(f"{k}={v}" for k, v in spec.model_dump(exclude_defaults=True).items())])


def walk(sampler: Sampler, levels: list[Level], denoise: Any = ORACLE, x: Tensor = START) -> list[Frame]:
    return list(sampler.trajectory(denoise, x, levels, torch.zeros_like))


@pytest.mark.parametrize(
    ("method", "degree", "sign"), [(DPMpp3M(), 2, 1), (UniPC(p=3, corrector=False), 2, 1), (DEIS(), 1, -1)], ids=str
)
@pytest.mark.parametrize("schedule", [Linear(T=None), LogLinear(), Flow()], ids=name)
def test_a_polynomial_in_log_snr_is_integrated_exactly(
    schedule: Schedule, method: Sampler, degree: int, sign: int
) -> None:
    """x_s = sigma_s/sigma_t x_t + sigma_s ∫ e^λ x̂_0 dλ, or alpha_s/alpha_t x_t − alpha_s ∫ e^−λ ε̂ dλ, by quadrature."""

    def q(lam: float) -> float:
        return 0.4 - 0.3 * lam + (0.2 * lam**2 if degree == 2 else 0)

    def denoise(x: Tensor, level: Level) -> Tensor:
        value = torch.full_like(x, q(float(level.log_snr) / 2))
        return value if sign == 1 else (x - level.sigma * value) / level.alpha

    levels = [schedule(t) for t in schedule.time_of(torch.tensor([-5.0, -4.2, -3.4, -2.4, -1.5, -0.5, 0.4, 1.2]))]
    x = torch.ones(1, 1, dtype=torch.float64)
    for k, ((t, s), frame) in enumerate(zip(pairwise(levels), walk(method, levels, denoise, x), strict=True)):
        if k >= degree:  # as many estimates as the polynomial needs
            scale = s.sigma / t.sigma if sign == 1 else s.alpha / t.alpha
            ends = float(t.log_snr) / 2, float(s.log_snr) / 2
            integral = quad(lambda lam: math.exp(sign * lam) * q(lam), *ends, epsabs=1e-13)[0]
            expected = scale * x + sign * (s.sigma if sign == 1 else s.alpha) * integral
            torch.testing.assert_close(frame.x, expected, rtol=1e-9, atol=1e-9)
        x = frame.x


def test_dpmpp_2m_is_algorithm_2_as_printed() -> None:
    """x_s = sigma_s/sigma_t x_t − alpha_s (e^−h − 1) D, D = (1 + 1/2r) x̂_0 − 1/2r x̂_0' (Lu et al. 2022)."""
    levels = noise_levels(Linear(), 12, "log_snr")
    lam = [math.log(float(level.alpha / level.sigma)) if level.sigma > 0 else math.inf for level in levels]
    x, before = START, None
    for k, frame in enumerate(walk(DPMpp2M(), levels)[:-1]):
        t, s, h = levels[k], levels[k + 1], lam[k + 1] - lam[k]
        now = ORACLE(x, t)
        D = now
        if before is not None:
            r = (lam[k] - lam[k - 1]) / h
            D = (1 + 1 / (2 * r)) * now - 1 / (2 * r) * before
        x, before = s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * D, now
        torch.testing.assert_close(frame.x, x, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("spacing", ["trailing", "log_snr", "linspace"])
@pytest.mark.parametrize("schedule", [Linear(), Cosine(T=None), Flow(), LogLinear()], ids=name)
def test_unipc_without_corrector_is_dpmpp(schedule: Schedule, spacing: str) -> None:
    levels = noise_levels(schedule, 15, spacing)
    for p, other in ((2, DPMpp2M()), (3, DPMpp3M())):
        ours = walk(UniPC(p=p, corrector=False), levels)  # type: ignore[arg-type]
        for one, two in zip(ours, walk(other, levels), strict=True):
            torch.testing.assert_close(one.x, two.x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", MULTISTEP, ids=name)
def test_an_endless_step_is_first_order_and_drops_the_history(method: Sampler) -> None:
    """Out of alpha = 0, and the step after it, which has no history; and into sigma = 0."""
    levels = noise_levels(Flow(), 6)
    frames, euler = walk(method, levels), walk(DDIM(), levels)
    torch.testing.assert_close(frames[0].x, euler[0].x)
    if not (isinstance(method, UniPC) and method.corrector):
        torch.testing.assert_close(frames[1].x, euler[1].x)
    assert (frames[2].x - euler[2].x).abs().max() > 1e-3
    torch.testing.assert_close(frames[-1].x, frames[-1].x0)


@pytest.mark.parametrize("method", MULTISTEP[:5], ids=name)
def test_no_grid_turns_looking_back_into_garbage(method: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linspace's last step is so long that public copies end far outside the data; over short steps all is kept."""
    x = torch.linspace(-2, 2, 50, dtype=torch.float64)[:, None].expand(50, 2)
    kept = {
        spacing: walk(method, noise_levels(Cosine(T=None), 20, spacing), x=x)[-1].x
        for spacing in ("linspace", "leading", "trailing")
    }
    fine = noise_levels(Cosine(T=None), 25, "log_snr")
    kept_fine = walk(method, fine, x=x)[-1].x
    monkeypatch.setattr(multistep, "steady", lambda past, t, s: past)
    plain = {spacing: walk(method, noise_levels(Cosine(T=None), 20, spacing), x=x)[-1].x for spacing in kept}
    for spacing in ("linspace", "leading"):
        assert kept[spacing].abs().max() < 2.2
    assert (plain["linspace"] - kept["linspace"]).abs().max() > 0.3
    assert torch.equal(walk(method, fine, x=x)[-1].x, kept_fine)
    if method.order == 2:
        assert torch.equal(plain["trailing"], kept["trailing"])


def interior_error(sampler: Sampler, steps: int) -> float:
    """Return the error from log-SNR −4 to 4 on Gaussian data, on a grid whose first step is about n^−1.5."""
    ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64) ** 1.5
    levels = [Level.at(log_snr) for log_snr in 8 * ramp - 4]
    gaussian = Gaussian(torch.zeros(2), 0.5)
    scale = [(level.alpha**2 * 0.25 + level.sigma**2).sqrt() for level in (levels[0], levels[-1])]
    return float((walk(sampler, levels, gaussian)[-1].x / scale[1] - START / scale[0]).abs().max())


def interior_order(sampler: Sampler) -> float:
    return math.log2(interior_error(sampler, 40) / interior_error(sampler, 80))


def test_half_the_second_difference_is_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies of dpmpp_3m that go round take the divided difference for the derivative: φ_3 D_2, a factor ½."""
    assert interior_order(DPMpp3M()) > 2.7
    whole: Callable[[Tensor, int], Tensor] = multistep.moments
    monkeypatch.setattr(multistep, "moments", lambda h, n: whole(h, n) * torch.tensor([1, 1, 0.5, 1])[:n])
    assert interior_order(DPMpp3M()) < 2.3


@pytest.mark.parametrize("power", [1.5, 2.0])
def test_a_short_step_looks_back_over_a_much_shorter_one(power: float) -> None:
    """Equal steps behind one of n^−power: to extrapolate far over a short step costs nothing, and keeps order 3."""
    gaussian = Gaussian(torch.zeros(2), 0.5)

    def error(steps: int) -> float:
        ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        ramp = torch.cat([ramp[:1], ramp.new_tensor([steps**-power]), ramp[1:]])
        levels = [Level.at(log_snr) for log_snr in 6 * ramp - 2]
        scale = [(level.alpha**2 * 0.25 + level.sigma**2).sqrt() for level in (levels[0], levels[-1])]
        return float((walk(DPMpp3M(), levels, gaussian)[-1].x / scale[1] - START / scale[0]).abs().max())

    assert math.log2(error(100) / error(200)) > 2.7


def test_the_corrector_gains_an_order_at_no_evaluation() -> None:
    calls = {}
    for corrector in (False, True):
        seen: list[Level] = []

        def denoise(x: Tensor, level: Level, seen: list[Level] = seen) -> Tensor:
            seen.append(level)
            return ORACLE(x, level)

        walk(UniPC(corrector=corrector), noise_levels(Flow(), 9), denoise)
        calls[corrector] = len(seen)
    assert calls == {False: 9, True: 9}
    assert interior_order(UniPC(corrector=False)) < 2.3
    assert interior_order(UniPC()) > 2.7
    assert interior_order(UniPC(p=3)) > 3.5


def test_the_order_of_unipc_is_its_p_when_given() -> None:
    given: Any = {"order": 3}
    assert UniPC(**given) == UniPC(p=3)
    assert UniPC(**given, corrector=False).order == 3  # what convergence shows, read from the object
