"""Risk: a reply that changes its form loses a field, known or not."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from anthropic._models import construct_type_unchecked
from anthropic.lib.streaming._beta_messages import accumulate_event
from anthropic.types.beta import BetaRawMessageStreamEvent

from modelmux.wire.anthropic.raw_reply import to_body, to_stream
from modelmux.wire.sse import SSEDecoder, encode_named
from support.fakes import event
from support.recordings import recordings


@pytest.mark.parametrize("recording", recordings("message"))
def test_a_message_becomes_a_stream_and_the_same_message_again(recording: dict[str, Any]) -> None:
    message = recording["body"]
    assert json.loads(to_body(to_stream(json.dumps(message).encode()))) == message


@pytest.mark.parametrize("recording", recordings("stream"))
def test_a_stream_is_folded_as_the_sdk_folds_it(recording: dict[str, Any]) -> None:
    raw = recording["sse"].encode().rstrip(b"\n") + b"\n\n"
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for item in SSEDecoder().feed(raw):
        parsed: Any = construct_type_unchecked(type_=BetaRawMessageStreamEvent, value=json.loads(item.data))
        if parsed.type != "ping":  # the SDK's streams swallow pings
            snapshot = accumulate_event(
                event=parsed, current_snapshot=snapshot, json_bufs=buffers, request_headers=httpx2.Headers()
            )
    expected, folded = present(snapshot.to_dict(mode="json", exclude_unset=True)), present(json.loads(to_body(raw)))
    if any(block["type"] == "fallback" for block in folded["content"]):  # a feature that Vertex AI does not have
        expected["model"] = folded["model"]
    assert folded == expected


def present(value: Any) -> Any:
    """Without nulls, and without what the SDK adds."""
    if isinstance(value, dict):
        return {key: present(item) for key, item in value.items() if item is not None and key != "parsed_output"}
    return [present(item) for item in value] if isinstance(value, list) else value


def folded_of(*events: bytes) -> Any:
    start = event("message_start", message={"id": "m", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}})
    return json.loads(to_body(b"".join([start, event("ping"), *events])))


def block(index: int, *deltas: dict[str, Any], **fields: Any) -> bytes:
    parts = [event("content_block_start", index=index, content_block=fields)]
    parts += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*parts, event("content_block_stop", index=index)])


def test_blocks_and_deltas_of_all_types() -> None:
    message = folded_of(
        block(1, {"type": "signature_delta", "signature": "s"},
              {"type": "thinking_delta", "thinking": "h"}, type="thinking"),
        block(0, {"type": "text_delta", "text": "a"}, {"type": "text_delta", "text": "b"}, type="text", text=""),
        block(2, {"type": "citations_delta", "citation": 1}, {"type": "citations_delta", "citation": 2}, type="text"),
        block(3, {"type": "new_delta", "field": [1]}, type="new"),
        block(4, {"type": "input_json_delta", "partial_json": '{"a": 1.50'},
              {"type": "input_json_delta", "partial_json": "}"},
              type="tool_use", input={}),
        block(5, {"type": "input_json_delta", "partial_json": ""}, type="tool_use", input={}),
        event("content_block_delta", index=9, delta={"type": "text_delta", "text": "lost"}),
    )  # fmt: skip
    assert message["content"] == [
        {"type": "text", "text": "ab"}, {"type": "thinking", "signature": "s", "thinking": "h"},
        {"type": "text", "citations": [1, 2]}, {"type": "new", "field": [1]}, {"type": "tool_use", "input": {"a": 1.5}},
        {"type": "tool_use", "input": {}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": [1, "x', {"a": [1]}), ("nonsense", "nonsense"), ('{"a": 1}', {"a": 1}), ('{"a" 1}', '{"a" 1}')],
)
def test_an_input_that_was_cut_off_is_what_it_began(text: str, value: Any) -> None:
    delta = {"type": "input_json_delta", "partial_json": text}
    assert folded_of(block(0, delta, type="tool_use", input={}))["content"][0]["input"] == value


def test_blocks_that_the_start_has_stay() -> None:
    start = event("message_start", message={"content": [{"type": "tool_use", "input": {"a": 1}}]})
    body = json.loads(to_body(start + block(1, type="text", text="x") + event("message_delta", delta={})))
    assert [item["type"] for item in body["content"]] == ["tool_use", "text"]


def test_the_end_adds_to_the_message_and_absent_is_not_zero() -> None:
    message = folded_of(
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2, "input_tokens": None}),
        event("message_delta", delta=None, usage=None, context_management={"applied_edits": []}),
        encode_named(b"", b'{"type":"news"}'),
        event("message_stop"),
    )
    assert message == {
        "id": "m", "content": [], "usage": {"input_tokens": 5, "output_tokens": 2}, "stop_reason": "end_turn",
        "context_management": {"applied_edits": []},
    }  # fmt: skip
