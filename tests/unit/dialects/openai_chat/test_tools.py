"""Tools: one bad definition makes Vertex AI refuse every request, a renamed one must find its way back (E35 to E39)."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from modelmux.catalog import builtin
from modelmux.claude.tools import MAX_READ, MAX_STRICT
from modelmux.emulator.validation.json_schema import SchemaComplexity, check_supported
from modelmux.errors import InvalidRequest
from support.translation import OPUS, notices, sent, translate

NO_STRICT = builtin().card("claude-opus-4-1")
NO_SEARCH = builtin().card("claude-3-5-haiku")
EMPTY = {"type": "object", "properties": {}}


def function(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def tool(definition: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The one tool that is sent for one definition."""
    (made,) = sent({"tools": [definition], **fields})["tools"]
    return made  # type: ignore[no-any-return]


SCHEMAS: list[tuple[str, Any, dict[str, Any], bool]] = [
    # what, parameters, input_schema, whether the client is told of a change
    ("none", None, EMPTY, False),
    ("an empty one", {}, EMPTY, False),
    ("no type", {"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}, False),
    ("another type", {"type": "string", "x": 1}, {"type": "object", "x": 1}, True),
    ("a type list", {"type": ["object", "null"]}, {"type": "object"}, False),
    ("definitions", {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "additionalProperties": False,
                     "$defs": {"A": {"anyOf": [{"type": "null"}]}}, "definitions": {}},
     {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "additionalProperties": False,
      "$defs": {"A": {"anyOf": [{"type": "null"}]}}, "definitions": {}}, False),
    ("anyOf at the root", {"type": "object", "anyOf": [
        {"properties": {"a": {"type": "string"}, "c": {}}, "required": ["a", "c"]},
        {"properties": {"b": {}}, "required": ["c", "b"]}]},
     {"type": "object", "properties": {"a": {"type": "string"}, "c": {}, "b": {}}, "required": ["c"]}, True),
    ("oneOf beside own properties", {"oneOf": [{"properties": {"a": {"x": 1}}, "required": ["a"]}],
                                     "properties": {"a": {"x": 2}, "z": {}}, "required": ["z"], "title": "T"},
     {"type": "object", "properties": {"a": {"allOf": [{"x": 1}, {"x": 2}]}, "z": {}}, "required": ["z", "a"],
      "title": "T"}, True),
    ("allOf keeps all that is required", {"type": "object", "allOf": [
        {"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]},
     {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b", "a"]}, True),
    ("variants without anything", {"type": "object", "anyOf": []},
     {"type": "object", "properties": {}, "required": []}, True),
    ("nonsense", {"type": "object", "anyOf": 5, "oneOf": [1, {"properties": [], "required": 5}], "allOf": {"a": 1},
                  "required": "all", "properties": None},
     {"type": "object", "required": [], "properties": {}}, True),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "schema", "changed"), [s[1:] for s in SCHEMAS], ids=[s[0] for s in SCHEMAS])
def test_a_schema_has_an_object_at_its_root_and_is_otherwise_the_clients(
    parameters: Any, schema: dict[str, Any], changed: bool
) -> None:
    made = tool(function(parameters=parameters))
    assert made == {"name": "f", "input_schema": schema}
    assert json.dumps(made["input_schema"]) == json.dumps(schema), "keys keep their order"
    said = notices({"tools": [function(parameters=parameters)]})
    assert said == ([("changed", "tools.0.function.parameters")] if changed else [])


def test_the_clients_order_is_kept_and_blank_descriptions_are_left_out() -> None:
    tools = [function("z", description="Z."), function("a", description=""), function("m", description=None)]
    assert [(t["name"], t.get("description")) for t in sent({"tools": tools})["tools"]] == [
        ("z", "Z."), ("a", None), ("m", None),
    ]  # fmt: skip


def test_a_name_vertex_refuses_finds_its_way_back() -> None:
    names = ["ns/tool.x", "x" * 200, "ok"]
    translated = translate({"tools": [function(name) for name in names]})
    cleaned = [t.name for t in translated.body.tools or ()]
    assert [translated.plan.tool_names.get(name, name) for name in cleaned] == names
    assert set(translated.plan.tool_names) == set(cleaned[:2])


def test_no_tools_send_no_tools() -> None:
    for tools in (None, []):
        assert "tools" not in sent({"tools": tools})


def test_a_custom_tool_is_a_function_of_one_string() -> None:
    for given in ({}, {"format": None}, {"format": {"type": "text"}}):
        translated = translate({"tools": [{"type": "custom", "custom": {"name": "my.sh", **given}}]})
        (made,) = translated.body.tools or ()
        assert made.input_schema["required"] == ["input"]
        assert made.input_schema["properties"]["input"]["type"] == "string"
        assert translated.plan.custom_tools == {made.name}
        assert translated.plan.tool_names == {made.name: "my.sh"}


def test_legacy_functions_are_tools() -> None:
    body = sent({"functions": [{"name": "g", "description": "G.", "parameters": {"properties": {}}}]})
    assert body["tools"] == [{"name": "g", "input_schema": {"type": "object", "properties": {}}, "description": "G."}]
    assert translate({"functions": [{"name": "g"}]}).plan.legacy_function
    assert not translate({"functions": [{"name": "g"}], "tools": [function()]}).plan.legacy_function
    assert not translate({"functions": []}).plan.legacy_function


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [{"type": "SECRET"}]}, "tools.0.type", "not support tools of this type"),
    ({"tools": [function("a"), {"type": "SECRET.x", "cache_control": {"ttl": "SECRET"}}]}, "tools.1.type",
     "not support tools"),
    ({"tools": [{}]}, "tools.0.function", "Missing"),
    ({"tools": [{"type": "function", "custom": {"name": "a"}}]}, "tools.0.function", "Missing"),
    ({"tools": [{"type": "custom", "function": {"name": "a"}}]}, "tools.0.custom", "Missing"),
    ({"tools": [{"type": "custom", "custom": {"name": "a", "format": {"type": "grammar"}}}]}, "tools.0.custom.format",
     "not support grammars"),
    ({"tools": [function("a"), function("b"), function("a")]}, "tools.2.function.name", "tools.0.function"),
    ({"tools": [function("a"), {"type": "custom", "custom": {"name": "a"}}]}, "tools.1.custom.name", "unique"),
    ({"tools": [function("a")], "functions": [{"name": "a"}]}, "functions.0.name", "unique"),
    ({"tools": [function("a") | {"cache_control": {"type": "ephemeral", "ttl": "SECRET"}}]},
     "tools.0.cache_control.ttl", "Invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param", "says"), WRONG)
def test_what_cannot_be_a_tool_is_refused_by_place(fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        sent(fields)
    assert caught.value.param == param
    assert "SECRET" not in caught.value.public_message


STRICT = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}, "required": ["a"]}


def test_a_strict_tool_is_in_the_subset_and_says_what_no_longer_binds() -> None:
    made = tool(function(strict=True, parameters=STRICT))
    assert made == {
        "name": "f",
        "input_schema": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "{minLength: 1}"}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "strict": True,
    }
    fields = {"tools": [function(strict=True, parameters=STRICT)]}
    assert notices(fields) == [("changed", "tools.0.function.parameters")]
    assert notices({"tools": [function(strict=True)]}) == []
    assert tool(function(strict=False, parameters=STRICT)) == {"name": "f", "input_schema": STRICT}


def test_a_strict_tool_with_variants_at_the_root_is_still_one_object() -> None:
    parameters = {"anyOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}]}
    made = tool(function(strict=True, parameters=parameters))
    assert made["strict"] is True
    assert made["input_schema"] == {
        "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False,
    }  # fmt: skip


def test_a_strict_tool_whose_root_is_a_reference_is_an_object() -> None:
    parameters = {"$ref": "#/$defs/A", "$defs": {"A": STRICT}}
    translated = translate({"tools": [function(strict=True, parameters=parameters)]}, OPUS)
    check_supported((translated.body.tools or [])[0].input_schema, "tools.0", SchemaComplexity())  # type: ignore[union-attr]
    made = tool(function(strict=True, parameters=parameters))
    assert made["strict"] is True
    assert made["input_schema"] == {
        "type": "object", "properties": {"a": {"type": "string", "description": "{minLength: 1}"}}, "required": ["a"],
        "additionalProperties": False,
    }  # fmt: skip
    joined, demoted = translated.notices
    assert joined.field == demoted.field == "tools.0.function.parameters"
    assert "variants were joined" in joined.reason
    assert "moved into descriptions: minLength" in demoted.reason


UNSTRICT: list[tuple[str, dict[str, Any], Any]] = [
    ("no strict tools on this model", {"strict": True, "parameters": STRICT}, NO_STRICT),
    ("any object", {"strict": True, "parameters": {"type": "object"}}, OPUS),
    ("a schema that does not fit", {"strict": True, "parameters": {"type": "object", "properties": {"a": True}}}, OPUS),
]


@pytest.mark.parametrize(("fields", "card"), [u[1:] for u in UNSTRICT], ids=[u[0] for u in UNSTRICT])
def test_what_cannot_be_strict_is_sent_as_it_is_with_a_notice(fields: dict[str, Any], card: Any) -> None:
    (made,) = sent({"tools": [function(**fields)]}, card)["tools"]
    assert made == {"name": "f", "input_schema": fields["parameters"]}
    assert notices({"tools": [function(**fields)]}, card) == [("ignored", "tools.0.function.strict")]


def many(count: int, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"tools": [function(f"f{i}", strict=True, parameters=schema) for i in range(count)]}


def test_the_schema_of_the_answer_counts_against_the_budget_first() -> None:
    """Vertex AI counts optional properties and unions over the whole request (24 and 16)."""

    def answer(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        schema = {"type": "object", "properties": properties, "required": required}
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}

    for count, flags in ((16, [True, None]), (17, [None, None])):
        fields = many(2, {str(i): {"type": "string"} for i in range(8)}, [])
        form = answer({str(i): {"type": "string"} for i in range(count)}, [])
        assert [t.get("strict") for t in sent({**fields, **form}, OPUS)["tools"]] == flags
    unions = {str(i): {"type": ["string", "null"]} for i in range(16)}
    fields = {**many(1, UNION, ["u"]), **answer(unions, list(unions))}
    assert "strict" not in sent(fields, OPUS)["tools"][0]
    assert notices(fields, OPUS) == [("ignored", "tools.0.function.strict")]


UNION = {"u": {"type": ["string", "null"]}}
BUDGETS: list[tuple[str, dict[str, Any], int]] = [
    ("tools", many(22, {}, []), MAX_STRICT),
    ("optional properties", many(5, {str(i): {"type": "string"} for i in range(8)}, []), 3),
    ("unions", many(18, UNION, ["u"]), 16),
]
RECURSIVE = {"properties": {"x": {"$ref": "#"}}}


@pytest.mark.parametrize(("fields", "strict"), [b[1:] for b in BUDGETS], ids=[b[0] for b in BUDGETS])
def test_the_first_tools_get_the_budget(fields: dict[str, Any], strict: int) -> None:
    flags = [t.get("strict", False) for t in sent(fields)["tools"]]
    assert flags == [True] * strict + [False] * (len(flags) - strict)
    assert [n for n in notices(fields) if n[0] == "ignored"] == [
        ("ignored", f"tools.{i}.function.strict") for i in range(strict, len(flags))
    ]


def test_only_so_many_schemas_are_read_for_it() -> None:
    """Schemas that cannot be strict cost as much as those that can, and take nothing from the budget."""
    first = function("first", strict=True, parameters={"type": "object", "properties": {}})
    others = [function(f"f{i}", strict=True, parameters={"type": "object", **RECURSIVE}) for i in range(MAX_READ)]
    tools = {"tools": [*others[:-1], first, others[-1]]}
    assert [t.get("strict") for t in sent(tools)["tools"]] == [None] * (MAX_READ - 1) + [True, None]
    late = {"tools": [*others, first]}
    assert [t.get("strict") for t in sent(late)["tools"]] == [None] * (MAX_READ + 1)
    assert ("ignored", f"tools.{MAX_READ}.function.strict") in notices(late)


CALL = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "old"}}]}
HISTORY = [{"role": "user", "content": "hi"}, CALL, {"role": "tool", "tool_call_id": "c", "content": "r"}]


def test_a_history_with_tools_has_some_defined_always_the_same() -> None:
    body = sent({"messages": HISTORY})
    assert body["tools"] == [{"name": "unavailable", "input_schema": EMPTY, "description": "Not available."}]
    assert body["tool_choice"] == {"type": "none"}
    assert notices({"messages": HISTORY}) == [("added", "tools")]
    more = [*HISTORY, {**CALL, "tool_calls": [{"id": "d", "type": "function", "function": {"name": "other"}}]}]
    assert sent({"messages": more})["tools"] == body["tools"]
    assert [t["name"] for t in sent({"messages": HISTORY, "tools": [function("new")]})["tools"]] == ["new"]
    assert "tools" not in sent({})


SEARCHES: list[tuple[Any, dict[str, Any], str | Literal[False]]] = [
    ({}, {}, False),
    ({"search_context_size": "medium"}, {}, False),
    ({"search_context_size": "high"}, {}, "search_context_size"),
    ({"user_location": None}, {}, False),
    ({"user_location": {"type": "approximate"}}, {}, False),
    ({"user_location": "here"}, {}, "user_location"),
    ({"user_location": {"type": "approximate", "approximate": "here"}}, {}, "user_location"),
    ({"filters": {}}, {}, False),
    ({"filters": {"allowed_domains": ["a.com"], "new": 1}}, {"allowed_domains": ["a.com"]}, "filters.new"),
    ({"new": 0}, {}, "new"),
    ({"new": None}, {}, None),
    ({"max_uses": 3, "blocked_domains": ["a.com"], "external_web_access": True},
     {"max_uses": 3, "blocked_domains": ["a.com"]}, False),
    ({"allowed_domains": [], "filters": None, "external_web_access": False}, {}, "external_web_access"),
    ({"cache_control": {"ttl": "1h"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}, False),
    ({"user_location": {"approximate": {"city": "Bern"}}},
     {"user_location": {"type": "approximate", "city": "Bern"}}, False),
    ({"user_location": {"type": "approximate", "approximate": {
        "city": "Bern", "country": "CH", "region": "", "timezone": None, "planet": "Earth"}}},
     {"user_location": {"type": "approximate", "city": "Bern", "country": "CH"}}, "user_location.approximate.planet"),
    ({"user_location": {"approximate": {"city": {"a": 1}, "region": 5}}}, {"user_location": {"type": "approximate"}},
     "user_location"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "expected", "said"), SEARCHES)
def test_web_search_is_the_server_tool(options: Any, expected: dict[str, Any], said: str | Literal[False]) -> None:
    body = sent({"web_search_options": options})
    assert body["tools"] == [{"type": "web_search_20250305", "name": "web_search", **expected}]
    assert "tool_choice" not in body
    told = [("ignored", f"web_search_options.{said}")] if said else []
    assert notices({"web_search_options": options}) == told
    assert translate({"web_search_options": options}).plan.max_continuations == 5
    assert translate({}).plan.max_continuations == 0


def test_web_search_stands_beside_other_tools() -> None:
    fields = {"web_search_options": {}, "tools": [function("f")]}
    assert [t["name"] for t in sent(fields)["tools"]] == ["f", "web_search"]
    assert sent({**fields, "tool_choice": "required"})["tool_choice"] == {"type": "any"}
    # Where the others may not be called they must not be there: a choice of "none" would rule out the search, too.
    for forbidden in ({"messages": HISTORY}, {"tools": [function("f")], "tool_choice": "none"}):
        body = sent({"web_search_options": {}, **forbidden})
        assert [t["name"] for t in body["tools"]] == ["web_search"]
        assert "tool_choice" not in body


def test_web_search_is_refused_where_it_cannot_be() -> None:
    for fields, card, hint in (
        ({}, NO_SEARCH, "Leave it out or choose another model."),
        ({"tools": [function("web_search")]}, OPUS, "Rename the tool, or leave out 'web_search_options'."),
    ):
        with pytest.raises(InvalidRequest) as caught:
            sent({"web_search_options": {}, **fields}, card)
        assert (caught.value.param, caught.value.hint) == ("web_search_options", hint)


def test_a_custom_tool_keeps_its_description_and_its_name_is_noted_by_its_path() -> None:
    custom = {"type": "custom", "custom": {"name": "a.b", "description": "Writes."}}
    assert tool(custom)["description"] == "Writes."
    assert notices({"tools": [custom]}) == [("changed", "tools.0.custom.name")]


def test_every_part_of_a_place_is_sent() -> None:
    place = {"city": "Wien", "region": "W", "country": "AT", "timezone": "Europe/Vienna"}
    options = {"user_location": {"type": "approximate", "approximate": place}, "x" * 90: 1}
    (search,) = sent({"web_search_options": options})["tools"]
    assert search["user_location"] == {"type": "approximate", **place}
    assert notices({"web_search_options": options}) == [("ignored", "web_search_options." + "x" * 80)]


@pytest.mark.parametrize("field", ["tools", "functions"])
def test_tools_are_limited_in_number(field: str) -> None:
    def request(count: int) -> dict[str, Any]:
        names = [f"f{number}" for number in range(count)]
        return {field: [function(name) if field == "tools" else {"name": name} for name in names]}

    assert len(sent(request(10_000))["tools"]) == 10_000
    with pytest.raises(InvalidRequest, match="more than 10,000 tools") as caught:
        translate(request(10_001))
    assert caught.value.param == field
