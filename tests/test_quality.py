"""The preset `swissroll`, trained in full: its samples are the swiss roll, as far as 2,000 points can tell."""

import pytest
import torch

from toydiff.cli.configure import configuration_layers
from toydiff.layers import resolve
from toydiff.metrics.floors import floor
from toydiff.metrics.points import energy_distance, sliced_w2
from toydiff.names import Found
from toydiff.runs import Loaded
from toydiff.training import fit


@pytest.mark.slow
def test_swissroll_within_three_standard_deviations_of_the_floor():
    run = resolve(configuration_layers("swissroll", None, [], {})).run
    *_, last = fit(run.build(), run.data, run.training, seed=run.seed)
    model = Loaded("swissroll", Found("checkpoint", "", ""), run, last.ema, last.ema.shift, float(last.ema.scale))
    samples, real = model.sample(2000).x, run.data.draw(2000, torch.Generator().manual_seed(1)).x
    for score in (sliced_w2, energy_distance):
        assert floor(score, run.data, 2000).z(score(samples, real)) < 3
    first = run.levels()[0]
    noise = torch.randn(2000, 2, generator=torch.Generator().manual_seed(2))
    exact = run.data.exact().affine(run.data.shift, run.data.scale)
    with torch.no_grad():  # all but the mean of the data: the network must have seen the level that sampling starts at
        assert (last.ema(noise, first) - exact(noise, first)).square().mean().sqrt() < 0.2
    many = model.sample(20_000, seed=10_000).x
    surplus = float(-run.data.log_prob(many).double().mean()) - run.data.entropy
    assert abs(surplus) < 0.1  # no stray cloud: it would cost nats
    assert float((run.data.log_prob(many) < -8).double().mean()) < 0.01
