"""The live line of a training run: loss, steps or images a second, time left, learning rate, gradient norm."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn, track
from rich.progress import Progress as Bar

from toydiff.cli.talk import Talk

Item = TypeVar("Item")


def watched(items: Iterable[Item], total: int, talk: Talk) -> Iterator[Item]:
    """Pass items on, with a bar on a terminal."""
    silent = talk.quiet or not talk.console.is_terminal
    yield from track(items, "", total=total, console=talk.console, transient=True, disable=silent)


class Progress:
    """A bar on a terminal, a plain line at every tenth of the run otherwise, nothing when quiet."""

    def __init__(self, talk: Talk, total: int, start: int) -> None:
        self._talk, self._total, self._start, self._began = talk, total, start, time.monotonic()
        self._bar: Bar | None = None
        self._next, self._warm = start, False
        if talk.console.is_terminal and not talk.quiet:
            width = min(16, max(4, talk.console.width - 72))  # the facts come first
            columns = (BarColumn(bar_width=width), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
            self._bar = Bar(*columns, TimeRemainingColumn(compact=True), console=talk.console, transient=True)
            self._task = self._bar.add_task("", total=total, completed=start, facts="")

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, step: int, loss: float, lr: float, norm: float, speed: str) -> None:
        """Show where the run is."""
        rate = (step - self._start) / max(time.monotonic() - self._began, 1e-9)
        if not self._warm:  # the first steps also loaded libraries: count from here on
            self._warm, self._start, self._began = True, step, time.monotonic()
        facts = f"loss {loss:.4f} · {speed} · lr {lr:.1e} · |g| {norm:.2f}"
        if self._bar:
            self._bar.update(self._task, completed=step, facts=facts)
        elif step >= self._next or step == self._total:
            left = (self._total - step) / max(rate, 1e-9)
            self._talk.note(f"step {step:,}/{self._total:,} · {facts} · {left:,.0f} s left")
            self._next = step + max(1, self._total // 10)
