"""Windows of budgets and the leases on them in PostgreSQL, within the transaction that writes rows.

The windows that a transaction is about are locked at once, in the order of their key; what becomes of them is decided
in memory, and written at the end by one statement for each table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import WindowKey
from modelmux.store.ledger.postgres_sums import columns
from modelmux.store.ledger.stored_windows import StoredWindow, answered
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.text import escape, unescape

_WANTED: Final = "unnest($1::text[], $2::text[], $3::bigint[]) AS w (budget, subject, start)"
_ON: Final = "o.budget = w.budget AND o.subject = w.subject AND o.start = w.start"
_READ: Final = (
    f"SELECT o.budget, o.subject, o.start, o.spent, o.leased, o.recalled FROM {_WANTED} "
    f"JOIN budget_window AS o ON {_ON}"
)
_LOCK: Final = f"{_READ} ORDER BY o.budget, o.subject, o.start FOR UPDATE OF o"
_MAKE: Final = (
    "INSERT INTO budget_window (budget, subject, start, spent, leased, recalled) "
    f"SELECT w.budget, w.subject, w.start, 0, 0, 0 FROM {_WANTED} ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING"
)
_LEASES: Final = (
    f"SELECT o.budget, o.subject, o.start, o.amount FROM {_WANTED} JOIN budget_lease AS o ON {_ON} AND o.holder = $4"
)
_SET_WINDOWS: Final = (
    "UPDATE budget_window AS o SET spent = w.spent, leased = w.leased, recalled = w.recalled FROM unnest($1::text[], "
    "$2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS w (budget, subject, start, spent, leased, "
    f"recalled) WHERE {_ON}"
)
_END_LEASES: Final = f"DELETE FROM budget_lease AS o USING {_WANTED} WHERE {_ON} AND o.holder = $4"
_SET_LEASES: Final = (
    "INSERT INTO budget_lease (holder, budget, subject, start, amount) SELECT $5, w.budget, w.subject, w.start, "
    "w.amount FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS w (budget, subject, start, amount) "
    "ON CONFLICT (holder, budget, subject, start) DO UPDATE SET amount = excluded.amount"
)
_SUBJECTS: Final = (
    "SELECT subject FROM budget_window WHERE budget = $1 AND start = $2 ORDER BY spent DESC, subject LIMIT $3"
)

#: A window as its row is found: texts as columns have them.
RowKey = tuple[str, str, int]


class LockedWindows:
    """Windows that no other transaction changes until the end of this one.

    :param holder: whose leases are known, too.
    """

    def __init__(
        self, holder: str | None, windows: dict[WindowKey, StoredWindow], leases: dict[WindowKey, int]
    ) -> None:
        self._holder = holder
        self._before, self._leases_before = windows, leases
        self.windows, self.leases = dict(windows), dict(leases)

    @classmethod
    async def lock(cls, session: Session, holder: str | None, windows: Iterable[WindowKey]) -> LockedWindows:
        """Those that there are not are made."""
        wanted = {_row_key(window): window for window in sorted(set(windows))}
        if not wanted:
            return cls(holder, {}, {})
        stored = await _stored(session, _LOCK, wanted)
        missing = {row_key: window for row_key, window in wanted.items() if window not in stored}
        if missing:
            await session.execute(_MAKE, *columns(list(missing)))
            stored |= await _stored(session, _LOCK, missing)
        leases: dict[WindowKey, int] = {}
        if holder is not None:
            for *row, amount in await session.fetch(_LEASES, *columns(list(wanted)), holder):
                leases[wanted[_of_row(row)]] = amount
        return cls(holder, stored, leases)

    def resume(self, windows: Iterable[WindowKey]) -> None:
        """The process has leases again on windows that it was charged for: as large as what ``spend`` takes from what
        these have spent."""
        for key in windows:
            self.leases.setdefault(key, 0)

    def spend(self, debits: Mapping[WindowKey, int]) -> None:
        """Count what new rows spent, and take it from the leases of the process. Of windows that it has no lease on, as
        those of soft budgets, it is only counted."""
        for key, amount in debits.items():
            window = self.windows[key]
            self.windows[key] = window._replace(spent=window.spent + amount)
            if key in self.leases:
                self._lease(key, self.leases[key] - amount)

    def answer(self, asks: Mapping[WindowKey, Ask], now: int) -> dict[WindowKey, Grant]:
        """Answer what a process asks for, after its rows were booked. :param now: microseconds in UTC."""
        grants = {}
        for key in sorted(asks):
            answer, after = answered(asks[key], self.windows[key], self.leases.get(key, 0), now)
            if after is not None:
                self.windows[key] = after
                self._set_lease(key, answer.leased)
            grants[key] = answer
        return grants

    def give_back(self) -> None:
        """End all leases of the process."""
        for key in list(self.leases):
            self._lease(key, 0)

    async def write(self, session: Session) -> None:
        """What has changed."""
        windows = [(*_row_key(key), *one) for key, one in self.windows.items() if one != self._before[key]]
        if windows:
            await session.execute(_SET_WINDOWS, *columns(sorted(windows)))
        ended = [_row_key(key) for key in self._leases_before if key not in self.leases]
        if ended:
            await session.execute(_END_LEASES, *columns(ended), self._holder)
        changed = [
            (*_row_key(key), amount) for key, amount in self.leases.items() if amount != self._leases_before.get(key)
        ]
        if changed:
            await session.execute(_SET_LEASES, *columns(changed), self._holder)

    def _lease(self, key: WindowKey, amount: int) -> None:
        """Change a lease, and the sum of leases with it."""
        window = self.windows[key]
        self.windows[key] = window._replace(leased=window.leased + amount - self.leases.get(key, 0))
        self._set_lease(key, amount)

    def _set_lease(self, key: WindowKey, amount: int) -> None:
        self.leases.pop(key, None)
        if amount:
            self.leases[key] = amount


def totals(debits: Iterable[tuple[WindowKey, int]]) -> dict[WindowKey, int]:
    """What rows spent of each window."""
    total: Counter[WindowKey] = Counter()
    for window, amount in debits:
        total[window] += amount
    return dict(total)


async def windows_of(
    session: Session, windows: Sequence[WindowKey], each: Sequence[tuple[str, int]], most: int
) -> dict[WindowKey, tuple[int, int]]:
    """What windows have spent, and what of them is leased: see ``Ledger.windows``."""
    wanted = list(windows)
    for budget, start in each:
        rows = await session.fetch(_SUBJECTS, budget, start, most)
        wanted += [WindowKey(budget, unescape(subject), start) for (subject,) in rows]
    if not wanted:
        return {}
    stored = await _stored(session, _READ, {_row_key(window): window for window in wanted})
    return {window: stored.get(window, StoredWindow())[:2] for window in dict.fromkeys(wanted)}


async def _stored(session: Session, sql: str, wanted: Mapping[RowKey, WindowKey]) -> dict[WindowKey, StoredWindow]:
    rows = await session.fetch(sql, *columns(list(wanted)))
    return {wanted[_of_row(row)]: StoredWindow(*tuple(row)[3:]) for row in rows}


def _row_key(window: WindowKey) -> RowKey:
    return escape(window.budget), escape(window.subject), window.start


def _of_row(row: Sequence[Any]) -> RowKey:
    budget, subject, start = tuple(row)[:3]
    return budget, subject, start
