"""The live board of a training run: loss, speed, time left, learning rate, gradient norm, the curve, a picture."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn, track
from rich.progress import Progress as Bar
from rich.text import Text

from toydiff.cli.talk import Talk
from toydiff.viz.sparkline import sparkline

Item = TypeVar("Item")
CURVE = 60
"""Columns of the curve of losses, at most."""


def watched(items: Iterable[Item], total: int, talk: Talk) -> Iterator[Item]:
    """Pass items on, with a bar on a terminal."""
    yield from track(items, "", total=total, console=talk.console, transient=True, disable=not talk.animated)


class Board(Bar):
    """A bar with a picture above it and a curve below."""

    picture = curve = Text(end="")

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is drawn, from top to bottom."""
        return [part for part in (self.picture, *super().get_renderables(), self.curve) if part]


class Progress:
    """A board on a terminal, a plain line at every tenth of the run otherwise, nothing when quiet."""

    def __init__(self, talk: Talk, total: int, start: int) -> None:
        self._talk, self._total, self._start, self._began = talk, total, start, time.monotonic()
        self._bar: Board | None = None
        self._losses: list[float] = []
        self._next, self._warm = start, False
        if talk.animated:
            width = min(16, max(4, talk.console.width - 72))  # the facts come first
            columns = (BarColumn(bar_width=width), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
            apart = sys.stdout.isatty()  # results that go elsewhere must not be drawn above the board
            self._bar = Board(
                *columns, TimeRemainingColumn(compact=True),
                console=talk.console, transient=True, redirect_stdout=apart, refresh_per_second=4,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=total, completed=start, facts="")

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
            self._talk.live = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
            self._talk.live = None
            self._talk.show(self._bar.picture)  # the last one stays

    def show(self, picture: Text) -> None:
        """Put a picture above the bar."""
        if self._bar:
            self._bar.picture = picture

    def update(self, step: int, loss: float, lr: float, norm: float, speed: str) -> None:
        """Show where the run is."""
        rate = (step - self._start) / max(time.monotonic() - self._began, 1e-9)
        if not self._warm:  # the first steps also loaded libraries: count from here on
            self._warm, self._start, self._began = True, step, time.monotonic()
        facts = f"loss {loss:.4f} · {speed} · lr {lr:.1e} · |g| {norm:.2f}"
        if self._bar:
            self._losses.append(loss)
            self._bar.curve = self._curve()
            self._bar.update(self._task, completed=step, facts=facts)
        elif step >= self._next or step == self._total:
            left = (self._total - step) / max(rate, 1e-9)
            self._talk.note(f"step {step:,}/{self._total:,} · {facts} · {left:,.0f} s left")
            self._next = step + max(1, self._total // 10)

    def _curve(self) -> Text:
        """Return the losses so far as a line, between the first and the last of them."""
        console, (first, *_, last) = self._talk.console, (self._losses[0], *self._losses)
        if not console.encoding.startswith("utf"):
            return Text()
        ends = f"loss {first:.3g} ", f" {last:.3g}"
        room = console.width - sum(map(len, ends))
        return Text(sparkline(self._losses, min(room, CURVE)).join(ends), no_wrap=True, overflow="crop")
