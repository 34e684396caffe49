"""What budgets have reached, in the log and at a webhook. Risk: it is told twice or never, an outage of the webhook
fills the log or holds up the end of the process, or the URL, which may be a secret, is in the log."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.alerts import Watch
from modelmux.accounts.budgets import Budget
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.windows import WindowRule
from modelmux.config.price_overrides import AccountsConfig
from modelmux.config.values import Secret
from modelmux.errors import UpstreamUnreachable
from modelmux.gateway.metering.endpoints import Endpoints, configured
from modelmux.gateway.metering.notifier import CLAIMED_FOR, Notifier
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.wire.http import HttpCall
from support.clock import NOW, Clock
from support.fakes import FakeReply, FakeUpstream
from support.http_peers import Wire, peer, pool_of, until
from support.ledgers import entry

URL = "https://hooks.example.com/services/T0/hidden?x=1"
WINDOW = WindowKey("bud_a", "", 0)
BUDGET = Budget(id="bud_a", name="small", limit=100, window=WindowRule(every="lifetime"), unit="tokens")


class LevelLog:
    """Lines: level, event and fields."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        raise AssertionError(event)

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", {"event": event, **fields}))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", {"event": event, **fields}))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", {"event": event, **fields}))

    @property
    def levels(self) -> list[str]:
        return [level for level, _ in self.lines]


class World:
    """A ledger in a file, and a process that tells what is in it. Time passes when it sleeps."""

    def __init__(self, folder: Path, *script: Any, url: str | None = URL) -> None:
        self.ledger = SqliteLedger(folder / "accounts.db")
        self.upstream = FakeUpstream(script)
        self.guarded = FakeUpstream([])
        self.clock = Clock(NOW)
        self.log = LevelLog()
        accounts = AccountsConfig(webhook=Secret(url) if url else None, webhook_secret=Secret("s3cret"))
        runtime = Runtime(now=self.clock, sleep=self._sleep)
        self.notifier = Notifier(
            self.ledger.alerts, Endpoints(accounts), runtime, self.log, open_guarded=lambda: self.guarded
        )
        self.rows = 0

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        await self.clock.sleep(seconds)

    async def spend(self, amount: int, *, refuses: bool = False) -> None:
        """One exchange with a row."""
        self.rows += 1
        row = entry(self.rows).charged(((WINDOW, amount),), 0)
        watches = {WINDOW: Watch(BUDGET, 100, None, refuses=refuses)}
        await self.ledger.exchange("one", [row], {}, round(self.clock() * 1e6), watches)

    async def run(self, calls: int) -> None:
        """Until so many calls were made, and all of what is due was told."""
        self.notifier.start(self.upstream)
        self.notifier.start(self.upstream)
        await until(lambda: len(self.upstream.calls) >= calls)
        slept = len(self.clock.slept)
        await until(lambda: len(self.clock.slept) >= slept + 2)

    async def end(self) -> None:
        await self.notifier.aclose()
        await self.notifier.aclose()
        await self.ledger.aclose()


def ok(_: HttpCall) -> FakeReply:
    return FakeReply(200, [], [b"thanks"])


def percents(world: World) -> list[int]:
    return [json.loads(call.body)["percent"] for call in world.upstream.calls]


async def test_each_threshold_is_told_once_signed_and_in_the_log(tmp_path: Path) -> None:
    world = World(tmp_path, *[ok] * 3)
    await world.spend(49)
    await world.run(0)
    assert world.upstream.calls == []
    for _ in range(4):
        await world.spend(8)
    await world.run(2)
    await world.spend(20)
    await world.run(3)
    await world.end()
    assert percents(world) == [50, 80, 100]
    call = world.upstream.calls[0]
    assert (call.origin.host, call.target, call.method) == ("hooks.example.com", "/services/T0/hidden?x=1", "POST")
    headers = dict(call.headers)
    time, _, signed = headers[b"x-modelmux-signature"].decode().partition(",v1=")
    expected = hmac.new(b"s3cret", f"{time[2:]}.".encode() + call.body, hashlib.sha256).hexdigest()
    assert (time[:2], signed) == ("t=", expected)
    assert len({json.loads(call.body)["id"] for call in world.upstream.calls}) == 3
    assert [(level, line["budget"], line["percent"]) for level, line in world.log.lines] == [
        ("warning", "bud_a", percent) for percent in (50, 80, 100)
    ]
    assert "has reached 50 %: " in world.log.lines[0][1]["message"]


async def test_without_a_webhook_only_the_log_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, url=None)
    await world.spend(60)
    await world.run(0)
    await until(lambda: len(world.log.lines) == 1)
    await world.end()
    assert world.upstream.calls == []


async def test_a_refusal_tells_the_last_threshold(tmp_path: Path) -> None:
    world = World(tmp_path, ok)
    await world.spend(10, refuses=True)
    await world.spend(10, refuses=True)
    await world.run(1)
    await world.end()
    ((_, line),) = world.log.lines
    assert (line["percent"], "has refused a request" in line["message"]) == (100, True)


async def test_a_delivery_that_fails_is_repeated_and_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable = UpstreamUnreachable("no connection", detail=URL)
    world = World(tmp_path, FakeReply(500, [], []), unreachable, unreachable, FakeReply(302, [], []), ok)
    times: list[float] = []  # the clock goes on after the last one
    send = world.upstream.send

    async def timed(call: HttpCall) -> Any:
        times.append(world.clock())
        return await send(call)

    monkeypatch.setattr(world.upstream, "send", timed)
    await world.spend(60)
    await world.run(5)
    await until(lambda: world.log.levels == ["warning", "error", "info"])
    await world.end()
    assert len({json.loads(call.body)["id"] for call in world.upstream.calls}) == 1
    assert 1 + 2 + 4 + 8 <= times[-1] - times[0] < 40, "with growing pauses"
    assert "it answered 500" in world.log.lines[1][1]["message"]
    assert all(reply.closed for reply in world.upstream.replies)
    assert "hidden" not in repr(world.log.lines)


async def test_a22_what_was_not_delivered_before_a_restart_is_delivered_after_it(tmp_path: Path) -> None:
    """The first process ends within the delivery, which does not hold it up."""
    first = World(tmp_path)
    asked = asyncio.Event()

    class Silent:
        async def send(self, call: HttpCall) -> FakeReply:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def aclose(self) -> None: ...

    await first.spend(60)
    first.notifier.start(Silent())
    await asked.wait()
    await asyncio.wait_for(first.end(), 100)
    second = World(tmp_path, ok)
    second.clock.now = first.clock.now
    await second.run(1)
    await second.end()
    assert percents(second) == [50]
    assert second.clock() - first.clock() >= CLAIMED_FOR, "the first might be delivering it"
    assert (first.log.levels, second.log.levels) == (["warning"], [])


async def test_two_processes_do_not_both_deliver_and_count_a_window_together(tmp_path: Path) -> None:
    one, two = World(tmp_path, *[ok] * 9), World(tmp_path, *[ok] * 9)
    await one.spend(40)
    two.rows = 10
    await two.spend(45)
    await asyncio.gather(one.run(0), two.run(0))
    await until(lambda: len(one.upstream.calls) + len(two.upstream.calls) == 2)
    await asyncio.gather(one.end(), two.end())
    assert sorted(percents(one) + percents(two)) == [50, 80]


async def test_a_store_that_fails_is_logged_once_and_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path, ok)
    await world.spend(60)
    hand_out, failures = world.ledger.alerts.hand_out, 3

    async def failing(*arguments: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreFailed("disk full") if failures else ValueError("x")
        return await hand_out(*arguments)

    world.ledger.alerts.hand_out = failing  # type: ignore[method-assign]
    await world.run(1)
    await world.end()
    assert world.log.levels == ["error", "warning", "info"]
    assert "disk full" in world.log.lines[0][1]["message"]


async def test_an_exchange_that_is_repeated_tells_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path, ok)
    for _ in range(3):
        world.rows = 0
        await world.spend(60)
    await world.run(1)
    await world.end()
    assert percents(world) == [50]


@pytest.mark.parametrize(
    "body", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]
)
async def test_over_a_real_connection(body: bytes, tmp_path: Path) -> None:
    got: list[tuple[bytes, bytes]] = []

    async def talk(wire: Wire) -> None:
        got.append(await wire.request())
        await wire.send(body)

    async with peer(talk) as (origin, _), pool_of() as pool:
        world = World(tmp_path, url=f"http://127.0.0.1:{origin.port}/hook")
        await world.spend(60)
        world.notifier.start(pool)
        await until(lambda: bool(got) and len(world.clock.slept) > 2)
        await world.end()
    ((head, sent),) = got
    assert head.startswith(b"POST /hook HTTP/1.1\r\n")
    assert b"content-type: application/json\r\n" in head.lower()
    assert json.loads(sent)["percent"] == 50
    assert world.log.levels == ["warning"]


async def test_nothing_is_signed_without_a_secret() -> None:
    webhook = configured(AccountsConfig(webhook=Secret("https://hooks.example.com")))
    assert webhook is not None
    call = webhook.call(b"{}", "dlv_a", 1)
    assert (call.target, b"x-modelmux-signature" in dict(call.headers)) == ("/", False)
