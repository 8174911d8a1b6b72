"""TorchScript programs: of the interface of the Inception network that FID is measured in, and of others."""

from __future__ import annotations

import warnings
from io import BytesIO

import torch
from torch import Tensor, nn


class Sees(nn.Module):
    """`width` random features of uint8 images (N, 3, H, W) of any size, or a softmax: as the literature's is called."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(3 * 16, width, generator=torch.Generator().manual_seed(0)))

    def forward(
        self, img: Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        if img.dtype != torch.uint8 or img.size(1) != 3:
            raise RuntimeError("only uint8 images of three channels")
        features = nn.functional.adaptive_avg_pool2d(img.to(torch.float32), (4, 4)).flatten(1) @ self.weight
        return features if return_features else features.softmax(1)


class Flat(nn.Module):
    """Images of images."""

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        return img.to(torch.float32)


class Numbers(nn.Module):
    """Takes no `return_features`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.float32).flatten(1)


class NotFinite(nn.Module):
    """Features that are nan."""

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        return img.to(torch.float32).flatten(1).log() * 0


def program(module: nn.Module) -> bytes:
    """Return the file of a module made a program."""
    file = BytesIO()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        torch.jit.save(torch.jit.script(module), file)
    return file.getvalue()
