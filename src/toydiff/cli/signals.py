"""SIGINT and SIGTERM: training finishes its step and saves; everything else tidies up and leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Left(BaseException):
    """A signal has come while something was made that can be made again; no `except Exception` may swallow it."""


class Signals:
    """What arrives while training: `stop` is the first signal, a second one leaves at once.

    Where signals are `passed_on`, by torchrun, the second may be the first once more: it changes nothing.
    """

    def __init__(self, *, passed_on: bool = False) -> None:
        self.stop: int | None = None
        self._passed_on = passed_on
        self._leavable = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Note signals instead of dying of them while the block runs."""
        old = {number: signal.signal(number, self._arrived) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def agreed(self, number: int) -> None:
        """Take the signal that some rank has got, 0 for none; one that came here meanwhile waits for the next step."""
        if number:
            self.stop = number

    @contextmanager
    def leavable(self) -> Iterator[None]:
        """Let a signal, also one that has come already, end the block by raising `Left`."""
        try:
            self._leavable = True
            if self.stop is not None:
                raise Left
            yield
        finally:
            self._leavable = False

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self.stop is not None and self._passed_on:
            return
        if self.stop is not None:
            leave(number, frame)
        self.stop = number
        if self._leavable:
            raise Left


def leave(number: int, frame: FrameType | None) -> None:
    """Leave at once, through every `finally`: files half written are removed. Exit code 130 or 143."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    with suppress(OSError):  # print may be in the middle of another line
        os.write(2, b"terminated\n")
    raise SystemExit(128 + number)
