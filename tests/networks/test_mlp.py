"""The MLP: what it is fed, what it gives back, for every embedding of the level and any shape."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from toydiff.networks import MLP, AnyEmbedding
from toydiff.networks.embedding import HalfLogSigma, PlainTime, SinusoidalLogSNR
from toydiff.networks.mlp import MLPNetwork
from toydiff.schedules import Cosine, Flow, Level, LogLinear
from toydiff.spec import kinds

EMBEDDINGS = kinds(AnyEmbedding)
every_embedding = pytest.mark.parametrize("kind", EMBEDDINGS)


def built(shape: tuple[int, ...] = (2,), classes: int = 0, **options: Any) -> MLPNetwork:
    """Return a network whose last layer is not zero, so that everything it is told shows."""
    torch.manual_seed(0)
    network = MLP(**{"widths": (16, 16), **options}).build(shape, classes)
    torch.nn.init.normal_(network.last.weight)
    return network


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


# ── embeddings of the level ──────────────────────────────────────────────────────────────────────────────────────────


@every_embedding
def test_an_embedding_has_as_many_features_as_it_says(kind: str) -> None:
    embedding: Any = EMBEDDINGS[kind]()
    x = normal(5, 3)
    assert embedding(Flow()(0.5), x).shape == (1, embedding.features)
    assert embedding(Flow()(torch.rand(5, 1, 1)), x).shape == (5, embedding.features)
    assert embedding(Flow()(0.5), x).dtype == x.dtype
    assert embedding(Flow()(0.5), x.double()).dtype == torch.float64


@every_embedding
def test_embeddings_are_finite_where_log_snr_is_not_and_tell_levels_apart(kind: str) -> None:
    embedding: Any = EMBEDDINGS[kind]()
    for schedule in (Flow(), Cosine(T=None), LogLinear()):
        features = embedding(schedule(torch.linspace(0, 1, 50, dtype=torch.float64)), normal(50, 1))
        assert features.isfinite().all()
        inner = features[3:-3]  # near the ends log-SNR is cut at ±20
        distance = torch.cdist(inner, inner).fill_diagonal_(math.inf)
        assert distance.min() > 1e-4


def test_the_published_embeddings() -> None:
    x = normal(1, 2).double()
    level = Level(0.25, 0.6, 1.8)
    assert PlainTime()(level, x).tolist() == [[0.25]]
    half = math.log(3) / 2  # sigma/alpha = 3
    assert HalfLogSigma()(level, x).tolist() == [pytest.approx([math.sin(half), math.cos(half)], rel=1e-12)]
    angles = [2 * math.pi * -2 * math.log(3) / period for period in (4, 40, 400)]
    expected = [*map(math.sin, angles), *map(math.cos, angles)]
    assert SinusoidalLogSNR(features=6)(level, x).tolist() == [pytest.approx(expected, rel=1e-6)]


def test_beyond_20_all_levels_look_alike() -> None:
    x = normal(2, 1)
    for embedding in (SinusoidalLogSNR(), HalfLogSigma()):
        beyond = embedding(Level.at(torch.tensor([25.0, math.inf], dtype=torch.float64)), x)
        assert torch.equal(beyond[0], beyond[1])
        assert torch.equal(beyond[0], embedding(Level.at(20.0), x)[0])


# ── the network ──────────────────────────────────────────────────────────────────────────────────────────────────────


@every_embedding
@pytest.mark.parametrize("shape", [(2,), (3,), (1, 4, 4), (1,)])
@pytest.mark.parametrize(
    "options", [{}, {"residual": True, "activation": "relu"}, {"fourier": 5, "activation": "gelu"}]
)
def test_any_shape_goes_in_and_comes_out(kind: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    network = built(shape, embedding=EMBEDDINGS[kind](), **options)
    x = normal(6, *shape)
    one = network(x, Flow()(0.3))
    assert one.shape == x.shape and one.dtype == x.dtype
    many = network(x, Flow()(torch.full((6, *[1] * len(shape)), 0.3, dtype=torch.float64)))
    torch.testing.assert_close(one, many, rtol=1e-5, atol=1e-5)


@every_embedding
def test_rows_do_not_see_each_other(kind: str) -> None:
    network = built(classes=3, embedding=EMBEDDINGS[kind]())
    x, level, label = normal(6, 2), Flow()(torch.rand(6, 1, dtype=torch.float64)), torch.tensor([0, 1, 2, 3, 0, 1])
    rows = [network(x[i : i + 1], level[i : i + 1], label[i : i + 1]) for i in range(6)]
    torch.testing.assert_close(network(x, level, label), torch.cat(rows), rtol=1e-4, atol=1e-5)


def test_the_first_prediction_is_zero_and_every_weight_learns_from_the_second_on() -> None:
    torch.manual_seed(0)
    network = MLP(widths=(16, 16), fourier=3).build((2,), classes=2)
    x, level, label = normal(8, 2), Flow()(torch.rand(8, 1)), torch.arange(8) % 3
    assert torch.equal(network(x, level, label), torch.zeros(8, 2))
    torch.nn.init.normal_(network.last.weight)
    network(x, level, label).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_no_label_is_the_last_row_of_the_table() -> None:
    network = built(classes=3)
    x, level = normal(4, 2), Flow()(0.5)
    assert torch.equal(network(x, level), network(x, level, torch.full((4,), 3)))
    outputs = torch.stack([network(x, level, torch.full((4,), k)) for k in range(4)])
    assert torch.cdist(outputs.flatten(1), outputs.flatten(1)).fill_diagonal_(math.inf).min() > 1e-3


def test_an_unconditional_network_has_no_table() -> None:
    assert built().label_embedding is None and built().classes == 0
    assert built(classes=3).classes == 3


def test_residual_layers_add_to_their_input() -> None:
    network = built(widths=(8, 8, 8), residual=True)
    for layer in network.hidden:
        torch.nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        torch.nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    x, level = normal(4, 2), Flow()(0.5)
    features = torch.cat([x, network.embedding(level, x).expand(4, -1)], 1)
    expected = network.last(torch.nn.functional.silu(network.first(features)))
    torch.testing.assert_close(network(x, level), expected)  # silu(0) = 0: the hidden layers add nothing
    with pytest.raises(ValueError, match="equal widths"):
        MLP(widths=(8, 16), residual=True)


def test_fourier_features_are_sines_of_random_frequencies_kept_with_the_weights() -> None:
    network = built(fourier=2000, fourier_scale=1.5)
    frequencies = network.state_dict()["frequencies"]
    assert frequencies.shape == (2, 2000)
    assert frequencies.std() / (2 * math.pi) == pytest.approx(1.5, rel=0.05)  # cycles per unit
    assert "frequencies" not in built().state_dict()
    x, level = normal(4, 2), Flow()(0.5)
    before = network(x, level)
    network.load_state_dict(network.state_dict() | {"frequencies": 0 * frequencies})
    assert not torch.allclose(before, network(x, level))


def test_building_twice_from_one_seed_gives_one_network() -> None:
    one, two = built(fourier=4), built(fourier=4)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
