"""One writer at a time: a lock on a folder that the system itself releases when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from toydiff.errors import ToydiffError
from toydiff.files import shown
from toydiff.guards import read_bytes

NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of `folder` while the block runs; raise ToydiffError naming the one that is in it.

    The lock is flock's, on a file that says who holds it: a crash releases it, and a file left behind locks nothing.
    A file system without locks keeps nobody out. Raises ToydiffError if no file can be made in the folder.
    """
    path = folder / NAME
    try:
        descriptor = _open_locked(path)
    except BlockingIOError as error:
        who = ""
        with suppress(ToydiffError, UnicodeDecodeError):  # gone meanwhile
            who = read_bytes(path, 1000).decode().strip()
        who = shown(who[:200]) if who else "another process"
        raise ToydiffError(
            f"{shown(folder)} is in use: {who} is training in it", "Wait for it, stop it, or choose another --name."
        ) from error
    except OSError as error:
        raise ToydiffError(
            f"cannot write {shown(path)}: {(error.strerror or str(error)).lower()}",
            "Choose another folder with --runs-dir or TOYDIFF_RUNS.",
        ) from error
    try:
        with suppress(OSError):  # a full disk: the lock holds without its holder's name
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)  # while it is still locked: whoever opened it meanwhile finds out and opens the next one
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    """Return the descriptor of the file at `path`, locked; BlockingIOError if somebody else has locked it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:  # no locks on this file system
                return descriptor
            with suppress(FileNotFoundError):  # removed between open and lock, by the one who had it: once more
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
