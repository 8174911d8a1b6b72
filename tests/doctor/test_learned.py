"""What the doctor finds in networks and their history: healthy ones nothing, planted faults by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from toydiff.config import Model, Run
from toydiff.data import GaussianMixture, Gaussians, Shapes
from toydiff.data.files import Npz
from toydiff.denoiser import Denoiser
from toydiff.doctor import Finding, Patient, learned
from toydiff.networks import UNet
from toydiff.schedules import Flow, Level, Linear
from toydiff.training import Training
from toydiff.training.couplings import OT
from toydiff.training.densities import Discrete, Laplace, LogNormal
from toydiff.training.optimizers import AdamW

from .conftest import DATA, RUN, changed, denoiser_of, patient


def test_an_error_at_every_level_costs_its_closed_form_in_nats() -> None:
    # ½ ∫ |δ|² dSNR between the grid's ends, with δ² = 2 · 0.1² / SNR: ½ · 0.02 · (λ_clean − λ_noisy)
    erring = patient(error=lambda x0, level: x0 + 0.1 / level.snr.sqrt().to(x0))
    levels = RUN.levels()[:-1]
    span = float(levels[-1].log_snr - levels[0].log_snr)
    assert learned.levels(erring).numbers["nats"] == pytest.approx(0.01 * span, rel=1e-4)


@pytest.mark.parametrize("spacing", ["trailing", "karras", "log_snr"])
def test_nats_are_counted_up_to_one_cleanest_level_whatever_the_grid(spacing: str) -> None:
    """Of an error that costs 0.01 nats a unit of log-SNR, finer grids would make as much as there are units in them."""
    run = changed(spacing=spacing, steps=200)
    found = learned.levels(patient(run, error=lambda x0, level: x0 + 0.1 / level.snr.sqrt().to(x0)))
    first = float(run.levels()[0].log_snr)
    assert found.numbers["nats"] == pytest.approx(0.01 * (8 - first), abs=0.01) and found.verdict == "ok"
    assert f"nats between log-SNR {first:.1f} and" in found.words and "what lies outside is not counted" in found.words


@pytest.mark.parametrize(
    ("size", "off", "verdict"), [(2, 0.08, "ok"), (10, 0.08, "ok"), (20, 0.08, "ok"), (10, 0.2, "warning")]
)
def test_in_many_dimensions_as_much_is_allowed_a_coordinate(size: int, off: float, verdict: str) -> None:
    run = RUN.model_copy(update={"data": GaussianMixture(means=((0.0,) * size,), std=1.0)})
    found = learned.levels(patient(run, lambda x0, level: x0 + off / level.snr.sqrt().to(x0)))
    levels = run.levels()[:-1]
    span = float(levels[-1].log_snr - levels[0].log_snr)
    assert found.numbers["nats"] == pytest.approx(size * off**2 / 2 * span, rel=1e-3)  # of which 0.2 are for 2 of them
    assert found.verdict == verdict


def test_the_level_at_which_a_network_is_bad_is_named() -> None:
    bad = patient(error=lambda x0, level: x0 + 0.5 * (level.log_snr - 3).abs().lt(0.8).to(x0))
    found = learned.levels(bad)
    assert found.verdict == "problem" and abs(found.numbers["worst_log_snr"] - 3) < 1


class Wiener(nn.Module):
    """μ + gain · v alpha (x − alpha μ)/(alpha² v + sigma²): Wiener's, but for a gain; and an error at t = 1."""

    classes = 0

    def __init__(self, data: Any, gain: float = 1.0, ghost: float = 0.0) -> None:
        super().__init__()
        x = data.draw(4000, torch.Generator().manual_seed(1)).x / data.scale
        self.mean, self.variance, self.gain, self.ghost = x.mean(0), x.var(0), gain, ghost
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
        gain = self.gain * self.variance * level.alpha / (level.alpha**2 * self.variance + level.sigma**2)
        return (self.mean + gain * (x - level.alpha * self.mean)).to(x) + self.ghost * (level.t == 1)


class Off(Wiener):
    """The noise that Wiener's estimate implies, and as much more everywhere as it errs by."""

    def __init__(self, data: Any, off: float) -> None:
        super().__init__(data)
        self.off = off

    def forward(self, x: Tensor, level: Level, label: Tensor | None = None) -> Tensor:
        return ((x - level.alpha * super().forward(x, level)) / level.sigma + self.off).to(x)


PICTURES = Run(
    data=Shapes(size=16), network=UNet(channels=8, multipliers=(1,), attention=(), blocks=1), schedule=Flow()
)


@pytest.mark.parametrize(
    ("gain", "ghost", "verdict"),
    [(1.0, 0.0, "ok"), (2.0, 0.0, "problem"), (1.0, 0.6, "warning"), (1.0, 1.0, "problem")],
)
def test_without_an_exact_denoiser_the_best_linear_one_is_the_yardstick(
    gain: float, ghost: float, verdict: str
) -> None:
    network = Wiener(PICTURES.data, gain, ghost)
    found = learned.levels(patient(PICTURES, denoiser=denoiser_of(PICTURES, network)))
    assert found.verdict == verdict
    if ghost:
        assert "at t = 1, where all is noise" in found.words and found.numbers["worst_t"] == 1
        assert "see more of t = 1 in training" in found.fix
    elif gain == 1:
        assert found.numbers["over_linear"] == pytest.approx(1, rel=0.05)


def test_held_out_data_that_are_all_alike_judge_no_level(tmp_path: Path) -> None:
    x = DATA.draw(400, torch.Generator().manual_seed(0)).x
    x[360:] = x[0]
    np.savez(path := tmp_path / "alike.npz", x=x.numpy(), split=np.arange(400) >= 360)
    run = RUN.model_copy(update={"data": Npz(path=str(path))})
    found = learned.levels(patient(run, denoiser=denoiser_of(run, Off(run.data, 0.1))))
    assert found.verdict == "not applicable" and "held-out data are all alike" in found.words


@pytest.mark.parametrize(("off", "verdict"), [(0.01, "ok"), (0.1, "ok"), (1.0, "problem")])
@pytest.mark.parametrize("target", ["eps", "score"])
def test_what_sampling_forgives_an_estimate_of_the_noise_is_no_fault(target: Any, off: float, verdict: str) -> None:
    """At t = 1 of Linear(T=1000) an error of 0.01 in eps is one of 1.6 in x̂_0, and a step forgives it."""
    run = PICTURES.model_copy(update={"schedule": Linear(), "model": Model(target=target)})
    network = Off(run.data, off)
    if target == "score":
        forward = network.forward
        network.forward = lambda *given: -forward(*given)  # type: ignore[method-assign]
    known = Denoiser(network, target, run.schedule, normalize_input=False, shift=run.data.shift, scale=run.data.scale)
    found = learned.levels(patient(run, denoiser=known.requires_grad_(False)))
    assert found.verdict == verdict and "weighed by min(1, SNR)" in found.words
    assert "log-SNR" in found.words


def test_levels_are_not_judged_where_noise_is_coupled_to_the_data() -> None:
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


def test_a_level_that_training_hardly_draws_is_named_with_a_setting_that_draws_it() -> None:
    aside = Training(steps=1000, density=LogNormal(mean=5, std=0.5))
    run = RUN.model_copy(update={"training": aside})
    found = learned.levels(patient(run, lambda x0, level: x0 + 0.3))
    assert found.wrong and "0.0% of which lies near it: training.density.kind=uniform" in found.fix
    assert "Train longer" in learned.levels(patient(error=lambda x0, level: x0 + 0.3)).fix
    peak = Training(steps=1000, density=Laplace(mean=-9, scale=0.1))
    found = learned.levels(patient(RUN.model_copy(update={"training": peak}), lambda x0, level: x0 + 0.3))
    assert "training.density.uniform=0.1" in found.fix
    few = Gaussians(n=100)
    for training, said in ((aside, "density.kind=uniform."), (RUN.training, "(--samples), or stop earlier.")):
        run = RUN.model_copy(update={"data": few, "training": training})
        assert learned.levels(patient(run, lambda x0, level: x0 + 0.3)).fix.endswith(said)
    every = RUN.model_copy(update={"schedule": Linear(), "training": Training(steps=1000, density=Discrete())})
    assert "kind=uniform" not in learned._more_of(every, 9.0, "log-SNR 9")  # it is as even already


def test_a_loss_that_falls_by_no_more_than_its_noise_is_no_fault() -> None:
    """Of 200 losses with a deviation of a half the medians of two fifths differ by 0.14 as it comes."""
    random = torch.Generator().manual_seed(3)
    noise = (0.5 * torch.randn(200, generator=random)).tolist()

    def falling(by: float, noisy: bool) -> Any:
        return rows(lambda u: 2 - by * (u >= 0.8) + noisy * noise[round(200 * u)])

    assert learned.learning(patient(metrics=falling(0.25, noisy=True))).verdict == "ok"
    assert learned.learning(patient(metrics=falling(0.25, noisy=False))).verdict == "warning"
    assert learned.learning(patient(metrics=falling(1.5, noisy=True))).verdict != "ok"
    spiky = rows(lambda u: 2 - u + 60 * (u == 0.9))  # one loss in two hundred hides nothing
    assert learned.learning(patient(metrics=spiky)).verdict == "warning"


def test_no_rate_is_advised_that_would_be_refused_and_none_where_the_weight_is_to_blame() -> None:
    spiky, falling = rows(lambda u: 1 + 9 * (int(u * 200) % 25 == 24)), rows(lambda u: 2 - u)

    def found(lr: float, metrics: Any, weight: str = "uniform") -> Finding:
        training = Training.model_validate({"steps": 1000, "optimizer": AdamW(lr=lr), "weight": {"kind": weight}})
        return learned.learning(patient(RUN.model_copy(update={"training": training}), metrics=metrics))

    assert found(0.005, falling).fix == "Train longer, or try --lr 0.015."
    assert found(0.01, falling).fix == "Train longer."
    assert found(0.005, spiky).fix == "Lower it: --lr 0.0017."
    drowned = found(0.005, spiky, "inverse_sigma2")
    assert drowned.verdict == "ok" and drowned.fix == "" and "weighed so unevenly" in drowned.words


@pytest.mark.parametrize(
    ("metrics", "verdict", "fix"),
    [
        (rows(lambda u: 1 + math.exp(-20 * u)), "ok", ""),
        (rows(lambda u: 2 - u), "warning", "Train longer"),
        (rows(lambda u: 1 + 9 * (int(u * 200) % 25 == 24)), "warning", "Lower it"),
        (rows(lambda u: 1, norm=5.0), "ok", ""),
        (rows(lambda u: 1, validation=(1.0, 0.5, 0.9)), "problem", "Lower it"),
        (rows(lambda u: 1)[:10], "ok", ""),
    ],
)
def test_a_learning_rate_is_judged_by_the_losses(metrics: Any, verdict: str, fix: str) -> None:
    found = learned.learning(patient(metrics=metrics))
    assert (found.verdict, found.fix[: len(fix)]) == (verdict, fix)
    if len(metrics) >= 20:  # told, but no fault: Adam and Muon normalise gradients anyway
        assert f"{metrics[0]['grad_norm'] > 1:.0%} of gradients clipped" in found.words
