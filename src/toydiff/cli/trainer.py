"""Drives `fit` and writes down what it does: checkpoints, metrics, TensorBoard, pictures, progress."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from toydiff import checkpoint as checkpoints
from toydiff.cli.board import Board
from toydiff.cli.configure import to_toml
from toydiff.cli.keeping import best_kept, differences, identity, keep_previous, read_metrics
from toydiff.cli.memory import enough_memory
from toydiff.cli.preview import preview
from toydiff.cli.progress import Progress
from toydiff.cli.speed import Clock, foretell, rate
from toydiff.cli.talk import Talk
from toydiff.config import Run
from toydiff.environment import environment, fingerprint, settle_threads
from toydiff.errors import ToydiffError
from toydiff.files import shown, sweep, write_text
from toydiff.lock import locked
from toydiff.names import Found
from toydiff.runs import Loaded
from toydiff.training import Step, Validator, fit


class Trainer:
    """One run in one folder: `train()` goes from where it is to the end, or to a signal or the time limit."""

    def __init__(
        self, run: Run, folder: Path, *, preset: str | None, talk: Talk, device: str, resume: Path | None = None
    ):
        self.run, self.folder, self.preset, self.talk, self.device = run, folder, preset, talk, device
        self.found = identity(folder / "latest.pt")
        self.state = checkpoints.load(resume) if resume else None
        header = self.state.header if self.state else {}
        n = run.data.count or 0
        few = f"Train on fewer: --samples {n // 2}." if n > 1 else ""
        with enough_memory(lambda: (f"out of memory while drawing the data, {n:,} {run.data.word}", few)):
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
        self.stop: int | None = None
        self.over = False
        self.at, self.speed = self.start, 0.0
        """The last step that was made, and the samples a second that training has gone through."""

    def train(
        self, max_time: float | None = None, on_metrics: Callable[[dict[str, Any]], None] | None = None
    ) -> Step | None:
        """Train; return the last step, or None if there was nothing left to do. Sets `stop` to a signal's number.

        Raises ToydiffError when memory runs out, with what to change; the last checkpoint stays.
        """
        with enough_memory(self._too_large):
            return self._train(max_time, on_metrics)

    def _train(self, max_time: float | None, on_metrics: Callable[[dict[str, Any]], None] | None) -> Step | None:
        denoiser = self.run.build()
        settle_threads(sum(p.numel() for p in denoiser.parameters()), self.device)
        if self.state is not None:
            checkpoints.check_shapes(self.state.model, denoiser)
            if changed := differences(self.state.header.get("environment", {}), environment(self.device)):
                self.talk.warn(f"{changed}: the run goes on, but not bit for bit as if it had never stopped")
        denoiser.to(self.device)
        self._write_folder()
        validator = Validator(
            self.run.data,
            self.run.training,
            n=self.run.record.validation,
            seed=self.run.seed,
            device=torch.device(self.device),
        )
        record, state, step = self.run.record, self._resume_state(), None
        foretell(denoiser, self.run, self.preset, self.talk, self.start, max_time)
        self.board = Board(self.folder / "tensorboard", self.start)
        began, self.clock = time.monotonic(), Clock(self.run, self.start)
        old = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Progress(self.talk, self.run.total_steps, self.start) as progress:
                for step in fit(denoiser, self.run.data, self.run.training, seed=self.run.seed, resume=state):
                    self.window += step.loss.double()
                    self.count += 1
                    self.at = step.step
                    last = step.step == step.total
                    out_of_time = max_time is not None and time.monotonic() - began >= max_time
                    self.over = last or out_of_time or self.stop is not None
                    if step.step % record.log_every == 0 or last:
                        self._log(step, progress, began, on_metrics)
                    with self.clock.pause():
                        if step.step % record.validate_every == 0 or last:
                            self._validate(step, validator, progress, on_metrics)
                        if step.step % record.save_every == 0 or self.over or step.step in record.keep:
                            with self._attempt("latest.pt", "the next save tries again"):
                                self._save(step)
                        if step.step in record.keep:
                            with self._attempt(name := f"step-{step.step}.pt", "training goes on without it"):
                                self._save(step, name)
                        if step.step % record.sample_every == 0 or last:
                            with self._attempt(f"samples/step-{step.step}.png", "training goes on without it"):
                                self._picture(step)
                    if self.over:
                        break
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
            self.board.close()
        self.seconds = time.monotonic() - began
        for error in self.failed.values():
            raise error
        return step

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

    def _resume_state(self) -> dict[str, Any] | None:
        if (state := self.state) is None:
            return None
        return {"step": self.start, "model": state.model, "ema": state.ema, "optimizer": state.optimizer}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the run folder and keep other trainers out of it; ToydiffError if one is there, or was since."""
        self.make_folder()
        with locked(self.folder):
            if identity(self.folder / "latest.pt") != self.found:
                raise ToydiffError(
                    f"somebody else has trained in {shown(self.folder)} meanwhile", "Run the command again."
                )
            for place in (self.folder, self.folder / "samples"):
                sweep(place)
            yield

    def make_folder(self) -> None:
        """Make the run folder, if it is not there; ToydiffError if it cannot be."""
        try:
            (self.folder / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ToydiffError(
                f"cannot make the run folder {shown(self.folder)}: {(error.strerror or str(error)).lower()}",
                "Choose another with --runs-dir or TOYDIFF_RUNS.",
            ) from error

    def _write_folder(self) -> None:
        """Make the run folder with its configuration; fail before the first step if it cannot be written."""
        self.make_folder()
        write_text(self.folder / "config.toml", to_toml(self.run))
        facts = {"preset": self.preset, "name": self.folder.name, **environment(self.device)}
        write_text(self.folder / "env.json", json.dumps(facts, indent=1) + "\n")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Finish the step and save; a second signal leaves at once."""
        if self.stop is not None:
            raise KeyboardInterrupt
        self.stop = number

    def _log(
        self, step: Step, progress: Progress, began: float, on_metrics: Callable[[dict[str, Any]], None] | None
    ) -> None:
        row = {
            "step": step.step,
            "loss": float(self.window) / self.count,
            "lr": step.lr,
            "grad_norm": float(step.grad_norm),
        }
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

    def _validate(
        self, step: Step, validator: Validator, progress: Progress, on_metrics: Callable[[dict[str, Any]], None] | None
    ) -> None:
        step.guard.check()
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

    def _add(self, row: dict[str, Any], on_metrics: Callable[[dict[str, Any]], None] | None) -> None:
        self.metrics.append(row)
        if on_metrics is not None:
            on_metrics(row)

    def _save(self, step: Step, name: str = "latest.pt") -> None:
        step.guard.check()
        if name == "latest.pt":  # metrics first: a crash between the two leaves rows too many, never too few
            write_text(self.folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in self.metrics))
            write_text(self.folder / "timing.jsonl", "".join(json.dumps(row) + "\n" for row in self.timing))
            keep_previous(self.folder, self.talk.warn)
        checkpoints.save(
            self.folder / name,
            header=self._header(step),
            model=step.denoiser.state_dict(),
            ema=step.ema.state_dict(),
            optimizer=step.optimizer.state_dict(),
        )

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
            "environment": environment(self.device),
        }

    def loaded(self, denoiser: Any) -> Loaded:
        """Return a denoiser of this run, ready to sample from."""
        where = Found("checkpoint", str(self.folder / "latest.pt"), "this run")
        return Loaded(self.folder.name, where, self.run, denoiser, denoiser.shift.cpu(), float(denoiser.scale))

    def _picture(self, step: Step) -> None:
        """Draw samples of the averaged and of the raw weights, into the folder and for TensorBoard."""
        from toydiff.viz.png import save_png

        ways = {"averaged": step.ema, "raw": step.denoiser}
        pictures = preview({way: self.loaded(denoiser.eval()) for way, denoiser in ways.items()}, step.step)
        step.denoiser.train()
        path = self.folder / "samples" / f"step-{step.step}.png"
        save_png(path, next(iter(pictures.values())), {"toydiff": f"{self.folder.name}, step {step.step}"})
        self.board.pictures(step.step, pictures)

    def _too_large(self) -> tuple[str, str]:
        """Return what to say when memory has run out, and what to change."""
        training = self.run.training
        size, parts = training.batch_size, training.accumulate
        said = f"out of memory on {self.device} after step {self.at:,}, with batches of {size:,}"
        said += f" in {parts:,} parts" * (parts > 1)
        ways = [f"`--batch-size {size // 2}`"] * (size > 1)
        ways += [f"`--accumulate {2 * parts}`, which makes the same batch of smaller parts"] * (2 * parts <= size)
        what = f"Train with {' or '.join(ways)}." if ways else "Take a smaller network."
        kept = self.folder / "latest.pt"
        return said, what + (f" What is saved stays: {shown(kept)}." if kept.is_file() else "")
