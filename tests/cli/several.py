"""Several ranks on this machine, forked from one process that has imported torch, and faults planted in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

PROGRAM = """
import json, os, sys, time, traceback
from pathlib import Path

import torch
import torch._dynamo  # what optimizers import at their first step
import torch.distributed as dist
from toydiff.cli import app, trainer
from toydiff.viz import curves, overview, png  # what the children would each import
from toydiff.cli.preview import preview
from torch.utils.tensorboard import SummaryWriter

torch.set_num_threads(1)
store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "127.0.0.1", str(store.port)
os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"


def rank(number, job):
    os.chdir(job["cwd"])
    if job["size"] > 1:
        os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE=str(job["size"]))
    os.environ.update(job["environment"])
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = ["toydiff", *job["words"], *job["words_of"].get(str(number), [])]
    code = 99
    try:
        exec(job["fault"], {"rank": number})
        app.main()
    except SystemExit as left:
        code = left.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


for k, line in enumerate(sys.stdin):
    job = json.loads(line)
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(k)
    children = {}
    for number in range(job["size"]):
        if (process := os.fork()) == 0:
            rank(number, job)
        children[process] = number
    codes, until = {}, time.monotonic() + 60
    while children and time.monotonic() < until:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process:
            codes[children.pop(process)] = os.waitstatus_to_exitcode(status)
        elif set(children.values()) == {job["hangs"]}:
            break
        time.sleep(0.005)
    for process in children:
        os.kill(process, 9)
        os.waitpid(process, 0)
    print(json.dumps([codes.get(number, -9) for number in range(job["size"])]), flush=True)
"""

AT_STEP = """
from toydiff.cli.trainer import Trainer
plain = Trainer._agree
def agree(self):
    at(self.at)
    plain(self)
Trainer._agree = agree
"""
"""Calls `at(step)` after every step of a trainer."""


class Done(NamedTuple):
    """The exit codes of all ranks, and what each said."""

    codes: list[int]
    out: list[str]
    err: list[str]


class Several:
    """`several("train", …, size=2, cwd=folder)` → `Done`; `fault` is run first in each rank, and knows its `rank`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self,
        *words: str,
        size: int,
        cwd: Path,
        fault: str = "",
        hangs: int | None = None,
        words_of: dict[str, list[str]] | None = None,
        **environment: str,
    ) -> Done:
        cwd.mkdir(exist_ok=True)
        job: dict[str, Any] = {"words": words, "size": size, "cwd": str(cwd), "fault": fault, "hangs": hangs}
        job |= {"words_of": words_of or {}, "environment": {"TOYDIFF_RUNS": "runs", **environment}}
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        codes = json.loads(self.process.stdout.readline())
        said = [[(cwd / f"{rank}.{name}").read_text() for rank in range(size)] for name in ("out", "err")]
        return Done(codes, *said)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)
        assert self.process.stdout
        self.process.stdout.close()


def files_of(run: Path) -> dict[str, bytes]:
    """Return the files of a run by name, without those that tell the time."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != "timing.jsonl" and "tensorboard" not in path.parts
    }


def torchrun(*words: str, cwd: Path, size: int, fault: Path) -> subprocess.CompletedProcess[str]:
    """Run toydiff under the true torchrun, by way of the program `fault`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    command += ["--max-restarts", "3", str(fault), *words]
    environment = {**os.environ, "TOYDIFF_RUNS": "runs"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
