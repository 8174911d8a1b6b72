"""The doctor: why the loss is low and the samples are bad, check by check, each with its number and what to change.

`foresee(run)` asks the checks that need only the configuration; `examine(patient)` asks all of them. A check is a
function that returns a `Finding`; it states its reason and source, and prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from toydiff.config import Run
from toydiff.doctor import beginning, configured, learned, sampled, widths
from toydiff.doctor.finding import Finding, Verdict
from toydiff.doctor.patient import Patient
from toydiff.doctor.timing import speed
from toydiff.errors import ToydiffError
from toydiff.names import Found
from toydiff.oracle import Empirical, ExactDenoiser
from toydiff.runs import Loaded
from toydiff.schedules import Level

STAND_INS = 2000
"""Points whose exact denoiser stands in for that of a distribution without one."""

FORESEEN = (
    configured.data,
    beginning.start,
    beginning.beta_clip,
    beginning.target,
    widths.sampler,
    configured.weight,
    configured.average,
    configured.rate,
    configured.levels,
)


def foresee(run: Run) -> list[Finding]:
    """Return what the configuration alone can tell, before the first step."""
    return [check(run) for check in FORESEEN]


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield every check's finding as it is made, those of the configuration with what was measured where it can be."""
    blamed = []
    for finding in _causes(patient):
        blamed += [finding.name] * finding.wrong
        yield finding
    yield sampled.spread(patient, blamed)
    yield sampled.memorisation(patient)
    yield speed(patient.run)


def _causes(patient: Patient) -> Iterator[Finding]:
    """Yield the findings of what may be why samples are bad."""
    run = patient.run
    yield configured.data(run)
    yield sampled.start(patient)
    yield beginning.beta_clip(run)
    yield beginning.target(run)
    yield widths.sampler(run)
    yield sampled.steps(patient)
    yield configured.weight(run)
    yield learned.average(patient)
    yield learned.learning(patient)
    yield learned.levels(patient)
    yield learned.units(patient)


def untrained(name: str, run: Run) -> Patient:
    """Return a configuration to examine, the exact denoiser of its data in the network's place.

    Points without a density have that of some of them; of pictures there is none: nothing is sampled.
    """
    plain = run.model.standardize is False
    shift = torch.zeros(run.data.shape) if plain else run.data.shift
    scale = 1.0 if plain else run.data.scale
    found = Found("exact", run.data.kind, f"the exact denoiser of {run.data.kind}")
    try:
        exact: ExactDenoiser = run.data.exact()
    except ToydiffError:
        if run.data.pictorial:
            return Patient(Loaded(name, found, run, _nothing, shift, scale), absent=True)
        some = run.data.draw(STAND_INS, torch.Generator().manual_seed(0))
        exact = Empirical(*some, classes=len(run.data.label_names))
    return Patient(Loaded(name, found, run, exact.affine(shift.double(), scale), shift, scale))


def _nothing(x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
    """Stand where there is no denoiser: nobody may ask it."""
    raise AssertionError("there is no denoiser to ask")


__all__ = ["Finding", "Patient", "Verdict", "examine", "foresee", "untrained"]
