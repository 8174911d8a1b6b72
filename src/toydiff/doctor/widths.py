"""The check of sampler, grid and prior together: how wide a Gaussian comes out, which is known without a network."""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from toydiff.config import Run
from toydiff.denoiser import input_scale
from toydiff.doctor.beginning import signal
from toydiff.doctor.finding import Finding, Verdict, graded, not_applicable, worst
from toydiff.schedules import Level

DETAIL = 0.1
"""Width of a fine detail of points, as a share of the data's own."""
MOST_STEPS = 2000


def sampler(run: Run) -> Finding:
    """Check sampler, grid and prior together where the answer is known: how wide a Gaussian comes out, with no network.

    For data N(0, s²) the exact denoiser alpha s²/(alpha² s² + sigma²) x is linear, and so is all of sampling: the
    output's variance is the sum of the squared gains of the prior and of every noise drawn on the way, computed
    exactly. Once with s = σ_d, once with a fine detail of the data, s = σ_d/10, except for images.
    """
    if run.sampling.steps > MOST_STEPS:
        return not_applicable("sampler", f"{run.sampling.steps:,} steps are not few")
    whole, detail, verdict = _widths(run)
    kind, steps = run.sampling.sampler.kind, run.sampling.steps
    said = f"`{kind}` in {steps} steps makes a Gaussian {whole:.2f} times as wide as it is"
    if not run.data.pictorial:
        said += f", one of a tenth of the data's width {detail:.2f} times"
    fix = _remedy(run) if verdict != "ok" else ""
    return Finding("sampler", verdict, said, {"width": whole, "detail": detail}, fix)


def _widths(run: Run) -> tuple[float, float, Verdict]:
    """Return how many times too wide a Gaussian as wide as the data comes out, and a narrow one, and the verdict."""
    levels = run.levels()
    widths = run.sigma_data * torch.tensor([1.0] if run.data.pictorial else [1.0, DETAIL], dtype=torch.float64)
    _, drawn = _linear_response(run, levels, widths, 0)
    gains, _ = _linear_response(run, levels, widths, drawn)
    ratios = (gains.square().sum(0).sqrt() / widths).clamp(min=1e-9).tolist()
    verdict = graded(abs(math.log(ratios[0])), math.log(1.06), math.log(1.25))
    if len(ratios) > 1:
        verdict = worst(verdict, graded(abs(math.log(ratios[1])), math.log(1.18), math.log(2)))
    return ratios[0], ratios[-1], verdict


def _remedy(run: Run) -> str:
    """Return the first change of the sampling that this check would find nothing wrong with."""
    steps = run.sampling.steps
    changes: list[dict[str, Any]] = [
        {"prior": "marginal"},
        {"sampler": {"kind": "heun"}},
        {"sampler": {"kind": "dpmpp_2m"}},
        {"spacing": "log_snr:8"},
        {"steps": 2 * steps},
        {"steps": 4 * steps},
        {"sampler": {"kind": "heun"}, "spacing": "log_snr:8"},
        {"sampler": {"kind": "heun"}, "spacing": "log_snr:8", "prior": "marginal"},
        {"sampler": {"kind": "heun"}, "spacing": "log_snr:8", "steps": max(20, 4 * steps)},
        {"sampler": {"kind": "heun"}, "steps": max(40, 4 * steps)},
    ]
    for change in changes:
        try:
            changed = run.model_copy(update={"sampling": run.sampling.model_copy(update=change)})
        except ValidationError:  # more steps than the schedule has, say
            continue
        whole, detail, verdict = _widths(changed)
        if verdict == "ok":
            told = {key: value if key != "sampler" else value["kind"] for key, value in change.items()}
            words = " and ".join(f"sampling.{key}{'.kind' * (key == 'sampler')}={value}" for key, value in told.items())
            return f"Set {words}: that makes it {whole:.2f}{f' and {detail:.2f}' * (not run.data.pictorial)}."
    found, discrete = signal(run), run.schedule.knot_times is not None
    if discrete and found["snr_T"] < found["snr_start"] / 2:
        return "Begin where less of the data is left."
    if not discrete:
        finer = run.model_copy(update={"sampling": run.sampling.model_copy(update={"steps": 4 * steps})})
        now, then = (max(abs(math.log(width)) for width in _widths(each)[:2]) for each in (run, finer))
        return f"{'Take many more steps, or begin' if then < now / 2 else 'Begin'} where less of the data is left."
    steps_of = "N" if run.schedule.variance == "exploding" else "T"
    return (
        f"No other sampler repairs it: train with more steps (schedule.{steps_of}), and less of the data left at t = 1."
    )


def _linear_response(run: Run, levels: list[Level], widths: Tensor, draws: int) -> tuple[Tensor, int]:
    """Return what becomes of the prior's RMS alone (row 0) and of the k-th noise alone (row k), and their number."""
    start = 1.0 if run.sampling.prior == "unit" else float(input_scale(levels[0], run.sigma_data))
    x = torch.zeros(draws + 1, len(widths), dtype=torch.float64)
    x[0] = start
    asked = 0

    def denoise(x: Tensor, level: Level) -> Tensor:
        return level.alpha * widths**2 / (level.alpha**2 * widths**2 + level.sigma**2) * x

    def noise(x: Tensor) -> Tensor:
        nonlocal asked
        asked += 1
        alone = torch.zeros_like(x)
        alone[asked : asked + 1] = 1
        return alone

    for frame in run.sampling.sampler.trajectory(denoise, x, levels, noise):
        x = frame.x
    return x, asked
