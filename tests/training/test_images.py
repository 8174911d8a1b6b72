"""Images go through the same `fit`: resumed bit for bit, in bfloat16 too, and memory does not grow."""

from __future__ import annotations

import copy
import gc
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from toydiff import checkpoint as checkpoints
from toydiff.config import Model, Run
from toydiff.data import Shapes
from toydiff.networks import UNet
from toydiff.schedules import Flow
from toydiff.training import Training, fit

NETWORK = UNet(channels=8, multipliers=(1, 2), blocks=1, attention=(1,), heads=2, patch=2)


def tiny(**training: Any) -> Run:
    return Run(
        data=Shapes(size=16, n=training.pop("n", None)),
        schedule=Flow(),
        network=NETWORK.model_copy(update={"dropout": training.pop("dropout", 0.0)}),
        model=Model(target="flow", conditional=True),
        training=Training(**{"batch_size": 8, "steps": 9, **training}),
    )


@pytest.mark.parametrize(
    "options", [{}, {"n": 20}, {"precision": "bfloat16"}, {"accumulate": 2, "n": 20}, {"dropout": 0.3}]
)
@pytest.mark.parametrize("through_a_file", [False, True])  # which keeps no memory format
def test_resumed_equals_uninterrupted_bit_for_bit(
    options: dict[str, Any], through_a_file: bool, tmp_path: Path
) -> None:
    run = tiny(**options)
    *_, whole = fit(run.build(), run.data, run.training)
    for first in fit(run.build(), run.data, run.training):
        if first.step == 4:
            state = {
                "step": 4,
                "model": copy.deepcopy(first.denoiser.state_dict()),
                "ema": copy.deepcopy(first.ema.state_dict()),
                "optimizer": copy.deepcopy(first.optimizer.state_dict()),
            }
            break
    if through_a_file:
        parts = {name: state.pop(name) for name in ("model", "ema", "optimizer")}
        checkpoints.save(tmp_path / "latest.pt", header={}, **parts)
        saved = checkpoints.load(tmp_path / "latest.pt")
        state |= {"model": saved.model, "ema": saved.ema, "optimizer": saved.optimizer}
    *_, last = fit(run.build(), run.data, run.training, resume=state)
    for made, expected in ((last.denoiser, whole.denoiser), (last.ema, whole.ema)):
        for name, value in made.state_dict().items():
            assert torch.equal(value, expected.state_dict()[name]), name
    assert torch.equal(last.loss, whole.loss)


def test_four_images_are_learned_far_better_than_any_linear_denoiser_could() -> None:
    """A linear one, pixel by pixel, has E|F̂ − F|² = 1/(alpha² + sigma²) at a level: over t in (0, 1], π/2."""
    run = tiny(n=4, steps=250, batch_size=16, optimizer={"kind": "adamw", "lr": 5e-3})
    losses = [float(step.loss) for step in fit(run.build(), run.data, run.training)]
    assert sum(losses[-20:]) / 20 < 0.5 * math.pi / 2


def test_the_memory_held_does_not_grow() -> None:
    run = tiny(steps=40)
    held = []
    for step in fit(run.build(), run.data, run.training):
        if step.step in (10, 20, 40):
            gc.collect()
            storages = {
                each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
                for each in gc.get_objects()
                # isinstance would wake deprecated properties; other tests leave sparse tensors behind
                if issubclass(type(each), torch.Tensor) and each.layout == torch.strided
            }
            held.append(sum(storages.values()))
    assert held[0] == held[1] == held[2]


def test_auto_is_bfloat16_exactly_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, auto = torch.device("cpu"), Training(precision="auto")
    for there in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=there: there)
        assert auto.bfloat16(cpu) is there
        run, other = (tiny(steps=2, precision=p) for p in ("auto", "bfloat16" if there else "float32"))
        *_, made = fit(run.build(), run.data, run.training)
        *_, same = fit(other.build(), other.data, other.training)
        assert torch.equal(made.loss, same.loss)
    assert not auto.bfloat16(torch.device("mps"))
    assert Training(precision="bfloat16").bfloat16(cpu) and not Training(precision="float32").bfloat16(cpu)
