"""Every deterministic sampler on a problem with a known answer: `python benchmarks/samplers.py` writes samplers.md.

The answers come from an eighth-order method of scipy's.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from toydiff.oracle import Mixture
from toydiff.samplers import RK45, AnySampler, Sampler, noise_levels
from toydiff.schedules import CLEAN, Cosine, Flow, Level, Linear, LogLinear, Schedule
from toydiff.spec import kinds

STD = 0.5
ORACLE = Mixture(torch.tensor([[-1.0], [1.0]]).double() * math.sqrt(1 - STD**2), STD)
STARTS = torch.special.ndtri((torch.arange(200, dtype=torch.float64) + 0.5) / 200)[:, None]
BUDGETS = (5, 9, 10, 20, 50)
SCHEDULES: dict[str, Schedule] = {
    "VP linear": Linear(),
    "cosine": Cosine(T=None),
    "VE": LogLinear(),
    "flow": Flow(),
}


def name(sampler: Sampler) -> str:
    """Return the kind with the options that are not its defaults."""
    return " ".join([sampler.kind, *(f"{k}={v}" for k, v in sampler.model_dump(exclude_defaults=True).items())])  # type: ignore[attr-defined]


def samplers() -> list[Sampler]:
    """Return every kind, with each choice it offers, that asks for no noise."""

    def no_noise(x: Tensor) -> Tensor:
        raise LookupError

    found: list[Sampler] = []
    for cls in kinds(AnySampler).values():
        made: list[Any] = [cls()]
        for field, info in cls.model_fields.items():
            literal = get_origin(info.annotation) is Literal and field != "kind"
            choices = list(get_args(info.annotation)) if literal else [True, False] * (info.annotation is bool)
            made += [cls(**{field: choice}) for choice in choices if choice != info.default]
        for sampler in made:
            try:
                list(sampler.trajectory(ORACLE, STARTS, noise_levels(Flow(), 2), no_noise))
            except LookupError:
                continue
            found.append(sampler)
    return found


def flow(x: Tensor, t: Level, s: Level) -> Tensor:
    """Return x_s of the exact flow from x_t: dy/dτ = ε̂ − x̂_0, y = x/(alpha + sigma), τ = sigma/(alpha + sigma)."""

    def slope(tau: float, y: Any) -> Any:
        level, y = Level(math.nan, 1 - tau, tau), torch.as_tensor(y)[:, None]
        x0 = ORACLE(y, level)
        return ((y - level.alpha * x0) / level.sigma - x0)[:, 0].numpy()

    taus = [float(level.sigma / (level.alpha + level.sigma)) for level in (t, s)]
    y = (x / (t.alpha + t.sigma))[:, 0].numpy()
    end = solve_ivp(slope, taus, y, method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    return torch.tensor(end)[:, None] * (s.alpha + s.sigma)


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def interior(schedule: Schedule, steps: int, power: float) -> list[Level]:
    """Return levels from log-SNR −4 to 4, spaced as `grid` would for power 1, the first step about n^−power."""
    ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64) ** power
    log_snr = 8 * ramp - 4
    if schedule.variance == "exploding":  # (sigma/alpha)^(1/ρ), ρ = 7, of log-SNR −4 and 4
        first, last = math.exp(2 / 7), math.exp(-2 / 7)
        log_snr = -14 * (first + ramp * (last - first)).log()
    return [schedule(t) for t in schedule.time_of(log_snr)]


@cache
def interior_answer(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Return where the walk begins, on the exact flow, and where it should end."""
    ends = interior(schedule, 1, 1.0)
    x = STARTS * (ends[0].alpha ** 2 + ends[0].sigma ** 2).sqrt()
    return x, flow(x, *ends)


def order(sampler: Sampler, schedule: Schedule, power: float = 1.5, steps: int = 64) -> float:
    """Return log2 of the ratio of errors at `steps` and twice as many, between two interior levels."""
    x, answer = interior_answer(schedule)

    def error(n: int) -> float:
        *_, last = sampler.trajectory(ORACLE, x, interior(schedule, n, power), torch.zeros_like)
        return rms(last.x - answer)

    return math.log2(error(steps) / error(2 * steps))


# ── error for a budget ───────────────────────────────────────────────────────────────────────────────────────────────


def grid(schedule: Schedule, steps: int) -> list[Level]:
    """Return the fixed grid: karras for variance-exploding schedules, log-SNR for the others."""
    return noise_levels(schedule, steps, "karras" if schedule.variance == "exploding" else "log_snr")


@cache
def answer(schedule: Schedule) -> Tensor:
    """Return the samples the starts lead to."""
    first = grid(schedule, 5)[0]
    near_data = Level.at(24.0)
    return ORACLE(flow(STARTS * first.scale, first, near_data), near_data)


def budget_error(sampler: Sampler, schedule: Schedule, evaluations: int) -> float:
    """Return the RMS error of the samples made within a budget of evaluations."""
    each = sampler.evaluations
    assert each is not None
    levels = grid(schedule, (evaluations + each - 1) // each)  # the last step of two takes one
    *_, last = sampler.trajectory(ORACLE, STARTS * levels[0].scale, levels, torch.zeros_like)
    return rms(last.x - answer(schedule))


def adaptive(schedule: Schedule, tolerance: float) -> tuple[int, float]:
    """Return rk45's evaluations and error at a tolerance."""
    first, asked = grid(schedule, 5)[0], 0

    def counted(x: Tensor, level: Level) -> Tensor:
        nonlocal asked
        asked += 1
        return ORACLE(x, level)

    sampler = RK45(atol=tolerance, rtol=tolerance)
    levels = [first, schedule(schedule.time_of(20.0)), CLEAN]
    *_, last = sampler.trajectory(counted, STARTS * first.scale, levels, torch.zeros_like)
    return asked, rms(last.x - answer(schedule))


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, ["---"] * len(headings), *rows])


def orders(every: list[Sampler]) -> str:
    """Return the table of orders."""
    rows = []
    for sampler in every:
        graded = [f"{order(sampler, schedule):.2f}" for schedule in SCHEDULES.values()]
        plain = order(sampler, SCHEDULES["VP linear"], power=1.0)
        rows.append([name(sampler), str(sampler.order), *graded, f"{plain:.2f}"])
    return table(["sampler", "order", *SCHEDULES, "VP linear, equal steps"], rows)


def errors(every: list[Sampler], schedule: Schedule) -> str:
    """Return the table of errors on one schedule."""
    rows = [[name(s), *(f"{budget_error(s, schedule, n):.2g}" for n in BUDGETS)] for s in every]
    return table(["sampler", *(f"{n} evaluations" for n in BUDGETS)], rows)


def ranking(every: list[Sampler], schedule: Schedule, evaluations: int) -> str:
    """Return the samplers from best to worst."""
    found = sorted((budget_error(sampler, schedule, evaluations), name(sampler)) for sampler in every)
    return " < ".join(f"{title} {error:.3f}" for error, title in found)


def page() -> str:
    """Return the whole of samplers.md."""
    every = [sampler for sampler in samplers() if sampler.evaluations is not None]
    compared = [s for s in every if s.evaluations == 1 and s.kind in ("euler", "deis", "ipndm", "unipc", "dpmpp_3m")]  # type: ignore[attr-defined]
    parts = ["# Samplers", f"By `python benchmarks/samplers.py`.\n{PROBLEM}"]
    parts += ["## Order of convergence", ORDER_TEXT, orders(every)]
    parts += ["## Error for a budget of evaluations", ERROR_TEXT]
    for title, schedule in SCHEDULES.items():
        parts += [f"### {title}", errors(every, schedule)]
        found = (adaptive(schedule, tolerance) for tolerance in (1e-3, 1e-5, 1e-7))
        parts.append("rk45: " + ", ".join(f"{error:.1g} in {asked}" for asked, error in found) + " evaluations.")
    lines = [
        f"- {title}, {n} evaluations: {ranking(compared, SCHEDULES[title], n)}"
        for title in ("VP linear", "VE")
        for n in (5, 10)
    ]
    parts += ["## Beside the published ranking", RANKING_TEXT, "\n".join(lines), REASONS]
    return "\n\n".join(parts) + "\n"


PROBLEM = """\
The problem is the probability-flow ODE of the mixture ½ N(−m, s²) + ½ N(m, s²), s = ½ and m² + s² = 1, with its exact
denoiser, in float64, from 200 fixed starts. The answer is the same ODE solved by an eighth-order method of scipy's."""

ORDER_TEXT = """\
log2 of the ratio of the RMS errors of 64 and 128 steps from log-SNR −4 to 4, on a graded grid, whose first step is
about n^−1.5; last, with equal steps. A multistep method has to start at first order, at an error of the square of its
first step: on equal steps that is all a method without corrector can keep of a third order. unipc corrects its first
step too, and with p = 3 shows the fourth order it has once started. `order` is what the class promises on equal steps,
dpmpp_3m's on graded ones. (Public copies of dpmpp_3m halve its second difference, and are of order 2 on both.) Grids
are spaced in log-SNR, on VE as karras does; at equal log-SNR schedules differ in nothing a sampler could see."""

ERROR_TEXT = """\
RMS error of the samples. Grids: `noise_levels`, log_snr on VP linear, cosine and flow, karras on VE (σ = 0.002…80), as
far as each schedule goes, but for log-SNR beyond ±20. Methods that ask twice a step make half as many steps. Cosine and
flow have the same grid of log-SNR here, and so the same numbers. At 5 evaluations, and often at 10, a step is longer
than λ = ½ log-SNR = 1, and dpmpp_3m and unipc with p = 3 are of second order: a parabola continued so far misses by
more than it gains, and would put them behind euler. From 9 evaluations on every multistep method is ahead of euler. edm
takes its slopes in σ: on a step over which σ falls to a tenth, the slope at its end counts ten times too much, and
Heun's method goes astray; in τ, as heun has it, or on a finer grid it does not."""

RANKING_TEXT = """\
FID against evaluations of a network on CIFAR-10: at 5, ipndm < deis < unipc ≈ dpmpp_3m < euler; at 10, ipndm 2.77,
unipc 2.89, dpmpp_3m 3.00, deis (tAB3) 4.09, euler 15.7. Here, RMS errors:"""

REASONS = """\
It agrees that ipndm is first and euler last throughout, and in all of the order on VE at 5. It disagrees on deis, which
comes after unipc and dpmpp_3m on VP linear at 5, and before them on VE at 10: the published one is tAB3 in t, ours of
order 2 in log ρ. dpmpp_3m is level with unipc at 10, not behind it, being of second order in most of such steps; there
public copies lower the order of the last steps, below 15, and halve the second difference. And the errors here are of
the solver alone, sample by sample, while FID compares distributions, and the network's own error is part of their
distance: near ties need not fall the same way."""


def main() -> None:
    """Write samplers.md beside this file, and show it."""
    torch.set_num_threads(1)
    np.seterr(all="raise")
    text = page()
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
