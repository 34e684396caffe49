"""Risk: an error about a field names one that the client did not send."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelmux.dialects.openai_chat.reasoning import reasoning_field
from modelmux.dialects.openai_chat.sampling import stop_paths
from modelmux.wire.openai.chat_request import ChatRequest


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}, "reasoning.effort"),
        ({"reasoning": {"max_tokens": 2000}}, "reasoning.max_tokens"),
        ({"reasoning": {"enabled": True}}, "reasoning"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "output_config.effort"),
        ({"output_config": {}, "reasoning_effort": "low"}, "reasoning_effort"),
    ],
)
def test_the_field_that_asks_for_reasoning(fields: dict[str, Any], expected: str | None) -> None:
    request = msgspec.convert({"model": "m", "messages": [], **fields}, ChatRequest)
    assert reasoning_field(request) == expected


@pytest.mark.parametrize(
    ("stop", "sent", "paths"),
    [
        (None, None, ()),
        ("a", ["a"], ("stop",)),
        (" ", None, ()),
        (["", "a", "a", "b"], ["a", "b"], ("stop.1", "stop.3")),
        ([" "], None, ()),
    ],
)
def test_the_paths_of_stop_sequences(stop: Any, sent: list[str] | None, paths: tuple[str, ...]) -> None:
    assert stop_paths(stop, sent) == paths


def test_the_work_on_stop_sequences_is_linear_in_their_number() -> None:
    """9,000 of them, 80 kB, held the event loop for 0.35 s."""
    compared = 0

    class Sequence(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return super().__eq__(other)

    number = 500
    stop: list[str] = [Sequence(f"s{i}") for i in range(number)]
    assert stop_paths(stop, [Sequence(text) for text in stop])[-1] == f"stop.{number - 1}"
    assert compared < 4 * number
