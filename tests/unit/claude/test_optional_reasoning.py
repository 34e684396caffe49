"""Risk: a client that leaves thinking to the model gets it turned on, or is shown none of it."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.claude.options import Options
from modelmux.claude.prepare import prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, ReasoningRequest
from modelmux.wire.anthropic import VERTEX_VERSION, InputMessage, MessagesRequest, TextBlock, Thinking


@pytest.mark.parametrize(
    ("model", "reasoning", "expected"),
    [
        ("claude-opus-5-5", ReasoningRequest(shown=None, optional=True), Thinking("adaptive", display="summarized")),
        ("claude-opus-5-5", ReasoningRequest(shown=True, optional=True), Thinking("adaptive", display="summarized")),
        ("claude-opus-5-5", ReasoningRequest("high", shown=None), Thinking("adaptive", display="summarized")),
        ("claude-opus-5", ReasoningRequest(shown=None, optional=True), None),
        ("claude-opus-5", ReasoningRequest(shown=True, optional=True), Thinking("adaptive", display="summarized")),
        ("claude-opus-5", ReasoningRequest("high", shown=None), Thinking("adaptive")),
        ("claude-opus-5", ReasoningRequest("high", shown=False), Thinking("adaptive", display="omitted")),
        ("claude-sonnet-4-6", ReasoningRequest(shown=True, optional=True), None),
        ("claude-sonnet-4-5", ReasoningRequest(shown=True, optional=True), None),
        ("claude-3-5-haiku", ReasoningRequest(shown=True, optional=True), None),
    ],
)
def test_thinking_and_its_display(model: str, reasoning: ReasoningRequest, expected: Thinking | None) -> None:
    body = MessagesRequest(VERTEX_VERSION, 4096, [InputMessage("user", [TextBlock("q")])])
    done = prepare(ClaudeRequest(body, reasoning=reasoning), ReplyPlan("m"), builtin().card(model), Options())
    assert done.body.thinking == expected
    assert done.notices == []
