"""Risk: a conversation that ends with the assistant fails on newer models, or is answered instead of continued."""

from __future__ import annotations

import pytest

from modelmux.catalog import ModelCard, builtin
from support.blocks import BARE, BUDGET, NEW, SONNET, USER, assistant, text, tool, tool_call
from support.chat import chat
from support.gateway import named

NO_PREFILL = [card.id for card in builtin().cards if not card.prefill]


@pytest.mark.parametrize("model", NO_PREFILL)
async def test_e31_trailing_assistant_message_without_prefill(model: str) -> None:
    """The conversation ends with the assistant: a 400 with a hint, or a user turn that asks to continue."""
    messages = [USER, assistant("Once upon")]
    got = await chat(model=model, messages=messages)
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages", [])
    assert "End with a user message" in got.error["message"]
    got = await chat(model=model, messages=messages, settings={"vertex": {"prefill": "continue"}})
    assert [(t["role"], t["content"][0]["text"]) for t in got.turns[1:]] == [
        ("assistant", "Once upon"),
        ("user", "Continue exactly where your last message ends."),
    ]
    assert got.notices == ["added=messages"]


CARDS = builtin().cards


#: As the documentation of the models has it: whose turn may be continued, and no newer model's.
CONTINUED = {
    "claude-haiku-4-5@20251001", "claude-sonnet-4-5@20250929", "claude-opus-4-5@20251101", "claude-opus-4-1@20250805",
    "claude-opus-4@20250514", "claude-sonnet-4@20250514", "claude-3-5-haiku@20241022",
}  # fmt: skip


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
async def test_e101_prefill_is_sent_only_to_models_that_accept_it(card: ModelCard) -> None:
    """By each model's own card, at every effort: sent as it is, or a 400 that says what to send."""
    messages, settings = [USER, assistant("It is ")], named(card.id)
    for effort in (None, "none", "low", "high", "max"):
        got = await chat(model=card.id, messages=messages, reasoning_effort=effort, settings=settings)
        if card.id in CONTINUED:
            assert got.turns[-1] == {"role": "assistant", "content": [text("It is")]}
            assert got.sent.get("thinking", {"type": "disabled"}) == {"type": "disabled"}  # no thought before "It is"
        else:
            assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages", [])
            assert "user message" in got.error["message"]
    settings["vertex"]["prefill"] = "continue"
    got = await chat(model=card.id, messages=messages, settings=settings)
    assert got.turns[-1]["role"] == ("assistant" if card.id in CONTINUED else "user")


@pytest.mark.parametrize("content", [None, "I look."])
@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET, BARE])
async def test_e101_a_trailing_tool_call_is_not_a_prefill(model: str, content: str | None) -> None:
    """The last message calls a tool: it gets an error as its result, as a lost one would, and the model may answer."""
    turn = assistant(content, tool_calls=[tool_call()])
    got = await chat(model=model, messages=[USER, turn], tools=[tool()])
    assert (got.status, got.turns[-1]["role"]) == (200, "user")
    (block,) = got.turns[-1]["content"]
    assert (block["type"], block["tool_use_id"], block["is_error"]) == ("tool_result", "toolu_1", True)
    assert got.notices == ["added=messages"]


async def test_g34_prefill_is_rejected_with_a_reason_or_continued() -> None:
    turns = [USER, {"role": "assistant", "content": "The answer is"}]
    refused = await chat(model=NEW, messages=turns)
    assert refused.status == 400
    assert refused.error["param"].startswith("messages")
    going_on = await chat(model=NEW, messages=turns, settings={"vertex": {"prefill": "continue"}})
    assert going_on.turns[-1]["role"] == "user"
