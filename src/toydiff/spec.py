"""Spec: the frozen base of everything a preset can name, and the reading of a union of kinds."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import getdoc
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen, closed set of numbers and names: the configuration *is* the object that does the work."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    def __eq__(self, other: object) -> bool:
        """Compare the fields; pydantic's own would compare the tensors computed from them as well."""
        return type(self) is type(other) and dict(self) == dict(other)

    __hash__ = BaseModel.__hash__

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a validated copy: pydantic's own would keep what was computed from the old values."""
        return type(self).model_validate({**dict(self), **(update or {})})


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
