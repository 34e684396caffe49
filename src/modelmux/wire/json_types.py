"""The names of types for people who send JSON: msgspec's messages have those of Python."""

from __future__ import annotations

import re
from typing import Any, Final

_NAMES: Final = (
    (bool, "a boolean"), (int | float, "a number"), (str, "a string"), (list, "an array"), (dict, "an object"),
)  # fmt: skip
_PYTHON: Final = {"bool": "boolean", "int": "integer", "float": "number", "str": "string", "bytes": "string"}
#: "Expected `int | null`, got `str`": the types at both places. Nothing else of a message has this form.
_TYPES: Final = re.compile(r"(?P<before>^Expected |, got )`(?P<types>[^`]*)`")


def json_type(value: Any) -> str:
    """The name of a value's type in JSON, with its article."""
    return next((name for type, name in _NAMES if isinstance(value, type)), "null")


def in_json_terms(message: str) -> str:
    """A message of msgspec's ``ValidationError`` with JSON's names: ``Expected integer or null, got string``."""
    return _TYPES.sub(lambda match: match["before"] + _in_words(match["types"].split(" | ")), message)


def _in_words(types: list[str]) -> str:
    names = dict.fromkeys(_PYTHON.get(name, name) for name in types)
    if "number" in names:
        names.pop("integer", None)
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
