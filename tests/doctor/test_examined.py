"""What the doctor finds in models: exact denoisers made into networks are healthy, and planted faults are found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from toydiff.cli.configure import configuration_layers
from toydiff.config import Model, Run, Sampling
from toydiff.data import Batch, Checkerboard, GaussianMixture, Gaussians, Moons, Npz, Shapes
from toydiff.data.files import Npy
from toydiff.denoiser import Denoiser
from toydiff.doctor import Patient, examine, learned, sampled, timing, untrained
from toydiff.doctor.patient import distance
from toydiff.layers import resolve
from toydiff.metrics.floors import floor
from toydiff.names import Found
from toydiff.networks import MLP, UNet
from toydiff.oracle import Empirical, ExactDenoiser
from toydiff.runs import Loaded
from toydiff.samplers import DDIM, Heun
from toydiff.schedules import Flow, Level
from toydiff.training import Training, fit
from toydiff.training.couplings import OT

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


# ── levels, average, units ───────────────────────────────────────────────────────────────────────────────────────────


def test_an_error_at_every_level_costs_its_closed_form_in_nats() -> None:
    # ½ ∫ |δ|² dSNR between the grid's ends, with δ² = 2 · 0.1² / SNR: ½ · 0.02 · (λ_clean − λ_noisy)
    erring = patient(error=lambda x0, level: x0 + 0.1 / level.snr.sqrt().to(x0))
    levels = RUN.levels()[:-1]
    span = float(levels[-1].log_snr - levels[0].log_snr)
    assert learned.levels(erring).numbers["nats"] == pytest.approx(0.01 * span, rel=1e-4)


def test_the_level_at_which_a_network_is_bad_is_named() -> None:
    bad = patient(error=lambda x0, level: x0 + 0.5 * (level.log_snr - 3).abs().lt(0.8).to(x0))
    found = learned.levels(bad)
    assert found.verdict == "problem" and abs(found.numbers["worst_log_snr"] - 3) < 1


def test_without_an_exact_denoiser_the_best_linear_one_is_the_yardstick() -> None:
    run = Run(data=Shapes(size=16), network=UNet(channels=8, multipliers=(1,), attention=(), blocks=1), schedule=Flow())

    mean = run.data.draw(4000, torch.Generator().manual_seed(1)).x
    mean, variance = mean.mean(0), mean.var(0)

    class Linear(nn.Module):
        """μ + gain · v alpha (x − alpha μ)/(alpha² v + sigma²): Wiener's, but for a gain, and an error at t = 1."""

        classes = 0

        def __init__(self, gain: float, ghost: float) -> None:
            super().__init__()
            self.gain, self.ghost, self.weight = gain, ghost, nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
            gain = self.gain * variance * level.alpha / (level.alpha**2 * variance + level.sigma**2)
            return (mean + gain * (x - level.alpha * mean)).to(x) + self.ghost * (level.t == 1)

    for gain, ghost, verdict in ((1.0, 0.0, "ok"), (2.0, 0.0, "problem"), (1.0, 0.6, "warning"), (1.0, 1.0, "problem")):
        found = learned.levels(patient(run, denoiser=denoiser_of(run, Linear(gain, ghost))))
        assert found.verdict == verdict
        if ghost:
            assert "at t = 1, where all is noise" in found.words and found.numbers["worst_t"] == 1
            assert "see more of t = 1 in training" in found.fix
        elif gain == 1:
            assert found.numbers["over_linear"] == pytest.approx(1, rel=0.05)
    coupled = RUN.model_copy(update={"training": Training(coupling=OT())})
    assert learned.levels(patient(coupled)).verdict == "not applicable"


def test_an_average_that_lags_is_found(healthy: Patient) -> None:
    assert learned.average(healthy).verdict == "ok"
    lagging = patient(error=lambda x0, level: 0.7 * x0, raw=healthy.raw)
    assert learned.average(lagging).verdict == "problem" and "--weights raw" in learned.average(lagging).fix


def test_dead_units_and_broken_weights_are_found() -> None:
    denoiser = RUN.build().requires_grad_(False)
    healthy = learned.units(patient(denoiser=denoiser))
    assert (healthy.verdict, healthy.numbers) == ("ok", {"dead": 0, "units": 32})
    denoiser.network.hidden[0].bias[:12] = -1e3  # silu is 0 there, for whatever comes
    found = learned.units(patient(denoiser=denoiser))
    assert (found.verdict, found.numbers["dead"]) == ("warning", 12)
    denoiser.network.first.weight[0, 0] = math.nan
    assert learned.units(patient(denoiser=denoiser)).verdict == "problem"


def test_dead_channels_of_a_unet_are_found() -> None:
    spec = UNet(channels=8, multipliers=(1, 2), attention=(), blocks=1, patch=2)
    run = Run(data=Shapes(size=16), network=spec, schedule=Flow(), model=Model(target="x0"))
    denoiser = run.build().requires_grad_(False)
    dead = [learned.units(patient(run, denoiser=denoiser)).numbers["dead"]]
    denoiser.network.norm.weight[:6] = 0
    dead.append(learned.units(patient(run, denoiser=denoiser)).numbers["dead"])
    assert dead[1] - dead[0] == 6


# ── the run's own history ────────────────────────────────────────────────────────────────────────────────────────────


def rows(loss: Any, norm: float = 0.5, validation: tuple[float, ...] = ()) -> list[dict[str, Any]]:
    told = [{"step": k, "loss": loss(k / 200), "grad_norm": norm, "lr": 1e-3} for k in range(200)]
    return told + [{"step": 40 * k, "validation": value} for k, value in enumerate(validation)]


@pytest.mark.parametrize(
    ("metrics", "verdict", "fix"),
    [
        (rows(lambda u: 1 + math.exp(-20 * u)), "ok", ""),
        (rows(lambda u: 2 - u), "warning", "Train longer"),
        (rows(lambda u: 1 + 9 * (int(u * 200) % 25 == 24)), "warning", "Lower it"),
        (rows(lambda u: 1, norm=5.0), "warning", "Raise training.clip: half of the gradients are longer than 5."),
        (rows(lambda u: 1, validation=(1.0, 0.5, 0.9)), "problem", "Lower it"),
        (rows(lambda u: 1)[:10], "ok", ""),
    ],
)
def test_a_learning_rate_is_judged_by_the_losses(metrics: Any, verdict: str, fix: str) -> None:
    found = learned.learning(patient(metrics=metrics))
    assert (found.verdict, found.fix[: len(fix)]) == (verdict, fix)


# ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_start_from_too_little_noise_is_measured() -> None:
    found = sampled.start(patient(changed(start=0.3)))
    assert found.verdict == "problem"
    assert found.numbers["nats"] - 3 * found.numbers["nats_error"] > 0.4  # the data are where the samples are not


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


def test_too_few_held_out_data_judge_nothing(tmp_path: Path) -> None:
    np.save(path := tmp_path / "few.npy", DATA.draw(100, torch.Generator().manual_seed(0)).x.numpy())
    known = patient(RUN.model_copy(update={"data": Npy(path=str(path))}), exact=DATA.exact())
    for check in (sampled.start, sampled.steps, sampled.spread):
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


def test_copies_are_found_of_one_datum_and_of_data_that_are_there_twice(tmp_path: Path) -> None:
    one = RUN.model_copy(update={"data": Gaussians(n=1)})
    assert sampled.memorisation(patient(one, exact=Empirical(one.data.fixed().x))).verdict == "problem"
    pictures = np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    rows = [*range(200), *range(200), *range(200, 300)]  # the last hundred are held out
    np.savez(path := tmp_path / "twice.npz", images=pictures[rows], split=np.arange(500) >= 400)
    twice = RUN.model_copy(update={"data": Npz(path=str(path))})
    found = sampled.memorisation(patient(twice, exact=Empirical(twice.data.fixed().x)))
    assert found.verdict == "problem" and found.numbers["n"] == 200


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
    assert learned.levels(stood_in).verdict == "not applicable"


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_parts_of_a_step_are_timed() -> None:
    found = timing.speed(RUN, seconds=0.05)
    parts = [found.numbers[f"{part}_ms"] for part in ("data", "forward", "backward", "optimizer", "average")]
    assert min(parts) > 0 and sum(parts) == pytest.approx(found.numbers["step_ms"])
    assert found.verdict == "ok"  # 1,000 steps of this are soon done


@pytest.mark.parametrize(
    ("data", "growth", "steps", "verdict", "advice"),
    [
        (0.001, 1.1, 1_000_000, "warning", "--batch-size"),
        (0.010, 2.0, 1_000_000, "warning", "--samples"),
        (0.001, 2.0, 1_000_000, "ok", ""),
        (0.010, 1.1, 1000, "ok", ""),
    ],
)
def test_what_takes_the_time_of_a_long_run_is_said(
    data: float, growth: float, steps: int, verdict: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(run: Run, batch_size: int, seconds: float) -> dict[str, float]:
        times = 1 if batch_size == 64 else growth
        return {"data": data * times, "forward": 0.005 * times, "backward": 0.005 * times}

    monkeypatch.setattr(timing, "_timed", timed)
    found = timing.speed(RUN.model_copy(update={"training": Training(steps=steps, batch_size=64)}))
    assert found.verdict == verdict and advice in found.fix


def test_slow_data_are_only_blamed_for_what_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_timed", lambda *_: {"data": 0.01, "forward": 0.005, "backward": 0.005})
    long = Training(steps=1_000_000, batch_size=1024)
    fixed = RUN.model_copy(update={"training": long, "data": Gaussians(n=2000)})
    assert timing.speed(fixed).verdict == "ok"  # they are drawn once already
    for chunk, words in ((256, "training.coupling.chunk=64, or"), (8, "set training.coupling.kind=independent")):
        pairing = RUN.model_copy(update={"training": long.model_copy(update={"coupling": OT(chunk=chunk)})})
        fix = timing.speed(pairing).fix
        assert words in fix and "training.coupling.kind=independent" in fix and "--samples" not in fix
