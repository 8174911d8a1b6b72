"""Checks of what comes out: samples begun from the true x_T, made in more steps, beside data, and copied ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from toydiff.data import Data
from toydiff.data.shapes import Shapes
from toydiff.doctor import beginning
from toydiff.doctor.finding import Finding, Verdict, graded, not_applicable, short, worst
from toydiff.doctor.patient import FEW, FEWEST, NONE_HELD, Patient, distance
from toydiff.metrics.floors import REPEATED, floor
from toydiff.metrics.points import density_and_coverage, mann_whitney, row_keys, two_nearest
from toydiff.metrics.scores import Floor
from toydiff.metrics.shapes import explicable, valid
from toydiff.metrics.validity import Explanation, explain

NEIGHBOURS = 5
COVERED = 5
"""Pairs of real draws whose coverage is the usual one."""
CHUNK = 1 << 22
"""Numbers of training data that samples are compared with at once."""
COPIES = (0.02, 0.3)
"""Share of copies among samples that is a warning, and a problem."""
ON_A_LINE = 1 / 2
"""Share of new data three times nearer to one datum than to the next, between data evenly spaced on a line.

Between scattered ones it is 3⁻ᵈ in d dimensions, which is less."""
EXPLAINING = 20.0
"""Seconds to look for shapes in: pictures nearly all white have endless explanations."""
NATS = (0.1, 0.4)
"""Nats of −log p from which a difference is a warning, and a problem."""


def start(patient: Patient) -> Finding:
    """Check what beginning from the prior costs: samples of it beside samples of the true x_T = alpha x_0 + sigma eps.

    Both have the same noise and labels; their distance is what is lost by forgetting x_0 (Lin et al. 2023), and so is
    how much farther from the data the former lie. An SNR of a half and more is never called fine.
    """
    foretold = beginning.start(patient.run)
    if reason := patient.why_not_judged:
        return foretold._replace(words=f"{foretold.words}; not measured: {reason}")
    if not patient.run.training.coupling.tweedie:
        return foretold._replace(words=f"{foretold.words}; x_T is not known where noise is coupled to the data")
    real, base, (prior, true) = patient.real.x, patient.floor, patient.begun_twice
    gap = distance(prior[: patient.few], true[: patient.few])
    away = [distance(x[: patient.few], real) for x in (prior, true)]
    numbers = {**foretold.numbers, "gap": gap, "from_prior": away[0], "from_true_x_T": away[1]}
    numbers |= _floor(base, gap, patient)
    # of equal noise, samples may lie nearer together than draws do, and yet farther from the data
    numbers["farther_z"] = farther = (away[0] - away[1]) / max(base.sd, 1e-12)
    verdict = worst(graded(_z(base, gap), 3, 10), graded(farther, 3, 10))
    verdict, nats = _with_nats(patient, prior, true, verdict, numbers)
    if numbers["snr_start"] > beginning.LOST:  # that has an effect, be it one that these few samples do not show
        verdict = worst(verdict, "warning")
    said = (
        f"{foretold.words}; samples begun from the prior lie {short(gap)} from those begun from the true x_T "
        f"({floor_words(patient)}){nats}; {short(away[0])} and {short(away[1])} from the data"
    )
    fix = foretold.fix or beginning.signal_fix(patient.run)
    return Finding("start", verdict, said, numbers, fix if verdict != "ok" else "")


def steps(patient: Patient) -> Finding:
    """Check whether the grid is fine enough: samples of the same seeds in four times the steps, beside the floor."""
    run = patient.run
    sampler, count = run.sampling.sampler, len(run.levels()) - 1
    if reason := patient.why_not_judged:
        return not_applicable("steps", reason)
    if sampler.evaluations is None:
        return not_applicable("steps", f"`{sampler.kind}` takes as many as its tolerance asks for")
    if (more := patient.more_steps) is None:
        return not_applicable("steps", f"{count} steps are all the schedule has, or nearly")
    finer, base = patient.samples_in(more), patient.floor
    gap = distance(patient.samples[: patient.few], finer[: patient.few])
    numbers = {"gap": gap, "more": more, "steps": count, **_floor(base, gap, patient)}
    verdict, nats = _with_nats(patient, patient.samples, finer, graded(_z(base, gap), 3, 10), numbers)
    said = f"{count} steps of `{sampler.kind}` and {more} lie {short(gap)} apart ({floor_words(patient)}){nats}"
    if good := _share(patient):
        name, share, words = good
        found, better = (share(x[: patient.few]) for x in (patient.samples, finer))
        numbers |= {name: found, f"{name}_of_more": better}
        error = math.sqrt((found * (1 - found) + better * (1 - better)) / patient.few)
        verdict = worst(verdict, graded(better - found - 3 * error, 0.05, 0.2))
        said += f"; {found:.0%} and {better:.0%} {words}"
    fix = f"Sample with --steps {more}, or a sampler of higher order." if verdict != "ok" else ""
    return Finding("steps", verdict, said, numbers, fix)


def spread(patient: Patient, blamed: Sequence[str] = ()) -> Finding:
    """Check samples against held-out data: their distance, the ratio of their widths and the coverage, beside chance.

    Coverage is the share of data with a sample among their five nearest neighbours' reach (Naeem et al. 2020); less is
    too little if it is by three standard errors of the share and of what is usual. It is a symptom: `blamed` are the
    checks that found something wrong.
    """
    if reason := patient.why_not_judged:
        if not patient.absent and patient.n and patient.broken:
            fix = "See learning rate, levels and units; before training went wrong there may be a better checkpoint."
            return Finding("spread", "problem", reason, {}, fix)
        return not_applicable("spread", reason)
    real, base = patient.real.x, patient.floor
    ours, data = patient.samples[: patient.few], patient.run.data
    away, error = distance(ours, real), math.hypot(*map(width_error, (ours, real)))
    ratio = width(ours) / max(width(real), 1e-12)  # 0 of held-out data that are all alike
    off = abs(ratio - 1) / max(error, 1e-12)
    narrow = graded(abs(ratio - 1), 0.05, 0.25) if off > 4 else "ok"
    verdict = worst(graded(_z(base, away), 4, 15), narrow)
    numbers = {"distance": away, "width": ratio, "width_z": off, **_floor(base, away, patient)}
    verdict, nats = _with_nats(patient, ours, real, verdict, numbers)
    said = (
        f"samples are {ratio:.2f} ± {error:.2f} times as wide as data, {short(away)} from them "
        f"({floor_words(patient)}){nats}"
    )
    if not data.pictorial and patient.again < REPEATED:  # else a ball around a datum has no size
        found, best = coverage(ours, real), floor(coverage, data, patient.few, draws=COVERED, seed=2)
        numbers |= {"coverage": found, "coverage_floor": best.mean}
        chance = math.sqrt(found * (1 - found) / patient.few + best.sd**2 / COVERED)
        verdict = worst(verdict, graded(best.mean - found - 3 * chance, 0.05, 0.2))
        said += f"; {found:.0%} of held-out data have a sample near by ({best.mean:.0%} would be usual)"
    if blamed:
        fix = f"See {', '.join(blamed)}."
    elif data.count is not None and data.count <= FEW:
        fix = f"No other check finds a cause: take more data{patient.option}."
    else:
        fix = "No other check finds a cause: train longer (--steps) or wider."
    return Finding("spread", verdict, said, numbers, fix * (verdict != "ok"))


def memorisation(patient: Patient) -> Finding:
    """Check for copies: samples nearer to the training data than held-out ones are, and to one of them above all.

    P(d_sample < d_held-out) of the distances to the nearest training point is ½ for new data, 1 for copies; its
    standard error is √((1/n + 1/m)/12) (Mann & Whitney 1947; Meehan et al. 2020). Blurred samples are near to all data:
    of a copy the next nearest is three times as far (Yoon et al. 2023), more often than of held-out data. A few copies
    among new samples hardly change the former, so that the latter alone may be too much. Data that are there twice
    count once; what is there nearly twice hides its copies. Where held-out data are too few, or training data as well,
    the latter is judged by what it is on a line.
    """
    run = patient.run
    if run.data.count is None:
        return not_applicable("memorisation", "training data are endless: nothing is seen twice")
    if reason := patient.why_no_samples:
        return not_applicable("memorisation", reason)
    if not patient.trained:
        return not_applicable("memorisation", "not trained yet")
    n, near = _nearest(run.data, torch.cat([patient.samples, patient.real.x]))
    ours, theirs = near[: len(patient.samples)], near[len(patient.samples) :]
    alone, usual = (float((3 * d[:, 0] <= d[:, 1]).double().mean()) for d in (ours, theirs))
    m, mirrored = len(theirs), ", mirror images among them," * run.data.augments
    said = f"{alone:.0%} of samples"
    numbers = {"n": n, "alone": alone, "repeated": patient.again}
    fix = f"More data{patient.option}, fewer steps, or a smaller network."
    if patient.unseen and m >= FEWEST and patient.again < REPEATED:
        both = (alone * len(ours) + usual * m) / (len(ours) + m)
        apart = 3 * math.sqrt(both * (1 - both) * (1 / len(ours) + 1 / m))  # three standard errors, were they alike
        verdict = graded(alone - usual - apart, *COPIES)
        nearer, error = mann_whitney(ours[:, 0], theirs[:, 0]), ((1 / len(ours) + 1 / m) / 12) ** 0.5
        numbers |= {"nearer": nearer, "z": (nearer - 0.5) / error, "usual": usual}
        if alone - usual > apart or n == 1:
            verdict = worst(verdict, graded(nearer - 3 * error, 0.6, 0.8))
        said = (
            f"a sample lies nearer to the {n:,} training data{mirrored} than held-out ones in {nearer:.0%} ± "
            f"{error:.0%} of pairs (new data 50 %, copies 100 %); {said} and {usual:.0%} of held-out data are three "
            "times nearer to one of them than to any other"
        )
    else:
        error = math.sqrt(alone * (1 - alone) / len(ours))
        verdict = graded(alone - ON_A_LINE - 3 * error, *COPIES)
        why = NONE_HELD if not patient.unseen else f"{m} held-out data are too few to compare with"
        if patient.again >= REPEATED:  # as those of discrete data are: no more than a warning
            why = f"{patient.again:.0%} of held-out data are in the training data as well, and tell nothing"
            verdict = "warning" if verdict == "problem" else verdict
            fix = "If rows come again by mistake, take them out of the file; if the data are discrete, never mind."
        said += f" are three times nearer to one of the {n:,} training data{mirrored} than to any other; {why}"
    return Finding("memorisation", verdict, said, numbers, fix * (verdict != "ok"))


def _nearest(data: Data, x: Tensor) -> tuple[int, Tensor]:
    """Return how many different training data there are, and every x's distances to the nearest two, (N, 2).

    Those that training mirrors count with their mirror images. They are compared in chunks: all of CIFAR-10 and its
    mirror images would take 2.5 GB as float64.
    """
    training, nearest = data.fixed().x, torch.full((len(x), 2), math.inf, dtype=torch.float64)
    seen: set[int] = set()
    for part in torch.split(training, max(1, CHUNK // training[0].numel())):
        part = torch.cat([part, part.flip(-1)]) if data.augments else part
        first = {key: k for k, key in reversed(list(enumerate(row_keys(part))))}
        new = sorted(k for key, k in first.items() if key not in seen)
        seen |= first.keys()
        if new:
            nearest = torch.cat([nearest, two_nearest(x, part[new])], 1).sort(1).values[:, :2]
    return len(seen), nearest


def _share(patient: Patient) -> tuple[str, Callable[[Tensor], float], str] | None:
    """Return (name, share of samples, words): what they cover, or how many are right; None of photographs."""
    data = patient.run.data
    if not data.pictorial and patient.again >= REPEATED:
        return None
    if not data.pictorial:
        near = partial(coverage, y=patient.real.x)
        return ("coverage", near, "of held-out data have a sample near by")
    if not isinstance(data, Shapes) or not explicable(data):
        return None
    right = "of samples are unions of shapes but for 2 pixels"
    return ("valid", partial(unions, most=data.most), right)


def _z(base: Floor, value: float) -> float:
    return base.z(value) if base.sd > 0 else 0.0 if value <= base.mean else math.inf


def _floor(base: Floor, value: float, patient: Patient) -> dict[str, float]:
    return {"floor": base.mean, "floor_sd": base.sd, "z": _z(base, value), "n": patient.few}


def _with_nats(
    patient: Patient, x: Tensor, y: Tensor, verdict: Verdict, numbers: dict[str, float]
) -> tuple[Verdict, str]:
    """Return the verdict and words with what −log p of the data's density says of x beside y, noted in `numbers`.

    It sees what a distance does not: samples a little off a thin curve.
    """
    if (found := patient.nats_between(x, y)) is None:
        return verdict, ""
    mean, error = found
    numbers |= {"nats": -mean, "nats_error": error}
    beyond = max(abs(mean) - 3 * error, 0)
    return worst(verdict, graded(beyond, *NATS)), f", {round(-mean, 2) + 0.0:+.2f} ± {error:.2f} nats of −log p"


def width(x: Tensor) -> float:
    """Return the root mean square deviation of a set from its own mean."""
    return float((x - x.mean(0)).double().square().mean().sqrt())


def width_error(x: Tensor) -> float:
    """Return the standard error of `width` as a share of it: of a root, half of that of the square."""
    square = (x - x.mean(0)).double().square().flatten(1).mean(1)
    return float(square.std() / square.mean().clamp(min=1e-12)) / (2 * math.sqrt(len(x)))


def coverage(x: Tensor, y: Tensor) -> float:
    """Return the share of points y that have one of x no farther away than their fifth neighbour in y."""
    return density_and_coverage(x, y, NEIGHBOURS)[1]


def unions(x: Tensor, most: int, seconds: float = EXPLAINING) -> float:
    """Return the share of pictures that are unions of shapes but for 2 pixels, of as many as there is time for."""
    explained: list[Explanation] = []
    began = time.monotonic()
    for few in torch.split(x, 8):
        explained += explain(few, most, within=2)
        if time.monotonic() - began > seconds:
            break
    return valid(explained, 2)


def floor_words(patient: Patient) -> str:
    """Say what the same score reads between real data: of a small file, between fewer than there are samples."""
    base, n = patient.floor, patient.paired
    too_high = ", and so too high" * (n < patient.few)
    return f"sliced W2; floor {short(base.mean)} ± {short(base.sd)} at n = {n:,}{too_high}"
