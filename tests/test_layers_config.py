"""Presets, files, `--set` and flags, laid over one another: later wins, kinds reset, errors are told at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toydiff.cli.configure import configuration_layers, to_toml
from toydiff.config import Run
from toydiff.errors import ConfigurationError
from toydiff.layers import Layer, parse_set, resolve, table_layer
from toydiff.names import preset_names, preset_path


def sets(*assignments: str, base: Run | None = None) -> Run:
    return resolve([Layer("--set", [parse_set(text) for text in assignments])], base=base).run


def problems(*assignments: str) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        sets(*assignments)
    assert error.value.exit_code == 2
    lines = error.value.message.splitlines()
    return lines if len(lines) == 1 else [line.strip() for line in lines[1:]]


# ── reading an assignment ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=3", ("a.b", 3)), ("a=3.5", ("a", 3.5)), ("a=1e-3", ("a", 1e-3)), ("a=true", ("a", True)),
        ("a=cosine", ("a", "cosine")), ("a='cosine'", ("a", "cosine")), ("a=[1, 2]", ("a", [1, 2])),
        ("a={kind='b', c=1}", ("a", {"kind": "b", "c": 1})), (" a = 3 ", ("a", 3)), ("a=", ("a", "")),
        ("a=b=c", ("a", "b=c")), ("a=1_000", ("a", 1000)), ("a=[1", ("a", "[1")), ("a=1\nb=2", ("a", "1\nb=2")),
    ],
)  # fmt: skip
def test_values_are_toml_or_else_text(text: str, expected: tuple[str, Any]) -> None:
    assert parse_set(text) == expected


@pytest.mark.parametrize("text", ["a", "", "=1", ".=1", "a.=1", ".a=1", "a..b=1"])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an assignment"):
        parse_set(text)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_read_or_refused_in_our_words(path: str, value: str) -> None:
    try:
        sets(f"{path}={value}")
    except ConfigurationError as error:
        assert error.message
        assert error.hint


@given(st.sampled_from(["seed", "training.steps", "data.kind", "network", "network.widths", "sampling.sampler.kind"]),
       st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=5))  # fmt: skip
def test_any_value_is_taken_or_refused_in_our_words(path: str, value: Any) -> None:
    try:
        assert isinstance(resolve([Layer("test", [(path, value)])]).run, Run)
    except ConfigurationError as error:
        assert error.message


# ── laying over ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_later_layers_win_and_are_remembered() -> None:
    layers = [
        table_layer("preset", {"seed": 1, "training": {"batch_size": 2, "optimizer": {"lr": 0.5}}}),
        Layer("--set", [("seed", 3), ("training.optimizer.lr", 0.25)]),
        Layer("--lr", [("training.optimizer.lr", 0.125)]),
    ]
    run, sources = resolve(layers)
    assert (run.seed, run.training.batch_size, run.training.optimizer.lr) == (3, 2, 0.125)
    assert sources == {"seed": "--set", "training.batch_size": "preset", "training.optimizer.lr": "--lr"}


def test_nothing_on_nothing_is_the_default() -> None:
    assert resolve([]) == (Run(), {})


def test_a_new_kind_resets_its_table_to_its_own_defaults() -> None:
    base = sets("data.noise=0.7", "data.n=50", "schedule.kind=linear", "schedule.T=40")
    run = sets("data.kind=circles", base=base)
    assert run == sets("schedule.kind=linear", "schedule.T=40", "data.kind=circles")
    assert sets("data.kind=circles", "data.noise=0.2").data.noise == 0.2  # type: ignore[union-attr]


def test_the_kind_it_has_already_resets_nothing() -> None:
    base = sets("data.kind=moons", "data.noise=0.7")
    assert sets("data.kind=moons", base=base) == base


def test_a_reset_forgets_where_the_old_values_came_from() -> None:
    layers = [Layer("a", [("data.noise", 0.7), ("seed", 1)]), Layer("b", [("data.kind", "moons")])]
    assert resolve(layers).sources == {"data.kind": "b", "seed": "a"}


@pytest.mark.parametrize(
    "table", [{"data": {"noise": 0.3, "kind": "circles"}}, {"data": {"kind": "circles", "noise": 0.3}}]
)
def test_in_a_table_the_order_of_keys_does_not_matter(table: dict[str, Any]) -> None:
    assert resolve([table_layer("file", table)]).run == sets("data.kind=circles", "data.noise=0.3")


def test_a_whole_table_can_be_set_at_once() -> None:
    run, sources = resolve([Layer("--set", [parse_set("data={noise=0.3, kind='circles'}")])])
    assert run == sets("data.kind=circles", "data.noise=0.3")
    assert sources == {"data.kind": "--set", "data.noise": "--set"}


def test_none_is_no_value() -> None:
    assert sets("training.clip=none").training.clip is None
    assert sets("data.n=5", "data.n=none").data.n is None


def test_one_length_takes_the_place_of_the_other() -> None:
    run = sets("data.n=10", "training.steps=5", "training.epochs=2")
    assert (run.training.steps, run.training.epochs) == (None, 2)
    assert sets("training.steps=7", base=run).training.epochs is None


def test_tables_without_end_are_refused() -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(5000):
        inner["a"] = {}
        inner = inner["a"]
    with pytest.raises(ConfigurationError, match="too many"):
        table_layer("file", deep)


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_errors_are_told_at_once_each_with_its_path() -> None:
    lines = problems("seed=-1", "data.kind=moon", "training.density.kind=x", "model.targt=v", "network.widths=[8,-1]")
    assert [line.split(":")[0].split(" =")[0] for line in lines] == [
        "seed", "data.kind", "network.widths.1", "model.targt", "training.density.kind",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("seed=x", "seed = 'x': should be a whole number"),
        ("training.clip=-1", "training.clip = -1: should be greater than 0"),
        ("training.precision=half", "'float32', 'bfloat16' or 'auto'"),
        ("data.knid=moons", "data.knid: unknown key. Did you mean `kind`?"),
        ("data.nosie=1", "data.nosie: unknown key. Did you mean `noise`?"),
        ("sampling.sampler.kind=hein", "Did you mean `heun`?"),
        ("sampling.sampler=heun", "sampling.sampler is a table, not a value: set one of sampling.sampler.kind"),
        ("seed.x=1", "seed.x: `seed` is a value, not a table"),
        ("data.n.x=1", "data.n.x: `data.n` is a value, not a table"),
        ("data.kind=none", "data.kind = None: a kind is a name"),
        ("schedule.kind=[1]", "schedule.kind = [1]: a kind is a name"),
    ],
)
def test_an_error_says_path_value_range_and_suggestion(assignment: str, words: str) -> None:
    (line,) = problems(assignment)
    assert words in line


def test_long_values_are_cut() -> None:
    (line,) = problems(f"seed={'x' * 1000}")
    assert len(line) < 200


# ── there and back ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("preset", preset_names())
def test_presets_are_valid_short_and_survive_being_written(preset: str, tmp_path: Path) -> None:
    lines = preset_path(preset).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 25 and max(map(len, lines)) <= 120 and lines[0].startswith("# ")
    if preset == "picture":  # which needs one
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "logo.png")
    more = [f"data.path={tmp_path / 'logo.png'}"] * (preset == "picture")
    run = resolve(configuration_layers(preset, None, more, {})).run
    assert resolve([table_layer("file", tomllib.loads(to_toml(run)))]).run == run


def test_every_value_can_be_written_and_read_back() -> None:
    run = sets(
        "data.kind=gaussians", "data.modes=3", "data.weights=[1,2,0.5]", "schedule.kind=linear", "training.clip=none",
        "training.epochs=2", "data.n=50", "record.keep=[1,5]", "sampling.start=0.5", "sampling.sampler.kind=ddim",
        "sampling.sampler.eta=1e-7", "seed=9223372036854775807",
    )  # fmt: skip
    assert resolve([table_layer("file", tomllib.loads(to_toml(run)))]).run == run


def test_comments_say_where_values_come_from() -> None:
    run, sources = resolve([Layer("--set", [("data.kind", "moons"), ("seed", 4)])])
    lines = to_toml(run, sources).splitlines()
    assert lines[0] == "seed = 4 # --set"
    assert lines[lines.index("[data]") + 1 :][:2] == ['kind = "moons" # --set', 'n = "none" # default']
    assert "#" not in to_toml(run)
