"""How the ledger of a file is: its schema, its rows, its leases. No question reads more than a few rows."""

from __future__ import annotations

import sqlite3
from typing import Final

from modelmux.store.ledger.base import Holder, LedgerState
from modelmux.store.ledger.sqlite_rows import id_time

_SCHEMA: Final = "SELECT max(number) FROM migrations"
_FIRST: Final = "SELECT id FROM ledger ORDER BY id LIMIT 1"
_LAST: Final = "SELECT id FROM ledger ORDER BY id DESC LIMIT 1"
_DROPPED: Final = "SELECT dropped_before FROM ledger_state"
_DUE: Final = (
    "SELECT (SELECT count(*) FROM alert INDEXED BY alert_by_due WHERE due IS NOT NULL) + "
    "(SELECT count(*) FROM webhook_delivery INDEXED BY webhook_delivery_by_due WHERE due IS NOT NULL)"
)
_HOLDERS: Final = (
    "SELECT h.holder, h.seen, (SELECT count(*) FROM budget_lease AS l WHERE l.holder = h.holder) "
    "FROM budget_holder AS h ORDER BY h.holder"
)
_PAGES: Final = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"


def state(connection: sqlite3.Connection) -> LedgerState:
    """Within a transaction."""
    (schema,), (size,) = connection.execute(_SCHEMA).fetchone(), connection.execute(_PAGES).fetchone()
    (dropped,), (due,) = connection.execute(_DROPPED).fetchone(), connection.execute(_DUE).fetchone()
    first, last = (connection.execute(sql).fetchone() for sql in (_FIRST, _LAST))
    return LedgerState(
        schema=schema,
        library=sqlite3.sqlite_version,
        bytes=size,
        first=None if first is None else id_time(first[0]),
        last=None if last is None else id_time(last[0]),
        dropped_before=dropped if dropped > 0 else None,
        alerts_due=due,
        holders=tuple(Holder(*row) for row in connection.execute(_HOLDERS)),
    )
