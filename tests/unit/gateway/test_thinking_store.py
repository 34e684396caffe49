"""Risk: one caller's thoughts shown to another, or memory that grows without end."""

from __future__ import annotations

from typing import Any

import pytest
from modelmux.gateway.thinking_store import MemoryThoughts, may_think, remember

from modelmux.wire.anthropic import Block, MessagesRequest, RedactedThinkingBlock, Thinking, ThinkingBlock
from support.clock import Clock

A, B = ThinkingBlock("a", "c2ln"), RedactedThinkingBlock("ZGF0YQ==")


def store(**bounds: Any) -> MemoryThoughts:
    return MemoryThoughts(Clock(100.0), **bounds)


def test_what_was_kept_comes_back_also_that_there_was_none() -> None:
    kept = store()
    kept.put("ann", "c1", "opus", (A, B))
    kept.put("ann", "c2", "opus", ())
    assert kept.get("ann", "c1", "opus") == (A, B)
    assert kept.get("ann", "c2", "opus") == ()
    assert kept.get("ann", "c3", "opus") is None


def test_neither_another_owner_nor_another_model_gets_them() -> None:
    kept = store()
    kept.put("ann", "c1", "opus", (A,))
    kept.put("bob", "c1", "opus", (B,))
    assert kept.get("bob", "c1", "opus") == (B,)
    assert kept.get("", "c1", "opus") is None
    assert kept.get("ann", "c1", "sonnet") is None
    assert kept.get("ann", "c1", "opus") == (A,)


def test_the_same_call_again_replaces_and_is_counted_once() -> None:
    kept = store()
    kept.put("ann", "c1", "opus", (A, B))
    before = kept.bytes
    kept.put("ann", "c1", "opus", (A, B))
    assert (len(kept), kept.bytes) == (1, before)
    kept.put("ann", "c1", "sonnet", ())
    assert kept.get("ann", "c1", "sonnet") == ()
    assert kept.bytes < before


def test_age_is_bounded_and_what_is_too_old_is_freed() -> None:
    clock = Clock(100.0)
    kept = MemoryThoughts(clock, max_age=60)
    kept.put("ann", "c1", "opus", (A,))
    clock.now += 59.9
    assert kept.get("ann", "c1", "opus") == (A,)  # being asked for does not make it younger
    clock.now += 0.1
    assert kept.get("ann", "c1", "opus") is None
    assert (len(kept), kept.bytes) == (0, 0)


def test_entries_are_bounded_and_the_least_recently_used_go_first() -> None:
    kept = store(max_entries=2)
    for call in ("c1", "c2"):
        kept.put("ann", call, "opus", (A,))
    kept.get("ann", "c1", "opus")
    kept.put("ann", "c3", "opus", (A,))
    assert [kept.get("ann", call, "opus") for call in ("c1", "c2", "c3")] == [(A,), None, (A,)]
    assert len(kept) == 2


@pytest.mark.parametrize(
    "thought",
    [
        ThinkingBlock("x" * 5000, ""),
        ThinkingBlock("", "x" * 5000),
        RedactedThinkingBlock("x" * 5000),
        ThinkingBlock("🎉" * 1250, ""),
    ],
)
def test_bytes_are_bounded_by_what_the_texts_take(thought: Any) -> None:
    kept = store(max_bytes=16_000)
    for number in range(10):
        kept.put("ann", f"c{number}", "opus", (thought,))
        assert kept.bytes <= 16_000
    assert 1 <= len(kept) <= 3
    assert kept.get("ann", "c9", "opus") == (thought,)
    assert kept.get("ann", "c0", "opus") is None


def test_the_bound_itself_may_be_used() -> None:
    measured = store()
    measured.put("ann", "c1", "opus", (A,))
    kept = store(max_bytes=2 * measured.bytes)
    for call in ("c1", "c2"):
        kept.put("ann", call, "opus", (A,))
    assert (len(kept), kept.bytes) == (2, 2 * measured.bytes)
    kept.put("ann", "c3", "opus", (A,))
    assert len(kept) == 2


def test_what_is_too_large_alone_is_not_kept_and_pushes_nothing_out() -> None:
    kept = store(max_bytes=16_000)
    kept.put("ann", "c1", "opus", (A,))
    kept.put("ann", "c2", "opus", (ThinkingBlock("x" * 20_000, ""),))
    assert kept.get("ann", "c1", "opus") == (A,)
    assert kept.get("ann", "c2", "opus") is None
    kept.put("ann", "c1", "opus", (ThinkingBlock("x" * 20_000, ""),))
    assert kept.get("ann", "c1", "opus") is None  # never the old thoughts for a new call
    assert kept.bytes == 0


@pytest.mark.parametrize(
    ("thinking", "default", "expected"),
    [
        (None, "on", True), (None, "off", False), (Thinking("disabled"), "on", False),
        (Thinking("adaptive"), "off", True), (Thinking("enabled", 1024), "off", True),
        (Thinking("between_tools"), "off", True),
    ],
)  # fmt: skip
def test_whether_there_may_be_anything_to_remember(thinking: Thinking | None, default: str, expected: bool) -> None:
    assert may_think(MessagesRequest("v", 1, [], thinking=thinking), default) is expected


def test_a_reply_is_remembered_by_its_calls() -> None:
    kept = store()
    blocks = [
        Block("thinking", thinking="a", signature="c2ln"),
        Block("tool_use", id="t1"),
        Block("tool_use", id="t2"),
        Block("text", text="bye"),
    ]
    remember(blocks, "ann", "opus", kept)
    assert kept.get("ann", "t1", "opus") == (A,)
    assert kept.get("ann", "t2", "opus") == ()
    assert len(kept) == 2


def test_what_was_refused_is_known_for_that_caller_only() -> None:
    kept = store()
    assert kept.refused("ann", A) is False
    kept.refuse("ann", [A, B])
    assert (kept.refused("ann", A), kept.refused("ann", B)) == (True, True)
    assert kept.refused("bob", A) is False
    assert kept.refused("ann", ThinkingBlock("a", "b3RoZXI=")) is False
    assert kept.refused("ann", ThinkingBlock("", A.signature)) is True  # hidden text or not, the signature counts
    kept.refuse("ann", [RedactedThinkingBlock("\ud800")])
    assert kept.refused("ann", RedactedThinkingBlock("\ud800")) is True


def test_what_is_known_as_refused_is_bounded_and_the_oldest_goes_first() -> None:
    kept = store(max_entries=3)
    kept.refuse("ann", [ThinkingBlock("", f"s{i}") for i in range(5)])
    assert [kept.refused("ann", ThinkingBlock("", f"s{i}")) for i in range(5)] == [False, False, True, True, True]
