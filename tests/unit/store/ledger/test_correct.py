"""Corrections that are decided under the lock. Risk: two decisions count twice, a sum or a window does not follow, or
nobody can see who decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.cost import Cost
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_team
from modelmux.accounts.entry import Entry
from modelmux.accounts.fields import FieldError
from modelmux.accounts.records import Team
from modelmux.accounts.resolve import resolve
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usage_query import UsageQuery
from modelmux.accounts.uuid7 import format_id
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.directory.base import Author, DirectoryStore
from modelmux.store.directory.postgres_directory import PostgresDirectory
from modelmux.store.directory.receipts import Once, OtherRequest
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from modelmux.store.keyed_mark import KeyedMark
from modelmux.store.ledger.base import EntryQuery, Ledger
from modelmux.store.ledger.in_doubt import rows_in_doubt
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.directories import NOW, budget, directory_of
from support.ledgers import DAY, START, entry, id_at

WINDOW = WindowKey("bud_a", "", START)
BUDGETS = directory_of(budget("bud_a"))
ANN = Author("ann", "cli")


def doubt(number: int = 1, **fields: Any) -> Entry:
    return entry(number, kind="in_doubt", model="opus", cost=Cost(output=1_000), debits=((WINDOW, 1_000),), **fields)


async def decided(ledger: Ledger, id: bytes, cost: int | None, once: Once | None = None) -> Any:
    def decide(row: Entry, corrections: Sequence[Entry]) -> Entry | None:
        return resolve(BUDGETS, row, corrections, cost, "it was so")

    return await ledger.correct(id, decide, ANN, NOW, once)


class Stores:
    """Opens stores of one database."""

    def __init__(self, path: Path, url: str | None) -> None:
        self._path = path
        self._url = None if url is None else parse_postgres_url(url)

    def ledger(self) -> Ledger:
        return SqliteLedger(self._path) if self._url is None else PostgresLedger(self._url)

    def directory(self) -> DirectoryStore:
        if self._url is None:
            return SqliteDirectory(self._path)
        return PostgresDirectory(self._url, KeyedMark(self._path))


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return Stores(tmp_path / "accounts.db", url)


@pytest.fixture
async def ledger(stores: Stores) -> AsyncIterator[Ledger]:
    one = stores.ledger()
    yield one
    await one.aclose()


async def cost_of(ledger: Ledger) -> int:
    rows = await ledger.usage(UsageQuery(start=START, end=START + DAY))
    return sum(row.cost.total for row in rows)


async def test_usage_and_windows_follow_and_the_sums_are_right(ledger: Ledger) -> None:
    row = doubt()
    await ledger.append([row])
    assert (await cost_of(ledger), await ledger.windows([WINDOW])) == (1_000, {WINDOW: (1_000, 0)})
    found, corrections = await decided(ledger, row.id, 250)
    assert (found.id, [one.kind for one in corrections]) == (row.id, ["resolve"])
    assert (await cost_of(ledger), await ledger.windows([WINDOW])) == (250, {WINDOW: (250, 0)})
    assert await decided(ledger, row.id, 250) == (found, corrections), "again: nothing to do"
    await decided(ledger, row.id, None)
    assert (await cost_of(ledger), await ledger.windows([WINDOW])) == (0, {WINDOW: (0, 0)})
    assert await ledger.verify() == []
    assert await ledger.by_id([row.id]) == [row], "the row itself is never changed"
    assert await decided(ledger, id_at(START, 99), 1) is None


async def test_decisions_of_many_at_once_are_one(ledger: Ledger, stores: Stores) -> None:
    row, other = doubt(), stores.ledger()
    await ledger.append([row])
    await asyncio.gather(*(decided(one, row.id, 250) for one in (ledger, other) for _ in range(5)))
    assert len(await ledger.corrections([row.id])) == 1
    assert await ledger.windows([WINDOW]) == {WINDOW: (250, 0)}
    await other.aclose()


async def test_who_decided_is_in_the_log_and_the_directory_stays(ledger: Ledger, stores: Stores) -> None:
    store = stores.directory()
    known, _ = await store.change(lambda d: save_team(d, Team(id="team_a", name="a")), ANN, NOW)
    row = doubt()
    await ledger.append([row])
    _, (made,) = await decided(ledger, row.id, 250)
    await decided(ledger, row.id, 250)
    audit = (await store.audit()).rows[0]
    assert (audit.action, audit.subject, audit.author) == ("ledger.resolve", format_id(row.id), ANN)
    assert audit.before == {format_id(row.id): {"cost": "0.000001", "budgets": {"bud_a": 1_000}}}
    assert audit.after == {format_id(row.id): {
        "cost": "0.00000025", "budgets": {"bud_a": 250}, "correction": format_id(made.id), "reason": "it was so",
    }}  # fmt: skip
    assert len((await store.audit()).rows) == 2, "what changed nothing leaves no row"
    after = await store.read(known)
    assert (after.version, after.teams) == (known.version, known.teams)
    assert after.teams is known.teams, "and is not read anew"
    assert await store.read(after) is after
    await store.aclose()


async def test_a_request_that_is_repeated_decides_once(ledger: Ledger) -> None:
    def once(fingerprint: bytes) -> Once:
        def repeat(_: Directory, receipt: Any) -> Edit:
            raise AssertionError(receipt)

        return Once("ann\none", fingerprint, repeat)

    row = doubt()
    await ledger.append([row])
    await decided(ledger, row.id, 250, once(b"1"))
    await decided(ledger, row.id, 400)
    _, corrections = await decided(ledger, row.id, 250, once(b"1"))
    assert len(corrections) == 2, "a decision that came later stays"
    assert await cost_of(ledger) == 400
    with pytest.raises(OtherRequest):
        await decided(ledger, row.id, 250, once(b"2"))


async def test_what_cannot_be_decided_writes_nothing(ledger: Ledger) -> None:
    row = entry(2)
    await ledger.append([row])
    with pytest.raises(FieldError, match="not in doubt"):
        await decided(ledger, row.id, 1)
    assert await ledger.corrections([row.id]) == []
    await ledger.append([entry(3)])
    assert await ledger.verify() == []


async def test_rows_in_doubt_are_those_nothing_was_decided_for(ledger: Ledger) -> None:
    rows = [doubt(number) for number in range(1, 6)]
    await ledger.append([*rows, *(entry(number) for number in range(10, 20))])
    await decided(ledger, rows[1].id, 250)
    await ledger.append([replace(rows[2], id=id_at(START, 77), kind="void", corrects=rows[2].id)])
    found, query = [], EntryQuery(newest_first=True, limit=2)
    while True:
        page = await rows_in_doubt(ledger, query)
        found += page.entries
        if page.next is None:
            break
        query = replace(query, after=page.next)
    assert [one.id for one in found] == [rows[index].id for index in (4, 3, 0)]
    kinds = await ledger.entries(EntryQuery(where=(("kind", ("resolve", "void")),)))
    assert {one.kind for one in kinds.entries} == {"resolve", "void"}
    with pytest.raises(ValueError, match=r"kind: expected some of usage, .* got 'x'"):
        await ledger.entries(EntryQuery(where=(("kind", ("usage", "x")),)))
