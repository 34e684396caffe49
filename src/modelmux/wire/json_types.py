"""The names of types for people who send JSON: msgspec's messages have those of Python."""

from __future__ import annotations

import re
from typing import Any, Final

_NAMES: Final = (
    (bool, "a boolean"), (int | float, "a number"), (str, "a string"), (list, "an array"), (dict, "an object"),
)  # fmt: skip
#: As msgspec names types. What arrived is a number, with a fraction or without: JSON has no other name for it.
_EXPECTED: Final = {
    "bool": "a boolean", "int": "an integer", "float": "a number", "str": "a string", "bytes": "a string",
    "array": "an array", "object": "an object",
}  # fmt: skip
_RECEIVED: Final = {**_EXPECTED, "int": "a number"}
#: "Expected `int | null`, got `str`": the types at both places. Nothing else of a message has this form.
_TYPES: Final = re.compile(r"(?P<before>^Expected |, got )`(?P<types>[^`]*)`")


def json_type(value: Any) -> str:
    """The name of a value's type in JSON, with its article."""
    return next((name for type, name in _NAMES if isinstance(value, type)), "null")


def in_json_terms(message: str) -> str:
    """A message of msgspec's ``ValidationError`` with JSON's names: ``Expected an integer or null, got a string``."""
    return _TYPES.sub(lambda match: match["before"] + _in_words(match["types"].split(" | "), match["before"]), message)


def _in_words(types: list[str], before: str) -> str:
    names = _EXPECTED if before == "Expected " else _RECEIVED
    words = dict.fromkeys(names.get(name, name) for name in types)
    if "a number" in words:
        words.pop("an integer", None)
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
