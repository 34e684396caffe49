"""Prompt-cache breakpoints: the client's own if it sets any, otherwise where they reduce the cost.

Anthropic caches up to a breakpoint in the order tools, system, messages; at most four may be set, and a look-up checks
up to twenty blocks before each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from modelmux.claude.draft import Draft
from modelmux.wire import anthropic
from modelmux.wire.anthropic import EPHEMERAL, CacheControl, MessagesRequest

MAX_BREAKPOINTS: Final = 4
_HOLDERS: Final = (
    anthropic.TextBlock,
    anthropic.ImageBlock,
    anthropic.DocumentBlock,
    anthropic.ToolUseBlock,
    anthropic.ToolResultBlock,
)


def set_on_last(blocks: list[Any], marker: CacheControl | None) -> bool:
    """Set a breakpoint on the last block that can hold one, which is replaced by a copy; False if there is none."""
    index = None if marker is None else _last_holder(blocks)
    if index is None:
        return False
    blocks[index] = replace(blocks[index], cache_control=marker)
    return True


def _last_holder(blocks: list[Any]) -> int | None:
    for index in range(len(blocks) - 1, -1, -1):
        if isinstance(blocks[index], _HOLDERS):
            return index
    return None


def apply(draft: Draft) -> None:
    """Keep the client's breakpoints within the limit; set others if it has none and they reduce the cost."""
    body, cache = draft.body, draft.request.cache
    breakpoints = _Breakpoints(body)
    if cache.prompt_breakpoint is not None:
        breakpoints.set_on_prompt(cache.prompt_breakpoint)
    if cache.orphan_breakpoint is not None:
        nearest = _Position("tools", (len(body.tools) - 1,)) if body.tools else _Position("messages", (0, 0))
        if all(position != nearest for position, _ in breakpoints):
            breakpoints.set(nearest, cache.orphan_breakpoint)
    markers = list(breakpoints)
    if markers:
        for position, _ in markers[:-MAX_BREAKPOINTS]:
            breakpoints.set(position, None)
            reason = f"More than {MAX_BREAKPOINTS}: the earliest ones are dropped."
            draft.notices.add("dropped", "cache_control", reason)
        _fix_ttl_order(breakpoints, markers[-MAX_BREAKPOINTS:], draft)
    elif draft.options.caching and not cache.explicit:
        _set_own(breakpoints, body)
    if cache.ttl is not None:
        for position, _ in list(breakpoints):
            breakpoints.set(position, CacheControl("ephemeral", cache.ttl))


class _Position(NamedTuple):
    """Where a block is: a field of the body, then indices of lists within lists."""

    field: str
    indices: tuple[int, ...]


class _Breakpoints:
    """The breakpoints of a body, in the order in which Anthropic reads them.

    Lists and blocks are shared with the request: a change copies what it touches, each list once.
    """

    def __init__(self, body: MessagesRequest) -> None:
        self._body = body
        self._copies: dict[_Position, list[Any]] = {}

    def __iter__(self) -> Iterator[tuple[_Position, CacheControl]]:
        body = self._body
        for field, blocks in (("tools", body.tools), ("system", body.system)):
            for index, block in enumerate(blocks or ()):
                if block.cache_control is not None:
                    yield _Position(field, (index,)), block.cache_control
        for turn, message in enumerate(body.messages):
            for index, block in enumerate(message.content):
                if isinstance(block, anthropic.ToolResultBlock) and isinstance(block.content, list):
                    for part, inner in enumerate(block.content):
                        if inner.cache_control is not None:
                            yield _Position("messages", (turn, index, part)), inner.cache_control
                if isinstance(block, _HOLDERS) and block.cache_control is not None:
                    yield _Position("messages", (turn, index)), block.cache_control

    def set(self, position: _Position, marker: CacheControl | None) -> None:
        *path, index = position.indices
        blocks = self._list(position.field, tuple(path))
        blocks[index] = replace(blocks[index], cache_control=marker)

    def set_on_turn(self, turn: int, marker: CacheControl) -> bool:
        """Set a breakpoint on the last block of a turn that can hold one; False if there is none."""
        index = _last_holder(self._body.messages[turn].content)
        if index is not None:
            self.set(_Position("messages", (turn, index)), marker)
        return index is not None

    def set_on_prompt(self, marker: CacheControl) -> None:
        """Set a breakpoint at the end of the prompt."""
        any(self.set_on_turn(turn, marker) for turn in range(len(self._body.messages) - 1, -1, -1))

    def _list(self, field: str, path: tuple[int, ...]) -> list[Any]:
        """A list of the body, copied on first use."""
        blocks = self._copies.get(_Position(field, path))
        if blocks is None:
            if not path:
                blocks = list(getattr(self._body, field))
                setattr(self._body, field, blocks)
            else:
                *outer, index = path
                siblings = self._list(field, tuple(outer))
                blocks = list(siblings[index].content)
                siblings[index] = replace(siblings[index], content=blocks)
            self._copies[_Position(field, path)] = blocks
        return blocks


def _set_own(breakpoints: _Breakpoints, body: MessagesRequest) -> None:
    """Set breakpoints if the prompt will probably be sent again: tools are defined, or the conversation has an earlier
    reply."""
    if not (body.tools or any(message.role == "assistant" for message in body.messages)):
        return
    if body.system:
        breakpoints.set(_Position("system", (len(body.system) - 1,)), EPHEMERAL)  # covers the tools, which come first
    elif body.tools:
        breakpoints.set(_Position("tools", (len(body.tools) - 1,)), EPHEMERAL)
    # The last two user turns: the next request finds the one it extends, even if this turn adds many blocks.
    turns = [turn for turn, message in enumerate(body.messages) if message.role == "user"]
    for turn in turns[-2:]:
        breakpoints.set_on_turn(turn, EPHEMERAL)


def _fix_ttl_order(breakpoints: _Breakpoints, markers: list[tuple[_Position, CacheControl]], draft: Draft) -> None:
    """The upstream rejects a short lifetime before a long one. Lengthen the short one, which costs nothing: everything
    before a long one is written at its price (docs: build-with-claude/prompt-caching)."""
    long = False
    for position, marker in reversed(markers):
        if marker.ttl == "1h":
            long = True
        elif long:
            breakpoints.set(position, CacheControl("ephemeral", "1h"))
            draft.notices.add("changed", "cache_control", "A breakpoint before one of an hour lasts an hour too.")
