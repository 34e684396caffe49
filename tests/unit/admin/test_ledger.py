"""Rows for exports. Risk: a page leaves one out, shows rows of others, or a row that has changed on its way."""

from __future__ import annotations

from msgspec.structs import replace

from modelmux.accounts.entry_json import entry_of
from modelmux.accounts.uuid7 import format_id
from support.admin import Admin, organisation
from support.ledgers import START, correction, entry, full_entry


async def test_every_row_once_the_oldest_first(admin: Admin) -> None:
    rows = [full_entry(number, START + number) for number in range(120)]
    rows += [correction(rows[3], 1)]
    await admin.ledger.append(rows)
    found, after = [], ""
    while True:
        page = await admin.ok("GET", "/ledger", query=f"limit=50&after={after}")
        found += page["data"]
        if not page["has_more"]:
            break
        after = page["next"]
    assert [one["id"] for one in found] == sorted(format_id(row.id) for row in rows)
    stored = {row.id: row for row in await admin.ledger.by_id([row.id for row in rows])}
    for one in found:
        row = entry_of(one)
        known = stored[row.id]
        assert (row.counts, row.cost, row.tags, row.debits) == (known.counts, known.cost, known.tags, known.debits)
    assert page["tags"] == ["app"]


async def test_roles_see_rows_of_their_scope(admin: Admin) -> None:
    await organisation(admin)
    own = entry(1, key="key_own", team="team_top/team_own", person="usr_own")
    other = entry(2, key="key_other", team="team_top/team_other", person="usr_other")
    await admin.ledger.append([own, other, replace(own, id=entry(3).id, key="static_1", person=None, team="")])
    for role, count in (("owner", 3), ("admin", 3), ("team_admin", 1), ("member", 1)):
        assert len((await admin.ok("GET", "/ledger", role=role))["data"]) == count
    for role in ("viewer", "auditor"):
        await admin.refused(403, "GET", "/ledger", role=role)
    assert [one["key"] for one in (await admin.ok("GET", "/ledger", query="key=own"))["data"]] == ["key_own"]
    assert (await admin.refused(400, "GET", "/ledger", query="in_doubt=true"))["param"] == "in_doubt"
