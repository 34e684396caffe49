"""Alerts and their deliveries as rows of PostgreSQL: see ``sqlite_alerts``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from modelmux.accounts.alert_types import Alert, decode_alert, delivery_id, encode_alert, type_of
from modelmux.accounts.alerts import Watch, alerts_of
from modelmux.accounts.slices import WindowKey
from modelmux.store.ledger.alerts import Delivery, DueDelivery, Outcome
from modelmux.store.postgres.locks import ALERTS, lock
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.text import clean

_ADD: Final = (
    "INSERT INTO alert (id, type, data, due) SELECT id, type, data, $4 FROM unnest($1::text[], $2::text[], $3::text[]) "
    "WITH ORDINALITY AS new (id, type, data, place) ORDER BY place ON CONFLICT DO NOTHING RETURNING id"
)
_DUE: Final = "SELECT id, type, data FROM alert WHERE due <= $1 ORDER BY due, number LIMIT 1"
_HANDED_OUT: Final = "UPDATE alert SET due = NULL WHERE id = $1"
_ADD_DELIVERIES: Final = (
    "INSERT INTO webhook_delivery (id, webhook, alert, created, due) SELECT id, webhook, $3, $4, $4 "
    "FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS new (id, webhook, place) ORDER BY place "
    "ON CONFLICT DO NOTHING"
)
_IS_DUE: Final = "SELECT EXISTS (SELECT 1 FROM webhook_delivery WHERE due <= $1)"
_NEXT: Final = (
    "SELECT d.id, d.webhook, a.data, d.tries, d.created FROM (SELECT DISTINCT ON (webhook) * FROM webhook_delivery "
    "WHERE due <= $1 ORDER BY webhook, due, number) AS d JOIN alert AS a ON a.id = d.alert "
    "ORDER BY d.due, d.number LIMIT $2"
)
_CLAIM: Final = "UPDATE webhook_delivery SET due = $2, tries = tries + 1 WHERE id = ANY($1::text[])"
_TRIED: Final = "UPDATE webhook_delivery SET due = $2, tried = $3, status = $4, problem = $5 WHERE id = $1"
_WAIT: Final = (
    "UPDATE webhook_delivery SET due = $2 WHERE due < $2 "
    "AND webhook = (SELECT webhook FROM webhook_delivery WHERE id = $1)"
)
_COLUMNS: Final = "d.number, d.id, d.webhook, d.alert, a.type, d.created, d.due, d.tries, d.tried, d.status, d.problem"
_READ: Final = f"SELECT {_COLUMNS} FROM webhook_delivery AS d JOIN alert AS a ON a.id = d.alert "
_OF_WEBHOOK: Final = f"{_READ} WHERE d.webhook = $1 AND d.number < $2 ORDER BY d.number DESC LIMIT $3"
_LAST: Final = f"{_READ} WHERE d.webhook = $1 AND d.tried IS NOT NULL ORDER BY d.number DESC LIMIT 1"
_BY_ID: Final = f"{_READ} WHERE d.id = $1"
_FORGET: Final = (
    "DELETE FROM webhook_delivery WHERE id IN "
    "(SELECT id FROM webhook_delivery WHERE created < $1 AND due IS NULL LIMIT $2) RETURNING alert"
)
_FORGET_TESTS: Final = "DELETE FROM alert WHERE id = ANY($1::text[]) AND type = 'webhook.test'"
_FIRST_NUMBER: Final = 2**63 - 1
#: Rows that one transaction deletes.
CHUNK: Final = 500


async def note(session: Session, watches: Mapping[WindowKey, Watch], spent: Mapping[WindowKey, int], now: int) -> None:
    """Remember the thresholds that windows have reached, each once, after they were charged.

    :param spent: of the windows. :param now: microseconds in UTC.
    """
    reached = [alerts_of(window, watches[window], spent.get(window, 0), now) for window in sorted(watches)]
    await add(session, [alert for some in reached for alert in some], now)


async def add(session: Session, alerts: Sequence[Alert], due: int | None) -> int:
    """Those that are not there yet. :returns: how many that were."""
    if not alerts:
        return 0
    ids = [one.id for one in alerts]
    texts = [encode_alert(one).decode() for one in alerts]
    return len(await session.fetch(_ADD, ids, list(map(type_of, alerts)), texts, due))


async def is_alert_due(session: Session, now: int) -> bool:
    """Whether there is something to hand out."""
    return await session.fetchrow(_DUE, now) is not None


async def hand_out(session: Session, now: int, webhooks: Mapping[str, frozenset[str] | None]) -> Alert | None:
    """See ``AlertStore.hand_out``: what one process takes, no other does."""
    await lock(session, ALERTS)
    row = await session.fetchrow(_DUE, now)
    if row is None:
        return None
    id, type, data = row
    takers = [webhook for webhook, types in webhooks.items() if types is None or type in types]
    await add_deliveries(session, id, takers, now)
    await session.execute(_HANDED_OUT, id)
    alert: Alert = decode_alert(data)
    return alert


async def add_deliveries(session: Session, alert: str, webhooks: Iterable[str], now: int) -> None:
    """One for each webhook, which is due now, where there was none."""
    names = list(webhooks)
    await session.execute(_ADD_DELIVERIES, [delivery_id(name, alert) for name in names], names, alert, now)


async def is_delivery_due(session: Session, now: int) -> bool:
    """Whether there is something to deliver."""
    return bool(await session.fetchval(_IS_DUE, now))


async def claim(session: Session, now: int, until: int, most: int) -> list[DueDelivery]:
    """See ``AlertStore.claim``: what one process takes, no other does."""
    await lock(session, ALERTS)
    rows = await session.fetch(_NEXT, now, most)
    await session.execute(_CLAIM, [row[0] for row in rows], until)
    return [
        DueDelivery(id=id, webhook=webhook, body=data.encode(), tries=tries, created=created)
        for id, webhook, data, tries, created in rows
    ]


async def tried(session: Session, id: str, outcome: Outcome) -> None:
    """See ``AlertStore.tried``."""
    await lock(session, ALERTS)  # two at once would wait for each other's deliveries
    problem = None if outcome.problem is None else clean(outcome.problem)
    await session.execute(_TRIED, id, outcome.again, outcome.at, outcome.status, problem)
    if outcome.again is not None:
        await session.execute(_WAIT, id, outcome.again)


async def by_id(session: Session, id: str) -> Delivery:
    """One that is there."""
    return _delivery(await session.fetchrow(_BY_ID, id))


async def deliveries(session: Session, webhook: str, before: int | None, limit: int) -> list[Delivery]:
    """See ``AlertStore.deliveries``."""
    end = _FIRST_NUMBER if before is None else before
    return [_delivery(row) for row in await session.fetch(_OF_WEBHOOK, webhook, end, limit)]


async def last(session: Session, webhooks: Sequence[str]) -> dict[str, Delivery]:
    """See ``AlertStore.last``."""
    found = {webhook: await session.fetchrow(_LAST, webhook) for webhook in webhooks}
    return {webhook: _delivery(row) for webhook, row in found.items() if row is not None}


async def forget_some(session: Session, before: int) -> bool:
    """A part of ``AlertStore.forget``. :returns: whether there may be more."""
    alerts = [alert for (alert,) in await session.fetch(_FORGET, before, CHUNK)]
    await session.execute(_FORGET_TESTS, alerts)
    return len(alerts) == CHUNK


def _delivery(row: Any) -> Delivery:
    number, id, webhook, alert, type, created, due, tries, at, status, problem = row
    return Delivery(
        number=number, id=id, webhook=webhook, alert=alert, type=type, created=created, due=due, tries=tries,
        tried=at, status=status, problem=problem,
    )  # fmt: skip
