"""What the configuration foretells: each number by another way, each check with a planted fault and a healthy run."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toydiff.cli.configure import configuration_layers
from toydiff.config import Model, Run, Sampling
from toydiff.data import Batch, Moons, SwissRoll
from toydiff.data.files import Npy, Npz
from toydiff.denoiser import InverseSigma2, input_scale
from toydiff.doctor import beginning, configured, foresee, widths
from toydiff.layers import resolve
from toydiff.names import preset_names
from toydiff.oracle import Gaussian
from toydiff.samplers import DDIM, DDPM, Heun, Langevin
from toydiff.schedules import Flow, LogLinear
from toydiff.training import Training
from toydiff.training.ema import EMA
from toydiff.training.optimizers import Adam, ConstantRate, Muon

EPS = Model(target="eps")


def preset(name: str, *sets: str) -> Run:
    return resolve(configuration_layers(name, None, list(sets), {})).run


@pytest.mark.parametrize("name", ["swissroll", "moons", "gaussians", "checkerboard", "shapes32", "swissroll-cosine40"])
def test_healthy_presets_are_found_healthy(name: str) -> None:
    assert [finding for finding in foresee(preset(name)) if finding.wrong] == []


@pytest.mark.parametrize("name", sorted({*preset_names()} - {"picture"}))
def test_every_preset_draws_the_levels_it_samples_at(name: str) -> None:
    assert configured.levels(preset(name)).verdict == "ok"


@pytest.mark.parametrize(("mean", "missed"), [(5.0, 0.92), (-8.0, 0.97)])
def test_levels_that_training_never_draws_are_foreseen(mean: float, missed: float) -> None:
    aside = preset("moons", f"training.density.mean={mean}", "training.density.std=0.5")
    found = configured.levels(aside)
    assert found.verdict == "problem" and found.numbers["missed"] == pytest.approx(missed, abs=0.05)
    assert found in foresee(aside) and "training.density.kind=uniform" in found.fix
    assert configured.levels(preset("moons", "training.density.kind=uniform")).verdict == "ok"
    asked = torch.stack([level.log_snr for level in aside.levels()[:-1]]).clamp(-12, 12)
    apart = (asked[:, None] - configured._drawn(aside)).abs().amin(1)  # the long way
    assert found.numbers["missed"] == float((apart > 1.5).double().mean())


# ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Odd(Moons):
    """Moons that have been moved, or hold what is no number."""

    move: float = 0.0
    broken: bool = False

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        x, label = super().draw(n, generator)
        x = x + self.move
        if self.broken:
            x[3, 1] = math.nan
        return Batch(x, label)


@pytest.mark.parametrize(
    ("data", "standardize", "verdict"),
    [
        (SwissRoll(sd=50.0), True, "ok"),
        (SwissRoll(sd=50.0), False, "problem"),
        (SwissRoll(sd=5.0), False, "warning"),
        (SwissRoll(sd=0.5), False, "ok"),
        (Odd(move=20.0), True, "problem"),  # no longer what its constants say
        (Odd(broken=True), True, "problem"),
    ],
)
def test_data_out_of_range_are_found(data: Any, standardize: bool, verdict: str) -> None:
    found = configured.data(Run(data=data, model=Model(standardize=standardize)))
    assert found.verdict == verdict and bool(found.fix) == (verdict != "ok")
    if "rms" in found.numbers and not standardize:
        assert found.numbers["rms"] == pytest.approx(data.sd, rel=0.1)


def test_coordinates_in_units_far_apart_are_found(tmp_path: Path) -> None:
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    for ratio, verdict in ((1.0, "ok"), (10.0, "ok"), (100.0, "warning")):
        np.save(path := tmp_path / f"{ratio:g}.npy", (x / torch.tensor([1.0, ratio])).numpy())
        found = configured.data(Run(data=Npy(path=str(path))))
        assert found.verdict == verdict and ("standard deviation" in found.fix) == (verdict == "warning")
        assert found.numbers["uneven"] == pytest.approx(ratio, rel=0.15)


# ── sampler ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sampler", [DDPM(variance="beta"), DDIM(eta=0.5), Langevin(), Heun()])
def test_the_width_that_comes_out_is_that_of_a_hundred_thousand_samples(sampler: Any) -> None:
    run = Run(schedule=Flow(), sampling=Sampling(sampler=sampler, steps=6, start=0.9))
    generator, levels = torch.Generator().manual_seed(0), run.levels()
    x = input_scale(levels[0], 1.0) * torch.randn(100_000, 1, generator=generator, dtype=torch.float64)
    exact = Gaussian(torch.zeros(1), 1.0)
    *_, last = sampler.trajectory(exact, x, levels, lambda x: torch.randn(x.shape, generator=generator).double())
    assert widths.sampler(run).numbers["width"] == pytest.approx(float(last.x.std()), rel=0.01)


@pytest.mark.parametrize("kind, steps", [("ddpm", 10), ("euler", 1), ("dpmpp_2m", 3)])
def test_a_sampler_in_too_few_steps_is_found_and_its_remedy_works(kind: str, steps: int) -> None:
    sets = (f"sampling.sampler.kind={kind}", f"sampling.steps={steps}")
    few = preset("swissroll", *sets)
    found = widths.sampler(few)
    assert found.verdict != "ok" and found.fix.startswith("Set sampling.")
    words = found.fix.removeprefix("Set ").partition(": ")[0]
    mended = preset("swissroll", *sets, *words.split(" and "))
    assert widths.sampler(mended).verdict == "ok"


def test_an_unfit_prior_is_found() -> None:
    model, sampling = Model(target="v", standardize=False), Sampling(prior="unit", start=0.5)
    unit = Run(schedule=Flow(), data=SwissRoll(sd=0.5), model=model, sampling=sampling)
    assert widths.sampler(unit).verdict != "ok" and beginning.start(unit).verdict == "problem"


def test_more_steps_are_only_advised_where_they_help() -> None:
    lost = Run(schedule=Flow(), sampling=Sampling(sampler=Heun(), steps=40, start=0.5))
    assert widths.sampler(lost).fix == "Begin where less of the data is left."
    coarse = widths.sampler(Run(schedule=Flow(), sampling=Sampling(sampler=Langevin(), steps=2, start=0.9)))
    assert coarse.verdict != "ok" and "steps" in coarse.fix


# ── weight, average, rate ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_weight_leaves_of_a_batch_in_closed_form() -> None:
    # sigma log-uniform in [p, q]: E sigma⁻² = (p⁻² − q⁻²)/2 ln(q/p),  E sigma⁻⁴ = (p⁻⁴ − q⁻⁴)/4 ln(q/p)
    p, q = 0.1, 2.0
    run = Run(schedule=LogLinear(sigma_min=p, sigma_max=q), model=EPS, training=Training(weight=InverseSigma2()))
    span = math.log(q / p)
    mean, square = (p**-2 - q**-2) / (2 * span), (p**-4 - q**-4) / (4 * span)
    middle = math.sqrt(p * q)
    numbers = configured.weight(run).numbers
    assert numbers["effective"] == pytest.approx(mean**2 / square, rel=1e-3)
    assert numbers["noisy_half"] == pytest.approx((middle**-2 - q**-2) / (p**-2 - q**-2), rel=1e-2)


def test_a_weight_that_drowns_the_gradient_is_found() -> None:
    found = configured.weight(preset("swissroll-loglinear"))
    assert found.verdict == "problem" and "from 9,600 at the cleanest level to 0.25 at the noisiest" in found.words
    uniform = configured.weight(preset("swissroll-loglinear", "training.weight.kind=uniform"))
    assert uniform.verdict == "ok" and uniform.numbers["effective"] == pytest.approx(1)


@pytest.mark.parametrize("ema", [EMA(), EMA(half_life=0.1, ramp=0.1), EMA(half_life=0.3, ramp=0.5)])
def test_what_is_old_in_an_average_is_what_an_average_keeps(ema: EMA) -> None:
    run = Run(training=Training(steps=400, ema=ema))
    value = 0.0
    for step in range(1, 401):  # a weight that is 1 in the first half, and 0 after
        value = value * ema.decay(step, 400) + (1 - ema.decay(step, 400)) * (step <= 200)
    found = configured.average(run)
    assert found.numbers["old"] == pytest.approx(value, rel=0.05, abs=1e-4)
    assert found.verdict == ("ok" if value < 0.1 else "warning")


def test_no_average_at_all_needs_a_rate_that_falls() -> None:
    none = EMA(half_life=0)
    assert configured.average(Run(training=Training(ema=none))).verdict == "ok"
    assert configured.average(Run(training=Training(ema=none, rate=ConstantRate()))).verdict == "warning"


@pytest.mark.parametrize(
    ("lr", "steps", "verdict"),
    [(5e-3, 4000, "ok"), (0.5, 4000, "problem"), (0.05, 4000, "warning"), (1e-6, 4000, "problem"), (1e-4, 20, "ok")],
)
def test_learning_rates_that_cannot_work_are_found(lr: float, steps: int, verdict: str) -> None:
    assert configured.rate(Run(training=Training(steps=steps, optimizer=Adam(lr=lr)))).verdict == verdict


@pytest.mark.parametrize(
    ("lr", "rms", "verdict", "again"),
    [
        (2e-3, 0.6, "ok", ""),
        (2e-3, 100.0, "problem", "3e-05"),
        (0.01, 5.0, "warning", "0.0006"),
        (1e-3, 1e-4, "problem", ""),
    ],
)
def test_muon_moves_matrices_by_rms_times_lr(lr: float, rms: float, verdict: str, again: str) -> None:
    found = configured.rate(Run(training=Training(steps=4000, optimizer=Muon(lr=lr, rms=rms))))
    assert found.verdict == verdict and again in found.fix
    if again:
        mended = Training(steps=4000, optimizer=Muon(lr=float(again), rms=rms))
        assert configured.rate(Run(training=mended)).verdict == "ok"


@pytest.mark.parametrize("bounded", [True, False])
def test_what_is_advised_about_a_weight_can_be_set(bounded: bool) -> None:
    sets = (
        "model.target=x0",
        f"model.bounded={str(bounded).lower()}",
        "training.weight={kind='inverse_sigma2',floor=0}",
    )
    found = configured.weight(preset("shapes32", *sets))
    assert found.verdict == "problem" and "training.weight.floor" in found.fix
    advice = re.findall(r"[a-z_]+\.[a-z_.]+=\w+", found.fix)
    assert configured.weight(preset("shapes32", *sets, *advice)).verdict == "ok"
    assert ("model.bounded=false" in advice) == bounded


def test_points_beyond_the_range_of_pictures_are_no_fault(tmp_path: Path) -> None:
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    np.savez(path := tmp_path / "points.npz", x=x.numpy())
    assert configured.data(Run(data=Npz(path=str(path)))).verdict == "ok"
    np.savez(path, x=(x * torch.tensor([1.0, 0.01])).numpy())  # what is checked next is
    assert configured.data(Run(data=Npz(path=str(path)))).verdict == "warning"
