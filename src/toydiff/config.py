"""Run: the whole experiment as one frozen object, with the checks that need more than one of its parts."""

from __future__ import annotations

import math
from functools import reduce
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator

from toydiff.data import AnyData, SwissRoll
from toydiff.denoiser import Denoiser, Target, unlearnable
from toydiff.errors import ConfigurationError
from toydiff.networks import MLP, AnyNetwork, UNet
from toydiff.samplers import AnySampler, Heun, Sampler, noise_levels
from toydiff.schedules import AnySchedule, Cosine, Level
from toydiff.spec import Spec, kinds
from toydiff.training import Training, streams
from toydiff.training.densities import Discrete


class Model(Spec):
    """What the network is asked for, and in which units it sees the data."""

    target: Target = "v"
    conditional: bool = False
    """Give the network the class label, some of them replaced by "none" (training.label_dropout)."""
    standardize: bool = True
    """Shift and scale the data to mean 0 and RMS 1 by the data set's known constants."""
    normalize_input: bool = True
    """Divide x_t by √(alpha² σ_d² + sigma²) before the network sees it; some sources fed it raw."""
    bounded: bool = False
    """Bend the target x0 into the range of the data by a tanh: an average of pictures is nowhere whiter than white."""
    self_condition: bool = False
    """Give the network its own last estimate of x_0 beside x_t; half of the training has none (Chen et al. 2023)."""


class Sampling(Spec):
    """How to sample unless the command line says otherwise."""

    sampler: AnySampler = Heun()
    steps: int = Field(20, ge=1, le=100_000)
    spacing: str = "trailing"
    start: float | None = Field(None, gt=0, le=1)
    """Time to begin at; none is t = 1."""
    guess_from: float = Field(-3.0, ge=-100, le=100)
    """Log-SNR from which a self-conditioned network sees its last estimate; before, that would feed on itself."""
    refine_until: float = Field(1.0, ge=-100, le=100)
    """Log-SNR to which, from there on, such a network is asked twice: again with its answer as the guess."""
    prior: Literal["marginal", "unit"] = "marginal"
    """Start from √(alpha² σ_d² + sigma²) · noise, or from N(0, I) as some sources do."""
    n: int | None = Field(None, ge=1, le=10_000_000)
    """Samples a picture shows; none: 2,000 points, or 64 images."""


class Record(Spec):
    """How often a run writes down what it does, in steps."""

    log_every: int = Field(20, ge=1)
    validate_every: int = Field(500, ge=1)
    save_every: int = Field(1000, ge=1)
    sample_every: int = Field(2000, ge=1)
    validation: int = Field(4096, ge=10, le=1_000_000)
    """Held-out data in the validation loss."""
    evaluate_every: int | None = Field(None, ge=1)
    """Measure samples against held-out data every so many steps; none: never, 2,000 points take half a second."""
    keep: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Steps whose checkpoint is kept for ever, as step-N.pt."""
    keep_every: int | None = Field(None, ge=1)
    """Keep a checkpoint every so many steps, as step-N.pt."""
    keep_last: int | None = Field(None, ge=1)
    """Of those, keep the newest ones only; an older one goes when so many newer ones have been read and are whole."""

    def keeps(self, step: int) -> bool:
        """Whether there is a step-N.pt of that step."""
        return step in self.keep or (self.keep_every is not None and step % self.keep_every == 0)


class Run(Spec):
    """An experiment: data, schedule, network, model, training, sampling, record, and the seed of it all."""

    seed: int = Field(0, ge=0, lt=2**63)
    data: AnyData = SwissRoll()
    schedule: AnySchedule = Cosine(T=None)
    network: AnyNetwork = MLP()
    model: Model = Model()
    training: Training = Training()
    sampling: Sampling = Sampling()
    record: Record = Record()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> list[str]:
        """Return every way in which the parts do not fit together: the teaching moments."""
        problems = []
        if problem := unlearnable(self.model.target, self.schedule):
            problems.append(f"model.target: {problem[0]}. {problem[1]}")
        if isinstance(self.training.density, Discrete) and self.schedule.knot_times is None:
            problems.append(
                f"training.density: `discrete` draws a schedule's knots, and this {self.schedule.kind} schedule "
                "has none; give it a number of steps (schedule.T), or take the density `uniform`"
            )
        if isinstance(self.network, UNet) and len(self.data.shape) != 3:
            problems.append(
                f"network: a `unet` takes images (C, H, W), and a sample of `{self.data.kind}` is of shape "
                f"{self.data.shape}; take the network `mlp`"
            )
        if self.model.bounded and self.model.target != "x0":
            problems.append(
                f"model.bounded: only x_0 has the range of the data, not `{self.model.target}`; take model.target=x0, "
                "or model.bounded=false"
            )
        if self.model.bounded and self.bounds is None:
            problems.append(f"model.bounded: the data `{self.data.kind}` may lie anywhere; images have a range")
        if self.model.self_condition and not isinstance(self.network, UNet):
            problems.append(
                f"model.self_condition: the network `{self.network.kind}` takes no guess of x_0; images and the "
                "network `unet` do"
            )
        if self.model.self_condition and self.model.target in ("eps", "score"):
            problems.append(
                f"model.self_condition: an estimate of x_0 by `{self.model.target}` is divided by alpha, which makes a "
                "huge guess of it in high noise; take model.target=x0, v, edm or flow"
            )
        if self.model.conditional and not self.data.label_names:
            problems.append(f"model.conditional: the data set `{self.data.kind}` has no labels")
        if problem := self.cannot_sample(self.sampling.sampler):
            problems.append(f"sampling.sampler: {problem[0]}. {problem[1]}")
        try:
            self.levels()
        except ConfigurationError as error:
            problems.append(f"sampling: {error.message}. {error.hint}")
        if self.sampling.steps < (fewest := self.sampling.sampler.fewest_steps):
            problems.append(
                f"sampling.steps: {self.sampling.steps} of `{self.sampling.sampler.kind}` would be nothing but "
                f"Euler's. Take at least {fewest}, or the sampler `euler`."
            )
        try:
            self.training.total_steps(self.data.count)
        except ConfigurationError as error:
            problems.append(f"training.epochs: {error.message}. {error.hint}")
        return problems

    def idle(self) -> dict[str, str]:
        """Return {path: why} of the settings that have no effect beside the others, whatever their values."""
        endless = "the data are endless, and drawn by the run's own seed; data.n makes them a fixed set"
        whole = "all of the data are taken; data.n takes a part of them"
        unconditional = "the model takes no labels; model.conditional=true gives it some"
        sineless = "the network sees no sines of x; network.fourier gives it some"
        forgetful = "the network takes no guess; model.self_condition gives it one"
        continuous = "a schedule without steps clips no β; schedule.T gives it some"
        found = {
            "data.seed": (not self.data.seeded, endless if self.data.count is None else whole),
            "training.label_dropout": (not self.model.conditional, unconditional),
            "sampling.guess_from": (not self.model.self_condition, forgetful),
            "sampling.refine_until": (not self.model.self_condition, forgetful),
            "network.label_features": (not self.model.conditional, unconditional),
            "network.fourier_scale": (getattr(self.network, "fourier", None) == 0, sineless),
            "record.keep_last": (
                self.record.keep_every is None,
                "nothing is kept every so many steps; record.keep_every makes it so",
            ),
            "schedule.beta_clip": (getattr(self.schedule, "T", 0) is None, continuous),
        }
        of_sampler = {f"sampling.sampler.{option}": why for option, why in self.sampling.sampler.idle.items()}
        return {path: why for path, (idle, why) in found.items() if idle} | of_sampler

    def in_vain(self) -> dict[str, str]:
        """Return {path: value, and why it has no effect} of the `idle` settings that are not at their defaults."""
        found = {}
        for path, why in self.idle().items():
            *tables, key = path.split(".")
            spec = reduce(getattr, tables, self)
            field = type(spec).model_fields.get(key)  # a network for images has no label_features
            if field is not None and (value := getattr(spec, key)) != field.default:
                found[path] = f"{path} = {value} has no effect: {why}"
        return found

    def cannot_sample(self, sampler: Sampler) -> tuple[str, str] | None:
        """Return why a sampler cannot serve this model, and which ones can, or None."""
        if self.model.self_condition and sampler.evaluations is None:
            return (
                f"`{sampler.kind}` takes a step again if it was too long, and a self-conditioned model "  # type: ignore[attr-defined]
                "answers differently each time: its steps might come to no end",
                "Take a sampler of so many steps: heun:20, or dpmpp_2m:20.",
            )
        if self.training.coupling.tweedie or not sampler.stochastic:
            return None
        able = [kind for kind, cls in kinds(AnySampler).items() if not cls().stochastic]  # type: ignore[attr-defined]
        return (
            f"`{sampler.kind}` draws noise on the way, and a model trained with the coupling "  # type: ignore[attr-defined]
            f"`{self.training.coupling.kind}` samples deterministically only: its noise and data hang together",
            f"Samplers that can, without noise: {', '.join(able)}.",
        )

    @property
    def sigma_data(self) -> float:
        """RMS of the data in the model's units."""
        if self.model.standardize:
            return 1.0
        return math.sqrt(float(self.data.shift.square().mean()) + self.data.scale**2)

    @property
    def total_steps(self) -> int:
        """Length of the training run."""
        return self.training.total_steps(self.data.count)

    @property
    def shown(self) -> int:
        """Samples a picture shows."""
        return self.sampling.n or (64 if self.data.pictorial else 2000)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range of the data, in their units, if they are images."""
        return self.data.domain if self.data.pictorial else None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the network sees of a sample: its shape, with twice the channels where a guess of x_0 is beside x_t."""
        return (2 * self.data.shape[0], *self.data.shape[1:]) if self.model.self_condition else self.data.shape

    def levels(self, start: float | None = None) -> list[Level]:
        """Return the sampling grid, from the time `start` if given."""
        begin = self.sampling.start if start is None else start
        return noise_levels(self.schedule, self.sampling.steps, self.sampling.spacing, begin)

    def build(self, device: str = "cpu") -> Denoiser:
        """Return the untrained denoiser; its first weights are a function of the seed alone ("meta": shapes only)."""
        where = "meta" if device == "meta" else "cpu"  # drawn on the CPU: the same weights on every device
        with torch.random.fork_rng(devices=[]), torch.device(where):
            torch.manual_seed(streams.generator(self.seed, "weights").initial_seed())
            guess = {"guess": True} if self.model.self_condition else {}
            classes = len(self.data.label_names) if self.model.conditional else 0
            network = self.network.build(self.data.shape, classes, **guess)
        denoiser = Denoiser(
            network,
            target=self.model.target,
            schedule=self.schedule,
            sigma_data=self.sigma_data,
            normalize_input=self.model.normalize_input,
            shift=self.data.shift if self.model.standardize else torch.zeros(self.data.shape),
            scale=self.data.scale if self.model.standardize else 1.0,
            self_condition=self.model.self_condition,
            bounds=self.bounds if self.model.bounded else None,
        )
        return denoiser.to(device)
