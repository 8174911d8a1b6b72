"""Downloads, from a server of our own that gives good files, wrong ones, and none."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from toydiff import download, published
from toydiff.data import CIFAR10, MNIST
from toydiff.errors import ToydiffError

from .made_up import cifar_members, tar_gz

IMAGES = "train-images-idx3-ubyte.gz"


class Server:
    """Serves the files of `folder` below /good/, and what else mirrors do below other names; remembers what it gave."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.hang = folder, [], threading.Event()  # type: ignore[var-annotated]
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answer, self))
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def __call__(self, way: str) -> str:
        """Return the address of the mirror that behaves in this way."""
        return f"http://127.0.0.1:{self.http.server_port}/{way}/"

    def close(self) -> None:
        self.hang.set()
        self.http.shutdown()
        self.http.server_close()


class _Answer(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *args: Any) -> None:
        self.ours = server
        super().__init__(*args)

    def do_GET(self) -> None:
        _, way, name = self.path.split("/")
        self.ours.asked.append((way, name))
        content = (self.ours.folder / name).read_bytes()
        declared = len(content)
        if way == "html":
            content = b"<!DOCTYPE html><title>Sign in to the guest network</title>" + bytes(100)
            declared = len(content)
        elif way == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        elif way == "longer":
            content += b"!"
            declared += 1
        elif way in ("short", "cut", "slow"):
            content = content[: len(content) // 2]
            declared = len(content) if way == "short" else declared
        elif way == "packed":  # a helpful server says how the file is packed, and the client unpacks it
            assert "gzip" not in self.headers["Accept-Encoding"]
        elif way == "404":
            return self.send_error(404)
        elif way == "elsewhere":
            self.send_response(302)
            self.send_header("Location", self.ours("good") + name)
            return self.end_headers()
        self.send_response(200)
        self.send_header("Content-Length", str(declared))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()
        if way == "slow":
            self.ours.hang.wait(20)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of the made-up MNIST, and an empty folder for downloads in `tmp_path`/here."""
    monkeypatch.setenv("TOYDIFF_DATA", str(tmp_path / "here"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    serving = Server(official / "mnist")
    yield serving
    serving.close()


Fetch = Callable[..., list[str]]


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """`fetch("mnist", mirror, …)` from these mirrors alone; returns the warnings."""

    def run(name: str, *mirrors: str, **options: Any) -> list[str]:
        warned: list[str] = []
        monkeypatch.setitem(published.OFFICIAL, name, published.OFFICIAL[name]._replace(mirrors=mirrors))
        settings = {"note": lambda text: None, "warn": warned.append, "progress": lambda *_: None} | options
        download.fetch(name, **settings)
        return warned

    return run


def test_every_file_arrives_as_it_is_and_once(server: Server, fetch: Fetch, official: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    assert fetch("mnist", server("good"), progress=lambda *facts: seen.append(facts)) == []
    for file in published.OFFICIAL["mnist"].files:
        assert (tmp_path / "here" / "mnist" / file.name).read_bytes() == (official / "mnist" / file.name).read_bytes()
        mine = [done for name, done, of in seen if name == file.name]
        assert (
            mine == sorted(mine)
            and mine[-1] == file.size
            and all(of == file.size for n, _, of in seen if n == file.name)
        )
    assert len(MNIST().fixed().x) == published.OFFICIAL["mnist"].train
    asked = len(server.asked)
    assert asked == 4
    fetch("mnist", server("good"))
    assert len(server.asked) == asked  # it is all there


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("404", "answers 404"),
        ("html", "gave a web page instead of the file"),
        ("wrong", "gave a file that is not the official one: its SHA-256 is"),
        ("longer", "gave more than the"),
        ("short", "gave a file that has"),
        ("cut", "broke off"),
        ("slow", "gave nothing for 0.3 s"),
    ],
)
def test_a_mirror_that_fails_is_named_and_the_next_one_taken(
    way: str, words: str, server: Server, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    warned = fetch("mnist", server(way), server("good"))
    assert len(warned) == 4 and all(text.startswith(server(way)) and words in text for text in warned)
    assert not any(published.faults("mnist").values())
    with pytest.raises(ToydiffError) as error:
        fetch("fashion", server(way))  # its files are not what this server has either way
    assert "no mirror gave train-images" in error.value.message and server(way) in error.value.message
    assert "--from FOLDER" in error.value.hint
    assert not (tmp_path / "here" / "fashion").exists()


def test_a_mirror_that_is_not_there_at_all(server: Server, fetch: Fetch) -> None:
    gone = Server(server.folder)
    address = gone("good")
    gone.close()
    assert all("cannot be reached" in text for text in fetch("mnist", address, server("elsewhere")))
    assert ("good", IMAGES) in server.asked  # it was sent on


def test_nothing_is_unpacked_on_the_way(server: Server, fetch: Fetch) -> None:
    assert fetch("mnist", server("packed")) == []


def test_a_trickle_is_too_slow(server: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.0)
    monkeypatch.setattr(download, "SLOWEST", 1e12)
    with pytest.raises(ToydiffError, match="is too slow"):
        fetch("mnist", server("good"))


def test_an_archive_that_leads_elsewhere_never_gets_that_far(
    server: Server, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its SHA-256 gives it away; and even if that were the official one, nothing would be written elsewhere."""
    (folder := tmp_path / "evil").mkdir()
    name = published.OFFICIAL["cifar10"].files[0].name
    evil = tar_gz(cifar_members() | {"../../escaped": b"x"})
    (folder / name).write_bytes(evil)
    server.folder = folder
    with pytest.raises(ToydiffError, match="no mirror gave"):
        fetch("cifar10", server("good"))
    file = published.File(name, len(evil), published.hashlib.sha256(evil).hexdigest())
    monkeypatch.setitem(published.OFFICIAL, "cifar10", published.OFFICIAL["cifar10"]._replace(files=(file,)))
    fetch("cifar10", server("good"))
    with pytest.raises(ToydiffError, match="leads out of its folder"):
        CIFAR10().fixed()
    assert not list(tmp_path.rglob("escaped"))


def test_a_damaged_file_is_replaced_and_the_others_are_left(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    fetch("mnist", server("good"))
    (broken := tmp_path / "here" / "mnist" / IMAGES).write_bytes(b"\x1f\x8b half of it")
    assert published.faults("mnist")[IMAGES]
    server.asked.clear()
    fetch("mnist", server("good"))
    assert server.asked == [("good", IMAGES)] and broken.stat().st_size == published.OFFICIAL["mnist"].files[0].size


def test_killed_half_way_leaves_nothing_that_counts(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    mirror, size = server("slow"), published.OFFICIAL["mnist"].files[0].size
    code = (
        "from toydiff import download, published\n"
        f"file = published.File({IMAGES!r}, {size}, 'x')\n"
        f"published.OFFICIAL['mnist'] = published.Published((file,), ({mirror!r},), 1, 1)\n"
        "print('begun', flush=True)\n"
        "download.fetch('mnist', note=print, warn=print, progress=lambda *_: print('some', flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert next(line for line in lines if "some" in line)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert not list((tmp_path / "here").rglob("*"))
    assert fetch("mnist", server("good")) == []


def test_from_a_folder(server: Server, fetch: Fetch, official: Path, tmp_path: Path) -> None:
    fetch("mnist", source=official / "mnist")
    assert not any(published.faults("mnist").values()) and server.asked == []
    with pytest.raises(ToydiffError, match=r"train-images-idx3-ubyte.gz is a file of mnist"):
        fetch("fashion", source=official / "mnist")
    with pytest.raises(ToydiffError, match=r"does not hold train-images.*, t10k-labels"):
        fetch("fashion", source=tmp_path)
    (tmp_path / IMAGES.removesuffix(".gz")).touch()
    with pytest.raises(ToydiffError) as error:
        fetch("fashion", source=tmp_path)
    assert "is there unpacked" in error.value.hint
    (tmp_path / "cifar-10-python.tar.gz").touch()
    with pytest.raises(ToydiffError) as error:
        fetch("cifar10", "https://a/", source=tmp_path)
    assert "is a pickle, which is never read: get the binary version from https://a/" in error.value.hint
    with pytest.raises(ToydiffError, match="there is no folder"):
        fetch("fashion", source=tmp_path / "none")


def test_offline_touches_nothing(server: Server, fetch: Fetch, official: Path) -> None:
    with pytest.raises(ToydiffError, match=r"`mnist` is not ready: .*mnist lacks train-images") as error:
        fetch("mnist", server("good"), offline=True)
    assert server("good") in error.value.hint and server.asked == []
    fetch("mnist", source=official / "mnist", offline=True)
    fetch("mnist", server("good"), offline=True)
    assert server.asked == []


def test_the_folder_of_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOYDIFF_DATA", str(tmp_path))
    assert published.folder_of("mnist") == tmp_path / "mnist"
    monkeypatch.delenv("TOYDIFF_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform == "linux":
        assert published.data_dir() == tmp_path / "cache" / "toydiff"
    monkeypatch.setattr("pooch.os_cache", lambda name: Path("~/.cache") / name)  # what it says where there is no home
    with pytest.raises(ToydiffError) as error:
        published.data_dir()
    assert "no home folder" in error.value.message and "TOYDIFF_DATA" in error.value.hint
