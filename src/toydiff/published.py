"""The published data sets: the files they are made of, where those are to be had, and where they lie on this machine.

A file counts only if it is the official one byte for byte: whatever has another SHA-256 is not read.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from toydiff.errors import ToydiffError, shown
from toydiff.guards import read_bytes


class File(NamedTuple):
    """A published file: its name, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


class Published(NamedTuple):
    """A data set: its files, folders in the net that hold them, and its images for training and for testing."""

    files: tuple[File, ...]
    mirrors: tuple[str, ...]
    train: int
    test: int


OFFICIAL = {
    "mnist": Published(
        (
            File(
                "train-images-idx3-ubyte.gz",
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            File(
                "train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            File(
                "t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            File(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
        60_000,
        10_000,
    ),
    "fashion": Published(
        (
            File(
                "train-images-idx3-ubyte.gz",
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            File(
                "train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            File(
                "t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            File(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        60_000,
        10_000,
    ),
    "cifar10": Published(
        (
            File(
                "cifar-10-binary.tar.gz", 170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            ),
        ),
        (
            "https://www.cs.toronto.edu/~kriz/",
            "https://cave.cs.toronto.edu/kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ),
        50_000,
        10_000,
    ),
}


LARGEST = 256 << 20
"""Bytes a file may have to be looked at."""


def data_dir() -> Path:
    """Return the folder of downloaded data: TOYDIFF_DATA, else `toydiff` in the system's folder for caches.

    Raises ToydiffError where there is no home to have such a folder.
    """
    if chosen := os.environ.get("TOYDIFF_DATA"):
        return Path(chosen)
    import pooch  # it knows the systems: ~/.cache or XDG_CACHE_HOME, ~/Library/Caches

    folder = Path(pooch.os_cache("toydiff"))
    if not folder.is_absolute():
        raise ToydiffError(
            "there is no home folder to keep downloaded data in", "Say where: --data-dir FOLDER, or set TOYDIFF_DATA."
        )
    return folder


def folder_of(name: str) -> Path:
    """Return where the files of a published data set lie, or would lie."""
    return data_dir() / name


def fault(path: Path, file: File) -> str | None:
    """Return what keeps the file at `path` from being the official one, or None."""
    try:
        return fault_in(read_bytes(path, LARGEST), file)
    except ToydiffError as error:
        return error.message.removeprefix(shown(path)).strip()  # "is not there", for one


def fault_in(content: bytes, file: File) -> str | None:
    """Return what is wrong with bytes that should be those of the official file, or None."""
    if (digest := hashlib.sha256(content).hexdigest()) == file.sha256:
        return None
    for name, known in OFFICIAL.items():
        if digest in [each.sha256 for each in known.files]:
            return f"is a file of {name}"
    if len(content) != file.size:
        return f"has {len(content):,} bytes, and the official one {file.size:,}"
    return f"is not the official one: its SHA-256 is {digest[:12]}…"


def faults(name: str) -> dict[str, str | None]:
    """Return {file: what is wrong with it here, or None} for the files of a published data set."""
    return {file.name: fault(folder_of(name) / file.name, file) for file in OFFICIAL[name].files}


def paths(name: str) -> list[Path]:
    """Return the files of a published data set on this machine, every byte of them checked.

    Raises ToydiffError naming the files that are missing or damaged, and what to do with and without a network.
    """
    if wrong := {file: why for file, why in faults(name).items() if why}:
        raise lacking(name, wrong)
    return [folder_of(name) / file.name for file in OFFICIAL[name].files]


def lacking(name: str, wrong: dict[str, str]) -> ToydiffError:
    """Return the error that says which files a data set lacks, and where to put them."""
    folder, files = shown(folder_of(name)), ", ".join(wrong)
    missing = all(why == "is not there" for why in wrong.values())
    what = f" lacks {files}" if missing else ": " + "; ".join(f"{file} {why}" for file, why in wrong.items())
    return ToydiffError(
        f"the data set `{name}` is not ready: {folder}{what}",
        f"Download it: toydiff data fetch {name}\n"
        f"  Without a network: get {files} from {OFFICIAL[name].mirrors[0]} on another machine, and put "
        f"{'it' if len(wrong) == 1 else 'them'} into {folder}, or run: toydiff data fetch {name} --from FOLDER",
    )
