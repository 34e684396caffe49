"""Remembers the thinking of a reply for the next request of the same conversation."""

from __future__ import annotations

from collections.abc import Iterable

from modelmux.claude.thinking_blocks import thinking_by_tool_call
from modelmux.store.base import ThinkingStore
from modelmux.wire.anthropic import Block


def remember_thinking(blocks: Iterable[Block], owner: str, model: str, store: ThinkingStore) -> None:
    """Store the thinking before each tool call of a reply, or that there was none."""
    for call_id, thinking in thinking_by_tool_call(blocks):
        store.put(owner, call_id, model, thinking)
