"""From a command's words to layers of configuration, checked before torch is imported as far as that goes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean
from toydiff.guards import Npz, read_toml
from toydiff.names import Source, preset_names, preset_path

if TYPE_CHECKING:
    from toydiff.cli.talk import Talk
    from toydiff.config import Run
    from toydiff.layers import Layer, Resolved

FLAGS = {
    "steps": "training.steps",
    "epochs": "training.epochs",
    "samples": "data.n",
    "batch_size": "training.batch_size",
    "lr": "training.optimizer.lr",
    "seed": "seed",
    "precision": "training.precision",
    "compile": "training.compile",
    "accumulate": "training.accumulate",
}
RECIPES = {"npz": "mnist", "folder": "mnist", "shapes": "shapes32"}
"""The preset whose recipe serves data of a kind that has none of its own name; other kinds, and points: moons."""
MOST_BYTES = 4 << 30


def which_preset(
    argument: str | None, option: str | None, config: Path | None, runs: Path, data: Source | None = None
) -> str | None:
    """Return the preset's name, checked; that of our recipe for `data`; with none of them, say what there is."""
    if argument is not None and option is not None and argument != option:
        raise ConfigurationError(f"PRESET is `{argument}` and --preset is `{option}`", "Give one of the two.")
    preset = argument if argument is not None else option
    if preset is not None:
        preset_path(preset)
    elif data is not None and config is None:
        return _recipe(data)
    elif config is None:
        raise ConfigurationError("which preset?", f"{did_you_mean('', preset_names())} Or give --config FILE.")
    return preset


def _recipe(data: Source) -> str:
    """Return the preset whose recipe serves such data, by their kind; by their shape, where a kind has both."""
    if data.kind in preset_names():
        return data.kind
    if data.kind == "npz" and data.path is not None:
        with suppress(ToydiffError):  # what is wrong with it is said when it is read in earnest
            arrays = Npz(data.path, MOST_BYTES)
            if all(arrays[name].ndim < 3 for name in arrays):
                return "moons"
    return RECIPES.get(data.kind, "moons")


def configuration_layers(
    preset: str | None, config: Path | None, sets: list[str], flags: dict[str, Any], data: Source | None = None
) -> list[Layer]:
    """Return the layers in order: preset → file → --data → --set → flags."""
    tables = [(f"preset {preset}", read_toml(preset_path(preset)))] if preset else []
    if config is not None:
        tables.append((str(config), read_toml(config)))
    from toydiff.layers import Layer, parse_set, table_layer

    layers = [table_layer(source, table) for source, table in tables]
    problems, assignments = [], []
    for text in sets:
        try:
            assignments.append(parse_set(text))
        except ConfigurationError as error:
            problems.append(f"{error.message}. {error.hint}")
    if problems:
        raise ConfigurationError("\n  ".join(problems))
    if data is not None:
        layers.append(Layer("--data", data_assignments(data)))
    layers.append(Layer("--set", assignments))
    for flag, path in FLAGS.items():
        if flags.get(flag) is not None:
            layers.append(Layer(f"--{flag.replace('_', '-')}", [(path, flags[flag])]))
    return layers


def data_assignments(source: Source) -> list[tuple[str, Any]]:
    """Return what the name of a data set sets."""
    path = "./none" if source.path == "none" else source.path  # a file of that name; in a configuration it is no value
    return [("data.kind", source.kind), *([] if path is None else [("data.path", path)])]


def warn_of_idle(resolved: Resolved, talk: Talk) -> None:
    """Warn of what the user has set, other than to its default, and what has no effect in this configuration."""
    run, sources = resolved
    for path, words in run.in_vain().items():
        if not sources.get(path, "preset ").startswith("preset "):
            talk.warn(words)


def to_toml(run: Run, sources: dict[str, str] | None = None) -> str:
    """Return the whole configuration as TOML; with `sources`, each value that is no default says where it came from."""
    import tomlkit

    def fill(table: Any, values: dict[str, Any], prefix: str) -> Any:
        inner = {key: value for key, value in values.items() if isinstance(value, dict)}
        for key in sorted(values.keys() - inner.keys(), key=lambda key: (key != "kind", list(values).index(key))):
            value = values[key]
            item = tomlkit.item("none" if value is None else list(value) if isinstance(value, tuple) else value)
            if sources is not None:
                item.comment(sources.get(prefix + key, "default"))
            table.add(key, item)
        for key, value in inner.items():
            table.add(key, fill(tomlkit.table(), value, f"{prefix}{key}."))
        return table

    return tomlkit.dumps(fill(tomlkit.document(), run.model_dump(), ""))
