"""JSON Schema -> the subset: what is not in it moves where it can be read, and nothing a client sends breaks it
(E50 to E52)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.schema.subset import MAX_DEPTH, MAX_OPTIONAL, MAX_PARTS, MAX_UNIONS, Subset, to_subset
from modelmux.emulator.check_schema import Size, check_supported


def closed(properties: dict[str, Any], required: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """An object of the subset."""
    required = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


STRING = {"type": "string"}
CONVERTED: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ("an object", {"type": "object", "properties": {"b": STRING, "a": {"type": "integer"}}, "required": ["a", "b"]},
     closed({"b": STRING, "a": {"type": "integer"}}, ["a", "b"]), ()),
    ("an object that says it has none", {"type": "object", "properties": {}}, closed({}), ()),
    ("closed by its other name", {"type": "object", "unevaluatedProperties": False}, closed({}), ()),
    ("closed already", {"type": "object", "properties": {}, "additionalProperties": False}, closed({}), ()),
    ("required that is no property", {"properties": {"a": STRING}, "required": ["a", "z", 5, ["a"]]},
     closed({"a": STRING}, description='{required: ["z"]}'), ("required",)),
    ("nulls are nothing", {"properties": {"a": {"type": "string", "format": None, "minLength": None}},
                           "required": ["a"], "additionalProperties": None}, closed({"a": STRING}), ()),
    ("open beside properties", {"properties": {"a": STRING}, "required": ["a"], "additionalProperties": True},
     closed({"a": STRING}, description="{additionalProperties: true}"), ("additionalProperties",)),
    ("type by its keywords", {"properties": {"a": {"items": STRING}}, "required": ["a"]},
     closed({"a": {"type": "array", "items": STRING}}), ()),
    ("an array", {"type": "array", "items": STRING, "minItems": 1}, {"type": "array", "items": STRING, "minItems": 1},
     ()),
    ("a least number that is none", {"type": "array", "items": STRING, "minItems": True},
     {"type": "array", "items": STRING, "description": "{minItems: true}"}, ("minItems",)),
    ("closed, but not an object", {"type": "string", "additionalProperties": False}, STRING, ()),
    ("a tuple, as pydantic writes it",
     {"type": "array", "prefixItems": [{"type": "integer"}, STRING, STRING], "minItems": 3, "maxItems": 3},
     {"type": "array", "items": {"anyOf": [{"type": "integer"}, STRING]},
      "description": '{minItems: 3, maxItems: 3, prefixItems: [{"type": "integer"}, {"type": "string"}, '
                     '{"type": "string"}]}'}, ("maxItems", "minItems", "prefixItems")),
    ("a tuple of one kind", {"type": "array", "prefixItems": [STRING], "items": False},
     {"type": "array", "items": STRING, "description": '{prefixItems: [{"type": "string"}]}'}, ("prefixItems",)),
    ("a tuple and more", {"type": "array", "prefixItems": [STRING], "items": {"type": "null"}, "maxItems": 5},
     {"type": "array", "items": {"anyOf": [STRING, {"type": "null"}]},
      "description": '{maxItems: 5, prefixItems: [{"type": "string"}]}'}, ("maxItems", "prefixItems")),
    ("bounds", {"type": "array", "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 9}, "minItems": 2,
                "uniqueItems": True},
     {"type": "array",
      "items": {"type": "number", "description": "{minimum: 0, exclusiveMaximum: 9}"},
      "description": "{minItems: 2, uniqueItems: true}"},
     ("exclusiveMaximum", "minItems", "minimum", "uniqueItems")),
    ("notes after the description, in a fixed order",
     {"type": "string", "maxLength": 9, "description": "Who.", "pattern": "^é$", "minLength": 1},
     {"type": "string", "pattern": "^é$", "description": "Who.\n\n{minLength: 1, maxLength: 9}"},
     ("maxLength", "minLength")),
    ("a format of the subset", {"type": "string", "format": "date"}, {"type": "string", "format": "date"}, ()),
    ("another format", {"type": "string", "format": "color"},
     {"type": "string", "description": '{format: "color"}'}, ("format",)),
    ("a format that is none", {"type": "string", "format": {}}, {"type": "string", "description": "{format: {}}"},
     ("format",)),
    ("a format of a number", {"type": "integer", "format": "date"},
     {"type": "integer", "description": '{format: "date"}'}, ("format",)),
    ("an enum", {"type": "string", "enum": ["b", "a", None, 1.5]}, {"enum": ["b", "a", None, 1.5]}, ()),
    ("an enum of objects", {"type": "object", "properties": {}, "enum": [{"a": 1}]},
     closed({}, description='{enum: [{"a": 1}]}'), ("enum",)),
    ("an enum or null", {"enum": ["a"], "nullable": True}, {"enum": ["a", None]}, ()),
    ("an enum with null or null", {"enum": ["a", None], "nullable": True}, {"enum": ["a", None]}, ()),
    ("a constant or null", {"const": "a", "nullable": True}, {"enum": ["a", None]}, ()),
    ("variants or null", {"anyOf": [STRING], "nullable": True}, {"anyOf": [STRING, {"type": "null"}]}, ()),
    ("a reference or null", {"$ref": "#/$defs/A", "nullable": True, "$defs": {"A": {"type": "integer"}}},
     {"type": ["integer", "null"]}, ()),
    ("an empty enum", {"type": "string", "enum": []}, {"type": "string", "description": "{enum: []}"}, ("enum",)),
    ("a constant", {"const": None}, {"const": None}, ()),
    ("a constant object", {"type": "object", "properties": {}, "const": {}}, closed({}, description="{const: {}}"),
     ("const",)),
    ("several types", {"type": ["string", "null"]}, {"type": ["string", "null"]}, ()),
    ("one type in a list", {"type": ["string", "string", "odd", 5, {}]}, {"type": "string"}, ()),
    ("nullable", {"type": "string", "nullable": True}, {"type": ["string", "null"]}, ()),
    ("nullable null", {"type": "null", "nullable": True}, {"type": "null"}, ()),
    ("variants", {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}], "description": "D"},
     {"anyOf": [{"type": "string", "description": "{minLength: 1}"}, {"type": "null"}], "description": "D"},
     ("minLength",)),
    ("oneOf", {"oneOf": [STRING, {"type": "integer"}]}, {"anyOf": [STRING, {"type": "integer"}]}, ()),
    ("variants of a sibling type", {"type": "object", "properties": {"a": STRING}, "required": ["a"],
                                    "anyOf": [{"properties": {"b": STRING}, "required": ["b"]}]},
     {"anyOf": [closed({"a": STRING, "b": STRING})]}, ()),
    ("required of a variant joins what is required of all",
     {"type": "object", "properties": {"id": STRING, "m": STRING, "p": STRING}, "required": ["id"],
      "additionalProperties": False, "anyOf": [{"required": ["m"]}, {"required": ["p", "id"]}]},
     {"anyOf": [closed({"id": STRING, "m": STRING, "p": STRING}, ["id", "m"]),
                closed({"id": STRING, "m": STRING, "p": STRING}, ["id", "p"])]}, ()),
    ("variants that are references, of a type they name themselves",
     {"type": ["object", "null"], "oneOf": [{"$ref": "#/$defs/A"}, {"type": "null"}],
      "$defs": {"A": {"type": "object", "properties": {"a": STRING}}}},
     {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}], "$defs": {"A": closed({"a": STRING}, [])}}, ()),
    ("variants that are references without a type",
     {"type": "string", "oneOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"description": "D"}}},
     {"anyOf": [{"type": "string", "description": "D"}]}, ()),
    ("oneOf beside anyOf", {"anyOf": [STRING], "oneOf": [{"minLength": 2}]},
     {"anyOf": [STRING], "description": '{oneOf: [{"minLength": 2}]}'}, ("oneOf",)),
    ("no variants", {"type": "string", "anyOf": []}, STRING, ()),
    ("allOf", {"type": "object", "properties": {"a": STRING}, "required": ["a"], "allOf": [
        {"properties": {"b": STRING}, "required": ["b", "a"]}, {"title": "x", "description": "D"},
        {"type": ["array", "object"]}, {"allOf": [{"properties": {"c": STRING}}, True]}, {"allOf": 5}]},
     closed({"a": STRING, "b": STRING, "c": STRING}, ["a", "b"], description="D", title="x"), ()),
    ("allOf of one property twice", {"allOf": [
        {"properties": {"a": {"type": "string", "description": "A"}, "b": STRING}, "required": ["a", "b"]},
        {"properties": {"a": {"enum": ["x"]}, "b": {"type": "string"}}}]},
     closed({"a": {"enum": ["x"], "description": "A"}, "b": STRING}), ()),
    ("allOf of items twice", {"allOf": [{"items": {"type": "number"}}, {"items": {"type": ["integer", "string"]}}]},
     {"type": "array", "items": {"type": "integer"}}, ()),
    ("allOf of types", {"allOf": [{"type": ["integer", "null"]}, {"type": "number"}, {"type": "odd"}]},
     {"type": "integer"}, ()),
    ("allOf of what cannot be joined",
     {"allOf": [{"anyOf": [STRING], "minLength": 1, "title": "T"}, {"anyOf": [{"const": "a"}], "title": "U"},
                {"minLength": 1, "default": 2}, {"minLength": 2, "default": 3, "$comment": "c"}]},
     {"anyOf": [STRING],
      "description": '{minLength: 1, default: 2, allOf: [{"anyOf": [{"const": "a"}]}, {"minLength": 2}]}',
      "title": "T"}, ("allOf", "minLength")),
    ("empty allOf", {"type": "string", "allOf": []}, STRING, ()),
    ("allOf of a reference", {"allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}], "description": "mine",
                              "$defs": {"A": {"type": "string", "description": "its"}}},
     {"type": "string", "description": "mine"}, ()),
    ("what stands beside a reference", {"type": "object", "properties": {
        "a": {"$ref": "#/$defs/A", "minLength": 3, "description": "mine"}, "b": {"$ref": "#/$defs/B", "x-a": 1}},
        "required": ["a", "b"], "$defs": {"A": {"$ref": "#/$defs/B", "maxLength": 9}, "B": STRING}},
     closed({"a": {"type": "string", "description": "mine\n\n{minLength: 3, maxLength: 9}"},
             "b": {"$ref": "#/$defs/B"}}, **{"$defs": {"B": STRING}}), ("maxLength", "minLength")),
    ("definitions", {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "/definitions/B~1C"}},
                     "required": ["a", "b"], "$defs": {"A": {"type": "string", "minLength": 1}},
                     "definitions": {"B/C": {"type": "object", "properties": {}}, "unused": True}},
     closed({"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/definitions/B~1C"}},
            **{"$defs": {"A": {"type": "string", "description": "{minLength: 1}"}},
               "definitions": {"B/C": closed({})}}), ("minLength",)),
    ("definitions that are none", {"type": "string", "$defs": [], "definitions": {}}, STRING, ()),
    ("what has no meaning", {"type": "string", "title": 5, "$schema": "s", "x-order": 1, "strict": True}, STRING, ()),
    ("what binds nothing", {"type": "string", "title": "T", "default": 1, "deprecated": True, "examples": ["e"]},
     {"type": "string", "description": '{examples: ["e"], default: 1, deprecated: true}', "title": "T"}, ()),
    ("what nobody knows", {"type": "string", "order": 3, "minLength": 1},
     {"type": "string", "description": "{minLength: 1, order: 3}"}, ("minLength", "order")),
    ("a description that is none", {"type": "string", "description": 5}, STRING, ()),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "expected", "moved"), [c[1:] for c in CONVERTED], ids=[c[0] for c in CONVERTED])
def test_conversion(schema: dict[str, Any], expected: dict[str, Any], moved: tuple[str, ...]) -> None:
    before = json.dumps(schema)
    subset = to_subset(schema)
    assert (subset.schema, subset.demoted, subset.unsupported_reason) == (expected, moved, "")
    assert json.dumps(subset.schema) == json.dumps(expected), "keys keep their order"
    assert json.dumps(schema) == before, "the client's own is not changed"


DEFS = {"A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}}, "B": {"type": "array", "items": {
    "$ref": "#/$defs/A"}}}  # fmt: skip
UNFIT: list[tuple[str, dict[str, Any], str]] = [
    ("anything", {"type": "object", "properties": {"a": True}}, "a part of it allows any value"),
    ("anything in a list", {"type": "array", "items": [STRING]}, "a part of it allows any value"),
    ("an array of anything", {"type": "array"}, "a part of it allows any value"),
    ("a tuple and anything more", {"type": "array", "prefixItems": [STRING]}, "a part of it allows any value"),
    ("a variant that is none", {"type": "string", "anyOf": [True]}, "a part of it allows any value"),
    ("a member that is none", {"allOf": [STRING, 5]}, "a part of it is not a schema"),
    ("no type", {}, "a part of it has no type"),
    ("a type that is none", {"type": {"a": 1}}, "a part of it has no type"),
    ("types that are none", {"type": ["odd", {}]}, "a part of it has no type"),
    ("a variant of anything", {"anyOf": [STRING, {}]}, "a part of it has no type"),
    ("any object", {"type": "object"}, "it has an object with arbitrary keys"),
    ("an object without known properties", {"type": "object", "properties": None},
     "it has an object with arbitrary keys"),
    ("any object within", {"type": "object", "properties": {"a": {"type": "object"}}},
     "it has an object with arbitrary keys"),
    ("keys of a pattern", {"type": "object", "additionalProperties": False, "patternProperties": {"^x": STRING}},
     "it has an object with arbitrary keys"),
    ("types that exclude each other", {"type": "string", "allOf": [{"type": "integer"}]},
     "parts of it contradict each other in their type"),
    ("arbitrary keys", {"type": "object", "additionalProperties": STRING}, "it has an object with arbitrary keys"),
    ("an address", {"$ref": "https://example.com/s"}, "it refers to something outside itself"),
    ("nothing", {"$ref": "#/$defs/nothing"}, "it refers to something outside itself"),
    ("the root", {"$ref": "#"}, "it refers to something outside itself"),
    ("a property", {"type": "object", "properties": {"a": STRING, "b": {"$ref": "#/properties/a"}}},
     "it refers to a part of itself that is not a definition"),
    ("a part of a definition", {"$ref": "#/$defs/A/items", "$defs": {"A": {"type": "array", "items": STRING}}},
     "it refers to a part of itself that is not a definition"),
    ("itself", {"$ref": "#/$defs/A", "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}},
     "it is recursive"),
    ("itself by way of another", {"$ref": "#/$defs/A", "$defs": DEFS}, "it is recursive"),
    ("itself under an odd name", {"$ref": "#/$defs/a~1b~0", "$defs": {
        "a/b~": {"type": "array", "items": {"$ref": "/$defs/a~1b~0"}}}}, "it is recursive"),
    ("itself in allOf", {"$defs": {"A": {"allOf": [{"properties": {"x": {"allOf": [{"$ref": "#/$defs/A"}]}}}]}},
                         "allOf": [{"$ref": "#/$defs/A"}]}, "it is nested too deeply"),
    ("too many optional properties",
     {"type": "object", "properties": {str(i): STRING for i in range(MAX_OPTIONAL + 1)}},
     "it has 25 optional properties, of which 24 are allowed"),
    ("too many unions", {"type": "object", "properties": {str(i): {"type": ["string", "null"]} for i in range(17)},
                         "required": [str(i) for i in range(MAX_UNIONS + 1)]},
     "it has 17 properties of several types, of which 16 are allowed"),
    ("too many parts", {"type": "object", "properties": {str(i): STRING for i in range(MAX_PARTS)},
                        "required": [str(i) for i in range(MAX_PARTS)]}, "it has more than 5000 parts"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "why"), [u[1:] for u in UNFIT], ids=[u[0] for u in UNFIT])
def test_what_cannot_be_said_is_reported(schema: dict[str, Any], why: str) -> None:
    assert to_subset(schema).unsupported_reason == why


def test_what_is_counted() -> None:
    schema = {
        "type": "object",
        "properties": {"a": STRING, "b": {"anyOf": [STRING]}, "c": {"type": "object", "properties": {"d": STRING}}},
        "required": ["a"],
    }
    assert to_subset(schema) == Subset(
        closed({"a": STRING, "b": {"anyOf": [STRING]}, "c": closed({"d": STRING}, [])}, ["a"]), (), 3, 1
    )


def test_definitions_that_only_share_are_not_recursive() -> None:
    defs = {
        "A": {"$ref": "#/$defs/C"},
        "B": {"$ref": "#/$defs/C"},
        "C": STRING,
        "D": {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]},
    }
    assert to_subset({"$ref": "#/$defs/D", "$defs": defs}).schema == {"$ref": "#/$defs/D", "$defs": defs}


def test_every_use_of_a_definition_counts() -> None:
    defs = {
        "A": {"type": "object", "properties": {"x": STRING, "y": {"type": ["string", "null"]}}},
        "B": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A"}}},
        "unused": {"type": "object", "properties": {str(i): STRING for i in range(30)}},
    }
    schema = {"type": "array", "items": {"$ref": "#/$defs/B"}, "$defs": defs}
    assert (to_subset(schema).optional, to_subset(schema).unions) == (6, 2)
    assert list(to_subset(schema).schema["$defs"]) == ["A", "B"]
    many = {"type": "object", "properties": {str(i): {"$ref": "#/$defs/B"} for i in range(5)}, "$defs": defs}
    assert to_subset(many).unsupported_reason == "it has 35 optional properties, of which 24 are allowed"


def test_depth_counts_references_and_its_limit_is_allowed() -> None:
    for levels, fits in ((MAX_DEPTH - 1, True), (MAX_DEPTH, False)):
        assert (to_subset(nested(levels)).unsupported_reason == "") is fits
    half = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}
    for levels, fits in ((MAX_DEPTH - 3, True), (MAX_DEPTH - 2, False)):
        assert (to_subset({**half, "$defs": {"A": nested(levels)}}).unsupported_reason == "") is fits


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = STRING
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def copies(part: dict[str, Any], count: int = 3_000) -> dict[str, Any]:
    """One definition written out over and over, each use with a word of its own."""
    uses = {str(i): {"$ref": "#/$defs/A", "description": str(i)} for i in range(count)}
    return {"type": "object", "properties": uses, "required": list(uses), "$defs": {"A": part}}


def doubling(levels: int, direct: bool) -> dict[str, Any]:
    """A few lines that, written out, are 2**levels."""
    defs: dict[str, Any] = {str(levels): STRING}
    for level in range(levels):
        inner = {"allOf": [{"$ref": f"#/$defs/{level + 1}"}]}
        twice = {"allOf": inner["allOf"] * 2} if direct else {"properties": {"a": inner, "b": inner}}
        defs[str(level)] = twice
    return {"$defs": defs, "allOf": [{"$ref": "#/$defs/0"}]}


HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("deep", nested(100_000), "it is nested too deeply"),
    ("doubling in allOf", doubling(40, direct=True), ""),
    ("doubling in properties", doubling(40, direct=False), "it has more than 5000 parts"),
    ("a chain of definitions", {"$ref": "#/$defs/0", "$defs": {
        str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(4000)}}, "it refers to something outside itself"),
    ("a whole chain of definitions", {"$ref": "#/$defs/0", "$defs": {
        **{str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(3000)}, "3000": STRING}}, "it is nested too deeply"),
    ("doubling by reference", {"$ref": "#/$defs/0", "$defs": {**{str(i): {
        "type": "object", "properties": {k: {"$ref": f"#/$defs/{i + 1}"} for k in "ab"}, "required": ["a", "b"]}
        for i in range(25)}, "25": STRING}}, "it has more than 5000 parts"),
    ("a deep value", {"type": "string", "examples": nested(900)}, "it is nested too deeply"),
    ("a long text again and again", copies({"type": "string", "pattern": "x" * 100_000}), "it is too large"),
    ("a long enum again and again", copies({"enum": ["x" * 99] * 1_000}), "it is too large"),
    ("a long list again and again", copies({"type": ["string"] * 100_000}), "it is too large"),
    ("many keywords again and again", copies({"type": "string"} | {f"x-{i}": 0 for i in range(100_000)}),
     "it is too large"),
    ("variants beside much", {"type": "object", "properties": {str(i): STRING for i in range(400)},
                              "anyOf": [{"required": ["0"]}] * 400}, "it has more than 5000 parts"),
    ("variants beside much that is required", {"type": "object", "properties": {"a": STRING},
        "required": ["a"] * 10_000, "anyOf": [{"required": ["a"]}] * 400}, "it is too large"),
    ("allOf that names itself", {"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}, "allOf": [{"$ref": "#/$defs/A"}]},
     "a part of it has no type"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "why"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_a_hostile_schema_costs_no_time_and_breaks_nothing(schema: dict[str, Any], why: str) -> None:
    began = time.perf_counter()
    assert to_subset(schema).unsupported_reason == why
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "keyword", ["type", "properties", "required", "items", "anyOf", "oneOf", "allOf", "enum", "format", "minItems",
                "additionalProperties", "$ref", "$defs", "definitions", "description", "nullable"]
)  # fmt: skip
@pytest.mark.parametrize("value", [None, True, 5, 1.5, "x", [], [[]], [{}], [5, "a", None], {}, {"a": 5}, {"a": {}}])
def test_no_value_of_any_keyword_breaks_it(keyword: str, value: Any) -> None:
    for schema in ({keyword: value}, {"type": "object", "properties": {"a": STRING}, keyword: value},
                   {"allOf": [{keyword: value}, {"type": "object", keyword: value}]}):  # fmt: skip
        subset = to_subset(schema)
        if subset.unsupported_reason:
            assert subset.schema == {}
        else:
            check_supported(subset.schema, "schema", Size())


_SCALARS = st.one_of(
    st.booleans(), st.none(), st.integers(0, 2), st.sampled_from([*"ab", "#/$defs/A", "#/$defs/B~1c", "#", "date"]),
    st.sampled_from(["string", "integer", "number", "object", "array", "null", "boolean", "odd"]),
)  # fmt: skip
_PLAIN = st.sampled_from([
    STRING, {"type": ["integer", "null"]}, {"enum": ["a", 1]}, {"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B~1c"},
])  # fmt: skip


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    names = st.lists(st.sampled_from("abcd"), max_size=3)
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": named},
            optional={"required": names, "anyOf": some, "allOf": some, "additionalProperties": inner},
        ),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"minItems": _SCALARS}),
        st.fixed_dictionaries({"anyOf": some}, optional={"oneOf": some, "nullable": st.just(True), "type": _SCALARS}),
        st.fixed_dictionaries({"allOf": some}, optional={"$ref": _SCALARS, "minLength": st.integers(0, 3)}),
        st.dictionaries(st.sampled_from(["type", "enum", "const", "items", "required", "format", "not", "x-a"]),
                        st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3), inner), max_size=4),
    )  # fmt: skip


SCHEMAS = st.recursive(st.one_of(_PLAIN, _PLAIN, _SCALARS), _larger, max_leaves=10)


@given(st.dictionaries(st.sampled_from("abc"), SCHEMAS, max_size=3), SCHEMAS, SCHEMAS)
def test_whatever_is_converted_is_in_the_subset_and_keeps_every_property(
    properties: dict[str, Any], first: Any, second: Any
) -> None:
    schema = {"type": "object", "properties": properties, "$defs": {"A": first, "B/c": second, "C": {"type": "odd"}}}
    before = json.dumps(schema)
    subset = to_subset(schema)
    assert json.dumps(schema) == before
    if subset.unsupported_reason:
        assert subset == Subset({}, unsupported_reason=subset.unsupported_reason)
        return
    size = Size()
    check_supported(subset.schema, "schema", size)
    assert (size.optional, size.unions) == (subset.optional, subset.unions)
    assert list(subset.schema["properties"]) == list(properties)
    assert json.dumps(to_subset(json.loads(before)).schema) == json.dumps(subset.schema)


@pytest.mark.parametrize("pattern", ["", "^[a-z]{2,9}$", r"\d+(?:\.\d+)?", r"a|b", r"[\w.]+@[\w.]+"])
def test_a_plain_pattern_stays_a_pattern(pattern: str) -> None:
    subset = to_subset({"type": "string", "pattern": pattern})
    assert (subset.schema, subset.demoted) == ({"type": "string", "pattern": pattern}, ())


@pytest.mark.parametrize(
    "pattern",
    [r"(?=a)", r"(?!a)", r"(?<=a)b", r"(?<n>a)", r"(?i)a", r"(a)\1", r"\bword\b", r"\p{L}", "(", "a" * 501, 5, None],
)
def test_any_other_pattern_is_told_in_words(pattern: Any) -> None:
    subset = to_subset({"type": "string", "pattern": pattern})
    assert "pattern" not in subset.schema
    assert subset.demoted == (() if pattern is None else ("pattern",))
