"""All that the doctor finds in models: exact denoisers made into networks are healthy, and broken ones are not."""

from __future__ import annotations

import pytest
import torch

from toydiff.cli.configure import configuration_layers
from toydiff.data import Batch, Checkerboard, Gaussians
from toydiff.doctor import Patient, examine, learned, sampled, untrained
from toydiff.layers import resolve
from toydiff.oracle import ExactDenoiser
from toydiff.training import fit

from .conftest import RUN, patient


def test_a_network_that_knows_is_found_healthy(healthy: Patient) -> None:
    assert [finding for finding in examine(healthy) if finding.wrong] == []
    assert learned.levels(healthy).numbers["nats"] < 1e-9
    assert sampled.start(healthy).numbers["gap"] < sampled.start(healthy).numbers["floor"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swissroll", "moons", "gaussians"])
def test_a_preset_trained_in_full_is_found_healthy(name: str) -> None:
    run = resolve(configuration_layers(name, None, [], {})).run
    metrics = []
    for step in fit(run.build(), run.data, run.training, seed=run.seed):
        if step.step % 20 == 0:
            metrics.append({"step": step.step, "loss": float(step.loss), "grad_norm": float(step.grad_norm)})
    trained = patient(run, denoiser=step.ema, raw=step.denoiser, metrics=metrics)
    assert [finding for finding in examine(trained) if finding.wrong] == []


def test_a_few_samples_outside_the_support_do_not_drown_the_rest() -> None:
    run = RUN.model_copy(update={"data": Checkerboard()})
    known = patient(run, exact=run.data.exact())
    x, y = (run.data.draw(2000, torch.Generator().manual_seed(k)).x for k in (0, 1))
    x[:40] += 50
    # the density is the same everywhere within, so that each of those outside costs the 3 nats it is said to cost
    mean, error = known.nats_between(x, y) or (0.0, 0.0)
    assert mean == pytest.approx(-3 * 40 / 2000, rel=1e-3) and error < 0.02


def test_samples_that_are_not_finite_are_a_finding_and_the_other_checks_are_made() -> None:
    broken = patient(error=lambda x0, level: x0 * (1e38 if level.log_snr > 0 else 1) * 1e8)
    findings = {finding.name: finding for finding in examine(broken)}
    assert len(findings) == 14 and findings["spread"].verdict == "problem" and "not finite" in findings["spread"].words
    assert findings["steps"].verdict == "not applicable" and "not finite" in findings["steps"].words
    assert findings["levels"].verdict == "problem"


def test_samples_that_would_take_too_long_are_not_made() -> None:
    hurried = patient()
    object.__setattr__(hurried, "seconds", 1e-9)
    assert "too long" in sampled.steps(hurried).words and sampled.start(hurried).verdict == "ok"


def test_points_without_a_density_borrow_that_of_some_of_them() -> None:
    class Unknown(Gaussians):
        def exact(self) -> ExactDenoiser:
            from toydiff.errors import ToydiffError

            raise ToydiffError("not known")

        def draw(self, n: int, generator: torch.Generator) -> Batch:
            return Batch(super().draw(n, generator).x, None)

    stood_in = untrained("unknown", RUN.model_copy(update={"data": Unknown()}))
    assert stood_in.model.denoiser.memorises and not stood_in.trained
    assert "not trained yet; training draws" in learned.levels(stood_in).words
