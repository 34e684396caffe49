"""JSON Schema -> the subset Claude's structured output accepts (docs: build-with-claude/structured-outputs).

What the subset has no keyword for moves into the description, in a fixed order, so that the same schema always gives
the same bytes; a notice reports it. What cannot be expressed (free-form values, recursion, external references, too
many optional parameters) is reported in ``Subset.unsupported_reason``, and the caller chooses another way.

References are kept; one with other keywords next to it, or in ``allOf``, is expanded and merged. ``oneOf`` becomes
``anyOf``: the subset cannot express that only one may hold.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from msgspec import Struct

from modelmux.claude.schema.reader import (
    ANNOTATIONS,
    dict_in,
    is_significant,
    item_schema,
    list_in,
    merge_into,
    names_in,
    resolve_ref,
    too_deep,
    types_of,
    unescaped,
)
from modelmux.claude.schema.size import DEFINITIONS, Size, pointer, size_of

#: Limits of one request, over all its schemas.
MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16
#: Nesting of schemas, references followed: far above what the upstream compiles, far below Python's recursion limit.
MAX_DEPTH: Final = 60
#: Parts of one schema, every reference expanded. Real schemas are far smaller; a hostile one doubles with each line.
MAX_PARTS: Final = 5_000
#: Characters and list entries of one schema, likewise: a long text in a definition could be copied many times.
MAX_TEXT: Final = 1_000_000
#: JSON within JSON: a schema within a schema takes at most two levels, and its values are not deep.
MAX_NESTING: Final = 3 * MAX_DEPTH

_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
#: Features of regular expressions that the upstream does not compile: lookaround, backreferences and everything else
#: that starts with ``(?``; word boundaries and Unicode properties (``\b``, ``\p{…}``) are not documented.
_NOT_PLAIN: Final = re.compile(r"\(\?(?!:)|\\[0-9kpPbBAzZGRXKQE]")
MAX_PATTERN: Final = 500
#: Keywords that constrain a value and are not in the subset, in the order they are written into the description.
#: Unknown ones come after them, in the client's order.
_NOTED: Final = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "format", "minItems", "maxItems", "uniqueItems", "contains", "minProperties", "maxProperties", "propertyNames",
    "patternProperties", "additionalProperties", "dependentRequired", "dependentSchemas", "prefixItems", "not", "if",
    "then", "else", "examples", "enum", "const",
)  # fmt: skip
#: Keywords that are converted on their own.
_CONVERTED: Final = frozenset(
    {"type", "properties", "required", "items", "anyOf", "oneOf", "allOf", "description", "title", "nullable", "$ref",
     *DEFINITIONS}
)  # fmt: skip
#: Keywords that may be repeated in every variant.
_REPEATABLE: Final = ("type", "properties", "required", "items", "additionalProperties")
_DEFINITION: Final = re.compile(r"#/(\$defs|definitions)/([^/]+)")

Json = dict[str, Any]


class Subset(Struct, frozen=True):
    """A schema brought into the subset.

    :param demoted: keywords that went into descriptions, sorted, each once.
    :param unsupported_reason: why the schema cannot be expressed; empty if it can. The other fields are empty then.
    """

    schema: Json
    demoted: tuple[str, ...] = ()
    optional: int = 0
    unions: int = 0
    unsupported_reason: str = ""


def demoted_keywords_message(subset: Subset) -> str:
    """Which keywords are not enforced, as a sentence; only for a subset that has any."""
    return f"Not enforced, moved into descriptions: {', '.join(subset.demoted)}."


class _NotExpressible(Exception):
    """The schema cannot be expressed; the text says why."""


def to_subset(schema: Json) -> Subset:
    """Bring a client's schema into the subset. Deterministic; the input is not changed."""
    work = _Converter(schema)
    if too_deep(schema, MAX_NESTING):
        return Subset({}, unsupported_reason="it is nested too deeply")
    try:
        result = work.convert_root()
        size = _allowed(size_of(result))
    except _NotExpressible as why:
        return Subset({}, unsupported_reason=str(why))
    return Subset(result, tuple(sorted(work.demoted)), size.optional, size.unions)


def _allowed(size: Size | None) -> Size:
    if size is None:
        raise _NotExpressible("it is recursive")
    if size.depth > MAX_DEPTH:
        raise _NotExpressible("it is nested too deeply")
    if size.parts > MAX_PARTS:
        raise _NotExpressible(f"it has more than {MAX_PARTS} parts")
    if size.optional > MAX_OPTIONAL:
        raise _NotExpressible(f"it has {size.optional} optional properties, of which {MAX_OPTIONAL} are allowed")
    if size.unions > MAX_UNIONS:
        raise _NotExpressible(f"it has {size.unions} properties of several types, of which {MAX_UNIONS} are allowed")
    return size


class _Converter:
    """One conversion: the root for references, and the counts so far."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._depth = 0
        self._parts = 0
        self._text = 0
        self._pending_refs: list[str] = []
        self.demoted: set[str] = set()

    def convert_root(self) -> Json:
        """The root and the definitions it still refers to, in the client's order.

        :raises _NotExpressible: it cannot be expressed.
        """
        result = self.convert(self._root)
        converted: Json = {}
        while self._pending_refs:
            reference = self._pending_refs.pop()
            if reference not in converted:
                converted[reference] = self.convert(self._target(reference))
        for keyword in DEFINITIONS:
            names = {name: pointer(keyword, name) for name in dict_in(self._root.get(keyword))}
            definitions = {name: converted[reference] for name, reference in names.items() if reference in converted}
            if definitions:
                result[keyword] = definitions
        return result

    def convert(self, schema: Any) -> Json:
        """One schema and everything below it.

        :raises _NotExpressible: it cannot be expressed.
        """
        if not isinstance(schema, dict):
            raise _NotExpressible("a part of it allows any value")  # true, false or malformed: not in the subset
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _NotExpressible(f"it has more than {MAX_PARTS} parts")
        if self._depth == MAX_DEPTH:
            raise _NotExpressible("it is nested too deeply")
        self._depth += 1
        result = self._convert(schema)
        self._depth -= 1
        return result

    def _convert(self, schema: Json) -> Json:
        left: list[Json] = []
        if isinstance(schema.get("$ref"), str) and not any(is_significant(key, schema[key]) for key in schema):
            reference = self._reference(schema["$ref"])
            self._pending_refs.append(reference)
            return {"$ref": reference}
        if isinstance(schema.get("$ref"), str) or list_in(schema.get("allOf")):
            schema, left = self._merged(schema)
        notes: Json = {k: v for k, v in schema.items() if k not in _CONVERTED and is_significant(k, v)}
        if left:
            notes["allOf"] = left
        if list_in(schema.get("anyOf")) or list_in(schema.get("oneOf")):
            result = self._variants(schema, notes)
        elif _is_simple(schema.get("enum")):
            result = {"enum": _with_null(schema, notes.pop("enum"))}
        elif "const" in schema and _is_simple([schema["const"]]):
            values = _with_null(schema, [notes.pop("const")])
            result = {"const": values[0]} if len(values) == 1 else {"enum": values}
        else:
            result = self._typed(schema, notes)
        self._describe(schema, result, notes)
        return result

    def _variants(self, schema: Json, notes: Json) -> Json:
        """``anyOf`` or ``oneOf``; the keywords next to it apply to every variant."""
        first, second = list_in(schema.get("anyOf")), list_in(schema.get("oneOf"))
        if first and second:
            notes["oneOf"] = second
        siblings: Json = {k: schema[k] for k in _REPEATABLE if k in schema}
        notes.pop("additionalProperties", None)
        variants = [self.convert(self._variant(siblings, variant)) for variant in first or second]
        if schema.get("nullable") is True:
            variants.append({"type": "null"})
        return {"anyOf": variants}

    def _variant(self, siblings: Json, variant: Any) -> Any:
        kinds = types_of(siblings)
        if isinstance(variant, dict) and isinstance(variant.get("$ref"), str) and siblings.keys() == {"type"}:
            target_types = types_of(dict_in(self._target(variant["$ref"])))
            if target_types and set(target_types) <= set(kinds):
                return variant  # its target has the types already
        return {**siblings, "allOf": [variant]} if siblings and isinstance(variant, dict) else variant

    def _typed(self, schema: Json, notes: Json) -> Json:
        kinds = types_of(schema)
        if not kinds:
            raise _NotExpressible("a part of it has no type")
        result: Json = {"type": kinds[0] if len(kinds) == 1 else kinds}
        if "object" in kinds:
            self._object(schema, result, notes)
        else:
            notes.pop("additionalProperties", None)
        if "array" in kinds:
            result["items"] = self.convert(item_schema(schema))
            if notes.get("minItems") in (0, 1) and notes["minItems"] is not True and notes["minItems"] is not False:
                result["minItems"] = notes.pop("minItems")
        if "string" in kinds:
            if isinstance(notes.get("format"), str) and notes["format"] in _FORMATS:
                result["format"] = notes.pop("format")
            if _is_plain_pattern(notes.get("pattern")):
                result["pattern"] = notes.pop("pattern")
        return result

    def _object(self, schema: Json, result: Json, notes: Json) -> None:
        properties = dict_in(schema.get("properties"))
        named = dict.fromkeys(names_in(schema.get("required")))
        closed = False
        for key in ("additionalProperties", "unevaluatedProperties"):
            if notes.get(key) is False:
                del notes[key]  # every object of the subset is closed
                closed = True
        has_properties = isinstance(schema.get("properties"), dict) and "additionalProperties" not in notes
        if not properties and (not (closed or has_properties) or "patternProperties" in notes):
            raise _NotExpressible("it has an object with arbitrary keys")
        result["properties"] = {name: self.convert(value) for name, value in properties.items()}
        result["required"] = [name for name in named if name in properties]
        result["additionalProperties"] = False
        if len(named) > len(result["required"]):
            notes["required"] = [name for name in named if name not in properties]
        self._charge(sum(map(len, properties)) + len(named))

    def _describe(self, schema: Json, result: Json, notes: Json) -> None:
        order = dict.fromkeys([*(k for k in _NOTED if k in notes), *notes])
        constraints = [f"{k}: {json.dumps(notes[k], ensure_ascii=False)}" for k in order]
        self.demoted.update(k for k in notes if k not in ANNOTATIONS)
        parts = [schema["description"]] if isinstance(schema.get("description"), str) else []
        if constraints:
            parts.append("{" + ", ".join(constraints) + "}")
        text = "\n\n".join(part for part in parts if part)
        if text:
            result["description"] = text
        if isinstance(schema.get("title"), str):
            result["title"] = schema["title"]
        self._charge(len(text) + len(result.get("title", "")) + sum(len(str(v)) for v in result.get("enum", ())))

    def _reference(self, reference: str) -> str:
        """A reference to a definition, in canonical spelling."""
        self._charge(len(reference))
        if self._target(reference) is None:
            raise _NotExpressible("it refers to something outside itself")
        match = _DEFINITION.fullmatch(reference if reference.startswith("#") else "#" + reference)
        if match is None:
            raise _NotExpressible("it refers to a part of itself that is not a definition")
        return pointer(match[1], unescaped(match[2]))

    def _target(self, reference: str) -> Any:
        return resolve_ref(self._root, reference)

    def _merged(self, schema: Json) -> tuple[Json, list[Json]]:
        """Expand ``allOf`` and a reference with other keywords: returns the merged keywords, and those with conflicting
        values that cannot be merged."""
        merged: Json = {}
        left: list[Json] = []
        members: list[Any] = [schema]
        followed: set[str] = set()
        while members:
            member = members.pop()
            if member is True:
                continue
            if not isinstance(member, dict):
                raise _NotExpressible("a part of it is not a schema")
            self._charge(10 * (1 + len(member)) + sum(len(v) for v in member.values() if isinstance(v, list | dict)))
            if isinstance(member.get("$ref"), str):
                reference = self._reference(member["$ref"])
                if reference not in followed:  # a second time adds nothing
                    followed.add(reference)
                    members.append(self._target(reference))
            members += reversed(list_in(member.get("allOf")))
            merge_into(merged, member, left)
        if merged.get("type") == []:
            raise _NotExpressible("parts of it contradict each other in their type")
        if "required" in merged:
            merged["required"] = list(merged["required"])
        return merged, left

    def _charge(self, size: int) -> None:
        self._text += size
        if self._text > MAX_TEXT:
            raise _NotExpressible("it is too large")


def _is_plain_pattern(pattern: Any) -> bool:
    """Whether a regular expression is one that compiles upstream."""
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN or _NOT_PLAIN.search(pattern):
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _is_simple(values: Any) -> bool:
    return bool(list_in(values)) and all(isinstance(v, str | int | float | None) for v in values)


def _with_null(schema: Json, values: list[Any]) -> list[Any]:
    return [*values, None] if schema.get("nullable") is True and None not in values else values
