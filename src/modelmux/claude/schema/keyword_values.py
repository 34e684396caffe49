"""Values of keywords that are not valid by draft 2020-12, put right as far as their meaning is clear."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

#: In place of a value that has no meaning.
LEFT_OUT: Final = object()

Json = dict[str, Any]


def number_in(value: Any) -> Any:
    """A number, also one that is written as text."""
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return LEFT_OUT
    if isinstance(value, float):
        return value if math.isfinite(value) else LEFT_OUT
    return value if isinstance(value, int) and not isinstance(value, bool) else LEFT_OUT


def flag_in(value: Any) -> Any:
    """A boolean, also one that is written as text."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower(), LEFT_OUT) if isinstance(value, str) else LEFT_OUT


def names_in(value: Any) -> Any:
    """A list of different names, also of one."""
    if isinstance(value, str):
        return [value]
    return list(dict.fromkeys(v for v in value if isinstance(v, str))) if isinstance(value, list) else LEFT_OUT


def loses_names(value: Any) -> bool:
    """Whether a value that ``names_in`` and ``REPAIRS`` put right holds something else than names."""
    if isinstance(value, dict):
        return any(map(loses_names, value.values()))
    return any(not isinstance(name, str) for name in value) if isinstance(value, list) else not isinstance(value, str)


def _required(value: Any) -> Any:
    is_flag = isinstance(value, str) and flag_in(value) is not LEFT_OUT  # draft 3, as text
    return LEFT_OUT if is_flag else names_in(value)


def _dependent_names(value: Any) -> Any:
    if not isinstance(value, dict):
        return LEFT_OUT
    names = {key: names_in(part) for key, part in value.items()}
    return {key: part for key, part in names.items() if part is not LEFT_OUT}


def _text(value: Any) -> Any:
    is_lines = isinstance(value, list) and bool(value) and all(isinstance(line, str) for line in value)
    return "\n".join(value) if is_lines else LEFT_OUT


def _values(value: Any) -> Any:
    return LEFT_OUT if isinstance(value, dict) else [value]


#: Keyword -> what puts its value right.
REPAIRS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("title", "description", "$comment"), _text),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), number_in),
    **dict.fromkeys(
        (
            "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties",
            "maxProperties",
        ),
        number_in,
    ),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), flag_in),
    **dict.fromkeys(("enum", "examples"), _values),
    "required": _required,
    "dependentRequired": _dependent_names,
}  # fmt: skip
