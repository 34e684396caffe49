"""The names of types as they are found in schemas, which are not always those of JSON Schema."""

from __future__ import annotations

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


def read_type(value: Any) -> dict[str, Any] | None:
    """The keywords that say which values are meant: ``type``, with a ``format`` for some strings; none for any value.
    None if it is not clear which are meant.

    :param value: of ``type``: a name, several, or several separated by ``|``.
    """
    if isinstance(value, str) and value.strip().lower() in _FORMATS:
        return {"type": "string", "format": _FORMATS[value.strip().lower()]}
    names = value.split("|") if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    names = [name.strip().lower() for name in names]
    if not _ANY.isdisjoint(names):
        return {}
    types = list(dict.fromkeys(_NAMES[name] for name in names if name in _NAMES))
    if not all(name in _NAMES for name in names):
        return None
    return {"type": types[0] if len(types) == 1 else types}
