"""inspect picture.png: what toydiff wrote into a picture: the command, the seeds, the model and its checkpoint."""

from __future__ import annotations

from pathlib import Path

from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.errors import ToydiffError
from toydiff.files import shown

KEYS = {
    "toydiff": "command", "model": "model", "checkpoint": "checkpoint", "data": "data", "seeds": "seeds",
    "label": "label", "sampler": "sampled by", "version": "made with",
}  # fmt: skip
"""What pictures carry, by the key of the chunk: nothing else is printed."""
LONGEST = 4000
"""Characters of a value that are shown: a command is shorter, and a picture may come from a stranger."""


def is_picture(name: str) -> bool:
    """Whether a NAME is a picture's."""
    return name.lower().endswith(".png") and Path(name).exists()


def read_back(name: str, talk: Talk) -> None:
    """Print what a picture says of itself; ToydiffError if toydiff has not made it."""
    from toydiff.pictures import read_text

    found = read_text(name)
    if "toydiff" not in found:
        raise ToydiffError(
            f"{shown(name)} does not say how it was made: no toydiff wrote it, or its text was stripped since",
            "PNGs of `toydiff sample`, `inspect` and `data show` carry it; editors and chats take it out.",
        )
    said = {called: shown(found[key][:LONGEST]) for key, called in KEYS.items() if key in found}
    talk.result(table(("picture", shown(name)), list(said.items())), {"picture": name, **said})
