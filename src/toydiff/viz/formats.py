"""Which film formats there are: answered before anything is sampled, and before a drawing library is imported."""

from __future__ import annotations

from pathlib import Path

from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean

FILM_FORMATS = ("mp4", "gif", "webp", "apng", "png")
"""mp4 (H.264, plays everywhere), gif, animated webp and png, and png: a strip of still frames."""
ANIMATIONS = (*FILM_FORMATS, "html")
"""All that `animate` writes: films, and html, the page that plays one and samples again."""
ENCODERS = {"mp4": "libx264", "gif": "gif", "webp": "libwebp_anim", "apng": "apng"}
"""Of PyAV; its wheels carry them all, what a system was built with may not."""


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


def check_encoder(kind: str) -> None:
    """Raise ToydiffError if films of that format cannot be encoded here."""
    if kind not in ENCODERS:
        return
    try:
        import av

        there = ENCODERS[kind] in av.codecs_available
    except ImportError:
        there = False
    if not there:
        raise ToydiffError(
            f"no {kind} can be made here: PyAV has no encoder {ENCODERS[kind]}",
            "Its wheel has: pip install --force-reinstall --only-binary av av. Or take a strip: --to png",
        )
