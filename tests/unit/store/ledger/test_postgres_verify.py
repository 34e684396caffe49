"""Sums of many keys in PostgreSQL are verified and repaired. Risk: a process holds those of a month in memory, or what
is next to the end of a day, a month or a table is never compared."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.ledger import postgres_days, postgres_ledger, postgres_sealed, postgres_verify
from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.postgres import thread
from support.ledgers import DAY, QUARTER, START, TAGS, entry, id_at, random_entries
from support.postgres import execute

#: 2026-10-01 00:00 UTC, and the last quarter of an hour of that month.
FIRST, LAST = START - 19 * DAY, START + 12 * DAY - QUARTER
MOST = 5
#: Groups of which slices are added at once, and what is in memory at once: their slices, days, or partitions.
GROUPS = 3
#: The days of a month are a value, too.
BOUND = 31
UNITS = ("quarter", "hour", "day", "month")
TABLES = (
    *(f"{kind}_{unit}" for kind in ("usage", "group") for unit in UNITS),
    "slice_quarter",
    "slice_hour",
    "slice_day",
)


@pytest.fixture
async def ledger(postgres_url: str) -> AsyncIterator[PostgresLedger]:
    one = PostgresLedger(parse_postgres_url(postgres_url), TAGS)
    yield one
    await one.aclose()


class Counting:
    """A session that counts the rows that each statement returns, and the values that it is given."""

    def __init__(self, session: Any, most: list[int]) -> None:
        self._session, self._most = session, most

    async def execute(self, sql: str, *values: Any) -> Any:
        self._count(values)
        return await self._session.execute(sql, *values)

    async def fetch(self, sql: str, *values: Any) -> Any:
        self._count(values)
        rows = await self._session.fetch(sql, *values)
        self._most.append(len(rows))
        return rows

    async def fetchrow(self, sql: str, *values: Any) -> Any:
        return await self._session.fetchrow(sql, *values)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        return await self._session.fetchval(sql, *values)

    def _count(self, values: tuple[Any, ...]) -> None:
        self._most += [len(value) for value in values if isinstance(value, list)]


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows, or values, each statement had at once."""
    counts: list[int] = []
    ending = thread.ending

    @contextlib.asynccontextmanager
    async def counting(connection: Any) -> AsyncIterator[Any]:
        async with ending(connection) as session:
            yield Counting(session, counts)

    monkeypatch.setattr(thread, "ending", counting)
    monkeypatch.setattr(postgres_ledger, "MOST_DIFFERENCES", MOST)
    return counts


def of_many(count: int) -> list[Entry]:
    """Of as many keys and teams, on two days of one month."""
    return [
        entry(number, START + number % 2 * DAY + number % 96 * QUARTER, key=f"key_{number}", team=f"team_{number}")
        for number in range(count)
    ]


@pytest.mark.parametrize("is_sealed", [False, True])
async def test_no_more_sums_are_in_memory_than_are_told(
    ledger: PostgresLedger, postgres_url: str, most: list[int], is_sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_sealed, "GROUPS_AT_ONCE", GROUPS)
    await ledger.append(of_many(120))
    if is_sealed:
        assert await ledger.seal_days(START + 2 * DAY) == 2
    most.clear()
    assert await ledger.verify() == []
    assert most
    assert max(most) <= BOUND
    tables = [table for table in TABLES if execute(postgres_url, f"SELECT 1 FROM {table} LIMIT 1")]
    assert len(tables) == (11 if is_sealed else 6)
    for table in tables:
        execute(postgres_url, f"UPDATE {table} SET requests = requests + 1")
    if is_sealed:
        execute(postgres_url, "DELETE FROM ledger_slice WHERE kind = 'team'")
    assert len(await ledger.verify()) == MOST
    assert len(await ledger.verify(repair=True)) == MOST
    assert max(most) <= BOUND
    assert await ledger.verify() == []
    assert {row[0] for row in execute(postgres_url, f"SELECT sum(requests) FROM {tables[0]}")} == {120}


@pytest.mark.parametrize("table", TABLES)
async def test_what_differs_at_the_ends_of_a_table_is_told_and_repaired(
    ledger: PostgresLedger, postgres_url: str, table: str
) -> None:
    """The first and the last series of the first and the last quarter of a month: changed, gone, or one too many."""
    await ledger.append([entry(number, when, key=f"key_{number % 3}") for number, when in enumerate([FIRST, LAST] * 3)])
    assert await ledger.seal_days(LAST + DAY) == 2
    right = execute(postgres_url, f"SELECT * FROM {table} ORDER BY slot, series")
    spare = {"usage": "700", "group": "700", "slice": "(SELECT max(number) FROM ledger_slice)"}[table.split("_")[0]]
    if table.startswith("slice"):
        execute(postgres_url, "INSERT INTO ledger_slice (digest, kind, value) VALUES ('', 'team', 'none')")
    for order in ("ASC", "DESC"):
        one = f"(slot, series) = (SELECT slot, series FROM {table} ORDER BY slot {order}, series {order} LIMIT 1)"
        for damage, change in (
            (f"UPDATE {table} SET requests = requests + 3 WHERE {one}", 3),
            (f"DELETE FROM {table} WHERE {one}", None),
            (f"INSERT INTO {table} SELECT slot, {spare}, {', '.join(SUMS)} FROM {table} WHERE {one}", None),
        ):
            execute(postgres_url, damage)
            requests = [one for one in await ledger.verify() if one.what.endswith(" requests")]
            # Sums of a month are compared with those that are stored of its days.
            assert len(requests) == 1 + (table in ("usage_day", "group_day"))
            assert change is None or requests[0].stored - requests[0].recomputed == change
            assert await ledger.verify(repair=True)
            assert execute(postgres_url, f"SELECT * FROM {table} ORDER BY slot, series") == right
    assert await ledger.verify() == []


@pytest.mark.parametrize("table", ["usage_month", "group_month"])
@pytest.mark.parametrize("count", [9, 10])
async def test_what_differs_next_to_the_end_of_a_part_of_a_month_is_told_and_repaired(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch, table: str, count: int
) -> None:
    """Each of the series or groups of a month, of which three are compared at once."""
    monkeypatch.setattr(postgres_verify, "MONTHS_AT_ONCE", 3)
    await ledger.append(of_many(count))
    right = execute(postgres_url, f"SELECT * FROM {table} ORDER BY slot, series")
    numbers = [row[0] for row in execute(postgres_url, f"SELECT series FROM {table} ORDER BY series")]
    assert len(numbers) == count
    for number in numbers:
        for damage in (
            f"UPDATE {table} SET requests = requests + 3 WHERE series = {number}",
            f"DELETE FROM {table} WHERE series = {number}",
            f"UPDATE {table} SET series = series + 1000 WHERE series = {number}",
        ):
            execute(postgres_url, damage)
            requests = [one for one in await ledger.verify() if one.what.endswith(" requests")]
            assert len(requests) == (2 if "1000" in damage else 1)
            assert await ledger.verify(repair=True)
            assert execute(postgres_url, f"SELECT * FROM {table} ORDER BY slot, series") == right
    execute(postgres_url, f"DELETE FROM {table}")
    assert await ledger.verify(repair=True)
    assert execute(postgres_url, f"SELECT * FROM {table} ORDER BY slot, series") == right
    assert await ledger.verify() == []


@pytest.mark.parametrize("table", ["usage_month", "group_month"])
@pytest.mark.parametrize("condition", ["true", "series > 2", "series % 4 > 0"])
async def test_a_month_that_is_lost_is_made_a_part_at_a_time(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch, table: str, condition: str
) -> None:
    """However many of its sums are gone: those of its days are bounded, too."""
    monkeypatch.setattr(postgres_verify, "MONTHS_AT_ONCE", 3)
    await ledger.append(of_many(20))
    right = execute(postgres_url, f"SELECT * FROM {table} ORDER BY slot, series")
    execute(postgres_url, f"DELETE FROM {table} WHERE {condition}")
    (month,) = await ledger._verifying(postgres_days.months)
    parts = [one async for one in postgres_verify.parts(ledger._verifying, month) if one.table == table]
    assert [one.after for one in parts[1:]] == [one.last for one in parts[:-1]]
    assert (parts[0].after, parts[-1].last) == (-(2**63), 2**63 - 1)
    days = table.replace("month", "day")
    for part in parts:
        within = f"series > {part.after} AND series <= {part.last}"
        for counted in execute(postgres_url, f"SELECT count(*) FROM {days} WHERE {within} GROUP BY slot"):
            assert counted[0] <= 3
    assert await ledger.verify(repair=True)
    assert execute(postgres_url, f"SELECT * FROM {table} ORDER BY slot, series") == right


@pytest.mark.parametrize("is_sealed", [False, True])
async def test_both_engines_tell_the_same(
    ledger: PostgresLedger, postgres_url: str, tmp_path: Path, is_sealed: bool
) -> None:
    """Of rows without a price, that correct others, that are displaced, and whose tags are too many."""
    other = SqliteLedger(tmp_path / "accounts.db", TAGS)
    rows = [*random_entries(11, 80), entry(999, START + 2 * DAY, id=id_at(START + 40 * DAY, 999), cost=Cost(input=3))]
    for one in (ledger, other):
        await one.append(rows)
        if is_sealed:
            await one.seal_days(START + 50 * DAY)
    for table in TABLES:
        damage = f"UPDATE {table} SET cost_output = cost_output + 5 WHERE slot = (SELECT max(slot) FROM {table})"
        execute(postgres_url, damage)
        with contextlib.closing(sqlite3.connect(tmp_path / "accounts.db")) as connection, connection:
            connection.execute(damage)
    told: list[list[Difference]] = [await one.verify() for one in (ledger, other)]
    told[1] = [one for one in told[1] if "block of costs" not in one.what]  # sums that only SQLite has
    await other.aclose()
    assert len(told[0]) >= (len(TABLES) if is_sealed else 6)
    assert sorted(told[0], key=str) == sorted(told[1], key=str)
