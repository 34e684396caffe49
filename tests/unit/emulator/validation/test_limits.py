"""Limits on lengths: the cap on max_tokens, the context window."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import ModelCard, builtin
from support.emulator_calls import ask, body_of, emulator, error_message

APP = emulator()
CARDS = [pytest.param(card, id=card.base) for card in builtin().cards]


async def status(card: ModelCard, **fields: Any) -> int:
    return (await ask(APP, body_of(**{"max_tokens": 4000, **fields}), model=card.id)).status


@pytest.mark.parametrize("card", CARDS)
async def test_max_tokens_is_limited_by_the_cap(card: ModelCard) -> None:
    assert await status(card, max_tokens=card.max_output) == 200
    message = await error_message(APP, body_of(max_tokens=card.max_output + 1), model=card.id)
    assert message == (
        f"max_tokens: {card.max_output + 1} > {card.max_output}, which is the maximum allowed number of output tokens "
        f"for {card.id.replace('@', '-')}"
    )


async def test_a_prompt_longer_than_the_window_is_rejected() -> None:
    message = await error_message(APP, body_of("word " * 170_000))
    assert message.startswith("prompt is too long: ")
    assert message.endswith(" tokens > 200000 maximum")


async def test_older_models_count_max_tokens_into_the_window() -> None:
    long = body_of("word " * 140_000, max_tokens=30_000)
    message = await error_message(APP, long, model="claude-opus-4-1@20250805")
    assert message.startswith("input length and `max_tokens` exceed context limit: ")
    assert (await ask(APP, long)).status == 200
