"""The shape annotations on the boundaries of denoiser, network and sampler hold, checked by jaxtyping and beartype."""

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, Int, TypeCheckError, jaxtyped

from toydiff import denoiser as denoiser_module
from toydiff.denoiser import TARGETS, Denoiser
from toydiff.networks import MLP
from toydiff.networks import mlp as mlp_module
from toydiff.samplers import AnySampler, noise_levels
from toydiff.schedules import Flow, Linear
from toydiff.spec import kinds


@pytest.fixture
def checked(monkeypatch):
    for module in (denoiser_module, mlp_module):
        monkeypatch.setattr(module, "Float", Float, raising=False)
        monkeypatch.setattr(module, "Int", Int, raising=False)
    for cls in (Denoiser, mlp_module.MLPNetwork):
        monkeypatch.setattr(cls, "forward", jaxtyped(typechecker=beartype)(cls.forward))


@pytest.mark.parametrize("shape", [(2,), (1,), (3, 4, 5)])
@pytest.mark.parametrize("target", TARGETS)
def test_boundaries(checked, shape, target):
    denoiser = Denoiser(MLP(widths=(8,)).build(shape, classes=3), target=target, schedule=Linear())
    x, label = torch.randn(7, *shape), torch.arange(7) % 4
    assert denoiser(x, Linear()(0.5), label).shape == x.shape
    for kind in kinds(AnySampler).values():
        for frame in kind().trajectory(denoiser, x, noise_levels(Linear(), 3), torch.randn_like):
            assert frame.x.shape == frame.x0.shape == x.shape


def test_a_wrong_shape_is_caught(checked):
    denoiser = Denoiser(MLP(widths=(8,)).build((2,), classes=3), target="v", schedule=Flow())
    with pytest.raises(TypeCheckError):
        denoiser(torch.randn(7, 2), Flow()(0.5), torch.zeros(6, dtype=torch.int64))
    with pytest.raises(TypeCheckError):
        denoiser(torch.zeros(7, 2, dtype=torch.int64), Flow()(0.5))
