"""Run: the parts of an experiment, the ways in which they do not fit together, and what is derived from them."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from toydiff.config import Model, Record, Run, Sampling
from toydiff.data import AnyData, Gaussians, Moons, Shapes, SwissRoll
from toydiff.names import FILE_KINDS
from toydiff.networks import MLP, UNet
from toydiff.published import OFFICIAL
from toydiff.samplers import EDM, DPMpp2MSDE, Sampler
from toydiff.schedules import CLEAN, Cosine, Flow, Linear
from toydiff.spec import kinds
from toydiff.training import Training
from toydiff.training.densities import Discrete

SMALL = MLP(widths=(8, 8))


def problem(**parts: object) -> str:
    with pytest.raises(ValidationError) as error:
        Run(**parts)  # type: ignore[arg-type]
    return str(error.value)


# ── parts that do not fit ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("target", ["eps", "score"])
@pytest.mark.parametrize("schedule", [Flow(), Cosine(T=None), Linear(zero_terminal_snr=True)])
def test_noise_cannot_be_the_target_where_there_is_nothing_else(target: str, schedule: object) -> None:
    said = problem(model={"target": target}, schedule=schedule)
    assert f"`{target}` cannot be learned where alpha(1) = 0" in said
    assert "Lin et al. 2023" in said
    for other in ("x0", "v", "edm", "flow"):
        assert other in said.partition("The targets")[2]
        Run(model={"target": other}, schedule=schedule)  # type: ignore[arg-type]


def test_noise_can_be_the_target_where_some_data_are_left() -> None:
    assert Run(model=Model(target="eps"), schedule=Linear()).schedule(1.0).alpha > 0


def test_a_discrete_density_needs_knots() -> None:
    assert "draws a schedule's knots" in problem(training={"density": {"kind": "discrete"}}, schedule=Flow())
    assert Run(training=Training(density=Discrete()), schedule=Linear(T=40), sampling=Sampling(steps=40))


def test_a_sampler_takes_no_more_steps_than_there_are() -> None:
    assert "30 steps on a schedule that has 10" in problem(schedule=Linear(T=10), sampling={"steps": 30})
    assert len(Run(schedule=Linear(T=10), sampling=Sampling(steps=10)).levels()) == 11


def test_endless_data_have_no_epochs() -> None:
    assert "an endless data set has no epochs" in problem(training={"epochs": 3})
    assert Run(data=Moons(n=1000), training=Training(epochs=3, batch_size=300)).total_steps == 12


def test_all_that_does_not_fit_is_said_at_once() -> None:
    said = problem(
        model={"target": "eps"}, schedule=Flow(), sampling={"spacing": "no"},
        training={"epochs": 3, "density": {"kind": "discrete"}},
    )  # fmt: skip
    for words in ("cannot be learned", "draws a schedule's knots", "unknown spacing `no`", "no epochs"):
        assert words in said


# ── what follows from the parts ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [kind for kind in kinds(AnyData) if kind not in (*OFFICIAL, *FILE_KINDS)])
def test_standardised_data_have_rms_one(kind: str) -> None:
    run = Run(data={"kind": kind}, network=SMALL)  # type: ignore[arg-type]
    assert run.sigma_data == 1
    x = run.build().to_model(run.data.draw(20_000, torch.Generator().manual_seed(0)).x)
    assert float(x.square().mean().sqrt()) == pytest.approx(1, abs=0.02)
    if kind != "shapes":  # black and white stay −1 and 1
        assert x.mean(0).abs().max() < 0.04


def test_raw_data_have_the_rms_they_have() -> None:
    run = Run(data=SwissRoll(), network=SMALL, model=Model(standardize=False))
    denoiser = run.build()
    x = run.data.draw(100_000, torch.Generator().manual_seed(0)).x
    assert torch.equal(denoiser.to_model(x), x)
    assert run.sigma_data == pytest.approx(float(x.square().mean().sqrt()), rel=0.01)


def test_the_grid_runs_from_noise_to_clean() -> None:
    levels = Run(sampling=Sampling(steps=7)).levels()
    assert (len(levels), float(levels[0].t), levels[-1]) == (8, 1.0, CLEAN)
    assert float(Run(sampling=Sampling(start=0.5)).levels()[0].t) == 0.5


def test_first_weights_are_a_function_of_the_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = Run(network=SMALL).build().state_dict()
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's numbers are used up
    torch.manual_seed(2)
    again, other = Run(network=SMALL).build().state_dict(), Run(network=SMALL, seed=1).build().state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_meta_gives_the_shapes_without_the_weights() -> None:
    run = Run(network=SMALL, data=Gaussians(), model=Model(conditional=True))
    real, shapes = run.build().state_dict(), run.build("meta").state_dict()
    assert {key: value.shape for key, value in real.items()} == {key: value.shape for key, value in shapes.items()}


def test_a_network_knows_labels_only_if_asked_to() -> None:
    parts = {"network": SMALL, "data": Gaussians()}
    plain, conditional = (Run(**parts, model=Model(conditional=c)).build() for c in (False, True))
    assert (plain.classes, conditional.classes) == (0, 8)


def test_a_run_is_frozen_and_comparable() -> None:
    run = Run(data=Moons(noise=0.25))
    assert math.isfinite(run.data.scale)  # computed once and kept: no part of the comparison
    assert run == Run(data=Moons(noise=0.25)) != Run()
    assert hash(run) == hash(Run(data=Moons(noise=0.25)))
    with pytest.raises(ValidationError, match="frozen"):
        run.seed = 3  # type: ignore[misc]


# ── settings without effect ──────────────────────────────────────────────────────────────────────────────────────────


def test_settings_that_change_nothing_are_known() -> None:
    """Each of them is idle where it says so, and only there."""
    idle = Run(schedule=Cosine(T=None), network=SMALL)
    assert idle.idle().keys() == {
        "data.seed", "training.label_dropout", "network.label_features", "network.fourier_scale", "schedule.beta_clip",
        "record.keep_last", "sampling.guess_from", "sampling.refine_until",
    }  # fmt: skip
    busy = Run(
        data=Moons(n=5), schedule=Cosine(T=10), network=MLP(widths=(8,), fourier=2), model=Model(conditional=True),
        sampling=Sampling(steps=10), record=Record(keep_every=3),
    )  # fmt: skip
    assert busy.idle().keys() == {"sampling.guess_from", "sampling.refine_until"}  # of networks for images
    images = Run(data=Shapes(n=5), network=UNet(), model=Model(target="x0", self_condition=True, conditional=True))
    assert not {"sampling.guess_from", "sampling.refine_until"} & images.idle().keys()
    assert "schedule.beta_clip" not in Run(schedule=Flow()).idle()


@pytest.mark.parametrize("idle", [EDM(S_tmin=0.1), EDM(S_tmax=9), EDM(S_noise=1.1), DPMpp2MSDE(S_tmax=2)])
def test_options_of_a_sampler_that_change_nothing_are_known_and_no_obstacle(idle: Sampler) -> None:
    """A run may have been saved with them."""
    [(path, words)] = Run(sampling=Sampling(sampler=idle)).in_vain().items()
    option = path.removeprefix("sampling.sampler.")
    assert f"{path} = {getattr(idle, option)} has no effect: " in words
    busy = type(idle)(**idle.model_dump() | ({"S_churn": 5.0} if idle.kind == "edm" else {"eta": 3.0}))
    assert not Run(sampling=Sampling(sampler=busy)).in_vain()


def test_what_is_at_its_default_or_not_there_at_all_is_not_in_vain() -> None:
    assert Run().in_vain() == {} == Run(data=Shapes(), network=UNet()).in_vain()
    assert Run(sampling=Sampling(guess_from=2.0), record=Record(keep_last=3)).in_vain().keys() == {
        "sampling.guess_from",
        "record.keep_last",
    }
