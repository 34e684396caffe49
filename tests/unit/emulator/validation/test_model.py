"""What a model does not support is rejected with the real message; what the catalog says it supports is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import ModelCard, builtin
from support.emulator_calls import ask, assistant, body_of, emulator, error_message, tool, user

APP = emulator()
CARDS = [pytest.param(card, id=card.base) for card in builtin().cards]

SONNET, OPUS, NEW = "claude-sonnet-4-5@20250929", "claude-opus-4-6", "claude-opus-5-5"
EFFORTS = ("low", "medium", "high", "xhigh", "max")


async def status(card: ModelCard, **fields: Any) -> int:
    return (await ask(APP, body_of(**{"max_tokens": 4000, **fields}), model=card.id)).status


@pytest.mark.parametrize("card", CARDS)
async def test_effort_is_accepted_as_in_the_catalog(card: ModelCard) -> None:
    for effort in EFFORTS:
        expected = 200 if effort in card.effort else 400
        assert await status(card, output_config={"effort": effort}) == expected, effort


@pytest.mark.parametrize("card", CARDS)
async def test_thinking_is_accepted_as_in_the_catalog(card: ModelCard) -> None:
    for kind in ("adaptive", "enabled", "disabled", "between_tools"):
        thinking: dict[str, Any] = {"type": kind} | ({"budget_tokens": 1024} if kind == "enabled" else {})
        allowed = kind in card.thinking or (kind == "disabled" and not card.thinking)
        assert await status(card, thinking=thinking) == (200 if allowed else 400), kind


@pytest.mark.parametrize("card", CARDS)
async def test_sampling_is_accepted_as_in_the_catalog(card: ModelCard) -> None:
    for name, value in (("temperature", 0.3), ("top_p", 0.5), ("top_k", 5)):
        assert await status(card, **{name: value}) == (200 if card.sampling == "accept" else 400), name
        assert await status(card, anthropic_version="2026-10-21", **{name: value}) == 400


@pytest.mark.parametrize("card", CARDS)
async def test_forced_tools_and_prefill_are_accepted_as_in_the_catalog(card: ModelCard) -> None:
    forced = await status(card, tools=[tool()], tool_choice={"type": "any"})
    assert forced == (400 if card.forced_tool_choice == "reject" else 200)
    prefill = await status(card, messages=[user("Hi"), assistant("The answer is")])
    assert prefill == (200 if card.prefill else 400)


@pytest.mark.parametrize("card", CARDS)
async def test_structured_output_and_system_messages_are_accepted_as_in_the_catalog(card: ModelCard) -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    formatted = await status(card, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert formatted == (200 if card.structured_output else 400)
    late = await status(card, messages=[user("Hi"), {"role": "system", "content": "Be brief."}])
    assert late == (200 if card.supports_mid_system else 400)


@pytest.mark.parametrize("card", CARDS)
async def test_a_model_is_served_where_the_catalog_says(card: ModelCard) -> None:
    for location in ("global", "us", "eu", "us-east5"):
        answer = await ask(APP, body_of(), model=card.id, location=location)
        assert answer.status == (200 if card.served_in(location) else 404), location


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        (
            NEW,
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            (
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            ),
        ),
        (
            NEW,
            {"thinking": {"type": "disabled"}},
            (
                '"thinking.type.disabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            ),
        ),
        (SONNET, {"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
        (
            "claude-3-5-haiku@20241022",
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            "thinking is not supported on this model",
        ),
        (
            SONNET,
            {"thinking": {"type": "enabled", "budget_tokens": 4000}},
            (
                "`max_tokens` must be greater than "
                "`thinking.budget_tokens`. Please consult our documentation at "
                "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size"
            ),
        ),
        (SONNET, {"output_config": {"effort": "low"}}, "output_config.effort: Extra inputs are not permitted"),
        (
            OPUS,
            {"output_config": {"effort": "xhigh"}},
            "This model does not support effort level 'xhigh'. Supported levels: low, medium, high, max.",
        ),
        (
            OPUS,
            {"output_config": {"effort": "minimal"}},
            "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
        ),
        (NEW, {"temperature": 0.5}, "`temperature` is deprecated for this model."),
        (NEW, {"top_p": 0.9}, "`top_p` is deprecated for this model."),
        (NEW, {"top_k": 1}, "`top_k` is deprecated for this model."),
        (
            SONNET,
            {"temperature": 0.5, "top_p": 0.5},
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        ),
        (SONNET, {"temperature": 1, "anthropic_version": "2026-10-21"}, "temperature: Extra inputs are not permitted"),
        (
            SONNET,
            {"tools": [tool()], "tool_choice": {"type": "any"}, "thinking": {"type": "enabled", "budget_tokens": 1024}},
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        (
            NEW,
            {"tools": [tool()], "tool_choice": {"type": "tool", "name": "get_weather"}},
            "tool_choice: forcing tool use (`tool`) is not supported on this model. Use `auto` or `none`.",
        ),
        (
            OPUS,
            {"messages": [user("Hi"), assistant("The")]},
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ),
        (
            SONNET,
            {"messages": [user("Hi"), assistant("The ")]},
            "messages: final assistant content cannot end with trailing whitespace",
        ),
        (
            SONNET,
            {"messages": [user("Hi"), assistant("The")], "thinking": {"type": "enabled", "budget_tokens": 1024}},
            (
                "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`. When "
                "`thinking` is enabled, a final `assistant` message must start with a thinking block. We recommend "
                "you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. "
                "Please consult our documentation at "
                "https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking"
            ),
        ),
        (
            "claude-opus-5",
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}},
            (
                "\"thinking.type.disabled\" is not supported for this model with effort 'max'. Use an effort of 'low', "
                "'medium' or 'high', or \"thinking.type.adaptive\"."
            ),
        ),
    ],
)
async def test_the_messages_are_the_real_ones(model: str, fields: dict[str, Any], words: str) -> None:
    assert await error_message(APP, body_of(**{"max_tokens": 4000, **fields}), model=model) == words


@pytest.mark.parametrize(
    ("fields", "begins"),
    [
        ({"temperature": 0.5}, "`temperature` may only be set to 1 when thinking is enabled"),
        ({"top_p": 0.5}, "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled"),
        ({"top_k": 5}, "`top_k` must be unset when thinking is enabled"),
    ],
)
async def test_sampling_and_thinking_exclude_each_other(fields: dict[str, Any], begins: str) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert (await error_message(APP, body_of(max_tokens=4000, thinking=thinking, **fields))).startswith(begins)
    assert (await error_message(APP, body_of(thinking={"type": "adaptive"}, **fields), model=OPUS)).startswith(begins)


async def test_thinking_allows_temperature_one_and_a_high_top_p() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    for fields in ({"temperature": 1.0}, {"top_p": 0.95}):
        assert (await ask(APP, body_of(max_tokens=4000, thinking=thinking, **fields))).status == 200


async def test_the_default_values_of_sampling_pass_on_models_that_reject_others() -> None:
    assert (await ask(APP, body_of(temperature=1, top_p=1), model=NEW)).status == 200


async def test_the_new_api_version_accepts_less() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    cited = {"type": "text", "text": "x", "citations": [{"type": "char_location"}]}
    in_assistant = [user("Hi"), assistant({"type": "text", "text": "a"}, document), user("b")]
    for messages in (in_assistant, [user(cited)]):
        assert (await ask(APP, body_of(messages=messages))).status == 200
        assert (await ask(APP, body_of(messages=messages, anthropic_version="2026-10-21"))).status == 400
