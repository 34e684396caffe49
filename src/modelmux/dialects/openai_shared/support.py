"""How one member of a dialect is supported: a row of its tables, from which documentation is generated; and which rows
a request uses."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from modelmux.errors import InvalidRequest

Kind = Literal["mapped", "emulated", "ignored", "rejected"]


class FieldSupport(NamedTuple):
    """How one field is supported.

    :param explanation: text of the table; also the notice of an ignored field, or the hint of a rejected one.
    :param neutral_values: values without an effect, which are neither reported nor rejected.
    """

    kind: Kind
    explanation: str
    neutral_values: tuple[object, ...] = ()


class FieldGroup:
    """Fields that are handled alike. Most requests set none of them, which one comparison of all of them shows.

    :param fields: at least two.
    :param empty: a request that sets none of them.
    """

    __slots__ = ("_none", "_rows", "_values")

    def __init__(self, fields: Mapping[str, FieldSupport], empty: object) -> None:
        self._rows = tuple(fields.items())
        self._values = attrgetter(*fields)
        self._none = self._values(empty)

    def set_in(self, request: object) -> list[tuple[str, FieldSupport]]:
        """The fields that a request sets to a value with an effect, in the order of the table."""
        values = self._values(request)
        if values == self._none:
            return []
        return [row for row, value in zip(self._rows, values, strict=True) if is_set(value, row[1])]


def is_set(value: Any, support: FieldSupport) -> bool:
    """Whether a field has a value with an effect."""
    return value is not None and value not in support.neutral_values


def unsupported(name: str, hint: str) -> InvalidRequest:
    """The error for a field whose effect cannot be provided."""
    return InvalidRequest(f"Unsupported parameter: '{name}'.", param=name, code="unsupported_parameter", hint=hint)
