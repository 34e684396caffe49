"""How one member of a dialect is supported: a row of its tables, from which documentation is generated."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["mapped", "emulated", "ignored", "rejected"]


class FieldSupport(NamedTuple):
    """How one field is supported.

    :param explanation: text of the table; also the notice of an ignored field, or the hint of a rejected one.
    :param neutral_values: values without an effect, which are neither reported nor rejected.
    """

    kind: Kind
    explanation: str
    neutral_values: tuple[object, ...] = ()
