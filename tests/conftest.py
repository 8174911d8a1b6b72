"""What every test runs under: no window, no settings from outside, and hypothesis the same on every run."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: a second thread only waits; subprocesses inherit it
for name in [name for name in os.environ if name.startswith("TOYDIFF_")]:
    del os.environ[name]

settings.register_profile("toydiff", deadline=None, derandomize=True)  # no test is timed, none is a lottery
settings.load_profile("toydiff")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where there is none, so that `make test-all` runs all that can run here."""
    for_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not for_gpu:
        return
    import torch

    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        for item in for_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA or Apple GPU here"))
