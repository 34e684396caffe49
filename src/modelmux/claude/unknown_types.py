"""Parts of a reply that this version does not know: left out of the answer, counted and logged once, never an error.

One table for complete replies and for streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.wire.anthropic import KNOWN_STOP_REASONS, Block

#: Types of blocks that make up an answer, and those of server tools, which are not for the client.
_KNOWN_BLOCKS: Final = frozenset(
    {"text", "tool_use", "thinking", "redacted_thinking", "server_tool_use", "web_search_tool_result"}
)
#: Characters of an unknown name that are reported.
_MAX_LENGTH: Final = 80


def unknown_stop_reason(stop_reason: str | None) -> set[str]:
    """A stop reason that is not in the table, as ``stop_reason:NAME``."""
    if not stop_reason or stop_reason in KNOWN_STOP_REASONS:
        return set()
    return {f"stop_reason:{stop_reason[:_MAX_LENGTH]}"}


def unknown_block(block_type: str) -> set[str]:
    """A type of block that is not in the table, as ``block:NAME``."""
    return set() if block_type in _KNOWN_BLOCKS else {f"block:{block_type[:_MAX_LENGTH]}"}


def unknown_in_reply(content: Iterable[Block] | None, stop_reason: str | None) -> set[str]:
    """All unknown types of a complete reply."""
    return unknown_stop_reason(stop_reason).union(*(unknown_block(block.type) for block in content or ()))
