"""Risk: thinking blocks are lost, reordered or altered on their way to the client and back, and the next turn fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.blocks import (
    BUDGET,
    NEW,
    SONNET,
    USER,
    assistant,
    reply_of,
    text,
    thinking_block,
    tool,
    tool_call,
    tool_result,
    tool_use,
)
from support.chat import chat
from support.fakes import FakeUpstream
from support.gateway import gateway

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.mark.parametrize("stream", [False, True])
async def test_e20_thinking_is_replayed_in_its_position(stream: bool) -> None:
    """The model thinks, calls, thinks again, calls again; the client returns all of it: same order, same bytes."""
    first, second = thinking_block("Paris first.", "c2lnMQ=="), thinking_block("Now Rome — 漢.", "c2lnMg==")
    calls = [tool_use("toolu_1"), tool_use("toolu_2", value={"city": "Rome"})]
    blocks = [first, calls[0], second, calls[1]]
    options = {"tools": [tool()], "reasoning_effort": "high"}
    got = await chat(reply_of(*blocks, stop_reason="tool_use", stream=stream), stream=stream, **options)
    back = [USER, got.message, tool_result("toolu_1"), tool_result("toolu_2", "25 degrees")]
    assert back[1]["thinking_blocks"] == [first, second]
    again = await chat(app=got.app, messages=back, **options)
    assert again.turns[1]["content"] == blocks


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", ["thinking_blocks", "reasoning_details"])
async def test_e20_thinking_of_two_steps_is_replayed_in_each(form: str, stream: bool) -> None:
    """The model thinks and calls, sees the result, thinks and calls again; the client returns all of it, to a gateway
    that remembers none of it: each step begins with its own thinking, the same bytes."""
    steps = [
        [thinking_block("Paris first.", "c2lnMQ=="), tool_use("t1")],
        [thinking_block("Rome — 漢.", "c2lnMg=="), tool_use("t2")],
    ]
    options = {"tools": [tool()], "reasoning_effort": "high"}
    messages = [USER]
    for blocks in steps:
        got = await chat(reply_of(*blocks, stop_reason="tool_use", stream=stream), stream=stream, **options)
        back = dict(got.message)
        if form == "reasoning_details":
            (own,) = back.pop("thinking_blocks")
            detail = {"text": own["thinking"], "signature": own["signature"], "format": "anthropic-claude-v1"}
            back[form] = [{"type": "reasoning.text", **detail}]
        messages += [back, tool_result(back["tool_calls"][0]["id"])]
    again = await chat(messages=messages, **options)
    assert [again.turns[1]["content"], again.turns[3]["content"]] == steps


LOOP = [USER, {"role": "assistant", "content": None, "tool_calls": [tool_call()]}, tool_result()]


@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET])
async def test_e21_a_client_that_returns_no_thinking_is_served(model: str) -> None:
    """A plain OpenAI client in a tool loop returns no thinking at all: the request is legal all the same, and
    thinks."""
    got = await chat(model=model, messages=LOOP, tools=[tool()], reasoning_effort="medium", max_tokens=8000)
    assert got.status == 200
    assert got.sent["thinking"]["type"] == ("enabled" if model == BUDGET else "adaptive")
    assert [block["type"] for turn in got.turns for block in turn["content"]] == ["text", "tool_use", "tool_result"]


async def test_e22_a_gap_in_the_thinking_is_not_an_error() -> None:
    """A client returns only some of the thinking: upstream may drop what no longer fits (the mode and its beta say so),
    and if memory holds only the later part, that part alone is replayed, without a gap."""
    options = {"model": NEW, "tools": [tool()], "reasoning_effort": "low"}
    first, second, third = (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [tool_call(f"toolu_{i}")],
            "thinking_blocks": [thinking_block(str(i))],
        }
        for i in (1, 2, 3)
    )
    del second["thinking_blocks"]
    steps = [(first, "toolu_1"), (second, "toolu_2"), (third, "toolu_3")]
    messages = [USER] + [m for step, id in steps for m in (step, tool_result(id))]
    got = await chat(messages=messages, **options)
    assert got.sent["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert got.betas == b"thinking-binding-controls-2026-08-01"
    # The same from memory: the second message is not remembered, so the thinking of the first is left out, too.
    app, known = gateway(FakeUpstream([])), [USER]
    for number in (1, 3):
        reply = reply_of(thinking_block(str(number)), tool_use(f"toolu_{number}"), stop_reason="tool_use")
        await chat(reply, app=app, messages=known, **options)
    plain = [{k: v for k, v in m.items() if k != "thinking_blocks"} for m in messages]
    got = await chat(app=app, messages=plain, **options)
    assert [b["thinking"] for t in got.turns for b in t["content"] if b["type"] == "thinking"] == ["3"]


async def test_e25_thinking_is_sent_only_with_its_content() -> None:
    """A message that was all thinking has no content left: its thinking is dropped with it. A call that was never
    answered remains, with an error as its result, so its thinking remains before it."""
    cut = {"role": "assistant", "content": "", "thinking_blocks": [thinking_block("Cut off")]}
    got = await chat(messages=[USER, cut, {"role": "user", "content": "Go on"}], reasoning_effort="low")
    assert got.turns == [{"role": "user", "content": [text("Hi"), text("Go on")]}]
    lost = {"role": "assistant", "content": None, "tool_calls": [tool_call()], "thinking_blocks": [thinking_block()]}
    got = await chat(messages=[USER, lost, {"role": "user", "content": "Never mind"}], tools=[tool()])
    assert [b["type"] for b in got.turns[1]["content"]] == ["thinking", "tool_use"]
    first, second = got.turns[2]["content"]
    assert (first["type"], first["tool_use_id"], first["is_error"]) == ("tool_result", "toolu_1", True)
    assert second["text"] == "Never mind"


@pytest.mark.parametrize("returned", [True, False], ids=["returned", "remembered"])
async def test_e25_a_message_split_in_two_is_joined_with_its_thinking(returned: bool) -> None:
    """A client stores the text and the call of one message as two: the turn that is sent is the one that the model
    wrote, its thinking first and once."""
    blocks = [thinking_block(), text("I look."), tool_use()]
    options = {"tools": [tool()], "reasoning_effort": "high"}
    got = await chat(reply_of(*blocks, stop_reason="tool_use"), **options)
    words = {"role": "assistant", "content": "I look."}
    if returned:
        words["thinking_blocks"] = got.message["thinking_blocks"]
    calls = {"role": "assistant", "content": None, "tool_calls": got.message["tool_calls"]}
    again = await chat(app=got.app, messages=[USER, words, calls, tool_result()], **options)
    assert again.turns[1]["content"] == blocks


@pytest.mark.parametrize("stream", [False, True])
async def test_e27_redacted_thinking_is_returned_unchanged(stream: bool) -> None:
    """Encrypted thinking comes to the client and back to the model with its data untouched."""
    hidden = {"type": "redacted_thinking", "data": "RXhhbXBsZQ+/=="}
    got = await chat(reply_of(hidden, text("So."), stream=stream), stream=stream, reasoning_effort="low")
    assert got.message["thinking_blocks"] == [hidden]
    assert got.message["content"] == "So."
    again = await chat(messages=[USER, got.message, USER], reasoning_effort="low")
    assert again.turns[1]["content"] == [hidden, text("So.")]


WAYS = [False, True]


@pytest.mark.parametrize("stream", WAYS)
@pytest.mark.parametrize("returns", [False, True])
async def test_e84_a_signed_block_without_text_is_replayed(returns: bool, stream: bool) -> None:
    """With ``display`` omitted a block is only its signature: it is replayed with ``thinking: ""``, whether the client
    returns it or the gateway remembers it."""
    silent = thinking_block("", "c2lnbmVk")
    first = await chat(reply_of(silent, tool_use(), stop_reason="tool_use", stream=stream), model=NEW, stream=stream,
                      tools=[tool()])  # fmt: skip
    assert first.message["thinking_blocks"] == [silent]
    fields = {"thinking_blocks": [silent]} if returns else {}
    turn = assistant(None, tool_calls=first.message["tool_calls"], **fields)
    got = await chat(app=first.app, model=NEW, tools=[tool()], messages=[USER, turn, tool_result()])
    assert got.turns[1]["content"] == [silent, tool_use()]


@pytest.mark.parametrize("content", [None, "", [], [text("")]])
@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET])
async def test_e87_thinking_of_a_turn_without_text_is_replayed(model: str, content: Any) -> None:
    """A turn of thinking and a call alone: the thinking is replayed, first, and nothing is put between."""
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if model == BUDGET else {}
    turn = assistant(content, tool_calls=[tool_call()], thinking_blocks=[thinking_block()])
    got = await chat(model=model, messages=[USER, turn, tool_result()], tools=[tool()], **fields)
    assert got.turns[1]["content"] == [thinking_block(), tool_use()]


async def test_e87_thinking_in_content_parts_is_replayed() -> None:
    turn = assistant([{"type": "thinking", "thinking": "Hm.", "signature": "czE="}], tool_calls=[tool_call()])
    got = await chat(model=NEW, messages=[USER, turn, tool_result()], tools=[tool()])
    assert got.turns[1]["content"] == [thinking_block("Hm.", "czE="), tool_use()]


async def _first_turn(app: Any = None) -> Any:
    first = reply_of(thinking_block("Let me see."), tool_use(), stop_reason="tool_use", stream=True)
    return await chat(first, model=NEW, tools=[tool()], stream=True, reasoning_effort="high", app=app)


_SECOND_TURN: list[Any] = [USER, {"role": "assistant", "content": None, "tool_calls": [tool_call()]}, tool_result()]


async def test_g35_the_gateway_remembers_thinking_for_the_client() -> None:
    app = (await _first_turn()).app
    got = await chat(app=app, model=NEW, tools=[tool()], messages=_SECOND_TURN, reasoning_effort="high")
    assert [block["type"] for block in got.turns[1]["content"]] == ["thinking", "tool_use"]
    fresh = await chat(model=NEW, tools=[tool()], messages=_SECOND_TURN, reasoning_effort="high")
    assert fresh.status == 200, "without what was kept the request is still legal"


async def test_g36_unsigned_thinking_does_not_become_text() -> None:
    blocks = [
        {"type": "thinking", "thinking": "one", "signature": "c2lnbmF0dXJl"},
        {"type": "thinking", "thinking": "two"},
    ]
    turn = {"role": "assistant", "content": None, "tool_calls": [tool_call()], "thinking_blocks": blocks}
    got = await chat(model=NEW, tools=[tool()], messages=[USER, turn, tool_result()], reasoning_effort="high")
    kinds = [block["type"] for block in got.turns[1]["content"]]
    assert kinds in (["tool_use"], ["thinking", "thinking", "tool_use"], ["thinking", "tool_use"])
    assert "two" not in json.dumps(got.turns[1]), "unsigned thinking does not become text"
