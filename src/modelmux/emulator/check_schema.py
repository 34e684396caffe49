"""JSON schemas in requests: is it a schema at all, and is it within what the service can compile (4.3).

``check_valid`` is for every tool; ``check_supported`` for strict tools and structured output.
"""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.emulator.fill import follow
from modelmux.emulator.refusals import invalid

_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_MAX_DEPTH: Final = 60
#: Parts that are looked at, references followed each time: those can double with every level.
_MAX_PARTS: Final = 20_000
_MAX_NESTING: Final = 300
_NOTES: Final = frozenset(
    {
        "type", "enum", "const", "title", "description", "default", "examples", "$ref", "$defs", "definitions", "anyOf",
        "allOf", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly", "nullable",
    }
)  # fmt: skip
_OF_TYPE: Final[dict[str, frozenset[str]]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format", "pattern"}),
    "integer": frozenset(),
    "number": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_LOOKAROUND: Final = re.compile(r"\(\?[=!<]|\\[1-9]|\\k<")
_INVALID: Final = (
    "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12). Learn "
    "more about tool use at https://docs.claude.com/en/docs/tool-use."
)


def check_valid(schema: dict[str, Any], path: str) -> None:
    """A tool's schema is a schema, and its root a plain object.

    :raises Refused: it is not.
    """
    if any(key in schema for key in ("oneOf", "allOf", "anyOf")):
        raise invalid(f"{path}: input_schema does not support oneOf, allOf, or anyOf at the top level")
    if not _is_schema(schema, 0):
        raise invalid(f"{path}: {_INVALID}")


def _is_schema(schema: Any, depth: int) -> bool:
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict) or depth > _MAX_NESTING:
        return False
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    required = schema.get("required", [])
    right = (
        all(isinstance(kind, str) and kind in _TYPES for kind in kinds)
        and isinstance(required, list)
        and all(isinstance(name, str) for name in required)
        and isinstance(schema.get("enum", []), list)
        and all(isinstance(schema.get(key, ""), str) for key in ("format", "pattern", "$ref", "title", "description"))
    )
    return right and all(_is_schema(inner, depth + 1) for inner in _inner(schema))


def _inner(schema: dict[str, Any]) -> list[Any]:
    """Schemas directly inside a schema; a non-schema in their place comes out as it is."""
    found: list[Any] = []
    for key in ("properties", "$defs", "definitions", "patternProperties"):
        if key in schema:
            held = schema[key]
            found += held.values() if isinstance(held, dict) else [None]
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if key in schema:
            held = schema[key]
            found += held if isinstance(held, list) and held else [None]
    found += [schema[key] for key in ("items", "additionalProperties", "not") if key in schema]
    return found


class Size:
    """How much there is to compile, over all schemas of a request."""

    def __init__(self) -> None:
        self.optional = 0
        self.unions = 0


def check_supported(schema: dict[str, Any], path: str, size: Size) -> None:
    """A schema is within the supported subset; adds to ``size``.

    :raises Refused: it is not.
    """
    if not _is_schema(schema, 0):
        raise invalid(f"{path}: {_INVALID}")
    _Walk(schema, path, size).walk(schema, (), 0)


class _Walk:
    def __init__(self, root: dict[str, Any], path: str, size: Size) -> None:
        self._root = root
        self._path = path
        self._size = size
        self._parts = 0

    def walk(self, schema: Any, refs: tuple[str, ...], depth: int) -> None:
        if not isinstance(schema, dict):
            raise self._bad("Each schema must be an object")
        self._parts += 1
        if depth > _MAX_DEPTH or self._parts > _MAX_PARTS:
            raise invalid("Schema is too complex for compilation.")
        reference = schema.get("$ref")
        if reference is not None:
            self._reference(reference, refs, depth)
            return
        kinds = schema.get("type", ())
        kinds = kinds if isinstance(kinds, list) else [kinds] if kinds else []
        if len(kinds) > 1 or "anyOf" in schema:
            self._size.unions += 1
        for kind in kinds:
            if kind not in _OF_TYPE:
                raise self._bad(f"Invalid type '{kind}'")
        self._keywords(schema, kinds)
        self._values(schema, kinds)
        if "object" in kinds:
            self._object(schema)
        for inner in self._children(schema):
            self.walk(inner, refs, depth + 1)

    def _reference(self, reference: Any, refs: tuple[str, ...], depth: int) -> None:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise self._bad(f"External schema reference '{reference}' is not supported")
        if reference in refs:
            raise self._bad(f"Circular reference detected: '{reference}'. Recursive schemas are not supported")
        target = follow(self._root, reference)
        if target is None:
            raise self._bad(f"Schema reference '{reference}' cannot be resolved")
        self.walk(target, (*refs, reference), depth + 1)

    def _keywords(self, schema: dict[str, Any], kinds: list[str]) -> None:
        allowed = _NOTES.union(*(_OF_TYPE[kind] for kind in kinds))
        for key in schema:
            if key not in allowed and not key.startswith("x-"):
                if kinds:
                    raise self._bad(f"For '{kinds[0]}' type, property '{key}' is not supported")
                raise self._bad(f"Property '{key}' is not supported")

    def _values(self, schema: dict[str, Any], kinds: list[str]) -> None:
        if schema.get("minItems", 0) not in (0, 1):
            raise self._bad(
                f"For 'array' type, 'minItems' values other than 0 or 1 are not supported (got {schema['minItems']})"
            )
        if "format" in schema and schema["format"] not in _FORMATS:
            raise self._bad(f"For 'string' type, format '{schema['format']}' is not supported")
        if isinstance(schema.get("pattern"), str) and _LOOKAROUND.search(schema["pattern"]):
            raise self._bad("For 'string' type, patterns with lookaround or backreferences are not supported")
        for value in schema.get("enum", ()):
            if isinstance(value, dict | list):
                raise self._bad("Enum values must be strings, numbers, booleans or null")
        if not kinds and not any(key in schema for key in ("enum", "const", "anyOf", "allOf")):
            raise self._bad("Schema must have a 'type', 'enum', 'const', 'anyOf', 'allOf' or '$ref'")

    def _object(self, schema: dict[str, Any]) -> None:
        if schema.get("additionalProperties") is not False:
            raise self._bad("For 'object' type, 'additionalProperties' must be explicitly set to false")
        required = schema.get("required") or []
        self._size.optional += sum(1 for name in schema.get("properties") or {} if name not in required)

    @staticmethod
    def _children(schema: dict[str, Any]) -> list[Any]:
        """Inner schemas, except definitions (checked where they are used) and ``additionalProperties``."""
        found = list((schema.get("properties") or {}).values())
        for key in ("anyOf", "allOf"):
            found += schema.get(key) or []
        if "items" in schema:
            found.append(schema["items"])
        return found

    def _bad(self, message: str) -> Exception:
        return invalid(f"{self._path}: {message}")
