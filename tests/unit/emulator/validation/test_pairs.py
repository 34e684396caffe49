"""A field that belongs to a beta is an extra input without it (messages.md 3), and accepted with it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from modelmux.emulator import EmulatorSettings, create_emulator
from support.clock import Clock
from support.emulator_calls import (
    Json,
    ask,
    assistant,
    body_of,
    error_message,
    tool,
    tool_result,
    tool_use,
    user,
    with_fable_5_2,
)

APP = create_emulator(EmulatorSettings(tokens_per_second=0), catalog=with_fable_5_2())
FABLE = "claude-fable-5-2"
OPUS = "claude-opus-5-5"


class Pair(NamedTuple):
    betas: str
    body: Json
    path: str
    words: str = "Extra inputs are not permitted"
    model: str = OPUS


def edits(**edit: Any) -> Json:
    return body_of(context_management={"edits": [edit]})


def with_system(**fields: Any) -> Json:
    return body_of(messages=[user("Hi"), {"role": "system", **fields}])


LOOP = [
    user("weather?"),
    assistant(tool_use()),
    user(tool_result(content=[{"type": "tool_reference", "tool_name": "b"}])),
]
PAIRS = [
    Pair("context-management-2025-06-27",
         edits(type="clear_tool_uses_20250919", keep={"type": "tool_uses", "value": 3}, clear_tool_inputs=["b"]),
         "context_management"),
    Pair("context-management-2025-06-27",
         edits(type="clear_thinking_20251015", keep={"type": "thinking_turns", "value": 1}), "context_management"),
    Pair("context-management-2025-06-27", edits(type="clear_thinking_20251015", keep="all"), "context_management"),
    Pair("compact-2026-01-12", edits(type="compact_20260112", trigger={"type": "input_tokens", "value": 1000}),
         "context_management"),
    Pair("compact-2026-09-04", body_of(compaction={"type": "summarize"}), "compaction"),
    Pair("task-budgets-2026-03-13", body_of(output_config={"task_budget": {"type": "tokens", "total": 40_000}}),
         "output_config.task_budget"),
    Pair("per-turn-control-2026-07-01", with_system(content="Be brief.", output_config={"effort": "low"}),
         "messages.1.output_config"),
    Pair("mid-conversation-output-config-2026-07-01", with_system(content="Be brief.", output_config={"effort": "low"}),
         "messages.1.output_config"),
    Pair("mid-conversation-system-clear-at-2026-08-21", with_system(content="Be brief.", clear_at="next_user_message"),
         "messages.1.clear_at"),
    Pair("mid-conversation-tool-changes-2026-07-01",
         with_system(content=[{"type": "tool_addition", "tool": {"type": "tool_reference", "name": "b"}}]),
         "messages.1.content.0", "Input tag 'tool_addition' found"),
    Pair("dangerous-tool-use-2026-09-03", body_of(safeguards={"dangerous_tool_use": "block"}), "safeguards"),
    Pair("thinking-binding-controls-2026-08-01", body_of(thinking={"type": "adaptive", "block_binding": {}}),
         "thinking.adaptive.block_binding"),
    Pair("thinking-display-updates-2026-08-18", body_of(thinking={"type": "adaptive", "display": "updates"}),
         "thinking.adaptive.display", "Input should be 'summarized' or 'omitted'"),
    Pair("fast-mode-2026-02-01", body_of(speed="fast"), "speed", model=FABLE),
    Pair("tool-search-tool-2025-10-19", body_of(tools=[tool(), tool("b", defer_loading=True)]),
         "tools.1.custom.defer_loading"),
    Pair("tool-search-tool-2025-10-19", body_of(messages=LOOP, tools=[tool()]),
         "messages.2.content.0.tool_result.content.0", "Input tag 'tool_reference' found"),
    Pair("tool-search-tool-2025-10-19",
         body_of(tools=[tool(), {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}]),
         "tools.1", "Input tag 'tool_search_tool_regex_20251119' found"),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=[f"{pair.path} with {pair.betas}" for pair in PAIRS])
async def test_a_field_needs_its_beta(pair: Pair) -> None:
    message = await error_message(APP, pair.body, model=pair.model, betas="effort-2025-11-24")
    assert message.startswith(f"{pair.path}: {pair.words}")
    answer = await ask(APP, pair.body, model=pair.model, betas=f"effort-2025-11-24,{pair.betas}")
    assert answer.status == 200, answer.body


async def test_an_edit_needs_the_beta_of_its_kind() -> None:
    compact = edits(type="compact_20260112")
    message = await error_message(APP, compact, betas="context-management-2025-06-27")
    assert message.startswith("context_management.edits.0: Input tag 'compact_20260112' found")
    unknown = edits(type="clear_thinking_20251015", keep="all", turns=1)
    message = await error_message(APP, unknown, betas="context-management-2025-06-27")
    assert message == "context_management.edits.0.clear_thinking_20251015.turns: Extra inputs are not permitted"


async def test_only_system_messages_have_an_output_config() -> None:
    body = body_of(messages=[{**user("Hi"), "output_config": {"effort": "low"}}])
    message = await error_message(APP, body, model=OPUS, betas="per-turn-control-2026-07-01")
    assert message == "messages.0.output_config: Extra inputs are not permitted"


async def test_a_system_message_may_have_an_output_config_alone() -> None:
    betas = "per-turn-control-2026-07-01"
    body = with_system(output_config={"effort": "low"})
    assert (await ask(APP, body, model=OPUS, betas=betas)).status == 200
    message = await error_message(APP, with_system(), model=OPUS, betas=betas)
    assert message == "messages.1.content: Field required"


async def test_fast_mode_is_served_by_one_model_with_its_own_quota() -> None:
    settings = EmulatorSettings(tokens_per_second=0, requests_per_minute=1)
    app = create_emulator(settings, catalog=with_fable_5_2(), clock=Clock(0.0))
    betas = "fast-mode-2026-02-01"
    assert "`fast-mode-2026-02-01`" in await error_message(app, body_of(), model="claude-fable-5-1", betas=betas)
    standard = await ask(app, body_of(speed="standard"), model=FABLE, betas=betas)
    assert standard.json["usage"]["speed"] == "standard"
    fast = await ask(app, body_of(speed="fast"), model=FABLE, betas=betas)
    assert fast.json["usage"]["speed"] == "fast"
    refused = await ask(app, body_of(speed="fast"), model=FABLE, betas=betas)
    assert "base model: anthropic-claude-fable-fast" in refused.message


async def test_the_long_context_of_sonnet_4_5_needs_its_beta() -> None:
    body = body_of("word " * 180_000)
    model = "claude-sonnet-4-5@20250929"
    assert "prompt is too long" in await error_message(APP, body, model=model)
    assert (await ask(APP, body, model=model, betas="context-1m-2025-08-07")).status == 200
