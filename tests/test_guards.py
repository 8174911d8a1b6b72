"""Hostile files meet the guards: each is refused in one line that names it, before any memory is made for it."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toydiff.errors import ToydiffError
from toydiff.guards import (
    SMALL,
    Npz,
    Zip,
    gunzip,
    parse_npy,
    read_bytes,
    read_lines,
    read_npy,
    read_toml,
    tar_members,
)
from toydiff.pictures import decode_picture, read_picture


def says(error: ToydiffError, *pieces: str) -> None:
    assert error.message.isprintable() and error.hint and error.exit_code == 1
    for piece in pieces:
        assert piece in error.message, error.message


def refused(reader: Callable[[], Any], *pieces: str) -> None:
    with pytest.raises(ToydiffError) as caught:
        reader()
    says(caught.value, *pieces)


# ── ordinary files ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_reading_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to("a")
    assert read_bytes(tmp_path / "a", 1000) == read_bytes(tmp_path / "link", 1000) == b"x" * 1000
    with pytest.raises(ToydiffError) as caught:
        read_bytes(tmp_path / "a", 999)
    says(caught.value, "1 kB, more than the 999 bytes allowed")
    (tmp_path / "empty").touch()
    assert read_bytes(tmp_path / "empty", 0) == b""


def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(tmp_path)  # the address of a socket is at most some hundred bytes long
        listener.bind("socket")
        os.chdir(here)
        for path, reason in (
            (tmp_path / "pipe", "is a pipe, not a file"),
            (tmp_path / "socket", "is a socket, not a file"),
            (tmp_path, "is a folder, not a file"),
            (Path("/dev/zero"), "is a device, not a file"),
            (tmp_path / "nothing", "is not there"),
            (tmp_path / "file" / "a", "not a directory"),
            (tmp_path / "loop", "symbolic links"),
            (tmp_path / ("x" * 300), "too long"),
        ):
            with pytest.raises(ToydiffError) as caught:
                read_bytes(path, 100)
            says(caught.value, reason, str(path))


def test_a_file_that_grows_meanwhile_is_not_half_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1234")
    before = os.stat

    def then_it_grew(path: Any, **options: Any) -> os.stat_result:
        status = before(path, **options)
        with open(tmp_path / "a", "ab") as file:
            file.write(b"5")
        return status

    monkeypatch.setattr(os, "stat", then_it_grew)
    with pytest.raises(ToydiffError, match="changed while it was read"):
        read_bytes(tmp_path / "a", 100)


def test_a_name_is_shown_on_one_line(tmp_path: Path) -> None:
    refused(lambda: read_bytes("no\nsuch", 1), "no\\nsuch is not there")
    refused(lambda: read_bytes("a\0b", 1), "a\\x00b")


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert read_lines(path, 100) == ["one", "two"]
    for content, said in ((b"\xff\xfe", "not a text in UTF-8"), (b"a\0b", "zero bytes")):
        path.write_bytes(content)
        refused(lambda: read_lines(path, 100), "a.txt", said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "end of document"),
        ("\n\na = 1\n[a]\n", "line 4"),
        ("a." * 50_000 + "b = 1", "a key of too many parts"),
        ("a = {" + "b . 'c' ." * 20 + "d = 1}", "a key of too many parts"),
        ("a = " + "[" * 5000 + "]" * 5000, ""),
        ("a = " + "[" * 25 + "]" * 25, "a table too many"),
        ("a = " + "9" * 5000, ""),
        ("[" + ".".join("ab" * 5) + "]\n" + "\n".join(f"[{'a.' * k}b]" for k in range(1, 25)), "too many"),
        ('["\\u001b[31m"]\n["\\u001b[31m"]', "\\x1b"),
        ("a = '\x1b[31m'", "\\x1b"),
    ],
)  # fmt: skip
def test_toml(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    refused(lambda: read_toml(tmp_path / "a.toml"), "a.toml is not valid TOML", said)


def test_toml_of_any_sane_kind_is_read(tmp_path: Path) -> None:
    text = f'a.b.c = "{"www.x.y." * 3}"\n[d]\ne = [[1, 2], [{{f = 0.5}}]]\n[[g]]\nh = 1.5\n[[g]]\n# {"word " * 9000}\n'
    (tmp_path / "a.toml").write_text(text)
    assert read_toml(tmp_path / "a.toml")["g"] == [{"h": 1.5}, {}]
    (tmp_path / "a.toml").write_bytes(b"a = '\xff'")
    refused(lambda: read_toml(tmp_path / "a.toml"), "not valid TOML")


# ── what is packed ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_gzip(tmp_path: Path) -> None:
    path, text = tmp_path / "a.gz", os.urandom(300_000) + b"x" * 100_000
    whole = gzip.compress(text, mtime=0)
    path.write_bytes(whole)
    assert gunzip(path, 400_000) == text
    refused(lambda: gunzip(path, 399_999), "a.gz unpacks to more than the 400 kB allowed")
    wrong = bytearray(whole)
    wrong[len(whole) // 2] ^= 1
    for content, said in (
        (whole[:-1], "cut off"), (whole[:1000], "cut off"), (b"", "cut off"), (bytes(wrong), "not a whole gzip"),
        (whole + b"x", "behind the end"), (b"PK\x03\x04", "not a whole gzip"),
    ):  # fmt: skip
        path.write_bytes(content)
        refused(lambda: gunzip(path, 10**6), "a.gz", said)


def test_a_bomb_is_left_before_it_goes_off(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(8 * SMALL), mtime=0))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(4 * SMALL))
    tracemalloc.start()
    refused(lambda: gunzip(tmp_path / "a.gz", 10**9), "a.gz has 130 kB and unpacks to 26.1 MB and more")
    refused(lambda: dict(Zip(tmp_path / "a.zip", 10**9)), "x.npy has 65.2 kB and unpacks to 67.1 MB")
    assert not list(tar_members(tmp_path / "a.gz", 10**9, 10**9))  # zeros end a tar: nobody reads on
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3 * SMALL


def zipped(path: Path, *entries: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("folder/a", b"1"), ("b", b"22"), ("folder/", b""))
    assert dict(Zip(path, 1000)) == {"folder/a": b"1", "b": b"22"}
    whole = path.read_bytes()
    for name in ("../a", "/etc/passwd", "a/../../b", "C:/a", "..\\a", "a\x1b/.."):
        refused(lambda name=name: Zip(zipped(path, (name, b"")), 1000), "a.zip", "leads out")  # type: ignore[misc]
    refused(lambda: Zip(zipped(path, ("a", b""), ("a", b"")), 1000), "holds a twice")
    refused(lambda: Zip(zipped(path, ("a", b""), how=zipfile.ZIP_LZMA), 1000), "unusual way")
    refused(lambda: Zip(zipped(path, ("a", bytes(600)), ("b", bytes(600))), 1000), "more than the 1 kB allowed")
    for content in (whole[:-5], b"", b"PK", whole.replace(b"PK\x01\x02", b"PK\x01\x03")):
        path.write_bytes(content)
        refused(lambda: Zip(path, 1000), "a.zip is not a whole zip archive")
    # a directory that says less than the entry holds, and content that is not what its sum says
    path.write_bytes(whole.replace(b"22", b"23"))
    stored = zipped(tmp_path / "b.zip", ("b", b"22"), how=zipfile.ZIP_STORED).read_bytes()
    path.write_bytes(stored.replace(b"22", b"23"))
    refused(lambda: Zip(path, 1000)["b"], "not a whole zip archive")


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name: str, **facts: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar(mode: str, tmp_path: Path) -> None:
    a, b = (member("folder", type=tarfile.DIRTYPE), b""), (member("folder/a" + "x" * 200), b"1234")
    path = tarred(tmp_path / "a.tar", a, b, (member("b"), b""), mode=mode)
    assert list(tar_members(path, 10**5, 4)) == [("folder/a" + "x" * 200, b"1234"), ("b", b"")]
    refused(lambda: list(tar_members(path, 10**5, 3)), "a.tar", "more than the 3 bytes or 200,000 files allowed")
    refused(lambda: list(tar_members(path, 2000, 3)), "a.tar", "more than the 2 kB allowed")
    for hostile, said in (
        (member("../a"), "leads out"), (member("/a"), "leads out"), (member("a/../../b"), "leads out"),
        (member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link or a device"),
        (member("a", type=tarfile.LNKTYPE, linkname="b"), "a link or a device"),
        (member("a", type=tarfile.CHRTYPE), "a link or a device"), (member("a", type=tarfile.FIFOTYPE), "a link"),
    ):  # fmt: skip
        found = tar_members(tarred(path, b, (hostile, b""), mode=mode), 10**5, 10**4)
        assert next(found)[1] == b"1234"  # one by one
        refused(lambda found=found: next(found), "a.tar", said)  # type: ignore[misc]
    whole = tarred(path, (member("a"), os.urandom(5000)), mode=mode).read_bytes()
    for content in (whole[:3000], b"", b"x" * 2000, whole[:700] + b"x" + whole[701:]):
        path.write_bytes(content)
        if content.startswith(whole[:700]) and mode == "w":
            continue  # a plain tar has no sum over its content
        refused(lambda: list(tar_members(path, 10**5, 10**4)), "a.tar")
    assert not list(tmp_path.glob("[!a]*"))


def test_a_tar_that_claims_without_end(tmp_path: Path) -> None:
    """Sizes beyond the file, negative sizes, sparse files of nothing, headers in headers."""
    path = tmp_path / "a.tar"
    giant = member("a")
    giant.size = 8 * 10**9
    negative = bytearray(member("a").tobuf(tarfile.GNU_FORMAT))
    negative[124:136] = b"\xff" * 12
    negative[148:156] = b"%06o\0 " % (256 + sum(negative[:148]) + sum(negative[156:512]))
    pax = member("a", pax_headers={"GNU.sparse.size": "9" * 12, "GNU.sparse.map": "0,1", "GNU.sparse.name": "a"})
    nested = member("x", type=tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)
    for content in (
        giant.tobuf(), bytes(negative), pax.tobuf(tarfile.PAX_FORMAT) + bytes(1024), nested * 3000,
    ):  # fmt: skip
        path.write_bytes(content)
        refused(lambda: list(tar_members(path, 10**8, 10**10)), "a.tar")


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for dtype in ("?", "u1", "i2", ">i4", "i8", "f2", ">f4", "f8"):
        for shape in ((), (0,), (3,), (2, 0, 4), (2, 3, 4)):
            array = (generator.standard_normal(shape) * 50).astype(dtype)
            for made in (np.asarray(array), np.asfortranarray(array)):
                np.save(tmp_path / "a.npy", made)
                read = read_npy(tmp_path / "a.npy", 10**4)
                assert read.dtype == made.dtype.newbyteorder("=") and read.shape == made.shape
                np.testing.assert_array_equal(read, made)
                assert read.flags.writeable
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(5), label=np.ones((2, 2)), names=np.array(["a", "b"]))
    arrays = Npz(tmp_path / "a.npz", 10**4)
    assert set(arrays) == {"x", "label", "names"} and arrays["label"].sum() == 4 and arrays["x"].tolist() == [*range(5)]
    refused(lambda: arrays["names"], "names in", "plain numbers")


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + data


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy(np.array([{}], object)), "plain numbers"),
        (npy(np.zeros(2, "f8,i4")), "plain numbers"),
        (npy(np.zeros(2, "complex64")), "plain numbers"),
        (npy(np.array(["a"])), "plain numbers"),
        (npy(np.zeros(3))[:-1], "has 23 bytes for it"),
        (npy(np.zeros(3)) + b"x", "has 25 bytes for it"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"), "and has 0 bytes for it"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999999), }"), "beyond reason"),
        (header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'1,' * 40}), }}", bytes(8)), "beyond reason"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"), "plain numbers"),
        (header("{'descr': '<f1', 'fortran_order': False, 'shape': (1,), }", b"1"), "f1"),
        (header("{'descr': '|b1', 'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", b"1"), "plain numbers"),
        (header("__import__('os').abort()"), "plain numbers"),
        (header("(" * 9000), "plain numbers"),
        (header("x" * 20_000, version=2), "too long"),
        (header("", version=3), "version 1 or 2"),
        (b"\x93NUMPY\x01\x00\xff\xffshort", "cut off"),
        (b"", "does not begin"),
    ],
)
def test_arrays_that_lie(content: bytes, said: str) -> None:
    refused(lambda: parse_npy(content, "a.npy"), "a.npy holds no array of numbers", said)


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────

RAMP = np.linspace(0, 255, 24 * 20 * 4).astype(np.uint8).reshape(24, 20, 4)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_pictures(kind: str, tmp_path: Path) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    close = 3 if kind == "JPEG" else 256 if kind == "GIF" else 0  # 256 colours are not exact
    for channels, mode in ((1, "L"), (3, "RGB")):
        picture = Image.fromarray(RAMP).convert(mode)
        content = saved(picture, kind, **options)
        (tmp_path / "a").write_bytes(content)
        read = read_picture(tmp_path / "a", channels=channels)
        assert read.dtype == np.uint8 and read.shape == (24, 20, channels)
        assert np.abs(read.astype(int) - np.asarray(picture).reshape(24, 20, -1).astype(int)).max() <= close
        for most in (0.3, 0.8):
            cut = content[: int(most * len(content))]
            refused(lambda cut=cut: decode_picture(cut, "cut.xyz"), "cut.xyz")  # type: ignore[misc]
        refused(lambda content=content: decode_picture(content, "a", pixels=479), "more than the 479 pixels")  # type: ignore[misc]


def test_channels_and_depths() -> None:
    def read(picture: Image.Image, kind: str = "PNG", **options: Any) -> np.ndarray[Any, Any]:
        return decode_picture(saved(picture, kind), "a", **options)

    rgba = Image.fromarray(RAMP)
    np.testing.assert_array_equal(read(rgba), RAMP)
    np.testing.assert_array_equal(read(rgba, channels=3), RAMP[..., :3])
    assert read(rgba.convert("LA")).shape == (24, 20, 4)
    assert read(rgba.convert("RGB").quantize(8)).shape == (24, 20, 3)
    assert read(rgba.convert("L")).shape == (24, 20, 1) and read(rgba.convert("CMYK"), "JPEG").shape == (24, 20, 3)
    assert set(read(rgba.convert("1")).ravel().tolist()) == {0, 255}
    deep = np.linspace(0, 65535, 480).astype(np.uint16).reshape(24, 20)
    for kind in ("PNG", "TIFF", "PPM"):
        np.testing.assert_array_equal(read(Image.fromarray(deep), kind)[..., 0], np.round(deep / 257))
    refused(lambda: read(Image.fromarray(deep.astype(np.float32)), "TIFF"), "pixels that are not of 8 or 16 bits")
    turned = Image.Exif()
    turned[0x0112] = 6  # held upright, stored on its side
    assert decode_picture(saved(rgba.convert("RGB"), "JPEG", exif=turned), "a").shape == (20, 24, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_films_are_no_pictures(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), (200 * k, 0, 0)) for k in range(3)]
    film = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    refused(lambda: decode_picture(film, "film"), "film holds more than one frame")
    assert decode_picture(film, "film", first=True, channels=3).max() == 0


def test_pictures_that_lie() -> None:
    png = saved(Image.fromarray(RAMP), "PNG")
    bomb = bytearray(png)
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2

    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    refused(lambda: decode_picture(bytes(bomb), "bomb.png"), "bomb.png has more than the 50,000,000 pixels allowed")
    for content in (b"", b"%PDF-1.4", b"<svg/>", b"%!PS-Adobe", npy(np.zeros(3)), saved(Image.fromarray(RAMP), "ICO")):
        refused(lambda content=content: decode_picture(content, "a"), "a is not a picture that can be read")  # type: ignore[misc]
    for k in range(0, len(png), 7):  # whatever a flipped byte does, it ends in a picture or in a refusal
        flipped = bytearray(png)
        flipped[k] ^= 0x55
        try:
            assert decode_picture(bytes(flipped), "a").dtype == np.uint8
        except ToydiffError as error:
            says(error, "a ")
