"""Sums are verified while the ledger changes. Risk: the sums of rows that retention drops meanwhile become 0 for
good, and one day that cannot be verified keeps all others from it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.ledger import postgres_ledger, postgres_verify
from modelmux.store.ledger.base import FIRST, Difference
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.postgres.session import limit
from support import postgres
from support.ledgers import DAY, START, TAGS, entry

Execute = Callable[[str], list[Any]]
TABLES = tuple(f"{kind}_{unit}" for kind in ("usage", "group") for unit in ("quarter", "hour", "day", "month"))
#: Of three days of one month, the first two are dropped.
HORIZON = START + 2 * DAY


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def open_ledger(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], SqliteLedger | PostgresLedger]:
    if engine == "sqlite":
        return partial(SqliteLedger, tmp_path / "accounts.db", TAGS)
    return partial(PostgresLedger, parse_postgres_url(request.getfixturevalue("postgres_url")), TAGS)


@pytest.fixture
async def ledger(open_ledger: Callable[[], SqliteLedger | PostgresLedger]) -> AsyncIterator[Any]:
    one = open_ledger()
    yield one
    await one.aclose()


@pytest.fixture
async def other(open_ledger: Callable[[], SqliteLedger | PostgresLedger]) -> AsyncIterator[Any]:
    """Of another process."""
    one = open_ledger()
    yield one
    await one.aclose()


@pytest.fixture
def execute(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Execute:
    if engine == "postgres":
        return partial(postgres.execute, request.getfixturevalue("postgres_url"))

    def run(sql: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(tmp_path / "accounts.db")) as connection, connection:
            return connection.execute(sql).fetchall()

    return run


async def fill(ledger: Any, *, is_sealed: bool) -> None:
    await ledger.prepare_days(START)
    await ledger.append([entry(number, START + number % 3 * DAY, key=f"key_{number % 5}") for number in range(30)])
    if is_sealed:
        assert await ledger.seal_days(HORIZON + DAY) == 3


def sums(execute: Execute) -> list[Any]:
    return [sorted(map(tuple, execute(f"SELECT * FROM {table}"))) for table in TABLES]


def before_first(function: Callable[..., Awaitable[Any]], step: Callable[[], Awaitable[Any]]) -> Callable[..., Any]:
    """A function before whose first call something is done."""
    steps = [step]

    async def call(*values: Any, **named: Any) -> Any:
        if steps:
            await steps.pop()()
        return await function(*values, **named)

    return call


@pytest.mark.parametrize("is_sealed", [False, True])
async def test_days_that_are_dropped_after_they_were_listed_keep_their_sums(
    ledger: Any, other: Any, execute: Execute, monkeypatch: pytest.MonkeyPatch, is_sealed: bool
) -> None:
    await fill(ledger, is_sealed=is_sealed)
    before = sums(execute)
    monkeypatch.setattr(ledger, "_verify", before_first(ledger._verify, partial(other.drop_before, HORIZON)))
    assert await ledger.verify(repair=True) == []
    assert sums(execute) == before
    assert [row[0] for row in execute("SELECT count(*) FROM ledger")] == [10], "they were dropped"
    assert await ledger.verify(repair=True) == []


@pytest.mark.parametrize("is_sealed", [False, True])
async def test_days_that_are_dropped_after_a_difference_was_found_keep_their_sums(
    ledger: Any, other: Any, execute: Execute, monkeypatch: pytest.MonkeyPatch, is_sealed: bool
) -> None:
    await fill(ledger, is_sealed=is_sealed)
    execute("UPDATE usage_quarter SET requests = requests + 1 WHERE slot = (SELECT min(slot) FROM usage_quarter)")
    before = sums(execute)
    step = partial(other.drop_before, HORIZON)
    if isinstance(ledger, PostgresLedger):
        monkeypatch.setattr(ledger, "_repairing", before_first(ledger._repairing, step))
    else:
        monkeypatch.setattr(ledger._writer, "run", before_first(ledger._writer.run, step))
    assert await ledger.verify(repair=True) == []
    assert sums(execute) == before
    assert [row[0] for row in execute("SELECT count(*) FROM ledger")] == [10], "they were dropped"


@pytest.mark.parametrize("engine", ["postgres"])
async def test_a_partition_that_is_dropped_within_the_comparison_is_no_difference(
    ledger: Any, other: Any, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition is gone for a transaction of before, too."""
    await fill(ledger, is_sealed=False)
    before = sums(execute)
    day = postgres_verify._day
    steps = [partial(other.drop_before, HORIZON)]

    async def values(*arguments: Any) -> Any:
        result = await day(*arguments)
        if steps:
            await steps.pop()()
        return result

    monkeypatch.setattr(postgres_verify, "_day", values)
    assert (await ledger.verify_some(FIRST, 1)).differences == []
    assert not steps
    assert sums(execute) == before


async def test_sums_of_a_month_are_those_of_its_days_however_many_are_dropped(ledger: Any, execute: Execute) -> None:
    await fill(ledger, is_sealed=True)
    before = sums(execute)
    await ledger.drop_before(HORIZON)
    execute("UPDATE usage_month SET requests = requests + 7")
    execute("DELETE FROM group_month")
    assert await ledger.verify(repair=True)
    assert sums(execute) == before


async def test_a_part_whose_time_is_over_ends_with_the_day_that_is_done(ledger: Any) -> None:
    await fill(ledger, is_sealed=False)
    places = []
    after: int | None = FIRST
    while after is not None:
        after = (await ledger.verify_some(after, 2**31, is_over=lambda: True)).next
        places.append(after)
    whole = await ledger.verify_some(FIRST, 2**31)
    assert whole.next is None
    assert {START // DAY, START // DAY + 1, START // DAY + 2} <= set(places)
    assert len(places) == len(set(places))


@pytest.mark.parametrize(
    ("table", "slot"),
    [("usage_month", 10**6), ("usage_month", 96_359), ("group_month", -(10**6)), ("usage_month", 10**12),
     ("usage_day", 3 * 10**6), ("group_day", 10**9), ("usage_quarter", 3 * 10**8), ("usage_quarter", 10**12)],
)  # fmt: skip
async def test_a_slot_in_no_year_that_there_can_be_is_told_and_repaired(
    ledger: Any, execute: Execute, table: str, slot: int
) -> None:
    await fill(ledger, is_sealed=False)
    before = sums(execute)
    execute(f"INSERT INTO {table} SELECT {slot}, series, {', '.join(SUMS)} FROM {table} WHERE series = 1 LIMIT 1")
    assert any(f"slot {slot} of {table} " in one.what or "9999-12" in one.what for one in await ledger.verify())
    assert await ledger.verify(repair=True)
    assert sums(execute) == before
    assert await ledger.verify() == []


# One of many fails. SQLite has no bound in time.


def damage(execute: Execute, after: int = 0) -> None:
    """:param after: days since 1970."""
    execute(f"UPDATE usage_quarter SET requests = requests + 1 WHERE slot / 96 > {after}")


def refuse(execute: Execute, table: str, condition: str, action: str) -> None:
    """Writes of some sums of a table fail."""
    execute(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN {action}; END IF; "
        "RETURN NEW; END $$"
    )
    execute(f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")


def wrong_days(found: list[Difference]) -> set[str]:
    return {one.what[:10] for one in found}


@pytest.mark.parametrize("engine", ["postgres"])
@pytest.mark.parametrize(("code", "message"), [("57014", "SET work_mem"), ("53400", "because")])
async def test_a_day_that_cannot_be_repaired_keeps_no_other_from_it(
    ledger: Any, execute: Execute, code: str, message: str
) -> None:
    """Its statement takes too long, or too much room."""
    await fill(ledger, is_sealed=False)
    damage(execute)
    first = START // DAY
    refuse(execute, "usage_quarter", f"NEW.slot / 96 = {first}", f"RAISE 'because' USING ERRCODE = '{code}'")
    with pytest.raises(StoreFailed, match=rf"the sums of 2026-10-20: .*{message}") as caught:
        await ledger.verify_some(FIRST, 2**31, Author("ann", "cli"), 7)
    assert "written anew within 20 s" in str(caught.value) or code != "57014"
    assert wrong_days(await ledger.verify()) == {"2026-10-20"}
    damage(execute, after=first)
    with pytest.raises(StoreFailed, match="the sums of 2026-10-20"):
        await ledger.verify(repair=True)
    assert wrong_days(await ledger.verify()) == {"2026-10-20"}
    execute("DROP TRIGGER refuse ON usage_quarter")
    assert await ledger.verify(repair=True)
    assert await ledger.verify() == []


@pytest.mark.parametrize("engine", ["postgres"])
async def test_a_part_of_a_month_that_cannot_be_repaired_keeps_no_other_from_it(
    ledger: Any, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_verify, "MONTHS_AT_ONCE", 2)
    await fill(ledger, is_sealed=False)
    execute("UPDATE usage_month SET requests = requests + 1")
    refuse(execute, "usage_month", "NEW.series = 1", "RAISE 'because' USING ERRCODE = '57014'")
    with pytest.raises(StoreFailed, match="the sums of 2026-10: "):
        await ledger.verify(repair=True)
    left = {one.what.split()[1] for one in await ledger.verify()}
    assert 1 <= len(left) <= 2, "series of one part"


@pytest.mark.parametrize("engine", ["postgres"])
async def test_a_database_that_fails_as_a_whole_is_not_asked_for_each_day(ledger: Any, execute: Execute) -> None:
    await fill(ledger, is_sealed=False)
    damage(execute)
    first = START // DAY
    refuse(execute, "usage_quarter", f"NEW.slot / 96 = {first}", "RAISE 'because' USING ERRCODE = '53100'")
    with pytest.raises(StoreFailed, match="full disk"):
        await ledger.verify(repair=True)
    assert len(wrong_days(await ledger.verify())) == 3


@pytest.mark.parametrize("engine", ["postgres"])
async def test_no_row_waits_for_a_repair_for_longer_than_its_bound(
    ledger: Any, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_ledger, "REPAIR_TIMEOUT", 0.3)
    await fill(ledger, is_sealed=True)
    execute("UPDATE slice_day SET requests = requests + 1")  # written by the last of several statements
    refuse(execute, "slice_day", "true", "PERFORM pg_sleep(100)")
    with pytest.raises(StoreFailed, match=r"written anew within 0\.3 s"):
        await ledger.verify(repair=True)
    await ledger.append([entry(99, HORIZON + DAY)])


@pytest.mark.parametrize("engine", ["postgres"])
async def test_all_statements_of_a_repair_have_its_bound_together(
    ledger: Any, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_ledger, "REPAIR_TIMEOUT", 9_000.0)
    await fill(ledger, is_sealed=True)
    execute("UPDATE slice_day SET requests = requests + 1")  # written by the last of several statements
    limit_now = "(SELECT setting FROM pg_settings WHERE name = 'statement_timeout')"
    refuse(execute, "slice_day", "true", f"RAISE 'it has % ms', {limit_now}")
    with pytest.raises(StoreFailed) as caught:
        await ledger.verify(repair=True)
    has = re.search(r"it has (\d+) ms", str(caught.value))
    assert has is not None
    assert 10_000 < int(has[1]) < 9_000_000


@pytest.mark.parametrize("engine", ["postgres"])
async def test_a_day_that_takes_too_long_to_compare_keeps_no_other_from_it(
    ledger: Any, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(ledger, is_sealed=False)
    damage(execute)
    differences = postgres_verify.differences

    async def some(session: Any, part: postgres_verify.Part, most: int) -> list[Difference]:
        if part.slot == START // DAY:
            await limit(session, 0.1)
            await session.execute("SELECT pg_sleep(100)")
        return await differences(session, part, most)

    monkeypatch.setattr(postgres_verify, "differences", some)
    with pytest.raises(StoreFailed, match=r"the sums of 2026-10-20: .*compared within 600 s"):
        await ledger.verify(repair=True)
    monkeypatch.undo()
    assert wrong_days(await ledger.verify()) == {"2026-10-20"}
