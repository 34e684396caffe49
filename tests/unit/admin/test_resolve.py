"""Rows in doubt over the API. Risk: a role decides that may not, or a repetition decides twice."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.roles import ROLES
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import format_id
from support.admin import Admin, organisation
from support.ledgers import entry

REASON = {"reason": "the invoice has it"}


async def in_doubt(admin: Admin, number: int = 1, budget: str = "bud_x") -> Entry:
    row = entry(
        number, kind="in_doubt", model="m", key="key_own", team="team_top/team_own", person="usr_own",
        cost=Cost(output=2 * 10**9), debits=((WindowKey(budget, "", 0), 2 * 10**9),),
    )  # fmt: skip
    await admin.ledger.append([row, entry(number + 100)])
    return row


async def test_a_cost_is_stated_and_listed_no_more(admin: Admin) -> None:
    budget = await admin.ok("POST", "/budgets", {"limit": "50", "window": "lifetime"})
    row = await in_doubt(admin, budget=budget["id"])
    id = format_id(row.id)
    assert [one["id"] for one in (await admin.ok("GET", "/requests", query="in_doubt=true"))["data"]] == [id]
    answer = await admin.ok("POST", f"/requests/{id}/resolve", {"cost": "0.25", **REASON}, role="admin")
    (made,) = answer["corrections"]
    assert (made["kind"], made["corrects"], made["cost"]["amount"]) == ("resolve", id, "-1.75")
    assert made["budgets"][0]["amount"] == "-1.75"
    assert (await admin.ok("GET", "/requests", query="in_doubt=true"))["data"] == []
    assert await admin.ok("GET", f"/requests/{id}") == answer
    assert await admin.ok("POST", f"/requests/{id}/resolve", {"cost": "0.25", **REASON}) == answer
    void = await admin.ok("POST", f"/requests/{id}/resolve", {"void": True, **REASON})
    assert [one["cost"]["amount"] for one in void["corrections"]] == ["-1.75", "-0.25"]
    log = (await admin.ok("GET", "/audit", query=f"subject={id}"))["data"]
    assert [(one["author"], one["action"]) for one in log] == [("owner", "ledger.resolve"), ("admin", "ledger.resolve")]


async def test_a_repetition_decides_once(admin: Admin) -> None:
    row = await in_doubt(admin)
    path = f"/requests/{format_id(row.id)}/resolve"
    await admin.ok("POST", path, {"cost": "1", **REASON}, idempotency_key="one")
    await admin.ok("POST", path, {"cost": "1.5", **REASON})
    again = await admin.ok("POST", path, {"cost": "1", **REASON}, idempotency_key="one")
    assert len(again["corrections"]) == 2
    error = await admin.refused(409, "POST", path, {"cost": "2", **REASON}, idempotency_key="one")
    assert error["code"] == "idempotency_key_reused"


async def test_only_owners_and_admins_decide(admin: Admin) -> None:
    await organisation(admin)
    path = f"/requests/{format_id((await in_doubt(admin)).id)}/resolve"
    for role in ROLES:
        if role not in ("owner", "admin"):
            await admin.refused(403, "POST", path, {"void": True, **REASON}, role=role)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"cost": "1"}, 400, "reason"), (REASON, 400, "cost"), ({"cost": "1", "void": True, **REASON}, 400, "cost"),
        ({"cost": "-1", **REASON}, 400, "cost"), ({"cost": "1e5", **REASON}, 400, "cost"),
        ({"cost": "1", "reason": ""}, 400, "reason"),
        ({"cost": {"amount": "1", "currency": "EUR"}, **REASON}, 400, "cost.currency"),
    ],
)  # fmt: skip
async def test_what_cannot_be_used_is_named(admin: Admin, body: dict[str, Any], status: int, param: str) -> None:
    path = f"/requests/{format_id((await in_doubt(admin)).id)}/resolve"
    assert (await admin.refused(status, "POST", path, body))["param"] == param


async def test_a_row_that_is_not_in_doubt(admin: Admin) -> None:
    await in_doubt(admin)
    error = await admin.refused(409, "POST", f"/requests/{format_id(entry(101).id)}/resolve", {"void": True, **REASON})
    assert error["code"] == "not_in_doubt"
    for id in ("x", format_id(bytes(16))):
        await admin.refused(404, "POST", f"/requests/{id}/resolve", {"void": True, **REASON})
