"""Patient: a model with what the checks share: its samples, real data beside them, and what their distance means."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from toydiff.config import Run
from toydiff.data import Batch
from toydiff.denoiser import Denoiser
from toydiff.editing import Edit
from toydiff.errors import SamplingDiverged, ToydiffError
from toydiff.metrics.floors import floor, pair
from toydiff.metrics.levels import LevelLoss, excess_points, level_losses
from toydiff.metrics.points import repeated, sliced_w2
from toydiff.metrics.scores import Floor
from toydiff.oracle import ExactDenoiser
from toydiff.runs import Loaded
from toydiff.schedules import Level
from toydiff.training import streams

distance = partial(sliced_w2, projections=64)
"""How far two sets of samples lie apart: 64 directions are enough to judge by, and leave time for the rest."""
POINTS, IMAGES = 2000, 64
FEWEST = 16
FEW = 5000
"""Data of which there may be too few: a network may learn each by heart."""
NONE_HELD = "nothing is held out: all of the data are trained on"
BEYOND = 3.0
"""Nats by which a sample where the density is 0 counts as less likely than the least likely of held-out data."""
CLEANEST = 8.0
"""Log-SNR, of data of RMS 1, at which counting nats ends."""
MORE = 4
"""How many times more steps are better ones."""


@dataclass(frozen=True)
class Patient:
    """A model to examine: the averaged weights (or an exact denoiser in their place), the raw ones, and its metrics.

    `seconds` is about as long as its samples may take in all: where that is short, there are fewer of them.
    """

    model: Loaded
    raw: Denoiser | None = None
    metrics: Sequence[dict[str, Any]] = ()
    seconds: float = 15.0
    absent: bool = False
    """There is nothing to sample from: not trained, and no exact denoiser either."""

    @property
    def run(self) -> Run:
        return self.model.config

    @property
    def trained(self) -> bool:
        """Whether there is a network."""
        return isinstance(self.model.denoiser, Denoiser)

    @cached_property
    def n(self) -> int:
        """How many samples there is time for; 0 if for too few to judge."""
        most = IMAGES if self.run.data.pictorial else POINTS
        x = self.noise(most)
        level, label = self.run.levels()[0], self._labels(most)
        denoise = self.model.denoise(label)
        with torch.no_grad():
            denoise(x[:2], level) if label is None else None  # loads libraries
            began = time.perf_counter()
            denoise(x, level)
        walks = 3 if self.model.conditional else 2  # the samples, and those from the true x_T and beside them
        walked = walks * self.run.sampling.steps + (self.more_steps or 0)
        asked = (self.run.sampling.sampler.evaluations or 6) * walked
        affordable = int(most * self.seconds / max(asked * (time.perf_counter() - began), 1e-9))
        n = min(most, affordable)
        return n if n >= FEWEST else 0

    @property
    def why_no_samples(self) -> str:
        """Why there are no samples, "" if there are: then they have been made."""
        if self.absent:
            return "there is nothing to sample from yet"
        return self.broken if self.n else "sampling as configured would take too long here"

    @property
    def why_not_judged(self) -> str:
        """Why samples cannot be judged by held-out data, "" if they can."""
        if reason := self.why_no_samples:
            return reason
        if not self.unseen:
            return NONE_HELD
        if self.few >= FEWEST:
            return ""
        return f"{self.few} held-out data are too few to judge samples by"

    @cached_property
    def broken(self) -> str:
        """Why sampling as configured comes to no end, "" if it does."""
        try:
            self.samples  # noqa: B018 — kept for the checks
        except SamplingDiverged as error:
            return error.message
        return ""

    @property
    def more_steps(self) -> int | None:
        """Four times the steps, or all that the schedule has; None if that is hardly more, or a tolerance decides."""
        sampling = self.run.sampling
        more = MORE * sampling.steps
        if (knots := self.run.schedule.knot_times) is not None:
            more = min(more, int((knots <= (sampling.start or 1.0) + 1e-9).sum()))
        return None if sampling.sampler.evaluations is None or more < 1.5 * sampling.steps else more

    def noise(self, n: int) -> Tensor:
        """Return standard normals (n, *shape) in the place of x_t."""
        return streams.normal(self.run.data.shape, seed=0, stream="doctor", index=torch.arange(n))

    def _labels(self, n: int) -> Tensor | None:
        return self.model.labels(None, torch.arange(n))

    @property
    def unseen(self) -> bool:
        """Whether there are data that training has not seen: of a file of fewer than ten there are none."""
        return self.run.data.holds_out

    @property
    def option(self) -> str:
        """What to say behind "more data": the option for it; a file taken whole has no more."""
        return " (--samples)" * (self.run.data.n is not None)

    @cached_property
    def real(self) -> Batch:
        """Data that training has not seen, as many as there are samples, or as there are; training data, if all are."""
        return self.run.data.held_out(self.n, streams.generator(self.run.seed, "doctor real"))

    @property
    def few(self) -> int:
        """How many samples stand beside as many real ones: all, unless fewer data are held out of a file."""
        return len(self.real.x)

    @cached_property
    def again(self) -> float:
        """The share of those held-out data that are training data as well, as many discrete ones are."""
        if self.run.data.count is None or not self.unseen:
            return 0.0
        return repeated(self.real.x, self.run.data.fixed().x)

    @cached_property
    def held_out(self) -> Batch:
        """More such data."""
        n = 256 if self.run.data.pictorial else 1000
        return self.run.data.held_out(n, streams.generator(self.run.seed, "doctor held out"))

    @cached_property
    def samples(self) -> Tensor:
        """Samples as the configuration makes them, in data units."""
        return self.model.sample(self.n).x

    @cached_property
    def begun_twice(self) -> tuple[Tensor, Tensor]:
        """Samples begun from the prior, and from alpha · x_0 + sigma · eps of real x_0: the same noise and labels."""
        begin = self.run.sampling.start or 1.0
        true = self.run.data.draw(self.n, streams.generator(self.run.seed, "doctor true start"))
        label = true.label if self.model.conditional else None
        seeds = torch.arange(self.n)
        known, _ = self.model.frames(seeds, edit=Edit(init=true.x, strength=begin), label=label)
        if label is None:
            return self.samples, known[-1].x
        return self.model.frames(seeds, label=label)[0][-1].x, known[-1].x

    def samples_in(self, steps: int) -> Tensor:
        """Return samples of the same seeds in so many steps."""
        sampling = self.run.sampling.model_copy(update={"steps": steps})
        other = replace(self.model, config=self.run.model_copy(update={"sampling": sampling}))
        return other.sample(self.n).x

    @cached_property
    def floor(self) -> Floor:
        """Sliced W2 between two draws of `few` real data that have nothing in common."""
        return floor(distance, self.run.data, self.few)

    @cached_property
    def paired(self) -> int:
        """How many data each of those draws has: `few`, or half of what is held out of a small file."""
        return len(pair(self.run.data, self.few, 0, 0)[0].x)

    @property
    def exact(self) -> ExactDenoiser | None:
        """The exact denoiser of the data in the model's units; None where there is none, or noise hangs on the data."""
        return self.model.exact

    def nats_between(self, x: Tensor, y: Tensor) -> tuple[float, float] | None:
        """Return the mean of log p(x) − log p(y) and its standard error, for pairs of samples; None where p is unknown.

        p is the data's density: 0 on average if both follow the same law, below 0 if x lies where there are no data.
        """
        try:
            p_x, p_y, usual = (self.run.data.log_prob(z).double() for z in (x, y, self.held_out.x))
        except ToydiffError:
            return None
        outside = float(usual.min()) - BEYOND  # −∞ where there are no data at all would drown everything else
        p_x, p_y = (torch.where(p.isinf(), outside, p).clamp(min=-100) for p in (p_x, p_y))
        difference = p_x - p_y
        return float(difference.mean()), float(difference.std()) / math.sqrt(len(x))

    @cached_property
    def excess(self) -> list[tuple[float, float]]:
        """[(log-SNR, excess)] of the averaged weights; see `excess_of`."""
        return self.excess_of(self.model.denoiser)

    def excess_of(self, denoiser: Any, most: int = 16) -> list[tuple[float, float]]:
        """Return [(log-SNR, ½ SNR E‖x̂_0 − x̂_0*‖²)] at levels of the sampling grid, cleanest last, x̂_0* exact.

        None of them is cleaner than `CLEANEST`: finer grids would only add to what is counted. See
        `metrics.levels.excess_points`.
        """
        assert self.exact is not None
        levels, variance = self.run.levels()[:-1], self.run.sigma_data**2
        grid = [level for level in levels if 0 < float(level.snr) * variance <= math.exp(CLEANEST)]
        picked = sorted({round(k * (len(grid) - 1) / (most - 1)) for k in range(most)}) if len(grid) > 1 else []
        losses = self.losses_of(denoiser, [grid[k] for k in picked])
        return excess_points(losses, self.held_out.x[0].numel())

    def losses_of(self, denoiser: Any, levels: Sequence[Level]) -> list[LevelLoss]:
        """Return the losses of x_0 at the levels, on held-out data."""
        x0 = (self.held_out.x - self.model.shift) / self.model.scale
        label = self.held_out.label if self.model.conditional else None
        return level_losses(denoiser, levels, x0, self.noise(len(x0)), label, self.exact)
