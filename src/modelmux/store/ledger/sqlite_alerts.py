"""Alerts as rows: those of budgets are written in the transaction that charges, and all are delivered later."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from modelmux.accounts.alert_types import Alert, decode_alert, delivery_id, encode_alert, type_of
from modelmux.accounts.alerts import Watch, alerts_of
from modelmux.accounts.slices import WindowKey
from modelmux.store.ledger.alerts import Delivery, DueDelivery, Outcome

_SPENT: Final = "SELECT spent FROM budget_window WHERE budget = ? AND subject = ? AND start = ?"
_ADD: Final = "INSERT OR IGNORE INTO alert (id, type, data, due) VALUES (?, ?, ?, ?)"
_DUE: Final = "SELECT id, type, data FROM alert WHERE due <= ? ORDER BY due, number LIMIT 1"
_HANDED_OUT: Final = "UPDATE alert SET due = NULL WHERE id = ?"
_ADD_DELIVERY: Final = (
    "INSERT OR IGNORE INTO webhook_delivery (id, webhook, alert, created, due) VALUES (?, ?, ?, ?, ?)"
)
_IS_DUE: Final = "SELECT 1 FROM webhook_delivery WHERE due <= ? LIMIT 1"
# Of each webhook the row with the least "due": SQLite takes the other columns from the row that has it.
_NEXT: Final = (
    "SELECT d.id, d.webhook, a.data, d.tries, d.created, min(d.due) AS first FROM webhook_delivery AS d "
    "JOIN alert AS a ON a.id = d.alert WHERE d.due <= ? GROUP BY d.webhook ORDER BY first, d.number LIMIT ?"
)
_CLAIM: Final = "UPDATE webhook_delivery SET due = ?, tries = tries + 1 WHERE id = ?"
_TRIED: Final = "UPDATE webhook_delivery SET due = ?, tried = ?, status = ?, problem = ? WHERE id = ?"
_WAIT: Final = (
    "UPDATE webhook_delivery SET due = ? WHERE due < ? "
    "AND webhook = (SELECT webhook FROM webhook_delivery WHERE id = ?)"
)
_COLUMNS: Final = "d.number, d.id, d.webhook, d.alert, a.type, d.created, d.due, d.tries, d.tried, d.status, d.problem"
_READ: Final = f"SELECT {_COLUMNS} FROM webhook_delivery AS d JOIN alert AS a ON a.id = d.alert "
_OF_WEBHOOK: Final = f"{_READ} WHERE d.webhook = ? AND d.number < ? ORDER BY d.number DESC LIMIT ?"
_LAST: Final = f"{_READ} WHERE d.webhook = ? AND d.tried IS NOT NULL ORDER BY d.number DESC LIMIT 1"
_BY_ID: Final = f"{_READ} WHERE d.id = ?"
_OLD: Final = "SELECT id, alert FROM webhook_delivery WHERE created < ? AND due IS NULL LIMIT ?"
_FORGET: Final = "DELETE FROM webhook_delivery WHERE id = ?"
_FORGET_TEST: Final = "DELETE FROM alert WHERE id = ? AND type = 'webhook.test'"
_FIRST_NUMBER: Final = 2**63 - 1
#: Rows that one transaction deletes.
_CHUNK: Final = 500


def note(connection: sqlite3.Connection, watches: Mapping[WindowKey, Watch], now: int) -> None:
    """Remember the thresholds that windows have reached, each once, after they were charged.

    :param now: microseconds in UTC.
    """
    for window in sorted(watches):
        (spent,) = connection.execute(_SPENT, window).fetchone() or (0,)
        add(connection, alerts_of(window, watches[window], spent, now), now)


def add(connection: sqlite3.Connection, alerts: Iterable[Alert], due: int | None) -> int:
    """Those that are not there yet. :returns: how many that were."""
    rows = [(one.id, type_of(one), encode_alert(one).decode(), due) for one in alerts]
    return connection.executemany(_ADD, rows).rowcount


def is_alert_due(connection: sqlite3.Connection, now: int) -> bool:
    """Whether there is something to hand out."""
    return connection.execute(_DUE, (now,)).fetchone() is not None


def hand_out(connection: sqlite3.Connection, now: int, webhooks: Mapping[str, frozenset[str] | None]) -> Alert | None:
    """See ``AlertStore.hand_out``."""
    row = connection.execute(_DUE, (now,)).fetchone()
    if row is None:
        return None
    id, type, data = row
    takers = [webhook for webhook, types in webhooks.items() if types is None or type in types]
    add_deliveries(connection, id, takers, now)
    connection.execute(_HANDED_OUT, (id,))
    alert: Alert = decode_alert(data)
    return alert


def add_deliveries(connection: sqlite3.Connection, alert: str, webhooks: Iterable[str], now: int) -> None:
    """One for each webhook, which is due now, where there was none."""
    connection.executemany(
        _ADD_DELIVERY, [(delivery_id(webhook, alert), webhook, alert, now, now) for webhook in webhooks]
    )


def is_delivery_due(connection: sqlite3.Connection, now: int) -> bool:
    """Whether there is something to deliver."""
    return connection.execute(_IS_DUE, (now,)).fetchone() is not None


def claim(connection: sqlite3.Connection, now: int, until: int, most: int) -> list[DueDelivery]:
    """See ``AlertStore.claim``."""
    rows = connection.execute(_NEXT, (now, most)).fetchall()
    connection.executemany(_CLAIM, [(until, row[0]) for row in rows])
    return [
        DueDelivery(id=id, webhook=webhook, body=data.encode(), tries=tries, created=created)
        for id, webhook, data, tries, created, _ in rows
    ]


def tried(connection: sqlite3.Connection, id: str, outcome: Outcome) -> None:
    """See ``AlertStore.tried``."""
    connection.execute(_TRIED, (outcome.again, outcome.at, outcome.status, outcome.problem, id))
    if outcome.again is not None:
        connection.execute(_WAIT, (outcome.again, outcome.again, id))


def by_id(connection: sqlite3.Connection, id: str) -> Delivery:
    """One that is there."""
    return _delivery(connection.execute(_BY_ID, (id,)).fetchone())


def deliveries(connection: sqlite3.Connection, webhook: str, before: int | None, limit: int) -> list[Delivery]:
    """See ``AlertStore.deliveries``."""
    rows = connection.execute(_OF_WEBHOOK, (webhook, _FIRST_NUMBER if before is None else before, limit))
    return [_delivery(row) for row in rows]


def last(connection: sqlite3.Connection, webhooks: Sequence[str]) -> dict[str, Delivery]:
    """See ``AlertStore.last``."""
    rows = (connection.execute(_LAST, (webhook,)).fetchone() for webhook in webhooks)
    return {row[2]: _delivery(row) for row in rows if row is not None}


def forget_some(connection: sqlite3.Connection, before: int) -> bool:
    """A part of ``AlertStore.forget``. :returns: whether there may be more."""
    rows = connection.execute(_OLD, (before, _CHUNK)).fetchall()
    connection.executemany(_FORGET, [(id,) for id, _ in rows])
    connection.executemany(_FORGET_TEST, [(alert,) for _, alert in rows])
    return len(rows) == _CHUNK


def _delivery(row: Any) -> Delivery:
    number, id, webhook, alert, type, created, due, tries, at, status, problem = row
    return Delivery(
        number=number, id=id, webhook=webhook, alert=alert, type=type, created=created, due=due, tries=tries,
        tried=at, status=status, problem=problem,
    )  # fmt: skip
