"""The directory in PostgreSQL, which several nodes share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from modelmux.accounts.directory import NO_STAMP, Directory, Stamp
from modelmux.accounts.edits import Edit
from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.base import StoreFailed
from modelmux.store.directory import postgres_audit
from modelmux.store.directory.base import USUAL_LIMITS, AuditLimits, AuditPage, Author, Pace
from modelmux.store.directory.receipts import Once
from modelmux.store.directory.record_rows import audited, changes_of, encode_record, read_changes, records
from modelmux.store.keyed_mark import KeyedMark
from modelmux.store.postgres.listener import Listener
from modelmux.store.postgres.locks import DIRECTORY, lock
from modelmux.store.postgres.migrate import check_migrated, check_usable, migrate
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.thread import PostgresThread, Prepare

#: Seconds between two looks for changes, where none is announced.
INTERVAL: Final = 1.0
#: Seconds after which a request waits for a look: two were missed.
FRESH_FOR: Final = 3.0
#: Seconds for a look that brings no change, so that requests wait for none while the database stands still.
_LOOK: Final = 1.9
CHANNEL: Final = "modelmux_directory"
_STATE: Final = (
    "SELECT (SELECT coalesce(max(version), 0) FROM directory), a.number, a.at FROM (SELECT 1) AS one "
    "LEFT JOIN (SELECT number, at FROM audit ORDER BY number DESC LIMIT 1) AS a ON true"
)
_HAS_CHANGE: Final = "SELECT EXISTS (SELECT 1 FROM audit WHERE number = $1 AND at = $2)"
_CHANGED: Final = "SELECT kind, data FROM directory WHERE version > $1"
_WRITE: Final = (
    "INSERT INTO directory (kind, id, version, data) SELECT kind, id, $3, data "
    "FROM unnest($1::text[], $2::text[], $4::text[]) AS new (kind, id, data) "
    "ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, data = excluded.data"
)
_NOTIFY: Final = "SELECT pg_notify($1, $2)"


class PostgresDirectory:
    """A ``DirectoryStore``. It may be made before a fork, if it is used only after it.

    :param mark: on this machine, that there were keys in the database.
    :param listen_url: a connection past PgBouncer, on which changes are announced.
    :param leaves_nothing: nothing is created in the database, nor changed.
    :param query_limit: seconds after which a query of the audit log is ended.
    """

    def __init__(
        self,
        url: PostgresUrl,
        mark: KeyedMark,
        listen_url: PostgresUrl | None = None,
        *,
        leaves_nothing: bool = False,
        query_limit: float | None = None,
    ) -> None:
        prepare: Prepare = check_migrated if leaves_nothing else partial(migrate, timeout=url.migration_timeout)
        self.url = url
        self._mark = mark
        self._query_limit = query_limit
        self._reader = PostgresThread("modelmux-directory-reader", url, prepare, check=check_usable)
        self._writer = PostgresThread("modelmux-directory-writer", url, prepare, check=check_usable)
        self._starter = PostgresThread("modelmux-directory-start", url, prepare, check=check_usable)
        self._written = Directory()  # what the writer knows
        self.pace = Pace(self.next_look, FRESH_FOR)
        self._listener = None if listen_url is None else Listener(listen_url, CHANNEL)

    def load(self) -> Directory:
        """See ``DirectoryStore.load``."""
        return self._starter.call(lambda session: self._read(session, Directory()), writes=False)

    async def read(self, known: Directory) -> Directory:
        """See ``DirectoryStore.read``."""

        async def is_current(session: Session) -> bool:
            is_known = await _state(session) == (known.version, known.stamp)
            return is_known and (bool(known.keys) or not self._mark.is_set)

        if known.version and await self._reader.run(is_current, writes=False, within=_LOOK):
            return known
        return await self._reader.run(lambda session: self._read(session, known), writes=False)

    async def change(
        self, decide: Callable[[Directory], Edit], author: Author, at: int, once: Once | None = None
    ) -> tuple[Directory, Edit]:
        """See ``DirectoryStore.change``."""
        known = self._written
        after, edit = await self._writer.run(lambda session: self._change(session, known, decide, author, at, once))
        self._written = after
        if after.keys:
            await asyncio.to_thread(self._set_mark)
        return after, edit

    def change_now(self, decide: Callable[[Directory], Edit], author: Author, at: int) -> Directory:
        """See ``DirectoryStore.change_now``."""
        after, _ = self._starter.call(lambda session: self._change(session, Directory(), decide, author, at))
        if after.keys:
            self._set_mark()
        return after

    async def note(self, author: Author, at: int, action: str, subject: str, after: Mapping[str, Any]) -> None:
        """See ``DirectoryStore.note``."""
        await self._writer.run(lambda session: postgres_audit.add(session, author, at, action, subject, {}, after))

    async def audit(
        self, *, subject: str | None = None, before: int | None = None, limits: AuditLimits = USUAL_LIMITS
    ) -> AuditPage:
        """See ``DirectoryStore.audit``."""
        return await self._reader.run(
            lambda session: postgres_audit.page(session, subject, before, limits),
            writes=False,
            query_limit=self._query_limit,
        )

    async def next_look(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Return when it is time to look for changes: one was announced, or ``INTERVAL`` is over."""
        if self._listener is None:
            await sleep(INTERVAL)
            return
        announced = asyncio.ensure_future(self._listener.wait(self._reader))
        late = asyncio.ensure_future(sleep(INTERVAL))
        try:
            await asyncio.wait((announced, late), return_when=asyncio.FIRST_COMPLETED)
        finally:
            announced.cancel()
            late.cancel()
            await asyncio.wait((announced, late))

    async def aclose(self) -> None:
        """Idempotent."""
        if self._listener is not None:
            self._listener.close()
        await self._reader.aclose()
        await self._writer.aclose()

    def _set_mark(self) -> None:
        """After a commit."""
        if not self._mark.is_set:
            self._mark.set()

    async def _change(
        self,
        session: Session,
        known: Directory,
        decide: Callable[[Directory], Edit],
        author: Author,
        at: int,
        once: Once | None = None,
    ) -> tuple[Directory, Edit]:
        was_keyed = self._mark.is_set
        await lock(session, DIRECTORY)
        before = await self._updated(session, known, was_keyed=was_keyed)
        receipt = None if once is None else await postgres_audit.find_receipt(session, once, at)
        edit = decide(before) if once is None or receipt is None else once.repeat(before, receipt)
        after = before if edit.is_empty else await self._write(session, before, edit, author, at)
        if once is not None:
            await postgres_audit.write_receipt(session, once, edit, receipt, at)
        return after, edit

    async def _write(self, session: Session, before: Directory, edit: Edit, author: Author, at: int) -> Directory:
        version = before.version + 1
        rows = [(kind, id, encode_record(record)) for kind, id, record in records(edit)]
        kinds, ids, texts = ([row[column] for row in rows] for column in range(3))
        await session.execute(_WRITE, kinds, ids, version, texts)
        shown = audited(before, edit)
        number = await postgres_audit.add(session, author, at, edit.action, edit.subject, *shown)
        await session.execute(_NOTIFY, CHANNEL, str(version))
        return before.updated(changes_of(edit, version, (number, at)))

    async def _read(self, session: Session, known: Directory) -> Directory:
        was_keyed = self._mark.is_set  # before: a process that writes the first key sets it afterwards
        return await self._updated(session, known, was_keyed=was_keyed)

    async def _updated(self, session: Session, known: Directory, *, was_keyed: bool) -> Directory:
        """:raises StoreFailed: a record cannot be read, or there are no keys any more."""
        directory = await self._changed(session, known)
        if was_keyed and not directory.keys:
            raise self._mark.lost()
        return directory

    async def _changed(self, session: Session, known: Directory) -> Directory:
        version, stamp = await _state(session)
        if (version, stamp) == (known.version, known.stamp):
            return known
        # See ``SqliteDirectory``: a backup was put back.
        if version < known.version or not await session.fetchval(_HAS_CHANGE, *known.stamp):
            known = Directory()
        by_kind: dict[str, list[str]] = {}
        for kind, data in await session.fetch(_CHANGED, known.version):
            by_kind.setdefault(kind, []).append(data)
        try:
            return known.updated(read_changes(version, stamp, lambda kind: by_kind.get(kind, ())))
        except StoreFailed as error:
            raise StoreFailed(f"{self.url}: {error}") from None


async def _state(session: Session) -> tuple[int, Stamp]:
    """Version and last change."""
    version, number, at = await session.fetchrow(_STATE)
    return version, NO_STAMP if number is None else (number, at)
