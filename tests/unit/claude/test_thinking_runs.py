"""Risk: thinking of known origin that the upstream rejects, because another model gave it or some of it is missing."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.draft import SignedThinking
from modelmux.claude.options import Options
from modelmux.claude.prepare import no_memory, prepare
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, ReasoningRequest, ThinkingRun
from modelmux.wire.anthropic import (
    VERTEX_VERSION,
    InputMessage,
    MessagesRequest,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)

MODEL = "claude-sonnet-4-6"
OTHER = "claude-opus-4-6"
GAP = "Thinking before a gap is not sent."
FOREIGN = "Thinking of another model is not sent."


def run(index: int, response: str = "a", model: str = MODEL) -> ThinkingRun:
    return ThinkingRun(model, response, index, (ThinkingBlock(f"{response}{index}", f"s-{response}{index}"),))


def request_of(*runs: ThinkingRun, **fields: Any) -> ClaudeRequest:
    """A conversation with a reply for each run: its thinking, then a text."""
    messages = [InputMessage("user", [TextBlock("q")])]
    for each in runs:
        messages.append(InputMessage("assistant", [*each.blocks, TextBlock("a")]))
        messages.append(InputMessage("user", [TextBlock("q")]))
    body = MessagesRequest(VERTEX_VERSION, 4096, messages)
    return ClaudeRequest(body, thinking_runs=runs, returns_thinking=bool(runs), **fields)


def kept(
    request: ClaudeRequest, model: str = MODEL, recall: Any = no_memory, **fields: Any
) -> tuple[list[str], list[str]]:
    """The thinking that is sent, and the reasons of the notices."""
    done = prepare(request, ReplyPlan("m"), builtin().card(model), Options(), no_memory, **fields)
    blocks = [b for message in done.body.messages for b in message.content if isinstance(b, SignedThinking)]
    return [block.thinking for block in blocks if isinstance(block, ThinkingBlock)], [n.reason for n in done.notices]


@pytest.mark.parametrize(
    ("runs", "expected", "reasons"),
    [
        ([run(0)], ["a0"], []),
        ([run(0), run(1), run(0, "b")], ["a0", "a1", "b0"], []),
        ([run(2)], ["a2"], []),  # a suffix of the chain
        ([run(1), run(2), run(0, "b")], ["a1", "a2", "b0"], []),
        ([run(0), run(2)], ["a2"], [GAP]),
        ([run(0), run(1, "b")], ["b1"], [GAP]),
        ([run(1), run(0)], ["a0"], [GAP]),
        ([run(0), run(0)], ["a0"], [GAP]),
        ([run(0), run(0, "b"), run(0), run(0, "c")], ["a0", "c0"], [GAP]),
        ([run(0), run(0, "b", OTHER), run(0, "c")], ["a0", "c0"], [FOREIGN]),
        ([run(0, "a", OTHER)], [], [FOREIGN]),
        ([run(0), run(2), run(0, "b", OTHER)], ["a2"], [FOREIGN, GAP]),
    ],
)
def test_what_is_sent(runs: list[ThinkingRun], expected: list[str], reasons: list[str]) -> None:
    assert kept(request_of(*runs)) == (expected, reasons)


def test_each_model_gets_its_own() -> None:
    request = request_of(run(0), run(0, "b", OTHER))
    assert kept(request)[0] == ["a0"]
    assert kept(request, OTHER)[0] == ["b0"]
    assert kept(request)[0] == ["a0"]


def test_known_origin_needs_no_other_proof() -> None:
    assert kept(request_of(run(0)), other_model=True) == (["a0"], [])


def test_thinking_that_is_turned_off_is_left_out() -> None:
    off = request_of(run(0), reasoning=ReasoningRequest("none"))
    assert kept(off) == ([], ["Thinking is turned off."])
    assert kept(off, "claude-opus-5-5")[1] != ["Thinking is turned off."]
    assert kept(request_of(run(0)), "claude-3-5-haiku")[0] == []


def test_a_model_that_always_thinks_keeps_its_thinking() -> None:
    request = request_of(run(0, model="claude-opus-5-5"), reasoning=ReasoningRequest("none"))
    assert kept(request, "claude-opus-5-5")[0] == ["a0"]


@pytest.mark.parametrize("returns_thinking", [True, False])
def test_memory_does_not_close_a_gap_that_the_client_left(returns_thinking: bool) -> None:
    call = [ToolUseBlock("c1", "f", {})]
    messages = [
        InputMessage("user", [TextBlock("q")]), InputMessage("assistant", call),
        InputMessage("user", [ToolResultBlock("c1", "r")]),
    ]  # fmt: skip
    remembered = ThinkingBlock("m1", "s")
    request = ClaudeRequest(MessagesRequest(VERTEX_VERSION, 4096, messages), returns_thinking=returns_thinking)
    memory = {"c1": (remembered,)}
    done = prepare(request, ReplyPlan("m"), builtin().card(MODEL), Options(caching=False), memory.get)
    assert done.body.messages[1].content == (call if returns_thinking else [remembered, *call])
