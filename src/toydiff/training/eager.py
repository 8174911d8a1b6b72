"""torch.optim as it is without torch.compile, which no optimizer of ours goes through: the same bits, sooner begun.

Its methods are wrapped so that a graph being compiled leaves them out, and the first call loads torch._dynamo to say
so: 1 to 2 seconds of every command that trains, for nothing. torch keeps what is beneath a wrapper in `__wrapped__`,
and a function's own answer to "what to call instead" in `__dynamo_disable`.
"""

from __future__ import annotations

import inspect

import torch

for _method in vars(torch.optim.Optimizer).values():
    if (_plain := getattr(_method, "__wrapped__", None)) is not None:
        _plain.__dynamo_disable = _plain


class Adam(torch.optim.Adam):
    """Adam, whose step is called directly."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class AdamW(torch.optim.AdamW):
    """AdamW, whose step is called directly."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
