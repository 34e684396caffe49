"""JSON Schema -> the subset Claude's structured output accepts (docs: build-with-claude/structured-outputs).

What the subset has no keyword for moves into the description, in a fixed order, so that the same schema always gives
the same bytes; a notice reports it. What cannot be expressed (free-form values, recursion, external references, too
many optional parameters) is reported in ``Subset.unsupported_reason``, and the caller chooses another way.

``SchemaReader`` hands each schema over with its references and ``allOf`` resolved, so that only plain keywords are
converted here. A reference without other keywords remains one. ``oneOf`` becomes ``anyOf``: the subset cannot express
that only one may match.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from msgspec import Struct

from modelmux.claude.schema.patterns import cost_of
from modelmux.claude.schema.reader import (
    ANNOTATIONS,
    NotExpressible,
    SchemaReader,
    dict_in,
    is_significant,
    item_schema,
    list_in,
    names_in,
    too_deep,
    types_of,
)
from modelmux.claude.schema.size import DEFINITIONS, Size, size_of
from modelmux.claude.schema.work import TooMuchWork, Work, request_work

#: Limits of one request, over all its schemas.
MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16
#: Nesting of schemas, references followed: far above what the upstream compiles, far below Python's recursion limit.
MAX_DEPTH: Final = 60
#: Parts of one schema, every use of a reference written out. No real schema comes near it; a hostile one doubles with
#: every line.
MAX_PARTS: Final = 5_000
#: Work on one part, see ``work.py``.
_PART: Final = 4
#: JSON within JSON: a schema within a schema takes at most two levels, and its values are not deep.
MAX_NESTING: Final = 3 * MAX_DEPTH

_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
#: Parts of regular expressions that upstream does not compile: lookaround, backreferences and everything else that
#: starts with ``(?``; boundaries, properties and other escapes (``\b``, ``\p{…}``) are not documented.
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
#: Keywords that are converted, or have no meaning for the value.
_HANDLED: Final = frozenset(
    {"type", "properties", "required", "items", "anyOf", "oneOf", "allOf", "description", "title", "nullable", "$ref",
     *DEFINITIONS}
)  # fmt: skip
#: Keywords that hold for every variant, and are repeated in each.
_SHARED: Final = ("type", "properties", "required", "items", "additionalProperties")

Json = dict[str, Any]

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


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


def to_subset(schema: Json, work: Work | None = None) -> Subset:
    """Bring a client's schema into the subset. Deterministic; the input is not changed.

    :param work: what is left for the schemas of the request.
    """
    if too_deep(schema, MAX_NESTING):
        return Subset({}, unsupported_reason="it is nested too deeply")
    work = work or request_work()
    converter = _Converter(schema, work)
    try:
        result = converter.convert_root()
        size = _check_size(size_of(result))
    except NotExpressible as error:
        return Subset({}, unsupported_reason=str(error))
    except TooMuchWork:
        return Subset({}, unsupported_reason="the schemas of this request take too much work together")
    return Subset(result, tuple(sorted(converter.demoted)), size.optional, size.unions)


def _check_size(size: Size | None) -> Size:
    if size is None:
        raise NotExpressible("it is recursive")
    if size.depth > MAX_DEPTH:
        raise NotExpressible("it is nested too deeply")
    if size.parts > MAX_PARTS:
        raise NotExpressible(f"it has more than {MAX_PARTS} parts")
    if size.optional > MAX_OPTIONAL:
        raise NotExpressible(f"it has {size.optional} optional properties, of which {MAX_OPTIONAL} are allowed")
    if size.unions > MAX_UNIONS:
        raise NotExpressible(f"it has {size.unions} properties of several types, of which {MAX_UNIONS} are allowed")
    return size


class _Converter:
    """One conversion: the reader of the schema, and what was counted on the way."""

    def __init__(self, root: Json, work: Work) -> None:
        self._root = root
        self._work = work
        self._reader = SchemaReader(root, work)
        self._depth = 0
        self._parts = 0
        self._references: list[str] = []  # whose definitions are still to be converted
        self.demoted: set[str] = set()

    def convert_root(self) -> Json:
        """The root and the definitions it still refers to, in the client's order.

        :raises NotExpressible: the subset has no way to express it.
        """
        result = self.convert(self._root)
        converted: Json = {}
        while self._references:
            reference = self._references.pop()
            if reference not in converted:
                converted[reference] = self.convert(self._reader.target(reference))
        for keyword, names in self._reader.definitions():
            used = {name: converted[reference] for name, reference in names.items() if reference in converted}
            if used:
                result[keyword] = used
        return result

    def convert(self, schema: Any) -> Json:
        """One schema and everything below it.

        :raises NotExpressible: the subset has no way to express it.
        """
        if not isinstance(schema, dict):
            raise NotExpressible("a part of it allows any value")  # true, false, or not a schema
        self._work.charge(_PART)
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise NotExpressible(f"it has more than {MAX_PARTS} parts")
        if self._depth == MAX_DEPTH:
            raise NotExpressible("it is nested too deeply")
        self._depth += 1
        plain, unmerged = self._reader.read(schema)
        if isinstance(plain, str):
            self._references.append(plain)
            result: Json = {"$ref": plain}
        else:
            result = self._convert(plain, unmerged)
        self._depth -= 1
        return result

    def _convert(self, schema: Json, unmerged: list[Json]) -> Json:
        notes: Json = {k: v for k, v in schema.items() if k not in _HANDLED and is_significant(k, v)}
        if unmerged:
            notes["allOf"] = unmerged
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
        """One of several; the keywords next to them hold for each."""
        first, second = list_in(schema.get("anyOf")), list_in(schema.get("oneOf"))
        if first and second:
            notes["oneOf"] = second
        shared: Json = {k: schema[k] for k in _SHARED if k in schema}
        notes.pop("additionalProperties", None)
        variants = [self.convert(self._variant(shared, variant)) for variant in first or second]
        if schema.get("nullable") is True:
            variants.append({"type": "null"})
        return {"anyOf": variants}

    def _variant(self, shared: Json, variant: Any) -> Any:
        if isinstance(variant, dict) and isinstance(variant.get("$ref"), str) and shared.keys() == {"type"}:
            types = types_of(dict_in(self._reader.target(variant["$ref"])))
            if types and set(types) <= set(types_of(shared)):
                return variant  # it has the type itself, and may remain a reference
        return {**shared, "allOf": [variant]} if shared and isinstance(variant, dict) else variant

    def _typed(self, schema: Json, notes: Json) -> Json:
        types = types_of(schema)
        if not types:
            raise NotExpressible("a part of it has no type")
        result: Json = {"type": types[0] if len(types) == 1 else types}
        if "object" in types:
            self._object(schema, result, notes)
        else:
            notes.pop("additionalProperties", None)
        if "array" in types:
            self._work.charge(len(list_in(schema.get("prefixItems"))))
            result["items"] = self.convert(item_schema(schema))
            if notes.get("minItems") in (0, 1) and notes["minItems"] is not True and notes["minItems"] is not False:
                result["minItems"] = notes.pop("minItems")
        if "string" in types:
            if isinstance(notes.get("format"), str) and notes["format"] in _FORMATS:
                result["format"] = notes.pop("format")
            if self._is_plain_pattern(notes.get("pattern")):
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
        empty = isinstance(schema.get("properties"), dict) and "additionalProperties" not in notes
        if not properties and (not (closed or empty) or "patternProperties" in notes):
            raise NotExpressible("it has an object with arbitrary keys")
        result["properties"] = {name: self.convert(value) for name, value in properties.items()}
        result["required"] = [name for name in named if name in properties]
        result["additionalProperties"] = False
        if len(named) > len(result["required"]):
            notes["required"] = [name for name in named if name not in properties]
        self._reader.charge(sum(map(len, properties)) + len(named))

    def _is_plain_pattern(self, pattern: Any) -> bool:
        """Whether a regular expression is one that compiles upstream."""
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN or _NOT_PLAIN.search(pattern):
            return False
        self._work.charge_pattern(pattern, cost_of(pattern))
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError):
            return False
        return True

    def _describe(self, schema: Json, result: Json, notes: Json) -> None:
        order = dict.fromkeys([*(k for k in _NOTED if k in notes), *notes])
        keywords = [f"{k}: {_as_text(notes[k])}" for k in order]
        self.demoted.update(k for k in notes if k not in ANNOTATIONS)
        parts = [schema["description"]] if isinstance(schema.get("description"), str) else []
        if keywords:
            parts.append("{" + ", ".join(keywords) + "}")
        text = "\n\n".join(part for part in parts if part)
        if text:
            result["description"] = text
        if isinstance(schema.get("title"), str):
            result["title"] = schema["title"]
        self._reader.charge(len(text) + len(result.get("title", "")) + sum(len(str(v)) for v in result.get("enum", ())))


def _as_text(value: Any) -> str:
    return str(value) if type(value) is int else _encode(value)  # the encoder takes some microseconds to begin


def _is_simple(values: Any) -> bool:
    return bool(list_in(values)) and all(isinstance(v, str | int | float | None) for v in values)


def _with_null(schema: Json, values: list[Any]) -> list[Any]:
    return [*values, None] if schema.get("nullable") is True and None not in values else values
