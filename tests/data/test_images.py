"""The published image data sets: the formats they come in, read byte by byte, and what is made of them."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats

from toydiff import published
from toydiff.data import CIFAR10, MNIST, Batch, Data, Fashion
from toydiff.data.cifar import RECORD, read_cifar10
from toydiff.data.idx import parse_idx
from toydiff.denoiser import Denoiser
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.networks import MLP
from toydiff.runs import load
from toydiff.schedules import Flow
from toydiff.training import Training, Validator, fit
from toydiff.training.batches import Batches
from toydiff.training.densities import UniformTime

from ..made_up import TEST, TRAIN, cifar_members, idx, tar_gz

ALL = (MNIST, Fashion, CIFAR10)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ── IDX ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_idx_file_is_its_bytes_last_index_fastest() -> None:
    array = parse_idx(idx(2, 3, 4, content=bytes(range(24))), "a", 3)
    assert (array.shape, array.dtype) == ((2, 3, 4), np.uint8)
    assert [array[i, j, k] for i in range(2) for j in range(3) for k in range(4)] == list(range(24))
    assert parse_idx(idx(3, content=b"\x07\x00\x09"), "a", 1).tolist() == [7, 0, 9]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with nothing"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "begins with 1f 8b 08 00"),
        (b"<html>an error</html>", "begins with 3c 68 74 6d"),
        (idx(4, content=bytes(4)), "magic number 00 00 08 01, not the 00 00 08 03 of images"),
        (struct.pack(">HBB3I", 0, 0x0D, 3, 1, 1, 1) + bytes(4), "magic number 00 00 0d 03"),
        (idx(2, 3, 4, content=bytes(24))[:9], "cut off in its header"),
        (idx(2, 3, 4), "says it holds 2 × 3 × 4 = 24 bytes, and has 0"),
        (idx(2, 3, 4, content=bytes(23)), "and has 23"),
        (idx(2, 3, 4, content=bytes(25)), "and has 25"),
        (
            idx(2**32 - 1, 2**32 - 1, 2**32 - 1, content=bytes(8)),
            "79,228,162,458,924,105,385,300,197,375 bytes, and has 8",
        ),
        (idx(0, 28, 28), "holds nothing: 0 × 28 × 28"),
        (idx(5, 0, 28), "holds nothing: 5 × 0 × 28"),
    ],
)
def test_what_is_no_idx_file_of_images_is_named(content: bytes, words: str) -> None:
    with pytest.raises(ToydiffError) as error:
        parse_idx(content, "some/file", 3)
    assert words in error.value.message and "some/file" in error.value.message


# ── CIFAR-10 ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_record_is_a_label_and_three_planes(tmp_path: Path) -> None:
    members = cifar_members()
    first = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes(range(32)) * 32
    members["cifar-10-batches-bin/data_batch_1.bin"] = first
    (path := tmp_path / "a.tar.gz").write_bytes(tar_gz(members))
    train, test = (read_cifar10(path)[part] for part in ("train", "test"))
    assert train.images.shape == (1 + TRAIN * 4 // 5, 3, 32, 32) and test.labels.shape == (TEST,)
    assert train.labels[0] == 7
    assert (train.images[0, 0] == 1).all() and (train.images[0, 1] == 2).all()
    assert (train.images[0, 2] == np.arange(32)).all()  # a row after the other, the column fastest


FOLDER = "cifar-10-batches-bin/"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop(f"{FOLDER}data_batch_3.bin"), "lacks data_batch_3.bin"),
        (lambda m: m.update({f"{FOLDER}data_batch_2.bin": bytes(RECORD + 1)}), "data_batch_2.bin has 3,074 bytes"),
        (lambda m: m.update({f"{FOLDER}test_batch.bin": b""}), "test_batch.bin has 0 bytes"),
        (lambda m: m.update({f"{FOLDER}test_batch.bin": bytes([10]) + bytes(3072)}), "test_batch.bin has a label 10"),
        (lambda m: m.update({f"{FOLDER}batches.meta.txt": b"cat\ndog\n"}), "other classes: cat dog"),
        (lambda m: m.update({f"elsewhere/{name}": b"" for name in ("test_batch.bin",)}), "holds test_batch.bin twice"),
        (
            lambda m: m.update({"cifar-10-batches-py/data_batch_1": b"\x80\x04."}),
            "pickled archive, which is never read",
        ),
        (lambda m: m.update({"../test_batch.bin": b""}), "leads out of its folder"),
        (lambda m: m.update({"/etc/passwd": b""}), "leads out of its folder"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be_is_named(
    change: Callable[[dict[str, bytes]], Any], words: str, tmp_path: Path
) -> None:
    change(members := cifar_members())
    (path := tmp_path / "a.tar.gz").write_bytes(tar_gz(members))
    with pytest.raises(ToydiffError) as error:
        read_cifar10(path)
    assert words in error.value.message
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar.gz"]  # nothing is ever unpacked to disk


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        link = tarfile.TarInfo(f"{FOLDER}data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (path := tmp_path / "a.tar.gz").write_bytes(file.getvalue())
    with pytest.raises(ToydiffError, match="is a link or a device"):
        read_cifar10(path)


# ── the data sets ────────────────────────────────────────────────────────────────────────────────────────────────────


def rows(batch: Batch) -> set[bytes]:
    return {image.numpy().tobytes() for image in batch.x}


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("kind", ALL)
def test_images_are_bytes_between_black_and_white(kind: type[Data]) -> None:
    data = kind()
    x, label = data.fixed()
    assert label is not None and x.shape == (TRAIN, *data.shape) and x.dtype == torch.float32
    byte = (x.double() + 1) * 127.5
    assert float((byte - byte.round()).abs().max()) < 1e-4
    assert float(x.min()) >= -1 and float(x.max()) == 1
    side = data.shape[-1]
    for k in range(10):  # as they were made: the k-th band is white
        assert bool((x[label == k][:, :, k * side // 10 : (k + 1) * side // 10] == 1).all())
    assert len(data.label_names) == 10 and float(data.label_frequencies().sum()) == pytest.approx(1)


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("kind", ALL)
def test_what_is_held_out_is_never_trained_on(kind: type[Data]) -> None:
    data = kind()
    train, test = rows(data.fixed()), rows(data.held_out(TEST, generator()))
    assert (len(train), len(test)) == (TRAIN, TEST) and not train & test
    assert len(data.held_out(10_000, generator()).x) == TEST  # as many as there are
    other = data.model_copy(update={"split": "test"})
    assert rows(other.fixed()) == test and rows(other.held_out(TRAIN, generator())) == train
    assert rows(data.draw(TRAIN, generator())) == train  # all different
    drawn = data.draw(2 * TRAIN + 7, generator())
    assert sorted({list(map(bytes, drawn.x.numpy())).count(bytes(x)) for x in data.fixed().x.numpy()}) == [2, 3]


@pytest.mark.usefixtures("official")
def test_n_of_them_are_chosen_by_the_seed_and_grow_at_their_end() -> None:
    few, more, others = (MNIST(n=n, seed=seed).fixed() for n, seed in ((20, 0), (50, 0), (20, 1)))
    assert torch.equal(few.x, more.x[:20]) and torch.equal(few.label, more.label[:20])  # type: ignore[index, arg-type]
    assert rows(few) != rows(others)
    assert (MNIST().count, MNIST(n=20).count, MNIST(split="test").count) == (TRAIN, 20, TEST)
    with pytest.raises(ValidationError, match="n = 201 is more than the 200 train images"):
        MNIST(n=201)
    with pytest.raises(ConfigurationError, match=r"exact:mnist@201: .*more than the 200"):
        load("exact:mnist@201")


@pytest.mark.usefixtures("official")
def test_the_exact_denoiser_of_some_of_them_gives_them_back() -> None:
    x, label = load("exact:mnist@5").sample(8)
    points, own = MNIST(n=5).fixed()
    distance, which = torch.cdist(x.flatten(1), points.flatten(1)).min(1)
    assert float(distance.max()) < 1e-3
    assert label is not None and own is not None and torch.equal(label, own[which])  # of the classes the five have
    with pytest.raises(ToydiffError, match="no density in closed form"):
        MNIST().exact()


@pytest.mark.usefixtures("official")
def test_training_has_epochs_and_validation_has_the_test_images() -> None:
    assert Training(epochs=3, batch_size=64).total_steps(MNIST().count) == 3 * 4
    validator = Validator(MNIST(), Training(), n=4096, seed=0, device=torch.device("cpu"))
    assert {x.numpy().tobytes() for x in validator.x0} == rows(MNIST(split="test").fixed())


def batches(data: Data, **options: Any) -> Batches:
    settings: dict[str, Any] = {"batch_size": 64, "conditional": True, "label_dropout": 0.0, "seed": 0} | options
    return Batches(data, Flow(), UniformTime(), device=torch.device("cpu"), **settings)


@pytest.mark.usefixtures("official")
def test_every_other_image_is_mirrored_and_each_at_its_own_times() -> None:
    plain, mirrored = batches(CIFAR10()), batches(CIFAR10(augment="hflip"))
    steps = range(1, 41)
    flips = []
    for step in steps:
        a, b = plain(step), mirrored(step)
        flipped = (b.x0 == a.x0.flip(-1)).flatten(1).all(1)
        assert torch.equal(torch.where(flipped[:, None, None, None], a.x0.flip(-1), a.x0), b.x0)
        assert torch.equal(a.eps, b.eps) and torch.equal(a.label, b.label)  # type: ignore[arg-type]
        flips.append(flipped)
    drawn = torch.cat(flips)
    assert stats.binomtest(int(drawn.sum()), len(drawn)).pvalue > 1e-3
    assert not torch.equal(flips[0], flips[1])
    again = batches(CIFAR10(augment="hflip"))
    assert torch.equal(again(37).x0, mirrored(37).x0)  # a function of the step: whatever was asked before
    with pytest.raises(ValidationError, match="augment"):
        MNIST(augment="hflip")  # type: ignore[call-arg]  # a mirrored digit is none


@pytest.mark.usefixtures("official")
def test_mirrored_training_goes_on_bit_for_bit() -> None:
    data, training = Fashion(augment="hflip"), Training(steps=12, batch_size=16)

    def denoiser() -> Denoiser:
        torch.manual_seed(0)
        return Denoiser(MLP(widths=(8,)).build(data.shape), "x0", Flow())

    whole = denoiser()
    for step in fit(whole, data, training):
        if step.step == 5:
            kept = {
                "step": 5,
                "model": {k: v.clone() for k, v in step.denoiser.state_dict().items()},
                "ema": {k: v.clone() for k, v in step.ema.state_dict().items()},
                "optimizer": step.optimizer.state_dict(),
            }
            kept = torch.load(saved(kept), weights_only=True)
    halves = denoiser()
    *_, _ = fit(halves, data, training, resume=kept)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), halves.state_dict().values(), strict=True)
    )


def saved(content: object) -> BytesIO:
    file = BytesIO()
    torch.save(content, file)
    file.seek(0)
    return file


# ── without them ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ALL)
def test_what_a_model_needs_is_known_without_the_files(
    kind: type[Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYDIFF_DATA", str(tmp_path / "none"))
    data = kind()
    assert data.shape and data.scale > 0 and not data.shift.any() and len(data.label_frequencies()) == 10
    assert data.count == published.OFFICIAL[data.kind].train == sum(data.per_class)  # type: ignore[attr-defined]
    with pytest.raises(ToydiffError) as error:
        data.fixed()
    file = published.OFFICIAL[data.kind].files[0].name
    assert file in error.value.message and str(tmp_path / "none" / data.kind) in error.value.message
    for words in (f"toydiff data fetch {data.kind}", published.OFFICIAL[data.kind].mirrors[0], "--from FOLDER", file):
        assert words in error.value.hint


def test_a_file_that_is_not_the_official_one_is_not_read(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYDIFF_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for file in (official / "mnist").iterdir():
        (tmp_path / "mnist" / file.name).write_bytes(file.read_bytes())
    assert len(MNIST().fixed().x) == TRAIN
    (changed := tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(changed.read_bytes()[:-1] + b"\1")
    with pytest.raises(ToydiffError, match=r"t10k-labels-idx1-ubyte.gz is not the official one: its SHA-256 is"):
        MNIST().fixed()
