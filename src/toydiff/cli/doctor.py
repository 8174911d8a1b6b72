"""inspect --doctor: what is wrong with a model, check by check; and the same before the first step, as warnings."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.errors import ToydiffError
from toydiff.names import Found

if TYPE_CHECKING:
    from toydiff.config import Run
    from toydiff.doctor import Finding, Patient

SIGNS = {"problem": "✗", "warning": "!", "ok": "✓", "not applicable": "–"}
"""In the order in which they are shown: what is wrong comes first."""


def warn_of_what_is_wrong(run: Run, talk: Talk) -> None:
    """Warn, a line each, of what the configuration alone shows to be wrong."""
    from toydiff.doctor import foresee

    for finding in foresee(run):
        if finding.wrong:
            talk.warn(f"{finding.name}: {finding.words}. {finding.fix}")


def examine(found: Found, talk: Talk) -> None:
    """Examine a trained model: the averaged weights, beside the raw ones and the metrics of its run."""
    from toydiff.cli.keeping import read_metrics
    from toydiff.denoiser import Denoiser
    from toydiff.doctor import Patient
    from toydiff.runs import load

    model, raw = load(found, warn=talk.warn), None
    with suppress(ToydiffError):  # a small checkpoint holds the averaged weights alone
        raw = load(found, weights="raw", warn=lambda text: None).denoiser
    assert raw is None or isinstance(raw, Denoiser)
    rows = read_metrics(Path(model.found.value).with_name("metrics.jsonl"), int(model.header.get("total", 0)))
    _tell(Patient(model, raw, rows), model.name, talk)


def examine_untrained(preset: str, run: Run, talk: Talk) -> None:
    """Examine a preset that has not been trained, with the exact denoiser in the network's place, if there is one."""
    from toydiff.doctor import untrained

    patient = untrained(preset, run)
    if patient.absent:
        talk.note("there is no network, and no exact denoiser in its place: samples are not judged")
    else:
        talk.note("the exact denoiser of its data stands in the network's place: what it does wrong, training cannot")
    _tell(patient, preset, talk)


def _tell(patient: Patient, name: str, talk: Talk) -> None:
    """Make every check, saying which one, and print what was found: what is wrong first, with what to change."""
    from toydiff.doctor import examine

    patient.run.data.check()
    began, findings = time.monotonic(), []
    for finding in examine(patient):
        talk.detail(f"{finding.name}: {finding.verdict}")
        findings.append(finding)
    seconds = time.monotonic() - began
    counts = {verdict: sum(f.verdict == verdict for f in findings) for verdict in SIGNS}
    findings.sort(key=lambda finding: list(SIGNS).index(finding.verdict))
    rows = [(f"{SIGNS[f.verdict]} {f.name}", _words(f)) for f in findings]
    problems, warnings = counts["problem"], counts["warning"]
    said = f"{problems} problem{'s' * (problems != 1)}, {warnings} warning{'s' * (warnings != 1)}, {counts['ok']} fine"
    summary = said if problems or warnings else f"nothing wrong in {counts['ok']} checks"
    document = {
        "name": name,
        "counts": counts,
        "findings": [{**finding._asdict(), "numbers": _plain(finding.numbers)} for finding in findings],
        "seconds": round(seconds, 2),
    }
    talk.result(table((name, f"{summary}, in {seconds:.0f} s"), rows), document)


def _plain(numbers: dict[str, float]) -> dict[str, float | None]:
    """Return numbers that JSON has: null for what is not finite."""
    return {key: value if math.isfinite(value) else None for key, value in numbers.items()}


def _words(finding: Finding) -> str:
    return f"{finding.words}\n→ {finding.fix}" if finding.fix else finding.words
