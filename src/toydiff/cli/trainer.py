"""Drives `fit` and writes down what it does: checkpoints, metrics, TensorBoard, pictures, progress."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toydiff import checkpoint as checkpoints
from toydiff.cli.board import Board
from toydiff.cli.configure import to_toml
from toydiff.cli.following import as_row, follow, in_line
from toydiff.cli.keeping import (
    alone,
    best_kept,
    differences,
    identity,
    keep_previous,
    read_metrics,
    rotate,
    write_folder,
)
from toydiff.cli.memory import enough_memory, too_large, too_much
from toydiff.cli.preview import preview
from toydiff.cli.progress import Progress
from toydiff.cli.ranks import Records
from toydiff.cli.signals import Left, Signals
from toydiff.cli.speed import Clock, foretell, rate
from toydiff.cli.talk import Talk
from toydiff.config import Run
from toydiff.dist import ALONE, World
from toydiff.environment import environment, fingerprint, settle_threads
from toydiff.errors import SamplingDiverged, ToydiffError
from toydiff.files import write_text
from toydiff.metrics.scores import Floor
from toydiff.names import Found
from toydiff.runs import Loaded
from toydiff.training import Step, Validator, fit
from toydiff.training.optimizers import check_moments

TASKS = ("validation", "scores", "copy", "picture")
"""What may be due after a step, in this order."""


class Trainer:
    """One run in one folder: `train()` goes from where it is to the end, or to a signal or the time limit."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        *,
        preset: str | None,
        talk: Talk,
        device: str,
        resume: Path | None = None,
        world: World = ALONE,
    ):
        self.world, self.records = world, Records(world)
        self.run, self.folder, self.preset, self.talk, self.device = run, folder, preset, talk, device
        self.found = identity(folder / "latest.pt")
        self.state = checkpoints.load(resume) if resume else None
        header = self.state.header if self.state else {}
        with enough_memory(lambda: too_much(run.data)):
            self.fingerprint = fingerprint(run.data)
        if header.get("data", self.fingerprint) != self.fingerprint:
            talk.warn("the data are no longer those the run was started with: it goes on, but not bit for bit")
        self.start: int = header.get("step", 0)
        self.best = best_kept(folder, header, talk.warn)
        window = header.get("window", [0.0, 0])
        self.window: Tensor = torch.tensor(window[0], dtype=torch.float64, device=device)
        self.count: int = window[1]
        self.metrics = read_metrics(folder / "metrics.jsonl", self.start)
        self.timing = read_metrics(folder / "timing.jsonl", self.start)
        self.failed: dict[str, ToydiffError] = {}
        """What the disk would not take so far, by file."""
        self.due: list[str] = [task for task in TASKS if task in header.get("due", [])]
        """What is still to be done after the step it is at: a signal left it undone."""
        self.floors: dict[str, Floor] = {}
        self.signals = Signals(passed_on=world.size > 1)
        self.over = False
        self.at, self.speed = self.start, 0.0
        """The last step that was made, and the samples a second that training has gone through."""

    @property
    def stop(self) -> int | None:
        """The signal that has come, if any."""
        return self.signals.stop

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.at >= self.run.total_steps and not self.due

    def train(
        self, max_time: float | None = None, on_metrics: Callable[[dict[str, Any]], None] | None = None
    ) -> Step | None:
        """Train; return the last step, or None if there was nothing left to do. `stop` is a signal that ended it.

        Raises ToydiffError when memory runs out, with what to change; the last checkpoint stays.
        """
        with (
            self.world.watched(lambda: f"after step {self.at:,}"),
            enough_memory(lambda: too_large(self.run.training, self.device, self.at, self.folder / "latest.pt")),
        ):
            return self._train(max_time, on_metrics)

    def _train(self, max_time: float | None, on_metrics: Callable[[dict[str, Any]], None] | None) -> Step | None:
        denoiser = self.run.build()
        settle_threads(sum(p.numel() for p in denoiser.parameters()), self.device)
        if self.state is not None:
            for weights in (self.state.model, self.state.ema):
                checkpoints.check_shapes(weights, denoiser)
            check_moments(self.run.training.optimizer, self.state.optimizer, list(denoiser.parameters()))
            if changed := differences(self.state.header.get("environment", {}), self._environment()):
                self.talk.warn(f"{changed}: the run goes on, but not bit for bit as if it had never stopped")
        denoiser.to(self.device)
        with self.world.together():
            if self.world.rank == 0:
                facts = {"preset": self.preset, "name": self.folder.name, **self._environment()}
                write_folder(self.folder, to_toml(self.run), facts)
        run, place, step, state = self.run, torch.device(self.device), None, None
        validator = Validator(run.data, run.training, n=run.record.validation, seed=run.seed, device=place)
        if kept := self.state:
            state = {"step": self.start, "model": kept.model, "ema": kept.ema, "optimizer": kept.optimizer}
        foretell(denoiser, run, self.preset, self.talk, self.start, max_time, self.world)
        if self.world.rank == 0:
            self.board = Board(self.folder / "tensorboard", self.start)
        began, self.clock = time.monotonic(), Clock(run, self.start)
        try:
            with self.signals.caught(), Progress(self.talk, self.run.total_steps, self.start) as progress:
                how: dict[str, Any] = {"resume": state, "revisit": bool(self.due), "world": self.world}
                for step in fit(denoiser, run.data, run.training, seed=run.seed, **how):
                    if step.step > self.start:
                        self._count(step, progress, began, on_metrics)
                    with self.clock.pause():
                        out_of_time = max_time is not None and time.monotonic() - began >= max_time
                        self.over = step.step == step.total or out_of_time or self.stop is not None
                        self.records.keep(self._do_what_is_due, step, validator, on_metrics)
                        self._agree()
                        if step.step % run.record.save_every == 0 or self.over or run.record.keeps(step.step):
                            self.records.keep(self._save_latest, step)
                    if self.over:
                        break
                self._agree()  # nobody leaves before all is saved: torchrun ends everybody when one has ended
        finally:
            if self.world.rank == 0:
                self.board.close()
        self.seconds = time.monotonic() - began
        for error in self.failed.values():
            raise error
        return step

    def _count(
        self, step: Step, progress: Progress, began: float, on_metrics: Callable[[dict[str, Any]], None] | None
    ) -> None:
        """Note what the step has done, and what is to be done after it."""
        record, last = self.run.record, step.step == step.total
        self.window += step.loss.double()
        self.count += 1
        self.at = step.step
        if step.step % record.log_every == 0 or last:
            self.records.keep(self._log, step, progress, began, on_metrics)
        validate, picture = (step.step % every == 0 or last for every in (record.validate_every, record.sample_every))
        score = record.evaluate_every is not None and (step.step % record.evaluate_every == 0 or last)
        self.due = list(compress(TASKS, (validate, score, record.keeps(step.step), picture)))

    def _do_what_is_due(
        self, step: Step, validator: Validator, on_metrics: Callable[[dict[str, Any]], None] | None
    ) -> None:
        """Validate, measure, keep a copy, draw; a signal ends it, and what is left is done when the run goes on."""
        validate = partial(self._validate, validator=validator, on_metrics=on_metrics)
        score = partial(self._score, on_metrics=on_metrics)
        does: tuple[Callable[[Step], None], ...] = (validate, score, self._copy, self._picture)
        tasks = dict(zip(TASKS, does, strict=True))
        with suppress(Left):
            while self.due:
                try:
                    tasks[self.due[0]](step)
                except SamplingDiverged as error:
                    self.talk.warn(f"{error.message}, after step {step.step:,}: no {self.due[0]}; training goes on")
                    step.denoiser.train()
                del self.due[0]

    def _agree(self) -> None:
        """End all ranks after this step if one of them ends."""
        stop, over, left = self.records.agree(self.stop or 0, self.over, 0 if self.world.rank else len(self.due))
        self.over = bool(over or stop)
        self.signals.agreed(stop)
        self.due = self.due[len(self.due) - left :]

    @contextmanager
    def _attempt(self, name: str, otherwise: str) -> Iterator[None]:
        """Write a file: a disk that fails is no reason to lose the run, only to warn, and to fail when it is over.

        Raises ToydiffError for whatever is not the disk's fault.
        """
        try:
            yield
        except ToydiffError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            self.failed[name] = error
            if not self.over:
                self.talk.warn(f"{error.message}; {otherwise}")
        else:
            self.failed.pop(name, None)

    def alone(self) -> AbstractContextManager[None]:
        """Make the run folder and keep other trainers out of it; ToydiffError if one is there, or was since."""
        return self.records.while_in(lambda: alone(self.folder, self.found))

    def _log(
        self, step: Step, progress: Progress, began: float, on_metrics: Callable[[dict[str, Any]], None] | None
    ) -> None:
        loss = float(self.window) / self.count
        row = {"step": step.step, "loss": loss, "lr": step.lr, "grad_norm": float(step.grad_norm)}
        if step.epoch is not None:
            row["epoch"] = step.epoch
        self.window.zero_()
        self.count = 0
        self._add(row, on_metrics)
        steps, self.speed = self.clock.rates(step.step)
        seconds = round(time.monotonic() - began, 3)  # of this attempt
        self.timing.append({"step": step.step, "seconds": seconds, "samples_per_second": round(self.speed, 1)})
        speed = rate(self.speed, "images") if self.run.data.pictorial else rate(steps, "it")
        progress.update(step.step, row["loss"], step.lr, row["grad_norm"], speed)
        self.board.training(row)

    def _validate(self, step: Step, validator: Validator, on_metrics: Callable[[dict[str, Any]], None] | None) -> None:
        step.guard.check()
        with self.signals.leavable():
            loss, bins = validator(step.ema, batch_size=min(2048, self.loaded(step.ema).at_once))
        self._add({"step": step.step, "validation": loss, "by_log_snr": bins}, on_metrics)
        self.board.validation(step.step, loss, bins)
        self.talk.detail(f"step {step.step:,}: validation loss {loss:.5f}")
        if self.best is None or loss < self.best["loss"]:
            before, self.best = self.best, {"step": step.step, "loss": loss}
            with self._attempt("best.pt", "training goes on with the best before it"):
                self._save(step, "best.pt")
            if "best.pt" in self.failed:
                self.best = before

    def _score(self, step: Step, on_metrics: Callable[[dict[str, Any]], None] | None) -> None:
        """Measure samples of the averaged weights against held-out data, the same noise and data every time."""
        with self.signals.leavable():
            scores = follow(self.loaded(step.ema), self.floors, self.talk)
        self._add({"step": step.step, **as_row(scores)}, on_metrics)
        self.board.scores(step.step, scores)
        self.talk.note(f"step {step.step:,}: {in_line(scores)}")

    def _add(self, row: dict[str, Any], on_metrics: Callable[[dict[str, Any]], None] | None) -> None:
        self.metrics.append(row)
        if on_metrics is not None:
            on_metrics(row)

    def _save_latest(self, step: Step) -> None:
        with self._attempt("latest.pt", "the next save tries again"):
            self._save(step)

    def _save(self, step: Step, name: str = "latest.pt") -> None:
        step.guard.check()
        if name == "latest.pt":  # metrics first: a crash between the two leaves rows too many, never too few
            write_text(self.folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in self.metrics))
            write_text(self.folder / "timing.jsonl", "".join(json.dumps(row) + "\n" for row in self.timing))
            keep_previous(self.folder, self.talk.warn)
        header = self._header(step) | ({"due": self.due} if self.due and name == "latest.pt" else {})
        parts: dict[str, Any] = {"model": step.denoiser, "ema": step.ema, "optimizer": step.optimizer}
        checkpoints.save(self.folder / name, header=header, **{key: part.state_dict() for key, part in parts.items()})

    def _header(self, step: Step) -> dict[str, Any]:
        return {
            "name": self.folder.name,
            "preset": self.preset,
            "config": self.run.model_dump(mode="json"),
            "step": step.step,
            "total": step.total,
            "best": self.best,
            "window": [float(self.window), self.count],
            "data": self.fingerprint,
            "environment": self._environment(),
        }

    def _environment(self) -> dict[str, Any]:
        return environment(self.device, self.world.size)

    def loaded(self, denoiser: Any) -> Loaded:
        """Return a denoiser of this run, ready to sample from."""
        where = Found("checkpoint", str(self.folder / "latest.pt"), "this run")
        return Loaded(self.folder.name, where, self.run, denoiser, denoiser.shift.cpu(), float(denoiser.scale))

    def _copy(self, step: Step) -> None:
        """Save a copy that stays, and remove those that `record.keep_last` does not want any more."""
        with self._attempt(name := f"step-{step.step}.pt", "training goes on without it"):
            self._save(step, name)
            rotate(self.folder, self.run.record)

    def _picture(self, step: Step) -> None:
        """Draw samples of the averaged and of the raw weights, into the folder and for TensorBoard."""
        from toydiff.viz.png import save_png

        ways = {"averaged": self.loaded(step.ema.eval()), "raw": self.loaded(step.denoiser.eval())}
        with self.signals.leavable():
            pictures = preview(ways, step.step, self.talk)
        step.denoiser.train()
        name = f"samples/step-{step.step}.png"
        with self._attempt(name, "training goes on without it"):
            text = {"toydiff": f"{self.folder.name}, step {step.step}"}
            save_png(self.folder / name, next(iter(pictures.values())), text)
            self.board.pictures(step.step, pictures)
