"""Remembered thinking in a PostgreSQL database: sealed rows by key, bounded by age and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.postgres.bounded import BoundedThread
from modelmux.store.postgres.migrate import (
    CONVERSATIONS,
    check_conversations_usable,
    check_migrated,
    conversation_migrations,
    migrate,
)
from modelmux.store.postgres.session import Session

#: Seconds that a request waits for a look at most. Without its thinking it is answered, too.
FIND_BOUND: Final = 0.25
#: Seconds that a batch takes at most.
ADD_BOUND: Final = 5.0
#: Rows that one batch drops at most.
_MAX_DROPPED: Final = 500

_FIND: Final = "SELECT key, sealed FROM remembered_thinking WHERE key = ANY ($1) AND expires_at > $2"
_REMOVE: Final = "DELETE FROM remembered_thinking WHERE key = ANY ($1) RETURNING octet_length(sealed) AS size"
_ADD: Final = """
INSERT INTO remembered_thinking (key, sealed, expires_at)
SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::double precision[])
ON CONFLICT (key) DO NOTHING RETURNING octet_length(sealed) AS size
"""
_EXPIRE: Final = """
DELETE FROM remembered_thinking WHERE key IN (
    SELECT key FROM remembered_thinking WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
) RETURNING octet_length(sealed) AS size
"""
_OLDEST: Final = """
DELETE FROM remembered_thinking WHERE key IN (
    SELECT key FROM remembered_thinking ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
) RETURNING octet_length(sealed) AS size
"""
_COUNT: Final = "UPDATE thinking_total SET bytes = bytes + $1, entries = entries + $2 RETURNING bytes, entries"
#: What a row costs in addition to its bytes, roughly.
ROW_OVERHEAD: Final = 150


class PostgresThinkingRows:
    """See ``shared_thinking.ThinkingRows``.

    :param max_bytes: of all rows.
    :param now: Unix seconds. :param clock: monotonic seconds.
    :param find_bound, add_bound: seconds that a call takes at most.
    """

    def __init__(
        self,
        url: PostgresUrl,
        max_bytes: int,
        now: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        find_bound: float = FIND_BOUND,
        add_bound: float = ADD_BOUND,
    ) -> None:
        self.url = url
        self._max_bytes = max_bytes
        self._now = now
        self._reader = BoundedThread(
            "modelmux-thinking-reader", url, self._migrate, find_bound, clock, check_conversations_usable
        )
        self._writer = BoundedThread(
            "modelmux-thinking-writer", url, self._migrate, add_bound, clock, check_conversations_usable
        )

    async def _migrate(self, connection: Any) -> None:
        await migrate(connection, conversation_migrations(), CONVERSATIONS, timeout=self.url.migration_timeout)

    def check(self) -> None:
        """Migrate: for a start, before workers are forked. :raises StoreFailed: it cannot be used now."""
        self._writer.call(_nothing)

    def look(self) -> None:
        """As ``check``, changing nothing. :raises StoreOutdated: the next start migrates. :raises StoreFailed:"""
        BoundedThread("modelmux-thinking-look", self.url, _check, ADD_BOUND).call(_nothing, writes=False)

    async def add(self, rows: Sequence[tuple[bytes, bytes, float]]) -> None:
        """See ``ThinkingRows.add``."""
        if rows:
            in_order = sorted(rows)  # so that two nodes do not wait for each other
            await self._writer.run(lambda session: self._add(session, in_order))

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """See ``ThinkingRows.find``."""

        async def find(session: Session) -> dict[bytes, bytes]:
            return {row["key"]: row["sealed"] for row in await session.fetch(_FIND, keys, self._now())}

        return await self._reader.run(find, writes=False)

    async def aclose(self) -> None:
        """See ``ThinkingRows.aclose``."""
        await self._reader.aclose()
        await self._writer.aclose()

    async def _add(self, session: Session, rows: Sequence[tuple[bytes, bytes, float]]) -> None:
        keys, sealed, expires = (list(column) for column in zip(*rows, strict=True))
        removed = await session.fetch(_REMOVE, keys)
        added = await session.fetch(_ADD, keys, sealed, expires)
        removed += await session.fetch(_EXPIRE, self._now(), _MAX_DROPPED)
        total, entries = await _count(session, added, removed)
        if total <= self._max_bytes:
            return
        average = total / entries
        excess = min(_MAX_DROPPED, int((total - self._max_bytes) / average) + len(rows))
        await _count(session, [], await session.fetch(_OLDEST, excess))


async def _count(session: Session, added: Sequence[Any], removed: Sequence[Any]) -> tuple[int, int]:
    """The new size, and the new number of rows."""
    entries = len(added) - len(removed)
    size = sum(row["size"] for row in added) - sum(row["size"] for row in removed) + ROW_OVERHEAD * entries
    row = await session.fetchrow(_COUNT, size, entries)
    return row["bytes"], row["entries"]


async def _check(connection: Any) -> None:
    await check_migrated(connection, conversation_migrations(), CONVERSATIONS)


async def _nothing(session: Session) -> None:
    del session
