"""Which days and months are verified in PostgreSQL. Risk: to find them reads whole tables, or a day is left out whose
sums were lost, or that is next to a gap, to midnight or to the end of a partition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.ledger import postgres_days, postgres_partitions
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.verify_sections import MONTHS
from modelmux.store.postgres.session import Session
from support.ledgers import DAY, QUARTER, START, TAGS, entry, id_at
from support.postgres import execute

FIRST = START // DAY
SUMS = ("usage_quarter", "usage_day", "usage_month", "group_quarter", "group_day", "group_month")
#: Entries of tables and of indexes that statements of this transaction have read.
READ = (
    "SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
)


@pytest.fixture
async def ledger(postgres_url: str) -> AsyncIterator[PostgresLedger]:
    one = PostgresLedger(parse_postgres_url(postgres_url), TAGS)
    yield one
    await one.aclose()


async def days(ledger: PostgresLedger) -> list[int]:
    return await postgres_days.days(ledger._verifying)


async def months(ledger: PostgresLedger) -> list[int]:
    return [month - MONTHS for month in await ledger._verifying(postgres_days.months)]


class Reading:
    """Runs transactions of a ledger. :ivar entries: of tables and indexes, so many were read."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self._ledger, self.entries = ledger, 0

    async def __call__(self, work: Callable[[Session], Awaitable[Any]]) -> Any:
        async def counted(session: Session) -> Any:
            before = await session.fetchval(READ)  # also those of transactions whose numbers are not collected yet
            result = await work(session)
            self.entries += await session.fetchval(READ) - before
            return result

        return await self._ledger._verifying(counted)


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_to_find_days_and_months_costs_look_ups_of_each_and_not_of_its_rows(
    ledger: PostgresLedger, postgres_url: str, is_analyzed: bool
) -> None:
    """33,000 rows of 300 keys, some of them displaced, on nine days."""
    for day in (START, START + 5 * DAY):
        await ledger.prepare_days(day)
    rows = [entry(one, START + one % 9 * DAY + one * 20_000_000, key=f"key_{one % 300}") for one in range(3_000)]
    rows += [entry(5_000 + one, START + 5 * QUARTER, id=id_at(START + 3 * DAY, one)) for one in range(300)]
    await ledger.append(rows)
    columns = [row[0] for row in execute(postgres_url, "SELECT attname FROM pg_attribute WHERE attnum > 0 AND "
                                                       "attrelid = 'ledger'::regclass")]  # fmt: skip
    copied = ", ".join("set_byte(id, 8, number)" if name == "id" else name for name in columns)
    execute(
        postgres_url,
        f"INSERT INTO ledger ({', '.join(columns)}) SELECT {copied} FROM ledger, generate_series(1, 9) AS number",
    )
    if is_analyzed:
        execute(postgres_url, "ANALYZE")
    reading = Reading(ledger)
    every = await postgres_days.days(reading)
    months = await reading(postgres_days.months)
    assert every == list(range(FIRST, FIRST + 9))
    assert months == [MONTHS + 12 * 56 + 9]
    assert reading.entries <= 40 * len(every)


async def test_each_day_and_month_that_has_sums_or_rows_is_found(ledger: PostgresLedger, postgres_url: str) -> None:
    """Whatever else of it is gone."""
    instants = [START - 1, START, START + DAY - 1, START + 3 * DAY, START + 40 * DAY, START + 400 * DAY]
    expected = sorted({instant // DAY for instant in instants})
    await ledger.prepare_days(START)
    await ledger.append([entry(number, instant) for number, instant in enumerate(instants)])
    assert await days(ledger) == expected
    every = await months(ledger)
    assert every == [681, 682, 694]
    for kept in (*SUMS, "ledger"):
        for table in (*SUMS, "ledger"):
            execute(postgres_url, f"CREATE TABLE IF NOT EXISTS copy_of_{table} AS SELECT * FROM {table}")
            if table != kept:
                execute(postgres_url, f"DELETE FROM {table}")
        if not kept.endswith("_month"):
            assert await days(ledger) == expected
        if kept.endswith(("_month", "_day")):
            assert await months(ledger) == every
        for table in (*SUMS, "ledger"):
            if table != kept:
                execute(postgres_url, f"INSERT INTO {table} SELECT * FROM copy_of_{table}")
    assert await ledger.verify() == []


@pytest.mark.parametrize("shift", [-1, 1])
async def test_a_day_whose_rows_all_have_ids_of_the_next_one_is_found(
    ledger: PostgresLedger, postgres_url: str, shift: int
) -> None:
    """They are around midnight, and their sums are lost."""
    midnight = START + DAY
    when, of_id = (midnight - 1_000, midnight + 1_000) if shift < 0 else (midnight, midnight - 1_000)
    await ledger.append([entry(1, when, id=id_at(of_id, 1)), entry(2, START + 30 * DAY)])
    for table in SUMS:
        execute(postgres_url, f"DELETE FROM {table}")
    assert await days(ledger) == [when // DAY, FIRST + 30]
    assert await ledger.verify(repair=True)
    assert {row[0] for row in execute(postgres_url, "SELECT sum(requests) FROM usage_month")} == {2}


async def test_a_day_of_displaced_rows_alone_is_found(ledger: PostgresLedger, postgres_url: str) -> None:
    await ledger.append([entry(1, START, id=id_at(START + 90 * DAY, 1)), entry(2, START + 2 * DAY, id=id_at(0, 2))])
    for table in SUMS:
        execute(postgres_url, f"DELETE FROM {table}")
    assert await days(ledger) == [FIRST, FIRST + 2]


async def test_days_of_more_partitions_than_one_transaction_reads_are_found(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_partitions, "AT_ONCE", 3)
    for number in range(20):
        await ledger.prepare_days(START + number * DAY)
        await ledger.append([entry(number, START + number * DAY + 7)])
    for table in SUMS:
        execute(postgres_url, f"DELETE FROM {table}")
    assert await days(ledger) == [FIRST + number for number in range(20)]


@pytest.mark.parametrize("table", ["usage_quarter", "group_quarter"])
@pytest.mark.parametrize("slot", [-(2**63), -97, -96, -1, 0, 95, 96, 2**63 - 97, 2**63 - 1])
async def test_a_slot_at_an_end_of_its_type_is_found(
    ledger: PostgresLedger, postgres_url: str, table: str, slot: int
) -> None:
    await ledger.append([entry(1, START)])
    execute(postgres_url, f"UPDATE {table} SET slot = {slot}")
    first = -(2**63 // DAY)  # of the first instant that there is
    assert await days(ledger) == sorted({FIRST} | ({slot // 96} if slot // 96 >= first else set()))


async def test_days_that_were_dropped_are_left_out(ledger: PostgresLedger) -> None:
    for number in range(4):
        await ledger.append([entry(number, START + number * DAY)])
    await ledger.drop_before(START + 2 * DAY)
    assert await days(ledger) == [FIRST + 2, FIRST + 3]
