"""The tiles of the overview. Risk: a time that nobody measured, or that a role may not see, or a wrong sum."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.edits import save_key
from modelmux.accounts.entry import Entry
from modelmux.accounts.records import Key
from modelmux.dashboard import overview
from modelmux.telemetry.counted import Counted
from modelmux.telemetry.quantiles import Latency, Quantile, Times
from support.admin import organisation
from support.dashboard import Browser, text_of
from support.directories import NOW
from support.ledgers import entry

HOUR = 3_600_000_000
MODEL = "claude-sonnet-4-6"
READ = TokenCounts(cache_read=1_000_000)
LATENCY = Latency(
    request=Times(
        count=1_234, p50=Quantile(seconds=2.25, more_than=False), p95=Quantile(seconds=600.0, more_than=True)
    ),
    first_content=Times(
        count=1_200, p50=Quantile(seconds=0.4, more_than=False), p95=Quantile(seconds=1.75, more_than=False)
    ),
)
PLACES = ("Duration", "First content after", "since the start of the processes", "Saved by the prompt cache")


async def used(browser: Browser, *rows: Entry) -> None:
    await organisation(browser.admin)
    await browser.admin.ledger.append(rows)  # type: ignore[attr-defined]
    await browser.sign_in()


def measure(browser: Browser, latency: Latency) -> None:
    browser.admin.counted = Counted(latency=latency)


async def test_it_shows_how_long_requests_took_since_the_start(browser: Browser) -> None:
    measure(browser, LATENCY)
    await browser.sign_in()
    text = text_of(await browser.page("/dashboard"))
    small = "requests since the start of the processes"
    assert f"Duration 2.2 s median; p95 more than 600 s. 1,234 {small}" in text
    assert f"First content after 400 ms median; p95 1.8 s. 1,200 {small}" in text
    assert (await browser.data("/dashboard"))["latency"]["request"]["p50"] == {"seconds": 2.25, "more_than": False}


async def test_what_was_not_measured_has_no_tile(browser: Browser) -> None:
    await used(browser)
    text = text_of(await browser.page("/dashboard"))
    assert not [place for place in PLACES if place in text]
    measure(browser, Latency(request=LATENCY.request))
    text = text_of(await browser.page("/dashboard"))
    assert ("Duration" in text, "First content after" in text) == (True, False)


@pytest.mark.parametrize("role", ["team_admin", "member"])
async def test_who_may_not_see_the_status_sees_no_times(browser: Browser, role: str) -> None:
    measure(browser, LATENCY)
    await organisation(browser.admin)
    response = await browser.get("/dashboard.json", authorization=f"Bearer token-{role}")
    assert response.json()["latency"] is None
    html = (await browser.get("/dashboard", authorization=f"Bearer token-{role}")).body.decode()
    assert "since the start of the processes" not in html


async def test_it_shows_what_the_cache_saved_in_a_day(browser: Browser) -> None:
    own = {"model": MODEL, "key": "key_own", "team": "team_top/team_own", "person": "usr_own"}
    cost = Cost(cache_read=300_000_000)
    await used(
        browser,
        entry(1, NOW - HOUR, counts=READ, cost=cost, **own),
        entry(2, NOW - 20 * HOUR, counts=READ, cost=cost),
        entry(3, NOW - 30 * HOUR, counts=READ, cost=cost),
    )
    text = text_of(await browser.page("/dashboard"))
    assert "Saved by the prompt cache $2.70 against plain input, less what writing to it cost" in text
    assert "of unknown price" in text, "the second row names no model"
    response = await browser.get("/dashboard.json", authorization="Bearer token-member")
    assert response.json()["cache_savings"]["saved"]["amount"] == "2.7"


async def test_requests_of_unknown_price_are_left_out_and_said(browser: Browser) -> None:
    await used(browser, *(entry(number, NOW - HOUR, model="unknown", counts=READ, cost=None) for number in (1, 2)))
    text = text_of(await browser.page("/dashboard"))
    assert "Saved by the prompt cache unknown price" in text
    assert "; without 2 requests of unknown price" in text


async def test_writes_that_were_not_read_are_a_loss(browser: Browser) -> None:
    write, cost = TokenCounts(cache_write=1_000_000), Cost(cache_write=3_750_000_000)
    await used(browser, entry(1, NOW - HOUR, model=MODEL, counts=write, cost=cost))
    assert "Saved by the prompt cache -$0.750" in text_of(await browser.page("/dashboard"))


async def attention(browser: Browser) -> list[str]:
    return [one["text"] for one in (await browser.data("/dashboard"))["attention"]]


@pytest.mark.parametrize(("pages", "first"), [(3, "Budget last: 100 % spent"), (2, "Only the first 4 budgets")])
async def test_a_spent_budget_is_told_of_behind_many_others(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, pages: int, first: str
) -> None:
    monkeypatch.setattr(overview, "_MOST", "2")
    monkeypatch.setattr(overview, "_PAGES", pages)
    await organisation(browser.admin)
    for name, limit in (("a", "5"), ("b", "5"), ("c", "5"), ("d", "5"), ("last", "1")):
        budget = {"applies_to": {"team": "team_top"}, "limit": limit, "name": name}
        id = (await browser.admin.ok("POST", "/budgets", budget))["id"]
    start = 1_793_491_200_000_000  # 2026-11-01 in UTC
    with contextlib.closing(sqlite3.connect(browser.admin.path)) as connection, connection:
        connection.execute("INSERT INTO budget_window VALUES (?, '', ?, ?, ?, 0)", (id, start, 10**9, 0))
    await browser.sign_in()
    assert (await attention(browser))[0].startswith(first)


async def test_keys_that_expired_long_ago_do_not_hide_one_that_expires_soon(browser: Browser) -> None:
    later = 40 * 24 * HOUR
    ends = {f"old{number:02}": -30 * 24 for number in range(20)}
    ends |= {"late": 6 * 24, "gone": -2, "soon": 5, **{f"past{number:02}": -24 - number for number in range(20)}}
    for name, hours in ends.items():
        key = Key(id=f"key_{name}", name=name, created=NOW, expires=NOW + later + hours * HOUR)
        await browser.admin.edit(lambda directory, key=key: save_key(directory, key))
    browser.admin.wrong_by = later
    await browser.sign_in()
    texts = await attention(browser)
    assert texts[:4] == [
        "Key soon expires today", "Key late expires in 5 days", "Key gone has expired", "Key past00 has expired"
    ]  # fmt: skip
    assert (len(texts), [one for one in texts if "old" in one]) == (12, [])
