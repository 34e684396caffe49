"""Where a reply ends: stop sequences, max_tokens, the context window."""

from __future__ import annotations

import json

import pytest

from support.emulator_calls import ask, body_of, emulator, tool

APP = emulator()
JOKE = tool("tell_joke", {"topic": {"type": "string"}})


async def test_stop_sequences_end_the_reply() -> None:
    answer = (await ask(APP, body_of("say exactly: one, two, STOP, three", stop_sequences=["nope", "STOP"]))).json
    assert answer["content"] == [{"type": "text", "text": "one, two, "}]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "STOP")


async def test_max_tokens_cuts_text() -> None:
    answer = (await ask(APP, body_of("Write 500 words", max_tokens=50))).json
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == 50
    assert 20 < len(answer["content"][0]["text"].split()) < 60


async def test_max_tokens_cuts_into_tool_arguments() -> None:
    body = body_of(f"tell_joke about '{'cats ' * 30}'", tools=[JOKE], max_tokens=50)
    unary = (await ask(APP, body)).json
    assert unary["stop_reason"] == "max_tokens"
    assert unary["content"][-1]["type"] == "tool_use"
    streamed = await ask(APP, {**body, "stream": True})
    deltas = [e["delta"] for _, e in streamed.events if e["type"] == "content_block_delta"]
    partial = "".join(d["partial_json"] for d in deltas if d["type"] == "input_json_delta")
    assert partial.startswith('{"topic": "cats')
    with pytest.raises(json.JSONDecodeError):
        json.loads(partial)


async def test_max_tokens_inside_thinking_leaves_no_signature() -> None:
    body = body_of("Why? " * 100, max_tokens=20, thinking={"type": "adaptive", "display": "summarized"})
    answer = (await ask(APP, body, model="claude-opus-5")).json
    assert answer["stop_reason"] == "max_tokens"
    assert [b["type"] for b in answer["content"]] == ["thinking"]
    assert answer["content"][0]["signature"] == ""


async def test_zero_max_tokens_only_warms_the_cache() -> None:
    answer = (await ask(APP, body_of("Hi", max_tokens=0))).json
    assert (answer["content"], answer["stop_reason"]) == ([], "max_tokens")
    assert answer["usage"]["output_tokens"] == 0


async def test_a_reply_stops_where_the_window_is_full() -> None:
    answer = (await ask(APP, body_of("word " * 159_960 + "write 900 words", max_tokens=5000))).json
    assert answer["stop_reason"] == "model_context_window_exceeded"
