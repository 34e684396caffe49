"""The finish reason decides what a client does next: run tools, stop, or go on."""

from __future__ import annotations

import pytest

from modelmux.dialects.openai_chat.finish_reason import REFUSED, finish_reason, refusal_text
from modelmux.wire.anthropic import StopDetails

REASONS = [
    # stop_reason, without calls, with calls, with calls asked for by `functions`
    ("end_turn", "stop", "tool_calls", "function_call"),
    ("stop_sequence", "stop", "tool_calls", "function_call"),
    ("tool_use", "stop", "tool_calls", "function_call"),
    ("max_tokens", "length", "length", "length"),
    ("model_context_window_exceeded", "length", "length", "length"),
    ("pause_turn", "length", "length", "length"),
    ("compaction", "length", "length", "length"),
    ("refusal", "content_filter", "content_filter", "content_filter"),
    ("invented_tomorrow", "stop", "stop", "stop"),  # nobody is told to run calls of an ending we do not know
    ("", "stop", "tool_calls", "function_call"),
    (None, "stop", "tool_calls", "function_call"),
]


@pytest.mark.parametrize(("stop", "plain", "called", "legacy"), REASONS)
def test_finish_reasons(stop: str | None, plain: str, called: str, legacy: str) -> None:
    assert finish_reason(stop, called_tools=False) == plain
    assert finish_reason(stop, called_tools=False, legacy=True) == plain
    assert finish_reason(stop, called_tools=True) == called
    assert finish_reason(stop, called_tools=True, legacy=True) == legacy


@pytest.mark.parametrize(
    ("stop", "details", "text"),
    [
        ("refusal", StopDetails("refusal", "cyber", "Because."), "Because."),
        ("refusal", StopDetails("refusal", "cyber"), REFUSED),
        ("refusal", StopDetails("refusal", explanation=""), REFUSED),
        ("refusal", None, REFUSED),
        ("end_turn", StopDetails("refusal", explanation="Because."), None),
        (None, None, None),
    ],
)
def test_a_refusal_always_has_a_text_and_nothing_else_has(
    stop: str | None, details: StopDetails | None, text: str | None
) -> None:
    assert refusal_text(stop, details) == text
