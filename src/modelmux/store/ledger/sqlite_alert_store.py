"""The store of alerts in the file of a ledger, in its threads."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from modelmux.accounts.alert_types import Alert, delivery_id, type_of
from modelmux.store.accounts_file import AccountsFile
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.directory import sqlite_audit
from modelmux.store.directory.base import Author
from modelmux.store.ledger import sqlite_alerts
from modelmux.store.ledger.alerts import Delivery, DueDelivery, Outcome

#: Seconds between two transactions of a long task, in which other processes get the lock.
_PAUSE: Final = 0.005
#: Alerts of one transaction.
_MOST: Final = 500
T = TypeVar("T")


class SqliteAlertStore:
    """An ``AlertStore``. Nothing is written where there is nothing to tell.

    :param reader, writer: of the ledger, which closes them.
    """

    def __init__(self, file: AccountsFile, reader: ConnectionThread, writer: ConnectionThread) -> None:
        self._file = file
        self._reader = reader
        self._writer = writer

    async def note(self, alerts: Sequence[Alert], now: int) -> None:
        """See ``AlertStore.note``."""
        for begin in range(0, len(alerts), _MOST):
            some = alerts[begin : begin + _MOST]
            await self._write(lambda connection, some=some: sqlite_alerts.add(connection, some, now))  # type: ignore[misc]

    async def hand_out(self, now: int, webhooks: Mapping[str, frozenset[str] | None]) -> Alert | None:
        """See ``AlertStore.hand_out``."""
        if not await self._read(lambda connection: sqlite_alerts.is_alert_due(connection, now)):
            return None
        return await self._write(lambda connection: sqlite_alerts.hand_out(connection, now, webhooks))

    async def send(self, alert: Alert, webhook: str, now: int, author: Author) -> Delivery:
        """See ``AlertStore.send``."""

        def write(connection: sqlite3.Connection) -> Delivery:
            if sqlite_alerts.add(connection, [alert], None):
                sqlite_audit.add(connection, author, now, type_of(alert), webhook, {}, {})
            sqlite_alerts.add_deliveries(connection, alert.id, [webhook], now)
            return sqlite_alerts.by_id(connection, delivery_id(webhook, alert.id))

        return await self._write(write)

    async def told(self, alert: Alert, outcomes: Mapping[str, Outcome]) -> None:
        """See ``AlertStore.told``."""

        def write(connection: sqlite3.Connection) -> None:
            sqlite_alerts.add(connection, [alert], None)
            for webhook, outcome in outcomes.items():
                sqlite_alerts.add_deliveries(connection, alert.id, [webhook], outcome.at)
                sqlite_alerts.tried(connection, delivery_id(webhook, alert.id), outcome)

        await self._write(write)

    async def claim(self, now: int, until: int, most: int) -> list[DueDelivery]:
        """See ``AlertStore.claim``."""
        if not await self._read(lambda connection: sqlite_alerts.is_delivery_due(connection, now)):
            return []
        return await self._write(lambda connection: sqlite_alerts.claim(connection, now, until, most))

    async def tried(self, delivery: str, outcome: Outcome) -> None:
        """See ``AlertStore.tried``."""
        await self._write(lambda connection: sqlite_alerts.tried(connection, delivery, outcome))

    async def deliveries(self, webhook: str, before: int | None, limit: int) -> list[Delivery]:
        """See ``AlertStore.deliveries``."""
        return await self._read(lambda connection: sqlite_alerts.deliveries(connection, webhook, before, limit))

    async def last(self, webhooks: Sequence[str]) -> dict[str, Delivery]:
        """See ``AlertStore.last``."""
        return await self._read(lambda connection: sqlite_alerts.last(connection, webhooks))

    async def forget(self, before: int) -> None:
        """See ``AlertStore.forget``."""
        has_more = True
        while has_more:
            has_more = await self._write(lambda connection: sqlite_alerts.forget_some(connection, before))
            await asyncio.sleep(_PAUSE)

    async def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        def read(connection: sqlite3.Connection) -> T:
            with self._file.read(connection):
                return function(connection)

        return await self._reader.run(read)

    async def _write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        def write(connection: sqlite3.Connection) -> T:
            with self._file.write(connection):
                return function(connection)

        return await self._writer.run(write)
