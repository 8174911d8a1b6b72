"""From a NAME to something that samples: a checkpoint read, or an exact denoiser made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from toydiff import checkpoint as checkpoints
from toydiff.assets import pretrained_dir
from toydiff.config import Run, Sampling
from toydiff.data import AnyData, Data
from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean
from toydiff.files import shown
from toydiff.names import Found, data_source, find, runs_dir
from toydiff.oracle import Empirical
from toydiff.runs.loaded import Loaded
from toydiff.runs.reading import PREVIOUS, read
from toydiff.spec import kinds


def load(
    name: str | Found,
    *,
    runs: str | Path | None = None,
    weights: str = "ema",
    device: torch.device | str = "cpu",
    warn: Callable[[str], None] = warnings.warn,
) -> Loaded:
    """Return what `name` means, ready to sample: a checkpoint's denoiser, or an exact one ("exact:moons@500").

    `warn` is told when latest.pt is damaged and the one before it taken instead. Raises ToydiffError for a damaged or
    missing file, ConfigurationError for an unknown name.
    """
    if weights not in ("ema", "raw"):
        raise ConfigurationError(f"unknown weights `{shown(weights)}`", did_you_mean(weights, ("ema", "raw")))
    found = find(name, runs_dir(runs)) if isinstance(name, str) else name
    if found.kind == "exact":
        return _exact(found)
    if found.kind == "data":
        raise ConfigurationError(
            f"`data:{found.value}` is a data set, not a model", f"Its exact denoiser: exact:{found.value}"
        )
    content, path = read(found.path, warn)
    found = replace(found, value=str(path))
    run = run_of(content.header, path)
    denoiser = run.build("meta").requires_grad_(False).eval()
    for weights_of in (content.model, content.ema) if content.model else (content.ema,):
        checkpoints.check_shapes(weights_of, denoiser)
    if weights == "raw" and not content.model:
        raise ToydiffError(f"{shown(path)} holds the averaged weights alone", "Leave --weights raw out.")
    denoiser.load_state_dict(content.ema if weights == "ema" else content.model, assign=True)
    denoiser.to(device)
    # A pretrained checkpoint is called by the name one asks for it, not by that of a run that is long gone.
    title = found.path.parent.name if found.path.name in ("best.pt", "latest.pt", PREVIOUS) else found.path.stem
    return Loaded(
        name=title if path.resolve().parent == pretrained_dir() else str(content.header.get("name", title)),
        found=found,
        config=run,
        denoiser=denoiser,
        shift=denoiser.shift.cpu(),
        scale=float(denoiser.scale),
        header=content.header,
        digest=content.digest,
    )


def run_of(header: dict[str, Any], path: Path) -> Run:
    """Return the configuration in a checkpoint's header; ToydiffError if it is none that this toydiff knows."""
    try:
        return Run.model_validate(header.get("config"))
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"]) or "config"
        raise ToydiffError(
            f"{shown(path)}: its configuration is not valid here: {shown(where)}: {shown(detail['msg'])}",
            "Was it written by a newer toydiff, or with a plug-in that is not installed?",
        ) from error


def _exact(found: Found) -> Loaded:
    """Return the exact denoiser of a data set's density, or after "@N" of N of its samples."""
    source = data_source(found.value, counted=True)
    settings: dict[str, Any] = {"n": source.samples} | ({} if source.path is None else {"path": source.path})
    try:
        data: Data = kinds(AnyData)[source.kind].model_validate(settings)  # type: ignore[assignment]
    except ValidationError as error:  # more samples than the file has
        raise ConfigurationError(f"exact:{shown(found.value)}: {shown(error.errors()[0]['msg'])}") from error
    oracle: Any = data.exact() if source.samples is None else Empirical(*data.fixed(), classes=len(data.label_names))
    spacing = "karras" if oracle.memorises else "trailing"  # down to where the nearest sample alone is left
    config = Run(data=data, sampling=Sampling(steps=40, spacing=spacing))
    return Loaded(f"exact:{found.value}", found, config, oracle.affine(data.shift, data.scale), data.shift, data.scale)
