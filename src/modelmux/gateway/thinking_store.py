"""Thinking blocks kept for clients that cannot send them back, by the id of the tool call they led to.

Plain OpenAI clients return tool calls and results but no thinking; the blocks of the turn are put back here. Bounded
by entries, bytes and age. Keys hold the owner, so that nobody gets another's thoughts.
"""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from modelmux.claude.draft import SignedThinking
from modelmux.claude.thinking_blocks import thinking_by_tool_call
from modelmux.wire.anthropic import Block, ThinkingBlock

MAX_ENTRIES: Final = 20_000
MAX_BYTES: Final = 64 * 1024 * 1024
#: A tool loop that pauses longer than this goes on without its thoughts, which is legal.
MAX_AGE_SECONDS: Final = 2 * 3600.0
#: What an entry costs beside its texts, roughly.
_OVERHEAD: Final = 400


class ThoughtStore(Protocol):
    """Remembers the thinking blocks that came right before a tool call."""

    def put(self, owner: str, call_id: str, model: str, thoughts: tuple[SignedThinking, ...]) -> None: ...

    def get(self, owner: str, call_id: str, model: str) -> tuple[SignedThinking, ...] | None:
        """None when nothing is known of the call, it is too long ago, or another model made it."""
        ...

    def refuse(self, owner: str, thoughts: Iterable[SignedThinking]) -> None:
        """The upstream did not accept a request with these: they are not to be sent again."""
        ...

    def refused(self, owner: str, thought: SignedThinking) -> bool:
        """Whether ``refuse`` was told of it."""
        ...


class _Entry(NamedTuple):
    model: str
    thoughts: tuple[SignedThinking, ...]
    size: int
    expires: float


class MemoryThoughts:
    """In this process's memory; the least recently used go first."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        max_age: float = MAX_AGE_SECONDS,
    ) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, owner: str, call_id: str, model: str, thoughts: tuple[SignedThinking, ...]) -> None:
        size = _OVERHEAD + sum(_size(t) for t in thoughts)
        key = (owner, call_id)
        self._drop(key)
        if size > self._max_bytes:
            return
        self._entries[key] = _Entry(model, thoughts, size, self._clock() + self._max_age)
        self.bytes += size
        while len(self._entries) > self._max_entries or self.bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def get(self, owner: str, call_id: str, model: str) -> tuple[SignedThinking, ...] | None:
        key = (owner, call_id)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.thoughts if entry.model == model else None

    def refuse(self, owner: str, thoughts: Iterable[SignedThinking]) -> None:
        for thought in thoughts:
            self._refused[_mark(owner, thought)] = None
        while len(self._refused) > self._max_entries:
            self._refused.popitem(last=False)

    def refused(self, owner: str, thought: SignedThinking) -> bool:
        return bool(self._refused) and _mark(owner, thought) in self._refused

    def _drop(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size


def remember(blocks: Iterable[Block], owner: str, model: str, store: ThoughtStore) -> None:
    """Keep the thinking of a reply that led to tool calls; also that there was none."""
    for call_id, thoughts in thinking_by_tool_call(blocks):
        store.put(owner, call_id, model, thoughts)


def _mark(owner: str, thought: SignedThinking) -> bytes:
    """Stands for one caller's thinking block: signatures are too long to keep."""
    signed = thought.signature if isinstance(thought, ThinkingBlock) else thought.data
    return hashlib.blake2b(f"{owner} {signed}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _size(thought: SignedThinking) -> int:
    """Bytes that its texts take in memory."""
    held = (thought.thinking, thought.signature) if isinstance(thought, ThinkingBlock) else (thought.data,)
    return sum(map(sys.getsizeof, held))
