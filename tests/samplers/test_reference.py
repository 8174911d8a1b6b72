"""An independent implementation, diffusers' schedulers, on the same levels, the same estimates and the same noise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from toydiff.oracle import Mixture
from toydiff.samplers import (
    DDIM,
    DDPM,
    DEIS,
    EDM,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    Sampler,
    UniPC,
    multistep,
    noise_levels,
)
from toydiff.schedules import Level, Linear

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

STEPS = 20
ORACLE = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(), 0.5)
NOISES = torch.randn(STEPS + 1, 30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def schedulers() -> Any:
    """Return the package; it is asked for no model, and looks for none."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import diffusers

    return diffusers


def ours(sampler: Sampler, levels: list[Level]) -> list[Tensor]:
    noises: Iterator[Tensor] = iter(NOISES[1:])
    return [f.x for f in sampler.trajectory(ORACLE, NOISES[0], levels, lambda x: next(noises))]


def theirs(scheduler: Any, levels: list[Level], last: int, **step: Any) -> list[Tensor]:
    """Walk along; the k-th element is x after k + 1 evaluations. Their x is ours on variance-preserving levels."""
    scheduler.set_timesteps(STEPS)
    if hasattr(scheduler, "sigmas") and len(scheduler.sigmas) == len(levels):
        scheduler.sigmas = torch.stack([level.sigma / level.alpha for level in levels])
    x, frames = NOISES[0], []
    for k, (timestep, level) in enumerate(zip(scheduler.timesteps[:last], levels[:last], strict=True)):
        options = {key: value(k) for key, value in step.items()}
        x = scheduler.step(ORACLE(x, level), timestep, x, **options).prev_sample
        frames.append(x.double())
    return frames


def agree(sampler: Sampler, scheduler: Any, levels: list[Level], last: int = STEPS, **step: Any) -> None:
    """Compare x after each of the steps up to the `last`."""
    for one, other in zip(ours(sampler, levels)[:last], theirs(scheduler, levels, last, **step), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


COMMON: dict[str, Any] = {"prediction_type": "sample", "timestep_spacing": "trailing"}
LEVELS = {spacing: noise_levels(Linear(), STEPS, spacing) for spacing in ("trailing", "log_snr")}
every_grid = pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)


@pytest.mark.parametrize(("variance", "last"), [("posterior", STEPS), ("beta", STEPS - 1)])
def test_ddpm(schedulers: Any, variance: Any, last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their last step adds noise where Ho et al. 2020 have z = 0: with variance beta the others are compared."""
    module = schedulers.schedulers.scheduling_ddpm
    noises = iter(NOISES[1:])
    monkeypatch.setattr(module, "randn_tensor", lambda *a, **k: next(noises))
    kind = {"posterior": "fixed_small", "beta": "fixed_large"}[variance]
    scheduler = module.DDPMScheduler(variance_type=kind, clip_sample=False, **COMMON)
    agree(DDPM(variance=variance), scheduler, LEVELS["trailing"], last)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim(schedulers: Any, eta: float) -> None:
    scheduler = schedulers.DDIMScheduler(clip_sample=False, **COMMON)
    noise = {"variance_noise": lambda k: NOISES[k + 1]} if eta > 0 else {}
    agree(DDIM(eta=eta), scheduler, LEVELS["trailing"], eta=lambda k: eta, **noise)


@every_grid
def test_dpmpp_2m(schedulers: Any, levels: list[Level]) -> None:
    agree(DPMpp2M(), schedulers.DPMSolverMultistepScheduler(solver_order=2, **COMMON), levels)


@every_grid
def test_dpmpp_2m_sde(schedulers: Any, levels: list[Level]) -> None:
    scheduler = schedulers.DPMSolverMultistepScheduler(solver_order=2, algorithm_type="sde-dpmsolver++", **COMMON)
    agree(DPMpp2MSDE(), scheduler, levels, variance_noise=lambda k: NOISES[k + 1])


def test_dpmpp_3m_with_half_the_second_difference(schedulers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs is such a public copy: it is not ours, and ours with the factor ½ is it."""
    scheduler = partial(schedulers.DPMSolverMultistepScheduler, solver_order=3, **COMMON)
    with pytest.raises(AssertionError):
        agree(DPMpp3M(), scheduler(), LEVELS["log_snr"])
    whole: Callable[[Tensor, int], Tensor] = multistep.moments
    monkeypatch.setattr(multistep, "moments", lambda h, n: whole(h, n) * torch.tensor([1, 1, 0.5])[:n])
    agree(DPMpp3M(), scheduler(), LEVELS["log_snr"])


@every_grid
@pytest.mark.parametrize("corrector", [True, False])
def test_unipc_2(schedulers: Any, levels: list[Level], corrector: bool) -> None:
    off = [] if corrector else list(range(STEPS))
    scheduler = schedulers.UniPCMultistepScheduler(solver_order=2, disable_corrector=off, **COMMON)
    agree(UniPC(corrector=corrector), scheduler, levels)


@pytest.mark.parametrize("corrector", [True, False])
def test_unipc_3(schedulers: Any, corrector: bool) -> None:
    """Their step before the last is of order 2; ours is not."""
    off = [] if corrector else list(range(STEPS))
    scheduler = schedulers.UniPCMultistepScheduler(solver_order=3, disable_corrector=off, **COMMON)
    agree(UniPC(p=3, corrector=corrector), scheduler, LEVELS["log_snr"], STEPS - 2)


@every_grid
def test_deis(schedulers: Any, levels: list[Level]) -> None:
    """Theirs does not go to sigma = 0: all steps but the last."""
    agree(DEIS(), schedulers.DEISMultistepScheduler(solver_order=2, **COMMON), levels, STEPS - 1)


@every_grid
def test_edm_without_churn(schedulers: Any, levels: list[Level]) -> None:
    """Theirs lives in x/alpha and sigma/alpha, and takes a call for each of Heun's two slopes."""
    scheduler = schedulers.HeunDiscreteScheduler(**COMMON)
    scheduler.set_timesteps(STEPS)
    sigmas = torch.stack([level.sigma / level.alpha for level in levels])
    scheduler.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
    visits = [levels[0], *(level for level in levels[1:-1] for _ in range(2))]
    x, frames = NOISES[0] / levels[0].alpha, []
    for timestep, level in zip(scheduler.timesteps, visits, strict=True):
        x = scheduler.step(ORACLE(level.alpha * x, level), timestep, x).prev_sample
        frames.append(x)
    for (_, s), one, other in zip(pairwise(levels), ours(EDM(), levels), frames[1::2] + frames[-1:], strict=True):
        torch.testing.assert_close(one, s.alpha * other, rtol=0, atol=1e-5)
