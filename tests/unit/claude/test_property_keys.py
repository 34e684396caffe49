"""Risk: two keys become one, a legal key is renamed, or a part of a schema keeps the old name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from modelmux.claude.notices import Notice
from modelmux.claude.options import Options
from modelmux.claude.prepare import PreparedRequest, prepare
from modelmux.claude.property_keys import RENAMED, rename_in_input, rename_in_schema, renamed_keys, to_legal_key
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, FieldNames
from modelmux.claude.schema import renaming
from modelmux.claude.schema.work import TooMuchWork
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import InputMessage, MessagesRequest, TextBlock, Tool, ToolUseBlock, WebSearch
from support.odd_schemas import NAMES
from support.translation import SONNET

Json = dict[str, Any]
LEGAL = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


@pytest.mark.parametrize("key", ["a", "a.b-c_D", "x" * 64, "__", "a__0123456789aG", "-", "type"])
def test_a_legal_key_stays(key: str) -> None:
    assert to_legal_key(key) == key


@pytest.mark.parametrize(
    ("key", "stem"),
    [
        ("Account Number", "Account_Number"), ("filter[id]", "filter_id"), ("数量", "key"), ("", "key"),
        ("x" * 65, "x" * 50), ("a\n", "a"), ("a b" * 30, ("a_b" * 30)[:49]), ("\ud83d", "key"),
    ],
)  # fmt: skip
def test_another_key_keeps_what_it_can(key: str, stem: str) -> None:
    new = to_legal_key(key)
    assert LEGAL.fullmatch(new)
    assert re.fullmatch(re.escape(stem) + "__[0-9a-f]{12}", new)


@given(st.lists(st.one_of(NAMES, st.text()), unique=True))
def test_no_two_keys_become_one(keys: list[str]) -> None:
    """Nor does a new key become that of a client who uses it himself."""
    keys = list(dict.fromkeys([*keys, *map(to_legal_key, keys)]))
    new = [to_legal_key(key) for key in keys]
    assert len(set(new)) == len(keys)
    assert all(LEGAL.fullmatch(key) for key in new)
    assert new == [to_legal_key(key) for key in keys]


K, N = to_legal_key("a b"), to_legal_key("数")
NAMES_OF = {"a b": K, "数": N}


@pytest.mark.parametrize(
    "schema", [None, 5, {}, {"properties": 5}, {"properties": {"a": {}, K: {}}}, {"properties": {}}]
)
def test_nearly_every_schema_has_nothing_to_rename(schema: Any) -> None:
    assert renamed_keys(schema) == {}


def test_a_separator_is_not_legal() -> None:
    assert set(renamed_keys({"properties": {"a\0b": {}, "c": {}}})) == {"a\0b"}


def test_a_key_that_looks_renamed_makes_room_for_one_that_is() -> None:
    assert renamed_keys({"properties": {"a b": {}, K: {}, "x": {}}}) == {"a b": K, K: to_legal_key(K)}


def test_a_schema_has_the_new_key_wherever_it_names_the_old_one() -> None:
    schema = {
        "type": "object",
        "properties": {"x": {}, "a b": {"type": "string", "description": "D."}, "数": True, "deep": {
            "properties": {"a b": {"$ref": "#/properties/a%20b/items"}}, "required": ["a b"]}},
        "required": ["数", "x", 5],
        "dependentRequired": {"a b": ["数"]},
        "dependentSchemas": {"数": {"properties": {"a b": {}}}},
        "dependencies": 5,
        "propertyNames": {"enum": ["a b", "x"], "pattern": "a b"},
        "if": {"required": ["a b"]}, "then": True, "not": {"anyOf": [{"required": ["数"]}]}, "anyOf": 5,
        "default": {"a b": {"a b": 1}}, "const": "a b", "examples": [{"数": 1}, "数"], "enum": None,
        "$defs": {"a b": {"$ref": "#/properties/数"}, "o": {"$ref": "#/$defs/a b"}, "p": {"$ref": "#/properties/x"}},
    }  # fmt: skip
    assert renamed_keys(schema) == NAMES_OF
    made = rename_in_schema(schema, NAMES_OF)
    assert made == {
        "type": "object",
        "properties": {"x": {}, K: {"type": "string", "description": '"a b": D.'}, N: {"description": '"数"'}, "deep": {
            "properties": {"a b": {"$ref": f"#/properties/{K}/items"}}, "required": ["a b"]}},
        "required": [N, "x", 5],
        "dependentRequired": {K: [N]},
        "dependentSchemas": {N: {"properties": {K: {}}}},
        "dependencies": 5,
        "propertyNames": {"anyOf": [{"enum": [K]}, {"enum": [K, "x"], "pattern": "a b"}]},
        "if": {"required": [K]}, "then": True, "not": {"anyOf": [{"required": [N]}]}, "anyOf": 5,
        "default": {K: {"a b": 1}}, "const": "a b", "examples": [{N: 1}, "数"], "enum": None,
        "$defs": {"a b": {"$ref": f"#/properties/{N}"}, "o": {"$ref": "#/$defs/a b"}, "p": {"$ref": "#/properties/x"}},
    }  # fmt: skip
    assert [*made] == [*schema]
    assert [*made["properties"]] == ["x", K, N, "deep"]


ROOT = {"properties": {"a b": {"type": "string"}, "子": {"items": {"$ref": "#"}}}, "required": ["a b"]}
CHILD = to_legal_key("子")
REFERENCES: list[tuple[str, Json, Json]] = [
    # what, keywords beside the property "a b", the same afterwards
    ("the root, from below",
     {"x": {"$ref": "#"}, "$id": "http://x/y", "$anchor": "r", "$defs": {"original_0": True}},
     {"x": {"$ref": "#/$defs/original_0_"}, "$id": "http://x/y", "$anchor": "r",
      "$defs": {"original_0": True, "original_0_": {"properties": {"a b": {}}, "x": {"$ref": "#/$defs/original_0_"}}}}),
    ("the root, from beside", {"not": {"$ref": "#"}}, {"not": {"$ref": "#"}}),
    ("a definition of the same object",
     {"if": {"$ref": "#/$defs/I"}, "then": {"$ref": "#/$defs/I"}, "else": {"$ref": "#/$defs/E"},
      "$defs": {"I": {"required": ["a b"]}, "E": {"enum": [["x"]]}}},
     {"if": {"$ref": "#/$defs/renamed_0"}, "then": {"$ref": "#/$defs/renamed_0"}, "else": {"$ref": "#/$defs/E"},
      "$defs": {"I": {"required": ["a b"]}, "E": {"enum": [["x"]]}, "renamed_0": {"required": [K]}}}),
    ("a schema of the same object, from below",
     {"x": {"$ref": "#/allOf/0"}, "allOf": [{"required": ["a b"]}]},
     {"x": {"$ref": "#/$defs/original_0"}, "allOf": [{"required": [K]}],
      "$defs": {"original_0": {"required": ["a b"]}}}),
    ("names of properties that are keywords of values",
     {"x": {"properties": {k: {"$ref": "#/properties/a b"} for k in ("default", "const", "enum", "examples")}}},
     {"x": {"properties": {k: {"$ref": f"#/properties/{K}"} for k in ("default", "const", "enum", "examples")}}}),
    ("by the name of the document",
     {"$id": "http://x/y", "x": {"$ref": "http://x/y#/properties/a b"}, "y": {"$ref": "y#/properties/a b/not"}},
     {"$id": "http://x/y", "x": {"$ref": f"http://x/y#/properties/{K}"}, "y": {"$ref": f"y#/properties/{K}/not"}}),
    ("elsewhere",
     {"$id": "http://x/y", "x": {"$ref": "http://z#/properties/a b"}, "y": {"$ref": "#name"}, "z": {"$ref": "//[#/a"},
      "d": {"$id": "http://other", "$ref": "#"}},
     {"$id": "http://x/y", "x": {"$ref": "http://z#/properties/a b"}, "y": {"$ref": "#name"}, "z": {"$ref": "//[#/a"},
      "d": {"$id": "http://other", "$ref": "#"}}),
    ("nothing", {"not": {"$ref": "#/$defs/x/y"}, "x": {"$ref": "#/not/allOf/7"}},
     {"not": {"$ref": "#/$defs/x/y"}, "x": {"$ref": "#/not/allOf/7"}}),
    ("dependencies", {"dependentSchemas": {"a b": {"$ref": "#/dependentSchemas/a b/not"}}, "x": {"required": ["a b"]},
                      "y": {"dependentRequired": {"a b": ["a b"]}}},
     {"dependentSchemas": {K: {"$ref": f"#/dependentSchemas/{K}/not"}}, "x": {"required": ["a b"]},
      "y": {"dependentRequired": {"a b": ["a b"]}}}),
    ("patterns of keys",
     {"patternProperties": {" ": {}, "^a_": {}, "^a b$": {}, "(a)+ ": {}, "^z": {}}, "propertyNames": {"pattern": " "}},
     {"patternProperties": {f"(?: )|^(?:{K})$": {}, rf"^(?!(?:{K})$)[\s\S]*?(?:^a_)": {}, f"(?:^a b$)|^(?:{K})$": {},
                            "(a)+ ": {}, "^z": {}}, "propertyNames": {"anyOf": [{"enum": [K]}, {"pattern": " "}]}}),
    ("one name", {"propertyNames": {"const": "a b"}}, {"propertyNames": {"const": K}}),
    ("names that exclude it", {"propertyNames": {"maxLength": 1}}, {"propertyNames": {"maxLength": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("given_", "expected"), [r[1:] for r in REFERENCES], ids=[r[0] for r in REFERENCES])
def test_references_and_patterns_mean_what_they_meant(given_: Json, expected: Json) -> None:
    made = rename_in_schema({"properties": {"a b": {}}, **given_}, {"a b": K})
    assert made == {"properties": {K: {"description": '"a b"'}}, **expected}


def test_a_recursive_schema_keeps_the_keys_below_its_root() -> None:
    names = renamed_keys(ROOT)
    made = rename_in_schema(ROOT, names)
    assert made["properties"][CHILD]["items"] == {"$ref": "#/$defs/original_0"}
    below = {"items": {"$ref": "#/$defs/original_0"}}
    copy = {"properties": {"a b": {"type": "string"}, "子": below}, "required": ["a b"]}
    assert made["$defs"] == {"original_0": copy}
    assert made["required"] == [K]


def test_copies_and_names_cost_a_bounded_amount_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renaming, "_MAX_COPIED", -1)
    assert "$defs" not in rename_in_schema(ROOT, renamed_keys(ROOT))
    deep: Json = {"pattern": "a"}
    for _ in range(200):
        deep = {"not": deep}
    made = rename_in_schema({"properties": {"a b": {}}, "propertyNames": deep}, {"a b": K})
    assert made["propertyNames"]["anyOf"][0] == {"enum": [K]}


def test_long_keys_are_not_matched() -> None:
    schema = {"properties": {"a" * 300: {}}, "patternProperties": {"^a+$": {}, "[[a]": {}}}
    assert rename_in_schema(schema, renamed_keys(schema))["patternProperties"] == {"^a+$": {}, "[[a]": {}}


def test_a_legal_key_makes_room_only_for_the_new_key_of_another() -> None:
    assert renamed_keys({"properties": {"x__0123456789ab": {}, "a b": {}}}) == {"a b": K}
    again = to_legal_key(K)
    value = {"a b": 1, K: 2, again: 3}
    assert rename_in_input(value, {"a b": K}) == {K: 1, again: 2, to_legal_key(again): 3}
    assert rename_in_input({K: 2}, {"a b": K}) == {again: 2}


def test_other_keys_that_look_renamed_make_room_one_after_the_other() -> None:
    chain = [K]
    for _ in range(500):
        chain.append(to_legal_key(chain[-1]))
    renamed = rename_in_input(dict.fromkeys(["a b", *chain], 0), {"a b": K})
    assert list(renamed) == [*chain, to_legal_key(chain[-1])]


SPELLINGS = [{"$ref": f"#/x/{'a' * i}%61{'a' * (99 - i)}"} for i in range(100)]
LONG = {"properties": {"a b": {"description": "d" * 50_000}}}


@pytest.mark.parametrize(
    "more",
    [
        {"not": {"allOf": SPELLINGS}, "x": {"a" * 100: LONG}},
        {"x": [{"$ref": f"http://a/{i}#/x"} for i in range(100)], "$id": "http://a/" + "x" * 50_000},
        {"x": [{"$ref": "#/not"}] * 100, "not": {"default": [*[[]] * 500_000, "a b"]}},
        {"not": {"allOf": [{"propertyNames": {"minLength": 1}}] * 30_000}},
        {"properties": {"ä" * 190: {}}, "patternProperties": {f"a*b{i}": {} for i in range(500)}},
    ],
    ids=["copies", "documents", "large targets", "names", "patterns"],
)
def test_renaming_takes_bounded_work(more: Json) -> None:
    """Risk: a few bytes take seconds, or become many megabytes."""
    schema = {"type": "object", "properties": {"a b": {}}} | more
    with pytest.raises(TooMuchWork):
        rename_in_schema(schema, renamed_keys(schema))


def test_odd_values_stay() -> None:
    schema: Json = {"properties": {"a b": False}, "required": 5, "allOf": [{"required": 5}]}
    assert rename_in_schema(schema, {"a b": K}) == {"properties": {K: False}, "required": 5, "allOf": [{"required": 5}]}


def test_schemas_and_references_are_followed_to_a_depth() -> None:
    same: Json = {"required": ["a b"]}
    nested: Any = {"$ref": "#/properties/a b"}
    for _ in range(300):
        same, nested = {"not": same}, [nested]
    made = rename_in_schema({"properties": {"a b": {}}, "if": same, "x": nested}, {"a b": K})
    assert "a b" in str(made["if"])
    assert "a b" in str(made["x"])


def test_an_input_keeps_its_order_and_what_is_below() -> None:
    value = {"x": 1, "a b": {"a b": 2}, "z": "a b"}
    assert list(rename_in_input(value, NAMES_OF).items()) == [("x", 1), (K, {"a b": 2}), ("z", "a b")]
    assert rename_in_input(legal := {"x": 1}, NAMES_OF) is legal


def prepared(**fields: Any) -> PreparedRequest:
    calls = [
        TextBlock("hm"), ToolUseBlock("t1", "f", {"a b": 1}), ToolUseBlock("t2", "g", {"a b": 1}),
        ToolUseBlock("t3", "f", Raw(b'{"a b":1}')), ToolUseBlock("t4", "f", {"x": 1}),
    ]  # fmt: skip
    tools = [
        Tool("f", {"type": "object", "properties": {"a b": {}}}),
        Tool("g", {"type": "object"}),
        WebSearch("web_search"),
    ]
    question = InputMessage("user", [TextBlock("hi")])
    turns = [question, InputMessage("assistant", calls), question]
    body = MessagesRequest("vertex-2023-10-16", 9, turns, tools=tools)
    request = ClaudeRequest(body, fields=FieldNames(tools={"f": "tools.0", "g": "tools.1"}))
    return prepare(replace(request, **fields), ReplyPlan("m"), SONNET, Options(caching=False))


def test_tools_and_their_calls_get_the_new_keys() -> None:
    made = prepared(tool_aliases={"other": "f", "another": "g"})
    assert made.body.tools is not None
    assert made.body.tools[0].input_schema["properties"] == {K: {"description": '"a b"'}}
    inputs = [block.input for block in made.body.messages[1].content[1:]]
    assert inputs[:2] == [{K: 1}, {"a b": 1}]
    assert inputs[3] == {"x": 1}
    assert made.plan.property_names == {"f": {K: "a b"}, "other": {K: "a b"}}
    assert Notice("changed", "tools.0.input_schema", RENAMED) in made.notices


def test_too_much_renaming_is_the_clients_error() -> None:
    schema = {"type": "object", "properties": {"a b": {}}, "not": {"allOf": SPELLINGS}, "x": {"a" * 100: LONG}}
    body = MessagesRequest("v", 9, [InputMessage("user", [TextBlock("hi")])], tools=[Tool("f", schema)])
    request = ClaudeRequest(body, fields=FieldNames(tools={"f": "tools.0"}))
    with pytest.raises(InvalidRequest, match="combine too much") as caught:
        prepare(request, ReplyPlan("m"), SONNET, Options(caching=False))
    assert caught.value.param == "tools.0.input_schema"


def test_a_request_without_such_keys_is_shared() -> None:
    body = MessagesRequest("v", 9, [InputMessage("user", [TextBlock("hi")])], tools=[Tool("g", {"type": "object"})])
    made = prepare(ClaudeRequest(body), ReplyPlan("m"), SONNET, Options(caching=False))
    assert made.body.tools is body.tools
    assert made.plan.property_names == {}
