"""How fast a run trains, and how long it will take: timed on a copy before its first step, and told as it goes on."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch

from toydiff.cli.configure import configuration_layers
from toydiff.cli.talk import Talk
from toydiff.config import Run
from toydiff.denoiser import Denoiser
from toydiff.dist import ALONE, World
from toydiff.environment import SMALL
from toydiff.errors import ToydiffError
from toydiff.layers import resolve
from toydiff.names import preset_names
from toydiff.networks import UNet
from toydiff.networks.cost import parts
from toydiff.training import fit
from toydiff.training.batches import steps_per_epoch

LONG = 30 * 60
"""Seconds from which a run is worth a warning."""
TIMED = 3
"""Steps that are timed; the first of them also loads libraries and does not count."""


class Clock:
    """Counts the steps of a run and the seconds they take, without those in between for checks, saving and pictures."""

    def __init__(self, run: Run, start: int) -> None:
        self._run, self._from, self._since, self._warm = run, start, time.monotonic(), False

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Do not count what happens in the block."""
        began = time.monotonic()
        yield
        self._since += time.monotonic() - began

    def rates(self, step: int) -> tuple[float, float]:
        """Return (steps, samples) a second up to now, at the end of `step`.

        The first call returns those so far, and later ones count from there on: the first steps also load libraries.
        """
        seconds = max(time.monotonic() - self._since, 1e-9)
        rates = (step - self._from) / seconds, (samples(self._run, step) - samples(self._run, self._from)) / seconds
        if not self._warm:
            self._warm, self._from, self._since = True, step, time.monotonic()
        return rates


def samples(run: Run, steps: int) -> int:
    """Return how many data the first steps of a run are trained on: the last batch of an epoch may be smaller."""
    size, n = run.training.batch_size, run.data.count
    per_epoch = steps_per_epoch(n, size)
    if n is None or per_epoch is None:
        return steps * size
    epochs, rest = divmod(steps, per_epoch)
    return epochs * n + rest * size


def foretell(
    denoiser: Denoiser,
    run: Run,
    preset: str | None,
    talk: Talk,
    start: int,
    max_time: float | None,
    world: World = ALONE,
) -> None:
    """Say before a long run how long it will take, and which preset is a cheaper way to learn the same data.

    Only large networks are timed: the others would take longer to time than to train.
    """
    if not isinstance(run.network, UNet) and sum(p.numel() for p in denoiser.parameters()) < SMALL:
        return
    left = run.total_steps - start
    if left < 20 * TIMED:
        return
    talk.note(f"timing {TIMED} steps first …")
    step = seconds_a_step(denoiser, run, world)
    seconds, speed = left * step, run.training.batch_size / step
    said = (
        f"{left:,} steps of {run.training.batch_size} take about {span(seconds)} on this machine "
        f"({rate(speed, run.data.word)}, timed before the first step)"
    )
    if max_time is not None and seconds > max_time:
        talk.note(f"{said}; --max-time ends them after {span(max_time)}, at about step {start + max_time / step:,.0f}")
    elif seconds > LONG:
        talk.warn(f"{said}{_instead(run, preset)}")
    else:
        talk.detail(said)


def seconds_a_step(denoiser: Denoiser, run: Run, world: World = ALONE) -> float:
    """Return the seconds that a step takes, timed on a copy: no weight and no random number of the run changes."""
    training = run.training.model_copy(update={"compile": False})
    device = next(denoiser.parameters()).device
    times = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in fit(copy.deepcopy(denoiser), run.data, training, seed=run.seed, world=world):
            float(step.loss)  # waits for the device
            times.append(time.monotonic())
            if len(times) == min(TIMED, step.total):
                break
    return min(after - before for before, after in pairwise(times))


def _instead(run: Run, preset: str | None) -> str:
    """Return words for the cheapest preset that learns the same kind of data in less than half the computation."""
    costs = {}
    for name in preset_names():
        try:
            other = resolve(configuration_layers(name, None, [], {})).run
        except ToydiffError:  # it needs a file
            continue
        same = (other.data.kind, other.data.shape, other.model.conditional) == (
            run.data.kind, run.data.shape, run.model.conditional,
        )  # fmt: skip
        if same and name != preset:
            costs[name] = computation(other)
    if not costs:
        return ""
    name = min(costs, key=lambda name: costs[name])
    times = computation(run) / costs[name]
    return f". `toydiff train {name}` learns such {run.data.word} with 1/{times:.0f} of the computation" * (times > 2)


def computation(run: Run) -> int:
    """Return the multiply–accumulates of a run: a pass back counts as two forward, guesses as half a one."""
    macs = sum(part.macs for part in parts(run.build("meta").network, run.input_shape))
    return macs * samples(run, run.total_steps) * (7 if run.model.self_condition else 6) // 2


def span(seconds: float) -> str:
    """Return a time for people: "40 s", "12 min", "5.3 h", "3 days"."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.2g} h" if hours < 48 else f"{hours / 24:,.0f} days"


def rate(speed: float, word: str) -> str:
    """Return a speed for people: "412 images/s", "3.7 images/s"."""
    return f"{speed:,.0f} {word}/s" if speed >= 10 else f"{speed:.2g} {word}/s"
