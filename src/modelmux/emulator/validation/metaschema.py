"""Is a schema valid by JSON Schema draft 2020-12? The metaschema, and a validator for the keywords it uses.

Source: https://json-schema.org/draft/2020-12/schema, its vocabularies joined. As with ``jsonschema`` for Python, which
the service's messages point to, regular expressions have to compile in Python and URIs are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

Json = dict[str, Any]

_MAX_NESTING: Final = 110
_SCHEMA: Final[Json] = {"$ref": "#"}
_MAP: Final[Json] = {"type": "object", "additionalProperties": _SCHEMA}
_SCHEMAS: Final[Json] = {"type": "array", "items": _SCHEMA, "minItems": 1}
_STRINGS: Final[Json] = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
_STRING: Final[Json] = {"type": "string"}
_BOOLEAN: Final[Json] = {"type": "boolean"}
_NUMBER: Final[Json] = {"type": "number"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_ANCHOR: Final[Json] = {"type": "string", "pattern": "^[A-Za-z_][-A-Za-z0-9._]*$"}
_REGEX: Final[Json] = {"type": "string", "format": "regex"}
_TYPES: Final[Json] = {"enum": ["array", "boolean", "integer", "null", "number", "object", "string"]}

#: Keyword -> the schema of its value.
METASCHEMA: Final[dict[str, Json]] = {
    # core
    "$id": {"type": "string", "pattern": "^[^#]*#?$"}, "$schema": _STRING, "$ref": _STRING, "$anchor": _ANCHOR,
    "$dynamicRef": _STRING, "$dynamicAnchor": _ANCHOR, "$comment": _STRING, "$defs": _MAP,
    "$vocabulary": {"type": "object", "additionalProperties": _BOOLEAN},
    # applicator and unevaluated
    "prefixItems": _SCHEMAS, "items": _SCHEMA, "contains": _SCHEMA, "additionalProperties": _SCHEMA,
    "properties": _MAP, "patternProperties": {**_MAP, "propertyNames": _REGEX}, "dependentSchemas": _MAP,
    "propertyNames": _SCHEMA, "if": _SCHEMA, "then": _SCHEMA, "else": _SCHEMA, "not": _SCHEMA, "allOf": _SCHEMAS,
    "anyOf": _SCHEMAS, "oneOf": _SCHEMAS, "unevaluatedItems": _SCHEMA, "unevaluatedProperties": _SCHEMA,
    # validation
    "type": {"anyOf": [_TYPES, {"type": "array", "items": _TYPES, "minItems": 1, "uniqueItems": True}]},
    "enum": {"type": "array"}, "multipleOf": {"type": "number", "exclusiveMinimum": 0}, "maximum": _NUMBER,
    "exclusiveMaximum": _NUMBER, "minimum": _NUMBER, "exclusiveMinimum": _NUMBER, "maxLength": _COUNT,
    "minLength": _COUNT, "pattern": _REGEX, "maxItems": _COUNT, "minItems": _COUNT, "uniqueItems": _BOOLEAN,
    "maxContains": _COUNT, "minContains": _COUNT, "maxProperties": _COUNT, "minProperties": _COUNT,
    "required": _STRINGS, "dependentRequired": {"type": "object", "additionalProperties": _STRINGS},
    # meta-data, format, content
    "title": _STRING, "description": _STRING, "deprecated": _BOOLEAN, "readOnly": _BOOLEAN, "writeOnly": _BOOLEAN,
    "examples": {"type": "array"}, "format": _STRING, "contentEncoding": _STRING, "contentMediaType": _STRING,
    "contentSchema": _SCHEMA,
    # deprecated
    "definitions": _MAP, "dependencies": {"type": "object", "additionalProperties": {"anyOf": [_SCHEMA, _STRINGS]}},
    "$recursiveAnchor": _ANCHOR, "$recursiveRef": _STRING,
}  # fmt: skip


def is_valid(schema: Any, depth: int = 0) -> bool:
    """Whether this is a schema of draft 2020-12, whatever ``$schema`` names."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict) or depth > _MAX_NESTING:
        return False
    return all(_fits(value, METASCHEMA[key], depth + 1) for key, value in schema.items() if key in METASCHEMA)


def _fits(value: Any, wanted: Json, depth: int) -> bool:
    if "$ref" in wanted:
        return is_valid(value, depth)
    if "anyOf" in wanted:
        return any(_fits(value, variant, depth) for variant in wanted["anyOf"])
    if "enum" in wanted:
        return value in wanted["enum"]
    if not _IS[wanted["type"]](value):
        return False
    if isinstance(value, dict):
        names = wanted.get("propertyNames")
        inside = wanted["additionalProperties"]
        return all(_fits(part, inside, depth) for part in value.values()) and (
            names is None or all(_fits(name, names, depth) for name in value)
        )
    if isinstance(value, list):
        return _list_fits(value, wanted, depth)
    return _scalar_fits(value, wanted)


def _list_fits(value: list[Any], wanted: Json, depth: int) -> bool:
    items = wanted.get("items")
    if len(value) < wanted.get("minItems", 0) or not all(items is None or _fits(v, items, depth) for v in value):
        return False
    return not wanted.get("uniqueItems") or len(set(value)) == len(value)


def _scalar_fits(value: Any, wanted: Json) -> bool:
    if "pattern" in wanted:
        return re.search(wanted["pattern"], value) is not None
    if wanted.get("format") == "regex":
        return _compiles(value)
    if "minimum" in wanted:
        return bool(value >= wanted["minimum"])
    return bool(value > wanted["exclusiveMinimum"]) if "exclusiveMinimum" in wanted else True


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    except FutureWarning:  # only where warnings are errors
        return True
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_IS: Final[dict[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == int(value),
}
