"""How good is a model? Every score over several draws of its samples, beside what real data read in their place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from toydiff import __version__
from toydiff.data import Batch, Data
from toydiff.data.known import FromFile, stamp
from toydiff.errors import ConfigurationError, ToydiffError, shown
from toydiff.files import write_text
from toydiff.metrics import FEWEST
from toydiff.metrics.classifier import ARCHITECTURE
from toydiff.metrics.floors import pair, real
from toydiff.metrics.inception import Inception, WithInception
from toydiff.metrics.measures import measures_for
from toydiff.metrics.scores import STUDENT, Floor, Meaning, Measures, Score, confidence, copying_sd, remark
from toydiff.runs import Loaded
from toydiff.runs.loaded import BATCH

DRAWS, FLOOR_DRAWS = 5, 20
"""Draws of samples that an interval comes from, and pairs of real draws that a floor comes from."""
STEPS = 50
"""Steps of the ODE that a likelihood is first computed with; twice as many check it."""
KL = Meaning(
    "nats", "lower", "mean of log p_true(x) − log p_model(x) over real x, by the probability-flow ODE, unguided"
)


def evaluate(
    loaded: Loaded,
    n: int = 2000,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    floor_draws: int = FLOOR_DRAWS,
    label: str | int | None = None,
    inception: Inception | None = None,
    cache: Path | None = None,
    on_progress: Callable[[str], object] = str,
    note: Callable[[str], object] = str,
    **options: Any,
) -> list[Score]:
    """Return every score that suits the model's data (points, shapes, images), each over `draws` draws of n samples.

    Draw b is made of the seeds seed + b·n … seed + (b + 1)·n − 1 and stands beside n held-out data of its own, drawn
    from what the training data were drawn from (of a finite set, from those held out: the same for every draw if that
    is all of them); of a class, if `label` names one. Two ways of sampling, evaluated with the same seed, thus share
    noise and real data draw by draw. The floor comes from `floor_draws` pairs of further real draws, and is kept in the
    folder `cache`. With an `inception` network, there is the FID of images beside the rest. `options` are those of
    `Loaded.sample`: sampler, levels, guidance, interval, guide, clip, device, evaluations. `note` hears of what is made
    once and takes minutes, and of floors that are not at n.
    """
    if not 1 <= draws <= max(STUDENT):
        raise ConfigurationError(f"{draws} draws", f"An interval comes from 1 … {max(STUDENT)}.")
    data, chosen = loaded.data, class_of(loaded, label)
    data.check()
    n = enough(data, n, chosen)
    measures = measures_for(data, loaded.conditional and str(label) != "none", chosen)
    if inception is not None:
        measures = WithInception(measures, inception, n)
    if n < measures.fewest:
        there = enough(data, measures.fewest, chosen)
        raise ConfigurationError(
            f"{n:,} samples in a draw are too few to measure {data.word} by",
            f"Take {measures.fewest} at least: -n."
            if there == measures.fewest
            else f"It takes {measures.fewest} held-out ones, and there are {there}.",
        )
    measures.prepare(note, on_progress)
    drawn, held_out = [], None if data.available is None else enough(data, data.available, chosen)
    if said := floors_caveat(data, n, seed, chosen):
        note(said)
    for b in range(draws):
        on_progress(f"draw {b + 1} of {draws}: {n:,} samples")
        samples = loaded.sample(n, seed=seed + b * n, label=label, **options)
        drawn.append(measures(samples, real(data, n, seed, "evaluate", b, chosen)))
    floors = floors_of(measures, data, n, seed, floor_draws, chosen, cache, on_progress)
    scores = []
    for name, meaning in measures.meanings.items():
        if name in measures.missing:
            scores.append(Score(name, meaning, note=measures.missing[name]))
        else:
            values = tuple(row[name] for row in drawn)
            said = "; ".join(filter(None, (measures.remark(name), remark(name, values, n, held_out))))
            scores.append(Score(name, meaning, values, confidence(values, meaning.ends), floors[name], said))
    return scores


def divergence(
    loaded: Loaded, n: int = 2000, *, seed: int = 0, label: str | int | None = None, steps: int = STEPS
) -> Score:
    """Return KL(data‖model) in nats: the paired mean of log p_true(x) − log p_model(x) over n real x.

    The model's density is that of its probability-flow ODE, whatever samples from it, without guidance; a model of
    classes is asked for each x's own. The ODE is solved with `steps` steps and with twice as many, and what this
    changes is said. The floor is 0; its spread is the standard error together with that change.
    """
    name, data, chosen = "KL(data‖model)", loaded.data, class_of(loaded, label)
    try:
        if getattr(loaded.denoiser, "memorises", False):
            raise ToydiffError("the model is a set of points, and has no density")
        law = data.exact()
    except ToydiffError as error:
        return Score(name, KL, note=error.message)
    if (n := enough(data, n, chosen)) < 2:
        raise ConfigurationError(f"{n} real {data.word}", "A mean and its standard error take 2 at least.")
    x, classes = real(data, n, seed, "likelihood", 0, chosen)
    given = classes if loaded.conditional and str(label) != "none" else None  # to the truth and to the model
    asked = torch.full((n,), len(data.label_names)) if loaded.conditional and given is None else given
    ratios = []
    for rows in torch.split(torch.arange(n), BATCH):
        own = None if given is None else given[rows]
        truth = law.log_prob(x[rows].double(), label=own)
        to_model = None if asked is None else asked[rows]
        models = [loaded.log_prob(x[rows], to_model, steps=k * steps).double() for k in (1, 2)]
        ratios.append(truth - torch.stack(models))
    coarse, fine = torch.cat(ratios, 1)
    mean, se, change = float(fine.mean()), float(fine.std()) / math.sqrt(n), float((fine - coarse).mean())
    note = f"{2 * steps} steps of the ODE instead of {steps} change it by {change:+.1g}; the standard error is {se:.1g}"
    half = math.hypot(1.96 * se, change)
    if not math.isfinite(mean + half):
        return Score(name, KL, note="the probability-flow ODE of this model leads to numbers that are not finite")
    if abs(change) > max(0.1, abs(mean) / 2):
        reason = f"{mean:.3g} nats in {2 * steps} steps, {mean - change:.3g} in {steps}"
        return Score(name, KL, note=f"the probability-flow ODE of this model is not resolved: {reason}")
    return Score(name, KL, (mean,), (mean - half, mean + half), Floor(0.0, math.hypot(se, change)), note)


def track(
    loaded: Loaded,
    seed: int,
    floors: dict[str, Floor],
    cache: Path | None = None,
    note: Callable[[str], object] = str,
) -> list[Score]:
    """Return the quick scores of a model in training, of one draw: the same noise and real data at every call.

    `floors` are filled in by the first call, for those that follow; see `evaluate` for `cache` and `note`.
    """
    data, measures = loaded.data, measures_for(loaded.data, loaded.conditional, None)
    n = enough(data, measures.few)
    measures.prepare(note)
    values = measures.quick(loaded.sample(n, seed=seed), real(data, n, seed, "evaluate", 0, None))
    if not floors:
        if said := floors_caveat(data, n, seed, None):
            note(said)
        floors |= floors_of(measures, data, n, seed, FLOOR_DRAWS, None, cache, note=note, quick=tuple(values))
    meanings = measures.meanings
    return [Score(name, meanings[name], (value,), floor=floors[name]) for name, value in values.items()]


def class_of(loaded: Loaded, label: str | int | None) -> int | None:
    """Return the number of the class that `label` asks for, None for all of them.

    Raises ConfigurationError for a label that does not exist or a model that takes none.
    """
    if label is None or loaded.labels(label, torch.zeros(1, dtype=torch.int64)) is None or str(label) == "none":
        return None
    return loaded.data.label_of(label)


def enough(data: Data, n: int, label: int | None = None) -> int:
    """Return n, or how many held-out data there are, if fewer; ToydiffError if they are too few to measure by."""
    if data.available is None:
        return n
    if (there := len(real(data, n, 0, "evaluate", 0, label).x)) < FEWEST:
        of = "" if label is None else f" of the class `{shown(data.label_names[label])}`"
        hint = f"It takes {FEWEST}; of a file without a split one in ten is held out."
        if not data.holds_out:
            raise ToydiffError(f"no {data.word}{of} are held out to measure by: all are trained on", hint)
        raise ToydiffError(f"{there} held-out {data.word}{of} are too few to measure by", hint)
    return there


def check_followed(data: Data) -> None:
    """Raise ConfigurationError if there are too few data to measure a run by while it trains (`track`)."""
    try:
        enough(data, FEWEST)
    except ToydiffError as error:
        raise ConfigurationError(
            f"record.evaluate_every: {error.message}", f"{error.hint} Or set it to none."
        ) from error


def floors_caveat(data: Data, n: int, seed: int, label: int | None) -> str:
    """Return what there is to say of floors where fewer than 2n data are held out, "" where there are as many."""
    if data.available is None or enough(data, data.available, label) >= 2 * n:
        return ""
    if (m := len(pair(data, n, seed, 0, label)[0].x)) < n:
        return f"too few real {data.word} for pairs of {n:,}: floors are between {m:,} and {m:,}, and so too high"
    if data.pictorial and len(data.label_names) > 1:
        return "floors are between held-out images and some that the classifier was trained on: those by it are high"
    return ""


def floors_of(
    measures: Measures,
    data: Data,
    n: int,
    seed: int,
    draws: int,
    label: int | None,
    cache: Path | None,
    on_progress: Callable[[str], object] = str,
    note: Callable[[str], object] = str,
    quick: tuple[str, ...] = (),
) -> dict[str, Floor]:
    """Return every score's floor at n samples, or that of the `quick` ones named: mean and spread over real pairs.

    What is known of `copying` needs no draws. Floors are kept in a file of the folder `cache`, named by all that they
    depend on; `note` hears of it when they are not.
    """
    measure = measures.quick if quick else measures
    names = [*quick] or [name for name in measures.meanings if name not in measures.missing]
    made = [__version__, torch.__version__, ARCHITECTURE, measures.instrument]
    meanings = {name: measures.meanings[name] for name in names}  # a score that means something else has another floor
    key = [*made, data.model_dump(mode="json"), meanings, n, seed, draws, label]
    if data.available is not None:  # a file may have changed
        key += [repr(stamp(data.path)) if isinstance(data, FromFile) else "", _digest(*pair(data, n, seed, 0, label))]
    path = cache and cache / f"{sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"
    if path is not None and (kept := _read(path, names)) is not None:
        return kept
    note(f"measuring {draws} pairs of {n:,} real {data.word}, once: what the scores are to be compared with")
    rows = []
    for k in range(draws):
        on_progress(f"floor: pair {k + 1} of {draws} of {n:,} real {data.word}")
        rows.append(measure(*pair(data, n, seed, k, label)))
    columns = {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in names}
    floors = {name: Floor(float(column.mean()), float(column.std())) for name, column in columns.items()}
    if "copying" in floors:
        floors["copying"] = Floor(0.5, copying_sd(n))
    if path is not None:
        _keep(path, floors)
    return floors


def _digest(*batches: Batch) -> str:
    """Return a digest of data and their labels."""
    digest = sha256()
    for part in (tensor for batch in batches for tensor in batch if tensor is not None):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path, names: list[str]) -> dict[str, Floor] | None:
    """Return the floors kept in a file, or None if it is not there or not what it should be."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: Floor(float(kept[name][0]), float(kept[name][1])) for name in names}
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None


def _keep(path: Path, floors: dict[str, Floor]) -> None:
    """Write floors for the next time; where that is not possible, they are computed again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(floors))
    except (OSError, ToydiffError):
        return
