"""Every store of alerts. Risk: one is told twice or to no one, a webhook that fails gets the next at once, or a
delivery whose process has ended is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelmux.accounts.alert_types import Alert, BudgetAlert, LagAlert, WebhookTest, alert_id, alert_time, delivery_id
from modelmux.accounts.alerts import Watch
from modelmux.accounts.leases import Ask
from modelmux.accounts.slices import WindowKey
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.directory.base import Author, DirectoryStore
from modelmux.store.directory.postgres_directory import PostgresDirectory
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from modelmux.store.keyed_mark import KeyedMark
from modelmux.store.ledger import postgres_alerts, sqlite_alerts
from modelmux.store.ledger.alerts import Outcome
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.directories import budget
from support.ledgers import entry

ANN = Author("ann", "cli")
ONE, TWO = "whk_one", "whk_two"
EVERY = {ONE: None, TWO: None}


class World:
    """A database. Each ledger of it is one of another process."""

    def __init__(self, path: Path, url: str | None) -> None:
        self._path = path
        self._url = None if url is None else parse_postgres_url(url)
        self._opened: list[Ledger | DirectoryStore] = []

    def open(self) -> Ledger:
        ledger: Ledger = SqliteLedger(self._path) if self._url is None else PostgresLedger(self._url)
        self._opened.append(ledger)
        return ledger

    def directory(self) -> DirectoryStore:
        store: DirectoryStore = (
            SqliteDirectory(self._path)
            if self._url is None
            else PostgresDirectory(self._url, KeyedMark(self._path, "x"))
        )
        self._opened.append(store)
        return store

    async def aclose(self) -> None:
        for one in self._opened:
            await one.aclose()


@pytest.fixture(params=["sqlite", "postgres"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    world = World(tmp_path / "accounts.db", url)
    yield world
    await world.aclose()


@pytest.fixture
def ledger(world: World) -> Ledger:
    return world.open()


def lag(name: str) -> Alert:
    return LagAlert(
        id=alert_id("ledger.lag", name), at=alert_time(5), host=f"h\0{name}", waiting=1, seconds=2, failing=True
    )  # fmt: skip


def sent(name: str) -> Alert:
    return WebhookTest(id=alert_id("webhook.test", name), at=alert_time(5), webhook=ONE)


async def hand_out_all(ledger: Ledger, now: int, webhooks: dict[str, frozenset[str] | None]) -> list[Alert]:
    alerts = []
    while (alert := await ledger.alerts.hand_out(now, webhooks)) is not None:
        alerts.append(alert)
    return alerts


async def test_an_alert_is_handed_out_once_to_those_that_take_its_type(world: World, ledger: Ledger) -> None:
    await ledger.alerts.note([lag("a"), lag("b"), lag("a")], 7)
    await world.open().alerts.note([lag("b")], 3)
    assert (await ledger.state()).alerts_due == 2
    assert await ledger.alerts.hand_out(6, EVERY) is None
    others = [world.open() for _ in range(3)]
    webhooks = {ONE: frozenset({"ledger.lag"}), TWO: frozenset({"budget.threshold"})}
    handed_out = await asyncio.gather(*(hand_out_all(one, 7, webhooks) for one in (ledger, *others)))
    assert sorted(alert.id for some in handed_out for alert in some) == sorted([lag("a").id, lag("b").id])
    assert lag("a") in [alert for some in handed_out for alert in some]
    assert [one.alert for one in await ledger.alerts.deliveries(ONE, None, 10)] != []
    assert await ledger.alerts.deliveries(TWO, None, 10) == []
    await ledger.alerts.note([lag("a")], 8)
    assert await ledger.alerts.hand_out(10**9, EVERY) is None


async def test_of_each_webhook_one_delivery_is_taken_and_again_if_its_process_ends(
    world: World, ledger: Ledger
) -> None:
    for name, now in (("a", 1), ("b", 2)):
        await ledger.alerts.note([lag(name)], now)
        await hand_out_all(ledger, now, EVERY)
    assert await ledger.alerts.claim(0, 50, 9) == []
    (first,) = await ledger.alerts.claim(9, 50, 1)
    (other,) = [one for one in await ledger.alerts.claim(9, 50, 9) if one.webhook != first.webhook]
    assert (first.id, first.tries, first.created) == (delivery_id(first.webhook, lag("a").id), 0, 1)
    assert other.id == delivery_id(other.webhook, lag("a").id)
    assert b'"ledger.lag"' in first.body
    later = await ledger.alerts.claim(50, 99, 9)
    again = await world.open().alerts.claim(50, 99, 9)
    assert len({one.id for one in (*later, *again)}) == 4, "each once, of each webhook one at a time"
    assert {one.webhook for one in later} == {one.webhook for one in again} == {ONE, TWO}
    assert first.id in {one.id for one in (*later, *again) if one.tries == 1}


async def test_processes_that_claim_at_once_take_each_delivery_once(world: World, ledger: Ledger) -> None:
    await ledger.alerts.note([lag(str(number)) for number in range(12)], 1)
    await hand_out_all(ledger, 1, EVERY)
    every = [world.open() for _ in range(3)]
    taken = await asyncio.gather(*(one.alerts.claim(9, 50, 9) for one in every for _ in range(4)))
    ids = [due.id for some in taken for due in some]
    assert len(ids) == len(set(ids)) == 24


async def test_after_a_failure_a_webhook_gets_nothing_before_the_next_attempt(ledger: Ledger) -> None:
    await ledger.alerts.note([lag("a"), lag("b")], 1)
    await hand_out_all(ledger, 1, EVERY)
    claimed = {one.webhook: one for one in await ledger.alerts.claim(2, 50, 9)}
    await ledger.alerts.tried(claimed[ONE].id, Outcome(at=3, status=500, problem="status 500\0", again=20))
    assert [one.webhook for one in await ledger.alerts.claim(19, 60, 9)] == [TWO]
    assert len(await ledger.alerts.claim(20, 60, 9)) == 1
    failed = (await ledger.alerts.last([ONE, TWO]))[ONE]
    assert (failed.tried, failed.status, failed.tries, failed.type) == (
        3,
        500,
        2 if failed.due == 60 else 1,
        "ledger.lag",
    )
    assert (failed.problem or "").startswith("status 500")
    await ledger.alerts.tried(failed.id, Outcome(at=30, status=204))
    done = (await ledger.alerts.last([ONE, "whk_unknown"]))[ONE]
    assert (done.due, done.status, done.problem) == (None, 204, None)


async def test_deliveries_come_in_pages_and_are_forgotten_but_not_told_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_alerts, "_CHUNK", 2)
    monkeypatch.setattr(postgres_alerts, "CHUNK", 2)
    alerts = [lag(str(number)) for number in range(5)]
    for number, alert in enumerate(alerts):
        await ledger.alerts.told(alert, {ONE: Outcome(at=number, status=204)})
    newest = await ledger.alerts.deliveries(ONE, None, 2)
    rest = await ledger.alerts.deliveries(ONE, newest[-1].number, 9)
    assert [one.alert for one in (*newest, *rest)] == [alert.id for alert in reversed(alerts)]
    await ledger.alerts.note(alerts, 9)
    assert await ledger.alerts.hand_out(10**9, EVERY) is None, "what was told while the store failed"
    await ledger.alerts.forget(4)
    assert [one.alert for one in await ledger.alerts.deliveries(ONE, None, 9)] == [alerts[4].id]
    await ledger.alerts.note(alerts, 9)
    assert await ledger.alerts.hand_out(10**9, EVERY) is None


async def test_one_webhook_is_sent_something_once_and_that_is_audited(world: World, ledger: Ledger) -> None:
    first, second = [await ledger.alerts.send(sent("x"), ONE, 7, ANN) for _ in range(2)]
    assert (first.webhook, first.type, first.due, first.number) == (ONE, "webhook.test", 7, second.number)
    assert await ledger.alerts.hand_out(10**9, EVERY) is None
    (row,) = (await world.directory().audit()).rows
    assert (row.action, row.subject, row.author) == ("webhook.test", ONE, ANN)
    await ledger.alerts.tried(first.id, Outcome(at=8, status=204))
    await ledger.alerts.forget(100)
    assert (await ledger.alerts.send(sent("x"), ONE, 9, ANN)).created == 9, "a test leaves nothing behind"


async def test_a_threshold_is_due_with_the_charge_that_reached_it(world: World, ledger: Ledger) -> None:
    window = WindowKey("bud_a", "u\0ser", 0)
    watches = {window: Watch(budget("bud_a", limit=100, alerts=(50, 80)), 100, None)}
    for one in (ledger, world.open()):
        row = replace(entry(1), debits=((window, 60),))
        await one.exchange("one", [row], {window: Ask(0, 0, 100)}, 5, watches)
    (alert,) = await hand_out_all(ledger, 5, {})
    assert isinstance(alert, BudgetAlert)
    assert (alert.subject, alert.percent, alert.at) == ("u\0ser", 50, alert_time(5))


async def test_an_ended_process_is_told_whether_it_had_leases_or_not(world: World, ledger: Ledger) -> None:
    await ledger.end_holder("never asked", None, lambda: lag("x"))
    await world.open().end_holder("never asked", None, lambda: lag("x"))
    assert await hand_out_all(ledger, 9, {}) == [lag("x")]
