"""Risk: one question that reads for minutes makes the admin API and the dashboard unusable for all.

The clock of the ledger goes on a second with each look, so what is bounded is work: some ten thousand instructions of
SQLite for each second.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

from modelmux.admin.backend import QUERY_LIMIT
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.admin import Admin, organisation
from support.dashboard import Browser
from support.directories import NOW
from support.ledgers import entry

ROWS = 5_000
NOBODY = "min_cost=999999"
RECENT = f"{NOBODY}&key=key_own"


async def fill(admin: Admin) -> None:
    """Many rows of one key, and a ledger that is ended when it has read some of them."""
    await organisation(admin)
    rows = [entry(number, NOW - 1_000 * number, key="key_free") for number in range(ROWS)]
    await admin.ledger.append([*rows, entry(ROWS, NOW, key="key_own")])
    await admin.ledger.aclose()
    seconds = itertools.count()
    path: Path = admin.path
    admin.ledger = SqliteLedger(path, ("app",), query_limit=QUERY_LIMIT, clock=lambda: float(next(seconds)))
    admin.backend = replace(admin.backend, rows=admin.ledger)
    admin.app.dispatcher.backend = admin.backend


async def test_a48_a_question_that_takes_too_long_is_an_error_with_a_remedy(admin: Admin) -> None:
    await fill(admin)
    error = await admin.refused(503, "GET", "/requests", query=NOBODY)
    assert (error["code"], error["type"]) == ("query_timeout", "server_error")
    assert "longer than 2 seconds" in error["message"]
    assert "shorter period" in error["message"]
    response = await admin.call("GET", "/requests", query=NOBODY)
    assert response.headers["x-should-retry"] == "false", "the same again takes as long"


async def test_a_narrower_question_is_answered(admin: Admin) -> None:
    await fill(admin)
    await admin.refused(503, "GET", "/requests", query=NOBODY)
    assert (await admin.ok("GET", "/requests", query=RECENT))["data"] == []
    assert len((await admin.ok("GET", "/requests", query="key=key_own"))["data"]) == 1


async def test_to_verify_the_ledger_takes_as_long_as_it_takes(admin: Admin) -> None:
    await fill(admin)
    assert (await admin.ok("POST", "/ledger/verify", {}))["differences"] == []


async def test_the_page_says_so_above_its_filters(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await fill(browser.admin)
    await browser.sign_in()
    html = await browser.page(f"/dashboard/requests?{NOBODY}")
    assert 'role="alert"' in html
    assert "Narrow the range" in html
    assert 'value="999999"' in html, "the filters are there, to be narrowed"
    data = await browser.data(f"/dashboard/requests?{NOBODY}")
    assert (data["data"], data["has_more"]) == ([], False)
    assert "longer than 2 seconds" in data["filter_problem"]
    await browser.admin.aclose()
