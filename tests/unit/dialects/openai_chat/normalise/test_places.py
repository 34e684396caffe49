"""Risk: an error or a notice that names a place which the client did not write, or that quotes what may be a secret."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.notices import reject_notices
from modelmux.dialects.openai_chat.sdk_members import SDK_MEMBERS
from modelmux.dialects.openai_shared.foreign.rewrite import as_json, is_type_name
from modelmux.errors import InvalidRequest
from modelmux.wire.json_types import json_type
from support.foreign import prepared, told, upstream, user

Json = dict[str, Any]
USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
ANSWER = {"type": "tool_result", "tool_use_id": "c", "content": "r"}
TEXT = {"type": "text", "text": "hi"}
BAD = {"type": "base64", "media_type": "image/png", "data": "SECRET!"}
BAD_TTL = {"type": "ephemeral", "ttl": "SECRET"}


def use(*content: Any, **fields: Any) -> list[Json]:
    """A history in Claude's blocks, then the user's content."""
    return [user("a"), {"role": "assistant", "content": [TEXT, {**USE, **fields}]}, user(*content)]


ERRORS: list[tuple[Json, str]] = [
    ({"messages": [user(TEXT, {"type": "image", "source": BAD})]}, "messages.0.content.1.source.data"),
    ({"messages": [user({"type": "image", "data": "SECRET!"})]}, "messages.0.content.0.data"),
    ({"messages": [user({"type": "image", "image": "SECRET!"})]}, "messages.0.content.0.image"),
    ({"messages": [user({"type": "image", "source": {"url": "ftp://SECRET"}})]}, "messages.0.content.0.source.url"),
    ({"messages": [user({"type": "document", "source": BAD})]}, "messages.0.content.0.source.data"),
    ({"messages": [user({"type": "document", "source": {**BAD, "data": ""}})]}, "messages.0.content.0.source.data"),
    ({"messages": [user({"type": "image", "source": {"type": "file", "file_id": "SECRET"}})]},
     "messages.0.content.0.source.file_id"),
    ({"messages": [user({"type": "input_image", "image_url": "ftp://SECRET"})]}, "messages.0.content.0.image_url"),
    ({"messages": [user({"type": "input_file", "file_data": "SECRET!"})]}, "messages.0.content.0.file_data"),
    ({"messages": [user({"type": "input_file", "file_url": "ftp://SECRET"})]}, "messages.0.content.0.file_url"),
    ({"messages": [user({"type": "input_file", "file_id": "SECRET"})]}, "messages.0.content.0.file_id"),
    ({"messages": [user({"type": "resource", "resource": {"blob": "SECRET!"}})]}, "messages.0.content.0.resource.blob"),
    ({"messages": [user({"type": "audio", "data": "SECRET"})]}, "messages.0.content.0.type"),
    ({"messages": use(ANSWER, {"type": "image", "source": BAD})}, "messages.2.content.1.source.data"),
    ({"messages": use({**ANSWER, "content": [TEXT, {"type": "image", "source": BAD}]}, TEXT)},
     "messages.2.content.0.content.1.source.data"),
    ({"messages": use({**ANSWER, "content": {"content": [{"type": "image", "data": "SECRET!"}]}}, TEXT)},
     "messages.2.content.0.content.content.0.data"),
    ({"messages": use({**ANSWER, "cache_control": BAD_TTL})}, "messages.2.content.0.cache_control.ttl"),
    ({"messages": use(ANSWER, {**TEXT, "cache_control": BAD_TTL})}, "messages.2.content.1.cache_control.ttl"),
    ({"messages": use(ANSWER, cache_control=BAD_TTL)}, "messages.1.content.1.cache_control.ttl"),
    ({"messages": use(ANSWER, name=5)}, "messages.1.content.1.name"),
    ({"messages": use(ANSWER, name=None)}, "messages.1.content.1.name"),
    ({"messages": [user("a"), {"role": "assistant", "tool_calls": [{"toolCallId": "c", "toolName": 5, "args": {}}]}]},
     "messages.1.tool_calls.0.toolName"),
    ({"messages": [*use(ANSWER), {"role": "user", "content": [5]}]}, "messages.3.content.0"),
    ({"messages": [*use(ANSWER), {"content": "SECRET"}]}, "messages.3.role"),
    ({"messages": [*use(ANSWER, TEXT), {"role": "assistant", "tool_calls": [{"type": "function"}]}]},
     "messages.3.tool_calls.0.name"),
    ({"messages": [user(TEXT), {"role": "tool", "content": "r"}]}, "messages.1.tool_call_id"),
    ({"messages": [*use(TEXT), {"role": "assistant", "function_call": "SECRET"}]}, "messages.3.function_call"),
    ({"input": [{"type": "function_call", "name": 5, "call_id": "c"}]}, "input.0.name"),
    ({"input": [user("a"), {"type": "item_reference", "id": "SECRET"}]}, "input.1.type"),
    ({"input": [user({"type": "input_text", "text": 5})]}, "input.0.content.0.text"),
    ({"input": 5}, "input"),
    ({"messages": [user({"type": "text"})]}, "messages.0.content.0.text"),
    ({"messages": None}, "messages"),
    ({"system": [{"type": "image", "source": BAD}]}, "system.0.type"),
    ({"system": [TEXT, {"type": "text", "text": 5}]}, "system.1.text"),
    ({"system": 5}, "system"),
    ({"tools": [{"name": 5, "input_schema": {}}]}, "tools.0.name"),
    ({"tools": [{"name": "f", "input_schema": {}, "cache_control": BAD_TTL}]}, "tools.0.cache_control.ttl"),
    ({"tools": [{"name": "f", "input_schema": "SECRET"}]}, "tools.0.input_schema"),
    ({"tools": [{"type": "web_search"}, {"name": "f", "input_schema": "SECRET"}]}, "tools.1.input_schema"),
    ({"tools": [{"type": "web_search"}, {"name": "f", "input_schema": {}}, {"name": "f", "input_schema": {}}]},
     "tools.2.name"),
    ({"tools": [{"type": "custom", "name": "f", "format": {"type": "grammar"}}]}, "tools.0.format"),
    ({"tools": [{"name": "f"}, {"type": "web_search", "max_uses": "SECRET"}]}, "tools.1.max_uses"),
    ({"tools": [{"type": "web_search", "filters": {"allowed_domains": "SECRET"}}]}, "tools.0.filters.allowed_domains"),
    ({"tools": [{"type": "web_search"}, {"name": "web_search", "input_schema": {}}]}, "tools.0"),
    ({"functions": [5], "zz": 1}, "functions.0"),
    ({"tools": [{"cache_control": None, "zz": 1}]}, "tools.0.function"),
    ({"tools": [{"name": "f"}], "tool_choice": {"type": "hologram"}}, "tool_choice.type"),
    ({"tools": [{"name": "f"}], "tool_choice": {"type": "tool"}}, "tool_choice.type"),
    ({"tools": [{"name": "f"}], "tool_choice": {"name": 5}}, "tool_choice.name"),
    ({"tools": [{"name": "f"}], "tool_choice": {"type": "tool", "name": "SECRET"}}, "tool_choice"),
    ({"tools": [{"name": "f"}], "tool_choice": 5}, "tool_choice"),
    ({"tools": [{"name": "f"}], "tool_choice": {"type": "allowed_tools", "mode": "SECRET", "tools": []}},
     "tool_choice.mode"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": "SECRET"}, "max_output_tokens"),
    ({"stop_sequences": 5}, "stop_sequences"),
    ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
    ({"output_config": {"format": 5}}, "output_config.format"),
    ({"output_config": "SECRET"}, "output_config"),
    ({"output_config": {"effort": "SECRET"}, "thinking": {"type": "adaptive"}}, "output_config.effort"),
    ({"thinking": {"type": "adaptive", "effort": "SECRET"}}, "thinking.effort"),
    ({"thinking": {"type": "enabled", "budgetTokens": "SECRET"}}, "thinking.budgetTokens"),
    ({"thinking": "SECRET"}, "thinking"),
    ({"response_format": {"type": "json_schema", "schema": {}, "name": 5}}, "response_format.name"),
    ({"response_format": 5}, "response_format"),
    ({"text": "SECRET", "stream": 5}, "stream"),
    ({"mcp_servers": [{"url": "SECRET"}]}, "mcp_servers"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), ERRORS)
def test_an_error_names_the_clients_place_and_quotes_nothing(fields: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepared(fields)
    error = caught.value
    assert error.param == param
    assert "SECRET" not in error.public_message


@pytest.mark.parametrize("kind", ["hologram", "video_url", "computer_20250124", "code_execution_20250825", "x-y"])
def test_an_error_names_the_type_that_was_met_and_those_taken(kind: str) -> None:
    cases: list[tuple[Json, str]] = [
        ({"messages": [user({"type": kind})]}, "image_url.*tool_result"),
        ({"messages": [{"role": kind, "content": "a"}]}, "user.*tool"),
        ({"tools": [{"type": kind}]}, "function"),
        ({"tools": [{"name": "f"}], "tool_choice": {"type": kind}}, "function.*auto"),
    ]
    for fields, taken in cases:
        with pytest.raises(InvalidRequest) as caught:
            prepared(fields)
        assert re.search(f"'{kind}'.*{taken}", caught.value.public_message)


@pytest.mark.parametrize("value", ["sk-ant-api03-x", "AKIA0000", "a" * 200, "two words", "ein's", "", "A_B", "a_b_1"])
def test_what_may_be_a_secret_is_not_the_name_of_a_type(value: str) -> None:
    assert not is_type_name(value)
    assert not is_type_name(5)


UNKNOWN: list[tuple[Json, list[str]]] = [
    ({"zz": 1, "messages": [{**user("a"), "zz": 1}]}, ["zz", "messages.0.zz"]),
    ({"messages": [user({**TEXT, "zz": 1})]}, ["messages.0.content.0.zz"]),
    ({"messages": [user({"type": "input_text", "text": "hi", "zz": 1})]}, ["messages.0.content.0.zz"]),
    ({"messages": [user({"type": "document", "source": {"type": "text", "data": "a", "zz": 1}, "context": "b"})]},
     ["messages.0.content.0.source.zz", "messages.0.content.0.context"]),
    ({"messages": [user({"type": "file", "file": {"file_data": "data:;base64,YQ==", "zz": 1}})]},
     ["messages.0.content.0.file.zz"]),
    ({"messages": use({**ANSWER, "zz": 1}, {**TEXT, "zz": 1}, zz=1)},
     ["messages.1.content.1.zz", "messages.2.content.0.zz", "messages.2.content.1.zz"]),
    ({"input": [{**user("a"), "zz": 1}]}, ["input.0.zz"]),
    ({"messages": [user("a"), {"role": "assistant", "content": "b", "images": [1]}, user("c")]}, ["messages.1.images"]),
    ({"tools": [{"type": "web_search", "zz": 1}, {"name": "f", "input_schema": {}, "zz": 1}]},
     ["tools.1.zz", "tools.0.zz"]),
    ({"tools": [{"type": "function", "zz": 1, "function": {"name": "f", "zz": 1}}]},
     ["tools.0.zz", "tools.0.function.zz"]),
    ({"stream_options": {"zz": 1}}, ["stream_options.zz"]),
    ({"thinking": {"type": "adaptive", "zz": 1}}, ["thinking.zz"]),
    ({"reasoning": {"enabled": True, "zz": 1}}, ["reasoning.zz"]),
    ({"reasoning_effort": {"effort": "low", "zz": 1}}, ["reasoning_effort.zz"]),
    ({"output_config": {"effort": "low", "task_budget": {}}}, ["output_config.task_budget"]),
    ({"response_format": {"type": "text", "zz": 1}}, ["response_format.zz"]),
    ({"response_format": {"type": "json_object", "zz": 1}}, ["response_format.zz"]),
    ({"response_format": {"type": "json_schema", "zz": 1, "schema": {"type": "object", "properties": {}}}},
     ["response_format.zz"]),
    ({"response_format": {"type": "json_schema", "json_schema": {
        "zz": 1, "schema": {"type": "object", "properties": {}, "additionalProperties": False}}}},
     ["response_format.json_schema.zz"]),
    ({"web_search_options": {"zz": 1, "filters": {"zz": 1}}},
     ["web_search_options.zz", "web_search_options.filters.zz"]),
    ({"prompt_cache_options": {"zz": 1}}, ["prompt_cache_options.zz"]),
    ({"cache_control": {"type": "ephemeral", "scope": "x"}}, ["cache_control.scope"]),
    ({"text": {"zz": 1}}, ["text.zz"]),
    ({"tools": [{"name": "f"}], "tool_choice": {"type": "tool", "name": "f", "zz": 1}}, ["tool_choice.zz"]),
    ({"tools": [{"name": "f"}], "tool_choice": {"type": "any", "zz": 1}}, ["tool_choice.zz"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), UNKNOWN)
def test_an_unknown_field_is_told_by_the_clients_place_and_refused_in_strict_mode(
    fields: Json, expected: list[str]
) -> None:
    ignored = [notice.removeprefix("ignored=") for notice in told(fields) if notice.startswith("ignored=")]
    assert sorted(ignored) == sorted(expected)
    with pytest.raises(InvalidRequest, match="Strict mode") as caught:
        reject_notices(prepared(fields).notices)
    assert caught.value.code == "strict_mode"


@pytest.mark.parametrize("path", SDK_MEMBERS)
def test_what_an_sdk_adds_is_not_reported(path: str) -> None:
    call: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message: Json = {"role": "assistant", "content": [dict(TEXT)], "tool_calls": [call]}
    plain = [user("a"), message, {"role": "tool", "tool_call_id": "c", "content": "r"}, user("b")]
    before, notices = upstream({"messages": plain}), told({"messages": plain})
    holder: Any = {"messages": [message]}
    *parents, name = path.split(".")
    for parent in parents:
        holder = holder[0] if parent == "*" else holder[parent]
    holder[name] = {"zz": 1}
    assert (upstream({"messages": plain}), told({"messages": plain})) == (before, notices)


KEYS = st.text(st.characters(codec="ascii", min_codepoint=97, max_codepoint=122), min_size=6, max_size=12)


@given(KEYS.map(lambda key: f"zz{key}"), st.data())
def test_an_unknown_key_of_any_object_is_reported(key: str, data: st.DataObject) -> None:
    body = json.loads(json.dumps(FOREIGN_BODY))
    places = [path for path, _ in _objects(body)]
    place = data.draw(st.sampled_from(places))
    dict(_objects(body))[place][key] = 1
    assert f"ignored={place}{key}" in told(body)


FOREIGN_BODY: Json = {
    "system": [dict(TEXT)],
    "messages": [
        *use(
            ANSWER, {"type": "input_text", "text": "hi"}, {"type": "document", "source": {"type": "text", "data": "a"}}
        ),
        {
            "role": "assistant",
            "content": "a",
            "tool_calls": [{"id": "d", "type": "function", "function": {"name": "f"}}],
        },
        {"role": "tool", "tool_call_id": "d", "content": {"content": [{"type": "text", "text": "r"}]}},
        user({"type": "image_url", "image_url": {"url": "data:;base64,R0lGODlh"}}),
    ],
    "tools": [
        {"name": "f", "input_schema": {"type": "object"}},
        {"type": "web_search", "filters": {"allowed_domains": ["a.com"]}},
    ],
    "tool_choice": {"type": "tool", "name": "f"},
    "output_config": {"effort": "low"},
    "stream_options": {"include_usage": True},
}


def _objects(value: Any, path: str = "") -> Any:
    """Every object but schemas and the input of tools, with its path."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _objects(item, f"{path}{index}.")
    elif isinstance(value, dict):
        yield path, value
        for name, member in value.items():
            if name not in ("input", "input_schema"):
                yield from _objects(member, f"{path}{name}.")


def test_the_names_of_json_types() -> None:
    values: tuple[Any, ...] = (None, True, 1, 1.5, "a", [], {})
    names = ["null", "a boolean", "a number", "a number", "a string", "an array", "an object"]
    assert [json_type(value) for value in values] == names


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        as_json(deep)
    while deep:  # taken apart by hand: its destructor would recurse
        deep = deep[0]


ILLEGAL: Json = {"type": "object", "properties": {"a b": {"type": "any"}}}
SCHEMAS: list[tuple[Json, str]] = [
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": ILLEGAL}}]},
     "tools.0.function.parameters"),
    ({"tools": [{"type": "function", "name": "f", "parameters": ILLEGAL}]}, "tools.0.parameters"),
    ({"tools": [{"name": "f", "input_schema": ILLEGAL}]}, "tools.0.input_schema"),
    ({"tools": [{"type": "custom", "name": "f", "input_schema": ILLEGAL}]}, "tools.0.input_schema"),
    ({"tools": [{"name": "f", "inputSchema": ILLEGAL}]}, "tools.0.inputSchema"),
    ({"tools": [{"type": "function", "function": {"name": "f", "inputSchema": ILLEGAL}}]},
     "tools.0.function.inputSchema"),
    ({"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": ILLEGAL}]}]},
     "tools.0.functionDeclarations.0.parametersJsonSchema"),
    ({"tools": [{"type": "web_search"}, {"name": "f", "input_schema": ILLEGAL}]}, "tools.1.input_schema"),
    ({"functions": [{"name": "f", "input_schema": ILLEGAL}]}, "functions.0.input_schema"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "path"), SCHEMAS)
def test_what_is_changed_about_a_schema_has_the_clients_name_of_it(fields: Json, path: str) -> None:
    """The rules that prepare a request for a model name it as the decoder does; so do errors of the upstream."""
    notices = [notice.field for notice in prepared(fields).notices]
    assert set(notices) == {path}
    assert len(notices) == 2
