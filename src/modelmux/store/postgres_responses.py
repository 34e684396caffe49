"""Stored responses in a PostgreSQL database, which several nodes share. What they hold is sealed with the nodes' key.

A process has one connection that reads and one that writes, each in a thread of its own, opened when it is needed
first. Statements, and what of them must not be mixed up, are in ``postgres_response_rows.py``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from modelmux.config.postgres_url import PostgresUrl
from modelmux.dialects.sealer import Sealer
from modelmux.dialects.stored_responses import History, HistoryQuery, StoredItem, StoredResponse
from modelmux.store.base import MAX_CHAIN, ResponseLimits, StoreFailed, check_history
from modelmux.store.postgres.bounded import BoundedThread
from modelmux.store.postgres.locks import ROOM, try_lock
from modelmux.store.postgres.migrate import (
    CONVERSATIONS,
    check_conversations_usable,
    check_migrated,
    conversation_migrations,
    migrate,
)
from modelmux.store.postgres.session import Session
from modelmux.store.postgres_response_rows import (
    ITEM_OVERHEAD,
    RESPONSE_OVERHEAD,
    ResponseRows,
    Totals,
    delete_rows,
)
from modelmux.store.row_sealer import OVERHEAD

#: Seconds that a call takes at most, what waits before it included.
BOUND: Final = 2.0
#: Expired responses that one ``put`` drops at most.
_MAX_EXPIRED: Final = 100
#: Responses that are dropped at once, and times that this is repeated, to make room for one.
_MAX_VICTIMS: Final = 500
_MAX_ROUNDS: Final = 20
#: Room that is made beyond what is needed, as a part of the bound, so that not every response has to make some.
_SPARE_PART: Final = 64

_CHAIN: Final = """
WITH RECURSIVE chain (number, previous, used_at, item_bytes, depth) AS (
    SELECT number, previous, used_at, item_bytes, 1 FROM stored_response WHERE key = $1
    UNION ALL
    SELECT r.number, r.previous, r.used_at, r.item_bytes, depth + 1
    FROM chain JOIN stored_response AS r ON r.key = chain.previous WHERE depth <= $2
)
SELECT number, previous, used_at, item_bytes FROM chain ORDER BY depth
"""
_ITEMS_BY_KEY: Final = """
SELECT DISTINCT ON (i.key) i.key, r.number, r.used_at, i.content, octet_length(c.data) AS size
FROM stored_item AS i JOIN stored_response AS r ON r.number = i.response JOIN stored_content AS c ON c.key = i.content
WHERE i.key = ANY ($1) AND r.used_at > $2 ORDER BY i.key, i.is_output DESC, i.response DESC
"""
_CONTENTS: Final = "SELECT key, data FROM stored_content WHERE key = ANY ($1)"
_ITEMS: Final = """
SELECT i.response, i.is_output, i.content, c.data FROM stored_item AS i JOIN stored_content AS c ON c.key = i.content
WHERE i.response = ANY ($1) ORDER BY i.response, i.position
"""
_BY_KEY: Final = "SELECT number, used_at, head FROM stored_response WHERE key = $1"
_DELETE: Final = "SELECT number, used_at FROM stored_response WHERE key = $1 FOR UPDATE"
_TOUCH: Final = "UPDATE stored_response SET used_at = $1 WHERE number = ANY ($2) AND used_at < $1"
_EXPIRED: Final = """
SELECT number FROM stored_response WHERE used_at <= $1 ORDER BY used_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""
#: The least recently used ones that together free what is needed, if nothing of them is shared.
_VICTIMS: Final = """
SELECT number FROM (
    SELECT number, sum(size) OVER (ORDER BY used_at, number) - size AS bytes_before,
        sum(item_count) OVER (ORDER BY used_at, number) - item_count AS items_before
    FROM (
        SELECT number, used_at, item_count, octet_length(head) + item_bytes + $3 + $4 * item_count AS size
        FROM stored_response ORDER BY used_at, number LIMIT $5
    ) AS oldest
) AS summed WHERE bytes_before < $1 OR items_before < $2
"""
_NEWEST: Final = "SELECT key, head FROM stored_response WHERE used_at > $1 ORDER BY number DESC LIMIT 1"


class PostgresResponseStore:
    """A ``ResponseStore``.

    :param sealer: of ``server.seal_keys``, the same on all nodes.
    :param now: Unix seconds, about the same on all nodes.
    :param bound: seconds that a call takes at most.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        url: PostgresUrl,
        sealer: Sealer,
        now: Callable[[], float],
        limits: ResponseLimits,
        *,
        bound: float = BOUND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._rows = ResponseRows(sealer)
        self._now = now
        self._limits = limits
        self._reader = BoundedThread(
            "modelmux-responses-reader", url, self._prepare, bound, clock, check_conversations_usable
        )
        self._writer = BoundedThread(
            "modelmux-responses-writer", url, self._prepare, bound, clock, check_conversations_usable
        )

    def check(self) -> None:
        """Migrate, and look whether this node has the key of the others: for a start, before workers are forked.

        :raises StoreFailed: it cannot be used now. It is tried again by each call.
        """
        self._writer.call(_nothing)

    def look(self) -> None:
        """As ``check``, changing nothing. :raises StoreOutdated: the next start migrates. :raises StoreFailed:"""

        async def prepare(connection: Any) -> None:
            await check_migrated(connection, conversation_migrations(), CONVERSATIONS)

        looking = BoundedThread("modelmux-responses-look", self.url, prepare, BOUND)
        looking.call(self._check_keys, writes=False)

    async def put(self, owner: str, response: StoredResponse) -> None:
        """See ``ResponseStore.put``."""
        limits = self._limits
        limits.check_response(response)
        count = len(response.input) + len(response.output)
        cost = response.size + RESPONSE_OVERHEAD + (ITEM_OVERHEAD + OVERHEAD) * (count + 1)
        if cost > limits.max_bytes or count > limits.max_items:
            raise StoreFailed("a response is larger than the store")
        now, oldest = self._now(), self._oldest()
        totals = await self._writer.run(lambda session: self._rows.put(session, owner, response, now, oldest))
        if totals.has_expired or self._is_over(totals):
            with contextlib.suppress(StoreFailed):  # the response is stored; the next one tries again
                await self._writer.run(self._make_room)

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """See ``ResponseStore.get``."""
        used: dict[int, float] = {}
        response = await self._reader.run(partial(self._get, owner, response_id, used), writes=False)
        await self._touch(used)
        return response

    async def history(self, owner: str, query: HistoryQuery) -> History:
        """See ``ResponseStore.history``."""
        used: dict[int, float] = {}
        history = await self._reader.run(partial(self._history, owner, query, used), writes=False)
        await self._touch(used)
        return history

    async def delete(self, owner: str, response_id: str) -> bool:
        """See ``ResponseStore.delete``."""
        key = self._rows.response_key(owner, response_id)

        async def delete(session: Session) -> bool:
            row = await session.fetchrow(_DELETE, key)
            if row is None:
                return False
            await delete_rows(session, [row["number"]])
            return bool(row["used_at"] > oldest)

        oldest = self._oldest()
        return await self._writer.run(delete)

    async def aclose(self) -> None:
        """See ``ResponseStore.aclose``."""
        await self._reader.aclose()
        await self._writer.aclose()

    # --- reading --------------------------------------------------------------------------------------------------

    async def _get(
        self, owner: str, response_id: str, used: dict[int, float], session: Session
    ) -> StoredResponse | None:
        key = self._rows.response_key(owner, response_id)
        row = await session.fetchrow(_BY_KEY, key)
        if row is None or row["used_at"] <= self._oldest():
            return None
        items = await session.fetch(_ITEMS, [row["number"]])
        head, previous_id, input_ids, output_ids = self._rows.open_head(key, row["head"])
        data = [self._rows.open_item(owner, item["data"]) for item in items]
        used[row["number"]] = row["used_at"]
        return StoredResponse(
            response_id,
            head.created_at,
            previous_id,
            tuple(map(StoredItem, input_ids, data)),
            tuple(map(StoredItem, output_ids, data[len(input_ids) :])),
            head.body,
        )

    async def _history(self, owner: str, query: HistoryQuery, used: dict[int, float], session: Session) -> History:
        oldest = self._oldest()
        by_id, size = await self._by_id(owner, query.item_ids, oldest, used, session)
        if query.previous_id is None:
            return History((), by_id)
        chain = await session.fetch(_CHAIN, self._rows.response_key(owner, query.previous_id), MAX_CHAIN)
        has_gap = any(row["used_at"] <= oldest for row in chain)
        if not chain or has_gap or (chain[-1]["previous"] is not None and len(chain) <= MAX_CHAIN):
            return History(None, by_id)
        check_history(len(chain), size + sum(row["item_bytes"] for row in chain))
        used.update((row["number"], row["used_at"]) for row in chain)
        numbers = [row["number"] for row in reversed(chain)]
        items: dict[int, list[bytes]] = {number: [] for number in numbers}
        for row in await session.fetch(_ITEMS, numbers):
            items[row["response"]].append(self._rows.open_item(owner, row["data"]))
        return History(tuple(data for number in numbers for data in items[number]), by_id)

    async def _by_id(
        self, owner: str, item_ids: tuple[str, ...], oldest: float, used: dict[int, float], session: Session
    ) -> tuple[dict[str, bytes], int]:
        """The items that are known, and how many bytes they have."""
        keys = {self._rows.item_key(owner, item_id): item_id for item_id in item_ids}
        rows = await session.fetch(_ITEMS_BY_KEY, list(keys), oldest) if keys else []
        size = sum(row["size"] - OVERHEAD for row in rows)
        check_history(0, size)
        contents = {row["content"] for row in rows}
        data = {row["key"]: row["data"] for row in await session.fetch(_CONTENTS, list(contents))} if contents else {}
        used.update((row["number"], row["used_at"]) for row in rows)
        return {keys[row["key"]]: self._rows.open_item(owner, data[row["content"]]) for row in rows}, size

    async def _touch(self, used: dict[int, float]) -> None:
        """Record the use of responses, unless that was done a short while ago."""
        now = self._now()
        before = now - self._limits.touch_after
        numbers = sorted(number for number, used_at in used.items() if used_at < before)
        if numbers:
            with contextlib.suppress(StoreFailed):  # what was read is right all the same
                await self._writer.run(lambda session: session.execute(_TOUCH, now, numbers))

    def _oldest(self) -> float:
        """A response that was used last at this time, or before, has expired."""
        return self._now() - self._limits.ttl

    # --- writing --------------------------------------------------------------------------------------------------

    async def _make_room(self, session: Session) -> None:
        """Drop what has expired, and then the least recently used; unless another node does so now."""
        if not await try_lock(session, ROOM):
            return
        expired = [row["number"] for row in await session.fetch(_EXPIRED, self._oldest(), _MAX_EXPIRED)]
        totals = await delete_rows(session, expired)
        for _ in range(_MAX_ROUNDS):
            if not self._is_over(totals):
                return
            victims = await session.fetch(
                _VICTIMS,
                _excess(totals.bytes, self._limits.max_bytes),
                _excess(totals.items, self._limits.max_items),
                RESPONSE_OVERHEAD,
                ITEM_OVERHEAD,
                _MAX_VICTIMS,
            )
            totals = await delete_rows(session, [row["number"] for row in victims])

    def _is_over(self, totals: Totals) -> bool:
        return totals.bytes > self._limits.max_bytes or totals.items > self._limits.max_items

    async def _prepare(self, connection: Any) -> None:
        await migrate(connection, conversation_migrations(), CONVERSATIONS, timeout=self.url.migration_timeout)
        await self._check_keys(connection)

    async def _check_keys(self, session: Session) -> None:
        """:raises NotOpened: the newest response was sealed with a key that this node does not have."""
        row = await session.fetchrow(_NEWEST, self._oldest())
        if row is not None:
            self._rows.open_head(row["key"], row["head"])


def _excess(size: int, bound: int) -> int:
    return size - (bound - bound // _SPARE_PART)


async def _nothing(session: Session) -> None:
    del session
