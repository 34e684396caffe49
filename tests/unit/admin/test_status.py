"""Status, workers and prices over the admin API."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.leases import Ask
from modelmux.accounts.slices import WindowKey
from modelmux.admin.backend import WorkerState
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.telemetry.counted import Counted
from modelmux.telemetry.quantiles import Latency, Quantile, Times
from modelmux.version import __version__
from support.admin import Admin, organisation
from support.ledgers import START, entry


async def test_the_status_has_workers_and_the_ledger(admin: Admin) -> None:
    await organisation(admin)
    version = (await admin.directory()).version
    workers = [
        WorkerState(index=1, pid=11, started=1_000.5, in_flight=3, directory_version=version),
        WorkerState(index=2, pid=12, started=1_000.5, in_flight=4, directory_version=version - 1),
    ]
    admin.app.dispatcher.backend = dataclasses.replace(admin.backend, workers=lambda: workers)
    ledger = SqliteLedger(admin.path)
    await ledger.exchange("host:1:a", [entry(1)], {WindowKey("bud_a", "", 0): Ask(5, 5, 100)}, START)
    await ledger.aclose()
    journals = admin.path.with_name(f"{admin.path.name}-journals")
    journals.mkdir()
    (journals / "a.journal").write_bytes(b"")
    status = await admin.ok("GET", "/status")
    assert (status["version"], status["in_flight"], status["directory_version"]) == (__version__, 7, version)
    assert [one["is_current"] for one in status["workers"]] == [True, False]
    assert status["workers"][0]["started_at"] == "1970-01-01T00:16:40.500000Z"
    assert status["ledger"]["first_at"] == status["ledger"]["last_at"] == "2026-10-20T00:00:00Z"
    assert status["ledger"]["holders"] == [
        {"id": "host:1:a", "node": None, "seen_at": "2026-10-20T00:00:00Z", "windows": 1}
    ]
    assert status["ledger"]["nodes"] is None, "a file is that of one machine"
    assert status["ledger"]["journals"] == 1
    assert status["ledger"]["schema"] >= 4
    page = await admin.ok("GET", "/workers", query="limit=1", role="viewer")
    assert (page["data"][0]["pid"], page["has_more"], page["next"]) == (11, True, "0001")


async def test_the_status_has_how_long_requests_took(admin: Admin) -> None:
    assert (await admin.ok("GET", "/status"))["latency"] == {"request": None, "first_content": None}
    p50, p95 = Quantile(seconds=1.25, more_than=False), Quantile(seconds=600.0, more_than=True)
    latency = Latency(request=Times(count=20, p50=p50, p95=p95))
    admin.counted = Counted(latency=latency)
    shown = (await admin.ok("GET", "/status", role="viewer"))["latency"]
    assert shown == {
        "request": {
            "count": 20, "p50": {"seconds": 1.25, "more_than": False}, "p95": {"seconds": 600.0, "more_than": True}
        },
        "first_content": None,
    }  # fmt: skip


async def test_prices_are_those_of_the_catalog_and_the_operators_own(tmp_path: Path) -> None:
    own = {"claude-sonnet-4-6": {"input": "4", "regional_multiplier": "1.1"}}
    admin = Admin(tmp_path, {"prices": own})
    pages, after = [], ""
    while True:
        page = await admin.ok("GET", "/prices", query=f"limit=5&after={after}", role="member")
        pages += page["data"]
        if not page["has_more"]:
            break
        after = page["next"]
    assert len(pages) == len({one["id"] for one in pages}) > 10
    (one,) = (await admin.ok("GET", "/prices", query="model=claude-sonnet-4-6"))["data"]
    assert (one["own"], one["rates"]["input"], one["rates"]["output"]) == (True, "4", "20")
    assert (one["regional_multiplier"], one["valid_from"], one["source"]) == ("1.1", None, "accounts.prices")
    assert json.dumps(pages).count('"own": true') == 1
    await admin.aclose()


async def test_reports_say_that_there_are_prices_which_were_added(admin: Admin) -> None:
    assert (await admin.ok("GET", "/usage"))["prices"] == "list"
    await admin.ok("POST", "/prices", {"model": "claude-sonnet-4-6", "valid_from": "2027-01-01", "input": "2"})
    assert (await admin.ok("GET", "/usage"))["prices"] == "list_and_own"


async def test_prices_are_added_from_a_day_on_and_never_changed(admin: Admin) -> None:
    form = {"model": "claude-sonnet-4-6", "valid_from": "2027-01-01", "input": "2", "cache_read": "0.15"}
    added = await admin.ok("POST", "/prices", form)
    assert (added["id"], added["own"], added["valid_until"]) == ("claude-sonnet-4-6/2027-01-01", True, None)
    assert [added["rates"][name] for name in ("input", "output", "cache_read")] == ["2", "10", "0.15"]
    before, after = (await admin.ok("GET", "/prices", query="model=claude-sonnet-4-6"))["data"]
    if before["valid_from"] is not None:
        before, after = after, before
    assert (before["valid_until"], after) == ("2027-01-01", added)
    error = await admin.refused(409, "POST", "/prices", form | {"input": "3"})
    assert (error["code"], error["param"]) == ("taken", "valid_from")
    again = await admin.ok("POST", "/prices", form | {"valid_from": "2027-02-01"}, idempotency_key="a")
    assert await admin.ok("POST", "/prices", form | {"valid_from": "2027-02-01"}, idempotency_key="a") == again
    rows = [row for row in (await admin.store.audit()).rows if row.action == "price.add"]
    assert [row.subject for row in rows] == [again["id"], added["id"]]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"valid_from": "2027-02-30"}, "valid_from"),
        ({"valid_from": "1.2.2027"}, "valid_from"),
        ({"input": "-2"}, "input"),
        ({"input": 2.5}, "input"),
        ({"output": "1e2"}, "output"),
        ({"regional_multiplier": "a lot"}, "regional_multiplier"),
        ({"model": "a b"}, "model"),
        ({"model": "claude-*"}, "model"),
    ],
)
async def test_what_is_no_price_is_refused_with_its_field(admin: Admin, change: dict[str, Any], param: str) -> None:
    form = {"model": "claude-sonnet-4-6", "valid_from": "2027-01-01", "input": "2"} | change
    assert (await admin.refused(400, "POST", "/prices", form))["param"] == param
    assert not (await admin.directory()).prices
