"""log p(x) of a model: the probability-flow ODE and the instantaneous change of variables."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from toydiff.denoiser import Denoise, input_scale
from toydiff.errors import ConfigurationError
from toydiff.schedules import LOG_SNR_BOUND, Level, Schedule


def log_prob(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    *,
    steps: int = 200,
    probes: Tensor | None = None,
    prior: Callable[[Tensor, Level], Tensor] | None = None,
    sigma_data: float = 1.0,
) -> Tensor:
    """Return log p(x_0 = x), (B,) nats in the model's units, under the flow that leads the prior to the data.

        d log p = −∇·f dλ along dz = f dλ,    f = ½ alpha (x̂_0 − alpha z),    λ = log-SNR, z = x_t / √(alpha² + sigma²)

    In these coordinates all schedules have one ODE, and nothing in it is divided by alpha or sigma. The classical
    Runge–Kutta method, of order 4, takes `steps` equal steps of λ from the schedule's cleanest level to its noisiest,
    within |λ| ≤ 20; the density is that of the data at the cleanest level. The trace ∇·x̂_0 is exact, at the cost of a
    derivative for each coordinate, unless `probes` v (K, B, …) of zero mean and unit covariance estimate it by the mean
    of vᵀ (∂x̂_0/∂z) v; kept along the way, they leave log p unbiased (Hutchinson 1989; Grathwohl et al. 2019).
    `prior(z, level)` → log p(z) at the noisiest level; by default z ~ N(0, (alpha² σ_d² + sigma²) I).

    Raises ConfigurationError for fewer than one step. (Song et al. 2021, appendix D.2.)
    """
    if steps < 1:
        raise ConfigurationError(f"{steps} steps along an ODE", "It takes at least 1.")
    clean, noisy = (float(schedule(t).log_snr.clamp(-LOG_SNR_BOUND, LOG_SNR_BOUND)) for t in (0.0, 1.0))
    grid = torch.linspace(clean, noisy, 2 * steps + 1, dtype=torch.float64)  # every other one is a step's middle
    dim, h = x[0].numel(), (noisy - clean) / steps
    if probes is None:  # the basis, as long as makes the mean a sum
        probes = dim**0.5 * torch.eye(dim, dtype=x.dtype, device=x.device).reshape(dim, 1, *x.shape[1:])
    start = Level.at(grid[0]).alpha
    z, log_p = x * float(start), torch.full((len(x),), float(dim * start.log()), dtype=torch.float64)
    for k in range(0, 2 * steps, 2):
        f1, div1 = _slope(denoise, z, grid[k], probes)
        f2, div2 = _slope(denoise, z + h / 2 * f1, grid[k + 1], probes)
        f3, div3 = _slope(denoise, z + h / 2 * f2, grid[k + 1], probes)
        f4, div4 = _slope(denoise, z + h * f3, grid[k + 2], probes)
        z = z + h / 6 * (f1 + 2 * f2 + 2 * f3 + f4)
        log_p = log_p + h / 6 * (div1 + 2 * div2 + 2 * div3 + div4)
    end = Level.at(grid[-1])
    log_p = log_p + (_gaussian(z, input_scale(end, sigma_data)) if prior is None else prior(z, end).cpu())
    return log_p.to(x.dtype).to(x.device)


def _slope(denoise: Denoise, z: Tensor, log_snr: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """Return f (B, …) and its divergence, (B,) float64 on the CPU."""
    level = Level.at(log_snr)
    alpha, dim, trace = float(level.alpha), z[0].numel(), torch.zeros(len(z), dtype=torch.float64)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        x0 = denoise(z, level)
        for v in probes:
            (pulled,) = torch.autograd.grad((x0 * v).sum(), z, retain_graph=True)
            trace += (pulled * v).flatten(1).sum(1).cpu().double() / len(probes)
    return alpha / 2 * (x0 - alpha * z).detach(), alpha / 2 * (trace - alpha * dim)


def _gaussian(z: Tensor, std: Tensor) -> Tensor:
    """Return log N(z; 0, std² I), (B,) float64."""
    square = z.flatten(1).cpu().double().square().sum(1)
    return -(square / std**2 + z[0].numel() * (2 * math.pi * std**2).log()) / 2
