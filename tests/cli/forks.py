"""toydiff as a program of its own, at a fork's price: one process imports torch, and each program is a child of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import toydiff

SERVER = """
import json, os, signal, sys, traceback

import torch
import torch._dynamo, torch.utils.tensorboard  # which the first network and the first optimizer import
import toydiff.cli.trainer, toydiff.cli.data, toydiff.cli.sampling, toydiff.viz.film, toydiff.viz.overview
from toydiff.cli.app import main

torch.set_num_threads(1)
for line in sys.stdin:
    asked = json.loads(line)
    if (child := os.fork()) == 0:
        code = 70
        try:
            os.chdir(asked["cwd"])
            for number, name in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
            os.environ["TOYDIFF_RUNS"] = "runs"
            sys.argv = ["toydiff", *asked["words"]]
            exec(asked["before"], {})
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """Starts programs one at a time."""

    def __init__(self, scratch: Path) -> None:
        source = str(Path(toydiff.__file__).parents[1])
        self.out, self.err = scratch / "stdout", scratch / "stderr"
        self.server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER],
            env=os.environ | {"PYTHONPATH": source},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _line(self) -> int:
        assert self.server.stdout is not None
        return int(self.server.stdout.readline())

    def __call__(
        self, *words: str, cwd: Path, before: str = "", meanwhile: Callable[[int], Any] | None = None
    ) -> tuple[int, str, str]:
        """Return (exit code, stdout, stderr) of a program; `before` is run in it, `meanwhile` here, with its number."""
        self.out.write_text("")
        self.err.write_text("")
        asked = {"words": words, "cwd": str(cwd), "out": str(self.out), "err": str(self.err), "before": before}
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        number = self._line()
        if meanwhile is not None:
            meanwhile(number)
        code = self._line()
        return code, self.out.read_text(), self.err.read_text()

    def until(self, there: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for what a program does."""
        deadline = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < deadline, self.err.read_text()
            time.sleep(0.002)

    def close(self) -> None:
        """End the server."""
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait(60)
        self.server.stdout.close()
