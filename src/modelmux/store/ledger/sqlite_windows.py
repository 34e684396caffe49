"""Windows of budgets and the leases on them: statements within the transaction that writes rows.

What a window has spent is the sum of the debits of its rows. A row that is there already has been counted, so a
transaction may be repeated.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import WindowKey
from modelmux.store.ledger.stored_windows import StoredWindow, answered

_OF: Final = " WHERE budget = ? AND subject = ? AND start = ?"
_SPEND: Final = (
    "INSERT INTO budget_window VALUES (:budget, :subject, :start, :amount, 0, 0) "
    "ON CONFLICT DO UPDATE SET spent = spent + excluded.spent"
)
_LEASED: Final = "SELECT coalesce(sum(amount), 0) FROM budget_lease WHERE holder = ?" + _OF.replace(" WHERE", " AND")
_HAS_LEASE: Final = "SELECT 1 FROM budget_lease WHERE holder = ?" + _OF.replace(" WHERE", " AND")
_WINDOW: Final = "SELECT spent, leased, recalled FROM budget_window" + _OF
_SET_LEASE: Final = "INSERT OR REPLACE INTO budget_lease VALUES (?, ?, ?, ?, ?)"
_END_LEASE: Final = "DELETE FROM budget_lease WHERE holder = ?" + _OF.replace(" WHERE", " AND")
_SET_LEASED: Final = (
    "INSERT INTO budget_window VALUES (:budget, :subject, :start, 0, :leased, :recalled) "
    "ON CONFLICT DO UPDATE SET leased = excluded.leased, recalled = excluded.recalled"
)
_RECALLED: Final = (
    "SELECT l.budget, l.subject, l.start FROM budget_lease AS l CROSS JOIN budget_window AS o ON o.budget = l.budget "
    "AND o.subject = l.subject AND o.start = l.start WHERE l.holder = ? AND o.recalled > ?"
)
_SEEN: Final = "INSERT OR REPLACE INTO budget_holder VALUES (?, ?)"
_LEASES_OF: Final = "SELECT budget, subject, start, amount FROM budget_lease WHERE holder = ?"
_END_LEASES: Final = "DELETE FROM budget_lease WHERE holder = ?"
_HOLDERS: Final = "SELECT holder, seen FROM budget_holder"
_FORGET: Final = "DELETE FROM budget_holder WHERE holder = ?"
_SUBJECTS: Final = (
    "SELECT subject FROM budget_window WHERE budget = ? AND start = ? ORDER BY spent DESC, subject LIMIT ?"
)
_TAKE: Final = "UPDATE budget_window SET leased = leased - ?" + _OF


def book(connection: sqlite3.Connection, holder: str | None, debits: Iterable[tuple[WindowKey, int]]) -> None:
    """Count what new rows spent, and take it from the leases of the process that spent it. Of windows that it has no
    lease on, as those of soft budgets, it is only counted.

    :param holder: None if it has none: corrections.
    """
    total: Counter[WindowKey] = Counter()
    for window, amount in debits:
        total[window] += amount
    for window in sorted(total):
        connection.execute(_SPEND, {**window._asdict(), "amount": total[window]})
        if holder is not None and connection.execute(_HAS_LEASE, (holder, *window)).fetchone() is not None:
            _change(connection, holder, window, -total[window])


def exchange(
    connection: sqlite3.Connection, holder: str, asks: Mapping[WindowKey, Ask], now: int
) -> dict[WindowKey, Grant]:
    """Answer what a process asks for, after its rows were booked.

    :param now: microseconds in UTC.
    """
    connection.execute(_SEEN, (holder, now))
    return {window: _answer(connection, holder, window, asks[window], now) for window in sorted(asks)}


def recalled(connection: sqlite3.Connection, holder: str, now: int) -> set[WindowKey]:
    """See ``Ledger.recalled``."""
    return {WindowKey(*row) for row in connection.execute(_RECALLED, (holder, now))}


def leases_of(connection: sqlite3.Connection, holder: str) -> dict[WindowKey, int]:
    """What a process has, for whoever takes over from it."""
    return {WindowKey(*row[:3]): row[3] for row in connection.execute(_LEASES_OF, (holder,))}


def holders(connection: sqlite3.Connection) -> dict[str, int]:
    """Processes that had leases and have not ended, with the time of their last exchange."""
    return dict(connection.execute(_HOLDERS).fetchall())


def end_holder(connection: sqlite3.Connection, holder: str) -> None:
    """Give back all leases of a process that has ended, after what it spent was booked."""
    for window, amount in leases_of(connection, holder).items():
        connection.execute(_TAKE, (amount, *window))
    connection.execute(_END_LEASES, (holder,))
    connection.execute(_FORGET, (holder,))


def spent_of(connection: sqlite3.Connection, windows: Sequence[WindowKey]) -> dict[WindowKey, tuple[int, int]]:
    """What windows have spent, and what of them is leased."""
    rows = {window: connection.execute(_WINDOW, window).fetchone() for window in windows}
    return {window: (row[0], row[1]) if row else (0, 0) for window, row in rows.items()}


def windows_of(
    connection: sqlite3.Connection, windows: Sequence[WindowKey], each: Sequence[tuple[str, int]], most: int
) -> dict[WindowKey, tuple[int, int]]:
    """What windows have spent, and what of them is leased: see ``Ledger.windows``."""
    wanted = list(windows)
    for budget, start in each:
        rows = connection.execute(_SUBJECTS, (budget, start, most))
        wanted += [WindowKey(budget, subject, start) for (subject,) in rows]
    return spent_of(connection, list(dict.fromkeys(wanted)))


def _answer(connection: sqlite3.Connection, holder: str, window: WindowKey, ask: Ask, now: int) -> Grant:
    state = StoredWindow(*(connection.execute(_WINDOW, window).fetchone() or ()))
    (leased,) = connection.execute(_LEASED, (holder, *window)).fetchone()
    answer, after = answered(ask, state, leased, now)
    if after is not None:
        _change(connection, holder, window, answer.leased - leased, recalled=after.recalled)
    return answer


def _change(
    connection: sqlite3.Connection, holder: str, window: WindowKey, by: int, *, recalled: int | None = None
) -> None:
    """Change a lease, and the sum of leases with it."""
    (leased,) = connection.execute(_LEASED, (holder, *window)).fetchone()
    _, of_all, until = connection.execute(_WINDOW, window).fetchone() or (0, 0, 0)
    if leased + by:
        connection.execute(_SET_LEASE, (holder, *window, leased + by))
    else:
        connection.execute(_END_LEASE, (holder, *window))
    values = {"leased": of_all + by, "recalled": until if recalled is None else recalled}
    connection.execute(_SET_LEASED, {**window._asdict(), **values})
