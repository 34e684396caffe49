"""The names of types as they are found in schemas, which are not always those of JSON Schema."""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.claude.schema.draft2020 import TYPES

_ANY: Final = frozenset({"any", "mixed", "unknown", "*", ""})
#: Names of other languages and dialects, in small letters.
_NAMES: Final = {
    **{name: name for name in TYPES},
    **dict.fromkeys(("int", "int32", "int64", "long", "short", "bigint", "uint", "uint32", "uint64"), "integer"),
    **dict.fromkeys(("float", "double", "decimal", "float32", "float64"), "number"),
    **dict.fromkeys(("str", "text", "varchar", "char"), "string"),
    **dict.fromkeys(("list", "tuple", "set"), "array"),
    **dict.fromkeys(("dict", "dictionary", "map", "hash", "struct"), "object"),
    **dict.fromkeys(("none", "nil", "nonetype"), "null"),
    "bool": "boolean",
}
#: Names that are formats of strings.
_FORMATS: Final = {"date": "date", "datetime": "date-time", "date-time": "date-time", "uuid": "uuid", "email": "email"}
#: ``string[]``, ``array<string>``, ``list[string]``.
_ARRAY: Final = re.compile(r"(?s:([^|]*)\[\]|(?:array|list|set)\s*(?:<(.*)>|\[(.+)\]))", re.IGNORECASE)
#: Arrays within arrays that are read in one name.
_MAX_ARRAYS: Final = 8
_TYPE_LIST: Final = sorted(TYPES)

Json = dict[str, Any]


def read_type(value: Any, *, schemas: bool = False) -> Json | None:
    """The keywords that say which values are meant: ``type``, with a ``format`` for some strings and ``items`` for some
    arrays, or ``anyOf``; none for any value. None if it is not clear which are meant.

    :param value: of ``type``: a name, several, or several separated by ``|``.
    :param schemas: whether schemas among several names are read, as draft 3 has them; they are not repaired here.
    """
    if isinstance(value, str) and value in _NAMES:  # most of them
        return {"type": _NAMES[value]}
    return _read(value, schemas, 0)


def _read(value: Any, schemas: bool, level: int) -> Json | None:
    array = _ARRAY.fullmatch(value.strip()) if isinstance(value, str) else None
    if array is not None and (found := _array(array[array.lastindex or 0], level)) is not None:
        return found
    members = value.split("|") if isinstance(value, str) else value
    if not isinstance(members, list) or not members:
        return None
    read = [_member(member, schemas, level) for member in members]
    if {} in read:
        return {}
    known = [part for part in read if part is not None]
    if len(known) < len(read):
        return None
    if all(part.keys() == {"type"} and part["type"] in _TYPE_LIST for part in known):
        types = list(dict.fromkeys(part["type"] for part in known))
        return {"type": types[0] if len(types) == 1 else types}
    return {"anyOf": known} if len(known) > 1 or isinstance(members[0], dict) else known[0]


def _member(value: Any, schemas: bool, level: int) -> Json | None:
    if isinstance(value, dict):
        return value if schemas else None
    if not isinstance(value, str):
        return None
    name = value.strip().lower()
    if name in _FORMATS:
        return {"type": "string", "format": _FORMATS[name]}
    if name in _NAMES:
        return {"type": _NAMES[name]}
    array = _ARRAY.fullmatch(name)
    return {} if name in _ANY else None if array is None else _array(array[array.lastindex or 0], level)


def _array(items: str, level: int) -> Json | None:
    """An array of what a text names."""
    found = _read(items, False, level + 1) if level < _MAX_ARRAYS else None
    if found is None:
        return None
    return {"type": "array", "items": found} if found else {"type": "array"}
