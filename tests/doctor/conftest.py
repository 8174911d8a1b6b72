"""Patients that tests examine: exact denoisers made into networks are healthy, faults are planted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toydiff.config import Model, Run, Sampling
from toydiff.data import Gaussians, Moons
from toydiff.denoiser import Denoiser
from toydiff.doctor import Patient
from toydiff.names import Found
from toydiff.networks import MLP
from toydiff.oracle import ExactDenoiser
from toydiff.runs import Loaded
from toydiff.samplers import Heun
from toydiff.schedules import Flow, Level
from toydiff.training import Training

DATA = Gaussians()
RUN = Run(
    data=DATA,
    schedule=Flow(),
    network=MLP(widths=(16, 16)),
    model=Model(target="x0", normalize_input=False),
    training=Training(steps=1000, batch_size=64),
    sampling=Sampling(sampler=Heun(), steps=40, start=0.98),
)
MOONS = RUN.model_copy(update={"data": Moons()})


class Oracle(nn.Module):
    """A network that knows: it answers E[x_0 | x_t] + error(level)."""

    def __init__(self, exact: ExactDenoiser, error: Any = None, classes: int = 0) -> None:
        super().__init__()
        self.exact, self.error, self.weight = exact, error, nn.Parameter(torch.ones(1))
        self.classes = classes

    def forward(self, x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
        x0 = self.exact(x, level, label if self.classes else None)
        return x0 if self.error is None else self.error(x0, level)


def denoiser_of(run: Run, network: nn.Module) -> Denoiser:
    shift, scale = run.data.shift, run.data.scale
    return Denoiser(network, "x0", run.schedule, normalize_input=False, shift=shift, scale=scale).requires_grad_(False)


def patient(run: Run = RUN, error: Any = None, exact: ExactDenoiser | None = None, **parts: Any) -> Patient:
    denoiser = parts.pop("denoiser", None)
    if denoiser is None:
        known = (exact or run.data.exact()).affine(run.data.shift, run.data.scale)
        denoiser = denoiser_of(run, Oracle(known, error))
    model = Loaded("made", Found("checkpoint", "", ""), run, denoiser, run.data.shift, run.data.scale)
    return Patient(model, seconds=1e9, **parts)


def changed(**sampling: Any) -> Run:
    return RUN.model_copy(update={"sampling": RUN.sampling.model_copy(update=sampling)})


@pytest.fixture(scope="module")
def healthy() -> Patient:
    return patient(raw=denoiser_of(RUN, Oracle(DATA.exact().affine(DATA.shift, DATA.scale))))
