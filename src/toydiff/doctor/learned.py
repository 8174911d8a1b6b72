"""Checks of what a network has learned: against the exact denoiser, its average, its units, and its own history."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from toydiff.config import Run
from toydiff.denoiser import Denoiser
from toydiff.doctor import configured
from toydiff.doctor.beginning import ESTIMATE_NOISE
from toydiff.doctor.finding import Finding, graded, not_applicable, short, worst
from toydiff.doctor.patient import FEW, FEWEST, NONE_HELD, Patient
from toydiff.metrics.levels import LevelLoss, nats
from toydiff.training import Validator
from toydiff.training.densities import UniformTime

SELDOM = 0.005
"""Share of training near a level below which a network learns next to nothing of it."""
CONSTANT = 1e-6
"""A unit whose deviation is less than this share of its layer's RMS never changes."""


def levels(patient: Patient) -> Finding:
    """Check the network's loss at each noise level against the least there is: that of the exact denoiser.

    E‖x̂_0 − x_0‖² − E‖x̂_0* − x_0‖² = E‖x̂_0 − x̂_0*‖², on held-out data. ½ ∫ of it dSNR over all SNR bounds the KL of
    data and samples of the reverse SDE, in nats (Song et al. 2021, "Maximum likelihood training", theorem 1). Here it
    is that of the sampling grid up to a log-SNR of 8, so that grids can be compared: no bound, but what these levels
    add. It is a sum over coordinates, and so are its limits, from two coordinates on.

    Where no exact denoiser is known, the best linear one is the yardstick, which any network should beat on the same
    x_t, but for three standard errors; of pure noise, where sampling begins, its answer is the mean.

    An error δ of eps or of the score is one of (sigma/alpha) δ in x̂_0, which a step forgives: it multiplies x̂_0 by
    about alpha_s, and moves x_s by δ. Theirs is therefore weighed by min(1, SNR σ_d²).
    """
    if not patient.trained:
        foretold = configured.levels(patient.run)
        return foretold._replace(words=f"not trained yet; {foretold.words}")
    if not patient.run.training.coupling.tweedie:
        return not_applicable("levels", "noise is coupled to the data: no denoiser is known to compare with")
    if patient.exact is None:
        return _against_linear(patient)
    if len(points := patient.excess) < 2:
        return not_applicable("levels", "one level is not enough to judge by")
    total = nats(points)
    worst, most = max(points, key=lambda point: point[1])
    numbers = {"nats": total, "worst_log_snr": worst, "worst_excess": most}
    said = (
        f"beside the exact denoiser the loss costs {short(total)} nats between log-SNR {points[0][0]:.1f} and "
        f"{points[-1][0]:.1f}, the most at {worst:.1f} (sigma/alpha = {math.exp(-worst / 2):.2g}), {short(most)} a "
        "unit; what lies outside is not counted"
    )
    each = max(1.0, patient.held_out.x[0].numel() / 2)
    verdict = graded(total, 0.2 * each, 1.0 * each)
    fix = _more_of(patient.run, worst, f"log-SNR {worst:.0f}")
    n = patient.run.data.count
    if n is not None and n <= FEW and not _seldom(patient.run, worst):
        fix = f"{n:,} data may be too few: more of them{patient.option}, or stop earlier."
    return Finding("levels", verdict, said, numbers, fix * (verdict != "ok"))


def _seldom(run: Run, log_snr: float) -> bool:
    """Return whether training hardly draws a level, and would draw it more often uniformly in t."""
    training = run.training.model_copy(update={"density": UniformTime()})
    evenly = configured.drawn_near(run.model_copy(update={"training": training}), log_snr)
    return configured.drawn_near(run, log_snr) < min(SELDOM, evenly / 2)


def _more_of(run: Run, log_snr: float, where: str) -> str:
    """Say how to learn more about a level: by training there at all, or else by training longer."""
    if not _seldom(run, log_snr):
        return f"Train longer or wider, or see more of {where} in training (density, weight)."
    seen = configured.drawn_near(run, log_snr)
    setting = "uniform=0.1" if hasattr(run.training.density, "uniform") else "kind=uniform"
    return f"See more of {where} in training, {seen:.1%} of which lies near it: training.density.{setting}."


def _against_linear(patient: Patient) -> Finding:
    if not patient.unseen:
        return not_applicable("levels", f"no exact denoiser is known to compare with, and {NONE_HELD}")
    if (n := len(patient.held_out.x)) < FEWEST:
        return not_applicable("levels", f"no exact denoiser is known, and {n} held-out data are too few to judge by")
    if float(patient.held_out.x.double().std(0).max()) < CONSTANT * patient.model.scale:
        return not_applicable("levels", "no exact denoiser is known, and held-out data are all alike")
    run = patient.run
    grid, forgiven = run.levels()[:-1], run.model.target in ESTIMATE_NOISE
    losses = patient.losses_of(patient.model.denoiser, grid[:: max(1, math.ceil(len(grid) / 8))])

    def over(each: LevelLoss) -> tuple[float, float]:
        weight = min(1.0, float(each.level.snr) * run.sigma_data**2) if forgiven else 1.0
        share = weight / max(each.linear, 1e-9)
        return share * (each.loss - each.linear), share * each.error

    at, (excess, error) = max(
        ((each.level, over(each)) for each in losses), key=lambda pair: pair[1][0] - 3 * pair[1][1]
    )
    where = f"log-SNR {float(at.log_snr):.1f}" if at.alpha > 0 else "t = 1, where all is noise"
    numbers = {"over_linear": 1 + excess, "error": error, "worst_t": float(at.t)}
    said = (
        f"there is no exact denoiser to compare with; beside the best linear one the loss of x0 is at worst "
        f"{1 + excess:.2f} ± {error:.2f} of its (at {where})"
        + f"; what is more in `{run.model.target}` is weighed by min(1, SNR), as sampling does" * forgiven
        + ", asked without a guess" * patient.model.self_conditioned
    )
    verdict = graded(1 + excess - 3 * error, 1.1, 2.0)
    fix = _more_of(run, float(at.log_snr), where.split(",")[0])
    return Finding("levels", verdict, said, numbers, fix * (verdict != "ok"))


def average(patient: Patient) -> Finding:
    """Check the averaged weights against the raw ones: an average that lags is the worse of the two.

    Compared by their nats beside the exact denoiser where it is known, else by the loss on held-out data.
    """
    foretold = configured.average(patient.run)
    if patient.raw is None or patient.run.training.ema.half_life == 0:
        return foretold
    if patient.exact is not None and len(patient.excess) > 1:
        what, by = "nats beside the exact denoiser", [nats(patient.excess), nats(patient.excess_of(patient.raw))]
        slack, numbers = 0.1, {"averaged_nats": by[0], "raw_nats": by[1]}
    else:
        run = patient.run
        validator = Validator(run.data, run.training, n=256, seed=run.seed, device=patient.model.device)
        assert isinstance(patient.model.denoiser, Denoiser)
        what, by = "loss", [validator(weights, batch_size=64).loss for weights in (patient.model.denoiser, patient.raw)]
        slack, numbers = 0.02 * by[1], {"averaged_loss": by[0], "raw_loss": by[1]}
    behind = (by[0] - slack) / max(by[1], 1e-12)
    verdict = worst(graded(behind, 1.2, 3.0), foretold.verdict)
    said = f"{foretold.words}; {what} {short(by[0])} averaged, {short(by[1])} raw"
    fix = "The average lags: sample with --weights raw, or train longer, or take a smaller training.ema.half_life."
    if verdict == foretold.verdict:
        fix = foretold.fix
    return Finding("average", verdict, said, {**foretold.numbers, **numbers}, fix)


def units(patient: Patient) -> Finding:
    """Check that weights are finite and units alive: one that answers the same to all data at all levels is lost.

    A ReLU whose input has become negative everywhere has no gradient to come back by (Lu et al. 2020, "Dying ReLU").
    """
    if not patient.trained:
        return not_applicable("units", "not trained yet: there is no network to look into")
    denoiser = patient.model.denoiser
    assert isinstance(denoiser, Denoiser)
    bad = sum(int((~p.isfinite()).sum()) for p in denoiser.parameters())
    if bad:
        fix = "Take another checkpoint; then a smaller --lr, or training.clip=1."
        return Finding("units", "problem", f"{bad:,} weights are not finite", {"not_finite": bad}, fix)
    alive = _alive(patient, denoiser)
    total, dead = len(alive), int((~alive).sum())
    share = dead / max(total, 1)
    verdict = graded(share, 0.1, 0.5)
    said = f"{dead:,} of {total:,} units never change over data at all levels; every weight is finite"
    smooth = ", or take network.activation=silu" * (getattr(patient.run.network, "activation", "") == "relu")
    fix = f"Lower --lr{smooth}: dead units do not come back."
    return Finding("units", verdict, said, {"dead": dead, "units": total}, fix * (verdict != "ok"))


def _alive(patient: Patient, denoiser: Denoiser) -> Tensor:
    """Return for each unit, layer by layer, whether its answers to held-out data at several levels differ."""
    moments: dict[tuple[int, int], list[Tensor]] = {}
    calls = 0

    def remember(module: nn.Module, given: object, output: Tensor) -> None:
        nonlocal calls
        values = output.detach().double()
        values = values.transpose(0, 1).flatten(1)  # (units, everything else)
        key = (calls, len(values))
        moments.setdefault(key, []).append(torch.stack([values.amin(1), values.amax(1), values.square().mean(1)]))
        calls += 1

    kinds = (nn.ReLU, nn.SiLU, nn.GELU, nn.Conv2d, nn.GroupNorm)
    last = getattr(denoiser.network, "last", None)
    hooks = [m.register_forward_hook(remember) for m in denoiser.modules() if isinstance(m, kinds) and m is not last]
    try:
        x0 = (patient.held_out.x[:256] - patient.model.shift) / patient.model.scale
        eps, label = patient.noise(len(x0)), None
        if patient.model.conditional and patient.held_out.label is not None:
            label = patient.held_out.label[:256]
        with torch.no_grad():
            for level in patient.run.levels()[:-1][:: max(1, patient.run.sampling.steps // 6)]:
                calls = 0
                denoiser(level.alpha * x0 + level.sigma * eps, level, label)
    finally:
        for hook in hooks:
            hook.remove()
    alive = []
    for seen in moments.values():
        low, high, square = torch.stack(seen, 1)
        size = square.mean().sqrt()
        alive.append(high.amax(0) - low.amin(0) > CONSTANT * size)
    return torch.cat(alive) if alive else torch.ones(0, dtype=torch.bool)


def learning(patient: Patient) -> Finding:
    """Check the learning rate by the run's own metrics: spikes, a validation loss that rises, or a loss still falling.

    A loss that jumps over twice its running median says that steps are too long; one that still falls by a tenth in
    the last fifth of the run, that they were too short or too few. Gradients that are clipped nearly always are no
    fault: to Adam and Muon the scale of a gradient hardly matters, and clipping each is only another scale.
    """
    foretold = configured.rate(patient.run)
    rows = [row for row in patient.metrics if "loss" in row and "grad_norm" in row]
    if len(rows) < 20:
        return foretold._replace(words=f"{foretold.words}; too few metrics to judge it by")
    losses = torch.tensor([row["loss"] for row in rows], dtype=torch.float64)
    norms = torch.tensor([row["grad_norm"] for row in rows], dtype=torch.float64)
    warm, span = len(rows) // 5, max(len(rows) // 10, 5)
    around = losses.unfold(0, span, 1).median(1).values
    around = torch.cat([around[:1].expand(len(losses) - len(around)), around])
    spikes = float((losses[warm:] > 2 * around[warm:]).double().mean())
    clip = patient.run.training.clip
    clipped = 0.0 if clip is None else float((norms[warm:] > clip).double().mean())
    fifth = max(len(rows) // 5, 4)
    before, after = float(losses[-2 * fifth : -fifth].median()), float(losses[-fifth:].median())
    falling = (before - after) / max(abs(before), 1e-12)
    noise = math.hypot(*(median_error(part) for part in (losses[-2 * fifth : -fifth], losses[-fifth:])))
    noise /= max(abs(before), 1e-12)
    validated = [row["validation"] for row in patient.metrics if "validation" in row]
    rising = validated[-1] / max(min(validated), 1e-12) - 1 if len(validated) > 2 else 0.0
    numbers = {**foretold.numbers, "spikes": spikes, "clipped": clipped, "falling": falling, "rising": rising}
    said = (
        f"{foretold.words}; over the last fifth the loss changed by {-falling:+.1%}; "
        f"{spikes:.1%} of losses are spikes, {clipped:.0%} of gradients clipped"
    )
    if rising > 0.1:
        said += f"; the validation loss ended {rising:.0%} above its best"
    verdict = worst(
        foretold.verdict,
        graded(spikes, 0.01, 0.1),
        graded(rising, 0.1, 0.5),
        graded(falling - 2 * noise, 0.1, 0.4),
    )
    optimizer, n = patient.run.training.optimizer, patient.run.data.count
    lr = optimizer.lr
    if configured.weight(patient.run).wrong:  # which alone makes losses jump, whatever the rate
        spikes, verdict = 0.0, worst(foretold.verdict, graded(rising, 0.1, 0.5))
        said += "; a loss that is weighed so unevenly says little about the rate"
    if foretold.fix or verdict == "ok":
        fix = foretold.fix
    elif rising > 0.1 and n is not None and n <= FEW:
        fix = f"The network learns its {n:,} data by heart: more of them{patient.option}, or fewer steps."
    elif spikes > 0.01 or rising > 0.1:
        fix = f"Lower it: --lr {short(lr / 3)}."
    elif 3 * lr * optimizer.stride <= configured.LONGEST:
        fix = f"Train longer, or try --lr {short(lr * 3)}."
    else:
        fix = "Train longer."
    return Finding("learning rate", verdict, said, numbers, fix)


def median_error(values: Tensor) -> float:
    """Return the standard error of the median of independent normal values: √(π/2) of that of their mean.

    Their deviation is told by the median of how far each lies from the one before: a trend or a spike adds nothing.
    """
    steps = values.diff()
    deviation = 1.4826 * float((steps - steps.median()).abs().median()) / math.sqrt(2)
    return math.sqrt(math.pi / 2 / len(values)) * deviation
