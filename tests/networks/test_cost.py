"""Multiply–accumulates against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from toydiff.networks import MLP, UNet
from toydiff.networks.cost import parts, reach
from toydiff.networks.unet import Attention
from toydiff.schedules import Flow


class One(nn.Module):
    """A network of one part."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor, level: object, label: None) -> Tensor:
        y: Tensor = self.part(x)
        return y


@pytest.mark.parametrize(
    ("part", "shape", "macs"),
    [
        (lambda: nn.Linear(7, 5), (7,), 7 * 5),
        (lambda: nn.Conv2d(3, 8, 3, padding=1), (3, 10, 12), 10 * 12 * 8 * 3 * 9),
        (lambda: nn.Conv2d(4, 6, 2, stride=2), (4, 10, 12), 5 * 6 * 6 * 4 * 4),
        (lambda: nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 5, 5), 25 * 4 * 6 * 4),
        # T tokens of C channels: q, k, v and out, T · C · 4C; q kᵀ and (q kᵀ) v, T² · C each
        (lambda: Attention(16, 4), (16, 3, 5), 15 * 16 * 64 + 2 * 15**2 * 16),
        (lambda: Attention(16, 4), (16, 20, 20), 400 * 16 * 64 + 2 * 400**2 * 16),  # the fused one
    ],
)
def test_parts_cost_what_they_do(part: type[nn.Module], shape: tuple[int, ...], macs: int) -> None:
    with torch.device("meta"):
        network = One(part())
    (found,) = parts(network, shape)
    assert (found.name, found.macs) == ("part", macs)
    assert found.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("classes", [0, 28])
@pytest.mark.parametrize("patch", [1, 2])
def test_a_network_is_the_sum_of_its_parts(classes: int, patch: int) -> None:
    with torch.device("meta"):
        network = UNet(channels=8, patch=patch, multipliers=(1, 2), attention=(1,)).build((1, 32, 32), classes)
    found = parts(network, (1, 32, 32))
    assert sum(part.parameters for part in found) == sum(p.numel() for p in network.parameters())
    assert [part.name for part in found][:2] == ["first", "embed.0"] and found[-1].name == "last"
    named = {part.name: part for part in found}
    side = 32 // patch
    assert named["first"].macs == side**2 * 8 * patch**2 * 9
    assert named["down.0"].kind == "Block" and named["down.0"].shape == (8, side, side)
    convolutions, levels = 2 * side**2 * 8 * 8 * 9, 32 * 16
    assert named["down.0"].macs == convolutions + levels
    assert named["down.3"].kind == "Block + Attention"
    assert named["down.2"].kind == "Halve 8 → 16, 2 × 2"


def test_what_lies_between_the_parts_is_counted_too() -> None:
    with torch.device("meta"):
        network = MLP(widths=(16, 16), fourier=5).build((2,))
    found = parts(network, (2,))
    assert [(part.name, part.macs) for part in found] == [
        ("first", (2 + 10 + 32) * 16), ("hidden.0", 16 * 16), ("last", 16 * 2), ("", 2 * 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [
        UNet(channels=4, multipliers=(1, 2), blocks=1, attention=()),
        UNet(channels=4, multipliers=(1, 1), blocks=1, attention=(), patch=2),
        UNet(channels=4, multipliers=(2,), blocks=2, attention=()),
    ],
)
def test_the_receptive_field_is_where_the_gradient_is(spec: UNet) -> None:
    shape = (1, 112, 112)
    known = reach(spec.build(shape).to("meta"), shape)
    assert known is not None and not known.attention and known.pixels < 108
    torch.manual_seed(0)
    network = spec.build(shape).double()
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())  # its statistics are of the whole image
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(1, *shape, dtype=torch.float64, requires_grad=True)
    output, extents = network(x, Flow()(0.5), None), []
    for row in range(54, 58):  # how much it is differs by the place in a coarse pixel
        (slope,) = torch.autograd.grad(output[0, 0, row, 56], x, retain_graph=True)
        rows = slope[0, 0].abs().sum(1).nonzero()
        extents.append(int(rows.max() - rows.min()) + 1)
    assert max(extents) == known.pixels


def test_attention_sees_everything_and_so_do_dense_layers() -> None:
    seen = reach(UNet(channels=8, multipliers=(1,), attention=(0,)).build((1, 8, 8)).to("meta"), (1, 8, 8))
    assert seen is not None and seen.attention
    assert reach(MLP().build((2,)).to("meta"), (2,)) is None
