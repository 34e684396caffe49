"""The root of a tool's schema: Anthropic takes nothing but a plain object there, and one bad tool fails every request
(E65, E66)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.schema.root import COMBINED, TYPED, to_accepted_root, to_object_root
from modelmux.claude.schema.subset import MAX_DEPTH
from modelmux.emulator.validation.json_schema import check_valid
from modelmux.errors import InvalidRequest
from support.work import assert_linear, count_calls

T = {"type": "string"}
A = {"type": "object", "properties": {"a": T, "k": {"const": "a"}}, "required": ["k", "a"], "description": "An A."}
B = {"type": "object", "properties": {"b": T, "k": {"const": "b"}}, "required": ["b", "k"], "description": "A B."}
DEFS = {"$defs": {"A": A, "B": B, "U": {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]},
                  "x/y": {"allOf": [{"$ref": "#/$defs/A"}, {"required": ["z"]}]}, "L": {"type": "array"},
                  "N": {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}}}}  # fmt: skip
K = {"anyOf": [{"const": "a"}, {"const": "b"}]}


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


JOINED: list[tuple[str, dict[str, Any], dict[str, Any], list[str], bool]] = [
    # what, the root, its properties, what is required, whether it may be no object
    ("a reference", ref("A"), A["properties"], ["k", "a"], False),
    ("a reference in the other spelling", {"$ref": "/$defs/A"}, A["properties"], ["k", "a"], False),
    ("variants by reference, as pydantic writes them", {"anyOf": [ref("A"), ref("B")]},
     {"a": T, "k": K, "b": T}, ["k"], False),
    ("variants within a definition", ref("U"), {"a": T, "k": K, "b": T}, ["k"], False),
    ("variants within variants", {"oneOf": [ref("U"), {"properties": {"k": {"const": "b"}, "c": T}}]},
     {"a": T, "k": {"anyOf": [K, {"const": "b"}]}, "b": T, "c": T}, [], False),
    ("allOf within a definition of an odd name", ref("x~1y"), A["properties"], ["z", "k", "a"], False),
    ("one definition in two variants", {"anyOf": [ref("x~1y"), {"allOf": [ref("A"), {"properties": {"c": T}}]}]},
     {"a": T, "k": {"const": "a"}, "c": T}, ["k", "a"], False),
    ("two lists of variants", {"anyOf": [{"required": ["x"]}], "oneOf": [{"properties": {"x": T}}]}, {"x": T}, ["x"],
     False),
    ("an object or null", {"anyOf": [ref("A"), {"type": "null"}]}, A["properties"], ["k", "a"], True),
    ("an object or null, said to be an object", {"type": "object", "anyOf": [ref("A"), {"type": "null"}]},
     A["properties"], ["k", "a"], False),
    ("a list", ref("L"), {}, [], True),
    ("no object at all", {"anyOf": [{"type": "string"}, {"type": "null"}]}, {}, [], True),
    ("a definition that contains itself", ref("N"), {"n": ref("N")}, [], False),
    ("nothing", ref("nothing"), {}, [], False),
    ("something elsewhere", {"$ref": "https://example.com/"}, {}, [], False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "properties", "required", "other"), [j[1:] for j in JOINED], ids=[j[0] for j in JOINED]
)
def test_what_a_root_combines_is_joined(
    schema: dict[str, Any], properties: dict[str, Any], required: list[str], other: bool
) -> None:
    before = json.dumps({**schema, **DEFS})
    root = to_object_root({**schema, **DEFS}, "p")
    assert root.schema["type"] == "object"
    assert json.dumps(root.schema["properties"]) == json.dumps(properties)
    assert root.schema["required"] == required
    assert root.schema["$defs"] == DEFS["$defs"]
    assert (root.change != "", root.other) == (True, other)
    assert json.dumps({**schema, **DEFS}) == before
    check_valid(root.schema, "p")


def test_other_keywords_are_kept_where_they_hold_for_all() -> None:
    assert to_object_root({**ref("A"), "title": "T", **DEFS}, "p").schema["description"] == "An A."
    assert to_object_root({**ref("A"), "description": "Mine.", **DEFS}, "p").schema["description"] == "Mine."
    joined = to_object_root({"anyOf": [ref("A"), ref("B")], **DEFS}, "p").schema
    assert "description" not in joined
    closed = {"properties": {"a": T}, "additionalProperties": False}
    assert to_object_root({"oneOf": [closed, closed]}, "p").schema["additionalProperties"] is False
    assert "additionalProperties" not in to_object_root({"oneOf": [closed, {}]}, "p").schema


def test_a_plain_root_is_the_clients_own() -> None:
    schema = {"type": "object", "properties": {"a": {"anyOf": [T]}}, **DEFS}
    assert to_object_root(schema, "p").schema is schema
    assert to_object_root({"type": ["object", "null"]}, "p") == ({"type": "object"}, "", True)
    assert to_object_root({"type": "array", "items": T}, "p") == (
        {"type": "object", "items": T}, "The root must be an object; its type was changed to that.", True,
    )  # fmt: skip


def test_keywords_without_a_value_are_left_out() -> None:
    """A nil list or map of Go: Anthropic refuses it as no valid schema."""
    given = {"type": "object", "properties": None, "required": None, "additionalProperties": False}
    assert to_object_root(given, "p") == ({"type": "object", "additionalProperties": False}, "", False)
    assert to_object_root({"type": None, "properties": None}, "p") == ({"type": "object", "properties": {}}, "", False)
    assert given["required"] is None


def test_a_root_that_claude_takes_is_the_same_object() -> None:
    schema = {"type": "object", "nullable": True, "$ref": "#/$defs/A", **DEFS}
    assert to_accepted_root(schema, "p").schema is schema
    assert to_accepted_root({"title": "t"}, "p") == ({"type": "object", "title": "t"}, TYPED, False)
    assert to_accepted_root({"type": "object", "anyOf": None}, "p") == ({"type": "object"}, COMBINED, False)
    assert to_object_root({"type": "object", "nullable": True, "title": 5}, "p").schema == {
        "type": "object", "nullable": True,
    }  # fmt: skip


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": T}}
    for _ in range(levels):
        schema = {"allOf": [schema]}
    return schema


def chain(levels: int, link: Any) -> dict[str, Any]:
    return {**ref("0"), "$defs": {**{str(i): link(ref(str(i + 1))) for i in range(levels)}, str(levels): A}}


def chain_of_texts(levels: int) -> dict[str, Any]:
    """The schema of one property doubles with every definition."""
    defs = {str(levels): A}
    for level in range(levels):
        below = ref(str(level + 1))
        defs[str(level)] = {"allOf": [below, {"allOf": [below, {"properties": {"a": {"minLength": level}}}]}]}
    return {**ref("0"), "$defs": defs}


#: A few seconds; without its bounds the work would be exponential, or the product of two large numbers.
MOST_CALLS = 3_000_000
TOO_MUCH: list[tuple[str, dict[str, Any], str]] = [
    ("itself", {**ref("S"), "$defs": {"S": ref("S")}}, "refers to itself"),
    ("itself by allOf", {**ref("S"), "$defs": {"S": {"allOf": [ref("S"), A]}}}, "refers to itself"),
    ("depth", deep(61), "nested too deeply"),
    ("depth of a value", {"anyOf": [{"x": json.loads("[" * 500 + "]" * 500)}]}, "nested too deeply"),
    ("doubling texts", chain_of_texts(25), "combines too much"),
    ("a long text in every variant", {
        "anyOf": [{"allOf": [ref("L"), {"properties": {"a": {"minLength": i}}}]} for i in range(2_000)],
        "$defs": {"L": {"properties": {"a": {"description": "x" * 10_000}}}}}, "combines too much"),
]  # fmt: skip


@pytest.mark.parametrize("key", ["allOf", "anyOf", "oneOf"])
def test_definitions_that_use_each_other_twice_are_merged_once(key: str) -> None:
    def merge(levels: int) -> Any:
        return to_object_root(chain(levels, lambda r: {key: [r, r]}), "w").schema["properties"]

    assert merge(25) == A["properties"]
    assert_linear(merge, 12)


@pytest.mark.parametrize(("schema", "says"), [t[1:] for t in TOO_MUCH], ids=[t[0] for t in TOO_MUCH])
def test_a_hostile_root_is_rejected_by_name_after_little_work(schema: dict[str, Any], says: str) -> None:
    def reject() -> None:
        with pytest.raises(InvalidRequest, match=says) as caught:
            to_object_root(schema, "tools.0.function.parameters")
        assert caught.value.param == "tools.0.function.parameters"

    assert count_calls(reject) < MOST_CALLS


_PARTS = st.recursive(
    st.sampled_from([A, B, T, {}, True, 5, ref("A"), ref("U"), ref("x~1y"), ref("L"), {"type": "null"}]),
    lambda inner: st.dictionaries(
        st.sampled_from(["anyOf", "oneOf", "allOf"]), st.lists(inner, max_size=3), max_size=2
    ).flatmap(lambda made: st.sampled_from([made, {**made, "properties": {"a": {"minLength": 1}}, "required": ["a"]}])),
    max_leaves=8,
)


@given(st.lists(_PARTS, max_size=3), st.sampled_from(["anyOf", "oneOf", "allOf"]))
def test_every_root_comes_out_plain_and_has_every_property(parts: list[Any], key: str) -> None:
    root = to_object_root({key: parts, **DEFS}, "p")
    check_valid(root.schema, "p")
    assert set(root.schema["required"]) <= {"a", "b", "k", "z"}
    for part in parts:
        if part in (A, B):
            assert part["properties"].keys() <= root.schema["properties"].keys()


def test_a_property_said_twice_is_one() -> None:
    assert to_object_root({"allOf": [{"properties": {"a": dict(T)}}, {"properties": {"a": dict(T)}}]}, "w").schema[
        "properties"
    ] == {"a": T}


def test_the_type_of_the_root_is_object_alone() -> None:
    assert not to_object_root({"type": ["object"]}, "w").other
    assert to_object_root({"type": ["object", "null"], "anyOf": [A]}, "w").schema["type"] == "object"


def _members(key: str, levels: int) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for _ in range(levels):
        root = {key: [root]}
    return root


def _references(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {f"d{i}": ref(f"d{i + 1}") for i in range(1, levels)}
    return {**ref("d1"), "$defs": {**definitions, f"d{levels}": A}}


@pytest.mark.parametrize("nest", [lambda n: _members("allOf", n), lambda n: _members("anyOf", n), _references])
def test_what_is_nested_to_the_limit_is_joined_and_no_further(nest: Callable[[int], dict[str, Any]]) -> None:
    assert to_object_root(nest(MAX_DEPTH), "w").schema["type"] == "object"
    with pytest.raises(InvalidRequest, match="refers to itself"):
        to_object_root(nest(MAX_DEPTH + 1), "w")


@pytest.mark.parametrize("key", ["allOf", "anyOf"])
def test_a_circle_through_members_ends(key: str) -> None:
    with pytest.raises(InvalidRequest, match="refers to itself"):
        to_object_root({**ref("C"), "$defs": {"C": {key: [ref("C")]}}}, "w")


@pytest.mark.parametrize(
    ("root", "work"),
    [
        ({"allOf": [{"required": ["a", "b"]}]}, 44),
        ({"allOf": [{"properties": {"a": {}}}]}, 48),
        ({"anyOf": [{"properties": {"a": {}}}]}, 51),
    ],
)
def test_what_the_work_is_counted_by(root: dict[str, Any], work: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Per schema 20, its keys and its required names; per use of a property its text and one."""
    monkeypatch.setattr("modelmux.claude.schema.root.MAX_TEXT", work)
    to_object_root(root, "w")
    monkeypatch.setattr("modelmux.claude.schema.root.MAX_TEXT", work - 1)
    with pytest.raises(InvalidRequest, match="combines too much"):
        to_object_root(root, "w")
