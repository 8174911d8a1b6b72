"""The pictures of a run as it trains: samples of its weights from the same noise, at a cost of a few steps."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from toydiff.cli.talk import Talk
from toydiff.cli.terminal import in_terminal
from toydiff.config import Run
from toydiff.runs import Loaded
from toydiff.samplers import DDIM

IMAGES, EVALUATIONS = 25, 40
"""Images in a picture of a run, and evaluations of the network they may take: as long as fifteen steps of 64."""


def preview(ways: Mapping[str, Loaded], step: int, talk: Talk) -> dict[str, Any]:
    """Return {TensorBoard tag: picture} of the averaged and raw weights side by side; points beside the data.

    `ways` has the weights by name, averaged first; all sample from the same seeds. Where nothing is averaged they are
    the same, and one is drawn. The averaged ones' are also shown in the terminal if that is wanted.
    """
    from toydiff.viz.overview import samples_picture

    gc.collect()  # figures refer to themselves: those of the last picture would stay for long, 5 MB each
    run = cheap(next(iter(ways.values())).config)
    data = run.data
    n = min(run.shown, IMAGES if data.pictorial else 2000)
    if run.training.ema.half_life:
        tag, titles = "samples/ema_and_raw", [f"step {step:,}, {way} weights" for way in ways]
    else:
        tag, titles = "samples/raw", [f"step {step:,}"]
    made = {title: replace(each, config=run).sample(n) for title, each in zip(titles, ways.values(), strict=False)}
    title, averaged = next(iter(made.items()))
    real = [] if data.pictorial else [("data", data.draw(n, torch.Generator().manual_seed(0)))]
    if talk.preview:
        in_terminal(talk, data, [*real, (title, averaged)])
    return {tag: samples_picture(data, *real, *made.items())}


def cheap(run: Run) -> Run:
    """Return the run sampling as its pictures do: of images in few steps of DDIM where its own way takes more."""
    sampling = run.sampling
    evaluations = sampling.steps * (sampling.sampler.evaluations or EVALUATIONS + 1)  # None: as many as it likes
    if not run.data.pictorial or evaluations <= EVALUATIONS:
        return run
    few = sampling.model_copy(update={"sampler": DDIM(), "steps": min(sampling.steps, EVALUATIONS)})
    return run.model_copy(update={"sampling": few})
