"""An attention U-Net for images of any size and number of channels, laid out so that a CPU is fast at it too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from toydiff.networks.embedding import AnyEmbedding, SinusoidalLogSNR
from toydiff.networks.pixels import Double, Halve, modulated
from toydiff.schedules import Level
from toydiff.spec import Spec

if TYPE_CHECKING:  # shapes are checked in tests only
    from jaxtyping import Float, Int

MATMUL_TOKENS = 128
"""Up to so many tokens attention written out is as fast on a CPU as the fused one, or faster (benchmarks/unet.md)."""


VECTOR = 16
"""Channels that a CPU norms at once."""

Layer = TypeVar("Layer", bound=nn.Module)


class UNet(Spec):
    """A U-Net of residual blocks with adaptive group norm and self-attention (Ho et al. 2020; Dhariwal & Nichol 2021).

    Level k works on 1/2ᵏ of the resolution, with channels · multipliers[k] channels and `blocks` residual blocks down
    and up. `patch` folds patch × patch pixels into channels first: with 2, a quarter of the positions to work on.
    """

    kind: Literal["unet"] = "unet"
    channels: int = Field(64, ge=4, le=4096, multiple_of=4)
    multipliers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field((1, 2, 3), min_length=1, max_length=8)
    blocks: int = Field(2, ge=1, le=16)
    attention: tuple[Annotated[int, Field(ge=0, le=7)], ...] = (1, 2)
    """Levels with self-attention, 0 being the finest."""
    heads: int = Field(4, ge=1, le=256)
    group: int = Field(4, ge=1, le=4096)
    """Fewest channels in a group of the group norms; a CPU is fastest at multiples of 16 (benchmarks/unet.md)."""
    patch: Literal[1, 2, 4] = 1
    dropout: float = Field(0.0, ge=0, lt=1)
    embedding: AnyEmbedding = SinusoidalLogSNR()

    @model_validator(mode="after")
    def _levels_and_heads_fit(self) -> Self:
        levels = range(len(self.multipliers))
        if beyond := sorted(set(self.attention) - set(levels)):
            raise ValueError(f"attention at level {beyond[0]}: there are the levels {', '.join(map(str, levels))}")
        for k in self.attention:
            width = self.channels * self.multipliers[k]
            if width % self.heads:
                fit = [heads for heads in range(1, width + 1) if width % heads == 0]
                below, above = max(h for h in fit if h < self.heads), min((h for h in fit if h > self.heads), default=0)
                raise ValueError(
                    f"{self.heads} heads do not divide the {width} channels of level {k}; "
                    f"the next numbers that do: {below}{f' and {above}' if above else ''}"
                )
        return self

    def build(self, shape: tuple[int, ...], classes: int = 0, guess: bool = False) -> UNetNetwork:
        """Return the network for images of `shape` (C, H, W), conditional if `classes` > 0.

        With `guess` it takes 2 C channels: x_t and a guess of x_0.
        """
        return UNetNetwork(self, shape, classes, guess)


class UNetNetwork(nn.Module):
    """`network(x, level, label) → like x` for x (B, C, H, W); label (B,) in 0 … classes − 1, `classes` meaning none.

    With `guess`, x is (B, 2 C, H, W) and the answer like its first half.

    Sizes that the strides do not divide are padded with zeros, half on each side, and cut again.
    """

    def __init__(self, spec: UNet, shape: tuple[int, ...], classes: int, guess: bool = False) -> None:
        super().__init__()
        widths = [spec.channels * multiplier for multiplier in spec.multipliers]
        features = 4 * spec.channels
        pixels = shape[0] * spec.patch**2
        self.embedding, self.classes, self.patch = spec.embedding, classes, spec.patch
        self.stride = spec.patch * 2 ** (len(widths) - 1)
        self.embed = nn.Sequential(
            nn.Linear(spec.embedding.features, features), nn.SiLU(), nn.Linear(features, features)
        )
        self.label_embedding = nn.Embedding(classes + 1, features) if classes else None
        self.first = nn.Conv2d(pixels * (1 + guess), widths[0], 3, padding=1)

        self.down, self.up, skips, width = nn.ModuleList(), nn.ModuleList(), [], widths[0]
        for k, w in enumerate(widths):
            if k > 0:
                self.down.append(Halve(width, w))
            for _ in range(spec.blocks):
                self.down.append(Block(w if k > 0 else width, w, features, spec, k in spec.attention))
                skips.append(w)
            width = w
        middle = len(widths) - 1 in spec.attention
        self.middle = nn.ModuleList(Block(width, width, features, spec, each) for each in (middle, False))
        for k, w in reversed(list(enumerate(widths))):
            for _ in range(spec.blocks):
                self.up.append(Block(width + skips.pop(), w, features, spec, k in spec.attention))
                width = w
            if k > 0:
                self.up.append(Double(width, width := widths[k - 1]))
        self.norm = GroupNorm(width, spec.group)
        self.last = zero(nn.Conv2d(width, pixels, 3, padding=1))  # the first prediction is 0
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, x: Float[Tensor, " B C H W"], level: Level, label: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, " B C H W"]:
        height, width = x.shape[2:]
        below, right = -height % self.stride, -width % self.stride
        top, left = below // 2, right // 2
        h = F.pad(x, (left, right - left, top, below - top))
        h = self.first(F.pixel_unshuffle(h, self.patch).contiguous(memory_format=torch.channels_last))

        features = self.embed(self.embedding(level, x).expand(len(x), -1))
        if self.label_embedding is not None:
            none = torch.full((len(x),), self.classes, device=x.device) if label is None else label
            features = features + self.label_embedding(none)
        features = F.silu(features)

        skips = []
        for layer in self.down:
            h = layer(h, features) if isinstance(layer, Block) else layer(h)
            if isinstance(layer, Block):
                skips.append(h)
        for layer in self.middle:
            h = layer(h, features)
        for layer in self.up:
            h = layer(torch.cat([h, skips.pop()], 1), features) if isinstance(layer, Block) else layer(h)

        h = F.pixel_shuffle(self.last(F.silu(self.norm(h))), self.patch)
        return h[..., top : top + height, left : left + width]


class Block(nn.Module):
    """h = conv(silu(norm(x))); h = norm(h) · (1 + scale) + shift, both from level and class; x + conv(silu(h)).

    Self-attention may follow. The last convolution starts at zero, so that the block starts as the identity.
    """

    def __init__(self, inputs: int, width: int, features: int, spec: UNet, attention: bool) -> None:
        super().__init__()
        self.norm1 = GroupNorm(inputs, spec.group)
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.adapt = nn.Linear(features, 2 * width)
        self.norm2 = GroupNorm(width, spec.group)
        self.dropout = nn.Dropout(spec.dropout)
        self.conv2 = zero(nn.Conv2d(width, width, 3, padding=1))
        self.skip = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()
        self.attention = Attention(width, spec.heads, spec.group) if attention else nn.Identity()

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        scale, shift = self.adapt(features).chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = modulated(self.norm2(h), scale, shift)
        h = self.conv2(self.dropout(F.silu(h)))
        return cast(Tensor, self.attention(self.skip(x) + h))


class Attention(nn.Module):
    """x + softmax(q kᵀ/√d) v over all pixels of an image, in `heads` heads of d channels (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int, group: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(width, group)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = zero(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        tokens = self.norm(x).permute(0, 2, 3, 1).reshape(B, H * W, C)
        q, k, v = self.qkv(tokens).view(B, H * W, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        if x.device.type == "cpu" and H * W <= MATMUL_TOKENS:
            h = (q @ k.transpose(-1, -2) * (C // self.heads) ** -0.5).softmax(-1) @ v
        else:
            h = F.scaled_dot_product_attention(q, k, v)
        update: Tensor = self.out(h.transpose(1, 2).reshape(B, H * W, C))
        return x + update.view(B, H, W, C).permute(0, 3, 1, 2)


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu & He 2018) over groups of at least `fewest` channels, at most 32 of them.

    Statistics are float32 for x in bfloat16 too, and only the result is rounded.
    """

    def __init__(self, width: int, fewest: int = 4) -> None:
        super().__init__(math.gcd(32, max(1, width // fewest)), width)
        self.whole_vectors = width // self.num_groups % VECTOR == 0

    def forward(self, x: Tensor) -> Tensor:
        # a CPU's bfloat16 kernel is the fastest way for whole vectors of channels, the slowest for others, which are
        # brought to float32 and back: the same numbers (benchmarks/unet.md)
        return super().forward(x if self.whole_vectors else x.to(self.weight.dtype)).to(x.dtype)


def zero(layer: Layer) -> Layer:
    """Return the layer with all its parameters at zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
