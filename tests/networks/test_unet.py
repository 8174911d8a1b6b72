"""The U-Net: any size and number of channels, every parameter of use, one image's output its own."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from toydiff.config import Run
from toydiff.denoiser import Denoiser
from toydiff.networks import UNet
from toydiff.networks import unet as module
from toydiff.networks.unet import Attention, UNetNetwork
from toydiff.schedules import CLEAN, Flow, Level

TINY: dict[str, Any] = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention": (1,), "heads": 2}
LEVEL = Flow()(0.4)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def built(shape: tuple[int, ...] = (1, 8, 8), classes: int = 0, **options: Any) -> UNetNetwork:
    """Return a network none of whose layers is zero, so that everything it is told shows."""
    torch.manual_seed(0)
    network = UNet(**{**TINY, **options}).build(shape, classes).eval()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


# ── what comes out ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("size", "channels"), [*product([(32, 32), (28, 28), (31, 17), (5, 9)], [1, 2, 3, 4])])
@pytest.mark.parametrize("patch", [1, 2])
def test_any_size_and_number_of_channels(size: tuple[int, int], channels: int, patch: int) -> None:
    network = built((channels, *size), patch=patch)
    x = normal(2, channels, *size)
    out = network(x, LEVEL)
    assert out.shape == x.shape
    assert out.isfinite().all()
    assert out.std() > 0.01


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 10)])
def test_the_first_prediction_is_zero(shape: tuple[int, ...]) -> None:
    network = UNet(**TINY).build(shape)
    assert not network(normal(2, *shape), LEVEL).any()


def test_every_block_starts_as_the_identity() -> None:
    network = UNet(**TINY, dropout=0.5).build((1, 8, 8))
    for block in [*network.down, *network.middle]:
        if isinstance(block, module.Block) and isinstance(block.skip, nn.Identity):
            h, features = normal(2, block.conv1.in_channels, 4, 4), normal(2, 32)
            assert torch.equal(block(h, features), h)


@pytest.mark.parametrize("options", [{}, {"patch": 2, "multipliers": (1, 2, 3), "attention": (0, 2), "blocks": 2}])
def test_a_gradient_reaches_every_parameter(options: dict[str, Any]) -> None:
    network = built((2, 12, 12), classes=3, **options)
    network(
        normal(4, 2, 12, 12), Flow()(torch.linspace(0.1, 0.9, 4)), torch.tensor([0, 1, 2, 3])
    ).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().amax() > 0, name


def test_a_zero_start_gives_the_last_layer_a_gradient_and_then_all() -> None:
    """What is zero at first must not stay zero: after three steps everything has moved."""
    network = UNet(**TINY).build((1, 8, 8), classes=2)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for seed in range(3):
        optimizer.zero_grad()
        out = network(normal(4, 1, 8, 8, seed=seed), LEVEL, torch.tensor([0, 1, 2, 2]))
        F.mse_loss(out, normal(4, 1, 8, 8, seed=seed + 9)).backward()
        optimizer.step()
    still = [name for name, p in network.named_parameters() if torch.equal(p, before[name])]
    assert not still


# ── what it depends on ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_is_its_own_whatever_stands_beside_it() -> None:
    network = built((1, 8, 8), classes=2).double()
    x, level = normal(6, 1, 8, 8).double(), Flow()(torch.linspace(0.1, 0.9, 6, dtype=torch.float64))
    label = torch.tensor([0, 1, 2, 0, 1, 2])
    together = network(x, level, label)
    alone = torch.cat([network(x[k : k + 1], level[k : k + 1], label[k : k + 1]) for k in range(6)])
    assert torch.allclose(together, alone, atol=1e-12)


def test_level_and_label_and_every_pixel_matter() -> None:
    network = built((1, 8, 8), classes=2)
    x = normal(1, 1, 8, 8).requires_grad_()
    out = network(x, LEVEL, torch.tensor([0]))
    assert (out - network(x, Flow()(0.6), torch.tensor([0]))).abs().amax() > 1e-4
    assert (out - network(x, LEVEL, torch.tensor([1]))).abs().amax() > 1e-4
    out[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert (x.grad != 0).all()  # self-attention sees the whole image


def test_no_label_is_the_label_none() -> None:
    network = built((1, 8, 8), classes=2)
    x = normal(3, 1, 8, 8)
    assert torch.equal(network(x, LEVEL, None), network(x, LEVEL, torch.tensor([2, 2, 2])))


@pytest.mark.parametrize(("size", "patch"), [((6, 10), 1), ((28, 28), 2), ((5, 3), 2)])
def test_padding_inside_equals_zeros_outside(size: tuple[int, int], patch: int) -> None:
    """Cut sizes are those of the next size that divides, framed in zeros: which pixels were padding is not told."""
    options = {"multipliers": (1, 1, 2), "attention": (2,), "patch": patch}
    network = built((1, *size), **options).double()
    x = normal(2, 1, *size).double()
    below, right = -size[0] % (4 * patch), -size[1] % (4 * patch)
    top, left = below // 2, right // 2
    framed = network(F.pad(x, (left, right - left, top, below - top)), LEVEL)
    cut = framed[..., top : top + size[0], left : left + size[1]]
    assert torch.allclose(network(x, LEVEL), cut, atol=1e-12)


def test_a_padding_of_whole_strides_moves_the_picture_and_nothing_else() -> None:
    """Without attention and statistics over pixels, and far from the border, it commutes with shifts of its stride."""
    network = built((1, 96, 96), attention=()).double()
    for norm in (m for m in network.modules() if isinstance(m, module.GroupNorm)):
        norm.forward = lambda x: x  # type: ignore[method-assign]
    x = F.pad(normal(1, 1, 8, 8).double(), (44, 44, 44, 44))

    def difference(*shift: int) -> Tensor:
        moved = network(torch.roll(x, shift, dims=(2, 3)), LEVEL)
        return (torch.roll(network(x, LEVEL), shift, dims=(2, 3)) - moved)[..., 40:56, 40:56].abs().amax()

    assert difference(2, -4) < 1e-12
    assert difference(1, 0) > 1e-3  # half a stride is another matter


# ── norms ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("width", "fewest", "groups"),
    [(32, 4, 8), (32, 16, 2), (96, 16, 2), (64, 16, 4), (24, 16, 1), (8, 16, 1), (512, 4, 32), (512, 1, 32)],
)
def test_groups_have_at_least_so_many_channels(width: int, fewest: int, groups: int) -> None:
    norm = module.GroupNorm(width, fewest)
    assert norm.num_groups == groups and width % groups == 0 and (groups == 1 or width // groups >= fewest)


@pytest.mark.parametrize(("width", "fewest"), [(32, 4), (32, 16), (96, 16), (24, 16)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norms_of_bfloat16_are_float32s_rounded_once(width: int, fewest: int, layout: torch.memory_format) -> None:
    norm = module.GroupNorm(width, fewest)
    nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1))
    x = (3 + 5 * normal(2, width, 6, 6)).bfloat16().contiguous(memory_format=layout).requires_grad_()
    slope = normal(2, width, 6, 6).bfloat16()
    exact = F.group_norm(x.float(), norm.num_groups, norm.weight, norm.bias)
    # by two orders of summation, hence a few values on the other side of a rounding
    assert norm(x).dtype == torch.bfloat16 and torch.allclose(norm(x).float(), exact, rtol=2**-8, atol=1e-6)
    assert (norm(x) == exact.bfloat16()).float().mean() > 0.999
    found, expected = (torch.autograd.grad(y, (x, norm.weight), slope) for y in (norm(x), exact.bfloat16()))
    assert found[1].dtype == torch.float32 and torch.allclose(found[1], expected[1], rtol=1e-4, atol=1e-4)
    assert torch.allclose(found[0].float(), expected[0].float(), rtol=2**-7, atol=2e-2)


def test_the_spec_says_how_wide_groups_are() -> None:
    for group in (4, 16):
        network = UNet(channels=32, multipliers=(1, 2), attention=(1,), group=group).build((1, 8, 8))
        norms = [each for each in network.modules() if isinstance(each, nn.GroupNorm)]
        assert min(each.num_channels // each.num_groups for each in norms) == group


# ── attention ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_softmax_of_scaled_products(heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    attention = Attention(8, heads).double()
    nn.init.normal_(attention.out.weight)
    x = normal(2, 8, 3, 4).double()
    h = F.group_norm(x, attention.norm.num_groups, attention.norm.weight, attention.norm.bias)
    tokens = h.flatten(2).transpose(1, 2)
    q, k, v = attention.qkv(tokens).chunk(3, dim=-1)
    d, expected = 8 // heads, torch.empty(2, 12, 8, dtype=torch.float64)
    for b, head in product(range(2), range(heads)):
        part = slice(head * d, (head + 1) * d)
        weights = torch.softmax(q[b, :, part] @ k[b, :, part].T / d**0.5, dim=1)
        expected[b, :, part] = weights @ v[b, :, part]
    expected = x + attention.out(expected).transpose(1, 2).view_as(x)
    assert torch.allclose(attention(x), expected, atol=1e-12)
    monkeypatch.setattr(module, "MATMUL_TOKENS", 0)  # the fused way
    assert torch.allclose(attention(x), expected, atol=1e-12)


# ── precision and layout ─────────────────────────────────────────────────────────────────────────────────────────────


def test_bfloat16_stays_near_float32() -> None:
    network = built((1, 16, 16), patch=2)
    x = normal(4, 1, 16, 16)
    exact = network(x, LEVEL)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(x, LEVEL).float()
    error = (rough - exact).square().mean() / exact.square().mean()
    assert 0 < error < 1e-3


def test_convolutions_are_laid_out_channels_last_and_stay_so_when_loaded() -> None:
    network = UNet(**TINY).build((1, 8, 8))
    other = UNet(**TINY).build((1, 8, 8))
    other.load_state_dict(network.state_dict())
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in other.parameters() if p.ndim == 4)


def test_the_denoiser_takes_it_as_any_network() -> None:
    denoiser = Denoiser(built((3, 9, 9), classes=4), target="v", schedule=Flow())
    x = normal(2, 3, 9, 9)
    assert denoiser.classes == 4
    assert torch.equal(denoiser(x, CLEAN), x)
    assert denoiser(x, Level(0.5, 0.6, 0.8), torch.tensor([1, 4])).shape == x.shape


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"channels": 8, "heads": 3},
            "3 heads do not divide the 16 channels of level 1; the next numbers that do: 2 and 4",
        ),
        (
            {"channels": 8, "heads": 17},
            "17 heads do not divide the 16 channels of level 1; the next numbers that do: 16",
        ),
        ({"attention": (0, 2)}, "attention at level 2: there are the levels 0, 1"),
        ({"channels": 6}, "multiple of 4"),
        ({"multipliers": ()}, "at least 1 item"),
    ],
)
def test_what_does_not_divide_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        UNet(**{**TINY, **options})


def test_points_are_no_images() -> None:
    with pytest.raises(ValidationError, match=r"a `unet` takes images \(C, H, W\), and a sample of `swissroll`"):
        Run(network=UNet(**TINY))
