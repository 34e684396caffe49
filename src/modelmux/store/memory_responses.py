"""Stored responses in the memory of one process. The least recently used are dropped first."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final, NamedTuple

from modelmux.dialects.stored_responses import History, HistoryQuery, StoredItem, StoredResponse
from modelmux.store.base import ResponseLimits, StoreFailed, check_history

#: What a response and each of its items cost in addition to their bytes, roughly.
RESPONSE_OVERHEAD: Final = 600
ITEM_OVERHEAD: Final = 300
#: Expired responses that one call drops at most.
_MAX_EXPIRED: Final = 1000

#: Owner and id, of a response or of an item.
_Key = tuple[str, str]


@dataclass(slots=True)
class _Content:
    """The bytes of items that are the same, once.

    :param holders: how many items have them.
    """

    data: bytes
    holders: int = 0


class _Item(NamedTuple):
    id: str
    digest: bytes
    is_output: bool


@dataclass(slots=True)
class _Entry:
    created_at: int
    previous_id: str | None
    body: bytes
    items: list[_Item]
    size: int
    expires: float


class MemoryResponseStore:
    """A ``ResponseStore``.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float], limits: ResponseLimits) -> None:
        self._clock = clock
        self._limits = limits
        #: The least recently used first, so the first to expire, too.
        self._entries: OrderedDict[_Key, _Entry] | None = OrderedDict()
        self._contents: dict[tuple[str, bytes], _Content] = {}
        #: Item -> the responses that have it, oldest first.
        self._by_item: dict[_Key, dict[str, _Item]] = {}
        self.bytes = 0
        self.items = 0

    async def put(self, owner: str, response: StoredResponse) -> None:
        """See ``ResponseStore.put``."""
        entries = self._open_entries()
        self._limits.check_response(response)
        count = len(response.input) + len(response.output)
        cost = response.size + RESPONSE_OVERHEAD + ITEM_OVERHEAD * count
        if cost > self._limits.max_bytes or count > self._limits.max_items:  # before anything is dropped for it
            raise StoreFailed("a response is larger than the store")
        key = (owner, response.id)
        self._drop(key)
        items = [self._hold(owner, response.id, item, is_output=False) for item in response.input]
        items += [self._hold(owner, response.id, item, is_output=True) for item in response.output]
        size = len(response.body) + RESPONSE_OVERHEAD
        self.bytes += size
        entries[key] = _Entry(
            response.created_at, response.previous_id, response.body, items, size, self._clock() + self._limits.ttl
        )
        self._make_room(entries)

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """See ``ResponseStore.get``."""
        key = (owner, response_id)
        entry = self._find(key)
        if entry is None:
            return None
        self._touch(key, entry)
        items = [(item.is_output, StoredItem(item.id, self._contents[owner, item.digest].data)) for item in entry.items]
        return StoredResponse(
            response_id,
            entry.created_at,
            entry.previous_id,
            tuple(item for is_output, item in items if not is_output),
            tuple(item for is_output, item in items if is_output),
            entry.body,
        )

    async def history(self, owner: str, query: HistoryQuery) -> History:
        """See ``ResponseStore.history``."""
        self._open_entries()
        by_id, size = {}, 0
        for item_id in query.item_ids:
            known = self._find_item(owner, item_id)
            if known is not None:
                by_id[item_id] = known
                size += len(known)
        check_history(0, size)
        chain = self._chain(owner, query.previous_id)
        if chain is None:
            return History(None, by_id)
        items: list[bytes] = []
        for entry in reversed(chain):
            data = [self._contents[owner, item.digest].data for item in entry.items]
            size += sum(map(len, data))
            check_history(0, size)
            items += data
        return History(tuple(items), by_id)

    async def delete(self, owner: str, response_id: str) -> bool:
        """See ``ResponseStore.delete``."""
        known = self._find((owner, response_id)) is not None
        self._drop((owner, response_id))
        return known

    async def aclose(self) -> None:
        """See ``ResponseStore.aclose``."""
        self._entries = None
        self._contents.clear()
        self._by_item.clear()

    def _open_entries(self) -> OrderedDict[_Key, _Entry]:
        if self._entries is None:
            raise StoreFailed("the store is closed")
        return self._entries

    def _chain(self, owner: str, response_id: str | None) -> list[_Entry] | None:
        """The responses of a conversation, newest first; None if one is unknown."""
        chain: list[_Entry] = []
        while response_id is not None:
            entry = self._find((owner, response_id))
            if entry is None:
                return None
            chain.append(entry)
            check_history(len(chain), 0)
            self._touch((owner, response_id), entry)
            response_id = entry.previous_id
        return chain

    def _find(self, key: _Key) -> _Entry | None:
        entry = self._open_entries().get(key)
        return entry if entry is not None and entry.expires > self._clock() else None

    def _find_item(self, owner: str, item_id: str) -> bytes | None:
        best: tuple[str, _Item] | None = None
        for response_id, item in self._by_item.get((owner, item_id), {}).items():
            if self._find((owner, response_id)) is not None and (best is None or item.is_output >= best[1].is_output):
                best = response_id, item
        if best is None:
            return None
        key = (owner, best[0])
        self._touch(key, self._open_entries()[key])
        return self._contents[owner, best[1].digest].data

    def _touch(self, key: _Key, entry: _Entry) -> None:
        entry.expires = self._clock() + self._limits.ttl
        self._open_entries().move_to_end(key)

    def _hold(self, owner: str, response_id: str, item: StoredItem, *, is_output: bool) -> _Item:
        digest = content_hash(item.data)
        content = self._contents.get((owner, digest))
        if content is None:
            content = self._contents[owner, digest] = _Content(item.data)
            self.bytes += len(item.data)
        content.holders += 1
        self.bytes += ITEM_OVERHEAD
        self.items += 1
        held = _Item(item.id, digest, is_output)
        self._by_item.setdefault((owner, item.id), {})[response_id] = held
        return held

    def _make_room(self, entries: OrderedDict[_Key, _Entry]) -> None:
        now, limits = self._clock(), self._limits
        expired = takewhile(lambda entry: entry[1].expires <= now, entries.items())
        for key, _ in list(islice(expired, _MAX_EXPIRED)):
            self._drop(key)
        while self.bytes > limits.max_bytes or self.items > limits.max_items:
            self._drop(next(iter(entries)))

    def _drop(self, key: _Key) -> None:
        entry = self._open_entries().pop(key, None)
        if entry is None:
            return
        owner, response_id = key
        self.bytes -= entry.size + ITEM_OVERHEAD * len(entry.items)
        self.items -= len(entry.items)
        for item in entry.items:
            content = self._contents[owner, item.digest]
            content.holders -= 1
            if not content.holders:
                del self._contents[owner, item.digest]
                self.bytes -= len(content.data)
            holders = self._by_item.get((owner, item.id), {})
            holders.pop(response_id, None)
            if not holders:
                self._by_item.pop((owner, item.id), None)


def content_hash(data: bytes) -> bytes:
    """Identifies the bytes of an item among those of its owner."""
    return hashlib.blake2b(data, digest_size=16).digest()
