"""Getting the published data sets: from the first mirror that gives the official file, or from a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from toydiff.errors import ToydiffError, shown
from toydiff.files import atomic_write, reason_of, size_of, sweep
from toydiff.guards import read_bytes
from toydiff.published import LARGEST, OFFICIAL, File, fault, fault_in, folder_of, lacking

TIMEOUT = 20.0
"""Seconds without a byte after which a mirror is given up."""
PATIENCE, SLOWEST = 60.0, 1000
"""After so many seconds a mirror must have given so many bytes a second."""
_CHUNK = 1 << 12
_PICKLED = "cifar-10-python.tar.gz"

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


def fetch(
    name: str, *, note: Say, warn: Say, progress: Progress, offline: bool = False, source: Path | None = None
) -> list[Path]:
    """Put the files of a published data set that are not there yet into its folder; return the paths of all of them.

    They come from the folder `source` if given, else from the net; each is checked before it takes its place, whole or
    not at all. `progress(file, bytes, of)` is called as they come. Raises ToydiffError with what to do instead.
    """
    known, folder = OFFICIAL[name], folder_of(name)
    wrong = {file: why for file in known.files if (why := fault(folder / file.name, file))}
    for file in known.files:
        if file not in wrong:
            note(f"{file.name}: is there already")
    if source is not None:
        _check_folder(source, name, wrong)
    elif offline and wrong:
        raise lacking(name, {file.name: why for file, why in wrong.items()})
    for file in wrong:
        content = _copied(source / file.name, file) if source else _downloaded(name, file, warn, progress)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "Choose another with --data-dir, or TOYDIFF_DATA."
            raise ToydiffError(f"cannot make the folder {shown(folder)}: {reason_of(error)}", hint) from error
        sweep(folder)
        with atomic_write(folder / file.name) as out:
            out.write(content)
        note(f"{file.name}: {size_of(file.size)}{', replacing a damaged one' * (wrong[file] != 'is not there')}")
    return [folder / file.name for file in known.files]


def _check_folder(source: Path, name: str, files: dict[File, str]) -> None:
    """Raise ToydiffError naming the files that `source` should hold and does not."""
    missing = [file.name for file in files if not os.path.exists(source / file.name)]
    if not missing:
        return
    if not os.path.isdir(source):
        raise ToydiffError(f"there is no folder {shown(source)}", "Give --from the folder that holds the files.")
    hint = "They are taken as they were published: packed, and under these names."
    if unpacked := [file for file in missing if os.path.exists(source / file.removesuffix(".gz"))]:
        hint = f"{unpacked[0].removesuffix('.gz')} is there unpacked: give the packed files, whose SHA-256 is known."
    if os.path.exists(source / _PICKLED):
        hint = f"{_PICKLED} is a pickle, which is never read: get the binary version from {OFFICIAL[name].mirrors[0]}"
    raise ToydiffError(f"{shown(source)} does not hold {', '.join(missing)}", hint)


def _copied(path: Path, file: File) -> bytes:
    content = read_bytes(path, LARGEST)
    if why := fault_in(content, file):
        raise ToydiffError(f"{shown(path)} {why}", "Copy or download it again.")
    return content


class _Unusable(Exception):
    """What a mirror did wrong."""


def _downloaded(name: str, file: File, warn: Say, progress: Progress) -> bytes:
    """Return the official file from the first mirror that gives it."""
    failures = []
    for mirror in OFFICIAL[name].mirrors:
        try:
            return _from(mirror, file, progress)
        except _Unusable as error:
            failures.append(f"{mirror} {error}")
            warn(failures[-1])
    raise ToydiffError(
        f"no mirror gave {file.name}:\n  " + "\n  ".join(failures),
        f"Is there a network? Try again later, or get it on another machine: toydiff data fetch {name} --from FOLDER",
    )


def _from(mirror: str, file: File, progress: Progress) -> bytes:
    import pooch

    received = _Received(file, progress)
    try:
        as_it_is = {"Accept-Encoding": "identity"}  # or a helpful server has it unpacked on the way
        pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=_CHUNK, headers=as_it_is)(mirror + file.name, received, None)
    except OSError as error:  # requests' own errors all are; nothing in here touches a disk
        raise _Unusable(_said(error)) from error
    if why := fault_in(bytes(received.content), file):
        raise _Unusable(f"gave a file that {why}")
    return bytes(received.content)


class _Received:
    """A file in memory that takes no more than it should, and nothing that is no gzip."""

    def __init__(self, file: File, progress: Progress) -> None:
        self.file, self.progress, self.content, self.began = file, progress, bytearray(), time.monotonic()

    def write(self, chunk: bytes) -> None:
        self.content += chunk
        if not self.content.startswith(b"\x1f\x8b"[: len(self.content)]):
            page = self.content[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))
            raise _Unusable("gave a web page instead of the file" if page else "gave something that is no gzip file")
        if len(self.content) > self.file.size:
            raise _Unusable(f"gave more than the {self.file.size:,} bytes of the official file")
        if (seconds := time.monotonic() - self.began) > PATIENCE and len(self.content) < SLOWEST * seconds:
            raise _Unusable(f"is too slow: {len(self.content):,} bytes in {seconds:.0f} s")
        self.progress(self.file.name, len(self.content), self.file.size)

    def flush(self) -> None:
        """There is nothing to flush."""


def _said(error: OSError) -> str:
    """Return what one of requests' errors says, in a few words."""
    if (response := getattr(error, "response", None)) is not None:
        return f"answers {response.status_code} {response.reason}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "Timeout" in kinds or "timed out" in str(error):
        return f"gave nothing for {TIMEOUT:g} s"
    if "SSLError" in kinds:
        return "has a certificate that is not trusted"
    if "ChunkedEncodingError" in kinds:
        return "broke off"
    return "cannot be reached"
