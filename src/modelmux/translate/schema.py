"""JSON Schema -> the subset Claude's structured output accepts (docs: build-with-claude/structured-outputs).

What the subset has no keyword for moves into the description, in a fixed order, so that the same schema always gives
the same bytes; the client is told in a notice. What cannot be said at all (recursion, external references, too many
optional parameters) is reported in ``Subset.unfit`` and the caller chooses another way.
"""

from __future__ import annotations

import json
from typing import Any, Final

from msgspec import Struct

#: Limits of one request, over all its schemas.
MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16
#: Parts of one schema, every use of a reference in ``allOf`` written out. No honest one comes near it; a hostile one
#: of a few lines doubles with each.
MAX_PARTS: Final = 5_000

_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
#: Keywords that constrain a value and are not in the subset, in the order they are written into the description.
_NOTED: Final = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "format", "minItems", "maxItems", "uniqueItems", "contains", "minProperties", "maxProperties", "propertyNames",
    "patternProperties", "additionalProperties", "dependentRequired", "dependentSchemas", "prefixItems", "not", "if",
    "then", "else", "examples", "enum", "const",
)  # fmt: skip
#: Keywords without meaning for the value; left out in silence.
_DROPPED: Final = frozenset(
    {"$schema", "$id", "$comment", "$anchor", "title", "deprecated", "readOnly", "writeOnly", "default", "nullable",
     "discriminator", "strict"}
)  # fmt: skip
_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})


class Subset(Struct, frozen=True):
    """A schema brought into the subset.

    :param moved: keywords that went into descriptions, sorted, each once.
    :param unfit: why the schema cannot be expressed; empty when it can.
    """

    schema: dict[str, Any]
    moved: tuple[str, ...]
    optional: int
    unions: int
    unfit: str = ""


def to_subset(schema: dict[str, Any]) -> Subset:
    """Bring a client's schema into the subset. Deterministic; the input is not changed."""
    work = _Work(schema)
    try:
        result = work.convert(schema)
        for name in ("$defs", "definitions"):
            definitions = schema.get(name)
            if isinstance(definitions, dict) and definitions:
                result[name] = {key: work.convert(value) for key, value in definitions.items()}
        unfit = work.unfit or ("it is recursive" if _recursive(result) else "")
    except RecursionError:
        return Subset({}, (), 0, 0, "it is nested too deeply")
    if not unfit and work.optional > MAX_OPTIONAL:
        unfit = f"it has {work.optional} optional properties, of which {MAX_OPTIONAL} are allowed"
    if not unfit and work.unions > MAX_UNIONS:
        unfit = f"it has {work.unions} properties of several types, of which {MAX_UNIONS} are allowed"
    return Subset(result, tuple(sorted(work.moved)), work.optional, work.unions, unfit)


class _Work:
    """One conversion: the root for references, and what was counted on the way."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self.moved: set[str] = set()
        self.optional = 0
        self.unions = 0
        self.unfit = ""
        self._parts = 0

    def convert(self, schema: Any) -> dict[str, Any]:
        """One schema and everything below it."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            self.unfit = self.unfit or f"it has more than {MAX_PARTS} parts"
            return {"type": "string"}
        if not isinstance(schema, dict):
            # true, false or nonsense: "anything", for which the subset has no word.
            self.unfit = self.unfit or "a part of it allows any value"
            return {"type": "string"}
        if isinstance(schema.get("$ref"), str):
            return {"$ref": self._reference(schema["$ref"])}
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self.convert(self._merged(schema))
        notes = {k: v for k, v in schema.items() if k in _NOTED}
        result: dict[str, Any] = {}
        variants = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(variants, list) and variants:
            self.unions += 1
            result["anyOf"] = [self.convert({**_sibling_type(schema), **_dict(v)}) for v in variants]
        elif _is_simple(schema.get("enum")):
            result["enum"] = notes.pop("enum")
        elif "const" in schema and _is_simple([schema["const"]]):
            result["const"] = notes.pop("const")
        else:
            self._typed(schema, result, notes)
        self._describe(schema, result, notes)
        return result

    def _typed(self, schema: dict[str, Any], result: dict[str, Any], notes: dict[str, Any]) -> None:
        kind = _type_of(schema)
        if kind is None:
            self.unfit = self.unfit or "a part of it has no type"
            kind = "string"
        result["type"] = kind
        kinds = kind if isinstance(kind, list) else [kind]
        if len(kinds) > 1:
            self.unions += 1
        if "object" in kinds:
            self._object(schema, result, notes)
        if "array" in kinds:
            result["items"] = self.convert(schema.get("items", {"type": "string"}))
            if notes.get("minItems") in (0, 1):
                result["minItems"] = notes.pop("minItems")
        if "string" in kinds and _one_of(notes.get("format"), _FORMATS):
            result["format"] = notes.pop("format")

    def _object(self, schema: dict[str, Any], result: dict[str, Any], notes: dict[str, Any]) -> None:
        properties = _dict(schema.get("properties"))
        required = [name for name in _strings(schema.get("required")) if name in properties]
        result["properties"] = {name: self.convert(value) for name, value in properties.items()}
        result["required"] = required
        result["additionalProperties"] = False
        self.optional += len(properties) - len(required)
        if notes.get("additionalProperties") in (None, False):
            notes.pop("additionalProperties", None)
        elif not properties:
            self.unfit = self.unfit or "it has an object with arbitrary keys"

    def _describe(self, schema: dict[str, Any], result: dict[str, Any], notes: dict[str, Any]) -> None:
        said = [f"{k}: {json.dumps(notes[k], ensure_ascii=False)}" for k in _NOTED if k in notes]
        self.moved.update(notes)
        unknown = [k for k in schema if k not in _KNOWN]
        self.moved.update(unknown)
        text = schema.get("description")
        parts = [text] if isinstance(text, str) and text else []
        if said:
            parts.append("{" + ", ".join(said) + "}")
        if parts:
            result["description"] = "\n\n".join(parts)

    def _reference(self, reference: str) -> str:
        reference = "#" + reference if reference.startswith("/") else reference
        if not reference.startswith("#/") or self._target(reference) is None:
            self.unfit = self.unfit or "it refers to something outside itself"
        elif not reference.startswith(("#/$defs/", "#/definitions/")):
            self.unfit = self.unfit or "it refers to a part of itself that is not a definition"
        return reference

    def _target(self, reference: str) -> Any:
        found: Any = self._root
        for step in reference[2:].split("/"):
            found = _dict(found).get(step.replace("~1", "/").replace("~0", "~"))
        return found

    def _merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        """``allOf`` written out: its members' keywords side by side, properties and required joined."""
        merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
        members, followed = [*reversed(schema["allOf"])], set[str]()
        while members:
            member = _dict(members.pop())
            reference = member.get("$ref")
            if isinstance(reference, str):
                if reference not in followed:  # a second time it would add nothing
                    followed.add(reference)
                    members.append(self._target(self._reference(reference)))
                continue
            for key, value in member.items():
                if key == "properties":
                    merged[key] = {**_dict(merged.get(key)), **_dict(value)}
                elif key == "required":
                    merged[key] = list(dict.fromkeys([*_strings(merged.get(key)), *_strings(value)]))
                elif key == "allOf" and isinstance(value, list):
                    members += reversed(value)
                elif key != "allOf":
                    merged.setdefault(key, value)
        return merged


_KNOWN: Final = frozenset(_NOTED) | _DROPPED | {
    "type", "properties", "required", "items", "anyOf", "oneOf", "allOf", "description", "$ref", "$defs", "definitions",
}  # fmt: skip


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _one_of(value: Any, known: frozenset[str]) -> bool:
    return isinstance(value, str) and value in known


def _is_simple(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(v, str | int | float | None) for v in values)


def _type_of(schema: dict[str, Any]) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        known = [k for k in dict.fromkeys(_strings(kind)) if k in _TYPES]
        kind = known[0] if len(known) == 1 else known or None
    elif not _one_of(kind, _TYPES):
        kind = "object" if "properties" in schema else "array" if "items" in schema else None
    if schema.get("nullable") is True and isinstance(kind, str) and kind != "null":
        kind = [kind, "null"]
    return kind


def _sibling_type(schema: dict[str, Any]) -> dict[str, Any]:
    """What stands beside ``anyOf`` holds for every variant."""
    return {k: schema[k] for k in ("type", "properties", "required") if k in schema}


def _recursive(schema: dict[str, Any]) -> bool:
    """Whether a definition reaches itself."""
    definitions = {
        f"#/{name}/{key}": value for name in ("$defs", "definitions") for key, value in _dict(schema.get(name)).items()
    }
    edges = {name: set(_references(value)) for name, value in definitions.items()}
    done: set[str] = set()

    def reaches_itself(name: str, path: tuple[str, ...]) -> bool:
        if name in path:
            return True
        if name in done:
            return False
        found = any(reaches_itself(to, (*path, name)) for to in edges.get(name, ()))
        done.add(name)
        return found

    return any(reaches_itself(name, ()) for name in edges)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for v in value.values() for r in _references(v)]
    return [r for v in value for r in _references(v)] if isinstance(value, list) else []
