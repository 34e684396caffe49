"""Risk: a shape of another dialect that can mean only one thing is refused, or becomes something else than the shape
that Responses has for it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modelmux.dialects.base import DialectOptions
from modelmux.dialects.openai_responses.foreign import ForeignReader
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.errors import InvalidRequest
from support.responses_requests import (
    PNG,
    SEALER,
    assistant,
    call,
    decoded,
    function,
    notices,
    output,
    plan_of,
    prepared,
    request_of,
    turns,
    user,
)
from support.translation import SONNET

Json = dict[str, Any]
PDF = "JVBERi0xLjQK"
IMAGE_URL = f"data:image/png;base64,{PNG}"
PDF_URL = f"data:application/pdf;base64,{PDF}"
IMAGE: Json = {"type": "input_image", "image_url": IMAGE_URL}
FILE: Json = {"type": "input_file", "file_data": PDF_URL}
TEXT: Json = {"type": "input_text", "text": "x"}

PARTS: list[tuple[Any, Json]] = [
    ("x", TEXT),
    ({"text": "x"}, TEXT),
    ({"type": "image_url", "image_url": IMAGE_URL}, IMAGE),
    ({"type": "image_url", "image_url": {"url": IMAGE_URL, "detail": "low"}}, IMAGE),
    ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}, IMAGE),
    ({"type": "image", "source": {"type": "url", "url": "https://a.example/a.png"}},
     {"type": "input_image", "image_url": "https://a.example/a.png"}),
    ({"type": "image", "data": PNG, "mimeType": "image/png"}, IMAGE),
    ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}, FILE),
    ({"type": "document", "title": "a.pdf", "source": {"type": "base64", "data": PDF}}, {**FILE, "filename": "a.pdf"}),
    ({"type": "file", "file": {"file_data": PDF_URL, "filename": "a.pdf"}}, {**FILE, "filename": "a.pdf"}),
    ({"type": "resource", "resource": {"uri": "file:///a.txt", "text": "x"}}, TEXT),
    ({"type": "resource", "resource": {"uri": "file:///a.pdf", "blob": PDF, "mimeType": "application/pdf"}},
     {**FILE, "filename": "a.pdf"}),
]  # fmt: skip


def upstream(*items: Any, **fields: Any) -> Any:
    """The turns and the files to download, without the paths, which differ."""
    request = request_of({"input": [*items], **fields})
    files = [(file.url, file.kind) for file in request.remote_files]
    return json.loads(msgspec.json.encode([request.body.messages, request.body.system])), files


@pytest.mark.parametrize(("foreign", "native"), PARTS)
def test_a_part(foreign: Any, native: Json) -> None:
    assert upstream({"role": "user", "content": [foreign]}) == upstream({"role": "user", "content": [native]})
    if isinstance(foreign, dict) and "type" in foreign:
        assert upstream(foreign) == upstream({"role": "user", "content": [native]})
        assert upstream(user("a"), call(), output("c1", [foreign])) == upstream(
            user("a"), call(), output("c1", [native])
        )
        assert notices({"input": [foreign]}) == []


USE: Json = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "c1", "content": "r"}
CHAT_CALL: Json = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
NATIVE: list[Json] = [user("a"), call(arguments='{"a":1}'), output()]
LEGACY: list[Json] = [user("a"), call("function:f", arguments='{"a":1}'), output("function:f")]
CUSTOM: Json = {"id": "c1", "type": "custom", "custom": {"name": "f", "input": "x"}}

MESSAGES: list[tuple[list[Any], list[Json]]] = [
    ([user("a"), {"role": "assistant", "content": [USE]}, {"role": "user", "content": [RESULT]}], NATIVE),
    ([user("a"), {"role": "assistant", "content": [{"type": "text", "text": "b"}, USE]},
      {"role": "user", "content": [RESULT, {"type": "text", "text": "c"}]}],
     [user("a"), assistant("b"), *NATIVE[1:], user("c")]),
    ([user("a"), USE, RESULT], NATIVE),
    ([user("a"), USE, {**RESULT, "content": [{"type": "image", "source": {"type": "base64", "data": PNG}}]}],
     [*NATIVE[:2], output("c1", [IMAGE])]),
    ([user("a"), {"role": "assistant", "content": None, "tool_calls": [CHAT_CALL], "refusal": None, "audio": None},
      {"role": "tool", "tool_call_id": "c1", "content": "r", "name": "f"}], NATIVE),
    ([user("a"), {"role": "assistant", "content": "b", "tool_calls": [CHAT_CALL]},
      {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]}],
     [user("a"), assistant("b"), *NATIVE[1:]]),
    ([user("a"), {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": '{"a":1}'}},
      {"role": "function", "name": "f", "content": "r"}], LEGACY),
    ([user("a"), {"role": "assistant", "tool_calls": [{**CUSTOM, "id": 1}]},
      {"role": "tool", "tool_call_id": 1, "content": "r"}],
     [user("a"), {"type": "custom_tool_call", "call_id": "1", "name": "f", "input": "x"}, output("1")]),
    ([user("a"), {"role": "assistant", "tool_calls": [CUSTOM]}, RESULT],
     [user("a"), {"type": "custom_tool_call", "call_id": "c1", "name": "f", "input": "x"}, output()]),
    ([{"role": "human", "content": "a"}, {"role": "ai", "content": "b"}, user("c")],
     [user("a"), assistant("b"), user("c")]),
    ([user("a"), {"role": "assistant", "content": None, "refusal": "no"}, user("c")],
     [user("a"), assistant("no"), user("c")]),
    ([user("a"), {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"},
                                                  {"type": "text", "text": "b"}]}, user("c")],
     [user("a"), assistant("b"), user("c")]),
    ([*NATIVE[:2], output("c1", {"content": [{"type": "text", "text": "r"}]})], NATIVE),
]  # fmt: skip


@pytest.mark.parametrize(("foreign", "native"), MESSAGES)
def test_messages(foreign: list[Any], native: list[Json]) -> None:
    assert turns(foreign) == turns(native)


def test_a_result_that_is_an_error_stays_one() -> None:
    failed = turns([user("a"), USE, {**RESULT, "is_error": True, "cache_control": {"type": "ephemeral"}}])
    assert failed[-1]["content"][0]["is_error"] is True
    assert failed[-1]["content"][0]["cache_control"] == {"type": "ephemeral"}
    wrapped = {"content": [{"type": "text", "text": "r"}], "isError": True, "structuredContent": {}}
    items = [user("a"), call(), output("c1", wrapped)]
    assert turns(items)[-1]["content"][0]["is_error"] is True
    assert ("ignored", "input.2.output.structuredContent") in notices({"input": items})
    as_text = turns([user("a"), call(), output("c1", {"content": [{"a": 1}]})])
    assert as_text[-1]["content"][0]["content"] == '{"content": [{"a": 1}]}'


SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
PLAIN: Json = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA}
FREE: Json = {"type": "custom", "name": "f", "description": "d"}
TOOLS: list[tuple[Json, Json]] = [
    ({"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}, PLAIN),
    ({"function": {"name": "f", "description": "d", "parameters": SCHEMA}}, PLAIN),
    ({"name": "f", "description": "d", "input_schema": SCHEMA}, PLAIN),
    ({"type": "custom", "name": "f", "description": "d", "input_schema": SCHEMA}, PLAIN),
    ({"name": "f", "description": "d", "inputSchema": SCHEMA}, PLAIN),
    ({"name": "f", "description": "d", "parameters": SCHEMA}, PLAIN),
    ({"type": "custom", "custom": {"name": "f", "description": "d"}}, FREE),
]


@pytest.mark.parametrize(("foreign", "native"), TOOLS)
def test_a_tool(foreign: Json, native: Json) -> None:
    assert request_of({"tools": [foreign]}).body.tools == request_of({"tools": [native]}).body.tools
    assert plan_of({"tools": [foreign]}).echo.tools == plan_of({"tools": [native]}).echo.tools
    assert notices({"tools": [foreign]}) == []


@pytest.mark.parametrize("tool", [{"google_search": {}}, {"googleSearch": None}])
def test_a_search_of_the_web(tool: Json) -> None:
    request = request_of({"tools": [tool]}, DialectOptions(SEALER, web_search=True))
    assert request.web_search is not None


def test_members_of_a_foreign_tool_that_nobody_has() -> None:
    nested = {"type": "custom", "custom": {"name": "g", "zz": 1}}
    told = notices({"tools": [{"name": "f", "input_schema": SCHEMA, "zz": 1}, nested]})
    assert told == [("ignored", "tools.0.zz"), ("ignored", "tools.1.custom.zz")]


FUNCTION: Json = {"type": "function", "name": "f"}
CHOICES: list[tuple[Any, Any]] = [
    ({"type": "tool", "name": "f"}, FUNCTION),
    ({"name": "f"}, FUNCTION),
    ("f", FUNCTION),
    ({"type": "function", "function": {"name": "f"}}, FUNCTION),
    ({"type": "any"}, "required"),
    ({"type": "auto"}, "auto"),
    ({"type": "none"}, "none"),
    ({"type": "allowed_tools", "allowed_tools": {
        "mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}},
     {"type": "allowed_tools", "mode": "auto", "tools": [FUNCTION]}),
]  # fmt: skip


@pytest.mark.parametrize(("foreign", "native"), CHOICES)
def test_a_choice(foreign: Any, native: Any) -> None:
    tools = [function(), function("g")]
    first, second = (request_of({"tools": tools, "tool_choice": choice}).body for choice in (foreign, native))
    assert (first.tools, first.tool_choice) == (second.tools, second.tool_choice)


def test_a_choice_is_repeated_as_one_of_responses() -> None:
    def repeated(choice: Any) -> Any:
        return plan_of({"tools": [function()], "tool_choice": choice}).echo.tool_choice

    assert repeated({"type": "tool", "name": "f"}) == repeated("f") == FUNCTION
    assert repeated({"type": "any"}) == "required"
    allowed = {"mode": "auto", "tools": [FUNCTION]}
    assert repeated({"type": "allowed_tools", "allowed_tools": allowed}) == {"type": "allowed_tools", **allowed}
    assert repeated({"type": "allowed_tools", **allowed}) == {"type": "allowed_tools", **allowed}


def test_anthropics_choice_decides_about_parallel_calls() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    sent = request_of({"tools": [function()], "tool_choice": choice}).body.tool_choice
    assert sent is not None
    assert sent.disable_parallel_tool_use is True


REFUSED: list[tuple[Any, str, str]] = [
    ({"role": "user", "content": [{"type": "video"}]}, "content.0.type", "'video'"),
    ({"role": "user", "content": [{"a": 1}]}, "content.0.type", "Missing"),
    ({"role": "user", "content": [5]}, "content.0", "a number"),
    ({"role": "user", "content": [USE]}, "content.0.type", "assistant message"),
    ({"role": "assistant", "content": [RESULT]}, "content.0.type", "user message"),
    ({"role": "assistant", "content": "a", "tool_calls": [5]}, "tool_calls.0", "a number"),
    ({"role": "assistant", "content": "a", "tool_calls": [{"type": "magic"}]}, "tool_calls.0.type", "'magic'"),
    ({"role": "assistant", "content": "a", "tool_calls": [{"id": "c"}]}, "tool_calls.0.name", "Missing"),
    (
        {
            "role": "assistant",
            "content": "a",
            "tool_calls": [{**CHAT_CALL, "function": {"name": 5, "arguments": "{}"}}],
        },
        "tool_calls.0.function.name",
        "got a number",
    ),
    (
        {"role": "assistant", "content": "a", "tool_calls": [{**CUSTOM, "custom": {"name": ["a"], "input": "b"}}]},
        "tool_calls.0.custom.name",
        "got an array",
    ),
    ({"role": "assistant", "content": "a", "audio": {"id": "a"}}, "audio", "audio"),
    ({"role": "tool", "tool_call_id": [], "content": "a"}, "tool_call_id", "an array"),
    ({"type": "tool_result", "content": "a"}, "tool_use_id", "Missing"),
    ({"type": "image", "source": {"type": "base64", "data": "AAAA"}}, "source.data", "image"),
]


@pytest.mark.parametrize(("item", "field", "words"), REFUSED)
def test_what_cannot_be_read_is_refused_by_what_it_is(item: Json, field: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        decoded({"input": [item]})
    assert caught.value.param == f"input.0.{field}"


def test_members_that_nobody_has() -> None:
    items = [
        {"role": "user", "name": "ann", "content": [{"type": "image", "zz": 1, "_meta": {}, "source": {"data": PNG}}]},
        {"role": "assistant", "tool_calls": [{**CHAT_CALL, "zz": 1, "index": 0}]},
        {**RESULT, "zz": 1, "id": "r"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        user("b"),
    ]
    assert [entry for entry in notices({"input": items}) if entry[1] != "tools"] == [
        ("ignored", "input.0.name"),
        ("ignored", "input.0.content.0.zz"),
        ("ignored", "input.1.tool_calls.0.zz"),
        ("ignored", "input.2.zz"),
        ("dropped", "input.3"),
    ]


@pytest.mark.parametrize("value", ['[{"type":"text"', '[{"type":"image"}]', '[{"type":5,"data":"x"}]', "[1]"])
def test_json_of_a_tool_that_is_no_part_stays_text(value: str) -> None:
    items = [user("a"), call(), output("c1", value)]
    assert turns(items)[-1]["content"][0]["content"] == value


def test_what_sdks_add_to_parts_and_calls_is_not_reported() -> None:
    block = {"type": "image", "source": {"type": "base64", "data": PNG}, "citations": None}
    items = [
        {"role": "assistant", "tool_calls": [{**CHAT_CALL, "index": 0, "provider_specific_fields": {}}]},
        {"role": "tool", "tool_call_id": "c1", "content": [block]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": PDF_URL, "zz": 1}}]},
    ]
    told = [entry for entry in notices({"input": items}) if entry[0] == "ignored"]
    assert told == [("ignored", "input.2.content.0.file.zz")]


def test_a_context_of_reasoning_that_cannot_be_kept_has_a_notice() -> None:
    assert notices({"reasoning": {"context": "all_turns"}}) == []
    assert notices({"reasoning": {"context": "current_turn"}}) == [("ignored", "reasoning.context")]


def test_a_number_that_cannot_be_read_is_no_part() -> None:
    assert ForeignReader(TranslationContext()).is_part(b'{"type": "image", "data": 1e400}') is False


ILLEGAL: Json = {"type": "object", "properties": {"a b": {"type": "any"}}}


@pytest.mark.parametrize(
    ("tool", "path"),
    [
        ({"type": "function", "name": "f", "parameters": ILLEGAL}, "parameters"),
        ({"type": "function", "function": {"name": "f", "parameters": ILLEGAL}}, "function.parameters"),
        ({"type": "function", "name": "f", "function": {"parameters": ILLEGAL}}, "function.parameters"),
        ({"function": {"name": "f", "parameters": ILLEGAL}}, "function.parameters"),
        ({"function": {"name": "f", "inputSchema": ILLEGAL}}, "function.inputSchema"),
        ({"name": "f", "input_schema": ILLEGAL}, "input_schema"),
        ({"type": "custom", "name": "f", "input_schema": ILLEGAL}, "input_schema"),
        ({"type": "function", "name": "f", "inputSchema": ILLEGAL}, "inputSchema"),
    ],
)
def test_what_is_changed_about_a_schema_has_the_clients_name_of_it(tool: Json, path: str) -> None:
    notices = [notice.field for notice in prepared(decoded({"tools": [tool]}), SONNET).notices]
    assert notices == [f"tools.0.{path}"] * 2


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"name": "f", "input_schema": "a"}, "tools.0.input_schema"),
        ({"type": "function", "function": {"name": "f", "inputSchema": "a"}}, "tools.0.function.inputSchema"),
        ({"type": "function", "function": {"name": "f", "parameters": "a"}}, "tools.0.function.parameters"),
        ({"type": "function", "function": {"name": ""}}, "tools.0.function.name"),
    ],
)
def test_an_error_about_a_tool_has_the_clients_name_of_the_field(tool: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded({"tools": [tool]})
    assert caught.value.param == param


def test_a_name_that_is_taken_has_the_clients_path() -> None:
    first: Json = {"type": "function", "name": "f", "parameters": {}}
    with pytest.raises(InvalidRequest) as caught:
        decoded({"tools": [first, {"type": "function", "function": {"name": "f", "description": "other"}}]})
    assert caught.value.param == "tools.1.function.name"
