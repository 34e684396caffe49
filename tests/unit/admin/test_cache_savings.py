"""Cache savings over the admin API. Risk: a role sees those of others, an unknown price is a saving of nothing."""

from __future__ import annotations

import pytest

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.admin import Admin, organisation
from support.ledgers import at, entry

DAY = "start=2026-11-10&end=2026-11-11"
MODEL = "claude-sonnet-4-6"
#: At the prices of the catalog: as plain input, a million costs 3 USD.
READ, COST = TokenCounts(cache_read=1_000_000), Cost(cache_read=300_000_000)


async def cached(admin: Admin) -> None:
    await organisation(admin)
    ledger, when = SqliteLedger(admin.path, ("app",)), at("2026-11-10T12:30Z")
    own = {"key": "key_own", "team": "team_top/team_own", "person": "usr_own"}
    other = {"key": "key_other", "team": "team_top/team_other", "person": "usr_other"}
    write = TokenCounts(cache_write=1_000_000)
    await ledger.append([
        entry(1, when, model=MODEL, counts=READ, cost=COST, **own),
        entry(2, when, model=MODEL, counts=write, cost=Cost(cache_write=3_750_000_000), **other),
        entry(3, when, model="unknown", counts=READ, cost=None, **other),
        entry(4, at("2026-11-11T00:00Z"), model=MODEL, counts=READ, cost=COST, **own),
    ])  # fmt: skip
    await ledger.aclose()


async def test_reads_save_writes_cost_and_unknown_prices_are_left_out(admin: Admin) -> None:
    await cached(admin)
    assert await admin.ok("GET", "/usage/cache-savings", query=DAY) == {
        "start": "2026-11-10T00:00:00Z", "end": "2026-11-11T00:00:00Z",
        "saved": {"amount": "1.95", "currency": "USD"}, "unpriced": 1,
        "models": [
            {"model": MODEL, "saved": {"amount": "1.95", "currency": "USD"}, "unpriced": 0},
            {"model": "unknown", "saved": None, "unpriced": 1},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("role", "query", "amount"),
    [
        ("viewer", "", "1.95"), ("team_admin", "", "2.7"), ("member", "", "2.7"), ("owner", "key=other", "-0.75"),
        ("owner", "team=own", "2.7"), ("owner", "model=nothing", "0"),
    ],
)  # fmt: skip
async def test_they_are_those_of_the_scope_and_the_filters(admin: Admin, role: str, query: str, amount: str) -> None:
    await cached(admin)
    found = await admin.ok("GET", "/usage/cache-savings", role=role, query=f"{DAY}&{query}")
    assert found["saved"]["amount"] == amount


async def test_what_is_not_known_is_null(admin: Admin) -> None:
    await cached(admin)
    found = await admin.ok("GET", "/usage/cache-savings", query=f"{DAY}&model=unknown")
    assert (found["saved"], found["unpriced"]) == (None, 1)


async def test_others_are_as_unknown_as_any(admin: Admin) -> None:
    await cached(admin)
    await admin.refused(400, "GET", "/usage/cache-savings", role="member", query="key=key_other")
    await admin.refused(400, "GET", "/usage/cache-savings", role="viewer", query="key=key_other")
    await admin.refused(403, "GET", "/usage/cache-savings", role="auditor")
    error = await admin.refused(400, "GET", "/usage/cache-savings", query="bucket=1h")
    assert error["param"] == "bucket"


async def test_prices_that_were_added_count_from_their_day_on(admin: Admin) -> None:
    await cached(admin)
    form = {"model": MODEL, "valid_from": "2026-11-11", "input": "6", "cache_read": "0.3"}
    await admin.ok("POST", "/prices", form)
    before = await admin.ok("GET", "/usage/cache-savings", query=DAY)
    after = await admin.ok("GET", "/usage/cache-savings", query="start=2026-11-11&end=2026-11-12")
    assert (before["saved"]["amount"], after["saved"]["amount"]) == ("1.95", "5.7")
