"""The optimizers are torch's own, bit for bit, and begin without loading a compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from toydiff.training import eager


@pytest.mark.parametrize("ours, theirs", [(eager.Adam, torch.optim.Adam), (eager.AdamW, torch.optim.AdamW)])
def test_the_bits_are_those_of_torch(ours: type[torch.optim.Adam], theirs: type[torch.optim.Adam]) -> None:
    def trained(kind: type[torch.optim.Adam]) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        weights = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 7), (3,))]
        optimizer = kind(weights, lr=0.01, fused=True)
        for k in range(20):
            for w in weights:
                w.grad = torch.randn(w.shape, generator=generator)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if k == 10:
                optimizer.load_state_dict(optimizer.state_dict())
        moments = [value for state in optimizer.state_dict()["state"].values() for value in state.values()]
        return [*(w.detach() for w in weights), *moments]

    assert all(map(torch.equal, trained(ours), trained(theirs)))


@pytest.mark.parametrize("kind", ["adam", "adamw", "muon"])
def test_no_compiler_is_loaded_to_train(kind: str) -> None:
    code = f"""
import sys
from toydiff.cli.configure import configuration_layers
from toydiff.layers import resolve
from toydiff.training import fit
sets = ["training.optimizer.kind={kind}", "training.steps=2"]
run = resolve(configuration_layers("moons", None, sets, {{}})).run
for step in fit(run.build(), run.data, run.training, seed=0):
    pass
assert step.step == 2
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stdout + done.stderr
