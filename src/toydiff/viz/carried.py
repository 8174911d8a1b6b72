"""What a page carries of a model, so that it can sample by itself: weights, levels, and the units of the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from toydiff.denoiser import Denoiser
from toydiff.errors import ConfigurationError
from toydiff.networks import MLP
from toydiff.networks.embedding import SinusoidalLogSNR, SinusoidalTime
from toydiff.runs import Loaded
from toydiff.samplers import AnySampler
from toydiff.schedules import Level, noise_levels
from toydiff.spec import kinds
from toydiff.training import streams
from toydiff.viz.reel import Carried, base64

SAMPLERS = ("ddim", "euler", "heun", "ddpm")
"""Those that the page has."""
STEPS = (*range(1, 51), 64, 80, 100, 128, 200)
"""For how many steps it has the levels, as far as the schedule has so many; those of the film besides."""
WEIGHTS = 1e6
"""Bytes of weights that leave room for a film."""


def cannot_sample(loaded: Loaded) -> str:
    """Return why a page cannot sample from the model, or ""."""
    if not isinstance(loaded.denoiser, Denoiser):
        return "it has no network"
    if not isinstance(loaded.config.network, MLP):
        return f"its network is no mlp, but a {loaded.config.network.kind}"
    if loaded.data.shape != (2,):
        return f"its samples have shape {loaded.data.shape}, and one drags points in the plane"
    if (size := weight_bytes(loaded)) > WEIGHTS:
        return f"its weights take {size / 1e6:.1f} MB"
    return ""


def weight_bytes(loaded: Loaded) -> int:
    """Return how many bytes the page takes for the weights."""
    assert isinstance(loaded.denoiser, Denoiser)
    return sum(int(tensor.numel()) for tensor in loaded.denoiser.network.state_dict().values()) * 4 * 4 // 3


def way_of(loaded: Loaded) -> Carried:
    """Return how a model samples: the sampler, its options and its steps."""
    sampling = loaded.config.sampling
    options = sampling.sampler.model_dump(exclude={"kind"})
    return {"sampler": sampling.sampler.kind, "options": options, "steps": len(loaded.config.levels()) - 1}


def carried_model(loaded: Loaded, ways: Sequence[Carried | None], cast: dict[str, Any]) -> Carried:
    """Return all that the page needs to sample as `loaded.trajectory` does.

    `cast`: seed and label, guidance and interval, and clip, in data units, of the film.
    """
    config, denoiser = loaded.config, loaded.denoiser
    assert isinstance(denoiser, Denoiser) and isinstance(config.network, MLP)
    known = kinds(AnySampler)
    bounds = loaded.clipping(cast["clip"])
    low, high = cast["interval"]
    carried = {
        "network": _network(denoiser, config.network),
        "target": denoiser.target,
        "normalizeInput": denoiser.normalize_input,
        "sigmaData": denoiser.sigma_data,
        "unitPrior": config.sampling.prior == "unit",
        "shift": loaded.shift.tolist(),
        "scale": float(loaded.scale),
        "grids": _grids(loaded, [way["steps"] for way in ways if way]),
        "samplers": [name for name in SAMPLERS if not config.cannot_sample(known[name]())],  # type: ignore[arg-type]
        "streams": {name: streams.word_of(name) for name in ("sample", "label")},
        "clip": None if bounds is None else [((bound - loaded.shift) / loaded.scale).tolist() for bound in bounds],
        "interval": [low, None if math.isinf(high) else high],
        "guidance": cast["guidance"],
        "seed": cast["seed"],
        "classes": list(loaded.data.label_names) if loaded.conditional else [],
        "label": loaded.data.label_of(cast["label"]) if isinstance(cast["label"], str) else None,
    }
    if loaded.conditional:
        shares = loaded.label_frequencies.cumsum(0)
        carried["shares"] = (shares / shares[-1]).tolist()
    return carried


def _network(denoiser: Denoiser, spec: MLP) -> Carried:
    tensors = {name: tensor.cpu().float() for name, tensor in denoiser.network.state_dict().items()}
    like, numbers = torch.zeros(()), torch.zeros(0)
    if isinstance(spec.embedding, SinusoidalLogSNR):
        numbers = spec.embedding.periods(like)
    elif isinstance(spec.embedding, SinusoidalTime):
        numbers = spec.embedding.frequencies(like)
    return {
        "tensors": {name: {"shape": list(each.shape), "data": base64(each)} for name, each in tensors.items()},
        "activation": spec.activation,
        "residual": spec.residual,
        "classes": denoiser.classes,
        "embedding": {"kind": spec.embedding.kind, "numbers": numbers.tolist()},
        "labelFeatures": spec.label_features,
    }


def _grids(loaded: Loaded, filmed: list[int]) -> dict[str, str]:
    """Return the levels of each number of steps, (t, alpha, sigma) in float64."""
    out, sampling = {}, loaded.config.sampling
    for steps in sorted({*STEPS, *filmed}):
        try:
            levels = noise_levels(loaded.schedule, steps, sampling.spacing, sampling.start)
        except ConfigurationError:  # more than the schedule has
            break
        out[str(steps)] = base64(_numbers(levels))
    return out


def _numbers(levels: Sequence[Level]) -> torch.Tensor:
    return torch.tensor([[float(each.t), float(each.alpha), float(each.sigma)] for each in levels], dtype=torch.float64)
