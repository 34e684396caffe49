"""Checks and corrections of the ledger over the API. Risk: a call that takes minutes, a part that is left out, or a
role that may not.
"""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.cost import Cost
from modelmux.accounts.roles import ROLES
from modelmux.accounts.slices import WindowKey
from support.admin import Admin
from support.ledgers import DAY, START, entry


async def parts(admin: Admin, path: str, body: dict[str, Any]) -> list[Any]:
    answers, after = [], None
    while True:
        answers.append(await admin.ok("POST", path, {**body, "after": after}))
        after = answers[-1]["next"]
        assert (after is not None) == answers[-1]["has_more"]
        if after is None:
            return answers


async def test_sums_are_verified_a_week_at_a_time(admin: Admin) -> None:
    await admin.ledger.append([entry(number, START + number * DAY) for number in range(30)])
    answers = await parts(admin, "/ledger/verify", {})
    assert len(answers) >= 4
    assert not [one for answer in answers for one in answer["differences"]]
    with sqlite3.connect(admin.path) as connection:
        connection.execute("UPDATE usage_day SET output = output + 1")
        connection.execute("UPDATE usage_month SET output = output + 2")
    connection.close()
    found = [one for answer in await parts(admin, "/ledger/verify", {}) for one in answer["differences"]]
    assert len(found) >= 30
    repaired = await parts(admin, "/ledger/verify", {"repair": True})
    assert repaired[0]["repaired"]
    assert not [one for answer in await parts(admin, "/ledger/verify", {}) for one in answer["differences"]]
    log = (await admin.ok("GET", "/audit"))["data"]
    assert {(one["action"], one["author"]) for one in log} == {("ledger.repair", "owner")}


async def test_a_call_begins_no_other_day_after_twenty_seconds(admin: Admin) -> None:
    """Each look at the clock is eight seconds after the one before: one at the begin, and one after each day."""
    await admin.ledger.append([entry(number, START + number * DAY) for number in range(30)])
    with sqlite3.connect(admin.path) as connection:
        connection.execute("UPDATE usage_quarter SET output = output + 1")
    connection.close()
    usual = await parts(admin, "/ledger/verify", {})
    seconds = itertools.count(step=8)
    admin.backend = dataclasses.replace(admin.backend, clock=lambda: float(next(seconds)))
    admin.app.dispatcher.backend = admin.backend
    answers = await parts(admin, "/ledger/verify", {})
    days = [{one["what"][:10] for one in answer["differences"]} for answer in answers]
    assert max(map(len, days)) == 3
    assert len(answers) > 2 * len(usual)
    assert [one for answer in answers for one in answer["differences"]] == [
        one for answer in usual for one in answer["differences"]
    ]


async def test_costs_are_rated_anew_with_prices_that_were_added(admin: Admin) -> None:
    budget = await admin.ok("POST", "/budgets", {"limit": "50", "window": "lifetime"})
    window = WindowKey(budget["id"], "", -(2**62))
    fields = {"model": "claude-sonnet-5", "location": "global", "deployment": "d"}
    rows = [replace(entry(number, START + number, **fields), debits=((window, 100),)) for number in range(3)]
    await admin.ledger.append([*rows, entry(9, START, model="claude-next", cost=None)])
    (dry,) = await parts(admin, "/ledger/rerate", {"dry_run": True})
    assert await admin.ledger.corrections([row.id for row in rows]) == []
    (done,) = await parts(admin, "/ledger/rerate", {})
    assert done == dry
    assert (done["requests"], done["unpriced"], done["models"][0]["model"]) == (
        3,
        {"claude-next": 1},
        "claude-sonnet-5",
    )
    made = await admin.ledger.corrections([row.id for row in rows])
    costs = [(row.cost or Cost()).total + (one.cost or Cost()).total for row, one in zip(rows, made, strict=True)]
    (spent, _) = (await admin.ledger.windows([window]))[window]
    assert spent == sum(costs), "the budget follows"
    (again,) = await parts(admin, "/ledger/rerate", {})
    assert again["requests"] == 0
    log = (await admin.ok("GET", "/audit"))["data"]
    assert [one["action"] for one in log] == ["ledger.rerate", "budget.create"]
    assert log[0]["after"]["ledger"]["claude-sonnet-5"]["requests"] == 3


@pytest.mark.parametrize("path", ["/ledger/verify", "/ledger/rerate"])
async def test_only_owners_and_admins(admin: Admin, path: str) -> None:
    for role in ROLES:
        response = await admin.call("POST", path, {}, role)
        assert response.status == (200 if role in ("owner", "admin") else 403)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [("/ledger/verify", {"after": "x"}, "after"), ("/ledger/rerate", {"after": "x"}, "after"),
     ("/ledger/rerate", {"since": "soon"}, "since")],
)  # fmt: skip
async def test_what_cannot_be_used_is_named(admin: Admin, path: str, body: dict[str, Any], param: str) -> None:
    assert (await admin.refused(400, "POST", path, body))["param"] == param
