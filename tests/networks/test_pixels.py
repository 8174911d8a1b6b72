"""Halving, doubling and modulating pixels: what torch's own layers make of them, in each precision and layout."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from toydiff.networks import pixels
from toydiff.networks.pixels import Double, Halve, modulated

WAYS = [(Halve, nn.Conv2d), (Double, nn.ConvTranspose2d)]
LAYOUTS = [torch.channels_last, torch.contiguous_format]


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradients(y: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad((y * normal(*y.shape, seed=3)).sum(), of)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take our way in float32 as well, where it can be held to torch's to the last digits."""
    monkeypatch.setattr(pixels, "slowly", lambda x: True)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("ways", "channels", "layout"), [*product(WAYS, [(3, 5), (16, 32), (7, 1)], LAYOUTS)])
def test_halving_and_doubling_are_convolutions(
    ways: tuple[type[nn.Module], type[nn.Module]], channels: tuple[int, int], layout: torch.memory_format
) -> None:
    ours, theirs = ways[0](*channels), ways[1](*channels, 2, stride=2)  # type: ignore[call-arg]
    theirs.load_state_dict(ours.state_dict())  # the same names and shapes: checkpoints do not know which way was taken
    x = normal(2, channels[0], 6, 10).contiguous(memory_format=layout).requires_grad_()
    found, expected = ours(x), theirs(x)
    torch.testing.assert_close(found, expected)
    if min(channels) > 1:
        assert found.is_contiguous(memory_format=torch.channels_last)
    for mine, other in zip(
        gradients(found, x, *ours.parameters()), gradients(expected, x, *theirs.parameters()), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("ways", WAYS, ids=["halve", "double"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (0, 3, 4, 4)])
def test_odd_sizes_and_nothing_are_taken_as_by_convolutions(
    ways: tuple[type[nn.Module], type[nn.Module]], shape: tuple[int, ...]
) -> None:
    ours, theirs = ways[0](3, 5), ways[1](3, 5, 2, stride=2)  # type: ignore[call-arg]
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(normal(*shape)), theirs(normal(*shape)))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("shape", "layout"), [*product([(3, 8, 6, 4), (2, 16, 5, 3), (2, 16, 1, 1), (2, 48, 2, 2), (4, 3, 4, 7)], LAYOUTS)]
)
def test_modulation_is_a_scale_and_a_shift_of_each_channel(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    h = normal(*shape).contiguous(memory_format=layout).requires_grad_()
    scale, shift = normal(shape[0], 2 * shape[1], seed=2).requires_grad_().chunk(2, 1)
    found, expected = modulated(h, scale, shift), h * (1 + scale[..., None, None]) + shift[..., None, None]
    torch.testing.assert_close(found, expected)
    for mine, other in zip(gradients(found, h, scale, shift), gradients(expected, h, scale, shift), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [Halve(16, 32), Double(32, 16)], ids=["halve", "double"])
def test_in_bfloat16_the_same_but_for_a_rounding(layer: nn.Module) -> None:
    x = normal(4, next(iter(layer.parameters())).shape[0] if isinstance(layer, Double) else 16, 8, 8)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x.bfloat16())
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), layer(x), rtol=0.02, atol=0.02)
