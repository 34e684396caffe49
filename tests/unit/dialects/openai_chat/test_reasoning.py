"""How much to think: three dialects, five generations of models, and what cannot stand beside thinking (E57)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from modelmux.catalog import ModelCard, builtin
from modelmux.claude.notices import Notices
from modelmux.claude.request import ReasoningRequest
from modelmux.dialects.openai_chat.reasoning import read_request
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import ChatRequest
from support.translation import notices, sent

CARD = builtin().card
ALWAYS = CARD("claude-opus-5-5")  # adaptive only
BETWEEN = CARD("claude-sonnet-5-5")  # adaptive, between_tools
DEFAULT_ON = CARD("claude-opus-5")  # adaptive, disabled; thinks unasked
DEFAULT_OFF = CARD("claude-opus-4-8")  # adaptive, disabled; does not
NO_XHIGH = CARD("claude-opus-4-6")
BUDGET_EFFORT = CARD("claude-opus-4-5")  # enabled, disabled; effort
BUDGET = CARD("claude-sonnet-4-5")  # enabled, disabled; no effort
NEVER = CARD("claude-3-5-haiku")

ASKS: list[tuple[dict[str, Any], ReasoningRequest | None]] = [
    ({}, None),
    ({"reasoning_effort": None}, None),
    ({"reasoning_effort": "default"}, None),
    ({"reasoning_effort": "high"}, ReasoningRequest("high")),
    ({"reasoning_effort": "none"}, ReasoningRequest("none")),
    ({"reasoning_effort": {"effort": "low", "summary": "auto"}}, ReasoningRequest("low")),
    ({"reasoning_effort": {"summary": "auto"}}, None),
    ({"reasoning": {}}, None),
    ({"reasoning": {"exclude": True}}, None),
    ({"reasoning": {"enabled": True}}, ReasoningRequest(None)),
    ({"reasoning": {"enabled": False, "effort": "high"}}, ReasoningRequest("none")),
    ({"reasoning": {"effort": "max", "exclude": True}}, ReasoningRequest("max", None, False)),
    ({"reasoning": {"max_tokens": 2000}}, ReasoningRequest(None, 2000)),
    ({"reasoning": {"max_tokens": 2000, "effort": "low"}, "reasoning_effort": "max"}, ReasoningRequest("low", 2000)),
    ({"thinking": {"type": "disabled"}}, ReasoningRequest("none")),
    ({"thinking": {"type": "between_tools"}}, ReasoningRequest("none")),
    ({"thinking": {"type": "adaptive"}, "reasoning": {"enabled": False}}, ReasoningRequest(None)),
    ({"thinking": {"type": "adaptive", "display": "omitted"}}, ReasoningRequest(None, None, False)),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 3000}},
        ReasoningRequest(None, 3000, exact=True, budget_field="thinking.budget_tokens"),
    ),
    ({"thinking": {"type": "enabled"}}, ReasoningRequest(None)),
]


@pytest.mark.parametrize(("fields", "ask"), ASKS)
def test_every_dialect_is_read_and_anthropics_wins(fields: dict[str, Any], ask: ReasoningRequest | None) -> None:
    assert read_request(msgspec.convert({"model": "m", "messages": [], **fields}, ChatRequest), Notices()) == ask


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ({"reasoning_effort": 5}, "reasoning_effort"),
    ({"reasoning_effort": ["high"]}, "reasoning_effort"),
    ({"reasoning_effort": {"effort": {}}}, "reasoning_effort"),
    ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ({"reasoning": {"max_tokens": 0}}, "reasoning.max_tokens"),
    ({"reasoning": {"max_tokens": True}}, "reasoning.max_tokens"),
    ({"reasoning": {"max_tokens": "many"}}, "reasoning.max_tokens"),
    ({"thinking": {}}, "thinking.type"),
    ({"thinking": {"type": ["enabled"]}}, "thinking.type"),
    ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1.5}}, "thinking.budget_tokens"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_a_value_nobody_defines_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent(fields)
    assert caught.value.param == param


SHOWN = {"type": "adaptive", "display": "summarized"}
HIDDEN = {"type": "adaptive", "display": "omitted"}
FORMS: list[tuple[ModelCard, dict[str, Any], dict[str, Any] | None, str | None, list[tuple[str, str]]]] = [
    # card, request, thinking, effort, notices
    (ALWAYS, {}, None, None, []),
    (ALWAYS, {"reasoning_effort": "high"}, SHOWN, "high", []),
    (ALWAYS, {"reasoning_effort": "minimal"}, SHOWN, "low", []),
    (ALWAYS, {"reasoning_effort": "none"}, HIDDEN, "low", [("changed", "reasoning")]),
    (ALWAYS, {"reasoning": {"effort": "max", "exclude": True}}, HIDDEN, "max", []),
    (ALWAYS, {"reasoning": {"enabled": True}}, SHOWN, None, []),
    (ALWAYS, {"thinking": {"type": "enabled", "budget_tokens": 1}}, SHOWN, "low", []),
    (ALWAYS, {"thinking": {"type": "enabled", "budget_tokens": 1025}}, SHOWN, "medium", []),
    (ALWAYS, {"thinking": {"type": "enabled", "budget_tokens": 32_001}}, SHOWN, "max", []),
    (BETWEEN, {"reasoning_effort": "none"}, {"type": "between_tools"}, None, []),
    (DEFAULT_ON, {"reasoning_effort": "none"}, {"type": "disabled"}, None, []),
    (DEFAULT_ON, {"reasoning_effort": "xhigh"}, SHOWN, "xhigh", []),
    (DEFAULT_OFF, {"reasoning_effort": "none"}, None, None, []),
    (NO_XHIGH, {"reasoning_effort": "xhigh"}, SHOWN, "high", [("clamped", "reasoning")]),
    (NO_XHIGH, {"reasoning_effort": "max"}, SHOWN, "max", []),
    (BUDGET_EFFORT, {"reasoning_effort": "max"}, {"type": "enabled", "budget_tokens": 32_000}, "high",
     [("clamped", "reasoning")]),
    (BUDGET_EFFORT, {"reasoning": {"enabled": True}}, {"type": "enabled", "budget_tokens": 4096}, None, []),
    (BUDGET, {"reasoning_effort": "low"}, {"type": "enabled", "budget_tokens": 1024}, None, []),
    (BUDGET, {"reasoning_effort": "none"}, {"type": "disabled"}, None, []),
    (BUDGET, {"reasoning": {"max_tokens": 5}}, {"type": "enabled", "budget_tokens": 1024}, None, [
        ("clamped", "reasoning")]),
    (BUDGET, {"reasoning_effort": "high", "max_tokens": 4000}, {"type": "enabled", "budget_tokens": 2000}, None,
     [("clamped", "reasoning")]),
    (BUDGET, {"reasoning_effort": "high", "max_tokens": 1025}, {"type": "enabled", "budget_tokens": 1024}, None,
     [("clamped", "reasoning")]),
    (BUDGET, {"reasoning_effort": "high", "max_tokens": 1024}, None, None, [("dropped", "reasoning")]),
    (BUDGET_EFFORT, {"reasoning_effort": "high", "max_tokens": 9}, None, None, [("dropped", "reasoning")]),
    (NEVER, {"reasoning_effort": "high"}, None, None, [("dropped", "reasoning")]),
    (NEVER, {"reasoning_effort": "none"}, None, None, []),
]  # fmt: skip


@pytest.mark.parametrize(("card", "fields", "thinking", "effort", "said"), FORMS)
def test_each_generation_gets_the_form_it_takes(
    card: ModelCard,
    fields: dict[str, Any],
    thinking: dict[str, Any] | None,
    effort: str | None,
    said: list[tuple[str, str]],
) -> None:
    body = sent(fields, card)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert notices(fields, card) == said


@pytest.mark.parametrize("card", builtin().cards, ids=lambda card: card.id)
@pytest.mark.parametrize("level", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_no_model_is_sent_what_it_refuses(card: ModelCard, level: str) -> None:
    body = sent({"reasoning_effort": level}, card)
    thinking, effort = body.get("thinking", {}), body.get("output_config", {}).get("effort")
    assert thinking.get("type", card.thinking[0] if card.thinking else "") in (*card.thinking, "")
    assert effort is None or effort in card.effort
    if thinking.get("type") == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]


def test_a_card_of_the_operators_with_odd_efforts_hangs_nothing() -> None:
    for efforts, expected in ((("high",), "high"), (("turbo",), "turbo"), (("max", "high"), "max")):
        card = msgspec.structs.replace(ALWAYS, effort=efforts)
        assert sent({"reasoning_effort": "medium"}, card)["output_config"]["effort"] == expected


TOOL = [{"type": "function", "function": {"name": "f"}}]
CONFLICTS: list[tuple[ModelCard, dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    # what is left of thinking type, temperature, top_p, top_k
    (BUDGET, {"temperature": 0.5, "top_k": 5}, {"thinking": "enabled"},
     [("dropped", "temperature"), ("dropped", "top_k")]),
    (BUDGET, {"temperature": 1}, {"thinking": "enabled", "temperature": 1.0}, []),
    (BUDGET, {"top_p": 0.5}, {"thinking": "enabled", "top_p": 0.95}, [("clamped", "top_p")]),
    (BUDGET, {"top_p": 0.97}, {"thinking": "enabled", "top_p": 0.97}, []),
    (NO_XHIGH, {"temperature": 0.5}, {"thinking": "adaptive"}, [("dropped", "temperature")]),
    (BUDGET, {"tools": TOOL, "tool_choice": "required", "temperature": 0.5}, {"temperature": 0.5},
     [("dropped", "reasoning")]),
    (BUDGET, {"tools": TOOL, "tool_choice": {"type": "function", "function": {"name": "f"}}}, {},
     [("dropped", "reasoning")]),
    (BUDGET, {"tools": TOOL, "tool_choice": "auto"}, {"thinking": "enabled"}, []),
    (NO_XHIGH, {"tools": TOOL, "tool_choice": "required"}, {"thinking": "adaptive"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("card", "fields", "left", "said"), CONFLICTS)
def test_what_cannot_stand_beside_thinking_gives_way(
    card: ModelCard, fields: dict[str, Any], left: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    fields = {"reasoning_effort": "low", **fields}
    body = sent(fields, card)
    found = {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body}
    if "thinking" in body:
        found["thinking"] = body["thinking"]["type"]
    assert found == left
    assert notices(fields, card) == said


def test_sampling_stays_where_the_model_does_not_think() -> None:
    fields = {"reasoning_effort": "none", "temperature": 0.5}
    assert sent(fields, BUDGET)["temperature"] == 0.5
    assert sent(fields, NEVER)["temperature"] == 0.5


def test_what_a_forced_call_takes_from_thinking() -> None:
    tool = {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}
    for card, kept in [
        (replace(BUDGET, forced_tool_choice="ok"), False),
        (replace(DEFAULT_ON, forced_tool_choice="not_with_thinking"), False),
        (replace(DEFAULT_ON, forced_tool_choice="ok"), True),
    ]:
        assert ("thinking" in sent({**tool, "reasoning_effort": "low"}, card)) is kept


def test_bounds_that_are_met_exactly() -> None:
    assert notices({"reasoning_effort": "high", "top_p": 0.95}, NO_XHIGH) == []
    asked = sent({"reasoning_effort": "high", "max_tokens": 3001}, BUDGET)
    assert asked["thinking"]["budget_tokens"] == 1500
    assert json.dumps(asked["thinking"]["budget_tokens"]) == "1500"
    by_budget = {"thinking": {"type": "enabled", "budget_tokens": 4096, "display": "omitted"}}
    body = sent(by_budget, DEFAULT_OFF)
    assert body["output_config"]["effort"] == "medium"
    assert body["thinking"]["display"] == "omitted"
