"""Targets, loss weights, and `Denoiser`: any network, made to return E[x_0 | x_t].

Every target of the literature is a linear combination of the data and the noise, F = a · x_0 + b · eps, where a and b
are functions of the level alone. With x_t = alpha · x_0 + sigma · eps, one decoder serves them all:

    x_0 = (b · x_t − sigma · F) / (alpha · b − sigma · a)
"""

from __future__ import annotations

from toydiff.denoiser.core import Denoise, Denoiser, beside, scaled_score
from toydiff.denoiser.targets import TARGETS, Target, input_scale, target_coefficients, unlearnable
from toydiff.denoiser.weights import SNR, AnyWeight, EDMWeight, InverseSigma2, MinSNR, Uniform, Weight

__all__ = [
    "SNR",
    "TARGETS",
    "AnyWeight",
    "Denoise",
    "Denoiser",
    "EDMWeight",
    "InverseSigma2",
    "MinSNR",
    "Target",
    "Uniform",
    "Weight",
    "beside",
    "input_scale",
    "scaled_score",
    "target_coefficients",
    "unlearnable",
]
