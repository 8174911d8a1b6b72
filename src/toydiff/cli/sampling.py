"""What sample and animate share: the run with another way of sampling, and words for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from toydiff.errors import ConfigurationError
from toydiff.files import shown

if TYPE_CHECKING:
    from toydiff.config import Run, Sampling
    from toydiff.runs import Loaded
    from toydiff.runs.loaded import Clip


def check_sampler_words(
    sampler: str | None, steps: int | None, option: str = "--sampler"
) -> tuple[str | None, int | None]:
    """Return (name, steps) of --sampler NAME[:STEPS] and --steps; `option` is where the first was given."""
    if sampler is None:
        return None, steps
    name, colon, count = sampler.partition(":")
    if not name:
        raise ConfigurationError(f"`{option} {shown(sampler)}` is not a sampler", "For example: ddim:50")
    if colon and not (count.isascii() and count.isdecimal() and len(count) <= 6 and 0 < int(count) <= 100_000):
        raise ConfigurationError(
            f"`{option} {shown(sampler)}`: the steps of a sampler are a whole number from 1 to 100,000",
            "For example: ddim:50",
        )
    if colon and steps not in (None, int(count)):
        raise ConfigurationError(f"--sampler {sampler} and --steps {steps} disagree", "Give one of the two.")
    return name, int(count) if colon else steps


def with_sampling(
    loaded: Loaded, *, sampler: str | None, steps: int | None, spacing: str | None, eta: float | None, sets: list[str]
) -> Loaded:
    """Return `loaded` sampling in another way; ConfigurationError for whatever does not fit its model."""
    from dataclasses import replace

    return replace(loaded, config=sampled_as(loaded.config, sampler, steps, spacing, eta, sets))


def sampled_as(
    run: Run,
    sampler: str | None,
    steps: int | None,
    spacing: str | None,
    eta: float | None = None,
    sets: Sequence[str] = (),
) -> Run:
    """Return the run with another way of sampling; ConfigurationError for whatever does not fit its model."""
    from toydiff.layers import Layer, parse_set, resolve
    from toydiff.samplers import AnySampler
    from toydiff.spec import kinds

    values: list[tuple[str, Any]] = []
    if sampler is not None:
        values.append(("sampling.sampler.kind", sampler))
    if eta is not None:
        kind = sampler or run.sampling.sampler.kind
        takers = [name for name, cls in kinds(AnySampler).items() if "eta" in cls.model_fields]
        if kind not in takers and kind in kinds(AnySampler):
            raise ConfigurationError(f"the sampler `{kind}` takes no --eta", f"Samplers that do: {', '.join(takers)}.")
        values.append(("sampling.sampler.eta", eta))
    values += [("sampling.steps", steps)] * (steps is not None)
    values += [("sampling.spacing", spacing)] * (spacing is not None)
    for path, value in (parse_set(text) for text in sets):
        if path.split(".")[0] not in ("sampling", "sampler", "steps", "spacing", "start", "prior"):
            raise ConfigurationError(
                f"--set {path}: the model is trained; only its sampling can be set now",
                "For example: --set sampler.variance=beta or --set start=0.975",
            )
        values.append((path if path.startswith("sampling.") else f"sampling.{path}", value))
    other = resolve([Layer("command line", values)], base=run).run
    for idle, words in other.in_vain().items():  # what the model was saved with may be so, what is asked for now not
        if idle in dict(values):
            raise ConfigurationError(words, "Leave it out.")
    return other


def parse_clip(text: str | None) -> Clip:
    """Return the range of --clip LOW,HIGH, None for "none", and the data's own without the option."""
    if text is None:
        return "data"
    if text.strip() == "none":
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not low < high:
        raise ConfigurationError(f"`--clip {shown(text)}` is not a range", "For example: --clip -1,1, or --clip none")
    return low, high


def in_words(sampling: Sampling) -> str:
    """Return a way of sampling in a few words: "heun, 20 steps, trailing", and from where if not from t = 1."""
    options = sampling.sampler.model_dump(exclude={"kind"}, exclude_none=True)
    called = sampling.sampler.kind + "".join(f" {key}={value}" for key, value in options.items())
    words = [called, f"{sampling.steps} steps", str(sampling.spacing)]
    if sampling.start is not None:
        words.append(f"from t = {sampling.start:g}")
    if sampling.prior == "unit":
        words.append("prior N(0, I)")
    return ", ".join(words)


def described(
    loaded: Loaded,
    clip: Clip = "data",
    evaluations: list[int] | None = None,
    guided: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return how it samples, in a few words: "heun, 20 steps, trailing, x_0 clipped to −1 … 1, guidance 2".

    For a sampler that chooses for itself, with the evaluations of the batch that took most. `guided` may have guidance,
    guide and interval, as `Loaded.sample` takes them.
    """
    sampling = loaded.config.sampling
    words = [in_words(sampling)]
    if evaluations and sampling.sampler.evaluations is None:
        words.append(f"{max(evaluations)} evaluations")
    if (bounds := loaded.clipping(clip)) is not None:
        words.append(f"x_0 clipped to {bounds[0]:g} … {bounds[1]:g}")
    return ", ".join([*words, *guidance_in_words(guided)])


def guidance_in_words(guided: Mapping[str, Any]) -> list[str]:
    """Return ["guidance 2 by shapes32-guide for sigma/alpha in 0.2 … 3"], or nothing where nothing guides."""
    from toydiff.guidance import EVERYWHERE

    scale, guide, interval = guided.get("guidance", 1), guided.get("guide"), guided.get("interval", EVERYWHERE)
    if scale == 1:
        return []
    by = f" by {shown(guide.name)}" if guide is not None else ""
    within = f" for sigma/alpha in {interval[0]:g} … {interval[1]:g}" if interval != EVERYWHERE else ""
    return [f"guidance {scale:g}{by}{within}"]
