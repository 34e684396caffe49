"""Old rows leave the ledger, a few at a time. Their part of the rollups stays."""

from __future__ import annotations

import sqlite3
from typing import Final

from modelmux.store.ledger.slots import DAY
from modelmux.store.ledger.sqlite_rows import first_id

#: Rows of one transaction: others wait for it.
CHUNK: Final = 1_000
#: Free pages are left for new rows up to this part of the file, and of more at most so many are cut off at once.
_FREE_PART: Final = 0.1
_MOST_CUT: Final = 500


def begin(connection: sqlite3.Connection, instant: int) -> int:
    """Within a write transaction: from now on rows of before are no longer added, so that none that was dropped comes
    back and counts again.

    :returns: the begin of the UTC day of the instant, or of a later one that was asked for before.
    """
    day = max(instant // DAY * DAY, -(1 << 62))
    connection.execute("UPDATE ledger_state SET dropped_before = max(dropped_before, ?)", (day,))
    connection.execute("DELETE FROM ledger_tag_set WHERE day < ?", (day // DAY,))
    (dropped_before,) = connection.execute("SELECT dropped_before FROM ledger_state").fetchone()
    return int(dropped_before)


def drop_chunk(connection: sqlite3.Connection, before: int, after: bytes) -> tuple[int, bytes | None]:
    """Within a write transaction: drop the next rows that are older.

    :param after: the id where the chunk before ended; empty at first.
    :returns: how many were dropped, and where this chunk ended; None if there are no more.
    """
    ids = [
        id
        for (id,) in connection.execute(
            "SELECT id FROM ledger WHERE id > ? AND id < ? AND at < ? ORDER BY id LIMIT ?",
            (after, first_id(before), before, CHUNK),
        )
    ]
    connection.executemany("DELETE FROM ledger WHERE id = ?", [(id,) for id in ids])
    _cut(connection)
    return len(ids), ids[-1] if len(ids) == CHUNK else None


def _cut(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    excess = free - int(pages * _FREE_PART)
    for _ in range(min(excess, _MOST_CUT)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # the module makes one step, which is one page
