"""Writing files: an output is there whole or not at all. For reading them see `toydiff.guards`."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shlex
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.errors import shown as shown  # paths are what most of its callers show

_REASONS = {
    errno.ENOENT: ("its folder does not exist", "Make the folder first, or choose another output."),
    errno.ENOTDIR: ("part of the path is not a folder", "Choose another output."),
    errno.EISDIR: ("it is a folder", "Add a file name to it."),
    errno.EACCES: ("permission denied", "Choose a folder you may write to."),
    errno.EPERM: ("permission denied", "Choose a folder you may write to."),
    errno.EROFS: ("the file system is read-only", "Choose a folder on another disk."),
    errno.ENOSPC: ("no space left", "Free some space, or choose a folder on another disk."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose a folder on another disk."),
    errno.EFBIG: ("the file would be larger than the system allows", "See `ulimit -f`, or use another disk."),
    errno.EIO: ("the disk reports an error", "Choose a folder on another disk."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.ELOOP: ("it is a symbolic link to itself", "Choose another output."),
}
_TEMPORARY = re.compile(r"\.toydiff-([1-9]\d{0,9})-[0-9a-f]{8}\.tmp")  # what `_temporary_in` makes
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary, seekable file that becomes `path` when the block ends well, and leaves no trace when it does not.

    A temporary file in the same folder is flushed, synced and renamed over `path`, and the folder is synced: after a
    crash there is the old file or the new one, whole. A symbolic link is followed, as open() would.
    Raises ToydiffError for what a disk can do to us; other exceptions of the block pass through.
    """
    target = resolved(path)
    temporary = _temporary_in(os.path.dirname(target))
    try:
        try:
            with open(temporary, "x+b") as file:
                with suppress(OSError):  # no old file, or a file system without permissions
                    os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            with suppress(OSError):  # not there: renamed, or never made
                os.unlink(temporary)
        _sync_folder(os.path.dirname(target))
    except OSError as error:
        # The block may fail at something else, such as reading its own input: that is not for us to explain.
        if error.filename not in (None, temporary, target) or (error.filename is None and error.errno not in _REASONS):
            raise
        raise _cannot_write(path, error) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def refuse_existing(path: str | os.PathLike[str]) -> None:
    """Raise ConfigurationError if there is anything at `path`: nothing is overwritten silently."""
    if os.path.lexists(path):
        raise ConfigurationError(
            f"{shown(path)} exists; nothing is overwritten silently", "Choose another output with -o, or remove it."
        )


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise ToydiffError if `path` could not be written, before hours of work are spent on its content."""
    target = resolved(path)
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(mode := os.stat(target).st_mode):
                raise ToydiffError(f"cannot write {shown(path)}: it is {kind_of(mode)}", "Choose another output.")
        # A file made and removed again is the only proof: permission bits do not bind root, nor tell of mounts.
        temporary = _temporary_in(os.path.dirname(target))
        with open(temporary, "xb"):
            os.unlink(temporary)
    except OSError as error:
        raise _cannot_write(path, error) from error


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporaries of writers that crashed in `folder`: those of processes that are gone, or a day old."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match is None or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(OSError):  # gone meanwhile, or not ours to remove
                if not _alive(int(match[1])) or time.time() - entry.stat().st_mtime > 86400:
                    os.unlink(entry.path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def resolved(path: str | os.PathLike[str]) -> str:
    """Return the absolute path behind all symbolic links."""
    if "\0" in (name := os.fspath(path)):
        raise ToydiffError(f"{shown(name)} is not a legal file name", "Choose another name.")
    return os.path.realpath(name)


def _temporary_in(folder: str) -> str:
    """Return a new name whose owner can be told: dot-prefixed, with the process id, unique among its threads."""
    return os.path.join(folder, f".toydiff-{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where the file system lets a folder be opened and synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cannot_write(path: str | os.PathLike[str], error: OSError) -> ToydiffError:
    folder = os.path.dirname(resolved(path))
    reason, hint = _REASONS.get(error.errno or 0, (reason_of(error), "Choose another output."))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            reason += f" ({size_of(shutil.disk_usage(folder).free)} free in {shown(folder)})"
    if error.errno == errno.ENOENT and os.path.isdir(folder):  # such as /proc: there, but not for us to add to
        reason, hint = f"no file can be made in {shown(folder)}", "Choose another folder."
    elif error.errno == errno.ENOENT:
        reason = f"the folder {shown(folder)} does not exist"
        hint = f"Make it first: mkdir -p {shlex.quote(shown(folder))}"
    return ToydiffError(f"cannot write {shown(path)}: {reason}", hint)


def reason_of(error: OSError) -> str:
    """Return why the system refused."""
    return (error.strerror or str(error)).lower()


def kind_of(mode: int) -> str:
    """Return what a file that is no ordinary one is, with its article."""
    return next((kind for test, kind in _KINDS if test(mode)), "not an ordinary file")


def size_of(count: int) -> str:
    """Return a number of bytes for people: "730 bytes", "1.5 MB"."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{count} bytes" if unit == "bytes" else f"{size:.3g} {unit}"
