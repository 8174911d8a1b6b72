"""Several processes that train one model together: who this one is, and what all of them agree on.

The engine is torch.distributed; torchrun starts the processes, says to each which `rank` of how many it is, and starts
all of them again when one is lost. Everything is asked of a `World`, and `ALONE` answers for a process by itself.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from toydiff.errors import Elsewhere, ToydiffError, shown

Value = TypeVar("Value")
PATIENCE = 3.0
"""Seconds that a rank which lost the others waits for them to say that they are still there."""
LOST = ("gloo", "nccl", "store", "socket", "connection", "timed out", "timeout", "process group")
"""Words of torch.distributed, most of whose failures are plain RuntimeErrors."""


@dataclass(frozen=True)
class World:
    """The processes that train together: this is `rank` of `size`, from 0 on."""

    rank: int = 0
    size: int = 1
    store: Any = None
    """What short texts are exchanged through: a server beside torchrun, or in rank 0."""
    group: Any = None
    """The group for numbers of the CPU, also where gradients go from GPU to GPU."""
    _calls: list[int] = field(default_factory=lambda: [0])

    def part(self, count: int) -> slice:
        """Return this rank's share of `count` rows, whose order does not depend on how many ranks there are."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return `module` with gradients that are the mean over all ranks; itself when alone."""
        if self.size == 1:
            return module
        device = next(module.parameters()).device
        devices = [device] if device.type == "cuda" else None
        with warnings.catch_warnings():  # its newer name is not known to every PyTorch yet
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)

    def agree(self, *numbers: int) -> tuple[int, ...]:
        """Return the largest of each number over all ranks."""
        if self.size == 1:
            return numbers
        largest = torch.tensor(numbers, dtype=torch.int64)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=self.group)
        return tuple(largest.tolist())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Fail on all ranks if the block fails on one: it raises its error there, and Elsewhere on the others."""
        if self.size == 1:
            yield
            return
        error: ToydiffError | None = None
        try:
            yield
        except ToydiffError as raised:
            error = raised
        self.settle(error)

    def settle(self, error: ToydiffError | None) -> None:
        """Raise the error of the lowest rank that has one: itself there, Elsewhere on the others."""
        rank, code = self.agree(*((self.size - self.rank, error.exit_code) if error else (0, 0)))
        if code and error is not None and rank == self.size - self.rank:
            error.rank = self.rank
            raise error
        if code:
            raise Elsewhere(code) from error

    def decide(self, choose: Callable[[], Value]) -> Value:
        """Return what rank 0 chooses, something that JSON can say: the others would look at another moment."""
        with self.together():
            chosen = choose() if self.rank == 0 else None
        said: Value = json.loads(self._exchange(json.dumps(chosen))[0]) if self.size > 1 else chosen  # type: ignore[assignment]
        return said

    def same(self, facts: dict[str, str]) -> None:
        """Raise ToydiffError, on all ranks, unless all of them have the same facts."""
        if self.size == 1:
            return
        first, *others = [json.loads(text) for text in self._exchange(json.dumps(facts))]
        for rank, theirs in enumerate(others, 1):
            if different := [name for name in first if theirs.get(name) != first[name]]:
                error = ToydiffError(
                    f"rank {rank} has not the same {' and '.join(different)} as rank 0",
                    "All machines need the same toydiff, the same command and one runs folder: --runs-dir",
                )
                return self.settle(error)

    def _exchange(self, text: str) -> list[str]:
        """Return the texts of all ranks."""
        self._calls[0] += 1
        keys = [f"toydiff/{self._calls[0]}/{rank}" for rank in range(self.size)]
        self.store.set(keys[self.rank], text)
        return [self.store.get(key).decode() for key in keys]

    @contextmanager
    def watched(self, where: Callable[[], str]) -> Iterator[None]:
        """Turn what torch.distributed raises when a rank is lost into a ToydiffError that names it."""
        if self.size == 1:
            yield
            return
        try:
            yield
        except Elsewhere:
            raise
        except ToydiffError as error:  # not agreed upon: the others will miss this rank
            error.rank = self.rank
            raise
        except RuntimeError as error:
            if not any(word in str(error).lower() for word in LOST):
                raise
            raise self._lost(where(), error) from error

    def _lost(self, where: str, error: Exception) -> ToydiffError:
        """Return an error that names the ranks which do not answer, for the lowest one that does to raise."""
        there = {self.rank}
        with suppress(Exception):  # the store may have gone with rank 0
            self.store.set(f"toydiff/there/{self.rank}", where)
            dist.destroy_process_group()  # whoever waits for this rank is told now, and not after the time-out
            until = time.monotonic() + PATIENCE
            while len(there) < self.size - 1 and time.monotonic() < until:
                time.sleep(0.05)
                there = {r for r in range(self.size) if r in there or self.store.check([f"toydiff/there/{r}"])}
        if min(there) < self.rank:
            return Elsewhere(1)
        gone = [rank for rank in range(self.size) if rank not in there]
        who = f"rank{'s' * (len(gone) > 1)} {', '.join(map(str, gone))} of {self.size}"
        late = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        lost = ToydiffError(
            f"{who} did not answer in time, {where}" if late else f"{who} ended, {where}",
            "Its own message says why, if it had the time. The same command with --resume auto goes on from the last "
            "checkpoint." + " A longer time: TOYDIFF_DIST_TIMEOUT=30m." * late,
        )
        lost.rank = self.rank
        return lost


ALONE = World()


@contextmanager
def joined(rank: int, size: int, device: str, seconds: float) -> Iterator[World]:
    """Join the processes of torchrun's environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) while the block runs.

    Gradients go over NCCL between GPUs and over Gloo otherwise; whoever waits longer than `seconds` for another gives
    up. Raises ToydiffError if the others cannot be reached.
    """
    if size == 1:
        yield ALONE
        return
    patience, cuda = timedelta(seconds=seconds), device.startswith("cuda")
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store, _, _ = next(iter(rendezvous("env://", rank, size, timeout=patience)))
        store.set_timeout(patience)
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            # torchrun's own store outlives a restart: the next attempt would find the addresses of the last one in it
            store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)  # type: ignore[attr-defined]
        if cuda:
            torch.cuda.set_device(device)
        # NCCL ends the process when it waits too long: Gloo, which only raises, comes first
        dist.init_process_group(
            "nccl" if cuda else "gloo", store=store, rank=rank, world_size=size, timeout=patience * (1 + cuda)
        )
        group = dist.new_group(backend="gloo", timeout=patience) if cuda else None
    except (RuntimeError, ValueError, OSError) as error:
        lost = ToydiffError(
            f"rank {rank} of {size} waited {seconds:g} s for the others at {shown(address)} ({_first_line(error)})",
            "Is rank 0 there, and do all have the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE? torchrun sets them.",
        )
        lost.rank = rank
        raise lost from error
    try:
        yield World(rank, size, store, group)
    finally:
        with suppress(Exception):  # destroyed already, when a rank was lost
            dist.destroy_process_group()


def without_sync(module: nn.Module) -> AbstractContextManager[None]:
    """Keep gradients to this rank while the block runs: they are summed with those of the block's successor."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def _first_line(error: Exception) -> str:
    return shown((str(error) or type(error).__name__).splitlines()[0][:120])
