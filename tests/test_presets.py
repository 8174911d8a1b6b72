"""Every preset: short, explained, and trainable from the first step to a sample."""

import math

import pytest
import torch
from PIL import Image

from toydiff.cli.configure import configuration_layers
from toydiff.layers import resolve
from toydiff.names import Found, preset_names
from toydiff.runs import Loaded
from toydiff.training import fit

FEW = (
    "training.steps=2", "training.batch_size=4", "sampling.steps=3", "sampling.start=none", "sampling.spacing=trailing"
)  # fmt: skip


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.usefixtures("official")
def test_every_preset_trains_and_samples(preset, tmp_path):
    more = [*FEW]
    if preset == "picture":  # which needs one
        Image.new("L", (8, 8)).save(tmp_path / "logo.png")
        more.append(f"data.path={tmp_path / 'logo.png'}")
    run = resolve(configuration_layers(preset, None, more, {})).run
    *_, last = fit(run.build(), run.data, run.training, seed=run.seed)
    assert math.isfinite(float(last.loss)) and last.step == 2
    model = Loaded(preset, Found("checkpoint", preset, ""), run, last.ema, last.ema.shift, float(last.ema.scale))
    batch = model.sample(3)
    assert batch.x.shape == (3, *run.data.shape) and batch.x.isfinite().all()
    assert (batch.label is not None) == run.model.conditional


@pytest.mark.parametrize(
    ("preset", "n", "T", "betas", "alpha_bar", "steps", "lr"),
    [
        ("swissroll-ddpm100", 2000, 100, (4e-4, 0.04), 0.13, 7000 * 16, (1e-3, 1e-5)),
        ("swissroll-ddpm100-quick", 100, 10, (1e-3, 0.02), 0.90, 50 * 7, (1e-2, 1e-4)),
        ("swissroll-ddpm100-hq", 5000, 200, (1e-4, 0.02), 0.13, 15_000 * 20, (5e-4, 1e-6)),
    ],
)
def test_the_ddpms_are_those_of_their_source(preset, n, T, betas, alpha_bar, steps, lr):
    run = resolve(configuration_layers(preset, None, [], {})).run
    assert run.data.n == n and run.schedule.T == T and run.total_steps == steps
    beta = torch.linspace(*betas, T, dtype=torch.float64)
    assert float(run.schedule(1.0).alpha ** 2) == pytest.approx(float((1 - beta).prod()), rel=1e-12)
    assert float((1 - beta).prod()) == pytest.approx(alpha_bar, abs=0.006)
    assert run.training.optimizer.lr == lr[0]
    assert run.training.optimizer.lr * run.training.rate(steps, steps) == pytest.approx(lr[1], rel=0.05)
    real = run.data.model_copy(update={"noise": 0.0}).draw(100_000, torch.Generator().manual_seed(0)).x
    assert torch.allclose(real.square().mean().sqrt(), torch.tensor(0.5), atol=0.01)  # before the noise is added


def test_the_log_linear_weight_spreads_as_its_source_says():
    run = resolve(configuration_layers("swissroll-loglinear", None, [], {})).run
    levels = [run.schedule(t) for t in (0.0, 1.0)]
    heaviest, lightest = (float(1 / (level.sigma**2 + 1e-4)) for level in levels)
    assert heaviest == pytest.approx(9615, abs=1) and lightest == pytest.approx(0.25, abs=1e-4)
    assert len(run.schedule.knot_times) == 400
