"""inspect --verify and --export, and files that come back from strangers."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from toydiff import checkpoint as checkpoints
from toydiff.errors import ToydiffError
from toydiff.runs.exchange import load_tensors

from .bad_inputs import flipped
from .conftest import Toydiff


def test_verify_tells_whole_files_from_others(with_run: Path, toydiff: Toydiff) -> None:
    run = with_run / "runs" / "tiny"
    document = json.loads(toydiff("inspect", "tiny", "--verify", "--json").stdout)
    assert document["whole"] is True
    assert [Path(row["path"]).name for row in document["files"]] == ["best.pt", "latest.prev.pt", "latest.pt"]
    assert document["files"][2]["sha256"] == checkpoints.load(run / "latest.pt").digest
    (run / "latest.pt").write_bytes(flipped((run / "latest.pt").read_bytes()))
    document = json.loads(toydiff("inspect", "tiny", "--verify", "--json", code=1).stdout)
    assert [row["whole"] for row in document["files"]] == [True, True, False]
    assert "NOT whole" in toydiff("inspect", "runs/tiny/latest.pt", "--verify", code=1).stdout
    assert "NOT whole" not in toydiff("inspect", "runs/tiny/best.pt", "--verify").stdout


def test_verify_looks_at_shapes(with_run: Path, toydiff: Toydiff) -> None:
    good = checkpoints.load(with_run / "runs" / "tiny" / "best.pt")
    model = {key: value.new_zeros(7) if "weight" in key else value for key, value in good.model.items()}
    checkpoints.save("odd.pt", header=good.header, model=model, ema=good.ema, optimizer={})
    document = json.loads(toydiff("inspect", "odd.pt", "--verify", "--json", code=1).stdout)
    assert "the weights do not fit the network" in document["files"][0]["about"]


def test_a_small_checkpoint_samples_nearly_the_same(with_run: Path, toydiff: Toydiff) -> None:
    toydiff("inspect", "tiny", "--export", "small.pt")
    best, small = checkpoints.load(with_run / "runs" / "tiny" / "best.pt"), checkpoints.load("small.pt")
    assert Path("small.pt").stat().st_size < (with_run / "runs" / "tiny" / "best.pt").stat().st_size / 3
    assert small.header == best.header and not small.model and not small.optimizer
    for name, value in best.ema.items():
        torch.testing.assert_close(small.ema[name], value, rtol=2**-11 if value.numel() > 1024 else 0, atol=1e-7)
    for source, out in (("tiny", "a.npz"), ("small.pt", "b.npz")):
        toydiff("sample", source, "-n", "50", "-o", out)
    assert np.abs(np.load("a.npz")["x"] - np.load("b.npz")["x"]).max() < 0.02
    assert "whole" in toydiff("inspect", "small.pt", "--verify").stdout
    assert "averaged weights alone" in toydiff("sample", "small.pt", "--weights", "raw", code=1).stderr
    assert "is not a run that can go on" in toydiff("resume", "small.pt", code=2).stderr


def test_weights_go_out_and_come_back(with_run: Path, toydiff: Toydiff) -> None:
    toydiff("inspect", "tiny", "--export", "x.safetensors")
    with safe_open("x.safetensors", "pt") as file:  # as anybody reads it
        header = json.loads(file.metadata()["header"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    best = checkpoints.load(with_run / "runs" / "tiny" / "best.pt")
    assert header["config"]["data"]["kind"] == "moons"
    assert tensors.keys() == {f"ema.{k}" for k in best.ema} | {f"model.{k}" for k in best.model}
    assert all(torch.equal(tensors[f"ema.{key}"], value) for key, value in best.ema.items())
    toydiff("sample", "tiny", "-n", "9", "-o", "a.npz")
    toydiff("sample", "x.safetensors", "-n", "9", "-o", "b.npz")
    assert np.array_equal(np.load("a.npz")["x"], np.load("b.npz")["x"])
    assert json.loads(toydiff("inspect", "x.safetensors", "--json").stdout)["checkpoint"]["step"] == best.header["step"]
    assert "whole" in toydiff("inspect", "x.safetensors", "--verify").stdout
    toydiff("inspect", "tiny", "--export", "runs/tiny/y.safetensors")
    assert "is not a run that can go on" in toydiff("resume", "runs/tiny/y.safetensors", code=2).stderr


META = {"format": "toydiff 1", "header": "{}"}
GOOD = {"model.w": torch.zeros(3)}
HUGE = b"".join(
    [
        b'{"model.w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]},',
        b'"__metadata__":{"format":"toydiff 1","header":"{}"}}',
    ]
)
BAD = {
    "empty": b"",
    "text": b"dear reader, this is no such file",
    "cut": save(GOOD, META)[:-1],
    "longer": save(GOOD, META) + b"x",
    "a table without end": struct.pack("<Q", 2**62) + b"{}",
    "a table that lies": struct.pack("<Q", len(HUGE)) + HUGE + bytes(4),
    "no table": struct.pack("<Q", 2) + b"[]",
    "deep": struct.pack("<Q", 5000) + b"[" * 5000,
    "a stranger's": save(GOOD),
    "a newer one": save(GOOD, META | {"format": "toydiff 2"}),
    "no header": save(GOOD, {"format": "toydiff 1"}),
    "header of NaN": save(GOOD, META | {"header": '{"step": NaN}'}),
    "NaN": save({"model.w": torch.tensor([float("nan")])}, META),
    "another part": save({"optimizer.w": torch.zeros(3)}, META),
    "complex numbers": save({"model.w": torch.zeros(3, dtype=torch.complex64)}, META),
}


@pytest.mark.parametrize("name", BAD)
def test_what_strangers_send_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(BAD[name])
    with pytest.raises(ToydiffError, match="is not a usable safetensors file"):
        load_tensors(tmp_path / "x.safetensors")


def test_what_is_no_network_is_refused(here: Path, toydiff: Toydiff) -> None:
    Path("x.safetensors").write_bytes(save(GOOD, META))
    assert load_tensors("x.safetensors").header == {}
    for words in (("sample", "x.safetensors", "-o", "a.npz"), ("inspect", "x.safetensors")):
        assert "its header has an odd `step`" in toydiff(*words, code=1).stderr
    toydiff("inspect", "x.safetensors", "--verify", code=1)
