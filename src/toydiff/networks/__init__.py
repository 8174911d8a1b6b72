"""Networks: plain modules, `network(x, level, label) → like x`, each built by its Spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from toydiff.networks.embedding import AnyEmbedding
from toydiff.networks.mlp import MLP
from toydiff.networks.unet import UNet

AnyNetwork = Annotated[MLP | UNet, Field(discriminator="kind")]

__all__ = ["MLP", "AnyEmbedding", "AnyNetwork", "UNet"]
