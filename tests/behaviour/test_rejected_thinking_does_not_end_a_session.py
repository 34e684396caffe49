"""Risk: one thinking block that Vertex AI rejects makes every later turn of a conversation fail."""

from __future__ import annotations

from typing import Any

import pytest

from support.blocks import NEW, USER, Json, reply_of, text, thinking_block, tool, tool_call, tool_result, tool_use
from support.chat import chat
from support.fakes import error_reply

pytestmark = pytest.mark.usefixtures("no_waiting")

FORGED = "messages.1.content.0: Invalid `signature` in `thinking` block"


MOVED = "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation."


@pytest.mark.parametrize("message", [FORGED, MOVED])
async def test_e24_a_rejected_signature_costs_one_retry_once(message: str) -> None:
    """Vertex AI rejects a thinking block: one more attempt without it, and the next turn of the conversation needs
    none."""
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    thinking = [thinking_block("Mine?", "YmFk")]
    messages = [USER, {"role": "assistant", "content": "Hello", "thinking_blocks": thinking}, USER]
    options: Json = {"reasoning_effort": "low"}
    got = await chat(error_reply(400, refusal), reply_of(text("Fine.")), messages=messages, **options)
    assert (got.status, got.message["content"]) == (200, "Fine.")
    assert len(got.upstream.calls) == 2
    assert got.upstream.body(0)["messages"][1]["content"] == [*thinking, text("Hello")]
    assert got.turns[1]["content"] == [text("Hello")]
    new = {"role": "assistant", "content": "Fine.", "thinking_blocks": [thinking_block("New.", "bmV3")]}
    again = await chat(reply_of(text("Yes.")), app=got.app, messages=[*messages, new, USER], **options)
    assert (again.status, again.response.headers["x-modelmux-attempts"]) == (200, "1")
    assert again.turns[1]["content"] == [text("Hello")]
    assert again.turns[3]["content"] == [thinking_block("New.", "bmV3"), text("Fine.")]


async def test_rejected_thinking_is_told_and_strict_mode_refuses_it() -> None:
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": FORGED}}
    turn = {"role": "assistant", "content": "Hello", "thinking_blocks": [thinking_block("Mine?", "YmFk")]}
    fields: Json = {"messages": [USER, turn, USER], "reasoning_effort": "low"}
    first = await chat(error_reply(400, refusal), reply_of(text("Fine.")), **fields)
    assert "dropped=messages" in first.response.headers["x-modelmux-notices"]
    later = await chat(reply_of(text("Fine.")), app=first.app, **fields)
    assert (later.status, "dropped=messages" in later.response.headers["x-modelmux-notices"]) == (200, True)
    strict = {"x-modelmux-strict": "1"}
    known = await chat(app=first.app, headers=strict, **fields)
    unknown = await chat(error_reply(400, refusal), reply_of(text("Fine.")), headers=strict, **fields)
    for refused in (known, unknown):
        error = refused.response.json()["error"]
        assert (refused.status, error["code"], error["param"]) == (400, "strict_mode", "messages")
    assert len(unknown.upstream.calls) == 1


async def test_rejected_thinking_that_the_gateway_remembered_is_no_change_of_the_request() -> None:
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": FORGED}}
    fields: Json = {"model": NEW, "tools": [tool()], "reasoning_effort": "high"}
    strict = {"x-modelmux-strict": "1"}
    first = await chat(
        reply_of(thinking_block("Mine.", "bWluZQ=="), tool_use(), stop_reason="tool_use"), headers=strict, **fields
    )
    turn = {"role": "assistant", "content": None, "tool_calls": [tool_call()]}
    fields["messages"] = [USER, turn, tool_result()]
    got = await chat(error_reply(400, refusal), reply_of(text("Fine.")), app=first.app, headers=strict, **fields)
    assert (got.status, len(got.upstream.calls)) == (200, 3)
    assert b"Mine." in got.upstream.calls[1].body
    assert b"Mine." not in got.upstream.calls[2].body


async def test_e24_only_one_retry_follows() -> None:
    """The same error again, without any thinking in the request: the client gets it, not a loop."""
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": FORGED}}
    messages = [USER, {"role": "assistant", "content": "Hello", "thinking_blocks": [thinking_block()]}, USER]
    got = await chat(error_reply(400, refusal), error_reply(400, refusal), messages=messages, reasoning_effort="low")
    assert (got.status, len(got.upstream.calls)) == (400, 2)


@pytest.mark.parametrize(
    "message",
    [
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "thinking block is bound to a different conversation",
    ],
)
async def test_g37_a_session_continues_without_the_rejected_block(message: str, no_waiting: list[float]) -> None:
    refusal = error_reply(400, {"type": "error", "error": {"type": "invalid_request_error", "message": message}})
    blocks = [{"type": "thinking", "thinking": "foreign", "signature": "Zm9yZWlnbg=="}]
    turn = {"role": "assistant", "content": None, "tool_calls": [tool_call()], "thinking_blocks": blocks}
    fields: Any = {"model": NEW, "tools": [tool()], "messages": [USER, turn, tool_result()], "reasoning_effort": "high"}
    got = await chat(refusal, reply_of(text("fine")), **fields)
    assert got.status == 200
    assert len(got.upstream.calls) == 2
    assert b"foreign" not in got.upstream.calls[1].body
    again = await chat(reply_of(text("fine")), app=got.app, **fields)
    assert b"foreign" not in again.upstream.calls[-1].body
