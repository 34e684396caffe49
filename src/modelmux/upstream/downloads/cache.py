"""What was downloaded, for an hour: clients send the URLs of a conversation again with each of its turns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

#: Limits of the cache: bytes, entries, age in seconds. The overhead of an entry is an estimate.
CACHE_BYTES: Final = 64 * 1024 * 1024
CACHE_ENTRIES: Final = 512
CACHE_AGE: Final = 3600.0
_ENTRY_COST: Final = 512


class Fetched(NamedTuple):
    """The bytes, and the media type the server sent: lower case, without parameters, "" if there is none."""

    data: bytes
    media_type: str


class DownloadCache:
    """An LRU cache of downloads. The age of an entry counts from its download."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, Fetched]] = OrderedDict()
        self._size = 0

    def get(self, url: str) -> Fetched | None:
        entry = self._entries.get(url)
        if entry is None:
            return None
        if self._clock() - entry[0] >= CACHE_AGE:
            self.drop(url)
            return None
        self._entries.move_to_end(url)
        return entry[1]

    def put(self, url: str, fetched: Fetched) -> None:
        self.drop(url)
        cost = _cost(url, fetched)
        if cost > CACHE_BYTES:
            return
        self._entries[url] = (self._clock(), fetched)
        self._size += cost
        while self._size > CACHE_BYTES or len(self._entries) > CACHE_ENTRIES:
            self.drop(next(iter(self._entries)))

    def clear(self) -> None:
        self._entries.clear()
        self._size = 0

    def drop(self, url: str) -> None:
        entry = self._entries.pop(url, None)
        if entry is not None:
            self._size -= _cost(url, entry[1])


def _cost(url: str, fetched: Fetched) -> int:
    return len(fetched.data) + len(url) + _ENTRY_COST
