"""Risk: a budget is passed, or refuses what it has room for, or what a request held is never given back.

With the real store in a file. The upstream is scripted: what a reply reports is what it costs.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts import lease_book
from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budget_edits import adjust, save_budget
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_key
from modelmux.accounts.records import Key
from modelmux.accounts.slices import Hold
from modelmux.accounts.windows import WindowRule
from modelmux.dialects.registry import SURFACES, Surface
from modelmux.errors import UpstreamTimeout
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.open_directory import open_directory, read_peppers
from properties.test_registry import REQUESTS, by_surface, path_of, reply_of
from support.asgi import Response, request
from support.clock import NOW
from support.fakes import FakeUpstream, error_reply, event, message_reply, stream_reply, text_events
from support.gateway import MODEL, PATH, ask, gateway

NANO = 10**9
#: 7 tokens of input at 3 USD a million, 3 of output at 15.
COST = 7 * 3_000 + 3 * 15_000
CALLING = [one for one in SURFACES if one.calls_upstream and one.operation not in ("count_tokens", "page")]


class World:
    """A gateway with a key and budgets."""

    def __init__(self, folder: Path, *replies: Any, **settings: Any) -> None:
        self.path = folder / "accounts.db"
        accounts = {"enabled": True, "store": f"sqlite:{self.path}"} | settings.pop("accounts", {})
        self.upstream = FakeUpstream(list(replies))
        self.app = gateway(self.upstream, accounts=accounts, **settings)
        config = self.app._current.config
        self.store = open_directory(config)
        self.issuer = Issuer(read_peppers(config), lambda: NOW)

    async def change(self, edit: Callable[[Directory], Edit]) -> None:
        await self.store.change(edit, Author("test", "cli"), int(NOW * 1e6))
        await self.app.directory.refresh()  # type: ignore[union-attr]

    async def begin(self, limit: int, **fields: Any) -> None:
        text, secret = self.issuer.secret("key_a")
        await self.change(lambda d: save_key(d, Key(id="key_a", name="laptop"), secret))
        self.headers = {"authorization": f"Bearer {text}"}
        fields = {"window": WindowRule(every="month"), "applies_to": Selector(key="key_a")} | fields
        await self.change(lambda d: save_budget(d, Budget(id="bud_a", name="small", limit=limit, **fields)))

    async def ask(self, max_tokens: int = 100, **fields: Any) -> Response:
        return await request(self.app, "POST", PATH, ask(max_completion_tokens=max_tokens) | fields, self.headers)

    async def end(self) -> None:
        await self.store.aclose()
        await self.app.aclose()

    def windows(self) -> list[tuple[Any, ...]]:
        """Spent and leased of each window."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT spent, leased FROM budget_window").fetchall()

    def held(self) -> int:
        return sum(one.held for _, one in self.app.metering._book.slices)


async def test_a3_g67_what_is_spent_is_what_the_rows_cost_and_nothing_stays_leased(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(5)))
    await world.begin(NANO)
    for _ in range(5):
        assert (await world.ask()).status == 200
    await world.end()
    assert world.windows() == [(5 * COST, 0)]
    assert world.held() == 0


async def test_what_was_spent_is_written_at_the_end_though_another_store_is_silent(tmp_path: Path) -> None:
    """The server ends the process a second later: rows would wait for its next start, and leases stay."""
    world = World(tmp_path, message_reply())
    await world.begin(NANO)
    assert (await world.ask()).status == 200
    answers, thinking = asyncio.Event(), world.app._thinking
    thinking.aclose = answers.wait  # type: ignore[assignment, method-assign]
    end = asyncio.create_task(world.app.aclose())
    async with asyncio.timeout(60):
        while world.windows() != [(COST, 0)]:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
    assert not end.done()
    answers.set()
    await end
    await world.store.aclose()


async def test_a1_g41_requests_at_the_same_time_never_pass_it_and_use_all_of_it(tmp_path: Path) -> None:
    """Each may cost 100 tokens of output and costs 3: what was held and not spent is used by later ones."""
    world = World(tmp_path, *(message_reply() for _ in range(400)))
    await world.begin(20 * COST + 2 * 1_500_000)
    statuses: list[int] = []
    for _ in range(2):  # what runs holds its worst case, for which others are refused
        statuses += [one.status for one in await asyncio.gather(*(world.ask() for _ in range(10)))]
    while (status := (await world.ask()).status) == 200:
        statuses.append(status)
    assert status == 429
    assert set(statuses) <= {200, 429}
    await world.end()
    ((spent, leased),) = world.windows()
    assert (spent, leased) == (statuses.count(200) * COST, 0)
    assert spent <= 20 * COST + 2 * 1_500_000
    worst = 15_000 * 100 + 3_750 * 400
    assert 20 * COST + 2 * 1_500_000 - spent < worst, "less than one worst case is left"


async def test_a_budget_that_is_not_spent_refuses_nothing_when_exchanges_are_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that came during the exchange took what it had leased, and after it there was no time for another."""
    monkeypatch.setattr(lease_book, "RECALL_SECONDS", 0.0)
    world = World(tmp_path, message_reply())
    await world.begin(1_000 * NANO)
    writer, book, taken = world.app.metering.writer, world.app.metering._book, Hold({})
    exchange, times = writer.exchange, 0  # type: ignore[union-attr]

    async def with_others() -> None:
        nonlocal times
        await exchange()
        times += 1
        if times < 3:
            for window, one in book.slices:
                assert book.extend(taken, {window: one.free}, {window: 1_000 * NANO}, 0.0)

    monkeypatch.setattr(writer, "exchange", with_others)
    assert ((await world.ask()).status, times) == (200, 3)
    await world.end()


async def test_a5_a23_a_refusal_says_what_is_left_and_what_would_fit(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(NANO // 100)
    response = await world.ask(64_000)
    assert (response.status, response.headers["x-should-retry"]) == (429, "false")
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    assert error["message"].startswith("The monthly budget 'small' ($0.01, renewed ")
    assert "has $0.01 left; this request may cost $0.97 (" in error["message"]
    fits = int(error["message"].split("Send max_completion_tokens of at most ")[1].split(", or")[0].replace(",", ""))
    assert not world.upstream.calls
    assert (await world.ask(fits)).status == 200, "it does fit"
    await world.end()


@pytest.mark.parametrize(
    ("unit", "limit", "spent"), [("requests", 3, 3), ("tokens", 2_000, 10 * 3), ("usd", NANO, COST * 3)]
)
async def test_every_unit_counts(unit: Any, limit: int, spent: int, tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(3)))
    await world.begin(limit, unit=unit)
    for _ in range(3):
        assert (await world.ask()).status == 200
    if unit == "requests":
        refused = await world.ask()
        assert (refused.status, "(3 requests, " in refused.json()["error"]["message"]) == (429, True)
    await world.end()
    assert world.windows() == [(spent, 0)]


async def test_a_soft_budget_refuses_nothing_and_counts_all(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(3)))
    await world.begin(1, mode="soft")
    for _ in range(3):
        assert (await world.ask()).status == 200
    await world.end()
    assert world.windows() == [(3 * COST, 0)]


async def test_a3_what_the_upstream_refused_costs_nothing_and_holds_nothing(tmp_path: Path) -> None:
    world = World(
        tmp_path, error_reply(400, {"error": {"type": "invalid_request_error", "message": "no"}}), message_reply()
    )
    await world.begin(NANO)
    assert (await world.ask()).status == 400
    assert (await world.ask()).status == 200
    await world.end()
    assert world.windows() == [(COST, 0)]
    assert world.held() == 0


async def test_a12_a_top_up_counts_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(1)
    assert (await world.ask()).status == 429
    added = Adjustment(id="adj_a", budget="bud_a", kind="top_up", amount=NANO, created=int(NOW * 1e6))
    await world.change(lambda d: adjust(d, added))
    assert (await world.ask()).status == 200
    await world.end()


@by_surface(CALLING)
async def test_a17_no_path_is_free(surface: Surface, tmp_path: Path) -> None:
    world = World(tmp_path, reply_of(surface))
    await world.begin(1)
    body = dict(REQUESTS[surface.dialect.name]) | {"model": MODEL}
    response = await request(world.app, surface.method, path_of(surface), body, world.headers)
    assert response.status == 429, response.body
    assert not world.upstream.calls
    await world.change(lambda d: save_budget(d, Budget(
        id="bud_a", name="small", limit=NANO, window=WindowRule(every="month"), applies_to=Selector(key="key_a")
    )))  # fmt: skip
    response = await request(world.app, surface.method, path_of(surface), body, world.headers)
    assert response.status == 200, response.body
    await world.end()
    ((spent, leased),) = world.windows()
    assert (spent > 0, leased) == (True, 0)


OTHER = "claude-haiku-4-5"
#: Of the other model: 7 tokens of input at 1 USD a million, 3 of output at 5.
OTHER_COST = 7 * 1_000 + 3 * 5_000
BOTH = {"models": [{"name": MODEL, "model": MODEL, "fallbacks": [OTHER]}]}


def unanswered() -> UpstreamTimeout:
    """The upstream got the request, and may bill it."""
    return UpstreamTimeout("slow", clock="connect")


def overloaded() -> Any:
    return error_reply(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


@pytest.mark.parametrize(("model", "spent"), [(MODEL, 0), (OTHER, OTHER_COST), ("claude-*", OTHER_COST)])
async def test_a_budget_of_a_model_is_that_of_the_model_that_is_called(
    model: str, spent: int, tmp_path: Path, no_waiting: None
) -> None:
    """Whatever was called first."""
    world = World(tmp_path, overloaded(), message_reply(), vertex=BOTH)
    await world.begin(NANO, applies_to=Selector(model=model))
    response = await world.ask()
    assert (response.status, len(world.upstream.calls)) == (200, 2)
    await world.end()
    assert sum(row[0] for row in world.windows()) == spent
    assert world.held() == 0


async def test_another_model_is_not_called_if_its_budget_is_spent(tmp_path: Path, no_waiting: None) -> None:
    """The first one is tried again."""
    world = World(tmp_path, overloaded(), message_reply(), vertex=BOTH)
    await world.begin(1, applies_to=Selector(model=OTHER))
    assert (await world.ask()).status == 200
    assert [MODEL in call.target for call in world.upstream.calls] == [True, True]
    await world.end()


async def test_each_model_is_charged_for_its_own_calls(tmp_path: Path, no_waiting: None) -> None:
    world = World(tmp_path, unanswered(), message_reply(), vertex=BOTH)
    await world.begin(NANO, applies_to=Selector(model=MODEL))
    for name, fields in {"other": {"model": OTHER}, "both": {}}.items():
        await world.change(lambda d, n=name, f=fields: save_budget(d, Budget(  # type: ignore[misc]
            id=f"bud_{n}", name=n, limit=NANO, window=WindowRule(every="month"), applies_to=Selector(**f)
        )))  # fmt: skip
    assert (await world.ask()).status == 200
    await world.end()
    with closing(sqlite3.connect(world.path)) as connection:
        spent = dict(connection.execute("SELECT budget, spent FROM budget_window").fetchall())
    assert spent["bud_other"] == OTHER_COST
    assert spent["bud_a"] > 0
    assert spent["bud_both"] == spent["bud_a"] + OTHER_COST


async def test_what_all_calls_that_may_be_billed_cost_is_held(tmp_path: Path, no_waiting: None) -> None:
    """The first and the third may be; one between them that the upstream refused hides neither."""
    amounts: list[int] = []

    def note(reply: Any) -> Any:
        def step(_: Any) -> Any:
            amounts.append(world.held())
            if isinstance(reply, Exception):
                raise reply
            return reply

        return step

    world = World(tmp_path, note(unanswered()), note(overloaded()), note(unanswered()), note(message_reply()))
    await world.begin(NANO)
    assert (await world.ask()).status == 200
    one = amounts[0]
    assert amounts == [one, 2 * one, 2 * one, 3 * one]
    await world.end()


async def test_what_calls_cost_that_fail_within_their_replies_is_held(tmp_path: Path, no_waiting: None) -> None:
    """Each is charged for its prompt, so several cost more than the worst case of the last one."""
    amounts: list[int] = []
    failed = stream_reply(*text_events("x")[:2], event("error", error={"type": "overloaded_error", "message": "busy"}))

    def note(reply: Any) -> Any:
        def step(_: Any) -> Any:
            amounts.append(world.held())
            return reply

        return step

    world = World(tmp_path, *(note(one) for one in (failed, overloaded(), failed, stream_reply(*text_events("x")))))
    await world.begin(NANO)
    assert (await world.ask(stream=True)).status == 200
    one, prompt = amounts[0], 7 * 3_000
    assert amounts == [one, one + prompt, one + prompt, one + 2 * prompt]
    await world.end()
    assert (world.windows(), world.held()) == ([(2 * prompt + COST, 0)], 0)


async def test_a30_a_request_is_one_however_often_it_is_tried(tmp_path: Path, no_waiting: None) -> None:
    world = World(tmp_path, unanswered(), message_reply())
    await world.begin(1, unit="requests")
    assert (await world.ask()).status == 200
    await world.end()
    assert world.windows() == [(1, 0)]


async def test_a_reply_that_breaks_off_costs_no_more_than_it_may_have(tmp_path: Path) -> None:
    """Characters are charged as rather too many tokens, but max_tokens bounds these."""
    begun = text_events("words and words " * 100)[:4]
    world = World(tmp_path, stream_reply(*begun, unanswered()))
    await world.begin(NANO)
    await world.ask(20, stream=True)
    await world.end()
    assert world.windows() == [(7 * 3_000 + 20 * 15_000, 0)]
