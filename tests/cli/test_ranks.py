"""Several ranks make the run that one process makes, stop and fail together, and go on as if nothing had happened."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from toydiff import checkpoint as checkpoints

from .conftest import Toydiff
from .program import TINY
from .several import AT_STEP, Several, files_of, torchrun

# Batches with an end that is smaller (67 = 2 · 32 + 3), levels and noise that hang together across the whole batch.
RUN = (
    "train", "moons", "--name", "run", *TINY, "--samples", "67", "--steps", "20", "--set", "model.conditional=true",
    "--set", "training.stratified=true", "--set", "training.coupling.kind=ot", "--set", "record.log_every=3",
)  # fmt: skip
ON_RANK_1 = "import os, signal, time\nfrom toydiff.errors import ToydiffError\ndef at(step):\n    if rank == 1 and "
STOP_AT_7 = ON_RANK_1 + "step == 7: os.kill(os.getpid(), signal.SIGTERM)\n" + AT_STEP
NAN = """
import torch
from toydiff.denoiser import Denoiser
plain, calls = Denoiser.loss, []  # the first call is no step yet
def loss(self, *arguments):
    calls.append(1)
    return plain(self, *arguments) * (torch.nan if rank == 1 and len(calls) == 3 else 1)
Denoiser.loss = loss
"""


@pytest.fixture(scope="module")
def several() -> Iterator[Several]:
    ranks = Several()
    yield ranks
    ranks.close()


@pytest.fixture(scope="module")
def two(several: Several, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two ranks that nobody interrupted."""
    here = tmp_path_factory.mktemp("two")
    done = several(*RUN, size=2, cwd=here)
    assert done.codes == [0, 0], done.err
    assert "20 steps of 32, shared by 2 ranks" in done.err[0]
    assert done.err[1] == done.out[1] == ""  # rank 0 alone speaks
    return here / "runs" / "run"


@pytest.fixture
def halfway(several: Several, two: Path, tmp_path: Path) -> Path:
    """The same run, stopped by a signal to rank 1 at step 7."""
    done = several(*RUN, size=2, cwd=tmp_path, fault=STOP_AT_7)
    assert done.codes == [143, 143], done.err
    assert done.err[0].count("stopped by SIGTERM at step 7; saved runs/run/latest.pt") == 1
    assert done.err[1] == ""
    return tmp_path


def apart(one: Path, other: Path) -> float:
    """Return the largest difference between the weights, and averaged weights, of two runs."""
    a, b = checkpoints.load(one / "latest.pt"), checkpoints.load(other / "latest.pt")
    pairs = [(x[key], y[key]) for x, y in ((a.model, b.model), (a.ema, b.ema)) for key in x]
    return max(float((x - y).abs().max()) for x, y in pairs)


def test_two_ranks_make_what_one_process_makes_and_twice_the_same_bytes(
    several: Several, two: Path, tmp_path: Path
) -> None:
    assert several(*RUN, size=1, cwd=tmp_path / "one").codes == [0]
    assert 0 < apart(tmp_path / "one/runs/run", two) < 1e-6
    assert several(*RUN, size=2, cwd=tmp_path / "again").codes == [0, 0]
    assert files_of(tmp_path / "again/runs/run") == files_of(two)


def test_parts_of_a_batch_add_up_on_every_rank(several: Several, two: Path, tmp_path: Path) -> None:
    assert several(*RUN, "--accumulate", "4", size=2, cwd=tmp_path).codes == [0, 0]
    assert apart(tmp_path / "runs/run", two) < 1e-6


def test_stopped_and_resumed_equals_uninterrupted_on_three_ranks(several: Several, tmp_path: Path) -> None:
    """Three numbers add up differently in another order, which two do not; and an epoch ends with a batch of one."""
    words = (*RUN, "--batch-size", "33")
    assert several(*words, size=3, cwd=tmp_path / "whole").codes == [0, 0, 0]
    assert several(*words, size=3, cwd=tmp_path / "parts", fault=STOP_AT_7).codes == [143, 143, 143]
    assert several(*words, "--resume", "auto", size=3, cwd=tmp_path / "parts").codes == [0, 0, 0]
    assert files_of(tmp_path / "parts/runs/run") == files_of(tmp_path / "whole/runs/run")


def test_another_number_of_ranks_goes_on_with_the_same_data_and_says_so(
    several: Several, halfway: Path, two: Path
) -> None:
    done = several("resume", "run", size=1, cwd=halfway)
    assert done.codes == [0]
    assert "world_size 2 is now 1: the run goes on, but not bit for bit" in done.err[0]
    assert apart(halfway / "runs/run", two) < 1e-6


def test_a_nan_on_one_rank_stops_all_and_changes_no_file(several: Several, halfway: Path) -> None:
    before = files_of(halfway / "runs/run")
    done = several("resume", "run", size=2, cwd=halfway, fault=NAN)
    assert done.codes == [3, 3], done.err
    assert "error: training diverged at step 9: a number that is not finite" in done.err[0]
    assert done.err[1] == ""
    assert files_of(halfway / "runs/run") == before


def test_a_lost_rank_is_named(several: Several, tmp_path: Path) -> None:
    killed = ON_RANK_1 + "step == 4: os.kill(os.getpid(), signal.SIGKILL)\n" + AT_STEP
    done = several(*RUN, "--batch-size", "33", size=3, cwd=tmp_path / "killed", fault=killed)
    assert done.codes == [1, -9, 1]
    assert "error: rank 1 of 3 ended, after step 4" in done.err[0]
    assert done.err[2] == ""

    hangs = ON_RANK_1 + "step == 4: time.sleep(60)\n" + AT_STEP
    done = several(*RUN, size=2, cwd=tmp_path / "hung", fault=hangs, hangs=1, TOYDIFF_DIST_TIMEOUT="1s")
    assert done.codes == [1, -9]
    assert "error: rank 1 of 2 did not answer in time, after step 4" in done.err[0]


def test_what_fails_on_one_rank_is_said_once_and_ends_all(several: Several, tmp_path: Path) -> None:
    fails = ON_RANK_1 + "step == 4: raise ToydiffError('rank 1 has had enough')\n" + AT_STEP
    done = several(*RUN, size=2, cwd=tmp_path / "1", fault=fails)
    assert done.codes == [1, 1]
    assert "error on rank 1: rank 1 has had enough" in done.err[1]
    assert "error: rank 1 of 2 ended, after step 4" in done.err[0]

    records = (
        "from toydiff.cli.trainer import Trainer\ndef log(*_): raise ToydiffError('no paper')\nTrainer._log = log\n"
    )
    done = several(*RUN, size=2, cwd=tmp_path / "0", fault="from toydiff.errors import ToydiffError\n" + records)
    assert done.codes == [1, 1]
    assert "error: no paper" in done.err[0]
    assert done.err[1] == ""

    done = several(*RUN, size=2, cwd=tmp_path / "different", words_of={"1": ["--seed", "1"]})
    assert done.codes == [1, 1]
    assert "rank 1 has not the same configuration as rank 0" in done.err[0]
    assert done.err[1] == ""


def test_a_folder_in_use_stops_all_ranks(several: Several, two: Path, tmp_path: Path) -> None:
    shutil.copytree(two.parent, tmp_path / "runs")
    held = (
        "import fcntl, os\nfile = os.open('runs/run/.lock', os.O_RDWR | os.O_CREAT)\nfcntl.flock(file, fcntl.LOCK_SH)\n"
    )
    done = several("resume", "run", "--steps", "30", size=2, cwd=tmp_path, fault=held)
    assert done.codes == [1, 1]
    assert "runs/run is in use" in done.err[0]
    assert done.err[1] == ""


def test_torchrun_restarts_after_a_kill_and_passes_a_signal_on(several: Several, two: Path, tmp_path: Path) -> None:
    """SIGKILL at step 7 of the first attempt, SIGTERM to torchrun itself at step 13 of the second; then once more."""
    fault = tmp_path / "fault.py"
    fault.write_text(
        "import os, signal, time\nfrom pathlib import Path\nfrom toydiff.cli.app import main\n"
        "rank, attempt = int(os.environ['RANK']), os.environ['TORCHELASTIC_RESTART_COUNT']\n"
        "def at(step):\n"
        "    if (rank, step, attempt) == (1, 7, '0'): os.kill(os.getpid(), 9)\n"
        "    if (rank, step, attempt) == (1, 13, '1'): os.kill(os.getppid(), signal.SIGTERM)\n"
        "    if (step, attempt) == (13, '1'): time.sleep(3)  # until the signal has come\n"
        + AT_STEP
        + "try:\n    main()\nfinally:\n    import sys\n    error = sys.exc_info()[1]\n"
        "    Path('codes').open('a').write(f'{rank}:{error.code} ')\n"
    )
    words = (*RUN, "--resume", "auto", "--set", "record.save_every=5")
    done = torchrun(*words, cwd=tmp_path, size=2, fault=fault)
    assert done.returncode == 1, done.stderr  # torchrun's own, whatever the ranks say
    assert "continuing runs/run" in done.stderr
    assert done.stderr.count("stopped by SIGTERM at step") == 1
    assert sorted((tmp_path / "codes").read_text().split()[-2:]) == ["0:143", "1:143"]
    assert 13 <= checkpoints.read_header(tmp_path / "runs/run/latest.pt")["step"] < 20
    assert several(*words, size=2, cwd=tmp_path).codes == [0, 0]
    assert apart(tmp_path / "runs/run", two) == 0


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        ("--batch-size 33", {"WORLD_SIZE": "2"}, 2, "batches of 33 cannot be shared out among 2 | --batch-size 32"),
        ("--batch-size 3", {"WORLD_SIZE": "8"}, 2, "batches of 3 cannot be shared out among 8 ranks | --batch-size 8"),
        ("--accumulate 20", {"WORLD_SIZE": "2"}, 2, "larger than the 16 data | --accumulate 16"),
        ("", {"WORLD_SIZE": "2", "RANK": ""}, 2, "WORLD_SIZE is 2, and RANK is not set | torchrun"),
        ("", {"WORLD_SIZE": "2", "MASTER_ADDR": "", "MASTER_PORT": ""}, 2, "MASTER_ADDR and MASTER_PORT are not set"),
        ("", {"WORLD_SIZE": "2", "RANK": "2"}, 2, "RANK is 2 and WORLD_SIZE 2"),
        ("", {"WORLD_SIZE": "two"}, 2, "WORLD_SIZE is `two`, which is no number"),
        ("", {"WORLD_SIZE": "0"}, 2, "WORLD_SIZE is `0`"),
        ("", {"WORLD_SIZE": "2", "TOYDIFF_DIST_TIMEOUT": "soon"}, 2, "`TOYDIFF_DIST_TIMEOUT=soon` is not a time"),
        ("", {"WORLD_SIZE": "2"}, 1, "rank 1 of 2 waited 0.5 s for the others at 127.0.0.1: | MASTER_ADDR"),
        ("--device mps", {"WORLD_SIZE": "2"}, 2, "device"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(
    words: str, environment: dict[str, str], code: int, said: str, toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:  # a port of our own at which nobody listens
        nobody.bind(("127.0.0.1", 0))
        there = {"RANK": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "TOYDIFF_DIST_TIMEOUT": "0.5s"}
        for name, value in (there | {"MASTER_PORT": str(nobody.getsockname()[1])} | environment).items():
            monkeypatch.setenv(name, value)
        done = toydiff(*RUN, *words.split(), code=code)
    for part in said.split(" | "):
        assert part in done.stderr
    assert not Path("runs").exists()
    monkeypatch.setenv("LOCAL_RANK", "1")  # the others of a machine would say the same
    if code == 2:
        assert toydiff(*RUN, *words.split(), code=code).stderr == ""


def test_one_process_under_torchrun_is_a_process_by_itself(toydiff: Toydiff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert "ranks" not in toydiff(*RUN, "--dry-run").stderr
