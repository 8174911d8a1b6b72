"""What a network costs: the parameters of each of its parts, and the multiply–accumulates they take for one sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from toydiff.networks.unet import Attention
from toydiff.schedules import Flow


class Part(NamedTuple):
    """A part of a network: its path, what it is, the shape it returns, its parameters and multiply–accumulates."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


def parts(network: nn.Module, shape: tuple[int, ...]) -> list[Part]:
    """Return the parts of `network`, which is on the meta device, in the order they work on one sample of `shape`.

    A multiply–accumulate is a product and a sum in a convolution, a matrix product or attention, q kᵀ and (q kᵀ) v
    included; activations, norms and sums are not counted. What the network does between its parts comes last.
    """
    pieces = {name: module for name, module in _pieces("", network) if any(True for _ in module.parameters())}
    shapes: dict[str, tuple[int, ...]] = {}

    def remember(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, given: object, output: Tensor) -> None:
            shapes[name] = tuple(output.shape[1:])

        return hook

    hooks = [module.register_forward_hook(remember(name)) for name, module in pieces.items()]
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(1, *shape, device="meta"), Flow()(0.5), None)
    finally:
        for hook in hooks:
            hook.remove()
    counted = counter.get_flop_counts()
    root = type(network).__name__
    found = [
        Part(
            name,
            _kind(pieces[name]),
            shapes[name],
            sum(p.numel() for p in pieces[name].parameters()),
            sum(counted.get(f"{root}.{name}", {}).values()) // 2,  # a flop is half of one
        )
        for name in shapes
    ]
    if between := sum(counted["Global"].values()) // 2 - sum(part.macs for part in found):
        found.append(Part("", root, shape, 0, between))
    return found


class Reach(NamedTuple):
    """How much of an image a pixel of the output depends on."""

    pixels: int
    """Across and up, through convolutions: the receptive field."""
    attention: bool
    """Whether attention looks at all of it besides."""


def reach(network: nn.Module, shape: tuple[int, ...]) -> Reach | None:
    """Return how far `network`, on the meta device, sees; None for one without convolutions, which sees all of x.

    Convolution by convolution as they work, of kernel k and stride s:  r ← r + (k − 1) j,  j ← j s,  and j ← j / s
    where one goes up, from r = j = patch (Araujo, Norris & Sim 2019, eq. 2). Skips lead through fewer of them. The
    statistics of norms, which are of the whole image, are not counted.
    """
    convolutions: list[nn.Conv2d | nn.ConvTranspose2d] = []
    hooks = [
        module.register_forward_hook(lambda module, given, output: convolutions.append(module))
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    try:
        with torch.no_grad():
            network(torch.empty(1, *shape, device="meta"), Flow()(0.5), None)
    finally:
        for hook in hooks:
            hook.remove()
    if not convolutions:
        return None
    pixels = stride = int(getattr(network, "patch", 1))
    for layer in convolutions:
        if isinstance(layer, nn.ConvTranspose2d):  # whose kernel is its stride: each output has one input
            stride //= layer.stride[0]
        else:
            pixels, stride = pixels + (layer.kernel_size[0] - 1) * stride, stride * layer.stride[0]
    return Reach(pixels, any(isinstance(module, Attention) for module in network.modules()))


def _pieces(prefix: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the children, those of plain lists of modules in their stead."""
    found = []
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        found += _pieces(f"{path}.", child) if isinstance(child, nn.ModuleList | nn.Sequential) else [(path, child)]
    return found


def _kind(module: nn.Module) -> str:
    """Return what a part is in a few words: "Conv2d 64 → 128, 3 × 3", "Block + Attention"."""
    name = type(module).__name__
    match module:
        case nn.Linear():
            return f"{name} {module.in_features} → {module.out_features}"
        case nn.Conv2d() | nn.ConvTranspose2d():
            size = " × ".join(map(str, module.kernel_size))
            return f"{name} {module.in_channels} → {module.out_channels}, {size}"
        case nn.Embedding():
            return f"{name} {module.num_embeddings} × {module.embedding_dim}"
    inside = [type(child).__name__ for child in module.children() if list(child.children())]
    return " + ".join([name, *inside])
