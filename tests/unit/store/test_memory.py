"""Risk: one caller's thinking shown to another, or memory that grows without bound."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.gateway.thinking import remember_thinking
from modelmux.store.memory import MemoryThinkingStore
from modelmux.wire.anthropic import Block, RedactedThinkingBlock, ThinkingBlock
from support.clock import Clock

A, B = ThinkingBlock("a", "c2ln"), RedactedThinkingBlock("ZGF0YQ==")


def store(**bounds: Any) -> MemoryThinkingStore:
    return MemoryThinkingStore(Clock(100.0), **bounds)


def test_blocks_come_back_also_the_fact_that_there_were_none() -> None:
    memory = store()
    memory.put("ann", "c1", "opus", (A, B))
    memory.put("ann", "c2", "opus", ())
    assert memory.get("ann", "c1", "opus") == (A, B)
    assert memory.get("ann", "c2", "opus") == ()
    assert memory.get("ann", "c3", "opus") is None


def test_another_owner_or_model_gets_nothing() -> None:
    memory = store()
    memory.put("ann", "c1", "opus", (A,))
    memory.put("bob", "c1", "opus", (B,))
    assert memory.get("bob", "c1", "opus") == (B,)
    assert memory.get("", "c1", "opus") is None
    assert memory.get("ann", "c1", "sonnet") is None
    assert memory.get("ann", "c1", "opus") == (A,)


def test_the_same_call_again_replaces_the_entry_and_is_counted_once() -> None:
    memory = store()
    memory.put("ann", "c1", "opus", (A, B))
    before = memory.bytes
    memory.put("ann", "c1", "opus", (A, B))
    assert (len(memory), memory.bytes) == (1, before)
    memory.put("ann", "c1", "sonnet", ())
    assert memory.get("ann", "c1", "sonnet") == ()
    assert memory.bytes < before


def test_age_is_bounded_and_an_expired_entry_is_freed() -> None:
    clock = Clock(100.0)
    memory = MemoryThinkingStore(clock, max_age=60)
    memory.put("ann", "c1", "opus", (A,))
    clock.now += 59.9
    assert memory.get("ann", "c1", "opus") == (A,)  # reading it does not extend its life
    clock.now += 0.1
    assert memory.get("ann", "c1", "opus") is None
    assert (len(memory), memory.bytes) == (0, 0)


def test_entries_are_bounded_and_the_least_recently_used_is_dropped_first() -> None:
    memory = store(max_entries=2)
    for call in ("c1", "c2"):
        memory.put("ann", call, "opus", (A,))
    memory.get("ann", "c1", "opus")
    memory.put("ann", "c3", "opus", (A,))
    assert [memory.get("ann", call, "opus") for call in ("c1", "c2", "c3")] == [(A,), None, (A,)]
    assert len(memory) == 2


@pytest.mark.parametrize(
    "block",
    [
        ThinkingBlock("x" * 5000, ""),
        ThinkingBlock("", "x" * 5000),
        RedactedThinkingBlock("x" * 5000),
        ThinkingBlock("🎉" * 1250, ""),
    ],
)
def test_bytes_are_bounded_by_the_memory_of_the_texts(block: Any) -> None:
    memory = store(max_bytes=16_000)
    for number in range(10):
        memory.put("ann", f"c{number}", "opus", (block,))
        assert memory.bytes <= 16_000
    assert 1 <= len(memory) <= 3
    assert memory.get("ann", "c9", "opus") == (block,)
    assert memory.get("ann", "c0", "opus") is None


def test_the_limit_itself_is_allowed() -> None:
    measured = store()
    measured.put("ann", "c1", "opus", (A,))
    memory = store(max_bytes=2 * measured.bytes)
    for call in ("c1", "c2"):
        memory.put("ann", call, "opus", (A,))
    assert (len(memory), memory.bytes) == (2, 2 * measured.bytes)
    memory.put("ann", "c3", "opus", (A,))
    assert len(memory) == 2


def test_an_entry_larger_than_the_store_is_dropped_and_evicts_nothing() -> None:
    memory = store(max_bytes=16_000)
    memory.put("ann", "c1", "opus", (A,))
    memory.put("ann", "c2", "opus", (ThinkingBlock("x" * 20_000, ""),))
    assert memory.get("ann", "c1", "opus") == (A,)
    assert memory.get("ann", "c2", "opus") is None
    memory.put("ann", "c1", "opus", (ThinkingBlock("x" * 20_000, ""),))
    assert memory.get("ann", "c1", "opus") is None  # never the old thinking for a new call
    assert memory.bytes == 0


def test_a_reply_is_remembered_by_its_tool_calls() -> None:
    memory = store()
    blocks = [
        Block("thinking", thinking="a", signature="c2ln"),
        Block("tool_use", id="t1"),
        Block("tool_use", id="t2"),
        Block("text", text="bye"),
    ]
    remember_thinking(blocks, "ann", "opus", memory)
    assert memory.get("ann", "t1", "opus") == (A,)
    assert memory.get("ann", "t2", "opus") == ()
    assert len(memory) == 2


def test_a_rejected_block_is_rejected_for_that_caller_only() -> None:
    memory = store()
    assert memory.is_rejected("ann", A) is False
    memory.mark_rejected("ann", [A, B])
    assert (memory.is_rejected("ann", A), memory.is_rejected("ann", B)) == (True, True)
    assert memory.is_rejected("bob", A) is False
    assert memory.is_rejected("ann", ThinkingBlock("a", "b3RoZXI=")) is False
    assert memory.is_rejected("ann", ThinkingBlock("", A.signature)) is True  # hidden text or not, the signature counts
    memory.mark_rejected("ann", [RedactedThinkingBlock("\ud800")])
    assert memory.is_rejected("ann", RedactedThinkingBlock("\ud800")) is True


def test_rejected_blocks_are_bounded_and_the_oldest_is_dropped_first() -> None:
    memory = store(max_entries=3)
    memory.mark_rejected("ann", [ThinkingBlock("", f"s{i}") for i in range(5)])
    assert [memory.is_rejected("ann", ThinkingBlock("", f"s{i}")) for i in range(5)] == [False, False, True, True, True]
