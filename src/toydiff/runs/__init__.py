"""From a NAME to samples: `load(NAME)` → `Loaded`, a model with everything needed to sample from it."""

from __future__ import annotations

from toydiff.runs.loaded import Loaded
from toydiff.runs.loading import load, run_of
from toydiff.runs.reading import read, read_header

__all__ = ["Loaded", "load", "read", "read_header", "run_of"]
