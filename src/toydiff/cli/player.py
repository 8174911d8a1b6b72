"""animate to html: how much a page can carry, decided before anything is sampled, and the page written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toydiff.cli.sampling import described
from toydiff.errors import ConfigurationError

if TYPE_CHECKING:
    from toydiff.cli.films import Cast, Staged
    from toydiff.cli.talk import Talk
    from toydiff.runs import Loaded
    from toydiff.viz.frames import Look

MOST = 3e6
"""Bytes of a page: what a mail or a lecture's folder takes without a thought."""
PAGE, SHOT = 250e3, 500.0
"""Bytes of a page without its film and its weights, and of a shot without what it shows."""
POINT, PIXEL = 4 * 4 / 3, 0.75
"""Bytes of a point, and of a pixel: of noise as WebP, the worst there is to compress."""


def carries_model(loaded: Loaded, what: str, guide: Loaded | None, talk: Talk) -> bool:
    """Return whether the page is to sample by itself; where it cannot, say why."""
    from toydiff.viz.carried import cannot_sample

    if what != "reverse":
        return False
    if why := "two networks are too many" if guide else cannot_sample(loaded):
        talk.note(f"the page plays, and does not sample by itself: {why}")
    return not why


def player_room(loaded: Loaded, what: str, sides: Sequence[Loaded | None], frames: int, model: bool) -> int:
    """Return for how many samples a page of 3 MB has room; ConfigurationError for frames that leave none."""
    from toydiff.viz.carried import weight_bytes
    from toydiff.viz.moving import FIELD

    panels = max(len(sides), 2 if what == "score" or (sides and not any(sides)) else 1)
    room = MOST - PAGE - panels * frames * SHOT - (weight_bytes(loaded) if model else 0)
    shape = loaded.data.shape
    if loaded.data.pictorial:
        each = PIXEL * shape[-1] * shape[-2] * (1 if shape[0] in (1, 3) else shape[0])
    else:
        each = POINT * (2 if what in ("reverse", "forward") else 1)
        room -= panels * frames * POINT * FIELD**2 if what == "score" else 0
    if (most := int(room / (panels * frames * each))) < 1:
        raise ConfigurationError(
            f"{frames:,} frames are more than a page of {MOST / 1e6:g} MB carries", "Take fewer --frames, or mp4."
        )
    return most


def check_room(count: int, room: int, frames: int) -> None:
    """Raise ConfigurationError for more samples than a page has room for."""
    if count > room:
        raise ConfigurationError(
            f"{frames:,} frames of {count:,} samples are more than a page of {MOST / 1e6:g} MB carries",
            f"Take -n {room:,} or fewer, fewer --frames, or mp4.",
        )


def save_player(
    out: Path,
    loaded: Loaded,
    stage: Staged,
    sides: Sequence[Loaded | None],
    cast: Cast,
    look: Look,
    model: bool,
    theme: str | None,
    pace: tuple[float, tuple[float, float]],
    talk: Talk,
) -> None:
    """Write the page: the film, and the model if it is to sample by itself.

    `sides` are the models of the panels, None for the data, as `films.staged` takes them. `pace` is how many frames a
    second, and for how many seconds the first and the last one are held.
    """
    import numpy as np

    from toydiff.cli.progress import watched
    from toydiff.files import shown, write_text
    from toydiff.viz import carried, player, reel
    from toydiff.viz.frames import film_limits
    from toydiff.viz.moving import grid
    from toydiff.viz.process import planar

    data, drawn = loaded.data, not loaded.data.pictorial
    moments = zip(*(panel.shots for panel in stage.panels), strict=True)
    room = MOST - PAGE - len(stage.panels) * stage.length * SHOT
    panels = reel.carried_panels(data, stage.panels, watched(moments, stage.length, talk), look, room)
    limits = film_limits(data) if drawn else None
    levels = any(shot["level"] for panel in panels for shot in panel["shots"])
    labelled = any(panel.get("labels") for panel in panels)
    film: dict[str, Any] = {
        "title": shown(loaded.name),
        "panels": panels,
        "frames": stage.length,
        "fps": pace[0],
        "hold": pace[1],
        "theme": theme or "auto",
        "size": look.size,
        "layers": [*player.LAYERS[look.style], *(["data"] if look.overlay is not None else [])],
        "colour": look.colour or ("class" if labelled else "start"),
        "colours": player.player_colours(len(data.label_names)),
        "limits": limits,
        "divided": [float(each) for each in data.shift.flatten()[:2]] if drawn and look.divided else None,
        "data": reel.packed(planar(data.outline(2000))) if drawn else None,
        "cells": np.round(grid(limits), 5).ravel().tolist() if limits and look.style == "field" else None,
        "curves": reel.carried_curves(loaded.schedule) if levels else None,
        "model": None,
    }
    if model:
        samples = sides if any(sides) else [*sides, loaded]
        ways = [carried.way_of(side) if side else None for side in samples]
        for panel, way in zip(panels, ways, strict=True):
            panel["way"] = way
        options = {key: cast.options[key] for key in ("clip", "guidance", "interval")}
        words = {"seed": int(cast.seeds[0]), "label": cast.label if isinstance(cast.label, str) else None, **options}
        film["model"] = carried.carried_model(loaded, ways, words)
    how = stage.words or described(loaded, cast.options["clip"], cast.evaluations, cast.options)
    about = f"{len(cast.seeds):,} {data.word}: {how}"
    write_text(out, player.player_page(film["title"], about, film))
