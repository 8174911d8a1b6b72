"""Networks: plain modules, `network(x, level, label) → like x`, each built by its Spec."""

from __future__ import annotations

from toydiff.networks.embedding import AnyEmbedding
from toydiff.networks.mlp import MLP

AnyNetwork = MLP
"""The union of networks; the U-Net joins it with the image data."""

__all__ = ["MLP", "AnyEmbedding", "AnyNetwork"]
