"""How commands talk: results on stdout; progress, notes and warnings on stderr; a log file if asked for."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from toydiff.errors import ToydiffError
from toydiff.files import check_writable, shown

if TYPE_CHECKING:
    from toydiff.cli.progress import Progress


class Talk:
    """What a command says, at the level asked for: `quiet` keeps to warnings and results, `verbose` adds details.

    One of several processes that do the same is `silent`.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        log_file: Path | None = None,
        json: bool = False,
        silent: bool = False,
        preview: bool = False,
    ) -> None:
        self.quiet, self.verbose, self.json, self.silent = quiet or silent, verbose, json, silent
        self.preview = preview and not silent
        """Whether training shows its pictures in the terminal as well."""
        self.live: Progress | None = None
        """What redraws itself at the bottom of the terminal, if something does."""
        log_file = None if silent else log_file
        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._log = log_file
        if log_file is not None:
            check_writable(log_file)

    @property
    def animated(self) -> bool:
        """Whether there is a terminal to draw on again and again."""
        return self.console.is_terminal and not self.console.is_dumb_terminal and not self.quiet

    def note(self, text: str) -> None:
        """Say what happens."""
        self._say("info", text, not self.quiet)

    def detail(self, text: str) -> None:
        """Say more, with -v."""
        self._say("debug", text, self.verbose)

    def warn(self, text: str) -> None:
        """Say what the user should know even with -q."""
        self._say("warning", text, True)

    def result(self, text: str, data: Any = None) -> None:
        """Print a result on stdout: `text`, or with --json the document `data`."""
        if (self.json or text) and not self.silent:
            try:
                print(json.dumps(data, ensure_ascii=False) if self.json else text, flush=True)
            except BrokenPipeError:
                raise
            except OSError as error:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails again at its end
                raise ToydiffError(
                    f"cannot print the result: {(error.strerror or str(error)).lower()}", "Where does stdout go?"
                ) from error
        self.log("result", text)

    def show(self, picture: Text) -> None:
        """Print a picture on stderr, with -q too: it was asked for; or above what is live, in place of the last one."""
        if self.live is not None:
            self.live.show(picture)
        elif not self.silent:
            self.console.print(picture, end="")

    def _say(self, level: str, text: str, visible: bool) -> None:
        if visible and not self.silent:
            warning = level == "warning"
            self.console.print(f"warning: {text}" if warning else text, style="yellow" if warning else None)
        self.log(level, text)  # the log has it all, whatever the terminal shows

    def log(self, level: str, text: str) -> None:
        """Append to the log file: JSON lines if it is called so, else plain lines."""
        if self._log is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        as_json = self._log.suffix in (".jsonl", ".json")
        line = json.dumps({"time": now, "level": level, "message": text}) if as_json else f"{now} {level:7} {text}"
        try:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise ToydiffError(
                f"cannot write the log {shown(self._log)}: {error.strerror}", "Choose another --log-file."
            ) from error


def report(error: ToydiffError, log_file: Path | None = None) -> None:
    """Print an error and what to do about it on stderr, and in the log file, if it is not the one at fault."""
    where = f" on rank {error.rank}" if error.rank else ""
    print(f"error{where}: {shown_lines(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"  {shown_lines(error.hint)}", file=sys.stderr)
    with suppress(ToydiffError):
        Talk(log_file=log_file).log("error", shown_lines(error.message))


def shown_lines(text: str) -> str:
    """Return text from outside without control characters, keeping its lines."""
    return "\n".join(shown(line) for line in text.splitlines())
