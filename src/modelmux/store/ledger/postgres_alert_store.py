"""The store of alerts in the database of a ledger, in its threads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from modelmux.accounts.alert_types import Alert, delivery_id, type_of
from modelmux.store.directory import postgres_audit
from modelmux.store.directory.base import Author
from modelmux.store.ledger import postgres_alerts
from modelmux.store.ledger.alerts import Delivery, DueDelivery, Outcome
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.thread import PostgresThread

#: Seconds between two transactions of a long task.
_PAUSE: Final = 0.005
#: Alerts of one transaction.
_MOST: Final = 500


class PostgresAlertStore:
    """An ``AlertStore``. Nothing is written where there is nothing to tell.

    :param reader, writer: of the ledger, which closes them.
    """

    def __init__(self, reader: PostgresThread, writer: PostgresThread) -> None:
        self._reader = reader
        self._writer = writer

    async def note(self, alerts: Sequence[Alert], now: int) -> None:
        """See ``AlertStore.note``."""
        for begin in range(0, len(alerts), _MOST):
            some = alerts[begin : begin + _MOST]
            await self._writer.run(lambda session, some=some: postgres_alerts.add(session, some, now))  # type: ignore[misc]

    async def hand_out(self, now: int, webhooks: Mapping[str, frozenset[str] | None]) -> Alert | None:
        """See ``AlertStore.hand_out``."""
        if not await self._reader.run(lambda session: postgres_alerts.is_alert_due(session, now), writes=False):
            return None
        return await self._writer.run(lambda session: postgres_alerts.hand_out(session, now, webhooks))

    async def send(self, alert: Alert, webhook: str, now: int, author: Author) -> Delivery:
        """See ``AlertStore.send``."""

        async def write(session: Session) -> Delivery:
            if await postgres_alerts.add(session, [alert], None):
                await postgres_audit.add(session, author, now, type_of(alert), webhook, {}, {})
            await postgres_alerts.add_deliveries(session, alert.id, [webhook], now)
            return await postgres_alerts.by_id(session, delivery_id(webhook, alert.id))

        return await self._writer.run(write)

    async def told(self, alert: Alert, outcomes: Mapping[str, Outcome]) -> None:
        """See ``AlertStore.told``."""

        async def write(session: Session) -> None:
            await postgres_alerts.add(session, [alert], None)
            for webhook, outcome in outcomes.items():
                await postgres_alerts.add_deliveries(session, alert.id, [webhook], outcome.at)
                await postgres_alerts.tried(session, delivery_id(webhook, alert.id), outcome)

        await self._writer.run(write)

    async def claim(self, now: int, until: int, most: int) -> list[DueDelivery]:
        """See ``AlertStore.claim``."""
        if not await self._reader.run(lambda session: postgres_alerts.is_delivery_due(session, now), writes=False):
            return []
        return await self._writer.run(lambda session: postgres_alerts.claim(session, now, until, most))

    async def tried(self, delivery: str, outcome: Outcome) -> None:
        """See ``AlertStore.tried``."""
        await self._writer.run(lambda session: postgres_alerts.tried(session, delivery, outcome))

    async def deliveries(self, webhook: str, before: int | None, limit: int) -> list[Delivery]:
        """See ``AlertStore.deliveries``."""
        return await self._reader.run(
            lambda session: postgres_alerts.deliveries(session, webhook, before, limit), writes=False
        )

    async def last(self, webhooks: Sequence[str]) -> dict[str, Delivery]:
        """See ``AlertStore.last``."""
        return await self._reader.run(lambda session: postgres_alerts.last(session, webhooks), writes=False)

    async def forget(self, before: int) -> None:
        """See ``AlertStore.forget``."""
        has_more = True
        while has_more:
            has_more = await self._writer.run(lambda session: postgres_alerts.forget_some(session, before))
            await asyncio.sleep(_PAUSE)
