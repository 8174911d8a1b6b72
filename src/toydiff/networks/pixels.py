"""What a U-Net does to its pixels, the way a CPU is fast at it in bfloat16: the same numbers (benchmarks/unet.md).

In float32, and elsewhere than on a CPU, torch's own way is as fast or faster, and is what is taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:  # shapes are checked in tests only
    from jaxtyping import Float

LANES = 32
"""Numbers in bfloat16 that a CPU takes at once; those left over at the end of a row go one by one."""


class Halve(nn.Conv2d):
    """A convolution whose kernel is its stride, 2 × 2: y[h, w] = Σ W[i, j] x[2 h + i, 2 w + j] + b."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, stride=2)

    def forward(self, x: Float[Tensor, " B C H W"]) -> Float[Tensor, " B D H//2 W//2"]:
        if not slowly(x):
            return super().forward(x)
        B, C, H, W = x.shape
        even = x[..., : H // 2 * 2, : W // 2 * 2].permute(0, 2, 3, 1)
        four = even.reshape(B, H // 2, 2, W // 2, 2, C).transpose(2, 3).flatten(3)
        return F.linear(four, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias).permute(0, 3, 1, 2)


class Double(nn.ConvTranspose2d):
    """A transposed convolution whose kernel is its stride, 2 × 2: y[2 h + i, 2 w + j] = W[i, j]ᵀ x[h, w] + b.

    In torch's own the gradient of b alone takes longer than all of this.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, stride=2)

    def forward(
        self, x: Float[Tensor, " B C H W"], output_size: list[int] | None = None
    ) -> Float[Tensor, " B D 2*H 2*W"]:
        if output_size is not None or not slowly(x):
            return super().forward(x, output_size)
        B, _, H, W = x.shape
        D = self.out_channels
        assert self.bias is not None
        four = F.linear(x.permute(0, 2, 3, 1), self.weight.permute(2, 3, 1, 0).flatten(0, 2), self.bias.repeat(4))
        return four.view(B, H, W, 2, 2, D).transpose(2, 3).reshape(B, 2 * H, 2 * W, D).permute(0, 3, 1, 2)


def modulated(h: Float[Tensor, " B C H W"], scale: Float[Tensor, " B C"], shift: Float[Tensor, " B C"]) -> Tensor:
    """Return h · (1 + scale) + shift, a number of each for a channel of a sample."""
    B, C, H, W = h.shape
    n = math.gcd(max(1, LANES // C), W) if slowly(h) else 1
    if n == 1:
        return torch.addcmul(shift[:, :, None, None], h, 1 + scale[:, :, None, None])
    pixels = h.permute(0, 2, 3, 1).reshape(B, H * W // n, n * C)  # so many side by side as fill a vector
    pixels = torch.addcmul(shift.repeat(1, n)[:, None], pixels, 1 + scale.repeat(1, n)[:, None])
    return pixels.view(B, H, W, C).permute(0, 3, 1, 2)


def slowly(x: Tensor) -> bool:
    """Return whether torch's own way is the slow one."""
    return x.is_cpu and x.dtype is torch.bfloat16
