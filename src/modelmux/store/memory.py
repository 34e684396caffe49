"""Stores in the memory of one process, bounded by entries, bytes and age."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from modelmux.claude.draft import SignedThinking
from modelmux.wire.anthropic import ThinkingBlock

MAX_ENTRIES: Final = 20_000
MAX_BYTES: Final = 64 * 1024 * 1024
#: A tool loop that pauses longer than this continues without its thinking, which is legal.
MAX_AGE_SECONDS: Final = 2 * 3600.0
#: What an entry costs in addition to its texts, roughly.
_OVERHEAD: Final = 400


class _Entry(NamedTuple):
    model: str
    blocks: tuple[SignedThinking, ...]
    size: int
    expires: float


class MemoryThinkingStore:
    """A ``ThinkingStore``; the least recently used entries are dropped first. Large requests ask it in a thread.

    :param clock: monotonic seconds.
    """

    is_shared: Final = False

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
        self._rejected: OrderedDict[bytes, None] = OrderedDict()
        self.bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, owner: str, call_id: str, model: str, blocks: tuple[SignedThinking, ...]) -> None:
        size = _OVERHEAD + sum(map(size_of, blocks))
        key = (owner, call_id)
        with self._lock:
            self._drop(key)
            if size > self._max_bytes:
                return
            self._entries[key] = _Entry(model, blocks, size, self._clock() + self._max_age)
            self.bytes += size
            while len(self._entries) > self._max_entries or self.bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def get(self, owner: str, call_id: str, model: str) -> tuple[SignedThinking, ...] | None:
        key = (owner, call_id)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.expires <= self._clock():
                self._drop(key)
                return None
            self._entries.move_to_end(key)
        return entry.blocks if entry.model == model else None

    def mark_rejected(self, owner: str, blocks: Iterable[SignedThinking]) -> None:
        for block in blocks:
            self._rejected[_digest(owner, block)] = None
        while len(self._rejected) > self._max_entries:
            self._rejected.popitem(last=False)

    def is_rejected(self, owner: str, block: SignedThinking) -> bool:
        return bool(self._rejected) and _digest(owner, block) in self._rejected

    def knows(self, owner: str, call_id: str) -> bool:
        """Whether anything is remembered of a call, of whichever model."""
        entry = self._entries.get((owner, call_id))
        return entry is not None and entry.expires > self._clock()

    async def fetch(self, owner: str, call_ids: Sequence[str]) -> bool:
        """See ``ThinkingStore.fetch``. There is no other node to ask."""
        del owner, call_ids
        return False

    async def aclose(self) -> None:
        """See ``ThinkingStore.aclose``."""

    def _drop(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size


def _digest(owner: str, block: SignedThinking) -> bytes:
    """Identifies one caller's block: signatures are too long to keep."""
    signed = block.signature if isinstance(block, ThinkingBlock) else block.data
    return hashlib.blake2b(f"{owner} {signed}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def size_of(block: SignedThinking) -> int:
    """Bytes that the texts of a block take in memory."""
    texts = (block.thinking, block.signature) if isinstance(block, ThinkingBlock) else (block.data,)
    return sum(map(sys.getsizeof, texts))
