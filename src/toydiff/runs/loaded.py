"""Something that samples: a denoiser, its schedule, data and configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from toydiff.config import Run
from toydiff.data import Batch, Data
from toydiff.denoiser import Denoise, Denoiser, input_scale
from toydiff.editing import Edit
from toydiff.errors import ConfigurationError, SamplingDiverged, ToydiffError
from toydiff.files import shown
from toydiff.guidance import EVERYWHERE, Clipped, Interval, Units, check_guide
from toydiff.likelihood import log_prob
from toydiff.names import Found
from toydiff.oracle import ExactDenoiser
from toydiff.runs.asking import asking, guided
from toydiff.samplers import Frame, Sampler
from toydiff.schedules import Level, Schedule
from toydiff.training import streams

Clip: TypeAlias = tuple[float, float] | Literal["data"] | None
"""Where the estimate of x_0 is clipped to, in data units: a range, the data's own for images, or nowhere."""
BATCH, BATCH_ELEMENTS = 4096, 1 << 18
"""Samples made at once, at most, and numbers in them: 256 images of 32 × 32."""


@dataclass(frozen=True)
class Loaded:
    """A trained (or exact) denoiser with everything needed to sample from it."""

    name: str
    found: Found
    config: Run
    denoiser: Callable[..., Tensor]
    """`denoiser(x, level, label=None)` → E[x_0 | x_t] in model units: a `Denoiser`, or an exact one."""
    shift: Tensor
    scale: float
    header: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    """The SHA-256 of its file."""

    @property
    def schedule(self) -> Schedule:
        return self.config.schedule

    @property
    def data(self) -> Data:
        return self.config.data

    @property
    def device(self) -> torch.device:
        """Where the network is; exact denoisers compute on the CPU."""
        return self.denoiser.scale.device if isinstance(self.denoiser, Denoiser) else torch.device("cpu")

    @property
    def conditional(self) -> bool:
        """Whether the denoiser takes a label: an exact one always does, where its data have labels."""
        trained = isinstance(self.denoiser, Denoiser)
        return self.config.model.conditional if trained else bool(self.data.label_names)

    @property
    def self_conditioned(self) -> bool:
        """Whether the denoiser takes a guess of x_0: its estimate of the evaluation before."""
        return isinstance(self.denoiser, Denoiser) and self.denoiser.self_condition

    @cached_property
    def exact(self) -> ExactDenoiser | None:
        """The exact denoiser of the data in the model's units; None where there is none, or noise hangs on the data."""
        if isinstance(self.denoiser, ExactDenoiser):
            return self.denoiser
        if not self.config.training.coupling.tweedie:
            return None
        try:
            return self.data.exact().affine(self.shift.double(), self.scale)
        except ToydiffError:
            return None

    def real(self, n: int, generator: torch.Generator) -> Batch:
        """Return n data to hold samples against: fresh ones, or the points themselves of "exact:moons@500"."""
        points = not isinstance(self.denoiser, Denoiser) and self.data.n is not None
        return self.data.fixed() if points else self.data.draw(n, generator)

    def labels(self, name: str | int | None, seeds: Tensor) -> Tensor | None:
        """Return the labels (B,) to sample with: all `name` (or its number, or "none"), or drawn by training frequency.

        None where the model has no classes.

        Raises ConfigurationError for a label that does not exist or a model that takes none.
        """
        if not self.conditional:
            if name is not None:
                raise ConfigurationError(
                    f"`{shown(self.name)}` knows no labels: it was trained without classes",
                    "Sample without --label, or train with --set model.conditional=true",
                )
            return None
        if name is not None:
            label, names = self.data.label_of(name), [*self.data.label_names, "none"]
            if isinstance(self.denoiser, ExactDenoiser):
                seen = [*self.denoiser.seen, len(names) - 1]
                if label not in seen:
                    raise ConfigurationError(
                        f"no point of `{shown(self.name)}` has the label `{names[label]}`",
                        f"Labels there are: {', '.join(names[k] for k in seen)}.",
                    )
            return torch.full((len(seeds),), label)
        u = streams.uniform((), seed=seeds, stream="label").contiguous()
        shares = self.label_frequencies.cumsum(0)
        return torch.searchsorted(shares / shares[-1], u).clamp(max=len(shares) - 1)

    @cached_property
    def label_frequencies(self) -> Tensor:
        """How often each label is drawn where none is asked for, (K,)."""
        exact = self.denoiser
        if isinstance(exact, ExactDenoiser) and exact.memorises and exact.labels is not None:  # a class it never saw
            return exact.labels.bincount(minlength=exact.label_count).double()  # cannot be asked for
        return self.data.label_frequencies()

    def guidance(self, scale: float | None, guide: Loaded | None = None) -> float:
        """Return the guidance scale, 1 for None; ConfigurationError for what nothing can guide, or no number."""
        if scale is None:
            return 1.0
        if not self.conditional and guide is None:
            raise ConfigurationError(
                f"`{shown(self.name)}` cannot be guided: it was trained without classes",
                "Train with --set model.conditional=true, or guide it by a weaker model: --guide NAME",
            )
        if not math.isfinite(scale):
            raise ConfigurationError(f"{scale:g} is no scale of guidance", "For example: --guidance 3")
        return scale

    def clipping(self, clip: Clip) -> tuple[float, float] | None:
        """Return the range that `clip` means: "data" is the data's own for images, and none for points."""
        if clip != "data":
            return clip
        return self.config.bounds

    @property
    def units(self) -> Units:
        """What a model that guides another must have in common with it."""
        labels = self.data.label_names if self.conditional else ()
        return Units(shown(self.name), self.data.shape, labels, self.shift, self.scale)

    def denoise(
        self,
        label: Tensor | None = None,
        *,
        guidance: float = 1.0,
        interval: Interval = EVERYWHERE,
        guide: Loaded | None = None,
        clip: Clip = "data",
        asked: list[Level] | None = None,
        remember: bool = False,
    ) -> Denoise:
        """Return denoise(x, level) in model units with the label bound, guided, then clipped to `clip` (data units).

        The guidance is classifier-free, or by the weaker model `guide`; see `guidance.check_guide`. `asked` gets the
        level of every evaluation of a network, of which guidance takes two.

        For one trajectory, `remember` hands a self-conditioned network its own estimates; without it each answer is a
        function of (x, level) alone, as likelihoods and fields need it.
        """

        def ask(model: Loaded) -> Callable[..., Tensor]:
            return asking(model.denoiser, asked, model.config.sampling if remember and model.self_conditioned else None)

        weak = None
        if guide is not None:
            check_guide(self.units, guide.units)
            weak = partial(ask(guide), label=label if guide.conditional else None)
        denoise = guided(ask(self), label, guidance, interval, weak)
        if (bounds := self.clipping(clip)) is not None:
            low, high = ((bound - self.shift) / self.scale for bound in bounds)
            return Clipped(denoise, low, high)
        return denoise

    def trajectory(
        self,
        seeds: Tensor | Sequence[int],
        *,
        sampler: Sampler | None = None,
        levels: list[Level] | None = None,
        label: Tensor | None = None,
        device: torch.device | str | None = None,
        edit: Edit = Edit(),  # noqa: B008 — frozen
        evaluations: list[int] | None = None,
        **options: Any,
    ) -> Iterator[Frame]:
        """Yield the sampler's frames, preceded by the start, in data units: sample i is seed i's alone.

        `edit` begins from data instead of noise; `options` are those of `denoise`: guidance, interval, guide, clip.
        How often the denoiser was asked is appended to `evaluations` at the end.
        Raises ToydiffError if the network returns a number that is not finite, naming the level.
        """
        seeds = torch.as_tensor(seeds, dtype=torch.int64)
        unit_prior = levels is None and self.config.sampling.prior == "unit"  # said of the run's own grid only
        sampler, levels = sampler or self.config.sampling.sampler, levels or self.config.levels(edit.strength)
        if problem := self.config.cannot_sample(sampler):
            raise ConfigurationError(*problem)
        if edit.init is not None and not self.config.training.coupling.tweedie:
            raise ConfigurationError(
                "data with noise on them are nothing that a model trained with optimal transport has seen",
                "Edit with a model of the coupling `independent`.",
            )
        edit.check(self.data.shape, len(seeds))
        device = device or self.device
        draws = 0

        def noise(like: Tensor | None = None) -> Tensor:
            nonlocal draws
            draws += 1
            draw = partial(streams.normal, self.data.shape, stream="sample", step=draws, device=device)
            return edit.noise(lambda seeds: draw(seed=seeds), seeds)

        eps = noise()
        x = eps if unit_prior else input_scale(levels[0], self.config.sigma_data) * eps
        asked: list[Level] = []
        denoise = self.denoise(None if label is None else label.to(device), asked=asked, remember=True, **options)
        if edit.init is not None:
            x, denoise = edit.begin(x, eps, levels[0], (edit.init - self.shift) / self.scale, denoise)
        yield Frame(levels[0], self.to_data(x), self.to_data(torch.zeros_like(x)))
        path = sampler.trajectory(denoise, x, levels, noise)
        while True:
            with torch.no_grad():  # around each step, not the yield: the caller's gradients are the caller's
                frame = next(path, None)
            if frame is None:
                break
            if not frame.x.isfinite().all():
                raise SamplingDiverged(
                    f"sampling gave a number that is not finite on the way to {frame.level}",
                    "The network may be damaged or untrained: try --weights raw, or another checkpoint.",
                )
            yield Frame(frame.level, self.to_data(frame.x), self.to_data(frame.x0))
        if evaluations is not None:
            evaluations.append(len(asked))

    def sample(self, n: int, *, seed: int = 0, label: str | int | None = None, **options: Any) -> Batch:
        """Return n samples in data units, of seeds seed … seed + n − 1, and their labels if there are any.

        `options` are those of `frames`, `trajectory` and `denoise`: sampler, levels, edit, guidance, clip …
        """
        frames, labels = self.frames(torch.arange(seed, seed + n), label=label, **options)
        return Batch(frames[-1].x, labels)

    def frames(
        self,
        seeds: Tensor,
        *,
        keep: Iterable[int] = (-1,),
        levels: list[Level] | None = None,
        label: str | int | Tensor | None = None,
        batch_size: int | None = None,
        edit: Edit = Edit(),  # noqa: B008 — frozen
        **options: Any,
    ) -> tuple[list[Frame], Tensor | None]:
        """Return the frames numbered `keep` (0: the starting noise, −1: the samples), on the CPU, and any labels.

        Batches bound the memory; a sample is its seed's alone, whatever the batch. Edits draw no labels by themselves:
        what they begin from may be of any class.
        """
        if self.conditional and label is None and edit.departs:
            label = "none"
        edit.check(self.data.shape, len(seeds))
        count = len(levels or self.config.levels(edit.strength))
        wanted = {k % count for k in keep}
        batches, labels = [], []
        for rows in self.batches(len(seeds), batch_size):
            chosen = label[rows] if isinstance(label, Tensor) else self.labels(label, seeds[rows])
            path = self.trajectory(seeds[rows], levels=levels, label=chosen, edit=edit[rows], **options)
            batches.append([Frame(f.level, f.x.cpu(), f.x0.cpu()) for k, f in enumerate(path) if k in wanted])
            labels += [] if chosen is None else [chosen]
        frames = [
            Frame(same[0].level, torch.cat([f.x for f in same]), torch.cat([f.x0 for f in same]))
            for same in zip(*batches, strict=True)
        ]
        frames = [Frame(f.level, f.x[: len(seeds)], f.x0[: len(seeds)]) for f in frames]
        return frames, torch.cat(labels)[: len(seeds)] if labels else None

    def batches(self, count: int, most: int | None = None) -> list[Tensor]:
        """Return the rows of each batch that `count` samples are made in, at most `most` or `at_once`.

        All are of one size, so that a chunk of them comes out the same by itself: the last row fills up the last batch.
        """
        number = -(-count // (most or self.at_once))
        return list(torch.arange(-(-count // number) * number).clamp(max=count - 1).chunk(number))

    @property
    def at_once(self) -> int:
        """Samples made in one batch."""
        return max(1, min(BATCH, BATCH_ELEMENTS // math.prod(self.data.shape)))

    def log_prob(
        self, x: Tensor, label: Tensor | None = None, *, steps: int = 200, probes: int | None = None, seed: int = 0
    ) -> Tensor:
        """Return log p(x), (B,) nats in data units, under the model's probability-flow ODE: log p(z) − D log scale.

        `probes` Rademacher vectors a point estimate the trace; None computes it exactly, one derivative a coordinate.
        """
        z, v = ((x - self.shift) / self.scale).to(self.device), None
        if probes is not None:
            address: dict[str, Any] = {"step": torch.arange(probes)[:, None], "index": torch.arange(len(x))}
            v = (streams.uniform(self.data.shape, seed=seed, stream="probes", **address) > 0.5).to(z) * 2 - 1
        # not clipped: smooth, as its ODE must be
        denoise = self.denoise(None if label is None else label.to(self.device), clip=None)
        # a run that starts from N(0, I) says with it what it takes noise to be
        sigma_data = 1.0 if self.config.sampling.prior == "unit" else self.config.sigma_data
        log_p = log_prob(denoise, z, self.schedule, steps=steps, probes=v, sigma_data=sigma_data)
        return log_p.cpu() - x[0].numel() * math.log(self.scale)

    def to_data(self, x: Tensor) -> Tensor:
        """Return model units in the data's: x · scale + shift."""
        return x * self.scale + self.shift.to(x)
