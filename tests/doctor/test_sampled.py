"""What the doctor finds in samples: nothing in those of exact denoisers, however few data stand beside them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toydiff.config import Run, Sampling
from toydiff.data import GaussianMixture, Gaussians, Shapes
from toydiff.data.files import Npy, Npz
from toydiff.doctor import Patient, examine, learned, sampled, untrained
from toydiff.doctor.patient import distance
from toydiff.metrics.floors import floor
from toydiff.networks import UNet
from toydiff.oracle import Empirical
from toydiff.samplers import DDIM, DDPM
from toydiff.schedules import Flow, Level, Linear

from .conftest import DATA, MOONS, RUN, Oracle, changed, denoiser_of, patient


def test_a_start_from_too_little_noise_is_measured() -> None:
    found = sampled.start(patient(changed(start=0.3)))
    assert found.verdict == "problem"
    assert found.numbers["nats"] - 3 * found.numbers["nats_error"] > 0.4  # the data are where the samples are not


def test_a_start_is_judged_by_the_distance_to_the_data_where_equal_noise_hides_it() -> None:
    """50 steps of a linear schedule leave an SNR of 1.5: samples of equal noise lie nearer together than draws do."""
    sampling = Sampling(sampler=DDPM(), steps=50)
    run = MOONS.model_copy(update={"schedule": Linear(T=50), "sampling": sampling})
    found = sampled.start(patient(run))
    assert found.numbers["snr_start"] == pytest.approx(1.5, abs=0.1) and found.verdict == "warning"
    assert found.numbers["from_prior"] > 2 * found.numbers["from_true_x_T"] and "zero_terminal_snr" in found.fix


def test_so_much_signal_is_never_called_fine() -> None:
    line = GaussianMixture(means=((0.0,),), std=1.0)  # of which the prior is nearly right, whatever is left
    run = RUN.model_copy(
        update={"data": line, "schedule": Linear(T=30), "sampling": Sampling(sampler=DDPM(), steps=30)}
    )
    found = sampled.start(patient(run))
    assert found.numbers["z"] < 3 and found.verdict == "warning"


def test_a_spread_that_is_off_points_to_what_was_found_or_says_that_nothing_was() -> None:
    narrow = patient(error=lambda x0, level: 0.5 * x0)
    assert sampled.spread(narrow, ["levels", "steps"]).fix == "See levels, steps."
    assert "No other check finds a cause: train longer" in sampled.spread(narrow).fix
    few = RUN.model_copy(update={"data": Gaussians(n=400)})
    assert "take more data (--samples)" in sampled.spread(patient(few, lambda x0, level: 0.5 * x0)).fix
    assert sampled.spread(patient(), ["levels"]).fix == ""
    (found,) = [each for each in examine(narrow) if each.name == "spread"]
    assert found.wrong and "levels" in found.fix


def test_what_a_start_costs_is_not_what_labels_do() -> None:
    def gap(start: float) -> float:
        run = changed(start=start).model_copy(update={"model": RUN.model.model_copy(update={"conditional": True})})
        knows = Oracle(DATA.exact().affine(DATA.shift, DATA.scale), classes=len(DATA.label_names))
        found = sampled.start(patient(run, denoiser=denoiser_of(run, knows)))
        assert found.numbers["floor"] > 0.03  # beside which the classes' distances, 0.06, looked harmless
        return found.numbers["gap"]

    assert gap(0.98) < 0.005 and gap(0.8) > 4 * gap(0.98)


def test_a_file_of_few_points_is_no_fault(tmp_path: Path) -> None:
    def made(n: int) -> Patient:
        np.save(path := tmp_path / f"{n}.npy", DATA.draw(n, torch.Generator().manual_seed(n)).x.numpy())
        return patient(RUN.model_copy(update={"data": Npy(path=str(path))}), exact=DATA.exact())

    for n in (400, 3000):
        known = made(n)
        assert [finding for finding in examine(known) if finding.wrong] == []
        numbers = sampled.spread(known).numbers
        assert numbers["n"] == n // 10
        usual = floor(distance, DATA, n // 10).mean  # over all sets of held-out points, not beside this one
        assert usual / 2 < numbers["floor"] < 2 * usual
    lost = sampled.spread(patient(made(3000).run, exact=Gaussians(radius=1.5).exact()))
    assert lost.verdict == "problem"


@pytest.mark.parametrize("check", [learned.levels, sampled.spread])
def test_few_held_out_points_of_a_file_raise_no_false_alarm(check: Any, tmp_path: Path) -> None:
    """16 of 160 points are held out; the exact denoiser of their distribution is not to blame for their chances."""
    for seed in range(12):
        np.save(path := tmp_path / f"{seed}.npy", DATA.draw(160, torch.Generator().manual_seed(seed)).x.numpy())
        known = patient(RUN.model_copy(update={"data": Npy(path=str(path))}), exact=DATA.exact())
        assert not check(known).wrong


def test_too_few_steps_are_measured() -> None:
    found = sampled.steps(patient(changed(steps=3)))
    assert found.verdict != "ok" and "--steps 12" in found.fix
    nobody = untrained("shapes", Run(data=Shapes(size=16)))
    assert all("nothing to sample from" in check(nobody).words for check in (sampled.steps, sampled.spread))


def test_steps_that_blur_are_measured_by_what_they_miss() -> None:
    """Of three steps the distance alone says little: it is held against that of other data, the coverage is not."""
    thin = MOONS.model_copy(update={"sampling": MOONS.sampling.model_copy(update={"steps": 3})})
    found = sampled.steps(patient(thin, exact=thin.data.exact()))
    assert found.numbers["coverage"] < found.numbers["coverage_of_more"] - 0.05
    assert found.verdict != "ok" and "--steps 12" in found.fix
    enough = sampled.steps(patient(MOONS, exact=thin.data.exact()))
    assert enough.verdict == "ok" and abs(enough.numbers["coverage"] - enough.numbers["coverage_of_more"]) < 0.03


def test_of_pictures_of_shapes_too_few_steps_are_measured_by_what_is_no_shape_any_more() -> None:
    """Pixels that stay wrong until the last steps hardly move pictures, but no shape has them."""
    data = Shapes(size=16, n=300)
    exact = Empirical(data.fixed().x)

    def speckled(x0: Tensor, level: Level) -> Tensor:
        x0 = x0.clone()
        x0[..., 1::5, 1::8] *= torch.where(level.t > 0.06, -1, 1)
        return x0

    for count, verdict, share in ((10, "problem", 0), (40, "ok", 1)):
        run = Run(data=data, schedule=Flow(), network=UNet(), sampling=Sampling(steps=count, sampler=DDIM()))
        found = sampled.steps(patient(run, speckled, exact))
        assert found.verdict == verdict and ("--steps 40" in found.fix) == (count == 10)
        assert (found.numbers["valid"], found.numbers["valid_of_more"]) == (share, 1)
        assert found.numbers["z"] < 3  # the distance says nothing
        assert f"{share:.0%} and 100% of samples are unions of shapes but for 2 pixels" in found.words
    white = torch.ones(64, 1, 16, 16)
    white[:8] = data.fixed().x[:8]
    assert sampled.unions(white, 3, seconds=0) == 1 > sampled.unions(white[4:12], 3) == 0.5  # there was time for eight


def test_floors_of_a_small_file_are_said_to_be_between_as_many_as_they_are(tmp_path: Path) -> None:
    x = DATA.draw(100, torch.Generator().manual_seed(0)).x.numpy()
    for held_out, said in ((50, "at n = 25, and so too high)"), (20, "at n = 20)")):
        np.savez(path := tmp_path / f"{held_out}.npz", x=x, split=np.arange(100) >= 100 - held_out)
        run = RUN.model_copy(update={"data": Npz(path=str(path))})
        assert said in sampled.spread(patient(run, exact=DATA.exact())).words


def test_too_few_held_out_data_judge_nothing(tmp_path: Path) -> None:
    np.save(path := tmp_path / "few.npy", DATA.draw(100, torch.Generator().manual_seed(0)).x.numpy())
    known = patient(RUN.model_copy(update={"data": Npy(path=str(path))}), exact=DATA.exact())
    for check in (sampled.start, sampled.steps, sampled.spread, learned.levels):
        found = check(known)
        assert "10 held-out data are too few" in found.words and found.verdict != "problem"
    copying = patient(known.run, exact=Empirical(known.run.data.fixed().x))
    assert sampled.memorisation(copying).wrong  # its error is known at any number

    def lost(x0: Tensor, level: Level) -> Tensor:
        return torch.full_like(x0, math.nan)

    broken = sampled.spread(patient(known.run, lost, DATA.exact()))
    assert broken.verdict == "problem" and "not finite" in broken.words


def test_samples_too_narrow_or_without_some_modes_are_found(healthy: Patient) -> None:
    assert sampled.spread(healthy).numbers["width"] == pytest.approx(1, abs=0.03)
    narrow = sampled.spread(patient(error=lambda x0, level: 0.8 * x0))
    assert narrow.verdict == "problem" and narrow.numbers["width"] < 0.9
    some = Gaussians(weights=(1, 1, 1, 1, 1e-9, 1e-9, 1e-9, 1e-9))
    half = sampled.spread(patient(exact=some.exact()))
    assert half.verdict == "problem" and half.numbers["coverage"] == pytest.approx(0.5, abs=0.04)
    assert half.numbers["coverage_floor"] > 0.9
