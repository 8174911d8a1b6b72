"""Spec: the frozen base of everything a preset can name, and the reading of a union of kinds."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import getdoc
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator


class Spec(BaseModel):
    """A frozen, closed set of numbers and names: the configuration *is* the object that does the work."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        """Write true and false out where a number belongs, so that they are refused there, not taken for 1 and 0."""
        if not isinstance(values, Mapping):
            return values
        numbers = {key for key, field in cls.model_fields.items() if _mentions(field.annotation, int, float)}
        return {key: _written_out(value) if key in numbers else value for key, value in values.items()}

    def __eq__(self, other: object) -> bool:
        """Compare the fields; pydantic's own would compare the tensors computed from them as well."""
        return type(self) is type(other) and dict(self) == dict(other)

    __hash__ = BaseModel.__hash__

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a validated copy: pydantic's own would keep what was computed from the old values."""
        return type(self).model_validate({**dict(self), **(update or {})})


def _mentions(annotation: Any, *types: type) -> bool:
    """Return whether one of the types occurs in an annotation such as `tuple[Annotated[int, …], ...] | None`."""
    return annotation in types or any(_mentions(part, *types) for part in get_args(annotation))


def _written_out(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_written_out(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else value


def kinds(union: Any) -> dict[str, type[Spec]]:
    """Return {kind: class} for a discriminated union such as `AnySampler`, in the order it is written.

    This is the only registry: presets, `inspect`, completion, the documentation and the oracle tests read it.
    """
    if hasattr(union, "__metadata__"):  # Annotated[Union[…], Field(discriminator="kind")]
        union = get_args(union)[0]
    members = get_args(union) if get_origin(union) in (Union, UnionType) else (union,)
    return {member.model_fields["kind"].default: member for member in members}


def summary(kind: type[Spec]) -> str:
    """Return the first line of a kind's docstring: what it is and where it was published."""
    return (getdoc(kind) or "").partition("\n")[0]
