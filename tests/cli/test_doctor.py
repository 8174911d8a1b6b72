"""inspect --doctor and what it says before the first step: exit 0, what is wrong first, one line each as warnings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toydiff.doctor import patient

from .conftest import Toydiff

CHECKS = {
    "data", "start", "β clip", "target", "sampler", "steps", "weight", "average", "learning rate", "levels", "units",
    "spread", "memorisation", "time",
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "POINTS", 200)


def document(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_run_is_examined_and_a_diagnosis_is_no_failure(toydiff: Toydiff, with_run: Path) -> None:
    made = document(toydiff("inspect", "tiny", "--doctor", "--json").stdout)
    findings = {finding["name"]: finding for finding in made["findings"]}
    assert findings.keys() == CHECKS and sum(made["counts"].values()) == len(CHECKS)
    assert findings["levels"]["verdict"] == "problem"  # 30 steps are no training
    for finding in made["findings"]:
        assert finding["words"] and bool(finding["fix"]) == (finding["verdict"] in ("warning", "problem"))
    order = [finding["verdict"] for finding in made["findings"]]
    assert order == sorted(order, key=["problem", "warning", "ok", "not applicable"].index)


def test_a_small_checkpoint_is_examined_without_raw_weights(toydiff: Toydiff, with_run: Path) -> None:
    toydiff("inspect", "tiny", "--export", "small.pt")
    findings = {
        each["name"]: each for each in document(toydiff("inspect", "small.pt", "--doctor", "--json").stdout)["findings"]
    }
    assert findings.keys() == CHECKS and findings["levels"]["verdict"] == "problem"


def test_a_run_with_samples_that_are_not_finite_trains_to_its_end_and_is_examined(toydiff: Toydiff, here: Path) -> None:
    words = ("--lr", "1", "--set", "training.clip=none", "--set", "training.rate={kind='constant'}")
    done = toydiff("train", "swissroll", "--name", "wild", "--steps", "60", "--runs-dir", "runs", *words)
    assert (here / "runs" / "wild" / "latest.pt").exists()
    said = " ".join(done.stderr.split())
    assert "not finite" in said and "no picture; training goes on" in said
    made = document(toydiff("inspect", "wild", "--doctor", "--json", "--runs-dir", "runs").stdout)
    findings = {finding["name"]: finding for finding in made["findings"]}
    assert findings["learning rate"]["verdict"] == findings["spread"]["verdict"] == "problem"


def test_a_preset_that_was_never_trained_is_examined_with_the_exact_denoiser(toydiff: Toydiff) -> None:
    done = toydiff("inspect", "swissroll-ddpm100-quick", "--doctor")
    assert "the exact denoiser of its data stands in the network's place" in done.stderr
    first = done.stdout.splitlines()
    assert "problem" in first[0] and first[1].startswith("✗")
    assert "ᾱ_T = 0.9; " in done.stdout and "→ " in done.stdout and "not trained yet" in done.stdout


def test_what_is_wrong_is_said_once_before_the_first_step(toydiff: Toydiff) -> None:
    done = toydiff("train", "swissroll-ddpm100-quick", "--dry-run")
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert [line.split(": ")[1] for line in warnings] == ["start", "sampler"]
    assert "warning" not in toydiff("train", "swissroll", "--dry-run").stderr
