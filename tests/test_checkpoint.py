"""A checkpoint is read only if every byte is as toydiff wrote it, and runs nothing even then."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import re
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from toydiff import archive as archives
from toydiff import checkpoint
from toydiff.archive import ArchiveError, outline
from toydiff.checkpoint import check_shapes, load, read_header, save
from toydiff.errors import ToydiffError

MARK = b"toydiff 1 sha256 "


def content(seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(4, 3, generator=generator), torch.randn(4, generator=generator)
    return {
        "header": {"step": 7, "config": {"name": "moons", "ünï": "❄"}, "best": 0.25, "nothing": None},
        "model": {"weight": weight, "bias": bias, "count": torch.tensor(3), "half": weight.bfloat16()},
        "ema": {"weight": weight / 2, "bias": bias / 2},
        "optimizer": {
            "state": {0: {"step": torch.tensor(7.0), "exp_avg": weight * 3, "empty": torch.zeros(0, 5)}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "amsgrad": False, "params": [0, 1], "big": 2**40}],
        },
    }


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "good.pt"
    save(path, **content())
    return path.read_bytes()


def forge(archive: bytes, version: int = 1) -> bytes:
    """Put a right digest on any archive that ends in an empty zip comment: anyone can."""
    mark = f"toydiff {version} sha256 ".encode()
    data = archive[:-2] + struct.pack("<H", len(mark) + 64) + mark
    return data + hashlib.sha256(data).hexdigest().encode()


def torch_bytes(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def whole(**changes: Any) -> dict[str, Any]:
    parts = content()
    return {"format": "toydiff", "version": 1, **parts, "header": json.dumps(parts["header"]), **changes}


def rewritten(archive: bytes, change: dict[str, bytes], **options: Any) -> bytes:
    """Return the zip with some records replaced (or added), written by Python's zipfile."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w", **options) as new:
        for name in old.namelist():
            new.writestr(name, change.get(name, old.read(name)))
        for name in change.keys() - set(old.namelist()):
            new.writestr(name, change[name])
    return buffer.getvalue()


def refusal(path: Path, data: bytes | None = None) -> str:
    """Return the one line with which `load` refuses the file, leaving the folder as it is."""
    if data is not None:
        path.write_bytes(data)
    before = sorted(path.parent.iterdir())
    with pytest.raises(ToydiffError) as caught:
        load(path)
    assert caught.value.exit_code == 1
    assert "\n" not in caught.value.message and caught.value.message.isprintable()
    assert str(path) in caught.value.message and len(caught.value.message) < len(str(path)) + 300
    assert caught.value.hint and "\n" not in caught.value.hint
    assert sorted(path.parent.iterdir()) == before
    return caught.value.message


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy(force=True).tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


# ── what is written is what is read ──────────────────────────────────────────────────────────────────────────────────


def test_a_round_trip_is_bit_exact(tmp_path: Path) -> None:
    written = content()
    del written["model"]["half"]  # NumPy, the referee, knows no bfloat16
    digest = save(tmp_path / "a.pt", **written)
    read = load(tmp_path / "a.pt")
    for part in ("header", "model", "ema", "optimizer"):
        assert same(written[part], getattr(read, part)), part
    assert read.digest == digest and read_header(tmp_path / "a.pt") == written["header"]
    assert not any(value.requires_grad for value in read.model.values())


def test_all_dtypes_and_odd_layouts_survive(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    model = {str(dtype): (base % 2).to(dtype) for dtype in checkpoint._DTYPES}
    model |= {
        "transposed": base.permute(2, 0, 1),
        "slice": base[:, 1:, ::2],
        "expanded": torch.ones(1).expand(5),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "scalar": torch.tensor(1.5),
        "parameter": nn.Parameter(torch.ones(2)),
        "one": torch.randn(4, 4)[:, :1].t(),
        "none": torch.zeros(3, 0, 2),
    }
    save(tmp_path / "a.pt", header={}, model=model, ema={}, optimizer={})
    read = load(tmp_path / "a.pt").model
    assert list(read) == list(model)
    assert all(torch.equal(read[name], model[name]) and read[name].dtype == model[name].dtype for name in model)


def test_an_optimizer_continues_from_it(tmp_path: Path) -> None:
    def trained(steps: int, restart: bool) -> list[Tensor]:
        torch.manual_seed(0)
        network = nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
        for step in range(steps):
            if restart and step == 3:
                save(
                    tmp_path / "a.pt",
                    header={},
                    model=network.state_dict(),
                    ema={},
                    optimizer=optimizer.state_dict(),
                )
                read = load(tmp_path / "a.pt")
                network = nn.Linear(3, 2)
                network.load_state_dict(read.model)
                optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
                optimizer.load_state_dict(read.optimizer)
            optimizer.zero_grad()
            network(torch.eye(3) + step).square().sum().backward()
            optimizer.step()
        return list(network.parameters())

    assert all(map(torch.equal, trained(6, restart=False), trained(6, restart=True)))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, good: bytes) -> None:
    """Even after a round trip, and whatever objects are shared: pickle sees identity, a file should not."""
    path = tmp_path / "a.pt"
    path.write_bytes(good)
    read = load(path)
    save(path, header=read.header, model=read.model, ema=read.ema, optimizer=read.optimizer)
    assert path.read_bytes() == good
    tied, name = torch.ones(2), "layer.weight"
    apart = "".join(["layer", ".weight"])
    assert apart is not name
    both = {"betas": [(0.5, 0.5)] * 2}
    save(path, header={}, model={name: tied, "b": tied}, ema={name: tied}, optimizer=both)
    shared = path.read_bytes()
    both = {"betas": [(0.5, 0.5), tuple([0.5] * 2)]}
    save(path, header={}, model={name: torch.ones(2), "b": torch.ones(4)[::2]}, ema={apart: tied}, optimizer=both)
    assert path.read_bytes() == shared


def test_the_digest_is_of_all_that_is_before_it(good: bytes) -> None:
    assert good[-64:].decode() == hashlib.sha256(good[:-64]).hexdigest()
    assert good[:-64].endswith(MARK)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:  # and the file is an ordinary zip to everyone else
        assert archive.testzip() is None and archive.comment == good[-len(MARK) - 64 :]
    torch.load(io.BytesIO(good), weights_only=True)


@pytest.mark.parametrize("part", ["model", "ema", "optimizer"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path, part: str, value: float) -> None:
    path = tmp_path / "a.pt"
    bad = content() | {part: {"layer.weight": torch.tensor([0.0, value])}}
    path.write_bytes(b"before")
    with pytest.raises(ToydiffError, match=f"{part}.layer.weight` holds NaN or infinity"):
        save(path, **bad)
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["a.pt"]
    forged = forge(torch_bytes(whole(**{part: bad[part]})))
    assert "holds NaN or infinity" in refusal(path, forged)


@pytest.mark.parametrize(
    "change",
    [
        {"header": {"best": float("inf")}},
        {"header": {"path": Path("x")}},
        {"model": {"a": 1.0}},
        {"model": {"a": torch.ones(1, dtype=torch.complex64)}},
        {"model": {"a": torch.eye(2).to_sparse()}},
        {"optimizer": {"a": {1, 2}}},
        {"optimizer": {1.5: 0}},
        {"optimizer": {"a": torch.ones(1, device="meta")}},
    ],
)
def test_what_a_checkpoint_cannot_hold_is_a_mistake_of_the_caller(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        save(tmp_path / "a.pt", **content() | change)
    assert os.listdir(tmp_path) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), json_values, max_size=4))
@settings(max_examples=40)
def test_any_header_comes_back_as_it_was(header: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.pt")
        save(path, header=header, model={}, ema={}, optimizer={})
        assert same(read_header(path), header) and same(load(path).header, header)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_flipped_bit_goes_unnoticed(every: bool, tmp_path: Path, good: bytes) -> None:
    draw, bits = random.Random(0), range(8 * len(good))
    end = [8 * i + draw.randrange(8) for i in range(len(good) - 120, len(good))]
    for bit in bits if every else [*draw.sample(bits, 600), *end]:
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        assert re.search("damaged|version", refusal(tmp_path / "a.pt", bytes(damaged))), bit


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_truncated_file_goes_unnoticed(every: bool, tmp_path: Path, good: bytes) -> None:
    assert "empty" in refusal(tmp_path / "a.pt", b"")
    cuts = [4, 30, 100, len(good) // 2, *range(len(good) - 200, len(good), 7), len(good) - 1]
    for cut in range(4, len(good)) if every else cuts:
        assert "truncated or damaged" in refusal(tmp_path / "a.pt", good[:cut]), cut
    for wrong in (good + b"\0", good + good, good[:500] + good[501:], good[1:], b"\0" * 512 + good[512:]):
        assert "damaged" in refusal(tmp_path / "a.pt", wrong)


def test_a_head_or_tail_of_zeros_as_a_crash_leaves_it(tmp_path: Path, good: bytes) -> None:
    assert "damaged" in refusal(tmp_path / "a.pt", good[:-512] + bytes(512))
    assert "damaged" in refusal(tmp_path / "a.pt", bytes(len(good)))


# ── other files ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Scripted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def numpy_bytes() -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("holiday.txt", "sea")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: torch_bytes({"weight": torch.ones(3)}), "a PyTorch file that toydiff did not write"),
        (lambda: torch_bytes(whole()), "a PyTorch file that toydiff did not write"),
        (lambda: torch_bytes(torch.ones(3), _use_new_zipfile_serialization=False), "a pickle"),
        (lambda: pickle.dumps({"a": 1}), "a pickle"),
        (lambda: "seed = 1\nname = 'ü'\n".encode(), "a text file"),
        (lambda: ("é" * 5000).encode(), "a text file"),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
        (numpy_bytes, "a NumPy array"),
        (zip_bytes, "a zip archive, but not of PyTorch"),
        (lambda: b"PK\x03\x04", "truncated or damaged"),
        (lambda: random.Random(0).randbytes(5000), "no PyTorch file"),
        (lambda: b"\x7fELF" + bytes(500), "no PyTorch file"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, make: Any, says: str) -> None:
    assert says in refusal(tmp_path / "a.pt", make())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_not_run(tmp_path: Path) -> None:
    torch.jit.script(Scripted()).save(str(tmp_path / "a.pt"))
    assert "TorchScript" in refusal(tmp_path / "a.pt")
    archive = (tmp_path / "a.pt").read_bytes()
    assert "not a usable checkpoint" in refusal(tmp_path / "a.pt", forge(archive))


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(checkpoint.LIMIT + 1)
    assert "is not there" in refusal(tmp_path / "nothing")
    assert "is a folder" in refusal(tmp_path / "folder")
    assert "is a pipe" in refusal(tmp_path / "pipe")
    assert "is a device" in refusal(tmp_path / "zero")
    assert "more than the 4.29 GB allowed" in refusal(tmp_path / "huge")


# ── files made to harm, with a right digest ──────────────────────────────────────────────────────────────────────────


class Attack:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("forged", [False, True])
def test_code_in_a_file_is_not_run(tmp_path: Path, protocol: int, forged: bool) -> None:
    (tmp_path / "in").mkdir()
    canary = tmp_path / "ran"
    attack = torch_bytes(whole(optimizer=Attack(canary)), pickle_protocol=protocol)
    assert pickle.loads(pickle.dumps(Attack(canary))) == 0 and canary.exists()  # it would have worked
    canary.unlink()
    message = refusal(tmp_path / "in" / "a.pt", forge(attack) if forged else attack)
    assert not canary.exists()
    assert ("system" in message) == (forged and protocol == 2) or "cannot be read" in message
    with pytest.raises(ToydiffError):
        read_header(tmp_path / "in" / "a.pt")
    assert not canary.exists()


def opcodes(*ops: bytes) -> bytes:
    """Return an archive whose pickle is these opcodes, its zip all right."""
    return rewritten(torch_bytes(whole()), {"archive/data.pkl": b"\x80\x02" + b"".join(ops) + b"."})


@pytest.mark.parametrize(
    "ops",
    [
        (b"cbuiltins\neval\n", b"X\x01\0\0\0", b"1", b"\x85R"),
        (b"cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x40\x85R",),  # 64 TB of zeros
        (b"ctorch\nFloatStorage\n\x85R",),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}X\x03\0\0\0abcK\x01sb",),  # BUILD: sets an attribute of a function
        (b"ctorch._utils\n_rebuild_sparse_tensor\n)R",),
        (b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n)R",),
        (b"ccollections\nCounter\n)R",),
        (b"(lp0\n0g0\n",),
        (b"]q\x00h\x00a",),  # a list that holds itself
        (b"K\x01",),
        (b"",),
        (b"(" * 5000,),
        (b"r\xff\xff\xff\xff",),
        (b"X\xff\xff\xff\x7f",),
        (b"\x8b\xff\xff\xff\x7f",),
        (b"Pname\n",),
        (b"X\x07\0\0\0storageQ",),
    ],
)
def test_pickles_torch_would_not_write_are_refused(tmp_path: Path, ops: tuple[bytes, ...]) -> None:
    refusal(tmp_path / "a.pt", forge(opcodes(*ops)))
    assert not vars(archives._tensor)


def test_a_tree_without_end_is_refused(tmp_path: Path) -> None:
    branch: list[Any] = []
    for _ in range(14):
        branch = [branch] * 20  # 20¹⁴ leaves in some hundred bytes
    assert "more values" in refusal(tmp_path / "a.pt", forge(torch_bytes(whole(optimizer={"a": branch}))))
    for _ in range(200):
        branch = [branch]
    assert "deeper nested" in refusal(tmp_path / "a.pt", forge(torch_bytes(whole(optimizer={"a": branch}))))
    header = '{"a":' * 100 + "1" + "}" * 100
    assert "deeper nested" in refusal(tmp_path / "a.pt", forge(torch_bytes(whole(header=header))))


def test_tensors_that_are_not_their_storage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    empty: dict[str, Any] = {"ema": {}, "optimizer": {}}
    for tensor in (
        torch.ones(1).expand(10**6, 10**6),  # 10¹² elements, four bytes
        torch.ones(8)[:4],
        torch.ones(8)[4:],
        torch.ones(4, 4).t(),
    ):
        assert "storage" in refusal(path, forge(torch_bytes(whole(model={"a": tensor}, **empty))))
    gradients = torch.ones(2, requires_grad=True)
    assert "gradients" in refusal(path, forge(torch_bytes(whole(model={"a": gradients}, **empty))))
    # the pickle claims 250 or a billion elements where the record has 200: reading them would be reading foreign memory
    two_hundred = torch.ones(200)
    for claim in (b"K\xfa", b"J\x00\xca\x9a\x3b"):
        for times in (1, 2):
            archive = torch_bytes(whole(model={"a": two_hundred}, **empty))
            with zipfile.ZipFile(io.BytesIO(archive)) as parts:
                text = parts.read("archive/data.pkl")
            assert text.count(b"K\xc8") == 2  # the elements of the storage, the shape of the tensor
            archive = rewritten(archive, {"archive/data.pkl": text.replace(b"K\xc8", claim, times)})
            assert "size of its record" in refusal(path, forge(archive))


def test_zips_torch_would_not_write_are_refused(tmp_path: Path) -> None:
    path, archive = tmp_path / "a.pt", torch_bytes(whole())
    path.write_bytes(forge(rewritten(archive, {})))
    assert load(path).header == content()["header"]  # the control: zipfile's plain rewriting is all right
    assert "compressed" in refusal(path, forge(rewritten(archive, {}, compression=zipfile.ZIP_DEFLATED)))
    assert "place" in refusal(path, forge(rewritten(archive, {"archive/../../evil": b""})))
    assert "place" in refusal(path, forge(rewritten(archive, {"other/data.pkl": b""})))
    with pytest.warns(UserWarning, match="Duplicate name"):
        buffer = io.BytesIO(archive)
        with zipfile.ZipFile(buffer, "a") as double:
            double.writestr("archive/version", "3")
    assert "twice" in refusal(path, forge(buffer.getvalue()))
    # two directories, bytes before the archive, a directory that counts wrong, a local header that lies
    assert "belongs" in refusal(path, forge(b"PK\x03\x04" + archive))
    end = archive.rindex(b"PK\x05\x06")
    for at in (4, 6, 8, 10, 12, 16):
        refusal(path, forge(archive[: end + at] + bytes([archive[end + at] ^ 1]) + archive[end + at + 1 :]))
    assert "place" in refusal(path, forge(archive[:30] + b"X" + archive[31:]))
    for at in range(end - 76, end):  # every byte of the 64-bit directory record but the writer's version
        refused = archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]
        if at - (end - 76) not in range(4, 16):
            refusal(path, forge(refused))


def test_mutated_archives_raise_nothing_but_archive_errors() -> None:
    """A forged digest lets any bytes through to the outline: 1,500 random mutations of the pickle and directory."""
    archive, draw = torch_bytes(whole()), random.Random(1)
    text = archive.index(b"\x80\x02}")
    interesting = [*range(text, text + 1200), *range(len(archive) - 900, len(archive))]
    refused = 0
    for _ in range(1500):
        mutated = bytearray(archive)
        for at in draw.sample(interesting, draw.randint(1, 3)):
            mutated[at] = draw.randrange(256)
        try:
            outline(bytes(mutated))
        except ArchiveError:
            refused += 1
    assert 1000 < refused <= 1500


# ── versions and parts ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_newer_version_says_update(tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.pt", forge(torch_bytes(whole(version=2, new_part=1)), version=2))
    assert "version 2" in message and "up to 1" in message
    with pytest.raises(ToydiffError) as caught:
        load(tmp_path / "a.pt")
    assert "Update toydiff" in caught.value.hint


def test_an_older_version_is_migrated(tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pt").write_bytes(good)
    monkeypatch.setattr(checkpoint, "VERSION", 3)
    monkeypatch.setitem(checkpoint.MIGRATIONS, 1, lambda old: old | {"ema": {"first": old["ema"]["bias"]}})
    monkeypatch.setitem(checkpoint.MIGRATIONS, 2, lambda old: old | {"ema": {"second": old["ema"]["first"]}})
    assert list(load(tmp_path / "a.pt").ema) == ["second"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"version": "1"},
        {"model": [torch.ones(1)]},
        {"model": {"a": 1}},
        {"model": {1: torch.ones(1)}},
        {"extra": {}},
        {"header": {"step": 1}},
        {"header": "{"},
        {"header": "[1]"},
        {"header": '{"best": NaN}'},
        {"header": "[" * 100_000},
        {"header": '{"n": ' + "1" * 10_000 + "}"},
        {"header": '{"a": "' + "x" * checkpoint.HEADER_LIMIT + '"}'},
    ],
)
def test_content_that_is_not_a_checkpoint(tmp_path: Path, change: dict[str, Any]) -> None:
    refusal(tmp_path / "a.pt", forge(torch_bytes(whole(**change))))


def test_other_top_level_content(tmp_path: Path) -> None:
    for value in ([1], torch.ones(2), "text", None, {}):
        refusal(tmp_path / "a.pt", forge(torch_bytes(value)))
    archive = forge(torch_bytes(OrderedDict(whole())))
    assert "cannot be read" in refusal(tmp_path / "a.pt", archive)


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_weights_must_fit_the_network() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    weights = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict()
    check_shapes(weights, network)
    wrong = dict(weights)
    del wrong["0.bias"]
    wrong |= {"0.evil\n\x1b[31m": torch.ones(1), "0.weight": torch.ones(4, 2), "1.bias": torch.ones(4).double()}
    with pytest.raises(ToydiffError) as caught:
        check_shapes(wrong, network)
    assert caught.value.message.isprintable()
    for piece in ("missing `0.bias`", "(4, 2) float32 instead of (4, 3) float32", "`1.bias` is (4,) float64", "evil"):
        assert piece in caught.value.message
    with pytest.raises(ToydiffError, match=r"missing .* and 4 more"):
        check_shapes({}, network)
