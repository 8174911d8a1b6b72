"""TensorBoard: losses by step, epoch and noise level, learning rate, gradient norm, pictures of samples."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toydiff.metrics.scores import Score


class Board:
    """Writes event files below `folder`; what an earlier attempt wrote after step `start` is purged."""

    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=start + 1 if start else None)

    def training(self, row: dict[str, Any]) -> None:
        """Write one row of metrics."""
        step = row["step"]
        self._scalar("loss/training", row["loss"], step)
        self._scalar("learning_rate", row["lr"], step)
        self._scalar("gradient_norm", row["grad_norm"], step)
        if "epoch" in row:
            self._scalar("loss/training_by_epoch", row["loss"], round(row["epoch"] * 1000))  # in thousandths

    def validation(self, step: int, loss: float, bins: list[tuple[float, float]]) -> None:
        """Write the validation loss, overall and for each tenth of the noise levels, cleanest first."""
        self._scalar("loss/validation", loss, step)
        for k, (_, value) in enumerate(bins):
            self._scalar(f"loss_by_noise_level/{k}_of_{len(bins)}", value, step)

    def scores(self, step: int, scores: list[Score]) -> None:
        """Write what was measured of samples, and how far from its floor it is, in sd."""
        for score in scores:
            for group, value in (("scores", score.value), ("z", score.z)):
                if value is not None:
                    self._scalar(f"{group}/{score.name}", value, step)

    def pictures(self, step: int, pictures: dict[str, Any]) -> None:
        """Write pictures."""
        from toydiff.viz.style import pixels

        for tag, picture in pictures.items():
            with suppress(OSError):
                self._writer.add_image(tag, pixels(picture), step, dataformats="HWC")

    def _scalar(self, tag: str, value: float, step: int) -> None:
        with suppress(OSError):  # a full disk costs the board its rows, not the run
            self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        """Flush and close."""
        with suppress(OSError):
            self._writer.close()
