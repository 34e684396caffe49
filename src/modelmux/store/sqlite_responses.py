"""Stored responses in a SQLite file, which several processes share and a restart leaves.

Each call runs in a thread: one that reads and one that writes, each with a connection of its own that is opened when
it is needed first. So a store may be made before a fork, if it is used only after it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from modelmux.dialects.stored_responses import History, HistoryQuery, StoredItem, StoredResponse
from modelmux.store.base import MAX_CHAIN, ResponseLimits, StoreFailed, check_history
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.memory_responses import content_hash
from modelmux.store.responses_file import BUSY_TIMEOUT, ResponsesFile, forget_deleted
from modelmux.store.sqlite_transaction import transaction

#: What a response and each of its items cost in addition to their bytes, roughly.
RESPONSE_OVERHEAD: Final = 500
ITEM_OVERHEAD: Final = 250
#: Expired responses that one ``put`` drops at most, and a start.
_MAX_EXPIRED: Final = 100
_MAX_EXPIRED_AT_START: Final = 10_000

_CHAIN: Final = """
WITH RECURSIVE chain (number, previous_id, used_at, item_bytes, depth) AS (
    SELECT number, previous_id, used_at, item_bytes, 1 FROM responses WHERE owner = :owner AND id = :id
    UNION ALL
    SELECT r.number, r.previous_id, r.used_at, r.item_bytes, depth + 1
    FROM chain JOIN responses AS r ON r.owner = :owner AND r.id = chain.previous_id WHERE depth <= :longest
)
SELECT number, previous_id, used_at, item_bytes FROM chain
"""
_ITEM_BY_ID: Final = """
SELECT r.number, r.used_at, c.data
FROM items AS i JOIN responses AS r ON r.number = i.response JOIN contents AS c ON c.number = i.content
WHERE i.owner = ? AND i.id = ? AND r.used_at > ? ORDER BY i.is_output DESC, i.response DESC LIMIT 1
"""
_ITEMS: Final = """
SELECT i.id, i.is_output, c.data FROM items AS i JOIN contents AS c ON c.number = i.content
WHERE i.response = ? ORDER BY i.position
"""
_FREED: Final = """
SELECT coalesce(sum(length(data)), 0) FROM contents
WHERE number IN (SELECT content FROM items WHERE response = :number)
AND NOT EXISTS (SELECT 1 FROM items AS i WHERE i.content = contents.number AND i.response <> :number)
"""
_FREE: Final = """
DELETE FROM contents
WHERE number IN (SELECT content FROM items WHERE response = :number)
AND NOT EXISTS (SELECT 1 FROM items AS i WHERE i.content = contents.number AND i.response <> :number)
"""


class SqliteResponseStore:
    """A ``ResponseStore``.

    :param now: Unix seconds.
    :param busy_timeout: seconds that a call waits for other calls and other processes together.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], float],
        limits: ResponseLimits,
        *,
        busy_timeout: float = BUSY_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._now = now
        self._limits = limits
        file = ResponsesFile(path)
        self._reader = ConnectionThread("modelmux-responses", file, busy_timeout, clock)
        self._writer = ConnectionThread("modelmux-responses", file, busy_timeout, clock)

    def check(self) -> None:
        """Open the file once, write to it, and close it: for a start, before workers are forked.

        :raises StoreFailed: it cannot be used.
        """

        def drop_expired(connection: sqlite3.Connection) -> None:
            with transaction(connection, "IMMEDIATE"):
                self._drop_expired(connection, _MAX_EXPIRED_AT_START)

        try:
            self._writer.call(drop_expired)
        finally:
            self._writer.disconnect()

    async def put(self, owner: str, response: StoredResponse) -> None:
        """See ``ResponseStore.put``."""
        self._limits.check_response(response)
        await self._writer.run(lambda connection: self._put(connection, owner, response))

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """See ``ResponseStore.get``."""
        used: dict[int, float] = {}
        response = await self._reader.run(lambda connection: self._get(connection, owner, response_id, used))
        await self._touch(used)
        return response

    async def history(self, owner: str, query: HistoryQuery) -> History:
        """See ``ResponseStore.history``."""
        used: dict[int, float] = {}
        history = await self._reader.run(lambda connection: self._history(connection, owner, query, used))
        await self._touch(used)
        return history

    async def delete(self, owner: str, response_id: str) -> bool:
        """See ``ResponseStore.delete``."""
        return await self._writer.run(lambda connection: self._delete(connection, owner, response_id))

    async def aclose(self) -> None:
        """See ``ResponseStore.aclose``."""
        await self._reader.aclose()
        await self._writer.aclose()

    # --- reading --------------------------------------------------------------------------------------------------

    def _get(
        self, connection: sqlite3.Connection, owner: str, response_id: str, used: dict[int, float]
    ) -> StoredResponse | None:
        with transaction(connection, "DEFERRED"):
            row = connection.execute(
                "SELECT number, used_at, created_at, previous_id, body FROM responses WHERE owner = ? AND id = ?",
                (owner, _text(response_id)),
            ).fetchone()
            if row is None or row[1] <= self._oldest():
                return None
            items = connection.execute(_ITEMS, row[:1]).fetchall()
        number, used[number], created_at, previous_id, body = row
        return StoredResponse(
            response_id,
            created_at,
            previous_id,
            tuple(StoredItem(id, data) for id, is_output, data in items if not is_output),
            tuple(StoredItem(id, data) for id, is_output, data in items if is_output),
            body,
        )

    def _history(
        self, connection: sqlite3.Connection, owner: str, query: HistoryQuery, used: dict[int, float]
    ) -> History:
        oldest, size = self._oldest(), 0
        by_id: dict[str, bytes] = {}
        with transaction(connection, "DEFERRED"):
            for item_id in query.item_ids:
                row = connection.execute(_ITEM_BY_ID, (owner, _text(item_id), oldest)).fetchone()
                if row is not None:
                    number, used_at, by_id[item_id] = row
                    used[number] = used_at
                    size += len(by_id[item_id])
                    check_history(0, size)
            if query.previous_id is None:
                return History((), by_id)
            chain = connection.execute(
                _CHAIN, {"owner": owner, "id": _text(query.previous_id), "longest": MAX_CHAIN}
            ).fetchall()
            known = [row for row in chain if row[2] > oldest]
            if not chain or len(known) < len(chain) or (chain[-1][1] is not None and len(chain) <= MAX_CHAIN):
                return History(None, by_id)
            check_history(len(chain), size + sum(row[3] for row in chain))
            used.update((row[0], row[2]) for row in chain)
            items = [data for row in reversed(chain) for _, _, data in connection.execute(_ITEMS, row[:1])]
        return History(tuple(items), by_id)

    async def _touch(self, used: dict[int, float]) -> None:
        """Record the use of responses, unless that was done a short while ago."""
        now = self._now()
        before = now - self._limits.touch_after
        rows = [(now, number, now) for number, used_at in used.items() if used_at < before]
        if not rows:
            return

        def touch(connection: sqlite3.Connection) -> None:
            with transaction(connection, "IMMEDIATE"):
                connection.executemany("UPDATE responses SET used_at = ? WHERE number = ? AND used_at < ?", rows)

        with contextlib.suppress(StoreFailed):  # what was read is right all the same
            await self._writer.run(touch)

    def _oldest(self) -> float:
        """A response that was used last at this time, or before, has expired."""
        return self._now() - self._limits.ttl

    # --- writing --------------------------------------------------------------------------------------------------

    def _put(self, connection: sqlite3.Connection, owner: str, response: StoredResponse) -> None:
        items = [(False, _text(item.id), item.data, content_hash(item.data)) for item in response.input]
        items += [(True, _text(item.id), item.data, content_hash(item.data)) for item in response.output]
        item_bytes = sum(len(data) for _, _, data, _ in items)
        previous_id = None if response.previous_id is None else _text(response.previous_id)
        row = (owner, _text(response.id), previous_id, response.created_at, response.body, len(items), item_bytes)
        with transaction(connection, "IMMEDIATE"):
            self._delete_by_id(connection, owner, response.id)
            number = connection.execute(
                "INSERT INTO responses (owner, id, previous_id, created_at, body, item_count, item_bytes, used_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, self._now()),
            ).lastrowid
            assert number is not None
            added = len(response.body) + RESPONSE_OVERHEAD + ITEM_OVERHEAD * len(items)
            for position, (is_output, item_id, data, digest) in enumerate(items):
                content, new_bytes = self._content(connection, owner, digest, data)
                added += new_bytes
                connection.execute(
                    "INSERT INTO items (response, position, is_output, owner, id, content) VALUES (?, ?, ?, ?, ?, ?)",
                    (number, position, is_output, owner, item_id, content),
                )
            connection.execute("UPDATE totals SET bytes = bytes + ?, items = items + ?", (added, len(items)))
            self._drop_expired(connection, _MAX_EXPIRED)
            self._make_room(connection, number)

    def _content(self, connection: sqlite3.Connection, owner: str, digest: bytes, data: bytes) -> tuple[int, int]:
        """The number of a row of ``contents``, and how many bytes were added for it."""
        row = connection.execute("SELECT number FROM contents WHERE owner = ? AND hash = ?", (owner, digest)).fetchone()
        if row is not None:
            return row[0], 0
        number = connection.execute(
            "INSERT INTO contents (owner, hash, data) VALUES (?, ?, ?)", (owner, digest, data)
        ).lastrowid
        assert number is not None
        return number, len(data)

    def _drop_expired(self, connection: sqlite3.Connection, most: int) -> None:
        expired = connection.execute(
            "SELECT number FROM responses WHERE used_at <= ? ORDER BY used_at LIMIT ?", (self._oldest(), most)
        ).fetchall()
        for (number,) in expired:
            self._delete_row(connection, number)

    def _make_room(self, connection: sqlite3.Connection, newest: int) -> None:
        """Drop the least recently used until the file is within its bounds.

        :raises StoreFailed: the newest response alone is not.
        """
        while True:
            total_bytes, total_items = connection.execute("SELECT bytes, items FROM totals").fetchone()
            if total_bytes <= self._limits.max_bytes and total_items <= self._limits.max_items:
                return
            row = connection.execute(
                "SELECT number FROM responses WHERE number <> ? ORDER BY used_at, number LIMIT 1", (newest,)
            ).fetchone()
            if row is None:
                raise StoreFailed("a response is larger than the store")
            self._delete_row(connection, row[0])

    def _delete(self, connection: sqlite3.Connection, owner: str, response_id: str) -> bool:
        with transaction(connection, "IMMEDIATE"):
            used_at = self._delete_by_id(connection, owner, response_id)
        if used_at is not None:
            forget_deleted(connection)
        return used_at is not None and used_at > self._oldest()

    def _delete_by_id(self, connection: sqlite3.Connection, owner: str, response_id: str) -> float | None:
        """When the response was used last; None if there is none."""
        row = connection.execute(
            "SELECT number, used_at FROM responses WHERE owner = ? AND id = ?", (owner, _text(response_id))
        ).fetchone()
        if row is None:
            return None
        self._delete_row(connection, row[0])
        used_at: float = row[1]
        return used_at

    def _delete_row(self, connection: sqlite3.Connection, number: int) -> None:
        body_bytes, items = connection.execute(
            "SELECT length(body), item_count FROM responses WHERE number = ?", (number,)
        ).fetchone()
        numbered = {"number": number}
        (freed,) = connection.execute(_FREED, numbered).fetchone()
        connection.execute(_FREE, numbered)
        connection.execute("DELETE FROM items WHERE response = ?", (number,))
        connection.execute("DELETE FROM responses WHERE number = ?", (number,))
        freed += body_bytes + RESPONSE_OVERHEAD + ITEM_OVERHEAD * items
        connection.execute("UPDATE totals SET bytes = bytes - ?, items = items - ?", (freed, items))


def _text(id: str) -> str:
    """An id as SQLite can store it: that of a client may have surrogates, which are not text."""
    return id.encode("utf-8", "backslashreplace").decode()
