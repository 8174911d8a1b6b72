"""inspect --arrows: where one step of denoising leads, and the score, at chosen noise; exact beside learned."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from toydiff.cli.drawing import Paper, provenance
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError
from toydiff.files import shown
from toydiff.names import Found

if TYPE_CHECKING:
    from toydiff.denoiser import Denoise
    from toydiff.schedules import Level, Schedule

AtOption = Annotated[
    str | None,
    typer.Option("--at", help="Of --arrows: the noise, one sigma or several: 0.2,0.5,0.9.", metavar="SIGMA,…"),
]
LOG_SNR = (-1.0, 1.0, 3.0)
"""Of the levels shown unless told otherwise: sigma/alpha 1.6, 0.61 and 0.22, for data of size 1."""
MOST_LEVELS, POINTS, DATA = 6, 250, 3000


def parse_at(text: str | None) -> list[float]:
    """Return the sigmas of --at, [] without it."""
    try:
        sigmas = [float(part) for part in text.split(",")] if text is not None else []
    except ValueError:
        sigmas = [math.nan]
    if not all(0 < sigma < math.inf for sigma in sigmas) or len(sigmas) > MOST_LEVELS:
        raise ConfigurationError(
            f"`--at {shown(text)}` is not from 1 to {MOST_LEVELS} noise levels", "For example: --at 0.2,0.5,0.9"
        )
    return sigmas


def levels_at(schedule: Schedule, sigmas: list[float]) -> list[Level]:
    """Return the levels of these sigmas, or of LOG_SNR, noisiest first; ConfigurationError for a sigma it never has."""
    if not sigmas:
        times = {float(schedule.time_of(log_snr)) for log_snr in LOG_SNR}
        return [schedule(t) for t in sorted(times, reverse=True)]
    least, most = float(schedule(0.0).sigma), float(schedule(1.0).sigma)
    for sigma in sigmas:
        if not max(least, 1e-6) <= sigma <= most + 1e-9:
            raise ConfigurationError(
                f"--at {sigma:g}: the sigma of this schedule goes from {least:.3g} to {most:.3g}",
                "See all of it: toydiff inspect NAME --schedule",
            )
    return [schedule(schedule.time_of_sigma(sigma)) for sigma in sorted(set(sigmas), reverse=True)]


def draw_arrows(found: Found, sigmas: list[float], paper: Paper, talk: Talk) -> None:
    """Write the picture, and print how far the denoisers' estimates lie from the data and from one another."""
    import torch

    from toydiff.denoiser import scaled_score
    from toydiff.runs import load
    from toydiff.training import streams
    from toydiff.viz.onestep import OneStep, one_step_picture, places, root_mean_square, shared_limits

    loaded = load(found, warn=talk.warn)
    if loaded.data.shape != (2,):
        raise ConfigurationError(
            f"--arrows draws points of the plane, and samples of `{shown(loaded.name)}` have shape {loaded.data.shape}",
            f"See the way of others with: toydiff sample {shown(loaded.name)} --show-process",
        )
    levels = levels_at(loaded.schedule, sigmas)
    denoisers: dict[str, Denoise] = {"learned": loaded.denoise()}
    if loaded.exact is not None:
        denoisers["exact"] = partial(loaded.exact)
    else:
        talk.note("no exact denoiser is known for its data: the learned one is drawn alone")
    real = loaded.data.outline(DATA)
    x0 = (loaded.data.held_out(POINTS, streams.generator(0, "arrows")).x - loaded.shift) / loaded.scale
    eps = streams.normal(loaded.data.shape, seed=0, stream="arrows", index=torch.arange(len(x0)))
    noisy = [(level.alpha * x0 + level.sigma * eps).float() for level in levels]
    limits = shared_limits(real, [loaded.to_data(x) for x in noisy])
    steps, rows = [], []
    for level, x, box in zip(levels, noisy, limits, strict=True):
        at = (torch.from_numpy(places(box)).float() - loaded.shift) / loaded.scale
        with torch.no_grad():
            made = {name: loaded.to_data(denoise(x, level)) for name, denoise in denoisers.items()}
            scores = {name: scaled_score(denoise, at, level) for name, denoise in denoisers.items()}
        steps.append(OneStep(level, loaded.to_data(x), made, scores))
        away = {name: root_mean_square(estimate, loaded.to_data(x0)) for name, estimate in made.items()}
        apart = root_mean_square(made["learned"], made["exact"]) if "exact" in made else None
        rows.append({**_numbers(level), **away, "apart": apart})
    title = f"{shown(loaded.name)}: one step of denoising"
    paper.draw(lambda: one_step_picture(steps, real, limits, title), **provenance(loaded))
    lines = [[f"{value:.3g}" for value in row.values() if value is not None] for row in rows]
    headings = ["sigma", "t", "sigma/alpha", *(f"{name} to x_0" for name in denoisers)]
    headings += ["learned to exact"] * (len(denoisers) > 1)
    said = f"{shown(paper.out)}: {title}; root mean square distances of {len(x0)} held-out points, in data units"
    talk.result(f"{said}\n\n{table(headings, lines)}", {"output": str(paper.out), "levels": rows})


def _numbers(level: Level) -> dict[str, float]:
    return {"sigma": float(level.sigma), "t": float(level.t), "sigma_over_alpha": float(level.sigma / level.alpha)}
