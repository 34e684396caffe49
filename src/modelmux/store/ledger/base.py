"""The protocol of the ledger: rows that are only ever added, and rollups that are written with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from msgspec import Struct

from modelmux.accounts.alert_types import Alert
from modelmux.accounts.alerts import Watch
from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usage_pages import Position, UsagePage
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.directory.receipts import Once
from modelmux.store.ledger.alerts import AlertStore
from modelmux.store.nodes import LastSeen, Renewal

#: Rows that one question for entries reads at most, and sums that a page of a report does, before it returns a cursor.
MOST_READ: Final = 100_000
#: Entries of one answer at most.
MOST_RETURNED: Final = 1_000
#: Where ``verify_some`` begins.
FIRST: Final = -(2**62)
#: Whether the time for more is over.
IsOver = Callable[[], bool]


def never() -> bool:
    return False


class UnstorableEntry(StoreFailed):
    """A row that can never be written."""


class TooManyResults(ValueError):
    """A report would have more results than there is room for. :param most: so many there may be."""

    def __init__(self, most: int) -> None:
        super().__init__(f"there would be more than {most:,} results")


class EntryQuery(Struct, frozen=True, kw_only=True):
    """A question for entries, in the order of their ids, which is that of time.

    :param start, end: microseconds in UTC; ``start`` is included, ``end`` is not; None without a bound.
    :param where: column -> the values that count, of ``key``, ``team`` (its subtree), ``person``, ``model``,
        ``outcome``, ``end_user``, ``kind`` and ``tag:NAME``.
    :param min_cost: nano-USD.
    :param after: the last id of the page before.
    """

    start: int | None = None
    end: int | None = None
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    min_cost: int | None = None
    newest_first: bool = False
    after: bytes | None = None
    limit: int = 100


class EntryPage(Struct, frozen=True):
    """:param next: what ``after`` is for the next page; None at the end. A short page may have one, too."""

    entries: list[Entry]
    next: bytes | None = None


class Difference(Struct, frozen=True):
    """A rollup that is not the sum of its rows.

    :param what: the rollup and the column.
    """

    what: str
    stored: int
    recomputed: int


class Verified(Struct, frozen=True):
    """:param next: for ``after``; None at the end."""

    differences: list[Difference]
    next: int | None = None


class Holder(Struct, frozen=True):
    """A process that has leases, or had some.

    :param seen: microseconds in UTC. :param windows: on how many. :param node: see ``Ledger.renew``; None if not known.
    """

    name: str
    seen: int
    windows: int
    node: str | None = None


class LedgerState(Struct, frozen=True, kw_only=True):
    """How a ledger is. Instants are microseconds in UTC.

    :param schema: number of the last migration. :param library: version of what reads it.
    :param first, last: of the rows that there are, to the millisecond.
    :param dropped_before: rows of before are gone; None if none are.
    :param alerts_due: that were not delivered yet, each webhook counted.
    :param nodes: how many are alive; None where only one can be.
    :param has_standby: whether a row is on a second server when it counts as written; None without servers.
    """

    schema: int
    library: str
    bytes: int
    first: int | None
    last: int | None
    dropped_before: int | None
    alerts_due: int
    holders: tuple[Holder, ...]
    nodes: int | None = None
    has_standby: bool | None = None


class Ledger(Protocol):
    """Rows are never changed. A row whose id is there already is ignored: it may be written any number of times.

    Rollups are sums over rows, so the order in which rows are written does not matter. A row counts as a request if it
    corrects no other. One that does adds its cost and its tokens, which may be negative, to its own key, model and
    time: voided requests still count as requests.
    """

    @property
    def alerts(self) -> AlertStore:
        """Of this ledger; they are closed with it."""
        ...

    def check(self) -> None:
        """Whether the ledger can be used: at a start, before there is an event loop.

        :raises StoreFailed:
        """
        ...

    def check_entry(self, entry: Entry) -> None:
        """Whether a row can be written at all. From any thread; nothing is read.

        :raises UnstorableEntry: it cannot; the message has its id.
        """
        ...

    def check_spent(self, entry: Entry) -> None:
        """As ``check_entry``, of a row of which only what it held and spent has changed since that was asked."""
        ...

    async def append(self, entries: Sequence[Entry]) -> None:
        """Add rows, and their part of the rollups, in one transaction. They are durable when this returns.

        :raises StoreFailed: none of them was added.
        :raises UnstorableEntry: nor will they ever be, because of one.
        """
        ...

    async def append_audited(
        self, entries: Sequence[Entry], author: Author, at: int, action: str, shown: Mapping[str, Any]
    ) -> None:
        """As ``append``, with a row of the audit log in the same transaction.

        :param shown: what the row says was done. :raises StoreFailed: none of it was written.
        """
        ...

    async def correct(
        self,
        id: bytes,
        decide: Callable[[Entry, Sequence[Entry]], Entry | None],
        author: Author,
        at: int,
        once: Once | None = None,
    ) -> tuple[Entry, list[Entry]] | None:
        """Add a row that corrects another, decided from that and its corrections as they are, and a row of the audit
        log, in one transaction.

        :param decide: runs in a thread, while no process writes; it must not wait. None: nothing has to be corrected.
        :param at: microseconds in UTC.
        :param once: a request that may be repeated: its receipt is written with the row.
        :returns: the row and all that correct it now; None if there is none with this id.
        :raises FieldError: from ``decide``; nothing was written. :raises OtherRequest: see ``DirectoryStore.change``.
        :raises StoreFailed: nothing was written.
        """
        ...

    async def exchange(
        self,
        holder: str,
        entries: Sequence[Entry],
        asks: Mapping[WindowKey, Ask],
        now: int,
        watches: Mapping[WindowKey, Watch] = MappingProxyType({}),
    ) -> Mapping[WindowKey, Grant]:
        """Add rows, book their debits on the windows and the leases of a process, and change its leases, in one
        transaction. After a failure it may be repeated: rows count once, and leases are set, not added.

        :param holder: names the process and its start.
        :param now: microseconds in UTC. Where nodes share the store, windows are recalled by its clock instead.
        :param watches: windows whose thresholds are looked at; what they have reached is due then, each once.
        :raises StoreFailed: nothing was written.
        """
        ...

    async def recalled(self, holder: str, now: int) -> Collection[WindowKey]:
        """The windows on which a process has a lease and for which another one waits. Nothing is written, and no lock
        is waited for.

        :param now: as for ``exchange``. :raises StoreFailed:
        """
        ...

    async def renew(self, holder: str, node: str, lost_after: float) -> Renewal:
        """A process is alive; its leases stay its own. Where no other process ends them, nothing is written.

        :param node: names what counts rate limits together: all workers of one server, since its start.
        :param lost_after: seconds without a renewal after which no request that held something can be running.
        :raises StoreFailed:
        """
        ...

    async def leave(self, holder: str) -> None:
        """A process ends in order: it is not alive any more. What it still has leased stays, and is ended later.

        :raises StoreFailed:
        """
        ...

    async def holders(self) -> Mapping[str, LastSeen]:
        """Processes that have leases, or had some, and have not ended.

        :raises StoreFailed:
        """
        ...

    async def end_holder(
        self,
        holder: str,
        make_row: Callable[[WindowKey, int], Entry] | None = None,
        make_alert: Callable[[], Alert | None] = lambda: None,
    ) -> None:
        """End a process that was killed: what it had leased is free again.

        :param make_row: makes the row that charges the rest of a lease, where it is not known what was spent of it.
        :param make_alert: makes what is told of it, after the rows; both run in a thread.
        :raises StoreFailed: nothing was changed.
        """
        ...

    async def windows(
        self, windows: Sequence[WindowKey], each: Sequence[tuple[str, int]] = (), most: int = 100
    ) -> Mapping[WindowKey, tuple[int, int]]:
        """What windows of budgets have spent, and what of them is leased, in the units of their budgets.

        :param windows: those that are wanted whether they have spent anything or not.
        :param each: ids of budgets with a window for each subject, and when these windows began: of each the ``most``
            that have spent most come behind the others.
        :raises StoreFailed:
        """
        ...

    async def usage(self, query: UsageQuery, most: int | None = None) -> list[UsageRow]:
        """From rollups alone, by bucket and group; a group without any usage is left out.

        Tags that usage is not reported by are None, as if a request had none. Of a UTC day with too many different sets
        of tags, those that came last are in the group ``other``.

        :param most: results at most; without ``top``, more are refused before their sums are read.
        :raises StoreFailed:
        :raises TooManyResults:
        :raises ValueError: no ledger can answer the question; the message says what is expected.
        """
        ...

    async def usage_page(self, query: UsageQuery, after: Position, limit: int) -> UsagePage:
        """A part of what ``usage`` answers: some groups, each with all of its buckets, in the order of ``page_order``.
        All pages together are the answer, as long as nothing is appended meanwhile.

        It has at most ``PAGE_RESULTS`` results and reads at most ``MOST_READ`` sums, or those of one group.

        :param query: without ``top``. :param after: ``next`` of the page before. :param limit: groups at most.
        :raises StoreFailed: :raises ValueError: see ``usage``.
        """
        ...

    async def entries(self, query: EntryQuery) -> EntryPage:
        """:raises StoreFailed: :raises ValueError: no ledger can answer the question."""
        ...

    async def by_id(self, ids: Sequence[bytes]) -> list[Entry]:
        """The rows with these ids, as far as there are any. :raises StoreFailed:"""
        ...

    async def state(self) -> LedgerState:
        """How it is; cheap, however many rows it has. :raises StoreFailed:"""
        ...

    async def corrections(self, ids: Sequence[bytes]) -> list[Entry]:
        """All rows that correct these. :raises StoreFailed:"""
        ...

    async def verify(self, *, repair: bool = False) -> list[Difference]:
        """Recompute every rollup from its rows; with ``repair`` write those that differ.

        :raises StoreFailed:
        """
        ...

    async def verify_some(
        self, after: int, most: int, author: Author | None = None, at: int = 0, is_over: IsOver = never
    ) -> Verified:
        """As ``verify``, a part at a time.

        :param after: ``next`` of the answer before, at first ``FIRST``. :param most: days and months of this answer.
        :param author: repairs, which leaves a row in the audit log. :param at: microseconds in UTC.
        :param is_over: whether the answer has to end with the day or month that is done.
        :raises StoreFailed: of one day or month only after all others of this answer.
        """
        ...

    async def prepare_days(self, instant: int) -> None:
        """Make room for the rows of a day and of those after it, where a store has something to make.

        :param instant: microseconds in UTC. :raises StoreFailed: rows are written and found all the same.
        """
        ...

    async def seal_days(self, instant: int) -> int:
        """Make the sums that reports read of days that are over, a day in a transaction. What comes later is added.

        :param instant: microseconds in UTC; days that end later are left out.
        :returns: how many days. :raises StoreFailed: what was made so far stays; the next call goes on.
        """
        ...

    async def drop_before(self, instant: int) -> int:
        """Drop the rows of the UTC days before that of an instant. Rollups stay.

        A row of before that is appended later is ignored: it may have been dropped, and is in the rollups then.

        :param instant: microseconds in UTC.
        :returns: how many rows were dropped.
        :raises StoreFailed: what was dropped so far stays so; the next call goes on.
        """
        ...

    async def aclose(self) -> None: ...
