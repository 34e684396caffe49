"""What of a reply is news to us: kept out of the answer, counted and logged once, never an error. One table for whole
replies and for streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.wire.anthropic import KNOWN_STOP_REASONS, Block

#: Kinds of blocks that an answer is made of, and those of server tools, which are not for the client.
_BLOCKS: Final = frozenset(
    {"text", "tool_use", "thinking", "redacted_thinking", "server_tool_use", "web_search_tool_result"}
)
_SHOWN: Final = 80


def of_ending(stop_reason: str | None) -> set[str]:
    """A stop reason that is not in the table."""
    return {f"stop_reason:{stop_reason[:_SHOWN]}"} if stop_reason and stop_reason not in KNOWN_STOP_REASONS else set()


def of_block(kind: str) -> set[str]:
    """A kind of block nobody knows."""
    return set() if kind in _BLOCKS else {f"block:{kind[:_SHOWN]}"}


def of_reply(content: Iterable[Block] | None, stop_reason: str | None) -> set[str]:
    """All of a whole reply."""
    return of_ending(stop_reason).union(*(of_block(block.type) for block in content or ()))
