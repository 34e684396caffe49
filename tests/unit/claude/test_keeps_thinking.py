"""Risk: thinking that leads to a tool call is not remembered, or the store is filled for models that do not think."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.claude.options import Options
from modelmux.claude.prepare import prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.wire.anthropic import InputMessage, MessagesRequest, Thinking

CARD = builtin().card("claude-sonnet-4-6")


@pytest.mark.parametrize(
    ("thinking", "default", "expected"),
    [
        (None, "on", True), (None, "off", False), (Thinking("disabled"), "on", False),
        (Thinking("adaptive"), "off", True), (Thinking("enabled", 1024), "off", True),
        (Thinking("between_tools"), "off", True),
    ],
)  # fmt: skip
def test_thinking_is_worth_remembering_if_the_model_may_think(
    thinking: Thinking | None, default: Literal["on", "off"], expected: bool
) -> None:
    body = MessagesRequest("v", 4096, [InputMessage("user", "Hi")], thinking=thinking)
    card = replace(CARD, thinking_default=default)
    assert prepare(ClaudeRequest(body), ReplyPlan("m"), card, Options()).keeps_thinking is expected
