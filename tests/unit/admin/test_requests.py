"""The explorer. Risk: a page leaves a row out while rows are added, shows rows of others, or reads without an end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.uuid7 import format_id
from modelmux.store.ledger import sqlite_entries
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.admin import PEPPER, Admin, organisation, text_of
from support.ledgers import DAY, START, correction, entry, id_at


async def append(admin: Admin, *rows: Entry) -> None:
    ledger = SqliteLedger(admin.path, ("app",))
    await ledger.append(rows)
    await ledger.aclose()


async def listed(admin: Admin, query: str = "", **options: Any) -> list[str]:
    return [one["id"] for one in (await admin.ok("GET", "/requests", query=query, **options))["data"]]


def of_organisation() -> dict[str, Entry]:
    return {
        "own": entry(1, key="key_own", team="team_top/team_own", person="usr_own"),
        "low": entry(2, key="key_low", team="team_top/team_own/team_low"),
        "other": entry(3, key="key_other", team="team_top/team_other", person="usr_other"),
        "static": entry(4, key="static_1"),
    }


async def test_the_newest_comes_first_and_no_row_is_left_out_while_rows_are_added(admin: Admin) -> None:
    rows = [entry(number, START + number * 1_000) for number in range(25)]
    await append(admin, *rows)
    seen: list[str] = []
    after, turns = "", 0
    while True:
        page = await admin.ok("GET", "/requests", query=f"limit=7&after={after}")
        seen += [one["id"] for one in page["data"]]
        await append(admin, entry(1_000 + turns, START + DAY))
        turns += 1
        if not page["has_more"]:
            assert page["next"] is None
            break
        after = page["next"]
    assert seen == [format_id(row.id) for row in reversed(rows)]
    assert turns == 4


async def test_a_page_reads_a_bounded_number_of_rows_and_says_that_there_are_more(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_entries, "MOST_READ", 20)
    monkeypatch.setattr(sqlite_entries, "_FIRST_STEP", 8)
    rows = [entry(number, START + number * 1_000, outcome="ok") for number in range(50)]
    await append(admin, replace(rows[0], outcome="drained"), *rows[1:])
    found: list[str] = []
    pages, after = 0, ""
    while True:
        page = await admin.ok("GET", "/requests", query=f"outcome=drained&after={after}")
        found += [one["id"] for one in page["data"]]
        pages += 1
        if not page["has_more"]:
            break
        assert page["data"] == [], "there was nothing in what was read, but there may be more"
        after = page["next"]
    assert (found, pages) == ([format_id(rows[0].id)], 3)


async def test_filters(admin: Admin) -> None:
    await organisation(admin)
    own = of_organisation()
    tagged = replace(own["own"], tags=(("app", "chat"),), cost=Cost(input=5 * 10**9), outcome="drained", model="m")
    rows = own | {"own": tagged, "later": entry(9, START + DAY, key="key_own", cost=None)}
    await append(admin, *rows.values())
    ids = {name: format_id(row.id) for name, row in rows.items()}
    for query, names in (
        ("key=own", ["later", "own"]), ("key=key_low,static_1", ["static", "low"]), ("team=own", ["low", "own"]),
        ("person=other@example.com", ["other"]), ("outcome=drained", ["own"]), ("model=m", ["own"]),
        ("min_cost=4.99", ["own"]), ("min_cost=5.000000001", []), ("tag=app=chat", ["own"]), ("tag=app=x", []),
        ("start=2026-10-21", ["later"]), ("end=2026-10-21", ["static", "other", "low", "own"]),
        ("start=2026-10-20T00:00:00Z&end=2026-10-20T00:00:00.000001Z&key=own", ["own"]),
    ):  # fmt: skip
        assert await listed(admin, query) == [ids[name] for name in names], query


async def test_roles_see_rows_of_their_scope(admin: Admin) -> None:
    await organisation(admin)
    rows = of_organisation()
    await append(admin, *rows.values())
    visible = {"owner": set(rows), "team_admin": {"own", "low"}, "member": {"own"}}
    for role, names in visible.items():
        assert set(await listed(admin, role=role)) == {format_id(rows[name].id) for name in names}
        for name, row in rows.items():
            response = await admin.call("GET", f"/requests/{format_id(row.id)}", role=role)
            assert response.status == (200 if name in names else 404), (role, name)
    await admin.refused(403, "GET", "/requests", role="viewer")
    await admin.refused(403, "GET", "/requests", role="auditor")


async def test_a_request_is_read_with_what_corrects_it(admin: Admin) -> None:
    row = entry(1)
    change = correction(row, 5)
    await append(admin, row, change)
    read = await admin.ok("GET", f"/requests/{format_id(row.id).upper()}")
    assert (read["id"], read["kind"], [one["id"] for one in read["corrections"]]) == (
        format_id(row.id), "usage", [format_id(change.id)],
    )  # fmt: skip
    for id in (format_id(id_at(START, 99)), "req_x", "req_' OR 1=1"):
        error = await admin.refused(404, "GET", f"/requests/{id}")
        assert error["code"] == "not_found"


@pytest.mark.parametrize(
    ("query", "param"),
    [("after=x", "after"), ("after=req_1", "after"), ("min_cost=1e5", "min_cost"), ("min_cost=", "min_cost"),
     ("start=now", "start"), ("key=", "key"), ("outcome=,", "outcome"),
     ("outcome=ok,timeout", "outcome"), ("tag=app", "tag"), ("limit=1001", "limit"), ("kind=usage", "kind")],
)  # fmt: skip
async def test_what_cannot_be_used_is_named(admin: Admin, query: str, param: str) -> None:
    assert (await admin.refused(400, "GET", "/requests", query=query))["param"] == param


async def test_s6_a_page_may_have_a_thousand_rows_and_none_has_a_secret(admin: Admin) -> None:
    await organisation(admin)
    made = await admin.ok("POST", "/keys", {"name": "canary"})
    await append(admin, *(entry(number, START + number, key=made["id"]) for number in range(1_200)))
    response = await admin.call("GET", "/requests", query="limit=1000")
    page = response.json()
    assert (len(page["data"]), page["has_more"]) == (1_000, True)
    digests = [one.digest.hex() for one in (await admin.directory()).all_secrets()]
    assert not [one for one in (made["secret"], PEPPER.decode(), *digests) if one in text_of(response)]
    assert page["data"][0]["key_name"] == "canary"


async def test_an_open_ledger_is_used_where_there_is_one(admin: Admin, tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "other.db")
    await ledger.append([entry(1)])
    admin.app.dispatcher.backend = dataclasses.replace(admin.backend, rows=ledger)
    assert len(await listed(admin)) == 1
    await ledger.aclose()
