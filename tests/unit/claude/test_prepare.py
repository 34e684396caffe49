"""The rules: their order, and that one request can be prepared for many models."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from modelmux.catalog import ModelCard, builtin
from modelmux.claude import (
    betas,
    caching,
    limits,
    prefill,
    prepare,
    property_keys,
    sampling,
    structured_output,
    system_turns,
    thinking,
    thinking_blocks,
    tool_choice,
    tools,
    web_search,
)
from modelmux.claude.draft import Rule, SignedThinking
from modelmux.claude.options import Options
from modelmux.claude.prepare import RULES, PreparedRequest
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import Thinking, ThinkingBlock, encode_request
from modelmux.wire.openai.chat_request import ChatRequest
from support.translation import OPUS, PREFILL, SONNET

Json = dict[str, Any]

BUDGET = PREFILL
PLAIN = replace(SONNET, supports_mid_system=False)
USER, REPLY, SYSTEM = [{"role": role, "content": role} for role in ("user", "assistant", "system")]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "r"}
TOOL = {"type": "function", "function": {"name": "f"}}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}
SCHEMA = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(20)}}
FORMAT = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
OPEN = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
MARK = {"cache_control": {"type": "ephemeral"}}


def decoded(fields: Json) -> tuple[ClaudeRequest, ReplyPlan]:
    return to_claude_request(msgspec.convert({"model": "m", "messages": [USER], **fields}, ChatRequest))


#: Pairs of rules whose order matters, each with a request that shows it.
PAIRS: list[tuple[Rule, Rule, Json, ModelCard, Options]] = [
    # The budget for thinking is below the token limit, so the limit has to be known.
    (limits.apply, thinking.apply, {"reasoning_effort": "high"}, BUDGET, Options()),
    # Only a turn that is still there can be the last one, or get a breakpoint.
    (system_turns.apply, prefill.apply, {"messages": [USER, SYSTEM, {"role": "assistant", "content": ""}]}, PLAIN,
     Options()),
    (system_turns.apply, caching.apply, {"messages": [USER, REPLY, USER, SYSTEM]}, PLAIN, Options()),
    # Restored thinking needs the beta.
    (thinking_blocks.apply, betas.apply, {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, RESULT]},
     OPUS, Options()),
    # Strict tools share the limits of the answer's schema, and the answer tool is the last one.
    (structured_output.apply, tools.apply, {"response_format": FORMAT, "tools": [
        {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}]}, SONNET, Options()),
    (structured_output.apply, structured_output.add_answer_tool, {"response_format": OPEN}, SONNET, Options()),
    (structured_output.apply, caching.apply, {
        "messages": [SYSTEM, USER], "tools": [TOOL], "response_format": {"type": "json_object"}}, SONNET, Options()),
    (tools.apply, web_search.apply, {
        "messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, RESULT], "web_search_options": {}}, SONNET,
     Options()),
    (tools.apply, structured_output.add_answer_tool, {
        "messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, RESULT], "response_format": OPEN}, SONNET,
     Options()),
    (web_search.apply, structured_output.add_answer_tool, {"web_search_options": {}, "response_format": OPEN}, SONNET,
     Options()),
    (web_search.apply, caching.apply, {"web_search_options": {}}, SONNET, Options()),
    (structured_output.add_answer_tool, thinking.resolve_conflicts, {
        "response_format": OPEN, "reasoning_effort": "low"}, BUDGET, Options()),
    (structured_output.add_answer_tool, caching.apply, {"response_format": OPEN}, SONNET, Options()),
    # A choice that is no longer forced leaves room for thinking.
    (tool_choice.apply, thinking.resolve_conflicts, {
        "tools": [TOOL], "tool_choice": "required", "thinking": {"type": "enabled", "budget_tokens": 2000}},
     replace(BUDGET, forced_tool_choice="reject"), Options(forced_tool_choice="downgrade")),
    # A user turn that asks to continue can be thought about; a prefill cannot.
    (prefill.apply, thinking.resolve_conflicts, {"messages": [USER, REPLY], "reasoning_effort": "low"}, SONNET,
     Options(prefill="continue")),
    (prefill.apply, caching.apply, {"messages": [USER, REPLY]}, SONNET, Options(prefill="continue")),
    # What the model does not accept is not reported as excluded by thinking.
    (sampling.apply, thinking.resolve_conflicts, {"temperature": 1.5, "reasoning_effort": "low"}, SONNET, Options()),
    (thinking.apply, thinking.resolve_conflicts, {"temperature": 0.5, "reasoning_effort": "low"}, SONNET, Options()),
    # The answer tool has keys like any other.
    (structured_output.add_answer_tool, property_keys.apply, {"response_format": {
        "type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": {"a b": {}}}}}}, SONNET,
     Options()),
    (thinking.apply, betas.apply, {
        "messages": [USER, {**REPLY, "thinking_blocks": [SIGNED]}, USER], "reasoning_effort": "none"},
     replace(OPUS, thinking=("adaptive", "disabled")), Options()),
    (thinking.resolve_conflicts, betas.apply, {
        "messages": [USER, {**REPLY, "thinking_blocks": [SIGNED]}, USER], "reasoning_effort": "low",
        "tools": [TOOL], "tool_choice": "required"},
     replace(OPUS, forced_tool_choice="not_with_thinking", thinking_default="off"), Options()),
]  # fmt: skip


def _name(pair: tuple[Any, ...]) -> str:
    return " before ".join(f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}" for rule in pair[:2])


def recall(call_id: str) -> tuple[SignedThinking, ...]:
    return (ThinkingBlock("", call_id),)


def outcome(fields: Json, card: ModelCard, options: Options) -> Any:
    """What is sent and noticed, or why the request is rejected."""
    try:
        prepared = prepare.prepare(*decoded(fields), card, options, recall)
    except (InvalidRequest, AssertionError) as error:
        return repr(error)
    return encode_request(prepared.body), prepared.plan, prepared.notices, prepared.betas


@pytest.mark.parametrize(
    ("first", "second", "fields", "card", "options"),
    PAIRS,
    ids=[f"{a.__module__}-{b.__module__}" for a, b, *_ in PAIRS],
)
def test_the_order_of_these_rules_matters(
    first: Rule, second: Rule, fields: Json, card: ModelCard, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RULES.index(first) < RULES.index(second)
    in_order = outcome(fields, card, options)
    later = [rule for rule in RULES if rule is not first]
    later.insert(later.index(second) + 1, first)
    monkeypatch.setattr(prepare, "RULES", tuple(later))
    assert outcome(fields, card, options) != in_order


def test_every_rule_is_in_the_table_of_pairs() -> None:
    assert {rule for first, second, *_ in PAIRS for rule in (first, second)} == set(RULES)


FIELDS: list[Json] = [fields for _, _, fields, *_ in PAIRS] + [
    {"messages": [{**USER, **MARK}, SYSTEM, {**REPLY, "tool_calls": [CALL]}, {**RESULT, **MARK}, USER], **MARK},
    {"messages": [{**SYSTEM, "content": "", **MARK}, USER], "tools": [TOOL]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": str(i), **MARK} for i in range(6)]}],
     "prompt_cache_options": {"ttl": "30m"}, "temperature": 1.7, "top_p": 0.3, "max_tokens": 10**9},
    {"messages": [USER, {"role": "assistant", "content": "Sure: "}]},
]  # fmt: skip


@pytest.mark.parametrize("fields", FIELDS)
def test_a_request_is_not_changed_and_serves_every_model(fields: Json) -> None:
    shared, plan = decoded(fields)
    before = msgspec.json.encode(shared, enc_hook=list)
    cards = [*builtin().cards, PLAIN, replace(SONNET, thinking=(), structured_output=False)]
    for options in (Options(), Options("downgrade", "continue", caching=False)):
        for card in cards:
            assert _attempt(shared, plan, card, options) == _attempt(*decoded(fields), card, options)
    assert msgspec.json.encode(shared, enc_hook=list) == before


def _attempt(request: ClaudeRequest, plan: ReplyPlan, card: ModelCard, options: Options) -> Any:
    try:
        prepared = prepare.prepare(request, plan, card, options, recall)
    except InvalidRequest as error:
        return str(error)
    return msgspec.json.encode(prepared)


TOOL_LOOP: Json = {"messages": [
    USER, {"role": "assistant", "content": "a", "thinking_blocks": [SIGNED], "tool_calls": [CALL]}, RESULT,
    {"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": "d"}]}, {**RESULT, "tool_call_id": "d"},
]}  # fmt: skip


def thinking_sent(prepared: PreparedRequest) -> list[list[str]]:
    """The signatures in each assistant turn, and whatever else is there by its type."""
    return [
        [block.signature if isinstance(block, ThinkingBlock) else type(block).__name__ for block in message.content]
        for message in prepared.body.messages
        if message.role == "assistant"
    ]


@pytest.mark.parametrize(
    ("known", "other_model", "expected", "dropped"),
    [
        ({}, False, [["s", "TextBlock", "ToolUseBlock"], ["ToolUseBlock"]], False),
        ({}, True, [["TextBlock", "ToolUseBlock"], ["ToolUseBlock"]], True),
        ({"c": "hm:s"}, True, [["s", "TextBlock", "ToolUseBlock"], ["ToolUseBlock"]], False),
        ({"c": ":own"}, True, [["TextBlock", "ToolUseBlock"], ["ToolUseBlock"]], True),
        ({"c": ":own", "d": ":own2"}, True, [["own", "TextBlock", "ToolUseBlock"], ["own2", "ToolUseBlock"]], True),
    ],
)
def test_another_model_gets_only_its_own_thinking(
    known: dict[str, str], other_model: bool, expected: list[list[str]], dropped: bool
) -> None:
    def remembered(call_id: str) -> tuple[SignedThinking, ...] | None:
        return (ThinkingBlock(*known[call_id].split(":")),) if call_id in known else None

    prepared = prepare.prepare(*decoded(TOOL_LOOP), OPUS, Options(), remembered, other_model=other_model)
    assert thinking_sent(prepared) == expected
    notice = ("dropped", "messages") in [(notice.action, notice.field) for notice in prepared.notices]
    assert notice is dropped


@pytest.mark.parametrize(
    ("mode", "default", "expected"),
    [
        (None, "on", True), (None, "off", False), (Thinking("disabled"), "on", False),
        (Thinking("adaptive"), "off", True), (Thinking("enabled", 1024), "off", True),
        (Thinking("between_tools"), "off", True),
    ],
)  # fmt: skip
def test_thinking_is_worth_keeping_where_the_model_may_think(
    mode: Thinking | None, default: Any, expected: bool
) -> None:
    request, plan = decoded({})
    request = replace(request, body=replace(request.body, thinking=mode))
    card = replace(SONNET, thinking_default=default)
    assert prepare.prepare(request, plan, card, Options()).keeps_thinking is expected
