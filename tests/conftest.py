"""What every test runs under: no window, no settings from outside, and hypothesis the same on every run."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a second thread only waits; subprocesses inherit it

import pytest
from hypothesis import settings

from toydiff import published

from .made_up import TEST, TRAIN, cifar_members, mnist_files, tar_gz

os.environ["MPLBACKEND"] = "Agg"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start jobs in the background; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
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


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, published.Published]]:
    """A folder of small data sets in the official formats, and the table that calls them official."""
    folder, table = tmp_path_factory.mktemp("official"), {}
    made = {
        "mnist": mnist_files(0),
        "fashion": mnist_files(1),
        "cifar10": {"cifar-10-binary.tar.gz": tar_gz(cifar_members())},
    }
    for name, files in made.items():
        (folder / name).mkdir()
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
        known = [
            published.File(file.name, len(made[name][file.name]), hashlib.sha256(made[name][file.name]).hexdigest())
            for file in published.OFFICIAL[name].files
        ]
        table[name] = published.Published(tuple(known), published.OFFICIAL[name].mirrors, TRAIN, TEST)
    return folder, table


@pytest.fixture
def official(made_up: tuple[Path, dict[str, published.Published]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small made-up data sets are the official `mnist`, `fashion` and `cifar10`, and lie on this machine."""
    folder, table = made_up
    for name, known in table.items():
        monkeypatch.setitem(published.OFFICIAL, name, known)
    monkeypatch.setenv("TOYDIFF_DATA", str(folder))
    return folder
