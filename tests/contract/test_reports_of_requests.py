"""Public reports of chat requests that went wrong: each file's prose, as assertions on what goes up."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from support.foreign import prepared, told, upstream
from support.reports import report

Json = dict[str, Any]
PDF = "JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2c+PgplbmRvYmoKdHJhaWxlcgo8PC9Sb290IDEgMCBSPj4KJSVFT0YK"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
FUNCTION = {"type": "function", "function": {"name": "read_file", "description": "Reads a file.", "parameters": SCHEMA}}


def request_of(name: str, key: str = "request") -> Json:
    request: Json = report(name)[key]
    return request


def content_of(request: Json) -> list[Json]:
    content: list[Json] = upstream(request)["messages"][0]["content"]
    return content


def block(media_type: str, data: str, kind: str = "document") -> Json:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}}


@pytest.mark.parametrize("marker", [None, {"type": "ephemeral"}])
def test_b_anthropic_document_block(marker: Json | None) -> None:
    request = request_of("b-anthropic-document-block")
    if marker:
        request["messages"][0]["content"][0]["cache_control"] = marker
    expected = {**block("application/pdf", PDF), "title": "paper.pdf", **({"cache_control": marker} if marker else {})}
    assert content_of(request) == [expected, {"type": "text", "text": "Summarise."}]
    assert told(request) == []


def test_b_anthropic_image_block() -> None:
    request = request_of("b-anthropic-image-block")
    source = request["messages"][0]["content"][1]["source"]
    assert content_of(request)[1] == block("image/png", source["data"], "image")
    source["media_type"] = "image/jpeg"
    assert content_of(request)[1] == block("image/png", source["data"], "image")


def test_b_cursor_anthropic_blocks_and_bare_tools() -> None:
    call = {"id": "toolu_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path":"a.txt"}'}}
    assert upstream(request_of("b-cursor-anthropic-blocks-and-bare-tools")) == upstream(
        {
            "messages": [
                {"role": "user", "content": "Read a.txt"},
                {"role": "assistant", "content": "Reading.", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "hello"},
                {"role": "user", "content": "Go on."},
            ],
            "tools": [FUNCTION],
            "tool_choice": "auto",
            "stream": True,
        }
    )


CHOICES: list[tuple[Any, Any]] = [
    ({"type": "function", "name": "read_file"}, {"type": "function", "function": {"name": "read_file"}}),
    ({"type": "tool", "name": "read_file"}, {"type": "function", "function": {"name": "read_file"}}),
    ({"name": "read_file"}, {"type": "function", "function": {"name": "read_file"}}),
    ("read_file", {"type": "function", "function": {"name": "read_file"}}),
    ({"type": "any"}, "required"),
    ({"type": "required"}, "required"),
    ({"type": "auto"}, "auto"),
    ({"type": "none"}, "none"),
    ("any", "required"),
    (
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "read_file"}]},
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"function": {"name": "read_file"}}]},
        },
    ),
]


@pytest.mark.parametrize(("choice", "plain"), CHOICES)
def test_b_flat_tools_and_flat_tool_choice(choice: Any, plain: Any) -> None:
    request = request_of("b-flat-tools-and-flat-tool-choice")
    messages = request["messages"]
    assert upstream(request | {"tool_choice": choice}) == upstream(
        {"messages": messages, "tools": [FUNCTION], "tool_choice": plain}
    )
    assert told(request | {"tool_choice": choice}) == []


def test_d_bare_base64_and_file_url() -> None:
    assert content_of(request_of("d-bare-base64-and-file-url"))[1] == block("application/pdf", PDF)
    request = request_of("d-bare-base64-and-file-url", "second_request")
    file = anthropic.DocumentBlock(anthropic.Base64Source("application/pdf", PDF))
    done = prepared(request, files={"https://files.example.com/a.pdf": file})
    assert done.body.messages[0].content[1] == file
    with pytest.raises(InvalidRequest) as caught:
        prepared(request)
    assert caught.value.param == "messages.0.content.1.file.file_url"
    request["messages"][0]["content"][1]["file"]["file_url"] = "gs://bucket/a.pdf"
    with pytest.raises(InvalidRequest) as caught:
        prepared(request)
    assert caught.value.param == "messages.0.content.1.file.file_url"
    assert "application/pdf" in caught.value.public_message


def test_d_pdf_data_url_in_image_url() -> None:
    assert content_of(request_of("d-pdf-data-url-in-image-url"))[1] == block("application/pdf", PDF)


def test_e_web_search_tool_by_its_anthropic_type() -> None:
    request = request_of("e-web-search-tool-by-its-anthropic-type")
    assert upstream(request)["tools"] == [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
    assert told(request) == []


def test_e_web_search_tool_beside_functions() -> None:
    request = request_of("e-web-search-tool-beside-functions")
    function, search = upstream(request)["tools"]
    assert function["name"] == "notes"
    assert search == {
        "type": "web_search_20250305", "name": "web_search", "max_uses": 2, "allowed_domains": ["example.com"],
    }  # fmt: skip
    for kind in ("web_search", "web_search_preview"):
        assert upstream({"tools": [request["tools"][0], {"type": kind}]})["tools"] == [
            function, {"type": "web_search_20250305", "name": "web_search"},
        ]  # fmt: skip
    for kind in ("mcp", "file_search"):
        with pytest.raises(InvalidRequest, match=f"'{kind}'") as caught:
            upstream({"tools": [request["tools"][0], {"type": kind}]})
        assert caught.value.param == "tools.1.type"


def test_f_json_object_with_schema() -> None:
    request = request_of("f-json-object-with-schema")
    schema = request["response_format"]["response_schema"]
    plain = {"type": "json_schema", "json_schema": {"schema": schema}}
    assert upstream(request) == upstream({"messages": request["messages"], "response_format": plain})
    assert told(request) == []


def test_f_thinking_budget_in_camel_case() -> None:
    request, card = request_of("f-thinking-budget-in-camel-case"), builtin().card("claude-opus-4-5")
    assert upstream(request, card)["thinking"]["budget_tokens"] == 16000
    assert told(request, card) == []


def test_k_output_config_effort() -> None:
    request = request_of("k-output-config-effort")
    body = upstream(request)
    assert body["thinking"]["type"] == "adaptive"
    assert body["output_config"] == {"effort": "max"}
    assert body["system"] == [{"type": "text", "text": "Answer in French."}]
    assert body["stop_sequences"] == ["FIN"]
    assert told(request) == []


def test_m_tool_call_without_type() -> None:
    request = request_of("m-tool-call-without-type")
    call = request["messages"][1]["tool_calls"][0]
    whole = upstream({**request, "messages": [
        request["messages"][0], {**request["messages"][1], "tool_calls": [{**call, "type": "function"}]},
        request["messages"][2],
    ]})  # fmt: skip
    for kind in ({}, {"type": ""}, {"type": None}):
        request["messages"][1]["tool_calls"] = [{**call, **kind}]
        assert upstream(request) == whole
        assert told(request) == ["changed=messages.1.tool_calls.0.type"]
    request["messages"][1]["tool_calls"] = [{**call, "type": "function", "function": {"name": "f", "arguments": {}}}]
    assert upstream(request) == whole
    assert told(request) == ["changed=messages.1.tool_calls.0.function.arguments"]
