"""Which replies have thinking blocks, and that one must come back unchanged, in the conversation it was made in."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from modelmux.emulator import Emulator
from support.emulator_calls import ask, assistant, body_of, emulator, error_message, text, tool, tool_result, user

BETA = "thinking-binding-controls-2026-08-01"
BOUND = "claude-opus-5-5"
UNBOUND = "claude-sonnet-4-6"
TOOLS = [tool()]
QUESTION = "What is the weather in Paris?"
DROP = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
OTHER_CONVERSATION = (
    "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation. "
    'Remove the block, or set `thinking.block_binding.prefix_mismatch_behavior` to "drop_block". That setting requires '
    f"the `{BETA}` value in the `anthropic-beta` header."
)


async def tool_turn(app: Emulator, model: str, **fields: Any) -> list[dict[str, Any]]:
    """A conversation up to the tool result, with the thinking blocks of the model."""
    body = body_of(QUESTION, tools=TOOLS, max_tokens=4000, **fields)
    reply = (await ask(app, body, model=model)).json
    assert reply["content"][0]["type"] == "thinking"
    results = [tool_result(b["id"]) for b in reply["content"] if b["type"] == "tool_use"]
    return [user(QUESTION), assistant(*reply["content"]), user(*results)]


def following(messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return body_of(**{"messages": messages, "tools": TOOLS, "max_tokens": 4000, **fields})


@pytest.mark.parametrize("model", [BOUND, "claude-sonnet-5-5", "claude-fable-5-1", "claude-fable-5", "claude-opus-5"])
async def test_an_unchanged_conversation_is_accepted(model: str) -> None:
    app = emulator()
    messages = await tool_turn(app, model)
    for turn in range(3):
        answer = await ask(app, following(messages), model=model)
        assert answer.status == 200, answer.body
        messages = [*messages, assistant(*answer.json["content"]), user(f"And then, number {turn}?")]


CHANGES: list[tuple[str, Any]] = [
    ("another system prompt", lambda m: following(m, system="Today is Tuesday.")),
    ("another tool", lambda m: following(m, tools=[*TOOLS, tool("other")])),
    (
        "tool keys in another order",
        lambda m: following(m, tools=[{**tool(), "input_schema": _reversed_schema(tool())}]),
    ),
    ("another question", lambda m: following([user("What was the weather in Paris?"), *m[1:]])),
]


def _reversed_schema(a_tool: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(a_tool["input_schema"].items()))


@pytest.mark.parametrize(("what", "change"), CHANGES, ids=[what for what, _ in CHANGES])
async def test_a_changed_prefix_is_rejected_on_models_that_check_it(what: str, change: Any) -> None:
    app = emulator()
    messages = await tool_turn(app, BOUND)
    assert await error_message(app, change(messages), model=BOUND) == OTHER_CONVERSATION
    free = await tool_turn(app, "claude-opus-5")
    assert (await ask(app, change(free), model="claude-opus-5")).status == 200


async def test_dropping_can_be_requested_and_is_reported() -> None:
    app = emulator()
    messages = await tool_turn(app, BOUND)
    body = following(messages, system="Changed.", thinking=DROP)
    answer = await ask(app, body, model=BOUND, betas=BETA)
    assert answer.status == 200, answer.body
    assert [(t["type"], t["reason"]) for t in answer.json["input_transformations"]] == [
        ("thinking_dropped", "prefix_binding_mismatch")
    ] * 2
    assert answer.json["input_transformations"][0]["path"] == "messages.1.content.0"
    streamed = await ask(app, {**body, "stream": True}, model=BOUND, betas=BETA)
    assert streamed.events[0][1]["message"]["input_transformations"] == answer.json["input_transformations"]


async def test_after_a_drop_the_conversation_continues_with_and_without_the_dropped_block() -> None:
    app = emulator()
    messages = await tool_turn(app, BOUND)
    body = following(messages, system="Changed.", thinking=DROP)
    reply = (await ask(app, body, model=BOUND, betas=BETA)).json
    again = [*messages, assistant(*reply["content"]), user("Thanks")]
    with_it = await ask(app, {**body, "messages": again}, model=BOUND, betas=BETA)
    assert len(with_it.json["input_transformations"]) == 2
    without = copy.deepcopy(again)
    without[1]["content"] = [b for b in without[1]["content"] if b["type"] != "thinking"]
    assert (await ask(app, following(without, system="Changed."), model=BOUND)).status == 200


async def test_leaving_out_an_earlier_block_invalidates_the_later_ones() -> None:
    app = emulator()
    messages = await tool_turn(app, BOUND)
    reply = (await ask(app, following(messages), model=BOUND)).json
    longer = [*messages, assistant(*reply["content"]), user("And London?")]
    assert (await ask(app, following(longer), model=BOUND)).status == 200
    hole = copy.deepcopy(longer)
    hole[1]["content"] = [b for b in hole[1]["content"] if b["type"] != "thinking"]
    assert "messages.3.content.0" in await error_message(app, following(hole), model=BOUND)
    none = copy.deepcopy(hole)
    none[3]["content"] = [b for b in none[3]["content"] if b["type"] != "thinking"]
    assert (await ask(app, following(none), model=BOUND)).status == 200


async def test_breakpoints_and_the_form_of_text_are_not_part_of_the_prefix() -> None:
    app = emulator()
    messages = await tool_turn(app, BOUND, system="Be brief.")
    messages[0] = user(text(QUESTION, cache_control={"type": "ephemeral"}))
    result = messages[2]["content"][0]
    result["content"] = [text(str(result["content"]))]
    body = following(
        messages,
        system=[text("Be brief.", cache_control={"type": "ephemeral"})],
        tools=[tool(cache_control={"type": "ephemeral"})],
    )
    answer = await ask(app, body, model=BOUND)
    assert answer.status == 200, answer.body


async def test_shown_and_hidden_thinking_are_the_same_block() -> None:
    app = emulator()
    messages = await tool_turn(app, BOUND, thinking={"type": "adaptive", "display": "summarized"})
    assert messages[1]["content"][0]["thinking"]
    assert (await ask(app, following(messages), model=BOUND)).status == 200
    messages[1]["content"][0]["thinking"] = ""
    assert (await ask(app, following(messages), model=BOUND)).status == 200


async def test_a_modified_block_is_rejected() -> None:
    app = emulator()
    messages = await tool_turn(app, UNBOUND, thinking={"type": "adaptive"})
    thinking = {"type": "adaptive"}
    modified = copy.deepcopy(messages)
    modified[1]["content"][0]["thinking"] += "!"
    message = await error_message(app, following(modified, thinking=thinking), model=UNBOUND)
    assert message.startswith(
        "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
        "modified."
    )
    earlier = [*modified, assistant("It is sunny."), user("Thanks")]
    message = await error_message(app, following(earlier, thinking=thinking), model=UNBOUND)
    assert message == "messages.1.content.0: Invalid `signature` in `thinking` block"


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64", base64.b64encode(b"x" * 100).decode()])
async def test_an_invented_signature_is_rejected(signature: str) -> None:
    block = {"type": "thinking", "thinking": "I think", "signature": signature}
    body = body_of(messages=[user("x"), assistant(block, text("y")), user("z")])
    assert await error_message(emulator(), body) == "messages.1.content.0: Invalid `signature` in `thinking` block"


async def test_a_signature_with_one_bit_changed_is_rejected() -> None:
    app = emulator()
    messages = await tool_turn(app, UNBOUND, thinking={"type": "adaptive"})
    raw = bytearray(base64.b64decode(messages[1]["content"][0]["signature"]))
    raw[30] ^= 1
    messages[1]["content"][0]["signature"] = base64.b64encode(raw).decode()
    assert "Invalid `signature`" in await error_message(app, following(messages), model=UNBOUND)


async def test_signatures_of_the_real_service_pass_as_those_of_another_model() -> None:
    """They are portable between platforms and cannot be verified here."""
    real = base64.b64encode(b"\x12\x48" + b"x" * 200).decode()
    block = {"type": "thinking", "thinking": "I think", "signature": real}
    body = body_of(messages=[user("x"), assistant(block, text("y")), user("z")])
    assert (await ask(emulator(), body)).status == 200
    answer = await ask(emulator(), {**body, "thinking": DROP}, model=BOUND, betas=BETA)
    assert answer.json["input_transformations"][0]["reason"] == "model_binding_mismatch"


async def test_a_block_of_another_model_is_dropped_silently() -> None:
    app = emulator()
    messages = await tool_turn(app, "claude-sonnet-5-5")
    answer = await ask(app, following(messages), model=BOUND)
    assert answer.status == 200
    assert "input_transformations" not in answer.json


@pytest.mark.parametrize(("policy", "status"), [("error", 400), ("drop", 200), ("off", 200)])
async def test_the_check_has_three_policies(policy: str, status: int) -> None:
    app = emulator(prefix_check=policy)
    messages = await tool_turn(app, BOUND)
    assert (await ask(app, following(messages, system="Changed."), model=BOUND)).status == status


async def test_another_emulator_with_the_same_seed_accepts_the_block() -> None:
    messages = await tool_turn(emulator(), BOUND)
    assert (await ask(emulator(), following(messages), model=BOUND)).status == 200
    assert (await ask(emulator(seed=1), following(messages), model=BOUND)).status == 400


async def test_redacted_thinking_is_accepted_when_it_comes_back() -> None:
    app = emulator()
    question = "Why? [[emulator: redacted]]"
    reply = (await ask(app, body_of(question), model=UNBOUND)).json
    assert reply["content"][0]["type"] == "redacted_thinking"
    messages = [user(question), assistant(*reply["content"]), user("And?")]
    assert (await ask(app, body_of(messages=messages), model=UNBOUND)).status == 200
    messages[1]["content"][0]["data"] = "AAAA"
    message = await error_message(app, body_of(messages=messages), model=UNBOUND)
    assert message == "messages.1.content.0: Invalid `data` in `redacted_thinking` block"


async def thinks(app: Emulator, body: dict[str, Any], model: str, betas: str = "") -> bool:
    answer = await ask(app, body, model=model, betas=betas)
    assert answer.status == 200, answer.body
    return bool(answer.json["content"][0]["type"] == "thinking")


async def test_which_replies_begin_with_thinking() -> None:
    app = emulator()
    assert await thinks(app, body_of(), BOUND)
    assert not await thinks(app, body_of(), "claude-opus-4-8")
    assert await thinks(app, body_of(thinking={"type": "adaptive"}), "claude-opus-4-8")
    assert not await thinks(app, body_of(thinking={"type": "disabled"}), "claude-opus-5")
    assert not await thinks(app, body_of(tools=TOOLS, tool_choice={"type": "any"}), "claude-opus-5")


async def test_between_tools_thinks_only_after_a_result() -> None:
    app, thinking = emulator(), {"type": "between_tools"}
    assert not await thinks(app, body_of(QUESTION, tools=TOOLS, thinking=thinking), "claude-sonnet-5-5")
    messages = await tool_turn(app, "claude-sonnet-5-5")
    assert await thinks(app, following(messages, thinking=thinking), "claude-sonnet-5-5")


async def test_manual_thinking_continues_after_a_result_only_if_interleaved() -> None:
    app, model = emulator(), "claude-sonnet-4-5@20250929"
    thinking = {"type": "enabled", "budget_tokens": 1024}
    messages = await tool_turn(app, model, thinking=thinking)
    body = following(messages, thinking=thinking)
    assert not await thinks(app, body, model)
    assert await thinks(app, body, model, betas="interleaved-thinking-2025-05-14")
    lost = copy.deepcopy(messages)
    lost[1]["content"] = lost[1]["content"][1:]
    silently = following(lost, thinking=thinking)
    assert not await thinks(app, silently, model, betas="interleaved-thinking-2025-05-14")


async def test_the_newest_models_put_text_before_calls_into_thinking() -> None:
    """On these models, text between tool calls is a thinking block, hidden like any other."""
    app = emulator()
    newest = (await ask(app, body_of(QUESTION, tools=TOOLS), model=BOUND)).json["content"]
    older = (await ask(app, body_of(QUESTION, tools=TOOLS), model="claude-opus-5")).json["content"]
    assert [b["type"] for b in newest] == ["thinking", "thinking", "tool_use"]
    assert [b["type"] for b in older] == ["thinking", "text", "tool_use"]
