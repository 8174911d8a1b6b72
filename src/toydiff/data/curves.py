"""Noisy curves in the plane: spirals, moons and circles with round Gaussian noise around them.

Convolving a curve with Gaussian noise is an integral over the curve's parameter u. Gauss's rule on short panels turns
it into a mixture of some thousand Gaussians, half the noise apart, whose density is right to about 1e-5 of itself.
Density, entropy, moments and exact denoiser all come from that one object; draws use a continuous u.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from toydiff.data.base import Batch
from toydiff.data.points import Points
from toydiff.errors import ToydiffError
from toydiff.oracle import ExactDenoiser, Mixture

_FEWEST, _MOST = 510, 19_998  # components: at least an arm, at most in all
_GAUSS = [(-(0.6**0.5), 5 / 18), (0.0, 8 / 18), (0.6**0.5, 5 / 18)]  # nodes in [−1, 1] and weights, exact to degree 5


class Curves(Points):
    """`arms` curves u ↦ (x, y), each as likely as the others, plus noise · N(0, I)."""

    noise: float = Field(0.05, ge=0, le=10)

    @property
    def _arms(self) -> int:
        return len(self.label_names)

    def _curve(self, u: Tensor, arm: Tensor) -> Tensor:
        """Return the noiseless points (n, 2) float64 at parameters u (n,) of the arms (n,)."""
        raise NotImplementedError

    def _label(self, u: Tensor, arm: Tensor) -> Tensor:
        return arm

    def _draw_u(self, n: int, generator: Generator) -> Tensor:
        return torch.rand(n, generator=generator, dtype=torch.float64)

    def _nodes(self, panels: int) -> tuple[Tensor, Tensor]:
        """Return 3 · panels parameters, rising, and weights that integrate over the law of `_draw_u`."""
        nodes, weights = torch.tensor(_GAUSS, dtype=torch.float64).T
        middle = torch.arange(panels, dtype=torch.float64) + 0.5
        return (middle[:, None] + nodes / 2).reshape(-1) / panels, weights.repeat(panels)

    @property
    def _frame(self) -> tuple[Tensor, float, float]:
        """Centre and gain that bring the curve into data units, and the noise there."""
        return torch.zeros(2, dtype=torch.float64), 1.0, self.noise

    def draw(self, n: int, generator: Generator) -> Batch:
        centre, gain, noise = self._frame
        arm = torch.randint(self._arms, (n,), generator=generator)
        u = self._draw_u(n, generator)
        x = (self._curve(u, arm) - centre) * gain
        x = x + noise * torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return Batch(x.float(), self._label(u, arm))

    def _along(self, panels: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return points (arms, K, 2), labels (arms, K) and weights (K,) of the K = 3 · panels nodes."""
        u, weights = self._nodes(panels)
        arm = torch.arange(self._arms)[:, None].expand(-1, len(u))
        u = u.expand(self._arms, -1)
        points = self._curve(u.reshape(-1), arm.reshape(-1)).reshape(*u.shape, 2)
        return points, self._label(u, arm), weights

    @property
    def _panels(self) -> int:
        """Panels an arm for nodes noise / 2 apart wherever the curve has weight worth speaking of."""
        points, _, weights = self._along(700)
        points, weights = points[:, 1::3], weights[1::3]  # the panels' middles
        _, gain, noise = self._frame
        steps = points.diff(dim=1).norm(dim=2)[:, weights[1:] > 1e-3 * weights.max()] * gain
        count = 700 * float(steps.max()) / (noise / 2) if noise > 0 else 0
        return 3 * math.ceil(max(_FEWEST, count) / 9)  # whole thirds, for the labels of the roll

    @cached_property
    def _law(self) -> Mixture:
        centre, gain, noise = self._frame
        points, labels, weights = self._along(min(self._panels, _MOST // (3 * self._arms)))
        means = ((points - centre) * gain).reshape(-1, 2)
        return Mixture(means, noise, weights.repeat(self._arms), labels.reshape(-1))

    def exact(self) -> ExactDenoiser:
        if self.noise == 0:
            reason = f"`{self.kind}` without noise is a curve: it has no density in the plane"
            raise ToydiffError(reason, f"Set data.noise above 0. {self._empirical_hint}")
        if (count := 3 * self._panels * self._arms) > _MOST:
            reason = f"`{self.kind}` with noise {self.noise:g} would take a mixture of {count} Gaussians"
            raise ToydiffError(reason, f"Set a larger data.noise. {self._empirical_hint}")
        return self._law


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], 1)


class SwissRoll(Curves):
    """The swiss roll seen from its end: a spiral r = θ, uniform in θ, as in scikit-learn (labels: thirds of the roll).

    θ ∈ [theta_min, theta_max] radians; `radius` = (r0, r1) makes r linear in θ from r0 to r1 instead. The roll is
    centred at its mean and scaled to a root mean square of `sd` per coordinate; None keeps the raw roll, some 14 wide.
    `noise` is in units of the raw roll and scaled along with it, or with `noise_units = "data"` is added afterwards.
    """

    kind: Literal["swissroll"] = "swissroll"
    theta_min: float = Field(1.5 * math.pi, ge=0, le=1000)
    theta_max: float = Field(4.5 * math.pi, gt=0, le=1000)
    radius: tuple[float, float] | None = None
    noise: float = Field(0.5, ge=0, le=10)
    noise_units: Literal["roll", "data"] = "roll"
    sd: float | None = Field(1.0, gt=0, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.theta_min >= self.theta_max:
            raise ValueError(f"theta_min ({self.theta_min:g}) must lie below theta_max ({self.theta_max:g})")
        if self.radius is not None and (min(self.radius) < 0 or max(self.radius) <= 0):
            raise ValueError(f"radius {self.radius} must be two numbers ≥ 0, not both 0")
        return self

    @property
    def label_names(self) -> tuple[str, ...]:
        return ("inner", "middle", "outer")

    @property
    def _arms(self) -> int:
        return 1

    def _curve(self, u: Tensor, arm: Tensor) -> Tensor:
        theta = self.theta_min + (self.theta_max - self.theta_min) * u
        r = theta if self.radius is None else self.radius[0] + (self.radius[1] - self.radius[0]) * u
        return r[:, None] * _circle(theta)

    def _label(self, u: Tensor, arm: Tensor) -> Tensor:
        return (3 * u).long()

    @cached_property
    def _frame(self) -> tuple[Tensor, float, float]:
        if self.sd is None:
            return torch.zeros(2, dtype=torch.float64), 1.0, self.noise
        roll = Mixture(self._along(2000)[0][0], self.noise if self.noise_units == "roll" else 0.0)
        gain = self.sd / roll.rms
        return roll.mean, gain, self.noise * gain if self.noise_units == "roll" else self.noise


class Moons(Curves):
    """Two interleaving half circles, with the geometry of scikit-learn's make_moons (labels: upper, lower)."""

    kind: Literal["moons"] = "moons"
    noise: float = Field(0.1, ge=0, le=10)

    @property
    def label_names(self) -> tuple[str, ...]:
        return ("upper", "lower")

    def _curve(self, u: Tensor, arm: Tensor) -> Tensor:
        upper = _circle(math.pi * u)
        return torch.where(arm[:, None] == 0, upper, upper.new_tensor([1.0, 0.5]) - upper)


class Circles(Curves):
    """Two circles, one within the other, as in scikit-learn's make_circles (labels: outer, inner).

    The outer one has radius 1, the inner one radius `factor`.
    """

    kind: Literal["circles"] = "circles"
    factor: float = Field(0.5, gt=0, lt=1)

    @property
    def label_names(self) -> tuple[str, ...]:
        return ("outer", "inner")

    def _curve(self, u: Tensor, arm: Tensor) -> Tensor:
        return torch.where(arm[:, None] == 0, 1.0, self.factor) * _circle(2 * math.pi * u)


class Spirals(Curves):
    """Spiral arms that wind out from the centre: two of them are the classic two-spirals problem (labels: the arm).

    r = radius · u and θ = 2π (turns · u + arm / arms), with u = √(uniform), so that the arms are about evenly filled.
    """

    kind: Literal["spirals"] = "spirals"
    arms: int = Field(2, ge=1, le=16)
    turns: float = Field(1.5, gt=0, le=10)
    radius: float = Field(1.0, gt=0, le=1000)
    noise: float = Field(0.02, ge=0, le=10)

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(f"arm {arm + 1}" for arm in range(self.arms))

    def _curve(self, u: Tensor, arm: Tensor) -> Tensor:
        return self.radius * u[:, None] * _circle(2 * math.pi * (self.turns * u + arm / self.arms))

    def _draw_u(self, n: int, generator: Generator) -> Tensor:
        return super()._draw_u(n, generator).sqrt()

    def _nodes(self, panels: int) -> tuple[Tensor, Tensor]:
        u, weights = super()._nodes(panels)
        return u, weights * u  # the density of √(uniform) is 2u


class Pinwheel(Curves):
    """Bent blades around a hub, after Johnson et al. 2016 (labels: the blade).

    A blade is u ~ N(1, radial²) along its radius, turned by rate · exp(u) radians, with round noise around it.
    """

    kind: Literal["pinwheel"] = "pinwheel"
    arms: int = Field(5, ge=1, le=16)
    radial: float = Field(0.3, gt=0, le=1)
    rate: float = Field(0.25, ge=0, le=1)
    noise: float = Field(0.06, ge=0, le=10)

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(f"blade {arm + 1}" for arm in range(self.arms))

    def _curve(self, u: Tensor, arm: Tensor) -> Tensor:
        return u[:, None] * _circle(2 * math.pi * arm / self.arms + self.rate * u.exp())

    def _draw_u(self, n: int, generator: Generator) -> Tensor:
        return 1 + self.radial * torch.randn(n, generator=generator, dtype=torch.float64)

    def _nodes(self, panels: int) -> tuple[Tensor, Tensor]:
        u, weights = super()._nodes(panels)
        z = 12 * u - 6  # ±6 standard deviations hold all but 2e-9
        return 1 + self.radial * z, weights * torch.exp(-(z**2) / 2)
