"""Thresholds that windows have reached, as rows: written in the transaction that charges, and delivered later."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

import msgspec

from modelmux.accounts.alerts import Alert, Watch, alerts_of
from modelmux.accounts.slices import WindowKey
from modelmux.store.ledger.base import DueAlert

_SPENT: Final = "SELECT spent FROM budget_window WHERE budget = ? AND subject = ? AND start = ?"
_ADD: Final = "INSERT OR IGNORE INTO budget_alert VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
_DUE: Final = "SELECT id, data, tries FROM budget_alert WHERE due <= ? ORDER BY due, percent, id LIMIT 1"
_CLAIM: Final = "UPDATE budget_alert SET due = ?, tries = tries + 1 WHERE id = ?"
_SET_DUE: Final = "UPDATE budget_alert SET due = ? WHERE id = ?"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Alert).decode


def note(connection: sqlite3.Connection, watches: Mapping[WindowKey, Watch], now: int) -> None:
    """Remember the thresholds that windows have reached, each once, after they were charged.

    :param now: microseconds in UTC.
    """
    for window in sorted(watches):
        (spent,) = connection.execute(_SPENT, window).fetchone() or (0,)
        for alert in alerts_of(window, watches[window], spent, now):
            connection.execute(_ADD, (alert.id, *window, alert.percent, _encode(alert).decode(), now))


def is_due(connection: sqlite3.Connection, now: int) -> bool:
    """Whether there is something to deliver."""
    return connection.execute(_DUE, (now,)).fetchone() is not None


def claim(connection: sqlite3.Connection, now: int, until: int) -> DueAlert | None:
    """What to deliver now; None if another process has taken it. See ``Ledger.due_alert``."""
    row = connection.execute(_DUE, (now,)).fetchone()
    if row is None:
        return None
    id, data, tries = row
    connection.execute(_CLAIM, (until, id))
    return DueAlert(_decode(data), data.encode(), tries)


def set_due(connection: sqlite3.Connection, id: str, due: int | None) -> None:
    """When it is delivered next; None: it was."""
    connection.execute(_SET_DUE, (due, id))
