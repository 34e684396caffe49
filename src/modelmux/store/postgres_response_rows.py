"""Rows of stored responses in PostgreSQL: what they hold, sealed, and how a transaction adds and deletes them.

An item is stored once for each owner: its key is the beginning of its sealed bytes, which is a digest of owner and
content under the seal key (RFC 5297: the synthetic initialization vector). It counts the items that hold it, and
whoever adds or frees one has its row locked, so nothing is freed that another transaction begins to hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from modelmux.dialects.sealer import Sealer
from modelmux.dialects.stored_responses import StoredItem, StoredResponse
from modelmux.store.postgres.session import Session
from modelmux.store.row_sealer import OVERHEAD, RowSealer, row_key

#: What a response and each of its items cost in addition to their bytes, roughly.
RESPONSE_OVERHEAD: Final = 500
ITEM_OVERHEAD: Final = 250
#: Rows of ``stored_total``.
_SLOTS: Final = 16

_ADD: Final = """
INSERT INTO stored_response (key, previous, head, item_count, item_bytes, used_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (key) DO NOTHING RETURNING number
"""
_OLD: Final = "SELECT number FROM stored_response WHERE key = $1 FOR UPDATE"
_HOLD: Final = """
UPDATE stored_content AS c SET holders = c.holders + n.count FROM unnest($1::bytea[], $2::bigint[]) AS n (key, count)
WHERE c.key = n.key RETURNING c.key
"""
_ADD_CONTENTS: Final = """
INSERT INTO stored_content AS c (key, data, holders)
SELECT key, data, count FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS n (key, data, count) ORDER BY key
ON CONFLICT (key) DO UPDATE SET holders = c.holders + excluded.holders RETURNING key, holders
"""
_ADD_ITEMS: Final = """
INSERT INTO stored_item (response, position, is_output, key, content)
SELECT $1, * FROM unnest($2::bigint[], $3::boolean[], $4::bytea[], $5::bytea[])
"""
#: The new totals, and whether a response has expired. A part of a statement does not see what another one changes.
_COUNT: Final = """
WITH changed AS (UPDATE stored_total SET bytes = bytes + $1, items = items + $2 WHERE slot = $3)
SELECT (sum(bytes) + $1)::bigint AS bytes, (sum(items) + $2)::bigint AS items,
    EXISTS (SELECT 1 FROM stored_response WHERE used_at <= $4) AS has_expired
FROM stored_total
"""
_DELETE_ITEMS: Final = "DELETE FROM stored_item WHERE response = ANY ($1) RETURNING content"
_DELETE_RESPONSES: Final = (
    "DELETE FROM stored_response WHERE number = ANY ($1) RETURNING octet_length(head) AS size, item_count"
)
_RELEASE: Final = """
WITH held AS (
    SELECT c.key, n.count FROM stored_content AS c JOIN unnest($1::bytea[], $2::bigint[]) AS n (key, count)
    ON c.key = n.key ORDER BY c.key FOR UPDATE OF c
)
UPDATE stored_content AS c SET holders = c.holders - held.count FROM held WHERE c.key = held.key
"""
_FREE: Final = "DELETE FROM stored_content WHERE key = ANY ($1) AND holders <= 0 RETURNING octet_length(data) AS size"
_NEVER: Final = float("-inf")


class Totals(NamedTuple):
    """The size of the store. :param has_expired: whether a response is in it that has expired."""

    bytes: int
    items: int
    has_expired: bool


class Head(Struct, frozen=True, array_like=True):
    """What a response has beside its items. Ids are bytes: those of clients may be no text."""

    created_at: int
    previous_id: bytes | None
    input: tuple[bytes, ...]
    output: tuple[bytes, ...]
    body: bytes


class ResponseRows:
    """Makes rows, and opens them again. :param sealer: of all nodes."""

    def __init__(self, sealer: Sealer) -> None:
        self._heads = RowSealer(sealer, b"stored response")
        self._items = RowSealer(sealer, b"stored item")

    def response_key(self, owner: str, response_id: str) -> bytes:
        """Identifies a response."""
        return row_key(owner, response_id, b"response")

    def item_key(self, owner: str, item_id: str) -> bytes:
        """Identifies the items of an owner that have an id."""
        return row_key(owner, item_id, b"item")

    def open_head(self, key: bytes, sealed: bytes) -> tuple[Head, str | None, tuple[str, ...], tuple[str, ...]]:
        """A head, the previous id, the ids of input and output. :raises NotOpened:"""
        head = msgspec.msgpack.decode(self._heads.open(sealed, key, "a stored response"), type=Head)
        previous_id = None if head.previous_id is None else _text(head.previous_id)
        return head, previous_id, tuple(map(_text, head.input)), tuple(map(_text, head.output))

    def open_item(self, owner: str, sealed: bytes) -> bytes:
        """:raises NotOpened:"""
        return self._items.open(sealed, row_key(owner, "", b"owner"), "an item of a stored response")

    async def put(self, session: Session, owner: str, response: StoredResponse, now: float, oldest: float) -> Totals:
        """Add a response, in place of one with the same id. :param oldest: see ``_EXPIRED``; of what has expired."""
        key = self.response_key(owner, response.id)
        head = Head(
            response.created_at,
            None if response.previous_id is None else _bytes(response.previous_id),
            tuple(_bytes(item.id) for item in response.input),
            tuple(_bytes(item.id) for item in response.output),
            response.body,
        )
        sealed_head = self._heads.seal(msgspec.msgpack.encode(head), key)
        previous = None if response.previous_id is None else self.response_key(owner, response.previous_id)
        items = (*response.input, *response.output)
        row = (key, previous, sealed_head, len(items), sum(len(item.data) for item in items), now)
        number = await session.fetchval(_ADD, *row)
        if number is None:
            await delete_rows(session, [old["number"] for old in await session.fetch(_OLD, key)])
            number = await session.fetchval(_ADD, *row)
        added = await self._add_items(session, owner, number, items, len(response.input))
        added += len(sealed_head) + RESPONSE_OVERHEAD + ITEM_OVERHEAD * len(items)
        return Totals(*await session.fetchrow(_COUNT, added, len(items), number % _SLOTS, oldest))

    async def _add_items(
        self, session: Session, owner: str, number: int, items: Sequence[StoredItem], inputs: int
    ) -> int:
        """:returns: bytes that were added for new contents."""
        if not items:
            return 0
        owner_key = row_key(owner, "", b"owner")
        sealed = [self._items.seal(item.data, owner_key) for item in items]
        keys = [data[:OVERHEAD] for data in sealed]
        by_key, counts = dict(zip(keys, sealed, strict=True)), Counter(keys)
        in_order = sorted(counts)
        rows = await session.fetch(_HOLD, in_order, [counts[key] for key in in_order])
        lacking = sorted(counts.keys() - {row["key"] for row in rows})
        added = 0
        if lacking:
            data = [by_key[key] for key in lacking]
            rows = await session.fetch(_ADD_CONTENTS, lacking, data, [counts[key] for key in lacking])
            added = sum(len(by_key[row["key"]]) for row in rows if row["holders"] == counts[row["key"]])
        item_keys = [self.item_key(owner, item.id) for item in items]
        positions = list(range(len(items)))
        await session.execute(_ADD_ITEMS, number, positions, [n >= inputs for n in positions], item_keys, keys)
        return added


async def delete_rows(session: Session, numbers: Sequence[int]) -> Totals:
    """Delete responses, and the contents that no other item holds."""
    freed = items = 0
    slot = numbers[0] % _SLOTS if numbers else 0
    if numbers:
        counts = Counter(row["content"] for row in await session.fetch(_DELETE_ITEMS, numbers))
        for row in await session.fetch(_DELETE_RESPONSES, numbers):
            freed += row["size"] + RESPONSE_OVERHEAD + ITEM_OVERHEAD * row["item_count"]
            items += row["item_count"]
        keys = sorted(counts)
        if keys:
            await session.execute(_RELEASE, keys, [counts[key] for key in keys])
            freed += sum(row["size"] for row in await session.fetch(_FREE, keys))
    return Totals(*await session.fetchrow(_COUNT, -freed, -items, slot, _NEVER))


def _bytes(id: str) -> bytes:
    return id.encode("utf-8", "surrogatepass")


def _text(id: bytes) -> str:
    return id.decode("utf-8", "surrogatepass")
