"""Events at several webhooks. Risk: one that hangs or fails stops the others, a second one gets what it does not take,
what was deleted is sent, a name leads inside, or an outage of the store is told to no one."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.alert_types import WebhookTest
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.records import Key
from modelmux.accounts.webhooks import CONFIGURED, Webhook, secret_of
from modelmux.config.price_overrides import AccountsConfig
from modelmux.config.values import Secret
from modelmux.errors import UpstreamBroken, UpstreamUnreachable
from modelmux.gateway.metering.alert_sources import ExpiringKeys, LedgerLag
from modelmux.gateway.metering.endpoints import Endpoints
from modelmux.gateway.metering.notifier import GIVEN_UP_AFTER, KEPT, Notifier
from modelmux.gateway.metering.unsaved_alerts import UnsavedAlerts
from modelmux.gateway.metering.webhook import signature
from modelmux.gateway.metering.webhook_guard import guard
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.pepper import pepper_id
from modelmux.telemetry.ledger_counts import LedgerCounts
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import HttpCall
from support.clock import NOW, Clock
from support.fakes import FakeReply
from support.http_peers import until
from unit.gateway.metering.test_notifier import LevelLog

PEPPER = b"p" * 32
DAY = 86_400
MICRO = 1_000_000
Answer = Callable[[HttpCall], Any]


class Internet:
    """Answers by host, and remembers what it got. A host that is not named answers 204."""

    def __init__(self) -> None:
        self.calls: list[HttpCall] = []
        self.answers: dict[str, Answer] = {}

    async def send(self, call: HttpCall) -> Any:
        self.calls.append(call)
        answer = self.answers.get(call.origin.host)
        reply = None if answer is None else answer(call)
        if isinstance(reply, Exception):
            raise reply
        return await reply if asyncio.iscoroutine(reply) else reply or FakeReply(204, [], [])

    async def aclose(self) -> None: ...

    def told(self, host: str) -> list[str]:
        """Types of the events that a host got."""
        return [json.loads(call.body)["type"] for call in self.calls if call.origin.host == host]


def hook(name: str, **fields: Any) -> Webhook:
    return Webhook(
        id=f"whk_{name}", name=name, url=f"https://{name}.example.com/x", pepper=pepper_id(PEPPER), **fields
    )  # fmt: skip


class World:
    """A store in a file and one process. Time passes when it sleeps."""

    def __init__(self, folder: Path, *webhooks: Webhook, peppers: Sequence[bytes] = (PEPPER,)) -> None:
        self.ledger = SqliteLedger(folder / "accounts.db")
        self.internet = Internet()
        self.log = LevelLog()
        self.clock = Clock(NOW)
        self.counts = LedgerCounts(is_up=True)
        self.directory = Directory().updated(Changes(version=1, webhooks=webhooks))
        runtime = Runtime(now=self.clock, sleep=self._sleep)
        accounts = AccountsConfig(webhook=Secret("http://inside/x") if not webhooks else None)
        self.lag = LedgerLag(self.ledger.alerts, lambda: self.counts, runtime)
        self.notifier = Notifier(
            self.ledger.alerts,
            Endpoints(accounts, lambda: self.directory, lambda: peppers),
            runtime,
            self.log,
            open_guarded=lambda: self.internet,
            sources=(ExpiringKeys(self.ledger.alerts, lambda: self.directory, runtime),),
            unsaved=UnsavedAlerts(lambda: self.lag.unsaved, runtime, self.log),
        )

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        await self.clock.sleep(seconds)

    @property
    def now(self) -> int:
        return round(self.clock() * MICRO)

    def change(self, **changes: Any) -> None:
        self.directory = self.directory.updated(Changes(version=self.directory.version + 1, **changes))

    async def expire_a_key(self, number: int = 0) -> None:
        """A key that expires within a day."""
        self.change(keys=[Key(id=f"key_{number}", name=f"k{number}", expires=self.now + DAY * MICRO // 2)])

    async def looked(self, times: int = 2) -> None:
        """So many looks are over."""
        self.notifier.start(self.internet)
        slept = len(self.clock.slept)
        await until(lambda: len(self.clock.slept) >= slept + times)

    async def end(self) -> None:
        await self.notifier.aclose()
        await self.lag.aclose()
        await self.ledger.aclose()


async def test_each_gets_what_it_takes_once_and_signed_with_its_own_secret(tmp_path: Path) -> None:
    world = World(tmp_path, hook("all"), hook("keys", events=("key.expiring",)), hook("lag", events=("ledger.lag",)))
    await world.expire_a_key()
    await world.looked()
    world.counts = world.counts._replace(lag=61.0)
    await world.lag.look()
    await world.lag.look()
    await world.looked()
    await world.end()
    told = [world.internet.told(f"{name}.example.com") for name in ("all", "keys", "lag")]
    assert told == [["key.expiring", "ledger.lag"], ["key.expiring"], ["ledger.lag"]]
    for call in world.internet.calls:
        headers = dict(call.headers)
        time, _, signed = headers[b"x-modelmux-signature"].decode().partition(",v1=")
        secret = secret_of(PEPPER, f"whk_{call.origin.host.partition('.')[0]}").encode()
        assert signed == signature(secret, call.body, int(time[2:]))
    assert len({dict(call.headers)[b"x-modelmux-delivery"] for call in world.internet.calls}) == 4
    assert world.log.levels == ["warning", "warning"]


async def test_one_that_hangs_or_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    world = World(tmp_path, hook("hangs"), hook("fails"), hook("works"))
    world.internet.answers["hangs.example.com"] = lambda _: asyncio.Event().wait()
    world.internet.answers["fails.example.com"] = lambda _: UpstreamUnreachable("no", detail="canary")
    await world.expire_a_key()
    world.notifier.start(world.internet)
    await until(lambda: world.internet.told("works.example.com") == ["key.expiring"])
    await world.end()
    assert "canary" not in repr(world.log.lines)


async def test_after_a_failure_a_webhook_gets_nothing_before_the_next_attempt(tmp_path: Path) -> None:
    world = World(tmp_path, hook("fails"))
    world.internet.answers["fails.example.com"] = lambda _: FakeReply(500, [], [])
    for number in range(20):
        await world.expire_a_key(number)
    await world.looked(40)
    attempts = len(world.internet.calls)
    world.internet.answers.clear()
    await until(lambda: len(world.internet.calls) == attempts + 20)
    await world.end()
    assert attempts < 20, "each of them would be tried otherwise"
    names = [json.loads(call.body)["key"]["name"] for call in world.internet.calls[attempts:]]
    assert sorted(names) == sorted(f"k{number}" for number in range(20))


async def test_what_fails_for_days_is_given_up_and_forgotten_later(tmp_path: Path) -> None:
    world = World(tmp_path, hook("fails"))
    world.internet.answers["fails.example.com"] = lambda _: FakeReply(404, [], [])
    await world.expire_a_key()
    await world.looked()
    world.clock.now += GIVEN_UP_AFTER
    await world.looked()
    (delivery,) = await world.ledger.alerts.deliveries("whk_fails", None, 10)
    assert (delivery.due, delivery.status, delivery.problem) == (None, 404, "it answered 404")
    calls = len(world.internet.calls)
    world.clock.now += KEPT
    await world.looked()
    assert await world.ledger.alerts.deliveries("whk_fails", None, 10) == []
    await world.end()
    assert len(world.internet.calls) == calls
    assert (
        "one event is given up (it answered 404)"
        in world.log.lines[-2][1]["message"] + world.log.lines[-1][1]["message"]
    )


@pytest.mark.parametrize("status", ["disabled", "deleted"])
async def test_what_waits_for_a_webhook_that_is_gone_is_given_up(status: Any, tmp_path: Path) -> None:
    world = World(tmp_path, hook("gone"), hook("stays"))
    world.internet.answers["gone.example.com"] = lambda _: FakeReply(500, [], [])
    await world.expire_a_key()
    await world.looked()
    world.change(webhooks=[hook("gone", status=status)])
    await world.looked()  # the look that runs may still send
    calls = len(world.internet.told("gone.example.com"))
    await world.expire_a_key(1)
    await world.looked(8)
    (delivery,) = await world.ledger.alerts.deliveries("whk_gone", None, 10)
    await world.end()
    assert len(world.internet.told("gone.example.com")) == calls
    assert (delivery.due, delivery.problem) == (None, "the webhook was disabled or deleted")
    assert len(world.internet.told("stays.example.com")) == 2


async def test_without_its_pepper_a_webhook_gets_nothing_unsigned_until_it_is_back(tmp_path: Path) -> None:
    peppers: list[bytes] = []
    world = World(tmp_path, hook("a"), peppers=peppers)
    await world.expire_a_key()
    await world.looked()
    assert world.internet.calls == []
    assert "the pepper of its secret is not here any more" in repr(world.log.lines)
    peppers.append(PEPPER)
    await until(lambda: len(world.internet.calls) == 1)
    await world.end()


async def test_a_url_that_is_not_allowed_any_more_is_not_called(tmp_path: Path) -> None:
    world = World(tmp_path, replace(hook("a"), url="https://127.0.0.1/x"))
    await world.expire_a_key()
    await world.looked()
    await world.end()
    assert world.internet.calls == []


async def test_a_test_goes_to_one_webhook(tmp_path: Path) -> None:
    world = World(tmp_path, hook("one"), hook("two"))
    alert = WebhookTest(id="alert_t", at="…", webhook="whk_one")
    sent = [await world.ledger.alerts.send(alert, "whk_one", world.now, Author("a", "cli")) for _ in range(2)]
    await world.looked()
    last = await world.ledger.alerts.last(["whk_one", "whk_two"])
    await world.end()
    assert sent[0] == sent[1]
    assert (world.internet.told("one.example.com"), world.internet.told("two.example.com")) == (["webhook.test"], [])
    assert {id: (one.status, one.problem) for id, one in last.items()} == {"whk_one": (204, None)}


async def test_keys_are_looked_at_when_they_change_or_one_is_due(tmp_path: Path) -> None:
    world = World(tmp_path, hook("a"))
    world.change(keys=[Key(id="key_a", name="a", expires=world.now + 8 * DAY * MICRO)])
    await world.looked()
    assert world.internet.calls == []
    for days, expected in ((2, 1), (4, 1), (1.5, 2)):
        world.clock.now += days * DAY
        await world.looked()
        assert len(world.internet.calls) == expected
    await world.end()
    assert [json.loads(call.body)["days"] for call in world.internet.calls] == [7, 1]


async def test_a_ledger_that_cannot_be_written_is_told_at_once_and_not_again_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, hook("a"), hook("keys", events=("key.expiring",)), hook("fails"))
    alerts = world.ledger.alerts
    world.internet.answers["fails.example.com"] = lambda _: FakeReply(500, [], [])

    async def failing(*_: Any) -> Any:
        raise StoreFailed("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(alerts, "_write", failing)
        world.counts = LedgerCounts(lag=70.0, waiting=5, is_up=False)
        await world.lag.look()
        await world.looked()
        assert world.internet.told("a.example.com") == ["ledger.lag"]
        await world.looked(5)
        assert world.internet.told("a.example.com") == ["ledger.lag"], "from memory, too, once"
    assert len(world.internet.told("fails.example.com")) > 1
    calls = len(world.internet.told("fails.example.com"))
    world.internet.answers.clear()
    await world.lag.look()
    assert world.lag.unsaved is None
    await until(lambda: len(world.internet.told("fails.example.com")) == calls + 1)
    await world.looked()
    ids = {dict(call.headers)[b"x-modelmux-delivery"] for call in world.internet.calls if "fails" in call.origin.host}
    await world.end()
    assert world.internet.told("a.example.com") == ["ledger.lag"]
    assert world.internet.told("keys.example.com") == []
    assert len(ids) == 1


async def test_that_of_the_configuration_takes_all_and_is_not_guarded(tmp_path: Path) -> None:
    world = World(tmp_path)
    own = Internet()
    await world.expire_a_key()
    world.notifier.start(own)
    await until(lambda: len(own.calls) == 1 and len(world.clock.slept) > 1)
    last = await world.ledger.alerts.last([CONFIGURED])
    await world.end()
    assert (own.told("inside"), world.internet.calls, list(last)) == (["key.expiring"], [], [CONFIGURED])


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"])
async def test_s10_a_name_that_leads_inside_is_not_connected_to(address: str, tmp_path: Path) -> None:
    """Where the name leads is decided with each connection: it was public when the webhook was created."""

    async def resolve(host: str, port: int) -> Any:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    world = World(tmp_path, hook("rebound"))
    pool = HttpPool(max_idle=0, resolver=guard((), resolve).resolve)
    world.notifier._sender._open_guarded = lambda: pool
    await world.expire_a_key()
    await world.looked()
    (delivery,) = await world.ledger.alerts.deliveries("whk_rebound", None, 10)
    await world.end()
    assert delivery.problem == "its host has an address that is not public"
    assert address not in repr(world.log.lines)


async def test_a_status_of_200_ends_it_whatever_becomes_of_the_body(tmp_path: Path) -> None:
    world = World(tmp_path, hook("large"))

    class Large(FakeReply):
        async def read(self, limit: int) -> bytes:
            raise UpstreamBroken("The reply exceeds the limit.", reply_started=True)

    world.internet.answers["large.example.com"] = lambda call: Large(200, [], [])
    await world.expire_a_key()
    await world.looked(10)
    await world.end()
    assert world.internet.told("large.example.com") == ["key.expiring"]
