"""The ledger in PostgreSQL, which several nodes share. One connection reads, and one writes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeVar

from modelmux.accounts.alert_types import Alert
from modelmux.accounts.alerts import Watch
from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usage_pages import Position, UsagePage
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.base import QueryTooLong, StoreFailed
from modelmux.store.directory import postgres_audit
from modelmux.store.directory.base import Author
from modelmux.store.directory.receipts import Once
from modelmux.store.ledger import (
    postgres_alerts,
    postgres_days,
    postgres_drop,
    postgres_entries,
    postgres_holders,
    postgres_lost,
    postgres_upkeep,
    postgres_usage,
    postgres_verify,
    postgres_windows,
)
from modelmux.store.ledger.base import Difference, EntryPage, EntryQuery, IsOver, LedgerState, Verified, never
from modelmux.store.ledger.entry_pages import check_query as check_entry_query
from modelmux.store.ledger.postgres_alert_store import PostgresAlertStore
from modelmux.store.ledger.postgres_append import PostgresAppender
from modelmux.store.ledger.postgres_correct import correct
from modelmux.store.ledger.postgres_partitions import prepare, today
from modelmux.store.ledger.postgres_repair import Limits, Repair
from modelmux.store.ledger.postgres_seal import seal_days
from modelmux.store.ledger.postgres_windows import LockedWindows, totals
from modelmux.store.ledger.slots import DAY
from modelmux.store.ledger.sqlite_correct import Decide
from modelmux.store.ledger.sqlite_rows import Row, check_spent, to_row
from modelmux.store.ledger.usage_groups import check_query
from modelmux.store.ledger.verify_run import Run, SectionFailed
from modelmux.store.nodes import LastSeen, Renewal
from modelmux.store.postgres.migrate import check_migrated, check_usable, migrate
from modelmux.store.postgres.session import CONNECT_TIMEOUT, Session, end_silent, limit
from modelmux.store.postgres.thread import STATEMENT_TIMEOUT, PostgresThread, Prepare, Work

#: Seconds that a report may take.
REPORT_TIMEOUT: Final = 60.0
#: Seconds that the comparison of a day may take, in which all of its rows are read.
VERIFY_TIMEOUT: Final = 600.0
#: Seconds that a part of a repair may take: no node can add rows meanwhile, and after 45 s hard budgets refuse.
REPAIR_TIMEOUT: Final = 20.0
#: Differences that ``verify`` returns at most. It repairs all.
MOST_DIFFERENCES: Final = 1_000

T = TypeVar("T")


class PostgresLedger:
    """A ``Ledger``. It may be made before a fork, if it is used only after it.

    :param tags: the names of the tags that usage is reported by. Rows keep all of theirs.
    :param leaves_nothing: nothing is created in the database.
    :param query_limit: seconds after which a query is ended, see ``PostgresThread``; not those of ``verify``.
    """

    def __init__(
        self,
        url: PostgresUrl,
        tags: Sequence[str] = (),
        *,
        leaves_nothing: bool = False,
        query_limit: float | None = None,
    ) -> None:
        prepare: Prepare = check_migrated if leaves_nothing else partial(migrate, timeout=url.migration_timeout)
        self.url = url
        self._leaves_nothing = leaves_nothing
        self._appender = PostgresAppender(tags)
        self._query_limit = query_limit
        self._reader = PostgresThread("modelmux-ledger-reader", url, prepare, REPORT_TIMEOUT, check=check_usable)
        #: For what takes as long as it takes: no query waits behind it.
        self._verifier = PostgresThread("modelmux-ledger-verifier", url, prepare, REPORT_TIMEOUT, check=check_usable)
        self._writer = PostgresThread(
            "modelmux-ledger-writer", url, prepare, on_failure=self._appender.forget, check=check_usable
        )
        self.alerts = PostgresAlertStore(self._reader, self._writer)

    def check(self) -> None:
        """See ``Ledger.check``. The database is migrated."""

        async def can_write(session: Session) -> None:
            await session.execute("UPDATE ledger_state SET dropped_before = dropped_before WHERE false")

        async def make_days(session: Session) -> None:
            await prepare(session, await today(session))

        self._writer.call(can_write)
        if not self._leaves_nothing:
            with contextlib.suppress(StoreFailed):  # rows are stored all the same, and ``prepare_days`` tells why
                self._writer.call(make_days)

    def check_entry(self, entry: Entry) -> None:
        """See ``Ledger.check_entry``."""
        to_row(entry)

    def check_spent(self, entry: Entry) -> None:
        """See ``Ledger.check_spent``."""
        check_spent(entry)

    async def append(self, entries: Sequence[Entry]) -> None:
        """See ``Ledger.append``."""
        if entries:
            await self._write(lambda session: self._append(session, list(map(to_row, entries))))

    async def append_audited(
        self, entries: Sequence[Entry], author: Author, at: int, action: str, shown: Mapping[str, Any]
    ) -> None:
        """See ``Ledger.append_audited``."""

        async def write(session: Session) -> None:
            await self._append(session, list(map(to_row, entries)))
            await postgres_audit.add(session, author, at, action, "ledger", {}, {"ledger": shown})

        await self._write(write)

    async def correct(
        self, id: bytes, decide: Decide, author: Author, at: int, once: Once | None = None
    ) -> tuple[Entry, list[Entry]] | None:
        """See ``Ledger.correct``."""
        return await self._write(lambda session: correct(session, self._append, id, decide, author, at, once))

    async def exchange(
        self,
        holder: str,
        entries: Sequence[Entry],
        asks: Mapping[WindowKey, Ask],
        now: int,
        watches: Mapping[WindowKey, Watch] = MappingProxyType({}),
    ) -> dict[WindowKey, Grant]:
        """See ``Ledger.exchange``."""

        async def write(session: Session) -> dict[WindowKey, Grant]:
            rows = list(map(to_row, entries))
            at, _, is_new = await postgres_holders.set_seen(session, holder)
            late = await postgres_lost.take(session, holder) if is_new else ()
            windows = await self._append(session, rows, holder, {*asks, *watches}, late)
            spent = {key: one.spent for key, one in windows.windows.items()}
            await postgres_alerts.note(session, watches, spent, now)
            grants = windows.answer(asks, at)  # a window is recalled by one clock, whatever those of the nodes say
            await windows.write(session)
            return grants

        return await self._write(write)

    async def recalled(self, holder: str, now: int) -> set[WindowKey]:
        """See ``Ledger.recalled``: by the clock of the database. It waits behind no report."""
        del now
        return await self._writer.run(lambda session: postgres_holders.recalled(session, holder), writes=False)

    async def renew(self, holder: str, node: str, lost_after: float) -> Renewal:
        """See ``Ledger.renew``."""

        async def write(session: Session) -> Renewal:
            _, epoch, is_new = await postgres_holders.set_seen(session, holder, node, lost_after)
            if is_new and (late := await postgres_lost.take(session, holder)):
                await (await self._append(session, [], holder, (), late)).write(session)
            nodes, processes = await postgres_holders.nodes(session)
            return Renewal(nodes, epoch, processes)

        return await self._write(write)

    async def leave(self, holder: str) -> None:
        """See ``Ledger.leave``."""
        await self._write(lambda session: postgres_holders.leave(session, holder))

    async def holders(self) -> dict[str, LastSeen]:
        """See ``Ledger.holders``. What those that stand still have locked is free after it."""

        async def read(session: Session) -> dict[str, LastSeen]:
            await end_silent(session, STATEMENT_TIMEOUT)
            return await postgres_holders.holders(session)

        return await self._read(read)

    async def end_holder(
        self,
        holder: str,
        make_row: Callable[[WindowKey, int], Entry] | None = None,
        make_alert: Callable[[], Alert | None] = lambda: None,
    ) -> None:
        """See ``Ledger.end_holder``. Of several processes that take over from one, the first does all of it."""

        async def write(session: Session) -> None:
            leases = await postgres_holders.leases_of(session, holder)
            if leases is not None:
                await free(session, leases)
            elif make_row is None and (late := await postgres_lost.take(session, holder)):
                windows = await self._append(session, [], holder, (), late)  # its journal has all that it spent
                windows.give_back()
                await windows.write(session)
            alert = make_alert()
            if alert is not None:
                await postgres_alerts.add(session, [alert], 0)

        async def free(session: Session, leases: Mapping[WindowKey, int]) -> None:
            charged = {window: amount for window, amount in leases.items() if amount > 0 and make_row is not None}
            entries = [] if make_row is None else [make_row(*one) for one in charged.items()]
            windows = await self._append(session, list(map(to_row, entries)), holder, set(leases))
            await postgres_lost.note(session, holder, entries)
            windows.give_back()
            await windows.write(session)
            await postgres_holders.forget_holder(session, holder)

        await self._write(write)

    async def windows(
        self, windows: Sequence[WindowKey], each: Sequence[tuple[str, int]] = (), most: int = 100
    ) -> dict[WindowKey, tuple[int, int]]:
        """See ``Ledger.windows``."""
        return await self._read(lambda session: postgres_windows.windows_of(session, windows, each, most))

    async def usage(self, query: UsageQuery, most: int | None = None) -> list[UsageRow]:
        """See ``Ledger.usage``. :raises ValueError: see ``usage_groups.check_query``."""
        zone = check_query(query)
        return await self._read(lambda session: postgres_usage.usage(session, query, zone, most))

    async def usage_page(self, query: UsageQuery, after: Position, limit: int) -> UsagePage:
        """See ``Ledger.usage_page``. :raises ValueError: see ``usage_groups.check_query``."""
        zone = check_query(query)
        return await self._read(lambda session: postgres_usage.usage_page(session, query, zone, after, limit))

    async def entries(self, query: EntryQuery) -> EntryPage:
        """See ``Ledger.entries``. :raises ValueError: see ``entry_pages.check_query``."""
        check_entry_query(query)
        return await postgres_entries.entries(self._reading(), query)

    async def by_id(self, ids: Sequence[bytes]) -> list[Entry]:
        """See ``Ledger.by_id``."""
        return await postgres_entries.all_by_id(self._reading(), ids)

    async def state(self) -> LedgerState:
        """See ``Ledger.state``."""
        return await self._read(postgres_upkeep.state)

    async def corrections(self, ids: Sequence[bytes]) -> list[Entry]:
        """See ``Ledger.corrections``."""
        read = self._reading()
        corrections = await read(lambda session: postgres_entries.ids_of_corrections(session, ids))
        return await postgres_entries.all_by_id(read, corrections)

    async def verify(self, *, repair: bool = False) -> list[Difference]:
        """See ``Ledger.verify``; it returns at most ``MOST_DIFFERENCES``. Days whose rows were dropped are left out."""
        run, verify = Run(MOST_DIFFERENCES), partial(self._verify, repair=repair)
        await run.verify(await postgres_days.days(self._verifying), verify)
        await run.verify(await self._verifying(postgres_days.months), verify)  # sums of the days, after those
        return run.differences()

    async def verify_some(
        self, after: int, most: int, author: Author | None = None, at: int = 0, is_over: IsOver = never
    ) -> Verified:
        """See ``Ledger.verify_some``."""
        days, months = await postgres_days.days(self._verifying), await self._verifying(postgres_days.months)
        rest = [section for section in (*days, *months) if section > after]
        run, verify = Run(MOST_DIFFERENCES), partial(self._verify, repair=author is not None, author=author, at=at)
        last = await run.verify(rest, verify, most, is_over)
        return Verified(run.differences(), last)

    async def drop_before(self, instant: int) -> int:
        """See ``Ledger.drop_before``."""
        before = await self._write(lambda session: postgres_upkeep.begin_drop(session, instant))
        return await postgres_drop.drop_all(str(self.url), self._verifying, self._write, before)

    async def prepare_days(self, instant: int) -> None:
        """See ``Ledger.prepare_days``."""
        if not await self._write(lambda session: prepare(session, instant // DAY)):
            raise StoreFailed(f"{self.url}: the ledger is {postgres_drop.IN_USE}")

    async def seal_days(self, instant: int) -> int:
        """See ``Ledger.seal_days``."""
        return await seal_days(self._repairing, instant // DAY, Limits(VERIFY_TIMEOUT, REPAIR_TIMEOUT))

    async def aclose(self) -> None:
        """After the calls that run. Idempotent."""
        await self._reader.aclose()
        await self._verifier.aclose()
        await self._writer.aclose()

    async def _append(
        self,
        session: Session,
        rows: Sequence[Row],
        holder: str | None = None,
        others: Iterable[WindowKey] = (),
        late: Sequence[Row] = (),
    ) -> LockedWindows:
        """Add rows, and book what they spent. With a holder, its windows are written by the caller.

        :param others: windows that the transaction is about, beside those of the rows.
        :param late: rows that take back what was charged for leases of the holder, which has these leases again.
        """
        new = await self._appender.append(session, [*late, *rows])
        debits = totals(debit for row in new.values() for debit in row.entry.debits)
        windows = await LockedWindows.lock(session, holder, {*debits, *others})
        windows.resume(window for row in late if row.entry.id in new for window, _ in row.entry.debits)
        windows.spend(debits)
        if holder is None:
            await windows.write(session)
        return windows

    async def _verify(
        self, section: int, *, repair: bool, author: Author | None = None, at: int = 0
    ) -> list[Difference]:
        differing: list[Difference] = []
        failures: list[SectionFailed] = []
        async for part in postgres_verify.parts(self._verifying, section):
            try:
                differing += await self._verify_part(part, repair=repair, author=author, at=at)
            except SectionFailed as error:
                failures.append(error)
            del differing[MOST_DIFFERENCES:]
        if failures:
            raise failures[0]
        return differing

    async def _verify_part(
        self, part: postgres_verify.Part, *, repair: bool, author: Author | None, at: int
    ) -> list[Difference]:
        async def compare(session: Session) -> list[Difference]:
            await limit(session, VERIFY_TIMEOUT)
            with postgres_verify.failing_alone(self.url, part, f"compared within {VERIFY_TIMEOUT:g} s"):
                return await postgres_verify.differences(session, part, MOST_DIFFERENCES)

        differing = await self._verifier.run(compare, writes=False, within=VERIFY_TIMEOUT + CONNECT_TIMEOUT + 1)
        if not differing or not await self._verifying(partial(postgres_verify.has_all_rows, part=part)):
            return []
        if not repair:
            return differing
        limits = Limits(VERIFY_TIMEOUT, REPAIR_TIMEOUT)
        return await Repair(self.url, self._repairing, limits, MOST_DIFFERENCES, author, at).repair(part)

    async def _read(self, work: Work[T]) -> T:
        return await self._reader.run(work, writes=False, query_limit=self._query_limit)

    def _reading(self) -> postgres_entries.Read:
        """Runs transactions that read, of one question: its limit is one of all of them."""
        limit, begin = self._query_limit, time.monotonic()

        async def read(work: Work[Any]) -> Any:
            if limit is None:
                return await self._read(work)
            rest = begin + limit - time.monotonic()
            try:
                return await self._reader.run(work, writes=False, query_limit=max(rest, 0.0))
            except QueryTooLong:
                raise QueryTooLong(limit) from None

        return read

    async def _verifying(self, work: Work[T]) -> T:
        return await self._verifier.run(work, writes=False)

    async def _repairing(self, work: Work[T], within: float) -> T:
        return await self._verifier.run(work, within=within)

    async def _write(self, work: Work[T]) -> T:
        return await self._writer.run(work)
