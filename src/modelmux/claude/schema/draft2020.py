"""Whether a tool's schema is valid by the metaschema of JSON Schema draft 2020-12: Claude refuses the whole request for
one that is not, whatever ``$schema`` names.

The metaschema as a table of checks, one for each keyword; unknown keywords are valid. Source:
https://json-schema.org/draft/2020-12/schema and its vocabularies. Formats are checked as ``jsonschema`` for Python does
by default: regular expressions have to compile, URIs are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

#: Levels of schemas inside of schemas: far above any real one, far below Python's recursion limit.
MAX_LEVELS: Final = 100
#: Longest regular expression that is compiled: compiling takes microseconds for each character.
MAX_PATTERN: Final = 2_000
TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_ANCHOR: Final = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
#: What Python prints a warning of, inside a set of characters; an escape says the same without one.
_WARNED_OF: Final = re.compile(r"\\.|\[\[|--|&&|~~|\|\|", re.DOTALL)
_ID: Final = re.compile(r"[^#]*#?")

Check = Callable[[Any, int], bool]


def is_valid(schema: Any, level: int = 0) -> bool:
    """Whether a value is a schema that Claude accepts."""
    if type(schema) is not dict:
        return type(schema) is bool
    if level > MAX_LEVELS:
        return not schema
    for key, value in schema.items():
        check = CHECKS.get(key)
        if check is not None and not check(value, level + 1):
            return False
    return True


def _schemas(value: Any, level: int) -> bool:
    """Several schemas, at least one."""
    return type(value) is list and bool(value) and _all_valid(value, level)


def _named_schemas(value: Any, level: int) -> bool:
    return type(value) is dict and _all_valid(value.values(), level)


def _all_valid(schemas: Iterable[Any], level: int) -> bool:
    for schema in schemas:  # noqa: SIM110 - a generator for each would take as long as the checks
        if not is_valid(schema, level):
            return False
    return True


def _pattern_schemas(value: Any, level: int) -> bool:
    return _named_schemas(value, level) and all(map(compiles, value))


def _dependencies(value: Any, level: int) -> bool:
    return type(value) is dict and all(_names(part, level) or is_valid(part, level) for part in value.values())


def _dependent_names(value: Any, level: int) -> bool:
    return type(value) is dict and all(_names(part, level) for part in value.values())


def _names(value: Any, _: int) -> bool:
    """Different strings."""
    return type(value) is list and all(type(name) is str for name in value) and len(set(value)) == len(value)


def _type(value: Any, level: int) -> bool:
    if type(value) is str:
        return value in TYPES
    return _names(value, level) and bool(value) and TYPES.issuperset(value)


def _text(value: Any, _: int) -> bool:
    return type(value) is str


def _flag(value: Any, _: int) -> bool:
    return type(value) is bool


def _list(value: Any, _: int) -> bool:
    return type(value) is list


def _number(value: Any, _: int) -> bool:
    return type(value) is int or isinstance(value, float)


def _positive(value: Any, level: int) -> bool:
    return _number(value, level) and value > 0


def _count(value: Any, level: int) -> bool:
    return _number(value, level) and value >= 0 and (type(value) is int or value.is_integer())


def _pattern(value: Any, _: int) -> bool:
    return type(value) is str and compiles(value)


def is_anchor(value: Any, _: int = 0) -> bool:
    """Whether a value is a name for ``$anchor``."""
    return type(value) is str and _ANCHOR.fullmatch(value) is not None


def _id(value: Any, _: int) -> bool:
    return type(value) is str and _ID.fullmatch(value) is not None


def _vocabulary(value: Any, _: int) -> bool:
    return type(value) is dict and all(type(required) is bool for required in value.values())


@lru_cache(maxsize=1024)
def compiles(pattern: str) -> bool:
    """Whether a regular expression is one for Python, in which the metaschema is checked upstream."""
    if len(pattern) > MAX_PATTERN or "(?(" in pattern:  # conditions are Python's own; no client means one
        return False
    try:
        re.compile(_WARNED_OF.sub(_escaped, pattern))
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _escaped(match: re.Match[str]) -> str:
    text = match[0]
    return text if text[0] == "\\" else f"{text[0]}\\{text[1]}"


#: Keyword -> whether a value is valid, given its level.
CHECKS: Final[dict[str, Check]] = {
    **dict.fromkeys(("$schema", "$ref", "$dynamicRef", "$recursiveRef", "$comment"), _text),
    **dict.fromkeys(("title", "description", "format", "contentEncoding", "contentMediaType"), _text),
    **dict.fromkeys(("$anchor", "$dynamicAnchor", "$recursiveAnchor"), is_anchor),
    **dict.fromkeys(("properties", "$defs", "definitions", "dependentSchemas"), _named_schemas),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _schemas),
    **dict.fromkeys(
        (
            "items", "contains", "additionalProperties", "propertyNames", "if", "then", "else", "not",
            "unevaluatedItems", "unevaluatedProperties", "contentSchema",
        ),
        is_valid,
    ),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    **dict.fromkeys(
        (
            "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties",
            "maxProperties",
        ),
        _count,
    ),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _flag),
    **dict.fromkeys(("enum", "examples"), _list),
    "$id": _id,
    "$vocabulary": _vocabulary,
    "type": _type,
    "required": _names,
    "dependentRequired": _dependent_names,
    "dependencies": _dependencies,
    "patternProperties": _pattern_schemas,
    "multipleOf": _positive,
    "pattern": _pattern,
}  # fmt: skip
