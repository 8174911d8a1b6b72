"""inspect --loss-by-t: at which noise a network has something left to learn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from toydiff.cli.drawing import Paper, provenance
from toydiff.cli.evaluate import progress
from toydiff.cli.memory import enough_memory, too_many
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.files import shown
from toydiff.names import Found

if TYPE_CHECKING:
    from toydiff.config import Run
    from toydiff.metrics.levels import LevelLoss
    from toydiff.schedules import Level

LEVELS, DATA = {False: 24, True: 10}, {False: 4000, True: 128}
"""Noise levels, and held-out data: of points, and of images."""


def draw_losses(found: Found, paper: Paper, talk: Talk) -> None:
    """Write the picture, and print the losses level by level."""
    import torch

    from toydiff.metrics.levels import excess_points, level_losses, nats
    from toydiff.runs import load
    from toydiff.training import streams
    from toydiff.viz.losses import losses_picture

    loaded = load(found, warn=talk.warn)
    run, data = loaded.config, loaded.data
    data.check()
    batch = data.held_out(DATA[data.pictorial], streams.generator(run.seed, "loss by t"))
    x0 = (batch.x - loaded.shift) / loaded.scale
    eps = streams.normal(data.shape, seed=run.seed, stream="loss by t", index=torch.arange(len(x0)))
    label = batch.label if loaded.conditional else None
    if loaded.exact is None:
        talk.note("no exact denoiser is known for its data and noise: the best linear one is the yardstick")
    if loaded.self_conditioned:
        talk.note("the network is asked without a guess of x_0, which it has when it samples")
    with enough_memory(lambda: too_many(loaded, len(x0))), progress(talk) as on_progress:
        on_progress("denoising held-out data")
        losses = level_losses(loaded.denoiser, levels_of(run), x0, eps, label, loaded.exact)
    factors = [own_factor(run, each) for each in losses]
    own = f"{run.model.target} loss, weight {run.training.weight.kind}"
    title = f"{shown(loaded.name)}: loss by noise level, {len(x0):,} held-out {data.word}"
    paper.draw(lambda: losses_picture(losses, factors, f"{own},  w |F̂ − F|²", title), **provenance(loaded))
    rows = [_row(each, factor) for each, factor in zip(losses, factors, strict=True)]
    known = loaded.exact is not None
    keys = ["t", "sigma_over_alpha", "log_snr", "loss", *(["floor", "excess"] if known else ["linear"]), "own"]
    if known:
        keys.append("own_floor")
    headings = {"sigma_over_alpha": "sigma/alpha", "log_snr": "log-SNR", "loss": "loss of x_0", "own": own,
                "linear": "best linear", "own_floor": "its floor"}  # fmt: skip
    lines = [[_short(row[key]) for key in keys] for row in rows]
    bound = nats(excess_points(losses, x0[0].numel())) if known else None
    said = f"{shown(paper.out)}: {title}"
    if bound is not None:
        noisiest = max(float(each.level.t) for each in losses if float(each.level.alpha) > 0)
        ends = f"from t = {rows[-1]['t']:.3g} to {noisiest:.3g}"
        said += f"\nabove the floor it costs {bound:.3g} nats {ends}: that part of a bound on KL"
    facts = {"output": str(paper.out), "own": own, "nats": bound, "levels": [_plain(row) for row in rows]}
    talk.result(f"{said}\n\n{table([headings.get(key, key) for key in keys], lines)}", facts)


def levels_of(run: Run) -> list[Level]:
    """Return evenly spread times of the schedule, its noisiest first, as many as it has if those are few.

    Where alpha = 0 all there is to see of x_0 is its mean: a network is asked for it where sampling begins there.
    """
    from toydiff.schedules import noise_levels

    count = LEVELS[run.data.pictorial]
    if (knots := run.schedule.knot_times) is not None:
        count = min(count, len(knots))
    levels = noise_levels(run.schedule, count, "trailing")[:-1]
    from_noise = float(run.levels()[0].alpha) == 0  # which a run of eps or score refuses: they say nothing of x_0 there
    return levels if from_noise else [level for level in levels if float(level.alpha) > 0] or levels


def own_factor(run: Run, each: LevelLoss) -> float:
    """Return what the run makes of a loss of x_0 at the level: w · ((alpha · b − sigma · a)/sigma)²."""
    from toydiff.denoiser import target_coefficients

    a, b = target_coefficients(run.model.target, each.level, run.sigma_data)
    return each.in_target(run.model.target, run.sigma_data) * float(
        run.training.weight(each.level, a, b, run.sigma_data)
    )


def _row(each: LevelLoss, factor: float) -> dict[str, float | None]:
    level = each.level
    return {
        "t": float(level.t), "sigma_over_alpha": float(level.sigma / level.alpha), "log_snr": float(level.log_snr),
        "loss": each.loss, "floor": each.floor, "excess": each.excess, "linear": each.linear,
        "own": each.loss * factor, "own_floor": None if each.floor is None else each.floor * factor,
    }  # fmt: skip


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value if value is None or math.isfinite(value) else None for key, value in row.items()}


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
