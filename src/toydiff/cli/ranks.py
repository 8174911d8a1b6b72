"""One process of several that torchrun started: which one, with what share of each batch, on which device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from toydiff.cli.options import choose_device, parse_time
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.files import shown

if TYPE_CHECKING:
    from toydiff.config import Run
    from toydiff.dist import World

VARIABLES = ("RANK", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT = "10m"
"""How long a rank waits for another: rank 0 also validates, draws and saves meanwhile."""


class Place(NamedTuple):
    """The rank of this process, and how many there are."""

    rank: int = 0
    size: int = 1

    def check(self, run: Run) -> None:
        """Raise ConfigurationError unless every batch of the run can be shared out evenly, part by part."""
        batch, parts = run.training.batch_size, run.training.accumulate
        if batch % self.size:
            near = {batch // self.size * self.size, -(-batch // self.size) * self.size} - {0}
            nearest = min(near, key=lambda size: abs(size - batch))
            raise ConfigurationError(
                f"batches of {batch:,} cannot be shared out among {self.size} ranks",
                f"The nearest size that can: --batch-size {nearest}",
            )
        if parts > (share := batch // self.size):
            raise ConfigurationError(
                f"accumulate ({parts}) is larger than the {share} data of a batch that each of {self.size} ranks has",
                f"Take {share} parts or fewer: --accumulate {share}",
            )

    def device(self, name: str | None) -> str:
        """Return the device asked for, of the GPUs of this machine one for each of its processes."""
        if self.size == 1:
            return choose_device(name)
        import torch

        there = torch.cuda.device_count()
        if name == "cpu" or (name is None and not there):
            return "cpu"
        if name not in (None, "cuda") or not there:
            choose_device(name)  # which refuses what there is not
            raise ConfigurationError(
                f"--device {shown(name)} is one device, for {self.size} ranks",
                "Leave it out or give cuda: each process takes a GPU of its own. Or give cpu.",
            )
        local = _number("LOCAL_RANK", 0)
        if (here := _number("LOCAL_WORLD_SIZE", local + 1)) > there:
            raise ConfigurationError(
                f"{here} processes on this machine, and {there} GPU{'s' * (there > 1)}",
                f"Start as many as there are GPUs: torchrun --nproc-per-node {there}; or give --device cpu.",
            )
        return f"cuda:{local}"

    def joined(self, device: str) -> AbstractContextManager[World]:
        """Join the others; ToydiffError if they cannot be reached within TOYDIFF_DIST_TIMEOUT."""
        from toydiff.dist import joined

        seconds = parse_time(os.environ.get("TOYDIFF_DIST_TIMEOUT", TIMEOUT), "TOYDIFF_DIST_TIMEOUT=")
        assert seconds is not None
        return joined(self.rank, self.size, device, seconds)


class Records:
    """What rank 0 keeps for all ranks: the others hear at the next `agree` what has gone wrong with it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._error: ToydiffError | None = None

    def keep(self, record: Callable[..., None], *about: Any) -> None:
        """Let rank 0 do something that may fail; alone, it fails at once."""
        if self.world.rank or self._error:
            return
        try:
            record(*about)
        except ToydiffError as error:
            if self.world.size == 1:
                raise
            self._error = error

    @contextmanager
    def while_in(self, place: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Run the block on all ranks while rank 0 is in a place that it may not be let into."""
        with ExitStack() as stack:
            with self.world.together():
                if self.world.rank == 0:
                    stack.enter_context(place())
            yield

    def agree(self, *numbers: int) -> tuple[int, ...]:
        """Return the largest of each number over all ranks; raise on all of them what has gone wrong in the records."""
        *largest, failed = self.world.agree(*numbers, self._error is not None)
        if failed:
            self.world.settle(self._error)
        return tuple(largest)


def place() -> Place:
    """Return which process of how many this is, of the environment that torchrun sets; ConfigurationError if torn."""
    if (size := _number("WORLD_SIZE", 1)) == 1:
        return Place()
    if missing := [name for name in VARIABLES if not os.environ.get(name)]:
        raise ConfigurationError(
            f"WORLD_SIZE is {size}, and {' and '.join(missing)} {'are' if missing[1:] else 'is'} not set",
            f"torchrun sets all of them: torchrun --nproc-per-node {size} --no-python toydiff train …; "
            "or unset WORLD_SIZE.",
        )
    _number("MASTER_PORT", 0)
    if (rank := _number("RANK", 0)) >= size:
        raise ConfigurationError(f"RANK is {rank} and WORLD_SIZE {size}", "Ranks go from 0 to WORLD_SIZE − 1.")
    # torch's own lines about every try to connect would bury what is wrong
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    return Place(rank, size)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) < 7) or (name == "WORLD_SIZE" and int(text) == 0):
        raise ConfigurationError(
            f"{name} is `{shown(text)}`, which is no number", "torchrun sets it; unset it to train alone."
        )
    return int(text)
