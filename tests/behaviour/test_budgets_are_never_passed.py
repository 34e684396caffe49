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

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budget_edits import adjust, save_budget
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_key
from modelmux.accounts.records import Key
from modelmux.accounts.windows import WindowRule
from modelmux.dialects.registry import SURFACES, Surface
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.open_directory import open_directory, read_peppers
from properties.test_registry import REQUESTS, by_surface, path_of, reply_of
from support.asgi import Response, request
from support.clock import NOW
from support.fakes import FakeUpstream, error_reply, message_reply, quota_exceeded
from support.gateway import MODEL, PATH, ask, gateway

NANO = 10**9
#: 7 tokens of input at 3 USD a million, 3 of output at 15.
COST = 7 * 3_000 + 3 * 15_000
CALLING = [one for one in SURFACES if one.calls_upstream and one.operation not in ("count_tokens", "page")]


class World:
    """A gateway with a key and budgets."""

    def __init__(self, folder: Path, *replies: Any, vertex: Any = None, **accounts: Any) -> None:
        self.path = folder / "accounts.db"
        accounts = {"enabled": True, "store": f"sqlite:{self.path}", **accounts}
        self.upstream = FakeUpstream(list(replies))
        self.app = gateway(self.upstream, accounts=accounts, vertex=vertex or {})
        config = self.app._current.config
        self.store = open_directory(config)
        self.issuer = Issuer(read_peppers(config), lambda: NOW)

    async def change(self, edit: Callable[[Directory], Edit]) -> None:
        await self.store.change(edit, Author("test", "cli"), int(NOW * 1e6))
        await self.app._directory.refresh()  # type: ignore[union-attr]

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


async def test_what_is_spent_is_what_the_rows_cost_and_nothing_stays_leased(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(5)))
    await world.begin(NANO)
    for _ in range(5):
        assert (await world.ask()).status == 200
    await world.end()
    assert world.windows() == [(5 * COST, 0)]
    assert world.held() == 0


async def test_requests_at_the_same_time_never_pass_it_and_use_all_of_it(tmp_path: Path) -> None:
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


async def test_a_refusal_says_what_is_left_and_what_would_fit(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(NANO // 100)
    response = await world.ask(64_000)
    assert (response.status, response.headers["x-should-retry"]) == (429, "false")
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    assert error["message"].startswith("The monthly budget 'small' ($0.01, renewed ")
    assert "has $0.01 left; this request may cost $0.97 (" in error["message"]
    fits = int(error["message"].split("max_tokens of at most ")[1].split(",  or")[0].split(", or")[0].replace(",", ""))
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


async def test_what_the_upstream_refused_costs_nothing_and_holds_nothing(tmp_path: Path) -> None:
    world = World(
        tmp_path, error_reply(400, {"error": {"type": "invalid_request_error", "message": "no"}}), message_reply()
    )
    await world.begin(NANO)
    assert (await world.ask()).status == 400
    assert (await world.ask()).status == 200
    await world.end()
    assert world.windows() == [(COST, 0)]
    assert world.held() == 0


async def test_a_top_up_counts_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(1)
    assert (await world.ask()).status == 429
    added = Adjustment(id="adj_a", budget="bud_a", kind="top_up", amount=NANO, created=int(NOW * 1e6))
    await world.change(lambda d: adjust(d, added))
    assert (await world.ask()).status == 200
    await world.end()


@by_surface(CALLING)
async def test_no_path_is_free(surface: Surface, tmp_path: Path) -> None:
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


#: What 2,000 tokens of output cost, and the prompt of ``ask`` at its bound.
ROOM = 2_000 * 15_000 + 400 * 3_750
#: The notices of ``ask``, which names the limit twice.
CLAMPED = "ignored=max_tokens, clamped=max_completion_tokens"


async def test_a_clamped_request_gets_the_tokens_that_are_left(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply(), message_reply())
    await world.begin(ROOM, on_short="clamp")
    response = await world.ask(64_000)
    assert (response.status, response.headers["x-modelmux-notices"]) == (200, CLAMPED)
    sent = world.upstream.body()["max_tokens"]
    assert 2_000 <= sent < 2_100
    native = {"model": MODEL, "max_tokens": 64_000, "messages": [{"role": "user", "content": "Hi"}]}
    response = await request(world.app, "POST", "/v1/messages", native, world.headers)
    assert (response.status, response.headers["x-modelmux-notices"]) == (200, "clamped=max_tokens")
    assert world.upstream.body() | {"max_tokens": 0} == {
        "messages": native["messages"], "max_tokens": 0, "anthropic_version": "vertex-2023-10-16"
    }  # fmt: skip
    await world.end()
    ((spent, leased),) = world.windows()
    assert (spent, leased, world.held()) == (2 * COST, 0, 0)


async def test_a_request_that_fits_is_not_clamped(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(NANO, on_short="clamp")
    response = await world.ask(64_000)
    assert (response.status, response.headers["x-modelmux-notices"]) == (200, "ignored=max_tokens")
    assert world.upstream.body()["max_tokens"] == 64_000
    await world.end()


@pytest.mark.parametrize(
    ("limit", "fields"),
    [
        (ROOM // 2, {}),  # fewer than 1,024
        (ROOM, {"reasoning_effort": "max", "model": "claude-haiku-4-5"}),  # fewer than it thinks
    ],
)
async def test_too_few_tokens_for_an_answer_are_refused(limit: int, fields: Any, tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin(limit, on_short="clamp")
    assert (await world.ask(64_000, **fields)).status == 429
    assert not world.upstream.calls
    await world.end()


async def test_strict_mode_and_a_budget_that_refuses_allow_no_clamping(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin(ROOM, on_short="clamp")
    headers = world.headers | {"x-modelmux-strict": "true"}
    refused = await request(world.app, "POST", PATH, ask(max_tokens=64_000), headers)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    other = Budget(id="bud_b", name="other", limit=ROOM, window=WindowRule(every="day"))
    await world.change(lambda d: save_budget(d, other))
    assert (await world.ask(64_000)).status == 429
    await world.end()


async def test_a_retry_of_a_clamped_request_starts_from_what_the_client_asked_for(tmp_path: Path) -> None:
    """The failed call cost nothing, so the second gets as much; there is one notice."""
    world = World(tmp_path, quota_exceeded(), message_reply())
    await world.begin(ROOM, on_short="clamp")
    response = await world.ask(64_000)
    assert (response.status, response.headers["x-modelmux-notices"]) == (200, CLAMPED)
    first, second = (world.upstream.body(index)["max_tokens"] for index in range(2))
    assert 2_000 <= first == second
    await world.end()
    assert world.windows() == [(COST, 0)]


async def test_requests_at_the_same_time_share_what_is_left(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(20)))
    await world.begin(ROOM, on_short="clamp")
    statuses = [one.status for one in await asyncio.gather(*(world.ask(64_000) for _ in range(20)))]
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 1
    await world.end()
    ((spent, leased),) = world.windows()
    assert (spent, leased, world.held()) == (statuses.count(200) * COST, 0, 0)
    assert spent <= ROOM


@pytest.mark.parametrize(
    ("unknown_price", "status", "spent"),
    [("refuse", 403, None), ("ledger_only", 200, 0), ("like:claude-sonnet-4-6", 200, COST)],
)
async def test_a_model_without_a_price_is_refused_or_counted_as_the_operator_says(
    unknown_price: str, status: int, spent: int | None, tmp_path: Path
) -> None:
    models = {"models": [{"name": "claude-next", "model": "claude-next"}]}
    world = World(tmp_path, message_reply(), vertex=models, unknown_price=unknown_price)
    await world.begin(NANO)
    response = await world.ask(model="claude-next")
    assert response.status == status
    if status == 403:
        assert response.json()["error"]["code"] == "price_unknown"
        assert "accounts.unknown_price" in response.json()["error"]["message"]
    await world.end()
    with closing(sqlite3.connect(world.path)) as connection:
        rows = connection.execute("SELECT cost_input + cost_output FROM ledger").fetchall()
    expected = {"refuse": 0, "ledger_only": None}.get(unknown_price, COST)
    assert rows == [(expected,)]
    assert sum(of[0] for of in world.windows()) == (spent or 0)
    assert world.held() == 0
