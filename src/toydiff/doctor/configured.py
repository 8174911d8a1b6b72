"""Checks that need the configuration alone: they can speak before the first step of training."""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from toydiff.config import Run
from toydiff.data.files import UNEVEN
from toydiff.denoiser import input_scale, target_coefficients
from toydiff.doctor.finding import Finding, Verdict, graded, not_applicable, short, worst
from toydiff.schedules import Level
from toydiff.training import streams

TRIAL = 200
"""Fewer training steps than these are meant to learn little."""
DRAWS = 4096


def data(run: Run) -> Finding:
    """Check the data in the model's units: networks, learning rates and schedules are made for mean 0 and RMS 1.

    A network starts with unit weights for unit inputs (LeCun et al. 1998, section 4.3), and a schedule's log-SNR is
    that of data with RMS 1: for RMS σ_d the signal is σ_d² times as strong (Karras et al. 2022, section 5).
    """
    x = run.data.draw(64 if run.data.pictorial else 1000, streams.generator(run.seed, "doctor")).x
    if not x.isfinite().all():
        bad = {"not_finite": float((~x.isfinite()).double().mean())}
        return Finding("data", "problem", f"{bad['not_finite']:.1%} of the numbers are not finite", bad, "Clean them.")
    if run.data.domain is not None and (low := run.data.domain[0]) is not None:
        high = run.data.domain[1]
        if (outside := float(((x < low - 1e-6) | (x > high + 1e-6)).double().mean())) > 0:
            said = f"{outside:.1%} of the numbers lie outside [{low:g}, {high:g}], where samples are clipped to"
            return Finding("data", "problem", said, {"outside": outside}, f"Bring the data into [{low:g}, {high:g}].")
    if run.model.standardize:
        x = (x - run.data.shift) / run.data.scale
    x = x.double()
    mean, rms, most = (float(v) for v in (x.mean(0).square().mean().sqrt(), x.square().mean().sqrt(), x.abs().max()))
    sd = math.sqrt(max(rms**2 - mean**2, 0)) or 1e-12
    each = x.flatten(1).std(0).clamp(min=1e-12)
    uneven = 1.0 if run.data.pictorial else float(each.max() / each.min())
    verdicts = (
        graded(abs(math.log(max(rms, 1e-12))), math.log(3), math.log(10)),
        graded(mean / sd, 3, 10),
        graded(most / rms, 15, math.inf) if rms > 0 else "problem",
        graded(uneven, UNEVEN, math.inf),
    )
    said = f"mean {mean:.2f}, RMS {short(rms)}, |x| up to {short(most)} in the model's units, where 0 and 1 are best"
    fix = "Set model.standardize=true." if not run.model.standardize else "Look at them: toydiff data stats."
    if verdicts[2] != "ok" and verdicts[:2] == ("ok", "ok"):
        fix = "Look for outliers: they set the scale of everything else."
    if verdicts[3] != "ok":
        said += f"; one coordinate varies {short(uneven)} times as much as another, and noise hides both alike"
        fix = "Divide each coordinate by its standard deviation first."
    verdict, numbers = worst(*verdicts), {"mean": mean, "rms": rms, "largest": most, "uneven": uneven}
    return Finding("data", verdict, said, numbers, fix * (verdict != "ok"))


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
    verdict = worst(graded(snr, 0.1, 0.5), graded(abs(math.log(ratio)), math.log(1.1), math.log(1.4)))
    fix = signal_fix(run) if snr > 0.1 else "Set sampling.prior=marginal."
    return Finding("start", verdict, signal_words(run, numbers), numbers, fix if verdict != "ok" else "")


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
    """Say how to leave less of the data in x_T."""
    if run.schedule.variance == "exploding":
        return f"Take schedule.sigma_max of {short(20 * run.sigma_data)} or more, 20 times the data's RMS."
    if run.sampling.start is not None and float(run.schedule(1.0).snr) * run.sigma_data**2 < 0.01:
        return "Start nearer to t = 1 (sampling.start)."
    if signal(run)["snr_start"] < 0.01:
        return "So little signal should not matter: the network magnifies it; see levels, target and β clip."
    return "Take more noise (a larger schedule.beta_max or T), or schedule.zero_terminal_snr=true with model.target=v."


def beta_clip(run: Run) -> Finding:
    """Explain a clipped β: where ᾱ(1) = 0 the last β would be 1 and nothing could be decoded; the clip leaves a trace.

    Through x̂_0 = (x_t − sigma ε̂)/alpha an error of ε̂ enters x_s √(1/(1 − β)) times: 32 times for β = 0.999 (Nichol &
    Dhariwal 2021, section 3.2, who clip to keep it finite).
    """
    schedule = run.schedule
    clip = getattr(schedule, "beta_clip", None)
    if clip is None or getattr(schedule, "T", None) is None or schedule.zero_terminal_snr:  # type: ignore[union-attr]
        return not_applicable("β clip", "no β is clipped")
    clipped = schedule.betas() >= clip  # type: ignore[union-attr]
    if not clipped.any():
        return not_applicable("β clip", "no β is clipped")
    T, first = len(clipped), int(clipped.int().argmax()) + 1
    before, after = (float(schedule(t).alpha ** 2) for t in ((T - 1) / T, 1.0))
    gain, begins = 1 / math.sqrt(1 - clip), run.levels()[0]
    inside = float(begins.t) * T >= first - 0.5
    said = (
        f"β of step {first} of {T} would be 1, for ᾱ(1) = 0, and is clipped at {clip:g}: ᾱ falls from {short(before)} "
        f"to {short(after)} in that step, which multiplies an error of eps by √(1/(1 − β)) = {short(gain)}; "
        f"sampling begins at t = {float(begins.t):.4g}, {'in' if inside else 'below'} it"
    )
    harmful = inside and run.model.target in ("eps", "score")
    below = f"sampling.start={(first - 1) / T:.6g}" + f" and sampling.steps={first - 1}" * (run.sampling.steps >= first)
    fix = f"Begin below it: {below}; or take model.target=v." * harmful
    return Finding("β clip", "problem" if harmful else "ok", said, {"beta": clip, "gain": gain, "step": first}, fix)


def target(run: Run) -> Finding:
    """Check how a step of the sampler enlarges the network's errors: alpha_s x̂_0 + sigma_s ε̂ from F̂ with an error.

    With x̂_0 = (b x_t − sigma F̂)/(alpha b − sigma a), an error of F̂ as large as F itself moves x_s, over its RMS, by

        (alpha_s − alpha_t sigma_s/sigma_t) · sigma_t/|alpha_t b − sigma_t a| · RMS(F)/RMS(x_s).

    Below 1 the step forgives; eps in few steps from high noise does not (Salimans & Ho 2022, section 4).
    """
    gains = [_gain(run, t, s) for t, s in pairwise(run.levels())]
    skip = 1 if beta_clip(run).verdict == "problem" else 0  # that step is said already
    gain = max(gains[skip:], default=0.0)
    step = gains.index(gain) + 1 if gain in gains else 0
    said = f"an error of 1 % in `{run.model.target}` moves x by at most {gain:.2g} % (step {step} of {len(gains)})"
    verdict = graded(gain, 2, 10)
    fix = f"Take model.target=v, or more steps than {run.sampling.steps}." if verdict != "ok" else ""
    return Finding("target", verdict, said, {"gain": gain, "step": step}, fix)


def _gain(run: Run, t: Level, s: Level) -> float:
    a, b = target_coefficients(run.model.target, t, run.sigma_data)
    size = torch.hypot(a * run.sigma_data, b) / input_scale(s, run.sigma_data)
    decoded = t.sigma / (t.alpha * b - t.sigma * a).abs()
    return abs(float((s.alpha - t.alpha * s.sigma / t.sigma) * decoded * size))


def weight(run: Run) -> Finding:
    """Check how evenly the loss weight w uses a batch: (E w)²/E w² is the share of it that counts, the rest is drowned.

    That is Kish's effective sample size for levels drawn from the density of training. The noisier half of the levels
    decides where samples go and the cleaner half how sharp they are; a half with 1 % of the weight learns at 1 % of
    the rate (Choi et al. 2022; Hang et al. 2023).
    """
    u = (torch.arange(DRAWS, dtype=torch.float64) + 0.5) / DRAWS
    level = run.training.density(u, run.schedule)
    a, b = target_coefficients(run.model.target, level, run.sigma_data)
    w = run.training.weight(level, a, b, run.sigma_data)[level.log_snr.argsort()]  # noisiest first
    total, ends = float(w.sum()), (float(w[-1]), float(w[0]))
    noisy = float(w[: DRAWS // 2].sum()) / total
    effective = total**2 / (DRAWS * float(w.square().sum()))
    numbers = {"clean": ends[0], "noisy": ends[1], "effective": effective, "noisy_half": noisy}
    verdict = worst(graded(1 / effective, 10, 100), graded(1 / max(min(noisy, 1 - noisy), 1e-12), 20, 100))
    spread = f"from {short(ends[0])} at the cleanest level to {short(ends[1])} at the noisiest"
    if effective > 0.999:
        return Finding("weight", verdict, f"`{run.training.weight.kind}` weighs all levels of training alike", numbers)
    half, share = ("noisier", noisy) if noisy < 0.5 else ("cleaner", 1 - noisy)
    said = (
        f"{spread} ({short(max(ends) / max(min(ends), 1e-300))} : 1): the {half} half of the levels gets {share:.2g} "
        f"of the gradient, and {effective:.0%} of each batch counts; an even weight, as in `swissroll`: 0.5, and all"
    )
    less = "Take training.weight.kind=uniform with model.target=v, edm or flow"
    floor = ", or a larger training.weight.floor" if run.training.weight.kind == "inverse_sigma2" else ""
    return Finding("weight", verdict, said, numbers, f"{less}{floor}." if verdict != "ok" else "")


def average(run: Run) -> Finding:
    """Check that the average of the weights has forgotten the first half of the run: of age n it keeps ½^(n/half-life).

    An average that lags shows an earlier, worse network (Karras et al. 2024, section 3); none at all beside a rate that
    does not fall keeps the last steps' jitter.
    """
    training, total = run.training, run.total_steps
    half_life = min(training.ema.half_life * total, training.ema.ramp * total)
    jitter = training.rate(total, total)
    if half_life == 0:
        numbers = {"half_life": 0.0, "last_rate": jitter}
        said = f"no average of the weights, and a learning rate that ends at {jitter:.0%} of its height"
        fix = "Set training.ema.half_life=0.05, or let the rate fall: training.rate.kind=cosine."
        return Finding("average", "warning" if jitter > 0.1 else "ok", said, numbers, fix * (jitter > 0.1))
    age = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000 * total / 2
    lives = torch.clamp(training.ema.ramp * (total / 2 + age), max=training.ema.half_life * total)
    old = float(0.5 ** (total / 2 * (1 / lives).mean()))
    said = f"half-life {half_life:,.0f} of {total:,} steps: {old:.1%} of the average is older than half the run"
    fix = f"Set training.ema.half_life={0.05:g} and training.ema.ramp={0.1:g}."
    verdict = graded(old, 0.1, 0.5)
    return Finding("average", verdict, said, {"half_life": half_life, "old": old}, fix * (verdict != "ok"))


def rate(run: Run) -> Finding:
    """Check the learning rate by how far it lets a weight go: Adam moves each by about lr a step, so Σ lr in all.

    Weights start near 1/√width and have to come to about 1: a path under 0.1 cannot, a step over 0.02 overshoots
    (Kingma & Ba 2015, section 2.1). Muon moves them by rms · lr.
    """
    training, total = run.training, run.total_steps
    factors = [training.rate(k, total) for k in torch.linspace(1, total, min(total, 200)).round().int().tolist()]
    lr, step = training.optimizer.lr, training.optimizer.lr * training.optimizer.stride
    path = step * total * sum(factors) / len(factors)
    numbers = {"lr": lr, "path": path}
    said = f"{lr:g} over {total:,} steps: no weight can go farther than about {short(path)}"
    if step > 0.02:
        return Finding("learning rate", graded(step, 0.02, 0.1), said, numbers, f"Try --lr {short(0.003 * lr / step)}.")
    verdict: Verdict = "ok" if total < TRIAL else graded(1 / max(path, 1e-12), 10, 100)
    return Finding("learning rate", verdict, said, numbers, "Train longer, or raise --lr." * (verdict != "ok"))
