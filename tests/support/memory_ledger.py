"""A ledger in memory, in the simplest way that keeps the protocol: a list of rows, and sums over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.rerate import is_rerated, unpriced_change
from modelmux.accounts.usage_pages import Position, UsagePage, is_after, page_order
from modelmux.accounts.usage_query import UsageQuery, UsageRow, by_name
from modelmux.accounts.usage_top import top_groups
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.ledger.base import (
    MOST_RETURNED,
    Difference,
    EntryPage,
    EntryQuery,
    IsOver,
    TooManyResults,
    UnstorableEntry,
    Verified,
    never,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 10**15


class MemoryLedger:
    """:param page: entries, or groups, of one answer at most, to make a test turn pages.
    :param differences: what ``verify`` reports until it repairs.
    :param failure: what every call raises, if not None.
    """

    def __init__(self, entries: Sequence[Entry] = (), *, page: int = MOST_RETURNED, tags: Sequence[str] = ()) -> None:
        self.rows: dict[bytes, Entry] = {}
        self.page = page
        self.tags = tuple(tags)
        self.differences: list[Difference] = []
        self.failure: str | None = None
        self.queries: list[EntryQuery] = []
        self.usage_queries: list[UsageQuery] = []
        self.is_open = True
        #: What ``prepare_days``, ``seal_days`` and ``drop_before`` were asked for.
        self.prepared: list[int] = []
        self.sealed: list[int] = []
        self.dropped: list[int] = []
        #: Author, action and what was shown of rows of the audit log.
        self.audited: list[tuple[Author, str, Mapping[str, Any]]] = []
        self._add(entries)

    def check_entry(self, entry: Entry) -> None:
        if entry.counts.input > _LARGEST:
            raise UnstorableEntry(f"the ledger takes no row with the id {entry.id.hex()}")

    def check_spent(self, entry: Entry) -> None:
        self.check_entry(entry)

    async def append(self, entries: Sequence[Entry]) -> None:
        self._check()
        self._add(entries)

    async def usage(self, query: UsageQuery, most: int | None = None) -> list[UsageRow]:
        self._check()
        self.usage_queries.append(query)
        groups: dict[tuple[int, tuple[str | None, ...]], list[Entry]] = {}
        for entry in self._sorted():
            if query.start <= entry.at < query.end and _matches(entry, query.where):
                group = tuple(_dimension(entry, name) for name in query.group_by)
                groups.setdefault((_bucket(entry.at, query), group), []).append(entry)
        rows = [self._total(*key, entries) for key, entries in sorted(groups.items(), key=repr)]
        if most is not None and len(rows) > most:
            raise TooManyResults(most)
        return top_groups(rows, query.top) if query.top else rows

    async def usage_page(self, query: UsageQuery, after: Position, limit: int) -> UsagePage:
        assert not query.top
        indexes = [query.group_by.index(name) for name in page_order(query.group_by)]
        by_place: dict[Position, list[UsageRow]] = {}
        for row in await self.usage(query):
            by_place.setdefault(tuple(row.group[index] for index in indexes), []).append(row)
        places = [place for place in sorted(by_place, key=by_name) if is_after(place, after)]
        shown = places[: min(limit, self.page)]
        rows = [row for place in shown for row in by_place[place]]
        return UsagePage(rows, shown[-1] if len(places) > len(shown) else None)

    async def entries(self, query: EntryQuery) -> EntryPage:
        self._check()
        self.queries.append(query)
        rows = [row for row in self._sorted() if _is_between(row, query) and _matches(row, query.where)]
        rows = [row for row in rows if query.min_cost is None or (row.cost or Cost()).total >= query.min_cost]
        if query.newest_first:
            rows.reverse()
        if query.after is not None:
            after = query.after
            rows = [row for row in rows if (row.id < after if query.newest_first else row.id > after)]
        count = min(query.limit, self.page, MOST_RETURNED)
        return EntryPage(rows[:count], rows[count - 1].id if len(rows) > count else None)

    async def corrections(self, ids: Sequence[bytes]) -> list[Entry]:
        self._check()
        return [row for row in self._sorted() if row.corrects in ids]

    async def verify(self, *, repair: bool = False) -> list[Difference]:
        self._check()
        differences = self.differences
        if repair:
            self.differences = []
        return differences

    async def verify_some(
        self, after: int, most: int, author: Author | None = None, at: int = 0, is_over: IsOver = never
    ) -> Verified:
        return Verified(await self.verify(repair=author is not None))

    async def append_audited(
        self, entries: Sequence[Entry], author: Author, at: int, action: str, shown: Mapping[str, Any]
    ) -> None:
        await self.append(entries)
        self.audited.append((author, action, shown))

    async def prepare_days(self, instant: int) -> None:
        self._check()
        self.prepared.append(instant)

    async def seal_days(self, instant: int) -> int:
        self._check()
        self.sealed.append(instant)
        return 0

    async def drop_before(self, instant: int) -> int:
        self._check()
        self.dropped.append(instant)
        old = [id for id, row in self.rows.items() if row.at < instant]
        for id in old:
            del self.rows[id]
        return len(old)

    async def aclose(self) -> None:
        self.is_open = False

    def _check(self) -> None:
        assert self.is_open
        if self.failure is not None:
            raise StoreFailed(self.failure)

    def _add(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.rows.setdefault(entry.id, entry)

    def _sorted(self) -> list[Entry]:
        return [self.rows[id] for id in sorted(self.rows)]

    def _total(self, start: int, group: tuple[str | None, ...], entries: Sequence[Entry]) -> UsageRow:
        row = UsageRow(start=start, group=group)
        for entry in entries:
            is_request = is_rerated(entry)
            row = UsageRow(
                start=start,
                group=group,
                requests=row.requests + is_request,
                errors=row.errors + (is_request and entry.outcome != "ok"),
                unpriced=row.unpriced + unpriced_change(entry),
                counts=row.counts + entry.counts,
                cost=row.cost + (entry.cost or Cost()),
            )
        return row


def _bucket(at: int, query: UsageQuery) -> int:
    if query.bucket == "all":
        return query.start
    local = (_EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(query.zone))
    if query.bucket == "1h":
        return at - at % 3_600_000_000
    local = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first = local if query.bucket == "1d" else local.replace(day=1)
    return (first.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def _is_between(entry: Entry, query: EntryQuery) -> bool:
    return (query.start is None or entry.at >= query.start) and (query.end is None or entry.at < query.end)


def _dimension(entry: Entry, name: str) -> str | None:
    if name.startswith("tag:"):
        return dict(entry.tags).get(name.removeprefix("tag:"))
    value: Callable[[], str | None] = lambda: getattr(entry, name)  # noqa: E731
    return value() or None


def _matches(entry: Entry, where: Sequence[tuple[str, tuple[str, ...]]]) -> bool:
    return all(
        bool(set(entry.team.split("/")) & set(values)) if name == "team" else _dimension(entry, name) in values
        for name, values in where
    )
