"""A multilayer perceptron for points: [x, Fourier features of x, level, label] → like x."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from toydiff.networks.embedding import AnyEmbedding, SinusoidalLogSNR
from toydiff.schedules import Level
from toydiff.spec import Spec

if TYPE_CHECKING:  # shapes are checked in tests only
    from jaxtyping import Float, Int

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


class MLP(Spec):
    """A multilayer perceptron; `residual` adds each hidden layer to its input, `fourier` adds sines of x."""

    kind: Literal["mlp"] = "mlp"
    widths: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field((128, 128, 128), min_length=1, max_length=64)
    activation: Literal["relu", "silu", "gelu"] = "silu"
    residual: bool = False
    fourier: int = Field(0, ge=0, le=4096)
    """Number of random frequencies of x, a sine and a cosine each (Tancik et al. 2020)."""
    fourier_scale: float = Field(1.0, gt=0, le=1e3)
    """Standard deviation of those frequencies, in cycles per unit of the network's input."""
    embedding: AnyEmbedding = SinusoidalLogSNR()
    label_features: int = Field(16, ge=1, le=4096)

    @model_validator(mode="after")
    def _equal_widths(self) -> Self:
        if self.residual and len(set(self.widths)) > 1:
            raise ValueError(f"a residual MLP needs equal widths, not {list(self.widths)}")
        return self

    def build(self, shape: tuple[int, ...], classes: int = 0) -> MLPNetwork:
        """Return the network for samples of `shape`, conditional if `classes` > 0."""
        return MLPNetwork(self, shape, classes)


class MLPNetwork(nn.Module):
    """`network(x, level, label) → like x` for x (B, *shape); label (B,) in 0 … classes − 1, `classes` meaning none."""

    def __init__(self, spec: MLP, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.frequencies: Tensor | None
        self.embedding = spec.embedding
        self.residual = spec.residual
        self.classes = classes
        size = math.prod(shape)
        # on the CPU also where only shapes are wanted: to multiply there would load the compiler, for a second
        frequencies = (
            torch.randn(size, spec.fourier, device="cpu") * 2 * math.pi * spec.fourier_scale if spec.fourier else None
        )
        self.register_buffer("frequencies", frequencies)
        self.label_embedding = nn.Embedding(classes + 1, spec.label_features) if classes else None
        features = size + 2 * spec.fourier + spec.embedding.features + (spec.label_features if classes else 0)
        self.first = nn.Linear(features, spec.widths[0])
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(spec.widths, spec.widths[1:], strict=False))
        self.last = nn.Linear(spec.widths[-1], size)
        self.activation = ACTIVATIONS[spec.activation]()
        nn.init.zeros_(self.last.weight)  # the first prediction is 0, the mean of every target
        nn.init.zeros_(self.last.bias)

    def forward(
        self, x: Float[Tensor, " B *shape"], level: Level, label: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, " B *shape"]:
        flat = x.flatten(1)
        features = [flat]
        if self.frequencies is not None:
            angle = flat @ self.frequencies
            features += [angle.sin(), angle.cos()]
        features.append(self.embedding(level, flat).expand(len(x), -1))
        if self.label_embedding is not None:
            none = torch.full((len(x),), self.classes, device=x.device) if label is None else label
            features.append(self.label_embedding(none))
        h = self.activation(self.first(torch.cat(features, dim=1)))
        for layer in self.hidden:
            update = self.activation(layer(h))
            h = h + update if self.residual else update
        output: Tensor = self.last(h)
        return output.view_as(x)
