"""An output is there whole or not at all; an input is an ordinary file; every failure says what to do."""

from __future__ import annotations

import errno
import io
import os
import resource
import shlex
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toydiff import files
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import atomic_write, check_writable, refuse_existing, shown, write_text


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def says(error: ToydiffError, *pieces: str) -> None:
    assert error.message.isprintable() and error.hint
    for piece in pieces:
        assert piece in error.message, error.message


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_old_file_stands_until_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        (temporary,) = set(os.listdir(tmp_path)) - {"a.bin"}
        assert temporary.startswith(f".toydiff-{os.getpid()}-") and temporary.endswith(".tmp")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.bin"]


def test_the_file_can_be_sought_and_read_as_a_zip_needs(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.zip") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", "y")
    assert zipfile.ZipFile(tmp_path / "a.zip").read("x") == b"y"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, GeneratorExit])
@pytest.mark.parametrize("exists", [False, True])
def test_an_exception_leaves_everything_as_it_was(tmp_path: Path, error: type[BaseException], exists: bool) -> None:
    path = tmp_path / "a.bin"
    if exists:
        path.write_bytes(b"old")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"x" * 100_000)
        raise error
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_errors_of_the_block_that_are_not_the_outputs_pass_through(tmp_path: Path) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "no", "input.txt"), BrokenPipeError(errno.EPIPE, "pipe")):
        with pytest.raises(type(error)) as caught, atomic_write(tmp_path / "a"):
            raise error
        assert caught.value is error
    assert os.listdir(tmp_path) == []


def test_synced_before_it_is_renamed_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(descriptor: int) -> None:
        calls.append(
            "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"{os.fstat(descriptor).st_size} bytes"
        )
        fsync(descriptor)

    def traced_replace(a: Any, b: Any) -> None:
        calls.append("rename")
        replace(a, b)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    write_text(tmp_path / "a", "äx")
    assert calls == ["3 bytes", "rename", "folder"]
    assert (tmp_path / "a").read_bytes() == "äx".encode()


def test_permissions_are_those_of_an_ordinary_open(tmp_path: Path, umask: None) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_text(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "atomic").chmod(0o600)
    write_text(tmp_path / "atomic", "again")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == 0o600


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/a.txt")
    write_text(tmp_path / "link", "through")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "a.txt").read_text() == "through"


def test_a_relative_path_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_writable("a.txt")
    write_text("a.txt", "here")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    texts = [str(i) * 50_000 for i in range(8)]
    threads = [threading.Thread(target=write_text, args=(tmp_path / "a", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_text() in texts and os.listdir(tmp_path) == ["a"]


def test_killed_while_writing(tmp_path: Path) -> None:
    """SIGKILL leaves the old file and at most a temporary that tells whose it was."""
    path = tmp_path / "a"
    path.write_text("old")
    program = (
        "import sys, time\nfrom toydiff.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'x' * 10**6)\n    print('writing', flush=True)\n    time.sleep(60)\n"
    )
    source = str(Path(files.__file__).parents[1])
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": source}
    )
    assert child.stdout is not None and child.stdout.readline() == b"writing\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert path.read_text() == "old"
    assert [name.split("-")[1] for name in os.listdir(tmp_path) if name != "a"] == [str(child.pid)]


def test_the_disk_limits(tmp_path: Path) -> None:
    """A real refusal by the system, not a pretended one: no file may grow beyond 64 kB."""
    (tmp_path / "a").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    try:
        with pytest.raises(ToydiffError) as caught:
            write_text(tmp_path / "a", "x" * 100_000)
        with pytest.raises(ToydiffError), atomic_write(tmp_path / "a") as file:
            file.write(b"x" * 70_000)
            file.write(b"x" * 70_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    says(caught.value, f"cannot write {tmp_path / 'a'}", "larger than the system allows")
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's /dev/full is a disk without space")
@pytest.mark.parametrize("size", [10, 10**6])  # noticed when flushed; noticed when written
def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    (tmp_path / "a").write_text("old")

    def onto_a_full_disk(name: str, mode: str) -> Any:
        open(name, "xb").close()
        return io.BufferedRandom(io.FileIO("/dev/full", "r+"))

    monkeypatch.setattr(files, "open", onto_a_full_disk, raising=False)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    with pytest.raises(ToydiffError) as caught:
        write_text(tmp_path / "a", "x" * size)
    says(caught.value, "no space left", "B free in", str(tmp_path))
    assert "Free some space" in caught.value.hint and caught.value.exit_code == 1
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


CANNOT = {
    "missing/a": "folder {}/missing does not exist",
    "file/a": "not a folder",
    "folder": "folder",
    "loop/a": "symbolic link",
    "x" * 300: "name is too long",
}


@pytest.mark.parametrize("attempt", [check_writable, lambda path: write_text(path, "x")])
@pytest.mark.parametrize("name", CANNOT)
def test_outputs_that_cannot_be(tmp_path: Path, name: str, attempt: Any) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ToydiffError) as caught:
        attempt(tmp_path / name)
    says(caught.value, f"cannot write {tmp_path / name}", CANNOT[name].format(tmp_path))
    assert caught.value.exit_code == 1 and sorted(os.listdir(tmp_path)) == before


def test_special_files_are_no_outputs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/null"), "a device"), (tmp_path, "a folder")):
        with pytest.raises(ToydiffError) as caught:
            check_writable(path)
        says(caught.value, kind)


def test_a_folder_without_permission(tmp_path: Path) -> None:
    """Permission bits do not bind root, a file system that refuses does: /proc is one."""
    folder = tmp_path / "closed"
    if os.geteuid() != 0:
        folder.mkdir(mode=0o500)
    elif os.path.isdir("/proc/self"):
        folder = Path("/proc/self")
    else:
        pytest.skip("root on a system without /proc")
    for attempt in (check_writable, lambda path: write_text(path, "x")):
        with pytest.raises(ToydiffError) as caught:
            attempt(folder / "a")
        says(caught.value, f"cannot write {folder / 'a'}")


def test_a_missing_folder_is_told_from_one_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint for the first can be pasted into a shell; the second, /proc for one, answers "no such file" as well."""
    with pytest.raises(ToydiffError) as caught:
        check_writable(tmp_path / "a b; c" / "x")
    assert shlex.split(caught.value.hint.partition(": ")[2]) == ["mkdir", "-p", str(tmp_path / "a b; c")]

    def refuse(name: str, mode: str) -> Any:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(ToydiffError) as caught:
        check_writable(tmp_path / "x")
    says(caught.value, f"no file can be made in {tmp_path}")
    assert "mkdir" not in caught.value.hint


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.EROFS, "read-only"), (errno.EACCES, "permission denied"), (errno.ENOSPC, "no space")]
)
def test_refusals_of_the_system_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refuse(name: str, mode: str) -> Any:
        raise OSError(number, os.strerror(number), name)

    monkeypatch.setattr(files, "open", refuse, raising=False)
    for attempt in (check_writable, lambda path: write_text(path, "x")):
        with pytest.raises(ToydiffError, match=reason):
            attempt(tmp_path / "a")


def test_checking_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    check_writable(tmp_path / "old")
    check_writable(tmp_path / "new")
    assert os.listdir(tmp_path) == ["old"] and (tmp_path / "old").read_text() == "old"


def test_nothing_is_overwritten_silently(tmp_path: Path) -> None:
    refuse_existing(tmp_path / "new")
    (tmp_path / "old").write_text("old")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("old", "dangling", "."):
        with pytest.raises(ConfigurationError, match="exists; nothing is overwritten silently") as caught:
            refuse_existing(tmp_path / name)
        assert caught.value.exit_code == 2 and "-o" in caught.value.hint


def test_names_are_shown_on_one_line() -> None:
    assert shown("a\nb\x1b[31m\x00") == "a\\nb\\x1b[31m\\x00"
    assert shown(Path("übung 1.pt")) == "übung 1.pt"
    assert shown("\udcff\u202e") == "\\udcff\\u202e"


@pytest.mark.parametrize("attempt", [check_writable, lambda p: write_text(p, "")])
def test_a_name_no_system_takes(attempt: Any) -> None:
    with pytest.raises(ToydiffError) as caught:
        attempt("a\0b")
    says(caught.value, "a\\x00b")


def test_importing_it_does_not_import_torch() -> None:
    program = "import sys, toydiff.files; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    source = str(Path(files.__file__).parents[1])
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONPATH": source})
