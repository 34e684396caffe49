"""Makes a tool's schema valid by JSON Schema draft 2020-12: what older drafts, other dialects and sloppy generators
write is said in its words, at every depth. What has no meaning is left out. A valid schema is not touched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from modelmux.claude.schema.draft2020 import CHECKS, MAX_LEVELS, compiles, is_valid
from modelmux.claude.schema.patterns import MAX_REMEMBERED, charge_patterns
from modelmux.claude.schema.schema_types import read_type
from modelmux.claude.schema.work import Work, request_work

Json = dict[str, Any]
_LEFT_OUT: Final = object()
#: What a notice names.
_NESTING: Final = "nesting"


class ValidSchema(NamedTuple):
    """A valid schema.

    :param schema: the same object if it was valid.
    :param change: what was changed about it, as a sentence; empty if nothing was.
    """

    schema: Json
    change: str = ""


def to_valid(schema: Json, work: Work | None = None) -> ValidSchema:
    """The schema if it is valid by draft 2020-12, else one that is and binds as much of it as can be said.

    :param work: what is left for the schemas of the request.
    :raises TooMuchWork: its regular expressions, or its repair, take more.
    """
    work = work or request_work()
    if _is_valid(schema, work):
        return ValidSchema(schema)
    repair = _Repair(work)
    repaired = repair.schema(schema, 0)
    parts = ["The schema is not JSON Schema draft 2020-12."]
    if repair.rewritten:
        parts.append(f"Rewritten: {', '.join(repair.rewritten)}.")
    if repair.left_out:
        parts.append(f"Left out: {', '.join(repair.left_out)}.")
    return ValidSchema(repaired, " ".join(parts))


def _is_valid(schema: Json, work: Work) -> bool:
    """``is_valid``, remembered: clients send the same tools with every request."""
    try:
        encoded = msgspec.json.encode(schema)
    except RecursionError:
        charge_patterns(schema, None, work)
        return is_valid(schema)
    charge_patterns(schema, encoded, work)
    return _remembered(encoded) if len(encoded) <= MAX_REMEMBERED else is_valid(schema)


@lru_cache(maxsize=1024)
def _remembered(encoded: bytes) -> bool:
    return is_valid(msgspec.json.decode(encoded))


class _Repair:
    """One schema while it is repaired. ``rewritten`` and ``left_out`` are the keywords that were, in order."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.rewritten: dict[str, None] = {}
        self.left_out: dict[str, None] = {}

    def schema(self, value: Any, level: int) -> Any:
        """A schema; ``{}``, which takes any value, for what is none."""
        if isinstance(value, bool):
            return value
        if level > MAX_LEVELS:
            self.left_out[_NESTING] = None
            return {}
        if not isinstance(value, dict):
            return self._short(value)
        schema = self._with_old_forms(value)
        result: Json = {}
        for key, part in schema.items():
            repaired = self._keyword(key, part, level + 1) if key in CHECKS else part
            if repaired is not _LEFT_OUT:
                result[key] = repaired
        if "pattern" in schema and "pattern" not in result and isinstance(schema["pattern"], str):
            _describe(result, f"{{pattern: {json.dumps(schema['pattern'], ensure_ascii=False)}}}")
        return result

    def _short(self, value: Any) -> Json:
        """``"string"``, or a list of types, in the place of a schema."""
        self._work.charge(1)
        found = read_type(value)
        (self.left_out if found is None else self.rewritten)["type"] = None
        return {} if found is None else found

    def _with_old_forms(self, schema: Json) -> Json:
        """The schema without the forms of older drafts that take several keywords: a copy."""
        schema = dict(schema)
        if "type" in schema and not CHECKS["type"](schema["type"], 0):
            self._set_type(schema)
        for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(schema.get(exclusive), bool):  # draft 4
                self._set_limit(schema, exclusive, limit)
        if isinstance(schema.get("items"), list):  # before 2020-12
            self._set_prefix(schema)
        if isinstance(schema.get("properties"), dict):  # draft 3
            self._set_required(schema, schema["properties"])
        if schema.get("nullable") is True:  # OpenAPI 3.0
            _allow_null(schema)
        return schema

    def _set_type(self, schema: Json) -> None:
        found = read_type(schema["type"])
        (self.left_out if found is None else self.rewritten)["type"] = None
        own = dict(schema)
        schema.clear()
        for key, value in own.items():  # in the client's order
            if key != "type":
                schema[key] = value
            elif found:
                schema.update((k, v) for k, v in found.items() if k == "type" or k not in own)

    def _set_limit(self, schema: Json, exclusive: str, limit: str) -> None:
        is_exclusive, bound = schema.pop(exclusive), _number(schema.get(limit))
        self.rewritten[exclusive] = None
        if is_exclusive and bound is not _LEFT_OUT:
            del schema[limit]
            schema[exclusive] = bound

    def _set_prefix(self, schema: Json) -> None:
        first, rest = schema.pop("items"), schema.pop("additionalItems", _LEFT_OUT)
        self.rewritten["items"] = None
        if first:
            schema.setdefault("prefixItems", first)
        if rest is not _LEFT_OUT:
            schema["items"] = rest

    def _set_required(self, schema: Json, properties: Json) -> None:
        marked = {
            name: part for name, part in properties.items() if isinstance(part, dict) and _is_flag(part.get("required"))
        }
        if not marked:
            return
        self.rewritten["required"] = None
        bare = {name: {k: v for k, v in part.items() if k != "required"} for name, part in marked.items()}
        schema["properties"] = {**properties, **bare}
        own, names = schema.get("required"), [name for name, part in marked.items() if part["required"] is True]
        if names:
            schema["required"] = [*(own if isinstance(own, list) else []), *names]

    def _keyword(self, key: str, value: Any, level: int) -> Any:
        if key in _NESTED:
            return self._nested(key, value, level)
        if CHECKS[key](value, level):
            return value
        repair = _REPAIRS.get(key)
        repaired = _LEFT_OUT if repair is None or value is None else repair(value)
        if repaired is not _LEFT_OUT and not CHECKS[key](repaired, level):
            repaired = _LEFT_OUT
        (self.left_out if repaired is _LEFT_OUT else self.rewritten)[key] = None
        return repaired

    def _nested(self, key: str, value: Any, level: int) -> Any:
        """A keyword with schemas inside."""
        shape = _NESTED[key]
        if shape == "one" and (isinstance(value, dict | bool) or read_type(value) is not None):
            return self.schema(value, level)
        if shape == "one" and _boolean(value) is not _LEFT_OUT:
            self.rewritten[key] = None
            return _boolean(value)
        if shape == "several":
            if isinstance(value, dict):
                self.rewritten[key] = None
                value = [value]
            if isinstance(value, list) and value:
                return [self.schema(part, level) for part in value]
        elif shape != "one" and isinstance(value, dict):
            return {name: self._member(key, part, level) for name, part in value.items() if self._is_known(key, name)}
        self.left_out[key] = None
        return _LEFT_OUT

    def _is_known(self, key: str, name: str) -> bool:
        if key != "patternProperties" or compiles(name):
            return True
        self.left_out[key] = None
        return False

    def _member(self, key: str, part: Any, level: int) -> Any:
        if key == "dependencies" and isinstance(part, list):
            names = _names(part)
            if names != part:
                self.rewritten[key] = None
            return names
        return self.schema(part, level)


def _allow_null(schema: Json) -> None:
    """``nullable`` in the words of draft 2020-12."""
    kinds = schema.get("type")
    if isinstance(kinds, str | list):
        kinds = [kinds] if isinstance(kinds, str) else kinds
        schema["type"] = kinds if "null" in kinds else [*kinds, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        del schema["nullable"]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
        del schema["nullable"]


def _describe(schema: Json, text: str) -> None:
    own = schema.get("description")
    schema["description"] = f"{own}\n\n{text}" if own else text


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _names(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    return list(dict.fromkeys(v for v in value if isinstance(v, str))) if isinstance(value, list) else _LEFT_OUT


def _dependent_names(value: Any) -> Any:
    if not isinstance(value, dict):
        return _LEFT_OUT
    names = {key: _names(part) for key, part in value.items()}
    return {key: part for key, part in names.items() if part is not _LEFT_OUT}


def _number(value: Any) -> Any:
    """A number, also one that is written as text."""
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return _LEFT_OUT
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return _LEFT_OUT
    return value


def _boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), _LEFT_OUT) if isinstance(value, str) else _LEFT_OUT


def _text(value: Any) -> Any:
    is_lines = isinstance(value, list) and bool(value) and all(isinstance(line, str) for line in value)
    return "\n".join(value) if is_lines else _LEFT_OUT


def _values(value: Any) -> Any:
    return _LEFT_OUT if isinstance(value, dict) else [value]


def _id(value: Any) -> Any:
    return value.partition("#")[0] if isinstance(value, str) else _LEFT_OUT


#: How the value of a keyword is put right, as far as its meaning is clear.
_REPAIRS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("title", "description", "$comment"), _text),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _number),
    **dict.fromkeys(
        (
            "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties",
            "maxProperties",
        ),
        _number,
    ),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _boolean),
    **dict.fromkeys(("enum", "examples"), _values),
    "required": _names,
    "dependentRequired": _dependent_names,
    "$id": _id,
}  # fmt: skip
#: Keywords with schemas inside, and in which shape.
_NESTED: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"), "named"
    ),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), "several"),
    **dict.fromkeys(
        (
            "items", "contains", "additionalProperties", "propertyNames", "if", "then", "else", "not",
            "unevaluatedItems", "unevaluatedProperties", "contentSchema",
        ),
        "one",
    ),
}  # fmt: skip
