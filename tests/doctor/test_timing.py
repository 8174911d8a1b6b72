"""What the doctor says of the time that a step takes."""

from __future__ import annotations

import pytest

from toydiff.config import Run
from toydiff.data import Gaussians
from toydiff.doctor import timing
from toydiff.training import Training
from toydiff.training.couplings import OT

from .conftest import RUN


def test_the_parts_of_a_step_are_timed() -> None:
    found = timing.speed(RUN, seconds=0.05)
    parts = [found.numbers[f"{part}_ms"] for part in ("data", "forward", "backward", "optimizer", "average")]
    assert min(parts) > 0 and sum(parts) == pytest.approx(found.numbers["step_ms"])
    assert found.verdict == "ok"  # 1,000 steps of this are soon done


@pytest.mark.parametrize(
    ("data", "growth", "steps", "verdict", "advice"),
    [
        (0.001, 1.1, 1_000_000, "warning", "--batch-size"),
        (0.010, 2.0, 1_000_000, "warning", "--samples"),
        (0.001, 2.0, 1_000_000, "ok", ""),
        (0.010, 1.1, 1000, "ok", ""),
    ],
)
def test_what_takes_the_time_of_a_long_run_is_said(
    data: float, growth: float, steps: int, verdict: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(run: Run, batch_size: int, seconds: float) -> dict[str, float]:
        times = 1 if batch_size == 64 else growth
        return {"data": data * times, "forward": 0.005 * times, "backward": 0.005 * times}

    monkeypatch.setattr(timing, "_timed", timed)
    found = timing.speed(RUN.model_copy(update={"training": Training(steps=steps, batch_size=64)}))
    assert found.verdict == verdict and advice in found.fix


@pytest.mark.parametrize(("n", "verdict"), [(100, "ok"), (127, "ok"), (128, "warning")])
def test_a_batch_larger_than_the_data_is_not_advised(n: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_timed", lambda *_: dict.fromkeys(("data", "forward", "backward"), 0.005))
    run = Run(data=Gaussians(n=n), training=Training(steps=1_000_000, batch_size=64))
    found = timing.speed(run)
    assert found.verdict == verdict and ("--batch-size" in found.fix) == (verdict == "warning")


def test_slow_data_are_only_blamed_for_what_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_timed", lambda *_: {"data": 0.01, "forward": 0.005, "backward": 0.005})
    long = Training(steps=1_000_000, batch_size=1024)
    fixed = RUN.model_copy(update={"training": long, "data": Gaussians(n=2000)})
    assert timing.speed(fixed).verdict == "ok"  # they are drawn once already
    for chunk, words in ((256, "training.coupling.chunk=64, or"), (8, "set training.coupling.kind=independent")):
        pairing = RUN.model_copy(update={"training": long.model_copy(update={"coupling": OT(chunk=chunk)})})
        fix = timing.speed(pairing).fix
        assert words in fix and "training.coupling.kind=independent" in fix and "--samples" not in fix
