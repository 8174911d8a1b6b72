"""What the doctor finds in samples that are copies of training data, all of them or some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toydiff.config import Run
from toydiff.data import GaussianMixture, Gaussians, Npz
from toydiff.data.files import Npy
from toydiff.doctor import Patient, learned, sampled
from toydiff.metrics.points import repeated
from toydiff.oracle import Empirical

from .conftest import RUN, patient


def test_copies_are_found() -> None:
    run = RUN.model_copy(update={"data": Gaussians(n=200)})
    copying = sampled.memorisation(patient(run, exact=Empirical(run.data.fixed().x)))
    assert copying.verdict == "problem" and copying.numbers["nearer"] > 0.9
    fresh = sampled.memorisation(patient(run))
    assert fresh.verdict == "ok" and abs(fresh.numbers["z"]) < 4
    assert (
        copying.numbers["alone"] > copying.numbers["usual"] + 0.3
        and abs(fresh.numbers["alone"] - fresh.numbers["usual"]) < 0.1
    )
    assert sampled.memorisation(patient()).verdict == "not applicable"


def test_what_is_near_to_all_training_data_is_no_copy() -> None:
    """The middle of a Gaussian in ten dimensions is nearer to every one of its points than they are to each other."""
    data = GaussianMixture(means=((0.0,) * 10,), std=1.0, n=300)
    run = RUN.model_copy(update={"data": data})
    blurred = sampled.memorisation(patient(run, lambda x0, level: 0.3 * x0))
    assert blurred.numbers["nearer"] > 0.95 and blurred.numbers["alone"] == 0 and blurred.verdict == "ok"
    assert sampled.memorisation(patient(run, exact=Empirical(data.fixed().x))).verdict == "problem"


def test_copies_are_found_of_one_datum_and_of_data_that_are_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled, "CHUNK", 64 * 150)  # the second time they come in another chunk
    one = RUN.model_copy(update={"data": Gaussians(n=1)})
    assert sampled.memorisation(patient(one, exact=Empirical(one.data.fixed().x))).verdict == "problem"
    pictures = np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    rows = [*range(200), *range(200), *range(200, 300)]  # the last hundred are held out
    np.savez(path := tmp_path / "twice.npz", images=pictures[rows], split=np.arange(500) >= 400)
    twice = RUN.model_copy(update={"data": Npz(path=str(path))})
    found = sampled.memorisation(patient(twice, exact=Empirical(twice.data.fixed().x)))
    assert found.verdict == "problem" and found.numbers["n"] == 200


def photographs(path: Path, n: int, size: int = 16, **settings: Any) -> Run:
    """Return a run on n random pictures, of which one in ten is held out: no two are near to each other."""
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (n, size, size), dtype=np.uint8))
    return RUN.model_copy(update={"data": Npz(path=str(path), **settings)})


def with_samples(run: Run, x: Tensor) -> Patient:
    known = patient(run, denoiser=run.build().requires_grad_(False))
    vars(known).update(n=len(x), samples=x, broken="")  # as if they had been made
    return known


@pytest.mark.parametrize(("copies", "verdict"), [(0, "ok"), (16, "warning"), (40, "problem")])
def test_copies_among_new_samples_are_found(copies: int, verdict: str, tmp_path: Path) -> None:
    run = photographs(tmp_path / "x.npz", 400)
    new = torch.rand(64 - copies, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = sampled.memorisation(with_samples(run, torch.cat([run.data.fixed().x[:copies], new])))
    assert found.verdict == verdict and found.numbers["alone"] == copies / 64


@pytest.mark.parametrize(
    ("augment", "copied", "verdict"), [(None, 1, "problem"), ("hflip", -1, "problem"), (None, -1, "ok")]
)
def test_copies_of_any_training_picture_are_found_and_of_mirrored_ones(
    augment: Any, copied: int, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled, "CHUNK", 64_000)  # 1,000 pictures at once
    run = photographs(tmp_path / "x.npz", 7000, 8, augment=augment)
    last = run.data.fixed().x[-64:]
    found = sampled.memorisation(with_samples(run, last if copied > 0 else last.flip(-1)))
    assert found.verdict == verdict and found.numbers["n"] == 6300 * (2 if augment else 1)
    assert ("mirror images among them" in found.words) == bool(augment)


def test_where_nothing_is_held_out_that_is_said_and_copies_are_judged_by_themselves(tmp_path: Path) -> None:
    np.save(path := tmp_path / "nine.npy", torch.randn(9, 2, generator=torch.Generator().manual_seed(0)).numpy())
    run = RUN.model_copy(update={"data": Npy(path=str(path))})
    copying = patient(run, exact=Empirical(run.data.fixed().x))
    for check in (sampled.start, sampled.steps, sampled.spread, sampled.memorisation, learned.levels):
        assert "nothing is held out" in check(copying).words
    found = sampled.memorisation(copying)
    assert (
        found.verdict == "problem"
        and found.numbers["alone"] > 0.9
        and found.numbers.keys() == {"n", "alone", "repeated"}
    )
    fresh = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    assert sampled.memorisation(with_samples(run, fresh)).verdict == "ok"


def test_what_lies_between_two_data_is_no_copy_of_them(tmp_path: Path) -> None:
    """Of a segment, the half that is nearest to its ends is three times nearer to one than to the other."""
    np.save(path := tmp_path / "two.npy", np.float32([[-1, -1], [1, 1]]))
    run = RUN.model_copy(update={"data": Npy(path=str(path))})
    between = torch.linspace(-1, 1, 400)[:, None].expand(-1, 2)
    found = sampled.memorisation(with_samples(run, between))
    assert found.verdict == "ok" and found.numbers["alone"] == 0.5
    assert sampled.memorisation(with_samples(run, between.sign())).verdict == "problem"


def test_held_out_data_that_are_training_data_tell_nothing(tmp_path: Path) -> None:
    """A hundred points ten times each: nearly every one that is held out is there to be trained on as well."""
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    np.save(path := tmp_path / "again.npy", x.repeat(10, 1).numpy())
    run = RUN.model_copy(update={"data": Npy(path=str(path))})
    found = sampled.memorisation(patient(run, exact=Empirical(x)))
    assert found.verdict == "warning" and found.numbers["repeated"] > 0.9 and found.numbers["alone"] > 0.9
    assert "of held-out data are in the training data as well" in found.words and "by mistake" in found.fix
    fresh = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    assert sampled.memorisation(with_samples(run, fresh)).verdict == "ok"


def test_copies_are_found_where_a_few_data_are_held_out(tmp_path: Path) -> None:
    np.save(path := tmp_path / "thirty.npy", torch.randn(30, 2, generator=torch.Generator().manual_seed(0)).numpy())
    run = RUN.model_copy(update={"data": Npy(path=str(path))})
    found = sampled.memorisation(patient(run, exact=Empirical(run.data.fixed().x)))
    assert found.verdict == "problem" and "3 held-out data are too few to compare with" in found.words
    assert found.fix.startswith("More data, fewer steps")  # a file taken whole has no more
    fresh = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    assert sampled.memorisation(with_samples(run, fresh)).verdict == "ok"


def test_discrete_data_are_no_fault_of_a_model_that_has_learned_them(tmp_path: Path) -> None:
    """Two dice: 36 different rows of 3,000. Every ball around one of them has no size, and covers none beside it."""
    dice = torch.randint(1, 7, (3000, 2), generator=torch.Generator().manual_seed(0)).float()
    np.save(path := tmp_path / "dice.npy", dice.numpy())
    run = RUN.model_copy(update={"data": Npy(path=str(path))})
    thrown = torch.randint(1, 7, (2000, 2), generator=torch.Generator().manual_seed(1)).float()
    near = with_samples(run, thrown + 0.01 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(2)))
    spread = sampled.spread(near)
    assert spread.verdict == "ok" and "coverage" not in spread.numbers
    assert sampled.memorisation(near).verdict == "warning" and "discrete" in sampled.memorisation(near).fix
    assert repeated(torch.tensor([[0.0, 1.0], [-0.0, 1.0]]), torch.tensor([[-0.0, 1.0]])) == 1
