"""Translation is append-only and deterministic, and whatever a client sends is legal upstream or refused by name."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.catalog import ModelCard, builtin
from modelmux.claude.conversation import START, ConversationBuilder, ConversationState
from modelmux.claude.options import Options
from modelmux.claude.prefix import first_difference
from modelmux.claude.prepare import prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.dialects.openai_chat.messages import add_messages, count_leading_system
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import MessagesRequest, encode_request
from modelmux.wire.openai.chat_request import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    FunctionMessage,
    ToolMessage,
    decode_request,
)
from support.conversations import conversations, requests
from support.recordings import openai_requests
from support.translation import breakpoints, translate_request
from support.work import assert_linear, count_calls

CARDS = list(builtin().cards)
OPTIONS = Options(prefill="continue")


def request_of(body: dict[str, Any]) -> ChatRequest:
    return decode_request(json.dumps(body).encode())


def translate(request: ChatRequest, card: ModelCard, options: Options = OPTIONS) -> MessagesRequest | None:
    """The body, or None where the request is refused; any other failure is a bug."""
    try:
        return translate_request(request, card, options).body
    except InvalidRequest as error:
        assert error.param
        return None


@given(conversations(), st.sampled_from(CARDS))
def test_a_longer_conversation_extends_the_shorter(body: dict[str, Any], card: ModelCard) -> None:
    """At every point where a client has asked: before each answer of the assistant, and at the end.

    Asking a model to continue its own words adds a turn that the client does not keep, so that is left out here.
    So are questions without tools before the first tool call: no answer to them could have called one.
    """
    request = request_of(body)
    calls = [] if request.tools else [i for i in range(len(request.messages)) if _calls(request, i)]
    lengths = [i for i in range(1, len(request.messages)) if _is_answer(request, i) and (not calls or i > calls[0])]
    earlier: MessagesRequest | None = None
    for end in [*lengths, len(request.messages)]:
        now = translate(msgspec.structs.replace(request, messages=request.messages[:end]), card, Options())
        if earlier is not None and now is not None:
            assert first_difference(earlier, now) is None
        earlier = now


def _calls(request: ChatRequest, index: int) -> bool:
    message = request.messages[index]
    return isinstance(message, AssistantMessage) and bool(message.tool_calls or message.function_call)


def _is_answer(request: ChatRequest, index: int) -> bool:
    """An assistant message that answers what came before it: nobody asks with tool calls left open, or in the middle
    of the assistant's own words."""
    before = request.messages[:index]
    if not isinstance(request.messages[index], AssistantMessage) or isinstance(before[-1], AssistantMessage):
        return False
    waiting: list[str] = []
    for message in before:
        if isinstance(message, AssistantMessage):
            waiting += [call.id for call in message.tool_calls or ()]
            waiting += [f"function:{message.function_call.name}"] if message.function_call else []
        else:
            id = getattr(message, "tool_call_id", f"function:{getattr(message, 'name', None)}")
            if isinstance(message, ToolMessage | FunctionMessage) and id in waiting:
                waiting.remove(id)
    return not waiting


def _added(
    messages: list[ChatMessage], first: int, state: ConversationState
) -> tuple[ConversationBuilder, TranslationContext]:
    ctx = TranslationContext()
    builder = ConversationBuilder(ctx.notices, state)
    add_messages(messages, first, builder, ctx)
    return builder, ctx


def _outcome(*parts: tuple[ConversationBuilder, TranslationContext]) -> tuple[Any, ...]:
    """What was translated in parts, put together; the last one is finished."""
    parts[-1][0].finish()
    return (
        [turn for builder, _ in parts for turn in builder.turns],
        [system for builder, _ in parts for system in builder.late_system],
        [item for builder, _ in parts for item in builder.client_ids.items()],
        list(dict.fromkeys(notice for _, ctx in parts for notice in ctx.notices.items)),
        {name: original for _, ctx in parts for name, original in ctx.tool_names.originals.items()},
    )


@given(conversations())
def test_translation_continues_from_a_remembered_state_at_every_cut(body: dict[str, Any]) -> None:
    messages = request_of(body).messages
    first = count_leading_system(messages)
    messages = messages[first:]
    complete = _outcome(_added(messages, first, START))
    for cut in range(len(messages) + 1):
        beginning = _added(messages[:cut], first, START)
        state = beginning[0].state
        before = msgspec.json.encode(state)
        for _ in range(2):  # a state serves any number of continuations
            rest = _added(messages[cut:], first + cut, state)
            assert _outcome(beginning, rest) == complete
        assert msgspec.json.encode(state) == before


def test_a_continuation_costs_what_is_new() -> None:
    step = [
        {"role": "user", "content": "go"},
        {"role": "system", "content": "now"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]
    messages = request_of({"model": "m", "messages": step * 200}).messages
    costs = []
    for turns in (20, 180):
        state = _added(messages[: 4 * turns], 0, START)[0].state
        costs.append(count_calls(lambda turns=turns, state=state: _added(messages[4 * turns :][:40], 4 * turns, state)))
    assert costs[1] <= costs[0] + 10, "the length of what came before makes no difference"
    assert_linear(lambda turns: _added(messages[: 4 * turns], 0, START)[0].finish(), 100)


@given(requests(), st.lists(st.sampled_from(CARDS), min_size=2, max_size=4))
def test_preparing_for_one_model_changes_nothing_for_the_next(body: dict[str, Any], cards: list[ModelCard]) -> None:
    try:
        shared, plan = to_claude_request(request_of(body))
    except InvalidRequest:
        return
    before = msgspec.json.encode(shared, enc_hook=list)
    for card in cards:
        assert _prepared(shared, plan, card) == _prepared(*to_claude_request(request_of(body)), card)
    assert msgspec.json.encode(shared, enc_hook=list) == before


def _prepared(request: ClaudeRequest, plan: ReplyPlan, card: ModelCard) -> bytes | str:
    try:
        return msgspec.json.encode(prepare(request, plan, card, OPTIONS))
    except InvalidRequest as error:
        return str(error)


@given(conversations(), st.sampled_from(CARDS))
def test_the_same_request_gives_the_same_bytes(body: dict[str, Any], card: ModelCard) -> None:
    first, second = translate(request_of(body), card), translate(request_of(body), card)
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert encode_request(first) == encode_request(second)


@given(conversations(), st.sampled_from(CARDS))
def test_what_is_sent_is_legal(body: dict[str, Any], card: ModelCard) -> None:
    translated = translate(request_of(body), card)
    if translated is not None:
        check_legal(json.loads(encode_request(translated)), card)


@pytest.mark.parametrize("recording", openai_requests())
def test_recorded_requests_are_legal(recording: dict[str, Any]) -> None:
    try:
        request = request_of({**recording["request"], "model": "m"})
    except InvalidRequest as error:
        assert error.param
        return
    for card in CARDS:
        translated = translate(request, card)
        if translated is not None:
            check_legal(json.loads(encode_request(translated)), card)


def check_legal(body: dict[str, Any], card: ModelCard) -> None:
    """The multi-turn rules of Messages on Vertex AI."""
    messages = body["messages"]
    assert messages[0]["role"] == "user"
    assert messages[-1]["role"] != "assistant" or card.prefill
    ids: set[str] = set()
    waiting: list[str] = []
    for number, message in enumerate(messages):
        blocks = message["content"]
        assert blocks
        assert not number or message["role"] != messages[number - 1]["role"]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert all(b["type"] == "tool_result" for b in blocks[: len(results)]), "results come first"
        assert sorted(results) == sorted(waiting), "every call is answered in the next message, and nothing else is"
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert not ids & set(waiting)
        assert len(set(waiting)) == len(waiting)
        ids |= set(waiting)
        for block in blocks:
            check_block(block)
        if message["role"] == "system":
            assert card.supports_mid_system
            assert messages[number - 1]["role"] == "user"
            assert number == len(messages) - 1 or messages[number + 1]["role"] == "assistant"
    assert not waiting
    assert breakpoints(body) <= 4


def check_block(block: dict[str, Any]) -> None:
    kind = block["type"]
    if kind == "text":
        assert block["text"].strip()
    elif kind == "tool_use":
        assert isinstance(block["input"], dict)
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", block["name"])
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", block["id"])
    elif kind in ("thinking", "redacted_thinking"):
        assert block.get("signature") or block.get("data")
        assert "cache_control" not in block
