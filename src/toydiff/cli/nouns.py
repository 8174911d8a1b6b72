"""The nouns of `toydiff inspect`: what there is to name, read from the unions."""

from __future__ import annotations

from typing import Any

from toydiff.names import EXAMPLES, FILE_KINDS

NOUNS = ("samplers", "schedules", "targets", "weights", "densities", "couplings", "networks", "presets", "datasets")


def entries(noun: str) -> list[dict[str, Any]]:
    """Return a row {name, about, …} for everything of that kind."""
    if noun == "presets":
        return _presets()
    from toydiff.data import AnyData
    from toydiff.denoiser import TARGETS, AnyWeight
    from toydiff.networks import AnyNetwork
    from toydiff.samplers import AnySampler
    from toydiff.schedules import AnySchedule
    from toydiff.spec import kinds, summary
    from toydiff.training.couplings import AnyCoupling
    from toydiff.training.densities import AnyDensity

    if noun == "targets":
        return [{"name": name, "about": about} for name, about in TARGETS.items()]
    unions: dict[str, Any] = {
        "samplers": AnySampler,
        "schedules": AnySchedule,
        "weights": AnyWeight,
        "densities": AnyDensity,
        "couplings": AnyCoupling,
        "networks": AnyNetwork,
        "datasets": AnyData,
    }
    rows = []
    for name, kind in kinds(unions[noun]).items():
        row: dict[str, Any] = {"name": name, "about": summary(kind)}
        if name in FILE_KINDS:
            row["called"] = f"{name}:{EXAMPLES[name]}"
        fields = {key: field for key, field in kind.model_fields.items() if not field.is_required()}
        options = {key: field.get_default() for key, field in fields.items() if key not in ("kind", "known")}
        row["options"] = {key: value for key, value in options.items() if key not in ("n", "seed")}
        if noun == "samplers":
            sampler: Any = kind()
            row["order"], row["evaluations"] = sampler.order, sampler.evaluations
        rows.append(row)
    return rows


def _presets() -> list[dict[str, Any]]:
    """Return the presets with the first line of their opening comment."""
    from toydiff.names import preset_names, preset_path

    rows = []
    for name in preset_names():
        comment = preset_path(name).read_text(encoding="utf-8").partition("\n")[0]
        rows.append({"name": name, "about": comment.removeprefix("#").strip()})
    return rows
