"""Guards for every file that is read: ordinary files of sane size, whose numbers are checked before they are believed.

Nothing runs, and no memory is made for more than a file can hold. For pictures see `toydiff.pictures`.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from toydiff.errors import ToydiffError, shown
from toydiff.files import kind_of, reason_of, resolved, size_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

RATIO = 200
"""Bytes that one packed byte may become, where more than `SMALL` is unpacked; pictures and numbers stay far below."""
SMALL = 16 << 20
MEMBERS = 200_000
"""Files in one archive."""
DEEPEST = 20
"""Tables in tables that a file may have: no configuration comes near, and Python's recursion has an end."""

_CHUNK = 1 << 16
_MEND = "Copy or download it again."
_DTYPE = re.compile(r"'descr':\s*'([<>|=]?)([biuf])([1248])'")
_ORDER = re.compile(r"'fortran_order':\s*(True|False)")
_SHAPE = re.compile(r"'shape':\s*\(([\d\s,]*)\)")
_DOTTED = re.compile(r"(?<![^\s.={}\[\]])" + r"[^\s.={}\[\]#]++[ \t]*+\.[ \t]*+" * (DEEPEST + 1))


@contextmanager
def opened(path: str | os.PathLike[str], limit: int) -> Iterator[tuple[BinaryIO, int]]:
    """Yield (file, bytes in it) of an ordinary file of at most `limit` bytes.

    Raises ToydiffError for what is not there, not readable, too large, or not an ordinary file: a pipe would wait
    for ever, /dev/zero would never end.
    """
    name, path = shown(path), resolved(path)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ToydiffError(f"{name} is {kind_of(status.st_mode)}, not a file", "Give the path of a file.")
        if status.st_size > limit:
            raise ToydiffError(
                f"{name} has {size_of(status.st_size)}, more than the {size_of(limit)} allowed", "Is it the right file?"
            )
        # O_NONBLOCK: should a pipe have taken its place since, reading must not hang.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            yield file, status.st_size
    except FileNotFoundError as error:
        raise ToydiffError(f"{name} is not there", "Check the path.") from error
    except OSError as error:
        raise ToydiffError(f"cannot read {name}: {reason_of(error)}", "Check the path and its permissions.") from error


def read_bytes(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the content of an ordinary file of at most `limit` bytes; ToydiffError as for `opened`."""
    with opened(path, limit) as (file, size):
        content = file.read(size + 1)
    if len(content) != size:
        raise ToydiffError(f"{shown(path)} changed while it was read", "Wait until whatever writes it is done.")
    return content


def read_lines(path: str | os.PathLike[str], limit: int) -> list[str]:
    """Return the lines of a UTF-8 text of at most `limit` bytes, without a byte order mark; ToydiffError if it is none.

    They come from outside: whoever prints one passes it through `shown`.
    """
    try:
        text = read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ToydiffError(f"{shown(path)} is not a text in UTF-8", "Save it as UTF-8.") from error
    if "\0" in text:
        raise ToydiffError(f"{shown(path)} is not a text: it holds zero bytes", "Is it the right file?")
    return text.splitlines()


def read_toml(path: str | os.PathLike[str], limit: int = 1 << 20) -> dict[str, Any]:
    """Return the content of a TOML file, its tables and lists at most `DEEPEST` deep; ToydiffError naming the line."""
    try:
        text = read_bytes(path, limit).decode()
        if _DOTTED.search(text):  # before it is parsed: the time for such a key grows with the square of its length
            raise ValueError("a key of too many parts")
        content = tomllib.loads(text)
        _check_depth(content)
    except (ValueError, RecursionError) as error:  # ValueError: also bytes that are no text, numbers without end
        said = shown(str(error).splitlines()[0][:200])
        raise ToydiffError(f"{shown(path)} is not valid TOML: {said}", "See presets/ for examples.") from error
    return content


def _check_depth(content: Any) -> None:
    layer, depth = [content], 0
    while layer:
        if depth > DEEPEST:
            raise ValueError("a table in a table in a table too many")
        insides = (value.values() if isinstance(value, dict) else value for value in layer)
        layer = [inner for inside in insides for inner in inside if isinstance(inner, dict | list)]
        depth += 1


# ── what is packed ───────────────────────────────────────────────────────────────────────────────────────────────────


def gunzip(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return what a gzip file of at most `limit` bytes unpacks to, at most `limit` bytes; ToydiffError otherwise."""
    with opened(path, limit) as (file, size):
        return b"".join(_gunzipped(file, shown(path), size, limit))


def _gunzipped(file: BinaryIO, name: str, size: int, limit: int) -> Iterator[bytes]:
    """Yield the content of a gzip file in pieces, none of them empty, and stop where it becomes too much."""
    unpack, total = zlib.decompressobj(wbits=31), 0
    try:
        while not unpack.eof:
            packed = unpack.unconsumed_tail or file.read(_CHUNK)
            if not packed:
                raise ToydiffError(f"{name} is cut off", _MEND)
            piece = unpack.decompress(packed, _CHUNK)
            total += len(piece)
            check_unpacked(name, size, total, limit)
            if piece:
                yield piece
    except zlib.error as error:
        raise ToydiffError(f"{name} is not a whole gzip file: {shown(error)}", _MEND) from error
    if unpack.unused_data or file.read(1):
        raise ToydiffError(f"{name} has something behind the end of its gzip", _MEND)


def check_unpacked(name: str, packed: int, total: int, limit: int) -> None:
    """Raise ToydiffError if `total` unpacked bytes are more than allowed, or suspiciously many for `packed` ones."""
    if total > limit:
        raise ToydiffError(f"{name} unpacks to more than the {size_of(limit)} allowed", "Is it the right file?")
    if total > SMALL and total > RATIO * packed:
        raise ToydiffError(f"{name} has {size_of(packed)} and unpacks to {size_of(total)} and more", "Leave it alone.")


class Zip(Mapping[str, bytes]):
    """The files of a zip archive by name, each unpacked when asked for; its directory is checked before that.

    Raises ToydiffError for a damaged archive, encrypted or odd entries, two of one name, names that lead out of a
    folder, and more than `limit` bytes or RATIO.
    """

    def __init__(self, path: str | os.PathLike[str], limit: int) -> None:
        self.name, content = shown(path), read_bytes(path, limit)
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(content))
            entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        except Exception as error:  # zipfile believes many numbers, and fails in many ways
            raise self._damaged(error) from error
        if len(entries) > MEMBERS:
            raise ToydiffError(f"{self.name} holds more than {MEMBERS:,} files", "Is it the right file?")
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            inside = check_member(entry.filename, self.name)
            if inside in self._entries:
                raise ToydiffError(f"{self.name} holds {shown(inside)} twice", _MEND)
            if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ToydiffError(f"{self.name} is encrypted or packed in an unusual way", "Pack it with zip.")
            check_unpacked(f"{self.name}: {shown(inside)}", entry.compress_size, entry.file_size, limit)
            self._entries[inside] = entry
        check_unpacked(self.name, len(content), sum(entry.file_size for entry in entries), limit)

    def __getitem__(self, key: str) -> bytes:
        entry = self._entries[key]
        try:
            with self._archive.open(entry) as file:
                content = file.read(entry.file_size)
        except Exception as error:
            raise self._damaged(error) from error
        if len(content) != entry.file_size:
            raise ToydiffError(f"{self.name}: {shown(key)} is cut off", _MEND)
        return content

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _damaged(self, error: Exception) -> ToydiffError:
        return ToydiffError(f"{self.name} is not a whole zip archive: {_said(error)}", _MEND)


def tar_members(path: str | os.PathLike[str], limit: int, member_limit: int) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of each file in a tar or tar.gz of at most `limit` bytes, also unpacked.

    Raises ToydiffError at a link, a device, a name that leads out of a folder, a file above `member_limit` or damage.
    """
    name = shown(path)
    with opened(path, limit) as (file, size):
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = io.BufferedReader(_Pieces(_gunzipped(file, name, size, limit)), _CHUNK) if packed else file
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for count, member in enumerate(archive):
                    inside = check_member(member.name, name)
                    if member.isdir():
                        continue
                    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                        raise ToydiffError(f"{name}: {shown(inside)} is a link or a device, not a file", "Remove it.")
                    if not 0 <= member.size <= member_limit or count >= MEMBERS:
                        most = f"{size_of(member_limit)} or {MEMBERS:,} files"
                        raise ToydiffError(f"{name}: {shown(inside)} is more than the {most} allowed", "Is it right?")
                    inner = archive.extractfile(member)
                    yield inside, b"" if inner is None else inner.read()  # ReadError where it is cut off
                    archive.members.clear()  # type: ignore[attr-defined]  # or it would keep them all
        except (tarfile.TarError, ValueError, EOFError, RecursionError, OverflowError, MemoryError) as error:
            raise ToydiffError(f"{name} is not a whole tar archive: {_said(error)}", _MEND) from error


class _Pieces(io.RawIOBase):
    """A stream of pieces, as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        self._rest = self._rest or next(self._pieces, b"")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def check_member(inside: str, name: str) -> str:
    """Return the name of a file in an archive; ToydiffError if it is absolute, leads upwards or is none at all."""
    parts = inside.replace("\\", "/").split("/")
    if not inside or parts[0] == "" or ".." in parts or re.match(r"[A-Za-z]:", inside) or "\0" in inside:
        raise ToydiffError(f"{name} holds a file named {shown(inside[:100])!r}, which leads out of its folder", _MEND)
    return inside


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_npy(path: str | os.PathLike[str], limit: int) -> NDArray[Any]:
    """Return the array of an .npy file of at most `limit` bytes: numbers or truth values; nothing is unpickled."""
    return parse_npy(read_bytes(path, limit), shown(path))


def parse_npy(content: bytes, name: str) -> NDArray[Any]:
    """Return the array in the bytes of an .npy file called `name`; ToydiffError unless every byte is accounted for."""
    import numpy as np

    try:
        dtype, shape, order, begin = _npy_header(content)
        count = math.prod(shape)
        if count * dtype.itemsize != len(content) - begin:  # before any memory is asked for
            raise ValueError(f"it says it holds {shape} of {dtype}, and has {len(content) - begin:,} bytes for it")
        array: np.ndarray[Any, Any] = np.frombuffer(content, dtype, count, begin)
        return array.reshape(shape, order=order).astype(dtype.newbyteorder("="), copy=True)
    except ValueError as error:
        raise ToydiffError(f"{name} holds no array of numbers: {_said(error)}", "numpy.save numbers only.") from error


def _npy_header(content: bytes) -> tuple[np.dtype[Any], tuple[int, ...], Any, int]:
    """Return (dtype, shape, order, where the data begin); ValueError. It is matched, not evaluated."""
    import numpy as np

    if content[:6] != b"\x93NUMPY" or len(content) < 12 or content[6] not in (1, 2):
        raise ValueError("it does not begin as an .npy file of version 1 or 2 does")
    begin = 12 if content[6] == 2 else 10
    end = begin + int.from_bytes(content[8:begin], "little")
    if end > min(len(content), 10_000):
        raise ValueError("its header is too long, or cut off")
    header = content[begin:end].decode("latin-1")
    try:
        ((byteorder, kind, size),), (fortran,), (extents,) = (p.findall(header) for p in (_DTYPE, _ORDER, _SHAPE))
    except ValueError:
        raise ValueError("its header does not describe plain numbers") from None
    shape = tuple(int(extent) for extent in extents.split(",") if extent.strip())
    if len(shape) > 16 or any(extent > 1 << 48 for extent in shape):
        raise ValueError("its shape is beyond reason")
    try:
        dtype = np.dtype(f"{byteorder}{kind}{size}")
    except TypeError as error:  # such as float of one byte
        raise ValueError(str(error)) from error
    return dtype, shape, "F" if fortran == "True" else "C", end


class Npz(Mapping[str, "NDArray[Any]"]):
    """The arrays of an .npz file by name, each read when asked for, as `Zip` and `parse_npy` allow."""

    def __init__(self, path: str | os.PathLike[str], limit: int) -> None:
        self._zip = Zip(path, limit)

    def __getitem__(self, key: str) -> NDArray[Any]:
        return parse_npy(self._zip[f"{key}.npy"], f"{key} in {self._zip.name}")

    def __iter__(self) -> Iterator[str]:
        return (inside.removesuffix(".npy") for inside in self._zip if inside.endswith(".npy"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _said(error: BaseException) -> str:
    return shown((str(error) or type(error).__name__).splitlines()[0][:200])
