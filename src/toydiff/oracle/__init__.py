"""Exact denoisers E[x_0 | x_t] of distributions known in closed form: they go wherever a trained denoiser goes.

    oracle(x_t, level) → x_0,     x_t = alpha · x_0 + sigma · eps

All compute in float64 where their own tensors live, a bounded block at a time, and answer in the dtype and on the
device of x. They are finite at alpha = 0 (the mean of the data) and at sigma = 0 (x / alpha: clean data are data).
"""

from __future__ import annotations

from toydiff.oracle.base import ExactDenoiser, Gaussian
from toydiff.oracle.boxes import Boxes
from toydiff.oracle.lattice import Lattice
from toydiff.oracle.mixture import Empirical, Mixture

__all__ = ["Boxes", "Empirical", "ExactDenoiser", "Gaussian", "Lattice", "Mixture"]
