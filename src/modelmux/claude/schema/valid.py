"""Makes a tool's schema valid by JSON Schema draft 2020-12: what older drafts, other dialects and sloppy generators
write is said in its words, at every depth. What has no meaning is left out, and with it what would then mean more than
it did. A valid schema is not touched, nor is a valid part of one that is not.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from modelmux.claude.schema.draft2020 import CHECKS, MAX_LEVELS, compiles, is_anchor, is_valid
from modelmux.claude.schema.keyword_values import LEFT_OUT, REPAIRS, flag_in, loses_names, names_in, number_in
from modelmux.claude.schema.patterns import MAX_REMEMBERED, charge_patterns
from modelmux.claude.schema.schema_types import read_type
from modelmux.claude.schema.work import Work, request_work

Json = dict[str, Any]
#: What a notice names.
_NESTING: Final = "nesting"
#: Keywords that constrain nothing.
_ANNOTATIONS: Final = frozenset(
    {
        "$schema", "$vocabulary", "$comment", "title", "description", "examples", "deprecated", "readOnly", "writeOnly",
        "contentEncoding", "contentMediaType", "contentSchema",
    }
)  # fmt: skip
#: A keyword whose value lost a constraint -> keywords that would then refuse values that the client's schema takes.
_REVERSED: Final = {
    "not": ("not",),
    "if": ("if", "then", "else"),
    "contains": ("maxContains",),
    "minContains": ("contains",),
}
#: Keywords that name parts of a value -> the keyword for the rest, which is larger if such a name is left out.
_REST_OF: Final = {
    "properties": "additionalProperties",
    "patternProperties": "additionalProperties",
    "prefixItems": "items",
}
_RESTS: Final = ("items", "additionalProperties")
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")
#: Keywords that apply to the same value, or to items of it: what is left out there may have evaluated a part of it.
_EVALUATING: Final = frozenset(
    {
        "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "dependencies", "contains",
        "minContains", "$ref", "$dynamicRef",
    }
)  # fmt: skip
_TYPE: Final = frozenset({"type"})
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


class ValidSchema(NamedTuple):
    """A valid schema.

    :param schema: the same object if it was valid.
    :param change: what was changed about it, as a sentence; empty if nothing was.
    """

    schema: Json
    change: str = ""


def to_valid(schema: Json, work: Work | None = None, *, keep_type: bool = False) -> ValidSchema:
    """The schema if it is valid by draft 2020-12, else one that is and binds as much of it as can be said.

    :param work: what is left for the schemas of the request.
    :param keep_type: the type of the root is valid and stays, also beside ``nullable``.
    :raises TooMuchWork: its regular expressions, or its repair, take more.
    """
    work = work or request_work()
    if _is_valid(schema, work):
        return ValidSchema(schema)
    repair = _Repair(work, keep_type=keep_type)
    repaired = repair.schema(schema, 0)
    if repair.losses and repair.has_references:  # what they refer to may be what lost a constraint
        repair = _Repair(work, keep_type=keep_type, distrusts_references=True)
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
        encoded = msgspec.json.encode(schema, enc_hook=float)  # numbers that know how they were written
    except RecursionError:
        charge_patterns(schema, None, work)
        return is_valid(schema)
    charge_patterns(schema, encoded, work)
    return _remembered(encoded) if len(encoded) <= MAX_REMEMBERED else is_valid(schema)


@lru_cache(maxsize=1024)
def _remembered(encoded: bytes) -> bool:
    return is_valid(msgspec.json.decode(encoded))


class _Repair:
    """One schema while it is repaired. ``rewritten`` and ``left_out`` are the keywords that were, in order.

    :param distrusts_references: a reference counts as one to a schema that lost a constraint.
    """

    def __init__(self, work: Work, *, keep_type: bool, distrusts_references: bool = False) -> None:
        self._work = work
        self._keep_type = keep_type
        self._distrusts_references = distrusts_references
        self._changes = 0
        self.rewritten: dict[str, None] = {}
        self.left_out: dict[str, None] = {}
        #: Constraints that were left out.
        self.losses = 0
        #: Whether a schema has a reference.
        self.has_references = False

    def schema(self, value: Any, level: int) -> Any:
        """A schema; the same object if it was valid, ``{}``, which takes any value, for what is none."""
        if isinstance(value, bool):
            return value
        if level > MAX_LEVELS:
            self._leave_out(_NESTING)
            return {}
        if not isinstance(value, dict):
            return self._short(value)
        self._work.charge_repair()
        changes, losses = self._changes, self.losses
        schema, losing = self._with_old_forms(value), set[str]()
        result: Json = {}
        for key, part in schema.items():
            before = self.losses
            repaired = self._keyword(key, part, level + 1) if key in CHECKS else part
            if self.losses > before:
                losing.add(key)
            if repaired is not LEFT_OUT:
                result[key] = repaired
        if self.losses > losses:
            self._leave_out_reversed(schema, result, losing)
        if "pattern" in schema and "pattern" not in result and isinstance(schema["pattern"], str):
            _describe(result, f"{{pattern: {json.dumps(schema['pattern'], ensure_ascii=False)}}}")
        if self._changes == changes:
            return value
        if result.get("nullable") is True and (level or not self._keep_type):  # OpenAPI 3.0
            _allow_null(result)
        return result

    def _rewrite(self, key: str) -> None:
        self._changes += 1
        self.rewritten[key] = None

    def _leave_out(self, key: str) -> None:
        self._changes += 1
        self.left_out[key] = None
        self.losses += key not in _ANNOTATIONS

    def _leave_out_reversed(self, schema: Json, result: Json, losing: set[str]) -> None:
        """Leave out what would refuse more than it did, now that other constraints are left out."""
        missing = [key for key in _REST_OF if schema.get(key) and _has_lost(schema[key], result.get(key))]
        dropped = [key for trigger, keys in _REVERSED.items() if trigger in losing for key in keys]
        dropped += [_REST_OF[key] for key in missing]
        if missing or not _EVALUATING.isdisjoint(losing) or any(schema.get(k) and k not in result for k in _RESTS):
            dropped += _UNEVALUATED
        for key in dropped:
            if result.get(key, True) is not True:
                del result[key]
                self._leave_out(key)
        if "oneOf" in losing and "oneOf" in result:  # more than one of them may hold
            variants = result.pop("oneOf")
            self._rewrite("oneOf")
            if "anyOf" in result:
                self._leave_out("oneOf")
            else:
                result["anyOf"] = variants

    def _short(self, value: Any) -> Any:
        """``"string"``, or a list of types, in the place of a schema."""
        self._work.charge(1)
        found = read_type(value)
        if found is None:
            self._leave_out("type")
            return {}
        self._rewrite("type")
        return found

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
        if isinstance(schema.get("$id"), str) and "#" in schema["$id"][:-1]:  # before 2019-09
            self._set_anchor(schema)
        return schema

    def _set_type(self, schema: Json) -> None:
        found = read_type(schema["type"], schemas=True)
        if found is None:
            self._leave_out("type")
        else:
            self._rewrite("type")
        if found and found.keys() == _TYPE:
            schema.update(found)
            return
        own = dict(schema)
        schema.clear()
        for key, value in own.items():  # in the client's order
            if key != "type":
                schema[key] = value
            elif found and "anyOf" not in own:
                schema.update((k, v) for k, v in found.items() if k == "type" or k not in own)
        if found and "anyOf" in own:
            if "anyOf" in found:
                schema["allOf"] = [*(own["allOf"] if isinstance(own.get("allOf"), list) else []), found]
            else:
                schema.update((k, v) for k, v in found.items() if k == "type" or k not in own)

    def _set_limit(self, schema: Json, exclusive: str, limit: str) -> None:
        is_exclusive, bound = schema.pop(exclusive), number_in(schema.get(limit))
        self._rewrite(exclusive)
        if is_exclusive and bound is not LEFT_OUT:
            del schema[limit]
            schema[exclusive] = bound

    def _set_prefix(self, schema: Json) -> None:
        first, rest = schema.pop("items"), schema.pop("additionalItems", LEFT_OUT)
        self._rewrite("items")
        if first:
            self.losses += "prefixItems" in schema
            schema.setdefault("prefixItems", first)
        if rest is not LEFT_OUT:
            schema["items"] = rest

    def _set_required(self, schema: Json, properties: Json) -> None:
        marked = {
            name: flag_in(part["required"])
            for name, part in properties.items()
            if isinstance(part, dict) and flag_in(part.get("required")) is not LEFT_OUT
        }
        if not marked:
            return
        self._rewrite("required")
        bare = {name: {k: v for k, v in properties[name].items() if k != "required"} for name in marked}
        schema["properties"] = {**properties, **bare}
        own, names = schema.get("required"), [name for name, is_required in marked.items() if is_required]
        if names:
            schema["required"] = [*(own if isinstance(own, list) else []), *names]

    def _set_anchor(self, schema: Json) -> None:
        base, _, fragment = schema["$id"].partition("#")
        self._rewrite("$id")
        own = dict(schema)
        schema.clear()
        for key, value in own.items():
            if key != "$id":
                schema[key] = value
                continue
            if base:
                schema["$id"] = base
            if is_anchor(fragment) and "$anchor" not in own:
                schema["$anchor"] = fragment

    def _keyword(self, key: str, value: Any, level: int) -> Any:
        if key in _NESTED:
            return self._nested(key, value, level)
        if key in _REFERENCES and isinstance(value, str):
            self.has_references = True
            self.losses += self._distrusts_references
        if CHECKS[key](value, level):
            return value
        repair = REPAIRS.get(key)
        repaired = LEFT_OUT if repair is None or value is None else repair(value)
        if repaired is LEFT_OUT or not CHECKS[key](repaired, level):
            self._leave_out(key)
            return LEFT_OUT
        self._rewrite(key)
        self.losses += key in ("required", "dependentRequired") and loses_names(value)
        return repaired

    def _nested(self, key: str, value: Any, level: int) -> Any:
        """A keyword with schemas inside."""
        shape = _NESTED[key]
        if shape == "one" and (isinstance(value, dict | bool) or read_type(value) is not None):
            return self.schema(value, level)
        if shape == "one" and flag_in(value) is not LEFT_OUT:
            self._rewrite(key)
            return flag_in(value)
        if shape == "several":
            if isinstance(value, dict):
                self._rewrite(key)
                value = [value]
            if isinstance(value, list) and value:
                return [self.schema(part, level) for part in value]
        elif shape != "one" and isinstance(value, dict):
            return {name: self._member(key, part, level) for name, part in value.items() if self._is_known(key, name)}
        self._leave_out(key)
        return LEFT_OUT

    def _is_known(self, key: str, name: str) -> bool:
        if key != "patternProperties" or compiles(name):
            return True
        self._leave_out(key)
        return False

    def _member(self, key: str, part: Any, level: int) -> Any:
        if key == "dependencies" and isinstance(part, list):
            names = names_in(part)
            if names == part:
                return part
            self._work.charge_repair()
            self._rewrite(key)
            self.losses += loses_names(part)
            return names
        return self.schema(part, level)


def _has_lost(parts: Any, repaired: Any) -> bool:
    return repaired is None or len(repaired) < len(parts)


def _allow_null(schema: Json) -> None:
    """``nullable`` in the words of draft 2020-12."""
    kinds = schema.get("type")
    if kinds is not None:
        kinds = [kinds] if isinstance(kinds, str) else kinds
        schema["type"] = kinds if "null" in kinds else [*kinds, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        del schema["nullable"]
    elif "anyOf" in schema:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
        del schema["nullable"]


def _describe(schema: Json, text: str) -> None:
    own = schema.get("description")
    schema["description"] = f"{own}\n\n{text}" if own else text


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
