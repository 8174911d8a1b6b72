"""Checks of where sampling begins: what is left of the data there, the clipped β, and what a step makes of errors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from toydiff.config import Run
from toydiff.denoiser import input_scale, target_coefficients
from toydiff.doctor.finding import Finding, graded, not_applicable, short, worst
from toydiff.errors import ToydiffError
from toydiff.schedules import Cosine, Level, Sigmoid

SEEN = 0.1
"""SNR at the start from which what is left of the data shows in samples."""
LOST = 0.5
"""SNR at the start from which so much is left that samples cannot be right."""
NOTHING = 0.01
"""SNR below which it cannot matter."""
GAINS = (2.0, 10.0)
"""Gain of an error in one step that is a warning, and a problem."""
ESTIMATE_NOISE = ("eps", "score")
"""Targets that say nothing of x_0 where there is nothing but noise."""
TRIES = 24
"""Starts that are looked at, at most, for one to advise."""
Sampled = dict[str, Any]
"""Settings of sampling, and what to set them to."""


def signal(run: Run) -> dict[str, float]:
    """Return SNR · σ_d² of the data where sampling begins and at t = 1, and the prior's RMS over that of x_T."""
    begin, end, sd = run.levels()[0], run.schedule(1.0), run.sigma_data
    prior = 1.0 if run.sampling.prior == "unit" else float(input_scale(begin, sd))
    return {
        "alpha_bar_T": float(end.alpha**2),
        "snr_T": float(end.snr) * sd**2,
        "snr_start": float(begin.snr) * sd**2,
        "prior_over_x_T": prior / float(input_scale(begin, sd)),
    }


def start(run: Run) -> Finding:
    """Check how much of the data is left in x_T, which sampling replaces by plain noise: SNR = alpha² σ_d²/sigma².

    The difference of the two is what no training can repair (Lin et al. 2023). Below an SNR of 0.1 it is rarely seen.
    """
    numbers = signal(run)
    snr, ratio = numbers["snr_start"], numbers["prior_over_x_T"]
    left, wide = graded(snr, SEEN, LOST), graded(abs(math.log(ratio)), math.log(1.1), math.log(1.4))
    fixes = [signal_fix(run)] * (left != "ok") + ["Set sampling.prior=marginal."] * (wide != "ok")
    return Finding("start", worst(left, wide), signal_words(run, numbers), numbers, " ".join(fixes))


def signal_words(run: Run, numbers: dict[str, float]) -> str:
    """Say what is left of the data in x_T."""
    ends = {
        "preserving": f"ᾱ_T = {short(numbers['alpha_bar_T'])}; ",
        "exploding": f"sigma(1) = {short(float(run.schedule(1.0).sigma))}; ",
        "interpolating": "",
    }
    begins = float(run.levels()[0].t)
    said = f"{ends[run.schedule.variance]}x_t at t = {begins:.4g}, where sampling begins, still holds the data with an "
    said += f"SNR of {short(numbers['snr_start'])}"
    if abs(math.log(numbers["prior_over_x_T"])) > math.log(1.02):
        said += f", and the prior is {numbers['prior_over_x_T']:.2f} times as wide as x_t"
    return said


def signal_fix(run: Run) -> str:
    """Say how to leave less of the data in x_T: by beginning earlier; by more noise, if the schedule ends too soon."""
    found = signal(run)
    if found["snr_start"] < NOTHING:
        return "So little signal should not matter: the network magnifies it; see levels, target and β clip."
    most = SEEN if found["snr_start"] > SEEN else NOTHING
    changes: list[Sampled] = [{"start": None}, {"spacing": "trailing"}, {"start": None, "spacing": "trailing"}]
    enough = [each for each in changes if possible(run, each) and signal(sampling(run, each))["snr_start"] <= most]
    if not enough:
        late: Sampled = {"start": None} if run.sampling.start is not None else {}
        late |= {"spacing": "trailing"} if run.sampling.spacing == "leading" else {}
        return f"Take {_more_noise(run)}{f'; and set {told(late)}' * bool(late)}."
    harmless = [each for each in enough if not harmful(sampling(run, each))]
    return f"Set {told((harmless or [harmless_start(run)])[0] or enough[0])}."


def _more_noise(run: Run) -> str:
    """Say which settings that this schedule has make it end in more noise."""
    schedule = run.schedule
    if schedule.variance == "exploding":
        return f"schedule.sigma_max={short(20 * run.sigma_data)} or more, 20 times the data's RMS"
    settings = ["schedule.beta_max"] * hasattr(schedule, "beta_max")
    if (T := getattr(schedule, "T", None)) is not None:
        settings += ["schedule.beta_clip"] * hasattr(schedule, "beta_clip")
        settings += ["schedule.T"] * (not getattr(schedule, "scale_betas", False))
    said = f"more noise (a larger {' or '.join(settings)})"
    if T == 1:  # there is nothing between its first step and its last
        return said
    return f"{said}, or schedule.zero_terminal_snr=true{' with model.target=v' * (run.model.target in ESTIMATE_NOISE)}"


def beta_clip(run: Run) -> Finding:
    """Explain a clipped β: where ᾱ(1) = 0 the last β would be 1 and nothing could be decoded; the clip leaves a trace.

    Through x̂_0 = (x_t − sigma ε̂)/alpha an error of ε̂ enters x_s √(1/(1 − β)) times: 32 times for β = 0.999 (Nichol &
    Dhariwal 2021, section 3.2, who clip to keep it finite).
    """
    if (found := _clipped(run)) is None:
        return not_applicable("β clip", "no β is clipped")
    schedule, first = found
    clip, T, begins = schedule.beta_clip, len(schedule.betas()), run.levels()[0]
    before, after = (float(schedule(t).alpha ** 2) for t in ((T - 1) / T, 1.0))
    gain, inside = 1 / math.sqrt(1 - clip), _in_clip(run, begins)
    said = (
        f"β of step {first} of {T} would be 1, for ᾱ(1) = 0, and is clipped at {clip:g}: ᾱ falls from {short(before)} "
        f"to {short(after)} in that step, which multiplies an error of eps by √(1/(1 − β)) = {short(gain)}; "
        f"sampling begins at t = {float(begins.t):.4g}, {'in' if inside else 'below'} it"
    )
    bad = inside and run.model.target in ESTIMATE_NOISE and float(gains(run, run.levels())[0]) > GAINS[0]
    fix = "Take model.target=v."
    if bad and (below := harmless_start(run)):
        fix = f"Begin below it: {told(below)}; or take model.target=v."
    numbers = {"beta": clip, "gain": gain, "step": first}
    return Finding("β clip", "problem" if bad else "ok", said, numbers, fix * bad)


def _clipped(run: Run) -> tuple[Cosine | Sigmoid, int] | None:
    """Return the schedule and its first step whose β is clipped; None if none is, or a zero terminal SNR hides it."""
    schedule = run.schedule
    if not isinstance(schedule, Cosine | Sigmoid) or schedule.T is None or schedule.zero_terminal_snr:
        return None
    clipped = schedule.betas() >= schedule.beta_clip
    return (schedule, int(clipped.int().argmax()) + 1) if clipped.any() else None


def _in_clip(run: Run, level: Level) -> bool:
    """Return whether a step from this level is one whose β is clipped."""
    found = _clipped(run)
    return found is not None and float(level.t) * len(found[0].betas()) >= found[1] - 0.5


def target(run: Run) -> Finding:
    """Check how a step of the sampler enlarges the network's errors: alpha_s x̂_0 + sigma_s ε̂ from F̂ with an error.

    With x̂_0 = (b x_t − sigma F̂)/(alpha b − sigma a), an error of F̂ as large as F itself moves x_s, over its RMS, by

        (alpha_s − alpha_t sigma_s/sigma_t) · sigma_t/|alpha_t b − sigma_t a| · RMS(F)/RMS(x_s).

    Below 1 the step forgives; eps in few steps from high noise does not (Salimans & Ho 2022, section 4).
    """
    levels = run.levels()
    found = gains(run, levels)
    if run.model.target in ESTIMATE_NOISE and _in_clip(run, levels[0]):
        found[0] = 0  # that step is said already
    gain, step = float(found.max()), int(found.argmax()) + 1
    said = f"an error of 1 % in `{run.model.target}` moves x by at most {gain:.2g} % (step {step} of {len(found)})"
    verdict = graded(gain, *GAINS)
    fix = f"Take {', or '.join(['model.target=v', *_calmer(run)])}." if verdict != "ok" else ""
    return Finding("target", verdict, said, {"gain": gain, "step": step}, fix)


def _calmer(run: Run) -> list[str]:
    """Return the changes of sampling after which no step enlarges errors: a later start, or more steps."""
    changes = [harmless_start(run)]
    for steps in (2 * run.sampling.steps, 4 * run.sampling.steps):
        more: Sampled = {"steps": steps}
        if possible(run, more) and not harmful(sampling(run, more)):
            changes.append(more)
            break
    return [told(each) for each in changes if each]


def gains(run: Run, levels: list[Level]) -> Tensor:
    """Return for each step of a grid what it makes of an error as large as the target itself, see `target`."""
    t, alpha, sigma = (torch.stack(column) for column in zip(*((v.t, v.alpha, v.sigma) for v in levels), strict=True))
    return _gain(run, Level(t[:-1], alpha[:-1], sigma[:-1]), Level(t[1:], alpha[1:], sigma[1:]))


def _gain(run: Run, t: Level, s: Level) -> Tensor:
    """Return that of steps from levels t to levels s."""
    a, b = target_coefficients(run.model.target, t, run.sigma_data)
    size = torch.hypot(a * run.sigma_data, b) / input_scale(s, run.sigma_data)
    decoded = t.sigma / (t.alpha * b - t.sigma * a).abs()
    return ((s.alpha - t.alpha * s.sigma / t.sigma) * decoded * size).abs()


def harmful(run: Run) -> bool:
    """Return whether some step of sampling enlarges errors too much, be it in a clipped β or not."""
    return float(gains(run, run.levels()).max()) > GAINS[0]


def harmless_start(run: Run) -> Sampled:
    """Return the latest start in time at which nothing is left of the data and no step enlarges errors; {} if none is.

    With as many steps as there are, or if that is too few anywhere, with two or four times as many.
    """
    knots = run.schedule.knot_times
    times = (torch.arange(1, 1000, dtype=torch.float64) / 1000 if knots is None else knots[:-1]).flip(0)
    times = times[run.schedule(times).snr * run.sigma_data**2 < NOTHING]
    for factor in (1, 2, 4):
        for start in times[:: max(1, len(times) // TRIES)].tolist():
            change: Sampled = {"start": float(f"{start:.6g}")}
            if (steps := min(factor * run.sampling.steps, _usable(run, start))) != run.sampling.steps:
                change["steps"] = steps
            if not possible(run, change):
                continue
            levels = sampling(run, change).levels()
            nothing = float(levels[0].snr) * run.sigma_data**2 < NOTHING
            if nothing and float(gains(run, levels).max()) <= GAINS[0]:
                return change
    return {}


def _usable(run: Run, start: float) -> float:
    """Return how many steps there can be from a time on."""
    knots = run.schedule.knot_times
    return math.inf if knots is None else int((knots - start).abs().argmin()) + 1


def sampling(run: Run, change: Sampled) -> Run:
    """Return the run with another way of sampling."""
    return run.model_copy(update={"sampling": run.sampling.model_copy(update=change)})


def possible(run: Run, change: Sampled) -> bool:
    """Return whether the run would take such a change: a sampler has its fewest steps, a grid its cleanest start."""
    try:
        sampling(run, change).levels()
    except (ValueError, ToydiffError):
        return False
    return True


def told(change: Sampled) -> str:
    """Return a change as one would set it."""
    values = {
        key: "none" if value is None else f"{value:.6g}" if key != "spacing" else value for key, value in change.items()
    }
    return " and ".join(f"sampling.{key}={value}" for key, value in values.items())
