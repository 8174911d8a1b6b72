"""Checks that need the configuration alone: they can speak before the first step of training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from toydiff.config import Run
from toydiff.data.files import UNEVEN
from toydiff.denoiser import target_coefficients
from toydiff.doctor.finding import Finding, Verdict, graded, short, worst
from toydiff.schedules import Level
from toydiff.training import streams

TRIAL = 200
"""Fewer training steps than these are meant to learn little."""
DRAWS = 4096
LONGEST = 0.02
"""Step of a weight beyond which it overshoots."""
NEAR, BLANK = 1.5, 12.0
"""How near one log-SNR is to another, and the largest that matters, of either sign."""


def data(run: Run) -> Finding:
    """Check the data in the model's units: networks, learning rates and schedules are made for mean 0 and RMS 1.

    A network starts with unit weights for unit inputs (LeCun et al. 1998, section 4.3), and a schedule's log-SNR is
    that of data with RMS 1: for RMS σ_d the signal is σ_d² times as strong (Karras et al. 2022, section 5).
    """
    x = run.data.draw(64 if run.data.pictorial else 1000, streams.generator(run.seed, "doctor")).x
    if not x.isfinite().all():
        bad = {"not_finite": float((~x.isfinite()).double().mean())}
        return Finding("data", "problem", f"{bad['not_finite']:.1%} of the numbers are not finite", bad, "Clean them.")
    if run.bounds is not None:
        low, high = run.bounds
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


def weight(run: Run) -> Finding:
    """Check how evenly the loss weight w uses a batch: (E w)²/E w² is the share of it that counts, the rest is drowned.

    That is Kish's effective sample size for levels drawn from the density of training. The noisier half of the levels
    decides where samples go and the cleaner half how sharp they are; a half with 1 % of the weight learns at 1 % of
    the rate (Choi et al. 2022; Hang et al. 2023).
    """
    level = _quantiles(run)
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
    fix = "Take training.weight.kind=uniform with model.target=v, edm or flow"
    fix += " and model.bounded=false" * run.model.bounded  # only x_0 has bounds
    fix += ", or a larger training.weight.floor" * (run.training.weight.kind == "inverse_sigma2")
    return Finding("weight", verdict, said, numbers, f"{fix}." * (verdict != "ok"))


def levels(run: Run) -> Finding:
    """Check that training draws the levels at which samples are made: of others a network knows nothing.

    A level is drawn if one of 4,096 quantiles of the density lies within 1.5 of its log-SNR.
    """
    drawn = _drawn(run).sort().values
    asked = _clamped(torch.stack([level.log_snr for level in run.levels()[:-1]]))
    above = torch.searchsorted(drawn, asked).clamp(1, DRAWS - 1)
    nearest = torch.minimum((asked - drawn[above - 1]).abs(), (drawn[above] - asked).abs())
    missed = float((nearest > NEAR).double().mean())
    ends = f"log-SNR {float(drawn[0]):.1f} to {float(drawn[-1]):.1f}"
    said = f"training draws {ends}, and {missed:.0%} of the levels of sampling lie farther than {NEAR:g} from any draw"
    fix = "Draw more of them: training.density.kind=uniform."
    verdict = graded(missed, 1 / 3, 2 / 3)
    return Finding("levels", verdict, said, {"missed": missed}, fix * (verdict != "ok"))


def drawn_near(run: Run, log_snr: float) -> float:
    """Return the share of training's draws that are near a log-SNR."""
    at = _clamped(torch.tensor(log_snr, dtype=torch.float64))
    return float(((_drawn(run) - at).abs() <= NEAR).double().mean())


def _drawn(run: Run) -> Tensor:
    return _clamped(_quantiles(run).log_snr)


def _quantiles(run: Run) -> Level:
    """Return the levels that training draws: as many quantiles of its density."""
    u = (torch.arange(DRAWS, dtype=torch.float64) + 0.5) / DRAWS
    return run.training.density(u, run.schedule)


def _clamped(log_snr: Tensor) -> Tensor:
    return log_snr.double().clamp(-BLANK, BLANK)


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
    if step > LONGEST:
        fix = f"Try --lr {short(0.003 * lr / step)}."
        return Finding("learning rate", graded(step, LONGEST, 0.1), said, numbers, fix)
    verdict: Verdict = "ok" if total < TRIAL else graded(1 / max(path, 1e-12), 10, 100)
    return Finding("learning rate", verdict, said, numbers, "Train longer, or raise --lr." * (verdict != "ok"))
