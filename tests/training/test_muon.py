"""Muon, against the singular values themselves, the iteration as published, and torch's own for matrices."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from toydiff.config import Run
from toydiff.errors import ToydiffError
from toydiff.networks import MLP
from toydiff.training import Training, fit, muon
from toydiff.training.muon import OrthogonalMomentum, orthogonal
from toydiff.training.optimizers import AdamW, Muon, check_moments, restore

SHAPES = [(5, 5), (4, 9), (96, 864), (200, 30), (1, 7), (7, 1)]


def matrices(rows: int, columns: int, *, stack: int = 3) -> Tensor:
    return torch.randn(stack, rows, columns, generator=torch.Generator().manual_seed(rows * columns))


def published(G: Tensor) -> Tensor:
    """Return what Jordan et al. 2024 make of one matrix, in its dtype: X ← a X + (b A + c A²) X with A = X Xᵀ."""
    if len(G) > G.shape[1]:
        return published(G.mT).mT
    X = G / torch.linalg.matrix_norm(G.float()).to(G)
    for _ in range(5):
        A = X @ X.mT
        X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
    return X


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_it_is_the_published_iteration(rows: int, columns: int) -> None:
    G = matrices(rows, columns)
    for given, found in zip(G.double(), orthogonal([G])[0], strict=True):
        torch.testing.assert_close(found.double(), published(given), rtol=0, atol=2e-4)


@pytest.mark.parametrize(("rows", "columns"), [(96, 864), (128, 128), (200, 130)])
@pytest.mark.parametrize("decades", [0, 1, 2, 5])
def test_in_bfloat16_it_is_as_near_as_the_published_iteration_in_bfloat16(
    rows: int, columns: int, decades: int
) -> None:
    """Both against that iteration in float64. Five steps on one square are further away than X is long."""
    [generated] = matrices(rows, columns, stack=1).double()
    U, _, Vh = torch.linalg.svd(generated, full_matrices=False)
    G = (U * torch.logspace(0, -decades, min(rows, columns), dtype=torch.float64) @ Vh).float()
    exact, [[ours]] = published(G.double()), orthogonal([G[None]], torch.bfloat16)
    away, theirs = ((each.double() - exact).norm() / exact.norm() for each in (ours, published(G.bfloat16())))
    assert 0 < away < 0.02 + theirs < 0.25, (away, theirs)


def test_only_large_matrices_are_taken_in_bfloat16_and_only_if_allowed() -> None:
    for rows, same in ((128, False), (32, True)):
        gradient = torch.randn(rows, 200, generator=torch.Generator().manual_seed(5))
        moved = []
        for allowed in (False, True):
            weight = nn.Parameter(torch.zeros(rows, 200))
            weight.grad = gradient.clone()
            Muon().build([weight], allowed).step()
            moved.append(weight.detach())
        assert torch.equal(*moved) == same
        torch.testing.assert_close(*moved, rtol=0, atol=0.05 * moved[0].abs().max().item())


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_singular_values_come_near_to_one_and_directions_stay(rows: int, columns: int, scale: float) -> None:
    """U S Vᵀ becomes U S′ Vᵀ with S′ in (0.65, 1.2), where S is not tiny beside ‖S‖."""
    side = min(rows, columns)
    for generated in matrices(rows, columns):
        U, _, Vh = torch.linalg.svd(generated.double(), full_matrices=False)
        S = torch.logspace(0, -1, side, dtype=torch.float64)
        [[found]] = orthogonal([(scale * U * S @ Vh).float()[None]])
        inner = U.mT @ found.double() @ Vh.mT
        off = inner - torch.diag(inner.diagonal())
        assert ((inner.diagonal() > 0.65) & (inner.diagonal() < 1.21)).all()
        assert off.abs().max() < 1e-3 and torch.linalg.matrix_norm(found.double() - U @ inner @ Vh) < 1e-3


def test_nothing_stays_nothing() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        [found] = orthogonal([torch.zeros(2, 3, 5)], dtype)
        assert torch.equal(found, torch.zeros(2, 3, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stacks_of_one_smaller_side_are_each_what_they_are_alone(dtype: torch.dtype) -> None:
    stacks = [matrices(24, 24), matrices(24, 70, stack=1), matrices(50, 24, stack=2)]
    for stack, found in zip(stacks, orthogonal(stacks, dtype), strict=True):
        assert found.shape == stack.shape
        for alone, each in zip(stack, found, strict=True):
            [[expected]] = orthogonal([alone[None]], dtype)
            torch.testing.assert_close(each, expected, rtol=0, atol=1e-5 if dtype is torch.float32 else 0.02)


def test_more_numbers_than_go_together_go_stack_by_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    moved, asked = [], []
    for most in (10**9, 0):
        monkeypatch.setattr(muon, "TOGETHER", most)
        monkeypatch.setattr(muon, "orthogonal", lambda stacks, dtype: asked.append(len(stacks)) or orthogonal(stacks))
        weights = [nn.Parameter(matrices(*shape, stack=1)[0]) for shape in ((9, 30), (9, 9), (30, 9), (5, 7))]
        for weight in weights:
            weight.grad = weight.detach().sin()
        Muon().build(weights).step()
        moved.append(weights)
    assert asked == [3, 1, 1, 1, 1, 1]
    for ours, theirs in zip(*moved, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(12, 20), nn.SiLU(), nn.Linear(20, 20), nn.SiLU(), nn.Linear(20, 3)]
    return nn.Sequential(*layers)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(8, 12, generator=torch.Generator().manual_seed(step))
        model.zero_grad()
        (model(x) - x[:, :3].sin()).square().mean().backward()
        optimizer.step()


def test_parameters_move_as_by_torchs_muon_and_adamw() -> None:
    """torch.optim.Muon iterates in bfloat16, hence the tolerance; it takes matrices only, the rest is AdamW's."""
    ours, theirs = network(), network()
    optimizer = Muon(lr=0.01, momentum=0.9, weight_decay=0.1, rms=0.2).build(ours.parameters())
    reference = torch.optim.Muon(
        [p for p in theirs.parameters() if p.ndim == 2], lr=0.01, momentum=0.9, weight_decay=0.1,
        adjust_lr_fn="match_rms_adamw",
    )  # fmt: skip
    beside = torch.optim.AdamW([p for p in theirs.parameters() if p.ndim < 2], lr=0.01, weight_decay=0.1)
    generator = torch.Generator().manual_seed(4)
    for k in range(6):
        before = [p.detach().clone() for p in theirs.parameters()]
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.data.copy_(other.data)  # from the same weights each time, so that roundings do not add up
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for each in (optimizer, reference, beside):
            each.step()
        for mine, other, old in zip(ours.parameters(), theirs.parameters(), before, strict=True):
            apart, gone = (mine - other).norm(), (other - old).norm()
            assert gone > 0 and apart < (0.03 if mine.ndim == 2 else 1e-4) * gone, (k, mine.shape, apart / gone)


def test_the_size_of_an_update_is_rms_times_lr() -> None:
    """An orthogonal m × n matrix has entries of RMS 1/√max(m, n): the update's are rms · lr, give or take 30 %."""
    for shape in ((40, 40), (10, 90), (90, 10), (16, 8, 3, 3)):
        weight = nn.Parameter(torch.zeros(shape))
        weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        Muon(lr=0.01, rms=0.5, weight_decay=0.0).build([weight]).step()
        assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.5 * 0.01, rel=0.3)
        assert (weight * weight.grad).sum() < 0  # downhill


def test_a_convolution_is_a_matrix_of_outputs_by_all_the_rest_however_it_lies_in_memory() -> None:
    given = torch.randn(3, 6, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    flat, plain = nn.Parameter(torch.zeros(6, 36)), nn.Parameter(torch.zeros(6, 4, 3, 3))
    last = nn.Parameter(torch.zeros(6, 4, 3, 3).contiguous(memory_format=torch.channels_last))
    ways = [Muon().build([p]) for p in (flat, plain, last)]
    for gradient in given:
        flat.grad, plain.grad = gradient.reshape(6, 36), gradient.clone()
        last.grad = gradient.contiguous(memory_format=torch.channels_last)
        for optimizer in ways:
            optimizer.step()
    torch.testing.assert_close(plain.detach(), flat.detach().view_as(plain), rtol=0, atol=1e-7)
    torch.testing.assert_close(last.detach(), plain.detach(), rtol=0, atol=1e-7)


def test_matrices_of_one_shape_do_not_mix() -> None:
    gradients = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(3))
    both, alone = [nn.Parameter(torch.zeros(6, 6)) for _ in range(2)], [nn.Parameter(torch.zeros(6, 6)) for _ in "ab"]
    for parameters, gradient in ((both, gradients), (alone, gradients)):
        for p, g in zip(parameters, gradient, strict=True):
            p.grad = g.clone()
    Muon().build(both).step()
    for p in alone:
        Muon().build([p]).step()
    for p, q in zip(both, alone, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-7)


@pytest.mark.parametrize("looks", [True, False], ids=["a CPU looks", "a GPU selects"])
def test_a_refused_step_leaves_no_trace_on_matrices(looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "is_cpu", looks)

    def after(bad: list[bool]) -> tuple[nn.Sequential, torch.optim.Optimizer]:
        model, k = network(), 0
        optimizer = Muon(weight_decay=0.1).build(model.parameters())
        for refused in bad:
            for p in model.parameters():
                p.grad = torch.full_like(p, math.nan) if refused else torch.full_like(p, 0.5 + k)
                if not refused and p.ndim == 2:
                    p.grad[0, 0] = -1.0
            optimizer.found_inf, optimizer.grad_scale = torch.tensor(float(refused)), None  # type: ignore[attr-defined]
            optimizer.step()
            k += not refused
        return model, optimizer

    clean, kept = after([False, False])
    guarded, other = after([True, False, True, False, True])
    assert all(torch.equal(p, q) for p, q in zip(clean.parameters(), guarded.parameters(), strict=True))
    for p, q in zip(clean.parameters(), guarded.parameters(), strict=True):
        assert kept.state[p].keys() == other.state[q].keys()
        assert all(torch.equal(kept.state[p][name], other.state[q][name]) for name in kept.state[p])


def test_what_it_keeps_is_restored_and_another_kinds_is_refused() -> None:
    spec, whole, parts = Muon(), network(), network()
    optimizer = spec.build(whole.parameters())
    train(whole, optimizer, range(6))
    first = spec.build(parts.parameters())
    train(parts, first, range(3))
    second = spec.build(parts.parameters())
    restore(spec, second, first.state_dict())
    train(parts, second, range(3, 6))
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), parts.parameters(), strict=True))
    moments, parameters = optimizer.state_dict(), list(whole.parameters())
    assert {tuple(sorted(each)) for each in moments["state"].values()} == {
        ("momentum",),
        ("exp_avg", "exp_avg_sq", "step"),
    }
    check_moments(spec, moments, parameters)
    with pytest.raises(ToydiffError, match="does not fit the network"):
        check_moments(AdamW(), moments, parameters)
    adam = AdamW().build(parts.parameters())
    train(parts, adam, range(1))
    with pytest.raises(ToydiffError, match="does not fit the network"):
        restore(spec, second, adam.state_dict())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_is_as_precise_as_its_run(precision: str) -> None:
    run = Run(network=MLP(widths=(128, 128)), training=Training(steps=1, optimizer=Muon(), precision=precision))
    [step] = fit(run.build(), run.data, run.training)
    assert isinstance(step.optimizer, OrthogonalMomentum) and step.optimizer.bfloat16 == (precision == "bfloat16")
