"""Which film formats there are: answered before anything is sampled, and before a drawing library is imported."""

from __future__ import annotations

from pathlib import Path

from toydiff.errors import ConfigurationError, did_you_mean

FILM_FORMATS = ("mp4", "gif", "webp", "png")
"""mp4 (H.264, plays everywhere), gif, animated webp, and png: a strip of still frames."""


def film_format(path_or_name: str | Path) -> str:
    """Return the film format that a path ("out/roll.mp4") or a bare name ("gif") stands for.

    Raises ConfigurationError, listing the formats, for any other extension or none.
    """
    text = str(path_or_name)
    extension = Path(text).suffix.removeprefix(".").lower()
    bare = text.removeprefix(".").lower()
    if extension in FILM_FORMATS:
        return extension
    if bare in FILM_FORMATS:
        return bare
    wrong = f"unknown film format `{extension or text}`" if extension or text else "a film needs a format"
    raise ConfigurationError(wrong, did_you_mean(extension or bare, FILM_FORMATS))
