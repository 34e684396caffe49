"""Messages API: requests are exact to the byte; replies with unknown parts are decoded."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from modelmux.errors import InvalidRequest, PayloadTooLarge
from modelmux.wire import anthropic
from modelmux.wire.anthropic import (
    Base64Source,
    CacheControl,
    DocumentBlock,
    ImageBlock,
    InputMessage,
    MessagesRequest,
    RedactedThinkingBlock,
    TextBlock,
    TextSource,
    ThinkingBlock,
    Tool,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
    decode_event,
    decode_message,
    encode_request,
)

SHAPES: list[tuple[Any, str]] = [
    (TextBlock("a"), '{"type":"text","text":"a"}'),
    (TextBlock("a", CacheControl("ephemeral")), '{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}'),
    (CacheControl("ephemeral", "1h"), '{"type":"ephemeral","ttl":"1h"}'),
    (ImageBlock(Base64Source("image/png", "AA==")),
     '{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}}'),
    (DocumentBlock(TextSource("text/plain", "a"), title="t"),
     '{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a"},"title":"t"}'),
    (ToolUseBlock("i", "n", {"b": 1, "a": 2}), '{"type":"tool_use","id":"i","name":"n","input":{"b":1,"a":2}}'),
    (ToolUseBlock("i", "n", {}), '{"type":"tool_use","id":"i","name":"n","input":{}}'),
    (ToolUseBlock("i", "n", Raw(b'{"a": 1.0}')), '{"type":"tool_use","id":"i","name":"n","input":{"a": 1.0}}'),
    (ToolResultBlock("i"), '{"type":"tool_result","tool_use_id":"i"}'),
    (ToolResultBlock("i", "no", is_error=True),
     '{"type":"tool_result","tool_use_id":"i","content":"no","is_error":true}'),
    (ThinkingBlock("", "sig"), '{"type":"thinking","thinking":"","signature":"sig"}'),
    (RedactedThinkingBlock("x"), '{"type":"redacted_thinking","data":"x"}'),
    (Tool("n", {"type": "object"}), '{"name":"n","input_schema":{"type":"object"}}'),
    (ToolChoice("auto"), '{"type":"auto"}'),
    (ToolChoice("tool", "n", disable_parallel_tool_use=True),
     '{"type":"tool","name":"n","disable_parallel_tool_use":true}'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), SHAPES)
def test_only_fields_that_were_set_are_sent(value: Any, expected: str) -> None:
    assert msgspec.json.encode(value).decode() == expected


def test_a_request_is_exact_and_does_not_contain_the_model() -> None:
    request = MessagesRequest("vertex-2023-10-16", 5, [InputMessage("user", [TextBlock("é")])], temperature=0.0)
    assert encode_request(request).decode() == (
        '{"anthropic_version":"vertex-2023-10-16","max_tokens":5,'
        '"messages":[{"role":"user","content":[{"type":"text","text":"é"}]}],"temperature":0.0}'
    )


def test_a_request_that_can_be_decoded_but_not_encoded_is_the_clients_error() -> None:
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"a": value}
    request = MessagesRequest("v", 1, [InputMessage("assistant", [ToolUseBlock("i", "n", value)])])
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        encode_request(request)


def test_a_request_that_grew_too_large_for_vertex_is_rejected() -> None:
    """Files downloaded from a few URLs can exceed the limit of Vertex AI, however small the client's body is."""
    image = anthropic.ImageBlock(anthropic.Base64Source("image/png", "A" * (5 * 2**20)))
    for count, refused in ((5, False), (6, True)):
        request = anthropic.MessagesRequest("v", 1, [anthropic.InputMessage("user", [image] * count)])
        if not refused:
            assert len(encode_request(request)) < anthropic.MAX_BODY_BYTES
            continue
        with pytest.raises(PayloadTooLarge, match="30 MiB") as caught:
            encode_request(request)
        assert (caught.value.status, caught.value.param) == (413, "messages")


def event(**fields: Any) -> anthropic.StreamEvent:
    return decode_event(json.dumps(fields).encode())


def test_missing_fields_of_an_event_have_defaults() -> None:
    decoded = event(
        type="content_block_delta", index=3, delta={"type": "text_delta", "text": "hi", "new": [1]}, more={}
    )
    assert (decoded.type, decoded.index, decoded.delta) == (
        "content_block_delta",
        3,
        anthropic.Delta("text_delta", text="hi"),
    )
    assert (decoded.message, decoded.content_block, decoded.usage, decoded.error) == (None, None, None, None)


def test_null_counts_are_missing_counts() -> None:
    decoded = event(type="message_delta", usage={"input_tokens": None, "output_tokens": 4, "cache_creation": None})
    assert decoded.usage == anthropic.Usage(output_tokens=4)


def test_the_arguments_of_a_tool_call_are_not_changed() -> None:
    decoded = decode_event(
        b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","input":{"a":1.0, "a":1e400}}}'
    )
    assert decoded.content_block is not None
    assert isinstance(decoded.content_block.input, Raw)
    assert bytes(decoded.content_block.input) == b'{"a":1.0, "a":1e400}'
    assert decode_event(b'{"content_block":{"type":"tool_use"}}').content_block == anthropic.Block("tool_use")
    assert anthropic.Block("tool_use").input is UNSET


UNKNOWN_EVENTS: list[tuple[dict[str, Any], anthropic.StreamEvent]] = [
    ({"type": "unknown", "message": 5, "index": "x", "delta": []}, anthropic.StreamEvent("unknown")),
    ({"index": "x"}, anthropic.StreamEvent()),
    ({"type": "content_block_start", "index": 2, "content_block": {"type": "unknown", "text": {"a": 1}, "id": 7}},
     anthropic.StreamEvent("content_block_start", 2, content_block=anthropic.Block("unknown"))),
    ({"type": "content_block_start", "index": 2, "content_block": {"text": []}},
     anthropic.StreamEvent("content_block_start", 2, content_block=anthropic.Block(""))),
    ({"type": "content_block_delta", "index": 2, "delta": {"type": "news_delta", "text": ["a"]}},
     anthropic.StreamEvent("content_block_delta", 2, delta=anthropic.Delta("news_delta"))),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), UNKNOWN_EVENTS)
def test_unknown_types_with_conflicting_fields_break_nothing(
    raw: dict[str, Any], expected: anthropic.StreamEvent
) -> None:
    assert decode_event(json.dumps(raw).encode()) == expected


BROKEN: list[bytes] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"ping"',
    b'{"type":5}',
    b'{"type":"message_start","message":5}',
    b'{"type":"message_delta","usage":{"output_tokens":"many"}}',
    b'{"type":"error","error":"boom"}',
    b'{"type":"content_block_stop","index":null}',
    b'{"type":"content_block_start","content_block":{"type":"text","text":5}}',
    b'{"type":"content_block_start","content_block":{"type":"tool_use","id":5}}',
    b'{"type":"content_block_start","content_block":5}',
    b'{"type":"content_block_start","index":null,"content_block":null}',
    b'{"type":"content_block_start","index":"0","content_block":{"type":"unknown"}}',
    b'{"type":"content_block_delta","delta":{"type":"text_delta","text":5}}',
    b'{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":{}}}',
    b'{"type":"content_block_delta","index":null,"delta":null}',
    b'{"type":"content_block_delta","delta":{"type":5}}',
]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}, ("RESOURCE_EXHAUSTED", "Quota")),
        ({"type": "overloaded_error", "message": "Over"}, ("overloaded_error", "Over")),
        ({"status": 503}, ("api_error", "")),
        ({}, ("api_error", "")),
    ],
)
def test_an_error_without_a_type_is_an_error(error: dict[str, Any], expected: tuple[str, str]) -> None:
    """Google's front end can end a stream with an error that has no event name and no type."""
    event = decode_event(json.dumps({"error": error}).encode())
    assert event == anthropic.StreamEvent("error", error=anthropic.ErrorBody(*expected))


@pytest.mark.parametrize("raw", BROKEN)
def test_known_types_must_be_valid(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_event(raw)


def test_a_reply_may_omit_fields_and_have_unknown_ones() -> None:
    assert decode_message(b"{}") == anthropic.Message()
    decoded = decode_message(
        b'{"id":"m","content":[{"type":"text","text":"hi","citations":null},{"type":"container_upload","file_id":"f"}],'
        b'"stop_reason":"new_reason","stop_details":null,"container":{"id":"c"},"usage":{"service_tier":"x"}}'
    )
    assert decoded.content == [anthropic.Block("text", text="hi"), anthropic.Block("container_upload")]
    assert (decoded.id, decoded.stop_reason, decoded.usage) == ("m", "new_reason", anthropic.Usage())


def test_an_unknown_block_with_conflicting_fields_breaks_nothing() -> None:
    decoded = decode_message(
        b'{"id":"m","content":[{"type":"text","text":"hi"},{"type":"unknown","text":{"a":[1]}},'
        b'{"type":"tool_use","id":"t","name":"n","input":{"a": 1}}],"stop_reason":"tool_use",'
        b'"usage":{"input_tokens":3}}'
    )
    text, unknown, call = decoded.content or []
    assert (text, unknown) == (anthropic.Block("text", text="hi"), anthropic.Block("unknown"))
    assert (call.id, call.name, bytes(call.input) if isinstance(call.input, Raw) else None) == ("t", "n", b'{"a": 1}')
    assert (decoded.id, decoded.stop_reason, decoded.usage) == ("m", "tool_use", anthropic.Usage(input_tokens=3))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"<html>", b"null", b"[]", b'{"content":{}}', b'{"content":[5]}', b'{"stop_reason":5}',
        b'{"usage":{"input_tokens":"3"}}', b'{"content":[{"type":"text","text":5}]}', b'{"content":[{"type":5}]}',
        b'{"content":null,"id":5}',
    ],
)  # fmt: skip
def test_a_reply_with_invalid_known_parts_is_rejected(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_message(raw)
