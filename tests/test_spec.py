"""Specs compare and copy by their fields, whatever has been computed from them."""

import pytest
import torch
from pydantic import ValidationError

from toydiff.config import Run
from toydiff.data import AnyData, Moons
from toydiff.names import FILE_KINDS
from toydiff.samplers import AnySampler
from toydiff.schedules import AnySchedule, Linear
from toydiff.spec import kinds


@pytest.mark.parametrize("union", [AnySchedule, AnyData, AnySampler])
def test_used_specs_compare_and_hash_by_their_fields(union):
    for kind in (kind for name, kind in kinds(union).items() if name not in FILE_KINDS):
        a, b = kind(), kind()
        for spec in (a, b) if union is AnySchedule else ():
            spec(0.5), spec.time_of(1.0)
        for spec in (a, b) if union is AnyData else ():
            assert spec.scale > 0
        assert a == b and hash(a) == hash(b)
        assert a != kind.__mro__[1] and a != 1


def test_runs_compare():
    assert Run(schedule=Linear()) == Run(schedule=Linear()) != Run(schedule=Linear(T=999))


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [("training", "steps", True), ("training", "clip", False), ("network", "widths", [True, 16]), ("data", "n", True)],
)
def test_true_and_false_are_no_numbers(table, key, value):
    """pydantic alone would read 1 and 0; the refusal names the place, in Python as from a file."""
    kind = {"data": {"kind": "moons"}, "network": {"kind": "mlp"}}.get(table, {})
    with pytest.raises(ValidationError) as error:
        Run.model_validate({table: {**kind, key: value}})
    (detail,) = error.value.errors()
    assert key in detail["loc"] and detail["type"] in ("int_parsing", "float_parsing")


def test_true_and_false_are_what_a_switch_is():
    run = Run.model_validate({"training": {"compile": True}, "model": {"standardize": False}})
    assert (run.training.compile, run.model.standardize) == (True, False)


def test_a_copy_forgets_what_was_computed():
    used = Moons()
    x = torch.zeros(1, 2)
    before = used.log_prob(x)
    copied = used.model_copy(update={"noise": 0.3})
    assert torch.equal(copied.log_prob(x), Moons(noise=0.3).log_prob(x))
    assert not torch.equal(copied.log_prob(x), before)
    with pytest.raises(ValueError, match="greater"):
        used.model_copy(update={"noise": -1.0})
