"""The outline of an archive that torch.save wrote, read without torch and without making any object in it.

`torch.load(weights_only=True)` runs no foreign code, but it believes the numbers it is given: a storage that claims
more elements than the archive holds is read beyond its end, and a tensor of stride 0 can claim any shape at all. So
the zip and the pickle are first read here, strictly: whatever torch.save would not have written is an error.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from io import BytesIO
from typing import Any, NamedTuple

_END = struct.Struct("<4s4H2LH")  # the zip's end-of-central-directory record
_END64 = struct.Struct("<4sQ2H2L4Q4sLQL")  # its 64-bit double and the locator of that, which torch writes before it
_LOCAL = struct.Struct("<4s22x2H")  # the header in front of each record: its signature, lengths of name and extra field
_NAME = re.compile(r"archive/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/\w+)")
_FLAGS = 0x0808  # names in UTF-8, sizes repeated behind the data
_PICKLE_LIMIT = 64 * 1024**2

_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip
_OPCODES = (
    pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.BINPERSID,
    pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS,
    pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3,
    pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET,
    pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINUNICODE,
    pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT,
)  # fmt: skip


class ArchiveError(Exception):
    """What is in the archive that torch.save would not have written."""


def is_whole(data: bytes) -> bool:
    """Return whether `data` ends as a zip file without a comment does."""
    return len(data) > _END.size and data[-_END.size :].startswith(b"PK\x05\x06") and data.endswith(b"\0\0")


def outline(data: bytes) -> Any:
    """Return the content of an archive with None for each tensor.

    Raises ArchiveError unless records are stored, distinct and apart, the pickle is made of harmless opcodes, and each
    tensor is dense, contiguous and exactly as large as its record.
    """
    try:
        records = _records(data)
        text = records.pop("archive/data.pkl")
        if len(text) > _PICKLE_LIMIT or text[:2] != pickle.PROTO + b"\x02":
            raise ArchiveError("its table of content is far too large, or not torch's")
        return _Outline(text[2:], {name: len(record) for name, record in records.items()}).load()
    except ArchiveError:
        raise
    except Exception as error:  # hostile bytes can fail anywhere in here; they have run nothing
        raise ArchiveError(f"it cannot be read ({type(error).__name__})") from error


def _records(data: bytes) -> dict[str, memoryview]:
    """Return the records of a zip archive by name."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members, comment = sorted(archive.infolist(), key=lambda member: member.header_offset), archive.comment
    end = len(data) - len(comment) - _END.size
    signature, disk, first_disk, here, total, size, offset, _ = _END.unpack_from(data, end)
    if (signature, disk, first_disk, here, total) != (b"PK\x05\x06", 0, 0, len(members), len(members)):
        raise ArchiveError("its zip directory is not where it belongs")
    if offset + size != end:
        found = _END64.unpack_from(data, offset + size)
        numbers = (total, total, size, offset, b"PK\x06\x07", 0, offset + size, 1)
        if offset + size + _END64.size != end or (found[0], found[4:]) != (b"PK\x06\x06", (0, 0, *numbers)):
            raise ArchiveError("its zip directory is not where it belongs")
    records: dict[str, memoryview] = {}
    for member, limit in zip(members, [m.header_offset for m in members[1:]] + [offset], strict=True):
        signature, name_length, extra_length = _LOCAL.unpack_from(data, member.header_offset)
        name_at = member.header_offset + _LOCAL.size
        begin = name_at + name_length + extra_length
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~_FLAGS:
            raise ArchiveError("it holds compressed or encrypted records")
        if member.filename in records or not _NAME.fullmatch(member.filename):
            raise ArchiveError(f"it holds a record named {member.filename!r:.80}, twice or out of place")
        if (
            signature != b"PK\x03\x04"
            or data[name_at : name_at + name_length] != member.filename.encode()
            or member.compress_size != member.file_size
            or begin + member.file_size > limit
        ):
            raise ArchiveError(f"its record {member.filename} is out of place")
        records[member.filename] = memoryview(data)[begin : begin + member.file_size]
    return records


class _Storage(NamedTuple):
    elements: int


class _Outline(pickle._Unpickler):
    """Python's own unpickler with the opcodes torch.save needs for plain content, and nothing to call but stubs."""

    # Any other opcode is a KeyError: without BUILD no attribute is set; without NEWOBJ, INST and OBJ nothing is made.
    dispatch = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES}  # noqa: RUF012

    def __init__(self, text: memoryview, sizes: dict[str, int]) -> None:
        super().__init__(BytesIO(text))
        self.sizes = sizes

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _BYTES:
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):  # a tensor's hooks: none
            return _no_hooks
        raise ArchiveError(f"it asks for `{module}.{name}`, which no checkpoint needs"[:200])

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, location, elements = pid
        if (kind, location) != ("storage", "cpu") or type(elements) is not int:
            raise ArchiveError("a storage is not plain memory")
        if elements * _BYTES[storage] != self.sizes.get(f"archive/data/{key}"):
            raise ArchiveError(f"the storage {key!r:.40} does not have the size of its record")
        return _Storage(elements)


def _no_hooks() -> None:
    return None


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: None) -> None:
    """Check the arguments of torch's `_rebuild_tensor_v2`: the tensor is its whole storage, in order."""
    elements = 1
    contiguous: list[int] = []
    if not (isinstance(storage, _Storage) and type(size) is tuple and len(size) <= 8):
        raise ArchiveError("a tensor is not plain memory")
    for extent in reversed(size):
        if type(extent) is not int or extent < 0:
            raise ArchiveError("a tensor has no sensible shape")
        contiguous.insert(0, elements)
        elements *= extent
    if (0 not in size and (offset, stride) != (0, tuple(contiguous))) or elements != storage.elements:
        raise ArchiveError("a tensor is larger or smaller than its storage")
    if hooks is not None or requires_grad is not False:
        raise ArchiveError("a tensor has hooks or gradients")
