"""The most expensive keys and people, also by other dimensions, from blocks of days. Risk: a late row, a correction, an
edge of a zone or a person with several keys counts twice or not at all, a block is used that lacks rows, or sums of
each key are read again."""

from __future__ import annotations

import random
import sqlite3
import tracemalloc
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.usage_query import Group, UsageQuery
from modelmux.store.base import StoreFailed
from modelmux.store.ledger import cost_blocks, most_expensive, sqlite_ranks, sqlite_series, sqlite_verify
from modelmux.store.ledger.cost_blocks import Addend, Block, Costs, Packed
from modelmux.store.ledger.slots import first_day, month_of
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.ledgers import DAY, HOUR, QUARTER, START, TAGS, correction, entry, id_at

FIRST = START // DAY
ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata")
SPAN = 75 * DAY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accounts.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(path, TAGS)
    yield ledger
    await ledger.aclose()


def execute(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def some_rows(seed: int, count: int) -> list[Entry]:
    """Of a few months. Keys change their person and team; some cost nothing, and corrections take some back."""
    dice, rows = random.Random(seed), list[Entry]()
    for number in range(count):
        when = START + (dice.randrange(SPAN) if dice.random() < 0.7 else dice.randrange(3 * DAY))
        cost = dice.choice([Cost(), None, Cost(input=dice.randrange(9)), Cost(output=dice.randrange(1 << 36))])
        one = entry(
            number, when, key=dice.choice("abcdefg"), person=dice.choice([None, "ann", "bob", "eve"]),
            team=dice.choice(["", "top", "top/data", "other"]), model=dice.choice(["opus", None]), cost=cost,
            tags=dice.choice([(), (("app", "chat"),), (("app", "code"), ("env", "prod"))]),
        )  # fmt: skip
        if rows and dice.random() < 0.4:
            target = dice.choice(rows)
            taken = replace(Cost(), input=-(target.cost or Cost()).total)
            kind = dice.choice(["rerate", "resolve", "void"])
            one = correction(target, number, kind=kind, cost=dice.choice([taken, Cost(input=number)]))
            one = replace(one, id=id_at(one.at + dice.choice([0, 9 * DAY]), 1 << 32 | number), corrects=target.id)
        rows.append(one)
    return rows


def value_of(row: Entry, name: str) -> str | None:
    if name.startswith("tag:"):
        return dict(row.tags).get(name.removeprefix("tag:"))
    return getattr(row, name) or None


def is_of(row: Entry, name: str, values: tuple[str, ...]) -> bool:
    if name == "team":
        return any(f"/{one}/" in f"/{row.team}/" for one in values)
    return (value_of(row, name) or "") in values


def slow_answer(rows: list[Entry], query: UsageQuery, top: int) -> tuple[list[Group], int]:
    """The groups that cost most, and how many others there are: from the rows alone."""
    costs: defaultdict[Group, int] = defaultdict(int)
    for row in rows:
        if query.start <= row.at < query.end and all(is_of(row, *condition) for condition in query.where):
            costs[tuple(value_of(row, name) for name in query.group_by)] += row.cost.total if row.cost else 0
    order = sorted(costs, key=lambda group: (-costs[group], [value or "" for value in group]))
    return order[:top], max(0, len(costs) - top)


async def fast_answer(ledger: SqliteLedger, query: UsageQuery, top: int) -> tuple[list[Group], int]:
    rows = await ledger.usage(replace(query, top=top))
    shown = {row.group: row.cost.total for row in rows if not row.others}
    others = max((row.others for row in rows), default=0)
    return sorted(shown, key=lambda group: (-shown[group], [value or "" for value in group])), others


GROUPS = (
    ("key",), ("key",), ("person",), ("person",), ("key", "model"), ("team", "person"), ("model", "key", "team"),
    ("person", "key"), ("key", "team", "person", "model"), ("key", "tag:app"), ("tag:env", "person", "tag:app"),
)  # fmt: skip
WHERE = (
    (), (), (("team", ("top",)),), (("team", ("data", "other")),), (("model", ("opus",)),),
    (("tag:app", ("chat", "none")),), (("team", ("top",)), ("model", ("opus", "haiku"))), (("model", ("none",)),),
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
async def test_the_most_expensive_are_those_of_the_rows(
    ledger: SqliteLedger, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_series, "SIZE", (7, 20, 4_096)[seed])
    dice, rows, written = random.Random(seed), some_rows(seed, 300), list[Entry]()
    while rows:
        size = dice.randrange(1, 120)
        some, rows = rows[:size], rows[size:]
        await ledger.append(some)
        written += some
        if dice.random() < 0.8:
            await ledger.seal_days(START + dice.randrange(SPAN + 10 * DAY))
        for _ in range(12):
            start = START + dice.randrange(SPAN // QUARTER) * QUARTER
            end = start + dice.choice([QUARTER, 5 * HOUR, DAY, 11 * DAY, 30 * DAY, 80 * DAY])
            if dice.random() < 0.5:
                start, end = start // DAY * DAY, end // DAY * DAY + dice.choice([0, 7 * HOUR])
            query = UsageQuery(
                start=start,
                end=end,
                zone=dice.choice(ZONES),
                group_by=dice.choice(GROUPS),
                where=dice.choice(WHERE),
            )
            top = dice.choice([1, 2, 3, 100])
            assert await fast_answer(ledger, query, top) == slow_answer(written, query, top), query
    assert await ledger.verify() == []


async def test_parts_of_thirds_of_months_are_those_of_the_rows(ledger: SqliteLedger) -> None:
    first = first_day(month_of(FIRST) + 1) * DAY
    rows = [
        entry(number, first + number % 60 * DAY // 2 + HOUR, key=f"key_{number % 7}", cost=Cost(input=3**number % 101))
        for number in range(240)
    ]
    await ledger.append(rows)
    await ledger.seal_days(first + 70 * DAY)
    late = [entry(1_000 + number, first + number * DAY, key="late", cost=Cost(input=-50)) for number in (1, 12, 28)]
    await ledger.append(late)
    for start in range(14):
        for days in range(3, 17):
            query = UsageQuery(start=first + start * DAY, end=first + (start + days) * DAY, group_by=("key",))
            assert await fast_answer(ledger, query, 3) == slow_answer([*rows, *late], query, 3), (start, days)


@pytest.mark.parametrize("names", [("key",), ("person",), ("key", "model"), ("person", "tag:app")])
async def test_what_is_in_blocks_is_not_read_of_each_key(
    ledger: SqliteLedger, path: Path, names: tuple[str, ...]
) -> None:
    await ledger.append(some_rows(1, 200))
    await ledger.seal_days(START + 2 * SPAN)
    query = UsageQuery(start=START, end=START + 60 * DAY, group_by=names, top=2)
    bounds = [query.start, query.end]

    async def rank() -> Any:
        return await ledger._read(lambda connection: sqlite_ranks.rank(connection, query, bounds, bounds[1] // DAY))

    before = await rank()
    assert len(before.groups) == 2
    for table in ("usage_day", "usage_month", "usage_hour", "usage_quarter"):
        execute(path, f"DELETE FROM {table}")
    assert await rank() == before
    days = [days for (days,) in execute(path, "SELECT days FROM cost_block WHERE days > 1 ORDER BY first, days")]
    assert days[:6] == [31, 92, 10, 11, 10, 30]  # October, the quarter, two thirds, the first of November, and November


async def test_a_late_row_counts_at_once_and_is_in_the_next_blocks(ledger: SqliteLedger, path: Path) -> None:
    await ledger.append([entry(1, key="a"), entry(2, START + 3 * DAY, key="b")])
    await ledger.seal_days(START + SPAN)
    query = UsageQuery(start=START, end=START + 50 * DAY, group_by=("key",))
    late = [
        entry(3, key="c", cost=Cost(input=1 << 40)),
        entry(4, START + DAY, key="d", cost=Cost(input=1 << 41)),  # a day that had no block
    ]
    await ledger.append([*late, late[0]])
    expected = ([("d",), ("c",)], 2)
    assert execute(path, "SELECT count(*) FROM cost_late") == [(2,)]
    assert await fast_answer(ledger, query, 2) == expected
    assert await ledger.verify() == []
    assert await ledger.seal_days(START + SPAN) == 0
    assert execute(path, "SELECT count(*) FROM cost_late") == [(0,)]
    assert await fast_answer(ledger, query, 2) == expected
    assert await ledger.verify() == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE cost_block SET costs = zeroblob(length(costs)) WHERE days = 1",
        "UPDATE cost_block SET costs = zeroblob(length(costs)) WHERE days > 1",
        "UPDATE cost_block SET present = x'ff'",
        "UPDATE cost_block SET costs = zeroblob(length(costs) + 3)",
        "UPDATE cost_block SET series = x'00', costs = x'0000'",
        "DELETE FROM cost_block WHERE days = 1",
        "INSERT INTO cost_late VALUES (20746, 1, 5)",
    ],
)
async def test_verify_repairs_blocks(ledger: SqliteLedger, path: Path, damage: str) -> None:
    rows = some_rows(2, 150)
    await ledger.append(rows)
    await ledger.seal_days(START + 2 * SPAN)
    assert execute(path, "SELECT DISTINCT length(series) > 0 FROM cost_block ORDER BY 1") == [(0,), (1,)]
    query = UsageQuery(start=START, end=START + 71 * DAY, group_by=("person",))
    execute(path, damage)
    assert await ledger.verify()
    assert await ledger.verify(repair=True)
    assert await ledger.verify() == []
    assert await fast_answer(ledger, query, 3) == slow_answer(rows, query, 3)
    await ledger.seal_days(START + 2 * SPAN)
    assert await ledger.verify() == []
    assert await fast_answer(ledger, query, 3) == slow_answer(rows, query, 3)


async def test_memory_of_verify_does_not_grow_with_the_days_of_a_month(ledger: SqliteLedger, path: Path) -> None:
    """Sums of 100,000 keys by day are gigabytes in Python."""
    month = month_of(FIRST) + 1
    start = first_day(month) * DAY
    rows = [entry(day * 300 + key, start + day * DAY, key=f"k{key}") for day in range(28) for key in range(300)]
    peaks = []
    for some in (rows[:600], rows[600:]):
        await ledger.append(some)
        await ledger.seal_days(start + 40 * DAY)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            tracemalloc.start()
            assert sqlite_verify.differences(connection, sqlite_verify.of_month(connection, month)) == []
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.parametrize("damage", ["series = x'ffffffff'", "present = x'ffff'"])
async def test_a_block_of_series_that_there_are_not_is_told_of(ledger: SqliteLedger, path: Path, damage: str) -> None:
    await ledger.append([entry(1, START + DAY, key="k", cost=Cost(input=7))])
    await ledger.seal_days(START + 2 * DAY)
    execute(path, f"UPDATE cost_block SET {damage}")
    query = UsageQuery(start=START, end=START + 2 * DAY, group_by=("key",), top=1)
    with pytest.raises(StoreFailed, match="usage verify --repair"):
        await ledger.usage(query)
    assert await ledger.verify(repair=True)
    assert [row.cost.total for row in await ledger.usage(query)] == [7]


@pytest.mark.parametrize(
    ("damage", "is_told"),
    [
        ("UPDATE series_block SET keys = zeroblob(4)", True),
        ("DELETE FROM series_block WHERE first = 0", True),
        ("UPDATE series_block SET people = zeroblob(12)", False),
        ("UPDATE series_block SET groups = zeroblob(12) WHERE first = 3", False),
    ],
)
async def test_what_series_are_of_is_repaired(
    ledger: SqliteLedger, path: Path, damage: str, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_series, "SIZE", 3)
    rows = some_rows(2, 150)
    await ledger.append(rows)
    await ledger.seal_days(START + 2 * SPAN)
    assert execute(path, "SELECT count(*) > 9 FROM series_block") == [(1,)]
    query = UsageQuery(start=START, end=START + 71 * DAY, group_by=("key", "team"))
    execute(path, damage)
    if is_told:
        with pytest.raises(StoreFailed, match="usage verify --repair"):
            await fast_answer(ledger, query, 3)
    assert [one.what for one in await ledger.verify() if "of series" in one.what]
    assert await ledger.verify(repair=True)
    assert await ledger.verify() == []
    for names in GROUPS:
        query = replace(query, group_by=names)
        assert await fast_answer(ledger, query, 3) == slow_answer(rows, query, 3)


async def test_a_key_that_there_is_not_is_told_of(
    ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_series, "SIZE", 1)
    monkeypatch.setattr(most_expensive, "_FEW_SUMS", 0)  # else numbers are no indexes
    await ledger.append([entry(cost, START + DAY, key=f"k{cost}", cost=Cost(input=cost)) for cost in (7, 3)])
    await ledger.seal_days(START + 2 * DAY)
    execute(path, "UPDATE series_block SET keys = x'ffffffff' WHERE first = 1")
    query = UsageQuery(start=START, end=START + 2 * DAY, group_by=("key",), top=1)
    with pytest.raises(StoreFailed, match="usage verify --repair"):
        await ledger.usage(query)
    assert await ledger.verify(repair=True)
    assert [row.cost.total for row in await ledger.usage(query)] == [7, 3]


async def test_a_damaged_block_is_told_of(ledger: SqliteLedger, path: Path) -> None:
    await ledger.append([entry(1, START + DAY, key="k", person="ann", cost=Cost(input=7))])
    await ledger.seal_days(START + 2 * DAY)
    execute(path, "UPDATE cost_block SET costs = x'00'")
    with pytest.raises(StoreFailed, match="usage verify --repair"):
        await ledger.usage(UsageQuery(start=START, end=START + 2 * DAY, group_by=("key",), top=1))
    (difference,) = await ledger.verify()
    assert difference.what == "2026-10-21 block of costs key=k person=ann"
    assert (difference.stored, difference.recomputed) == (0, 7)


async def test_a_ledger_of_before_gets_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with blocks of keys with their person and team, as they were before."""
    path, rows = tmp_path / "before.db", some_rows(3, 300)
    ledger = SqliteLedger(path, TAGS)
    await ledger.append(rows)
    await ledger.seal_days(START + 60 * DAY)
    await ledger.aclose()
    for table in ("cost_block", "cost_late", "series_block"):
        execute(path, f"DROP TABLE {table}")
    execute(path, "ALTER TABLE ledger_sealed DROP COLUMN blocks_before")
    execute(path, "DELETE FROM migrations WHERE name LIKE '0009%' OR name LIKE '0010%'")
    migrated = SqliteLedger(path, TAGS)
    query = UsageQuery(start=START, end=START + SPAN, group_by=("person",))
    assert await fast_answer(migrated, query, 2) == slow_answer(rows, query, 2)
    assert await migrated.seal_days(START + 60 * DAY) == 0
    await migrated.append(more := [replace(one, id=one.id[:-1] + b"\xff") for one in some_rows(4, 40)])
    for name in ("key", "person"):
        query = replace(query, group_by=(name,))
        assert await fast_answer(migrated, query, 2) == slow_answer([*rows, *more], query, 2)
    assert await migrated.verify() == []
    await migrated.aclose()


@given(
    st.dictionaries(st.integers(0, 5000), st.integers(-(1 << 61), 1 << 61)),
    st.dictionaries(st.integers(0, 99), st.just(-5)),
)
@settings(max_examples=50)
def test_packed_costs_are_those_of_before(some: dict[int, int], others: dict[int, int]) -> None:
    packed = cost_blocks.pack(some)
    assert not cost_blocks.is_damaged(packed)
    assert cost_blocks.unpack(packed) == some
    costs = Costs(5000, [Addend(packed), Addend(packed)])
    costs.rows += others.items()
    assert costs.by_series() == {
        series: 2 * some.get(series, 0) + others.get(series, 0) for series in some.keys() | others.keys()
    }
    assert cost_blocks.is_damaged(Packed(b"\0", packed.costs, b""))


@given(st.integers(0, 40_000), st.integers(0, 800), st.sets(st.integers(0, 820), max_size=60))
@settings(max_examples=100)
def test_blocks_of_days_have_each_of_them_once(first: int, count: int, gaps: set[int]) -> None:
    days = range(first, first + count)
    known = {Block(day, 1) for day in range(first - 40, first + count + 40) if day - first not in gaps}
    known |= {block for one in list(known) for block in cost_blocks.longer(one.first)}
    blocks, others = cost_blocks.chosen(days, known)
    covered = [day for one in (*(range(block.first, block.end) for block in blocks), *others) for day in one]
    assert sorted(covered) == list(days)
    assert set(blocks) <= known
    assert len(blocks) <= count // 28 + 1 + 2 * 12 + 2 * len(gaps)


def test_a_period_without_an_end_takes_no_longer_than_its_blocks() -> None:
    days = range(-(10**12), 10**12)
    blocks, others = cost_blocks.chosen(days, [Block(0, 1), Block(0, 10), Block(1, 1), Block(12, 1)])
    assert blocks == [Block(0, 10), Block(12, 1)]
    assert others == [range(days.start, 0), range(10, 12), range(13, days.stop)]


@given(st.integers(0, 40_000))
def test_longer_blocks_are_thirds_of_months_months_and_quarters_of_years(day: int) -> None:
    third, month, quarter = cost_blocks.longer(day)
    assert month == (first_day(month_of(day)), first_day(month_of(day) + 1) - first_day(month_of(day)))
    assert third.first <= day < third.end
    assert third.first - month.first in (0, 10, 20)
    assert third.days == 10 or third.end == month.end
    assert quarter.first <= month.first < month.end <= quarter.end
    assert month_of(quarter.first) % 3 == 0
    assert month_of(quarter.end) == month_of(quarter.first) + 3
    assert quarter.end == first_day(month_of(quarter.end))


def test_blocks_are_made_of_days_that_are_over() -> None:
    november = first_day(month_of(FIRST) + 1)
    days = [Block(november, 1), Block(november + 12, 1)]
    assert cost_blocks.missing(days, november + 9) is None
    first = cost_blocks.missing(days, november + 30)
    assert first == Block(november, 10)
    second = cost_blocks.missing([*days, first], november + 30)
    assert second == Block(november + 10, 10)
    assert cost_blocks.missing([*days, first, second], november + 30) == Block(november, 30)
    assert cost_blocks.missing([*days, first, second], november + 29) is None
    month, quarter = Block(november, 30), Block(first_day(month_of(november) - 1), 92)
    assert cost_blocks.missing([*days, first, second, month], quarter.end - 1) is None
    assert cost_blocks.missing([*days, first, second, month], quarter.end) == quarter
