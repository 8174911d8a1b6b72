"""Where sampling begins: each number by another way, each remedy by applying it and asking again."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch

from toydiff.cli.configure import configuration_layers
from toydiff.config import Model, Run, Sampling
from toydiff.denoiser import Denoiser
from toydiff.doctor import beginning, foresee, widths
from toydiff.layers import resolve
from toydiff.samplers import DDIM, Euler
from toydiff.samplers.base import keep_x0
from toydiff.schedules import EDM, AnySchedule, Cosine, Flow, Linear, LogLinear, Quadratic, Sigmoid

EPS = Model(target="eps")


def preset(name: str, *sets: str) -> Run:
    return resolve(configuration_layers(name, None, list(sets), {})).run


def mended(run: Run, fix: str) -> Run:
    """Return a run with the settings that a remedy names, all of which it must have."""
    document: Any = run.model_dump()
    advice = re.findall(r"(\w+)\.(\w+)=([\w.]*\w)", fix)
    assert advice
    for table, key, value in advice:
        document[table][key] = {"none": None, "true": True}.get(value, value)
    return Run.model_validate(document)


def begun(schedule: Any, model: Model = EPS, **sampling: Any) -> Run:
    return Run(schedule=schedule, model=model, sampling=Sampling(sampler=DDIM(), **sampling))


def test_the_signal_left_is_alpha_squared_over_sigma_squared_times_that_of_the_data() -> None:
    betas = [1e-3 + (0.02 - 1e-3) * k / 9 for k in range(10)]
    alpha_bar = math.prod(1 - beta for beta in betas)
    found = beginning.start(preset("swissroll-ddpm100-quick"))
    data = preset("swissroll-ddpm100-quick").data
    variance = data.scale**2 + float(data.shift.square().mean())
    assert found.numbers["alpha_bar_T"] == pytest.approx(alpha_bar, rel=1e-9)
    assert found.numbers["snr_start"] == pytest.approx(alpha_bar / (1 - alpha_bar) * variance, rel=1e-6)
    assert found.numbers["prior_over_x_T"] == pytest.approx((alpha_bar * variance + 1 - alpha_bar) ** -0.5, rel=1e-6)
    assert found.verdict == "problem" and "ᾱ_T = 0.9;" in found.words


@pytest.mark.parametrize(
    ("name", "alpha_bar"), [("swissroll-ddpm100", "0.13"), ("swissroll-ddpm100-hq", "0.13"), ("shapes32-ddpm", "4e-05")]
)
def test_alpha_bar_is_said(name: str, alpha_bar: str) -> None:
    assert f"ᾱ_T = {alpha_bar};" in beginning.start(preset(name)).words


def test_a_late_start_and_a_small_sigma_max_are_found() -> None:
    assert beginning.start(Run(schedule=Flow(), sampling=Sampling(start=0.5))).verdict == "problem"  # SNR 1
    found = beginning.start(Run(schedule=LogLinear(sigma_max=2.0)))
    assert found.numbers["snr_start"] == pytest.approx(0.25) and "sigma_max" in found.fix


def test_the_clipped_beta_is_explained_and_found_where_sampling_begins_in_it() -> None:
    healthy = beginning.beta_clip(preset("swissroll-cosine40"))
    assert healthy.verdict == "ok" and "clipped at 0.999" in healthy.words and "below it" in healthy.words
    assert healthy.numbers["step"] == 40 and healthy.numbers["gain"] == pytest.approx(1000**0.5)
    planted = preset("swissroll-cosine40", "sampling.start=none", "sampling.steps=40")
    assert beginning.beta_clip(planted).verdict == "problem"
    assert "sampling.start=0.975" in beginning.beta_clip(planted).fix
    sampling = planted.sampling.model_copy(update={"steps": 40})  # as many as there are, one more than below the clip
    fix = beginning.beta_clip(planted.model_copy(update={"sampling": sampling})).fix
    assert "sampling.steps=39" in fix
    applied = re.findall(r"sampling\.\w+=[\d.]+\d", fix)
    mended = resolve(configuration_layers("swissroll-cosine40", None, applied, {})).run
    assert len(applied) == 2 and beginning.beta_clip(mended).verdict == "ok"
    assert beginning.beta_clip(planted.model_copy(update={"model": Model(target="v")})).verdict == "ok"
    small = begun(Cosine(T=10, beta_clip=0.5), steps=10)  # which enlarges errors 1.4 times: a step forgives it
    assert (
        beginning.beta_clip(small).verdict == "ok"
        and "sampling begins at t = 1, in it" in beginning.beta_clip(small).words
    )
    assert beginning.beta_clip(Run(schedule=Linear())).verdict == "not applicable"
    assert beginning.beta_clip(Run(schedule=Cosine(T=None))).verdict == "not applicable"


@pytest.mark.parametrize("target", ["eps", "x0", "v", "edm"])
def test_the_gain_of_an_error_is_what_a_step_makes_of_one(target: Any) -> None:
    schedule = Cosine(T=None)
    t, s = schedule(0.97), schedule(0.6)
    run = Run(schedule=Linear(), model=Model(target=target))
    denoiser = Denoiser(torch.nn.Identity(), target=target, schedule=schedule)
    x, F = torch.randn(2, 50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = denoiser.coefficients(t)
    error = 0.01 * torch.hypot(a, b)  # a hundredth of the RMS of F
    ends = [keep_x0(x, denoiser.decode(x, t, F + shift), t, s) for shift in (0.0, error)]
    assert float((ends[1] - ends[0]).abs().mean()) == pytest.approx(0.01 * float(beginning._gain(run, t, s)), rel=1e-6)


def test_eps_in_few_steps_is_found_and_v_is_not() -> None:
    few = {"schedule": Linear(), "sampling": Sampling(sampler=Euler(), steps=5)}
    assert beginning.target(Run(model=EPS, **few)).verdict == "warning"
    assert beginning.target(Run(model=Model(target="v"), **few)).verdict == "ok"
    assert beginning.target(Run(model=EPS, schedule=Linear(), sampling=Sampling(steps=100))).verdict == "ok"


# ── remedies ─────────────────────────────────────────────────────────────────────────────────────────────────────────

V = Model(target="v")
LATE = [
    begun(EDM(), start=0.3),
    begun(EDM(), steps=2, spacing="leading"),
    begun(LogLinear(), start=0.6),
    begun(LogLinear(N=50), start=0.6),
    begun(Flow(), V, start=0.5),
    begun(Flow(), V, steps=2, spacing="leading"),
    begun(Flow(), V, steps=4, spacing="leading", start=0.9),
    begun(Cosine(T=None), V, steps=4, spacing="leading"),
    begun(Cosine(zero_terminal_snr=True), V, steps=4, spacing="leading"),
    begun(Cosine(), steps=50, start=0.3),
    begun(Sigmoid(T=None), V, start=0.5),
    begun(Linear(), steps=100, start=0.3),
    begun(Quadratic(T=None), start=0.3),
]
NOISELESS = [
    begun(LogLinear(sigma_max=2.0)),
    begun(LogLinear(sigma_max=2.0), start=0.9),
    begun(EDM(sigma_max=1.5)),
    begun(Linear(T=10), steps=10),
    begun(Linear(T=10), V, steps=5, start=0.5),
    begun(Linear(T=None, beta_max=0.002)),
    begun(Linear(T=100, scale_betas=True, beta_max=0.002)),
    begun(Quadratic(T=20), V),
    begun(Cosine(T=10, beta_clip=0.1), V, steps=10),
    begun(Sigmoid(T=10, beta_clip=0.1), steps=10),
]


def told_of(run: Run) -> str:
    words = f"{run.schedule.kind} {getattr(run.schedule, 'T', '')} {run.sampling.spacing} {run.sampling.start}"
    return f"{words} {run.model.target}"


@pytest.mark.parametrize("run", LATE, ids=told_of)
def test_of_a_late_start_the_start_is_blamed(run: Run) -> None:
    found = beginning.start(run)
    assert found.wrong and found.fix.startswith("Set sampling.") and "schedule." not in found.fix
    better = mended(run, found.fix)
    again = [beginning.start(better), beginning.beta_clip(better), beginning.target(better)]
    assert [each.words for each in again if each.wrong] == []


@pytest.mark.parametrize("run", NOISELESS, ids=told_of)
def test_of_too_little_noise_the_schedule_is_blamed_by_settings_that_it_has(run: Run) -> None:
    found = beginning.start(run)
    assert found.wrong
    assert set(re.findall(r"schedule\.(\w+)", found.fix)) <= set(type(run.schedule).model_fields)
    assert beginning.start(mended(run, found.fix)).verdict == "ok"


def test_where_nothing_is_left_of_the_data_no_setting_is_blamed() -> None:
    assert "should not matter" in beginning.signal_fix(Run(schedule=EDM())) and "=" not in beginning.signal_fix(Run())


def test_a_unit_prior_where_much_is_left_is_said_beside_that() -> None:
    run = Run(schedule=LogLinear(sigma_max=2.0), sampling=Sampling(prior="unit"))
    fix = beginning.start(run).fix
    assert "sampling.prior=marginal" in fix and beginning.start(mended(run, fix)).verdict == "ok"


@pytest.mark.parametrize("start", [None, 0.999])
@pytest.mark.parametrize("schedule", [Cosine(), Cosine(T=400)])
def test_a_start_below_the_clip_is_one_at_which_no_step_magnifies_errors(schedule: Cosine, start: Any) -> None:
    run = begun(schedule, steps=50, start=start)
    (found,) = [each for each in foresee(run) if each.wrong]
    assert found.name == ("target" if start and schedule.T == 1000 else "β clip")
    start = re.findall(r"sampling\.start=[\d.]*\d", found.fix)
    assert len(start) == 1 and "sampling.steps" not in found.fix
    assert [each.words for each in foresee(mended(run, start[0])) if each.wrong] == []
    assert beginning.signal(mended(run, start[0]))["snr_start"] < 0.01


def test_what_is_advised_of_few_steps_cures() -> None:
    for run in (begun(Linear(), steps=5), begun(Cosine(), steps=5), begun(Sigmoid(), steps=20, start=0.999)):
        found = next(each for each in (beginning.beta_clip(run), beginning.target(run)) if each.wrong)
        for way in re.split(", or |; or ", found.fix):
            better = mended(run, way)
            assert beginning.beta_clip(better).wrong is False and beginning.target(better).verdict == "ok"


def test_of_a_late_start_on_knots_no_schedule_is_blamed_for_the_width() -> None:
    assert widths.sampler(begun(Cosine(), steps=50, start=0.3)).fix == "Begin where less of the data is left."
    assert "schedule.N" in widths.sampler(begun(LogLinear(sigma_max=0.5, N=20))).fix


@pytest.mark.parametrize(
    ("schedule", "settings"),
    [
        (Linear(T=10, beta_min=0.9, beta_max=0.99), {"sampler": {"kind": "dpmpp_2m"}, "steps": 10}),
        (Linear(T=10, beta_min=0.9, beta_max=0.99), {"sampler": {"kind": "unipc"}, "steps": 10}),
        (Linear(T=None), {"steps": 5, "spacing": "log_snr:-5"}),
    ],
)
def test_changes_that_the_run_would_refuse_are_not_tried(schedule: AnySchedule, settings: dict[str, Any]) -> None:
    model, sampling = {"target": "eps"}, {"sampler": {"kind": "ddim"}, **settings}
    run = Run.model_validate({"schedule": schedule.model_dump(), "model": model, "sampling": sampling})
    for found in (beginning.start(run), beginning.target(run), beginning.beta_clip(run)):
        assert found.words and "Euler" not in found.fix
