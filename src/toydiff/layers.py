"""From presets, files, `--set` and flags to one `Run`: later layers win, and every error is reported at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import ValidationError

from toydiff.config import Run
from toydiff.errors import ConfigurationError, did_you_mean
from toydiff.guards import DEEPEST
from toydiff.spec import Spec, kinds

Tree = dict[str, Any]


class Layer(NamedTuple):
    """Assignments in order, and where they come from: "preset swissroll", "--set", "--lr" …"""

    source: str
    values: Sequence[tuple[str, Any]]


def table_layer(source: str, table: Mapping[str, Any]) -> Layer:
    """Return the layer of a TOML table: its leaves, each table's `kind` first."""
    return Layer(source, list(_leaves(table)))


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in sorted(table.items(), key=lambda item: item[0] != "kind"):
        if isinstance(value, Mapping):
            if prefix.count(".") >= DEEPEST:
                raise ConfigurationError(f"`{prefix[:60]}…` is a table in a table in a table too many")
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def parse_set(assignment: str) -> tuple[str, Any]:
    """Return (path, value) of "a.b=v": v is read as TOML, else taken as text; `none` is no value."""
    path, equals, text = assignment.partition("=")
    path = path.strip()
    if not equals or not all(path.split(".")):
        raise ConfigurationError(
            f"`--set {assignment}` is not an assignment", "Write a.b=value, for example: --set training.clip=0.5"
        )
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # ValueError: also a number of thousands of digits
        table = {}
    return path, table["value"] if table.keys() == {"value"} else text.strip()  # a line break could add other keys


class Resolved(NamedTuple):
    """A run's configuration, and where each value that is not a default came from."""

    run: Run
    sources: dict[str, str]


def resolve(layers: Sequence[Layer], base: Run | None = None) -> Resolved:
    """Apply the layers in order, on the defaults or on `base`; a new `kind` resets its table to that kind's defaults.

    Raises ConfigurationError naming every wrong key and value at once: path, value, allowed range, suggestion.
    """
    tree: Tree = (base or Run()).model_dump()
    sources: dict[str, str] = {}
    problems: list[str] = []
    for source, values in layers:
        for path, given in values:
            for key, value in _leaves({path: given}):
                try:
                    _assign(tree, sources, key, None if value == "none" else value, source)
                except ConfigurationError as error:
                    problems.append(error.message)
    try:
        run = Run.model_validate(tree)
    except ValidationError as error:
        problems += [line for detail in error.errors() for line in _explain(detail, tree)]
    if problems:
        many = f"{len(problems)} problems in the configuration:\n  " if len(problems) > 1 else ""
        raise ConfigurationError(
            many + "\n  ".join(problems), "`toydiff inspect presets` and `--print-config` show what there is."
        )
    return Resolved(run, sources)


def _assign(tree: Tree, sources: dict[str, str], path: str, value: Any, source: str) -> None:
    *tables, key = path.split(".")
    for depth, name in enumerate(tables):
        inside = tree.setdefault(name, {})
        if not isinstance(inside, dict):
            raise ConfigurationError(f"{path}: `{'.'.join(tables[: depth + 1])}` is a value, not a table")
        tree = inside
    if key == "kind" and not isinstance(value, str):
        raise ConfigurationError(f"{path} = {_shown(value)}: a kind is a name")
    if key == "kind" and value != tree.get("kind"):
        tree.clear()
        for known in [k for k in sources if k.startswith(path.removesuffix("kind"))]:
            del sources[known]
    if isinstance(tree.get(key), dict) and not isinstance(value, dict):
        raise ConfigurationError(
            f"{path} is a table, not a value: set one of {', '.join(f'{path}.{k}' for k in tree[key])}"
        )
    if path in ("training.steps", "training.epochs") and value is not None:  # one length replaces the other
        other = "epochs" if key == "steps" else "steps"
        tree[other] = None
        sources.pop(f"training.{other}", None)
    tree[key] = value
    sources[path] = source


def _explain(detail: Any, tree: Tree) -> list[str]:
    """Return one of pydantic's errors as lines for people."""
    path, model = _locate(detail["loc"], tree)
    name, shown = ".".join(path), _shown(detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            hint = _elsewhere(path, tree) or (did_you_mean(path[-1], model.model_fields) if model else "")
            return [f"{name}: unknown key. {hint}"]
        case "union_tag_invalid":
            tags = [tag.strip(" '") for tag in detail["ctx"]["expected_tags"].split(",")]
            return [f"{name}.kind: unknown kind `{detail['ctx']['tag']}`. {did_you_mean(detail['ctx']['tag'], tags)}"]
        case "missing" if path[:1] == ["data"]:
            return [f"{name}: which one? Give --set {name}=FILE"]
        case "union_tag_not_found":
            return [f"{name}: which kind? Set {name}.kind."]
        case "value_error":
            lines = str(detail["ctx"]["error"]).splitlines()
            return [f"{name}: {line}" if name else line for line in lines]
    message = detail["msg"].replace("Input should be a valid", "should be a").replace("Input should", "should")
    message = message.replace("should be a integer", "should be a whole number")
    return [f"{name} = {shown}: {message[0].lower()}{message[1:]}"]


def _elsewhere(path: list[str], tree: Tree) -> str:
    """Return "Did you mean a.b.c?" if a key of almost that name lies in another table, and none does in this one."""
    leaves = [leaf for leaf, _ in _leaves(tree) if leaf != ".".join(path)]
    here = [leaf.split(".")[-1] for leaf in leaves if leaf.split(".")[:-1] == path[:-1]]
    if get_close_matches(path[-1], here, n=1, cutoff=0.5):
        return ""
    nearest = get_close_matches(path[-1], [leaf.split(".")[-1] for leaf in leaves], n=1, cutoff=0.7)
    return f"Did you mean `{next(leaf for leaf in leaves if leaf.endswith(f'.{nearest[0]}'))}`?" if nearest else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _locate(loc: Sequence[str | int], tree: Tree) -> tuple[list[str], type[Spec] | None]:
    """Return pydantic's location without the union tags in it, and the model that was asked for the last key."""
    path: list[str] = []
    model: type[Spec] | None = Run
    asked = model
    here: Any = tree
    for part in loc:
        if isinstance(here, dict) and part not in here and part == here.get("kind"):
            continue  # a union's tag
        path.append(str(part))
        asked, field = model, model.model_fields.get(str(part)) if model else None
        here = here.get(part) if isinstance(here, dict) else None
        model = None
        if field is not None and isinstance(here, dict):
            if isinstance(field.annotation, type) and issubclass(field.annotation, Spec):
                model = field.annotation
            else:
                model = kinds(field.annotation).get(here.get("kind", ""))
    return path, asked
