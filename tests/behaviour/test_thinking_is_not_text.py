"""Risk: thinking shows up as the answer, foreign thinking as the model's own words, or never."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from support.blocks import (
    BUDGET,
    NEW,
    USER,
    Json,
    block_events,
    block_start,
    block_stop,
    delta,
    message_end,
    message_start,
    reply_of,
    text,
    thinking_block,
)
from support.chat import chat
from support.fakes import stream_reply

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking_blocks": [{"type": "thinking", "thinking": "hush"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hush", "signature": ""}]},
        {"reasoning_content": "hush"},
        {"reasoning": "hush", "reasoning_details": [{"type": "reasoning.text", "text": "hush"}]},
        {"content": [{"type": "thinking", "thinking": "hush"}, text("Hello")]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "hush", "format": "openai-responses-v1"}]},
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hush", "signature": "x", "format": "google-gemini-v1"}
            ]
        },
    ],
    ids=[
        "no signature",
        "empty signature",
        "reasoning_content",
        "reasoning_details",
        "in content",
        "OpenAI's",
        "Gemini's",
    ],
)
async def test_e23_foreign_thinking_never_becomes_text(fields: Json) -> None:
    """Thinking without a signature, or of another provider: left out, not shown to Claude as its own words."""
    messages = [USER, {"role": "assistant", "content": "Hello", **fields}, USER]
    got = await chat(messages=messages, reasoning_effort="low")
    assert got.turns[1]["content"] == [text("Hello")]
    assert b"hush" not in got.upstream.calls[0].body


@pytest.mark.parametrize("stream", [False, True])
async def test_e26_two_thinking_blocks_are_not_merged(stream: bool) -> None:
    """Two thinking blocks in one message: two blocks with their own signatures, not one with the texts run together."""
    first, second = thinking_block("One.", "c2lnMQ=="), thinking_block("Two.", "c2lnMg==")
    got = await chat(reply_of(first, second, text("So."), stream=stream), stream=stream, reasoning_effort="low")
    assert got.message["thinking_blocks"] == [first, second]
    assert got.message["reasoning_content"] == "One.Two."
    assert got.message["content"] == "So."


@pytest.mark.parametrize("stream", [False, True])
async def test_e28_unrequested_thinking_is_not_content(stream: bool) -> None:
    """A model that thinks by default: its thinking is separate from the content."""
    got = await chat(reply_of(thinking_block("Hm."), text("42"), stream=stream), model=NEW, stream=stream)
    assert (got.status, got.message["content"], got.message["reasoning_content"]) == (200, "42", "Hm.")


OMITTING = [c.id for c in builtin().cards if c.display_default == "omitted" and "adaptive" in c.thinking]


@pytest.mark.parametrize("model", OMITTING)
async def test_e85_hidden_thinking_is_shown_on_request(model: str) -> None:
    """On models that hide their thinking by default, and only on request; a client that hides it does not see it."""
    for fields in ({"reasoning_effort": "low"}, {"reasoning": {"effort": "high"}}, {"thinking": {"type": "adaptive"}}):
        got = await chat(model=model, **fields)
        assert got.sent["thinking"] == {"type": "adaptive", "display": "summarized"}
    got = await chat(model=model, reasoning={"effort": "low", "exclude": True})
    assert got.sent["thinking"]["display"] == "omitted"
    got = await chat(model=model)
    assert "display" not in got.sent.get("thinking", {})
    got = await chat(model=model, reasoning_effort="none")
    assert got.sent.get("thinking", {}).get("display") != "summarized"


async def test_e85_display_is_not_sent_to_models_without_it() -> None:
    """Models that think by budget have no display setting."""
    got = await chat(model=BUDGET, reasoning_effort="low", max_tokens=4000)
    assert got.sent["thinking"] == {"type": "enabled", "budget_tokens": 1024}


async def test_e86_thinking_inside_an_open_text_block_is_separate() -> None:
    """Thinking begins before the text block is closed: neither gets into the other."""
    pieces = [block_start(0, text("")), delta(0, "text_delta", text="One, ")]
    pieces += block_events(1, thinking_block("hm, ", "czE="))
    pieces += [delta(0, "text_delta", text="two"), *block_events(2, thinking_block("yes", "czI=")), block_stop(0)]
    got = await chat(
        stream_reply(message_start(), *pieces, *message_end()), model=NEW, stream=True, reasoning_effort="low"
    )
    assert (got.message["content"], got.message["reasoning_content"]) == ("One, two", "hm, yes")
    assert got.message["thinking_blocks"] == [thinking_block("hm, ", "czE="), thinking_block("yes", "czI=")]
    assert all(len(piece.keys() & {"content", "reasoning_content"}) <= 1 for piece in got.deltas[1:])
