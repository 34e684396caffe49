"""JSON schemas in requests: is it a valid schema, and can the service compile it (anthropic-vertex.md 4.3)?

``check_valid`` applies to every tool; ``check_supported`` to strict tools and structured output.
"""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.emulator.errors import ApiError, invalid_request
from modelmux.emulator.model.schema_sample import resolve_ref
from modelmux.emulator.validation.metaschema import is_valid

#: Of keys directly under the root; below, any key is accepted.
_PROPERTY_KEY: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_MAX_DEPTH: Final = 60
#: Limit on visited subschemas. References are followed every time, so their number can double with every level.
_MAX_VISITED: Final = 20_000
_ANY_TYPE_KEYWORDS: Final = frozenset(
    {
        "type", "enum", "const", "title", "description", "default", "examples", "$ref", "$defs", "definitions", "anyOf",
        "allOf", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly", "nullable",
    }
)  # fmt: skip
_TYPE_KEYWORDS: Final[dict[str, frozenset[str]]] = {
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
    """Check that a tool's schema is valid, that its root is a plain object, and the keys of its properties.

    :raises ApiError: it is not.
    """
    if any(key in schema for key in ("oneOf", "allOf", "anyOf")):
        raise invalid_request(f"{path}: input_schema does not support oneOf, allOf, or anyOf at the top level")
    if not is_valid(schema):
        raise invalid_request(f"{path}: {_INVALID}")
    if not all(map(_PROPERTY_KEY.fullmatch, schema.get("properties", {}))):
        raise invalid_request(f"{path}.properties: Property keys should match pattern '^{_PROPERTY_KEY.pattern}$'")


class SchemaComplexity:
    """How much the service has to compile, over all schemas of a request."""

    def __init__(self) -> None:
        self.optional = 0
        self.unions = 0


def check_supported(schema: dict[str, Any], path: str, complexity: SchemaComplexity) -> None:
    """Check that a schema is within the supported subset; adds to ``complexity``.

    :raises ApiError: it is not.
    """
    if not is_valid(schema):
        raise invalid_request(f"{path}: {_INVALID}")
    _SupportCheck(schema, path, complexity).visit(schema, (), 0)


class _SupportCheck:
    def __init__(self, root: dict[str, Any], path: str, complexity: SchemaComplexity) -> None:
        self._root = root
        self._path = path
        self._complexity = complexity
        self._visited = 0

    def visit(self, schema: Any, refs: tuple[str, ...], depth: int) -> None:
        if not isinstance(schema, dict):
            raise self._error("Each schema must be an object")
        self._visited += 1
        if depth > _MAX_DEPTH or self._visited > _MAX_VISITED:
            raise invalid_request("Schema is too complex for compilation.")
        reference = schema.get("$ref")
        if reference is not None:
            self._reference(reference, refs, depth)
            return
        kinds = schema.get("type", ())
        kinds = kinds if isinstance(kinds, list) else [kinds] if kinds else []
        if len(kinds) > 1 or "anyOf" in schema:
            self._complexity.unions += 1
        for kind in kinds:
            if kind not in _TYPE_KEYWORDS:
                raise self._error(f"Invalid type '{kind}'")
        self._keywords(schema, kinds)
        self._values(schema, kinds)
        if "object" in kinds:
            self._object(schema)
        for inner in self._children(schema):
            self.visit(inner, refs, depth + 1)

    def _reference(self, reference: Any, refs: tuple[str, ...], depth: int) -> None:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise self._error(f"External schema reference '{reference}' is not supported")
        if reference in refs:
            raise self._error(f"Circular reference detected: '{reference}'. Recursive schemas are not supported")
        target = resolve_ref(self._root, reference)
        if target is None:
            raise self._error(f"Schema reference '{reference}' cannot be resolved")
        self.visit(target, (*refs, reference), depth + 1)

    def _keywords(self, schema: dict[str, Any], kinds: list[str]) -> None:
        allowed = _ANY_TYPE_KEYWORDS.union(*(_TYPE_KEYWORDS[kind] for kind in kinds))
        for key in schema:
            if key not in allowed and not key.startswith("x-"):
                if kinds:
                    raise self._error(f"For '{kinds[0]}' type, property '{key}' is not supported")
                raise self._error(f"Property '{key}' is not supported")

    def _values(self, schema: dict[str, Any], kinds: list[str]) -> None:
        if schema.get("minItems", 0) not in (0, 1):
            raise self._error(
                f"For 'array' type, 'minItems' values other than 0 or 1 are not supported (got {schema['minItems']})"
            )
        if "format" in schema and schema["format"] not in _FORMATS:
            raise self._error(f"For 'string' type, format '{schema['format']}' is not supported")
        if isinstance(schema.get("pattern"), str) and _LOOKAROUND.search(schema["pattern"]):
            raise self._error("For 'string' type, patterns with lookaround or backreferences are not supported")
        for value in schema.get("enum", ()):
            if isinstance(value, dict | list):
                raise self._error("Enum values must be strings, numbers, booleans or null")
        if not kinds and not any(key in schema for key in ("enum", "const", "anyOf", "allOf")):
            raise self._error("Schema must have a 'type', 'enum', 'const', 'anyOf', 'allOf' or '$ref'")

    def _object(self, schema: dict[str, Any]) -> None:
        if schema.get("additionalProperties") is not False:
            raise self._error("For 'object' type, 'additionalProperties' must be explicitly set to false")
        required = schema.get("required") or []
        self._complexity.optional += sum(1 for name in schema.get("properties") or {} if name not in required)

    @staticmethod
    def _children(schema: dict[str, Any]) -> list[Any]:
        """Inner schemas, except definitions (checked where they are used) and ``additionalProperties``."""
        schemas = list((schema.get("properties") or {}).values())
        for key in ("anyOf", "allOf"):
            schemas += schema.get(key) or []
        if "items" in schema:
            schemas.append(schema["items"])
        return schemas

    def _error(self, message: str) -> ApiError:
        return invalid_request(f"{self._path}: {message}")
