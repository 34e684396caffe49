"""What travels in ``encrypted_content`` comes back as it was, or not at all."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from modelmux.claude.request import ThinkingRun
from modelmux.dialects.openai_responses.sealed import (
    MAX_SEALED,
    PREFIX,
    open_summary,
    open_thinking,
    seal_summary,
    seal_thinking,
)
from modelmux.wire.anthropic import RedactedThinkingBlock, ThinkingBlock
from support.responses_encoding import PlainSealer

SEALER = PlainSealer()
RUN = ThinkingRun(
    "claude-x", "resp_1", 2, (ThinkingBlock("", "s1"), RedactedThinkingBlock("xx"), ThinkingBlock("é\n", "s2"))
)


def test_a_run_comes_back_as_it_was() -> None:
    sealed = seal_thinking(SEALER, "o", RUN)
    assert sealed.startswith(PREFIX)
    assert open_thinking(SEALER, "o", sealed) == RUN
    assert seal_thinking(SEALER, "o", RUN) == sealed, "the same bytes every time: prompt caches depend on it"


def test_so_does_a_summary() -> None:
    sealed = seal_summary(SEALER, "o", "We met.")
    assert open_summary(SEALER, "o", sealed) == "We met."


def test_an_owner_or_a_purpose_of_another_kind_is_foreign() -> None:
    thinking, summary = seal_thinking(SEALER, "o", RUN), seal_summary(SEALER, "o", "[]")
    assert open_thinking(SEALER, "p", thinking) is None
    assert open_thinking(SEALER, "o", summary) is None
    assert open_summary(SEALER, "o", thinking) is None


@pytest.mark.parametrize(
    "content",
    [None, 5, "", "gAAAA", PREFIX, PREFIX + "!", PREFIX + "A", PREFIX + "é", PREFIX + "A" * MAX_SEALED,
     PREFIX + base64.urlsafe_b64encode(b"other\0[]").decode()],
)  # fmt: skip
def test_what_was_not_sealed_here_is_foreign(content: Any) -> None:
    assert open_thinking(SEALER, "o", content) is None
    assert open_summary(SEALER, "o", content) is None
