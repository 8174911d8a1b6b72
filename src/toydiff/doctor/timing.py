"""What takes the time of a training step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from toydiff.config import Run
from toydiff.doctor.finding import Finding, Verdict
from toydiff.environment import SMALL
from toydiff.training.batches import Batches, TrainingBatch
from toydiff.training.couplings import OT

LONG = 300.0
"""Seconds from which it matters what takes them."""
SLOW = 0.5
"""Seconds of a step in which what calls cost is no question."""
T = TypeVar("T")


def speed(run: Run, seconds: float = 2.0) -> Finding:
    """Measure the parts of a step on this machine's CPU: data and noise, forward, backward, optimizer, average.

    A batch twice as large that takes hardly longer says that the time goes into calls, not into numbers.
    """
    training = run.training
    with torch.random.fork_rng(devices=[]):
        spent = _timed(run, training.batch_size, seconds)
        enough = run.data.count is None or 2 * training.batch_size <= run.data.count
        overheads = enough and training.batch_size < 1024 and sum(spent.values()) < SLOW
        twice = _timed(run, 2 * training.batch_size, seconds / 2) if overheads else {}
    step, parameters = sum(spent.values()), sum(p.numel() for p in run.build("meta").parameters())
    total, threads, cores = step * run.total_steps, torch.get_num_threads(), os.cpu_count() or 1
    growth = sum(twice.values()) / step if twice else 2.0
    numbers = {
        **{f"{part}_ms": 1000 * value for part, value in spent.items()},
        "step_ms": 1000 * step, "seconds": total, "twice_the_batch": growth, "threads": threads, "cores": cores,
    }  # fmt: skip
    shares = ", ".join(f"{part} {value / step:.0%}" for part, value in spent.items())
    said = (
        f"{1000 * step:.3g} ms a step here ({shares}), {total:,.0f} s for {run.total_steps:,} steps, "
        f"{threads} thread{'s' * (threads > 1)}"
    )
    advice = []
    if growth < 1.4:
        advice.append(f"a batch twice as large takes only {growth:.2f} times as long: raise --batch-size")
    if spent["data"] > 0.4 * step:
        advice += _cheaper_data(run)
    if parameters >= SMALL and threads < cores:
        advice.append(f"{threads} of {cores} cores work: set OMP_NUM_THREADS={cores}")
    if parameters >= SMALL and training.precision == "float32" and torch.cpu._is_avx512_bf16_supported():
        advice.append("this CPU computes in bfloat16: try --precision auto")
    verdict: Verdict = "warning" if advice and total > LONG else "ok"
    fix = f"{'; '.join(advice)}." if advice and verdict != "ok" else ""
    return Finding("time", verdict, said, numbers, fix[:1].upper() + fix[1:])


def _cheaper_data(run: Run) -> list[str]:
    """Say what to do about data, and the noise paired with them, that take the most of a step; if anything helps."""
    coupling = run.training.coupling
    if isinstance(coupling, OT):
        smaller = f"training.coupling.chunk={coupling.chunk // 4}, or " * (coupling.chunk >= 16)
        return [f"pairing noise with data takes the most: set {smaller}training.coupling.kind=independent"]
    if run.data.count is None:
        return ["drawing the data takes the most: a fixed set is drawn once (--samples)"]
    return []


def _timed(run: Run, batch_size: int, seconds: float) -> dict[str, float]:
    """Return the seconds of each part of a step; the first one counts only if it takes all the time there is."""
    training, device = run.training, torch.device("cpu")
    denoiser, average = run.build().train(), run.build()
    assert denoiser.schedule is not None
    batches = Batches(
        run.data, denoiser.schedule, training.density, batch_size=batch_size, conditional=denoiser.classes > 0,
        label_dropout=training.label_dropout, seed=run.seed, device=device, stratified=training.stratified,
        coupling=training.coupling,
    )  # fmt: skip
    optimizer = training.optimizer.build(denoiser.parameters(), training.bfloat16(device))
    spent = dict.fromkeys(("data", "forward", "backward", "optimizer", "average"), 0.0)

    def timed(part: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = work()
        spent[part] += time.perf_counter() - began
        return result

    def loss(batch: TrainingBatch) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=training.bfloat16(device)):
            x0 = denoiser.to_model(batch.x0)
            return denoiser.loss(x0, batch.level, batch.eps, batch.label, training.weight, batch.guessed).mean()

    began, done, first = time.perf_counter(), 0, 0
    block: list[float] = []
    for k in range(1, 1_000_000):
        before = spent["data"]
        batch = timed("data", lambda k=k: batches(k))  # type: ignore[misc]
        block.append(spent["data"] - before)
        value = timed("forward", lambda batch=batch: loss(batch))  # type: ignore[misc]
        optimizer.zero_grad(set_to_none=True)
        timed("backward", value.backward)
        timed("optimizer", optimizer.step)
        timed("average", lambda: training.ema.update(average, denoiser, 1, 1000))
        if k == 1 and time.perf_counter() - began < seconds:
            spent, began, first = dict.fromkeys(spent, 0.0), time.perf_counter(), 1
            continue
        done = k - first
        if done >= 60 or time.perf_counter() - began > seconds:
            break
    each = {part: value / done for part, value in spent.items()}
    each["data"] += block[0] / batches.block  # data are drawn for a block of steps at once
    return each
