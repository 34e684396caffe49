"""Reads the structs of the schema: the fields of a table, their types, and what values a type takes, in words.

Generic: it knows no setting and no table by name.
"""

from __future__ import annotations

import functools
import types
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from modelmux.config.annotations import Doc
from modelmux.config.values import Bytes, Milliseconds, Seconds, Secret

_WORDS: Final = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
_PLURAL: Final = {str: "strings", int: "whole numbers", float: "numbers", Secret: "strings"}


class TableField(NamedTuple):
    """One field of a table.

    :param info: name, encoded name and default, as msgspec has them.
    :param kind: its type without annotations and without ``None``.
    """

    info: msgspec.structs.FieldInfo
    kind: Any
    doc: Doc | None
    limits: Meta | None


@functools.cache  # msgspec evaluates the annotations anew each time
def fields(table: type[Struct]) -> tuple[TableField, ...]:
    """The fields of a table, in order."""
    hints = get_type_hints(table, include_extras=True)
    return tuple(_field(info, hints[info.name]) for info in msgspec.structs.fields(table))


def _field(info: msgspec.structs.FieldInfo, hint: Any) -> TableField:
    metadata = hint.__metadata__ if get_origin(hint) is Annotated else ()
    doc = next((m for m in metadata if isinstance(m, Doc)), None)
    return TableField(info, strip(hint), doc, next((m for m in metadata if isinstance(m, Meta)), None))


def strip(hint: Any) -> Any:
    """A type without its annotations and without ``None``."""
    if get_origin(hint) is Annotated:
        return strip(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        return strip(rest[0]) if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 - built at run time
    return hint


def is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def item_of(kind: Any) -> Any:
    """The type of the entries of a list or of the values of a dict; None for other types."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is list:
        return strip(args[0])
    return strip(args[1]) if origin is dict else None


def describe(kind: Any, limits: Meta | None = None) -> str:
    """What values a type takes, in words."""
    if limits is not None and limits.description is not None:
        return limits.description
    return _describe(kind, limits)


def _describe(kind: Any, limits: Meta | None) -> str:
    if get_origin(kind) is Literal:
        *most, last = [str(choice) for choice in get_args(kind)]
        return f"{', '.join(most)} or {last}" if most else last
    if kind in (Seconds, Milliseconds, Bytes, Secret):
        words = str(kind.expected)
        if limits is not None and limits.gt is not None:
            words += f", more than {limits.gt}"
        if limits is not None and limits.ge is not None:
            words += f", at least {kind(limits.ge)}"
        if limits is not None and limits.le is not None:
            words += f", at most {kind(limits.le)}"
        return words
    if get_origin(kind) is list:
        item = item_of(kind)
        if is_table(item) or get_origin(item) is dict:
            return "a list of tables"
        return f"a list of {_PLURAL.get(item, 'values')}"
    if get_origin(kind) is dict or is_table(kind):
        return "a table"
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(describe(strip(arg)) for arg in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list"
    words = _WORDS.get(kind, "a date such as 2027-01-31")
    if limits is not None and limits.ge is not None and limits.le is not None:
        words += f" from {limits.ge} to {limits.le}"
    return words
