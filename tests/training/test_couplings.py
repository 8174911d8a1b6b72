"""Couplings: the cheapest assignment, marginals that stay, and flows that become straighter."""

from __future__ import annotations

import re
from itertools import permutations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from toydiff.config import Model, Run, Sampling
from toydiff.data import Gaussians
from toydiff.editing import Edit
from toydiff.errors import ConfigurationError
from toydiff.names import Found
from toydiff.networks import MLP
from toydiff.runs import Loaded
from toydiff.samplers import DDIM, DDPM, EDM, AnySampler, noise_levels
from toydiff.schedules import Flow
from toydiff.spec import kinds
from toydiff.training import Training, Validator, fit
from toydiff.training.batches import Batches
from toydiff.training.couplings import OT, AnyCoupling, Coupling, Independent
from toydiff.training.densities import UniformTime
from toydiff.training.optimizers import AdamW

CPU = torch.device("cpu")
every_coupling = pytest.mark.parametrize(
    "coupling", [cls() for cls in kinds(AnyCoupling).values()], ids=lambda c: c.kind
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cost(x0: Tensor, eps: Tensor) -> float:
    return float((x0 - eps).double().square().flatten(1).sum(1).mean())


def rows(x: Tensor) -> list[list[float]]:
    return sorted(x.flatten(1).tolist())


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 3, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_is_the_best_of_all(seed: int, shape: tuple[int, ...]) -> None:
    x0, eps = 3 * normal(6, *shape, seed=seed) + 50, normal(6, *shape, seed=100 + seed)
    best = min(cost(x0, eps[list(order)]) for order in permutations(range(6)))
    assert cost(x0, OT()(x0, eps, None)) == pytest.approx(best, rel=1e-6)


def test_on_a_line_the_best_assignment_is_the_order() -> None:
    x0, eps = 2 * normal(200, 1) - 7, normal(200, 1, seed=1)
    paired = OT()(x0, eps, None)
    assert torch.equal(paired[x0.flatten().argsort()], eps.sort(0)[0])


def test_the_units_of_the_data_do_not_matter() -> None:
    x0, eps = normal(100, 2), normal(100, 2, seed=1)
    assert torch.equal(OT()(x0, eps, None), OT()(30 * x0 - 400, eps, None))


@every_coupling
def test_neither_marginal_changes(coupling: Coupling) -> None:
    """The rows of eps are only exchanged, within a chunk and within the label that the network is shown."""
    x0, eps, label = normal(300, 2), normal(300, 2, seed=1), torch.arange(300) % 3
    before = x0.clone(), eps.clone()
    assert rows(coupling(x0, eps, None)) == rows(eps)
    paired = coupling(x0, eps, label)
    for one in range(3):
        assert rows(paired[label == one]) == rows(eps[label == one])
    assert torch.equal(before[0], x0) and torch.equal(before[1], eps)


def test_chunks_bound_the_work() -> None:
    x0, eps = normal(100, 2), normal(100, 2, seed=1)
    paired = OT(chunk=16)(x0, eps, None)
    for k in range(0, 100, 16):
        assert rows(paired[k : k + 16]) == rows(eps[k : k + 16])
    costs = [cost(x0, OT(chunk=chunk)(x0, eps, None)) for chunk in (2, 16, 128)]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("s", [0.5, 1.0, 3.0])
def test_the_cost_falls_towards_the_gaussian_closed_form(s: float) -> None:
    """Between N(0, I) and N(0, s² I) independent pairs cost d (1 + s²), and the best d (1 − s)² (Gelbrich 1990)."""
    x0, eps = s * normal(2048, 2), normal(2048, 2, seed=1)
    assert cost(x0, eps) == pytest.approx(2 * (1 + s**2), rel=0.1)
    assert 2 * (1 - s) ** 2 < cost(x0, OT()(x0, eps, None)) < 2 * (1 - s) ** 2 + 0.1 * (1 + s**2)


# ── in training ──────────────────────────────────────────────────────────────────────────────────────────────────────


def batches(coupling: Coupling, **options: bool) -> Batches:
    return Batches(
        Gaussians(n=100), Flow(), UniformTime(), batch_size=64, conditional=True, label_dropout=0.3, seed=3,
        device=CPU, coupling=coupling, **options,
    )  # fmt: skip


@pytest.mark.parametrize("stratified", [False, True])
def test_a_coupled_batch_is_the_same_batch_with_its_noise_in_another_order(stratified: bool) -> None:
    plain, coupled = (batches(coupling, stratified=stratified) for coupling in (Independent(), OT()))
    for step in (70, 1, 2):  # the second batch of an epoch has 36 rows
        a, b = plain(step), coupled(step)
        assert torch.equal(a.x0, b.x0) and torch.equal(a.label, b.label) and a.level == b.level  # type: ignore[arg-type]
        assert rows(a.eps) == rows(b.eps) and not torch.equal(a.eps, b.eps)
        assert torch.equal(b.eps, coupled(step).eps)


def test_dropped_labels_are_coupled_among_themselves() -> None:
    a, b = batches(Independent())(1), batches(OT())(1)
    assert b.label is not None
    for one in torch.unique(b.label):
        assert rows(a.eps[b.label == one]) == rows(b.eps[b.label == one])
    assert (b.label == 8).sum() > 5


def run(coupling: Coupling) -> Run:
    training = Training(steps=400, batch_size=128, coupling=coupling, optimizer=AdamW(lr=1e-2))  # type: ignore[arg-type]
    return Run(
        data=Gaussians(modes=2, std=0.1),
        schedule=Flow(),
        network=MLP(widths=(64, 64)),
        model=Model(target="flow"),
        training=training,
    )


@pytest.fixture(scope="module")
def trained() -> dict[str, Loaded]:
    found = {}
    for coupling in (Independent(), OT(chunk=128)):
        config = run(coupling)
        *_, last = fit(config.build(), config.data, config.training)
        name = coupling.kind
        found[name] = Loaded(
            name, Found("checkpoint", name, ""), config, last.ema, last.ema.shift, float(last.ema.scale)
        )
    return found


def test_a_flow_trained_with_it_is_straighter(trained: dict[str, Loaded]) -> None:
    """How far two steps of Euler end from sixty: nothing for straight paths. Both flows lead to the data."""
    away = {}
    for name, loaded in trained.items():
        few, many = (loaded.sample(1000, sampler=DDIM(), levels=noise_levels(Flow(), n)).x for n in (2, 60))
        away[name] = cost(few, many) ** 0.5
        nearest = torch.cdist(many.double(), loaded.data.exact().means).amin(1)  # type: ignore[attr-defined]
        assert nearest.median() < 0.15  # of a round Gaussian of std 0.1 it is 0.12
    assert away["ot"] < 0.7 * away["independent"]


def test_the_validation_loss_is_of_the_same_coupling(trained: dict[str, Loaded]) -> None:
    """The least loss is E Var(eps − x_0 | x_t): the straighter the paths, the smaller."""
    losses = {}
    for name, loaded in trained.items():
        validator = Validator(loaded.data, loaded.config.training, n=512, seed=0, device=CPU)
        losses[name] = validator(loaded.denoiser).loss  # type: ignore[arg-type]
    assert losses["ot"] < losses["independent"] / 2


# ── sampling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_coupled_model_samples_deterministically_only(trained: dict[str, Loaded]) -> None:
    for sampler in (DDPM(), DDIM(eta=0.5)):
        with pytest.raises(ConfigurationError, match="samples deterministically only") as error:
            trained["ot"].sample(2, sampler=sampler)
        able = set(re.findall(r"[a-z0-9_]+", error.value.hint.partition(":")[2]))
        assert {"ddim", "heun"} <= able <= kinds(AnySampler).keys() - {"ddpm", "euler_ancestral"}
        trained["independent"].sample(2, sampler=sampler)
        with pytest.raises(ValidationError, match=f"sampling.sampler: `{sampler.kind}` draws noise on the way"):
            Run(training=Training(coupling=OT()), sampling=Sampling(sampler=sampler))


@pytest.mark.parametrize("kind", kinds(AnySampler))
def test_a_sampler_says_whether_it_draws_noise_and_is_believed(kind: str, trained: dict[str, Loaded]) -> None:
    """Deterministic ones sample the coupled model without asking for more than their first noise."""
    sampler = kinds(AnySampler)[kind]()
    known = {"ddpm": True, "ddim": False, "euler": False, "heun": False, "euler_ancestral": True}
    assert sampler.stochastic == known.get(kind, sampler.stochastic)  # type: ignore[attr-defined]
    if not sampler.stochastic:  # type: ignore[attr-defined]
        assert trained["ot"].sample(2, sampler=sampler).x.isfinite().all()
    assert not DDIM(eta=0).stochastic and DDIM(eta=0.1).stochastic
    assert not EDM().stochastic and EDM(S_churn=20, S_tmin=0.9, S_tmax=0.91).stochastic  # however short the window


def test_a_coupled_model_edits_nothing(trained: dict[str, Loaded]) -> None:
    """Independent noise on data is nothing it has seen; the way between two seeds is noise like any other."""
    with pytest.raises(ConfigurationError, match="trained with optimal transport"):
        trained["ot"].sample(2, edit=Edit(init=torch.zeros(1, 2), strength=0.5))
    way = Edit(towards=torch.tensor([5, 6]), weight=torch.tensor([0.5, 1.0]))
    assert trained["ot"].sample(2, edit=way).x.isfinite().all()
