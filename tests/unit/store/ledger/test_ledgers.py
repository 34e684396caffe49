"""Every ledger. Risk: a row counts twice or not at all, a report is not the sum of its rows, a day begins at the wrong
hour, or a page leaves a row out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.accounts.usage_top import top_groups
from modelmux.config.postgres_url import PostgresUrl, parse_postgres_url
from modelmux.store.base import StoreFailed
from modelmux.store.ledger import postgres_entries, postgres_usage, sqlite_entries, sqlite_ranks, sqlite_usage
from modelmux.store.ledger.base import EntryPage, EntryQuery, Holder, Ledger
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.postgres.session import Session
from support.ledgers import (
    DAY,
    HOUR,
    QUARTER,
    START,
    TAGS,
    Expected,
    all_pages,
    at,
    check_usage,
    correction,
    entries_strategy,
    entry,
    full_entry,
    id_at,
    random_entries,
)  # fmt: skip

Open = Callable[[], Any]
ALWAYS = UsageQuery(start=START - 400 * DAY, end=START + 400 * DAY)
WINDOW = WindowKey("bud_a", "", 0)
DIMENSIONS = ("key", "team", "person", "model", "tag:app", "tag:env", "tag:run")


class _Twice(SqliteLedger):
    """Reads usage in both ways: series by series, and range by range."""

    async def usage(self, query: UsageQuery, most: int | None = None) -> list[UsageRow]:
        rows = await super().usage(query, most)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqlite_usage, "_MOST_LOOKUPS", -1)
            patch.setattr(sqlite_ranks, "_LOOKUP", 0)
            assert await super().usage(query, most) == rows
        return rows


class _Sealed(_Twice):
    """Seals days between appends, so that rows come to days that are sealed, and to others; and reads with what was
    sealed, and without."""

    def __init__(self, path: Path, tags: Sequence[str]) -> None:
        super().__init__(path, tags)
        self._dice = random.Random(7)

    async def append(self, entries: Sequence[Entry]) -> None:
        await super().append(entries)
        await self.seal_days(some_day(self._dice, entries))

    async def usage(self, query: UsageQuery, most: int | None = None) -> list[UsageRow]:
        rows = await super().usage(query, most)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqlite_usage, "sealed_before", lambda _: 0)
            assert await super().usage(query, most) == rows
        return rows


class _SealedPostgres(PostgresLedger):
    """As ``_Sealed``, with partitions for some of the days."""

    def __init__(self, url: PostgresUrl, tags: Sequence[str]) -> None:
        super().__init__(url, tags)
        self._dice = random.Random(7)
        self._is_prepared = False

    async def append(self, entries: Sequence[Entry]) -> None:
        if not self._is_prepared:  # once, for it takes long
            await self.prepare_days(some_day(self._dice, entries))
            self._is_prepared = True
        await super().append(entries)
        await self.seal_days(some_day(self._dice, entries))

    async def usage(self, query: UsageQuery, most: int | None = None) -> list[UsageRow]:
        async def nothing_sealed(_: Session) -> int:
            return 0

        rows = await super().usage(query, most)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres_usage, "sealed_before", nothing_sealed)
            assert await super().usage(query, most) == rows
        return rows


def some_day(dice: random.Random, entries: Sequence[Entry]) -> int:
    """That of a row, or one soon after it."""
    return dice.choice(sorted(entry.at for entry in entries) or [START]) + dice.randrange(3) * DAY


SQLITE = {"sqlite": _Twice, "sealed": _Sealed}
POSTGRES = {"postgres": PostgresLedger, "sealed-postgres": _SealedPostgres}


@pytest.fixture(params=[*SQLITE, *POSTGRES])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def opened(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens an empty ledger, each time another one."""
    if engine in POSTGRES:
        return postgres_ledgers(POSTGRES[engine], request.getfixturevalue("postgres_url"))
    numbers = iter(range(1_000_000))

    @asynccontextmanager
    async def open_ledger() -> AsyncIterator[Ledger]:
        ledger = SQLITE[engine](tmp_path / f"{next(numbers)}.db", TAGS)
        yield ledger
        await ledger.aclose()

    return open_ledger


def postgres_ledgers(kind: type[PostgresLedger], url: str) -> Open:
    """Ledgers in one database, which is emptied for each."""

    @asynccontextmanager
    async def open_ledger() -> AsyncIterator[Ledger]:
        ledger = kind(parse_postgres_url(url), TAGS)
        try:
            await ledger._writer.run(empty)
            yield ledger
        finally:  # hypothesis may end an example within it
            await ledger.aclose()

    async def empty(session: Session) -> None:
        tables = [
            name for (name,) in await session.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        emptied = ", ".join(
            name for name in tables if name not in ("ledger_state", "ledger_sealed", "modelmux_migrations")
        )
        await session.execute(f"TRUNCATE {emptied} RESTART IDENTITY")
        await session.execute("UPDATE ledger_state SET dropped_before = -9223372036854775808")
        await session.execute("UPDATE ledger_sealed SET before = 0")

    return open_ledger


def examples(engine: str, number: int) -> int:
    """Each empties a database, which takes PostgreSQL half a second."""
    return number // 5 if engine in POSTGRES else number


@pytest.fixture
async def ledger(opened: Open) -> AsyncIterator[Ledger]:
    async with opened() as ledger:
        yield ledger


async def totals(ledger: Ledger, **query: Any) -> tuple[int, int, int, int]:
    """Requests, errors, requests without a price, cost."""
    rows = await ledger.usage(replace(ALWAYS, **query))
    assert len(rows) <= 1
    row = rows[0] if rows else None
    return (row.requests, row.errors, row.unpriced, row.cost.total) if row else (0, 0, 0, 0)


# Rows


def test_what_was_appended_is_read(opened: Open, engine: str) -> None:
    @given(st.lists(entries_strategy(has_nul=engine not in POSTGRES), max_size=4, unique_by=lambda row: row.id))
    @settings(max_examples=examples(engine, 100))
    def check(rows: list[Entry]) -> None:
        async def run() -> None:
            async with opened() as ledger:
                await ledger.append(rows)
                assert await all_pages(ledger, EntryQuery()) == sorted(rows, key=lambda row: row.id)
                assert await ledger.verify() == []

        asyncio.run(run())

    check()


async def test_every_field_is_read(ledger: Ledger) -> None:
    row = full_entry(7)
    default = Entry(id=b"", at=0)
    same = [name for name in row.__struct_fields__ if getattr(row, name) == getattr(default, name)]
    assert set(same) <= {"kind", "corrects", "outcome", "status"}
    await ledger.append([row])
    assert (await ledger.entries(EntryQuery())).entries == [row]


async def test_text_that_is_none_is_stored_and_found(ledger: Ledger) -> None:
    await ledger.append([entry(1, agent="a\ud800b", tags=(("app", "x\udfff"),), key="k\ud800")])
    (row,) = (await ledger.entries(EntryQuery(where=(("key", ("k\ud800",)),)))).entries
    assert (row.agent, row.tags) == ("a\\ud800b", (("app", "x\\udfff"),))


@pytest.mark.parametrize(
    "fields",
    [{"id": b"short"}, {"at": -1}, {"cost": Cost(input=10**15 + 1)}, {"counts": TokenCounts(output=-(10**15) - 1)}],
)
async def test_a_number_out_of_bounds_is_refused_and_no_row_of_the_call_is_written(
    ledger: Ledger, fields: dict[str, Any]
) -> None:
    with pytest.raises(StoreFailed, match="out of bounds"):
        await ledger.append([entry(1), entry(2, **fields)])
    assert await totals(ledger) == (0, 0, 0, 0)


# Sums


def test_a15_a28_replays_in_any_order_change_nothing(opened: Open, engine: str) -> None:
    """The unit of the risk "delivered at least once": subsets of the rows, in any order, again and again."""

    @given(st.integers(0, 10**6), st.randoms(use_true_random=False))
    @settings(max_examples=examples(engine, 60))
    def check(seed: int, dice: random.Random) -> None:
        rows = random_entries(seed, 25)

        async def run() -> None:
            async with opened() as ledger:
                for _ in range(3):
                    await ledger.append(dice.sample(rows, dice.randrange(len(rows))))
                dice.shuffle(rows)
                await asyncio.gather(*(ledger.append(rows[index : index + 4]) for index in range(0, len(rows), 4)))
                query = replace(ALWAYS, bucket="1d", group_by=DIMENSIONS)
                check_usage(await ledger.usage(query), query, Expected(rows))
                assert await ledger.verify() == []

        asyncio.run(run())

    check()


async def test_a28_a_row_counts_once_within_one_call(ledger: Ledger) -> None:
    await ledger.append([entry(1), entry(1), entry(2)])
    await ledger.append([entry(2)])
    assert await totals(ledger) == (2, 0, 0, entry(1).cost.total + entry(2).cost.total)  # type: ignore[union-attr]


async def test_corrections_change_the_cost_and_not_the_number_of_requests(ledger: Ledger) -> None:
    row = entry(1, outcome="upstream_error", cost=Cost(input=70))
    await ledger.append([row, correction(row, 1, cost=Cost(input=5))])
    assert await totals(ledger) == (1, 1, 0, 75)
    await ledger.append([correction(row, 2, kind="void", cost=Cost(input=-75))])
    assert await totals(ledger) == (1, 1, 0, 0)
    await ledger.append([correction(row, 3, kind="in_doubt", cost=Cost(output=9))])
    await ledger.append([correction(row, 4, kind="resolve", cost=Cost(output=-2))])
    assert await totals(ledger) == (1, 1, 0, 7)
    assert [one.kind for one in await ledger.corrections([row.id])] == ["rerate", "void", "in_doubt", "resolve"]
    assert await ledger.corrections([id_at(START, 99)]) == []


@pytest.mark.parametrize("correction_first", [False, True])
async def test_a_request_is_without_a_price_until_a_correction_has_one(ledger: Ledger, correction_first: bool) -> None:
    row = entry(1, cost=None)
    later = replace(correction(row, 1, cost=Cost(input=8)), id=id_at(START + 3 * DAY, 1))
    again = correction(row, 2, cost=Cost(input=1))
    unpriced = correction(row, 3, cost=None)
    await ledger.append([later, unpriced] if correction_first else [row, unpriced])
    assert (await totals(ledger))[2] == (0 if correction_first else 1)
    await ledger.append([row, later])
    assert await totals(ledger) == (1, 0, 0, 8)
    await ledger.append([again])
    assert await totals(ledger) == (1, 0, 0, 9)
    assert await ledger.verify() == []


async def test_a_client_that_left_is_not_an_error(ledger: Ledger) -> None:
    await ledger.append([entry(1, outcome="client_gone"), entry(2, outcome="client_error"), entry(3)])
    assert (await totals(ledger))[:2] == (3, 1)


# Buckets


ZONES = sorted(available_timezones())


def test_a34_buckets_of_every_zone_are_those_of_its_clocks(opened: Open, engine: str) -> None:
    """All zones in turn, around every change of the clocks in two years: compared with the local time of each row."""
    zones = iter(ZONES * 2)

    @given(st.data())
    @settings(max_examples=examples(engine, 150))
    def check(data: st.DataObject) -> None:
        rows = [
            entry(number, first + offset * QUARTER + data.draw(st.sampled_from([0, 1, QUARTER - 1])))
            for first in (data.draw(st.integers(0, 730)) * DAY + START,)
            for number, offset in enumerate(data.draw(st.lists(st.integers(0, 300), min_size=1, max_size=30)))
        ]
        low = min(row.at for row in rows) // QUARTER * QUARTER + data.draw(st.integers(-200, 20)) * QUARTER
        high = max(row.at for row in rows) // QUARTER * QUARTER + data.draw(st.integers(-20, 200)) * QUARTER

        async def run() -> None:
            async with opened() as ledger:
                await ledger.append(rows)
                for _ in range(4):
                    zone = next(zones, "Australia/Lord_Howe")
                    for bucket in ("1h", "1d", "1w", "1mo", "all"):
                        query = UsageQuery(start=low, end=high, bucket=bucket, zone=zone)  # type: ignore[arg-type]
                        check_usage(await ledger.usage(query), query, Expected(rows))

        asyncio.run(run())

    check()


@pytest.mark.parametrize(
    ("zone", "before", "after", "hours"),
    [
        ("Europe/Berlin", "2026-10-24T22:00Z", "2026-10-25T23:00Z", 25),
        ("Europe/Berlin", "2027-03-27T23:00Z", "2027-03-28T22:00Z", 23),
        ("America/New_York", "2026-11-01T04:00Z", "2026-11-02T05:00Z", 25),
        ("Asia/Kolkata", "2026-11-01T18:30Z", "2026-11-02T18:30Z", 24),
        ("Asia/Kathmandu", "2026-11-01T18:15Z", "2026-11-02T18:15Z", 24),
        ("Australia/Lord_Howe", "2027-04-03T13:00Z", "2027-04-04T13:30Z", 24.5),
        ("America/Santiago", "2027-04-03T03:00Z", "2027-04-04T04:00Z", 25),
        ("Africa/Cairo", "2027-04-29T22:00Z", "2027-04-30T21:00Z", 23),
    ],
)
async def test_a_day_begins_and_ends_with_the_local_day(
    ledger: Ledger, zone: str, before: str, after: str, hours: float
) -> None:
    first, last = at(before), at(after) - 1
    await ledger.append([entry(1, first - 1), entry(2, first), entry(4, last), entry(8, last + 1)])
    query = UsageQuery(start=first - 2 * DAY, end=first + 4 * DAY, bucket="1d", zone=zone)
    rows = await ledger.usage(query)
    assert [row.counts.output for row in rows] == [1, 6, 8]
    assert [row.start for row in rows][1:] == [first, last + 1]
    assert (last + 1 - first) / HOUR == hours


async def test_a_period_includes_its_start_and_not_its_end(ledger: Ledger) -> None:
    await ledger.append(
        [entry(1, START - 1), entry(2, START), entry(4, START + QUARTER - 1), entry(8, START + QUARTER)]
    )
    (row,) = await ledger.usage(UsageQuery(start=START, end=START + QUARTER))
    assert (row.start, row.counts.output) == (START, 6)
    assert await ledger.usage(UsageQuery(start=START, end=START)) == []


async def test_a_year_by_month_and_all_of_it(ledger: Ledger) -> None:
    rows = [entry(number, START + number * 13 * HOUR) for number in range(700)]
    await ledger.append(rows)
    for zone in ("UTC", "America/Los_Angeles", "Pacific/Kiritimati"):
        for bucket in ("1mo", "1d", "all"):
            query = replace(ALWAYS, bucket=bucket, zone=zone, group_by=("model",))
            check_usage(await ledger.usage(query), query, Expected(rows))
    (row,) = await ledger.usage(replace(ALWAYS, start=0, end=at("2400-01-01T00:00Z")))
    assert (row.start, row.requests) == (0, 700)


# Groups and filters


@pytest.mark.parametrize(
    ("group_by", "where"),
    [
        ((), ()),
        *(((name,), ()) for name in DIMENSIONS),
        (("key", "model"), (("person", ("ann", "bob")),)),
        (("tag:app",), (("team", ("data",)),)),
        (("team",), (("team", ("top",)),)),
        ((), (("tag:app", ("chat",)), ("tag:env", ("prod",)))),
        ((), (("model", ("sonnet",)), ("key", ("key_a", "key_b")))),
        ((), (("key", ("unknown",)),)),
        ((), (("model", ()),)),
    ],
)
async def test_usage_by_group_and_filter(ledger: Ledger, group_by: tuple[str, ...], where: Any) -> None:
    rows = random_entries(1, 300)
    await ledger.append(rows)
    query = UsageQuery(start=START, end=START + 2 * DAY, bucket="1d", group_by=group_by, where=where)
    check_usage(await ledger.usage(query), query, Expected(rows))


@pytest.mark.parametrize("top", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("group_by", "where"),
    [
        (("key",), ()),
        (("person",), ()),
        (("team", "key"), ()),
        (("model", "person"), (("team", ("data",)),)),
        (("key",), (("tag:app", ("chat",)), ("tag:env", ("prod",)))),
        (("key",), (("model", ("sonnet",)), ("model", ("sonnet", "opus")))),
        (("key",), (("team", ("nowhere",)),)),
        (("key",), (("person", ("ann", "bob")),)),
        (("key", "tag:app"), ()),
        (("model",), ()),
        ((), ()),
    ],
)
async def test_the_groups_that_cost_most_are_those_of_all_groups(
    ledger: Ledger, group_by: tuple[str, ...], where: Any, top: int
) -> None:
    await ledger.append(random_entries(3, 300))
    for bucket, zone, start, end in (
        ("all", "UTC", START, START + 2 * DAY),
        ("1d", "Asia/Kolkata", START + 3 * HOUR, START + 3 * DAY),
        ("1mo", "Europe/Berlin", START - 60 * DAY, START + 90 * DAY),
        ("1h", "UTC", START + 9 * DAY, START + 10 * DAY),
        ("1d", "UTC", START - 900 * DAY, START - 800 * DAY),
    ):
        query = UsageQuery(start=start, end=end, bucket=bucket, zone=zone, group_by=group_by, where=where)  # type: ignore[arg-type]
        expected = top_groups(await ledger.usage(query), top)
        got = await ledger.usage(replace(query, top=top))
        assert sorted(got, key=repr) == sorted(expected, key=repr)


async def test_groups_that_cost_the_same_are_those_whose_names_come_first(ledger: Ledger) -> None:
    cost = Cost(input=1)
    names = ["b", "A", "\N{LATIN SMALL LETTER E WITH ACUTE}", "a", "B"]
    await ledger.append([entry(number, key=name, cost=cost) for number, name in enumerate(names)])
    query = UsageQuery(start=START, end=START + DAY, group_by=("key",), top=3)
    assert {row.group for row in await ledger.usage(query) if not row.others} == {("A",), ("B",), ("a",)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 1}, "quarter of an hour"),
        ({"end": START + 1}, "quarter of an hour"),
        ({"bucket": "2w"}, "bucket: expected one of 1h, 1d, 1w, 1mo, all, got '2w'"),
        ({"zone": "Mars/Base"}, "zone: 'Mars/Base' is not"),
        ({"zone": "../etc/passwd"}, "is not the name of a time zone"),
        ({"group_by": ("id",)}, "got 'id'"),
        ({"where": (("tag:", ("x",)),)}, "got 'tag:'"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused(
    ledger: Ledger, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        await ledger.usage(replace(ALWAYS, **change))


QUERIES = [
    EntryQuery(),
    EntryQuery(start=START + DAY),
    EntryQuery(end=START + DAY),
    EntryQuery(start=START + 7 * HOUR, end=START + DAY),
    EntryQuery(min_cost=200),
    EntryQuery(where=(("key", ("key_a",)),)),
    EntryQuery(where=(("key", ("key_a",)),), start=START + 7 * HOUR, end=START + DAY),
    EntryQuery(where=(("key", ("key_a", "key_c")),)),
    EntryQuery(where=(("key", ("unknown",)),)),
    EntryQuery(where=(("key", ()),), start=START + 7 * HOUR, end=START + DAY),
    EntryQuery(where=(("team", ("data", "other")),)),
    EntryQuery(where=(("person", ("ann",)), ("model", ("opus", "sonnet")))),
    EntryQuery(where=(("outcome", ("upstream_error",)),)),
    EntryQuery(where=(("outcome", ("upstream_error", "client_gone")),)),
    EntryQuery(where=(("outcome", ("ok",)), ("kind", ("rerate", "void")))),
    EntryQuery(where=(("team", ("data",)), ("outcome", ("upstream_error", "drained")), ("model", ("opus",)))),
    EntryQuery(where=(("key", ("key_a",)), ("outcome", ("upstream_error",)))),
    EntryQuery(where=(("end_user", ("eve",)),)),
    EntryQuery(where=(("tag:app", ("chat",)),)),
    EntryQuery(where=(("tag:run", ("7",)),)),
    EntryQuery(where=(("tag:run", ("8", "7")), ("tag:app", ("chat",)))),
]


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_have_every_row_of_a_filter_once(ledger: Ledger, newest_first: bool, limit: int) -> None:
    rows = random_entries(2, 120)
    await ledger.append(rows)
    for query in QUERIES:
        query = replace(query, limit=limit, newest_first=newest_first)
        assert await all_pages(ledger, query) == Expected(rows).entries(query)


async def test_pages_have_every_row_once_while_rows_are_added(ledger: Ledger) -> None:
    rows = random_entries(3, 200)
    for newest_first in (False, True):
        present = {row.id for row in rows[:150]}
        await ledger.append(rows[:150])
        query = EntryQuery(limit=10, newest_first=newest_first, where=(("key", ("key_a", "key_b", "key_c")),))
        seen, more = list[bytes](), iter(rows[150:])
        while True:
            page = await ledger.entries(query)
            seen += [row.id for row in page.entries]
            if page.next is None:
                break
            await ledger.append([row for row in [next(more, None)] if row])
            query = replace(query, after=page.next)
        assert len(seen) == len(set(seen))
        assert present <= set(seen)


async def test_text_with_the_character_nul_harms_no_row_beside_it(ledger: Ledger, engine: str) -> None:
    """PostgreSQL stores none; what a client chose must not keep rows from being written."""
    window = WindowKey("bud_a", "x\0", 7)
    same = WindowKey("bud_a", "x\\0", 7)
    row = replace(full_entry(1), end_user="e\0", agent="a\0", tags=(("app", "t\0"),), debits=((window, 5), (same, 3)))
    await ledger.exchange("p", [row, entry(2)], {window: Ask(5, 5, 100), same: Ask(1, 1, 100)}, START)
    assert (await ledger.by_id([row.id])) == [row]
    assert [one.id for one in (await ledger.entries(EntryQuery(where=(("end_user", ("e\0",)),)))).entries] == [row.id]
    assert await ledger.windows([window, same]) == {window: (5, 5), same: (3, 1)}
    assert set(await ledger.windows([], [("bud_a", 7)])) == {window, same}
    named = replace(entry(3), key="k\0", outcome="o\0")
    await ledger.append([named])
    (read,) = (await ledger.entries(EntryQuery(where=(("key", ("k\0",)), ("outcome", ("o\0",)))))).entries
    assert read.key == ("k\\x00" if engine in POSTGRES else "k\0")


async def test_a48_a_page_reads_a_bounded_number_of_rows(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for pages_of in (sqlite_entries, postgres_entries):
        monkeypatch.setattr(pages_of, "MOST_READ", 50)
        monkeypatch.setattr(pages_of, "_FIRST_STEP", 16)
    rows = [
        entry(number, START + number * HOUR, model="rare" if number in (3, 199) else "opus") for number in range(200)
    ]
    await ledger.append(rows)
    for newest_first in (False, True):
        pages: list[EntryPage] = []
        query = EntryQuery(where=(("model", ("rare",)),), newest_first=newest_first)
        assert await all_pages(ledger, query, pages) == Expected(rows).entries(query)
        assert 4 <= len(pages) <= 6
        assert all(page.next is None or len(page.next) == 16 for page in pages)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (EntryQuery(limit=0), "limit: expected 1 to 1000, got 0"),
        (EntryQuery(limit=1001), "limit: expected 1 to 1000, got 1001"),
        (EntryQuery(where=(("id", ("x",)),)), "got 'id'"),
    ],
)
async def test_a_question_for_entries_that_cannot_be_answered_is_refused(
    ledger: Ledger, query: EntryQuery, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await ledger.entries(query)


async def test_all_corrections_of_many_rows(ledger: Ledger) -> None:
    rows = [entry(number) for number in range(1200)]
    corrected = [correction(row, number) for number, row in enumerate(rows)]
    await ledger.append([*rows, *corrected])
    assert await ledger.corrections([row.id for row in rows]) == sorted(corrected, key=lambda row: row.id)


async def test_rows_by_their_ids(ledger: Ledger) -> None:
    rows = [entry(number) for number in range(3)]
    await ledger.append(rows)
    assert await ledger.by_id([rows[2].id, b"x" * 16, rows[0].id]) == [rows[2], rows[0]]


async def test_the_state_of_a_ledger(ledger: Ledger) -> None:
    empty = await ledger.state()
    assert (empty.first, empty.last, empty.dropped_before, empty.holders) == (None, None, None, ())
    await ledger.exchange("a", [entry(1), entry(2, START + DAY)], {WINDOW: Ask(5, 5, 100)}, START)
    state = await ledger.state()
    assert (state.first, state.last, state.alerts_due) == (START, START + DAY, 0)
    assert state.schema >= 2
    assert state.library
    assert state.bytes > 0
    ((name, last),) = (await ledger.holders()).items()
    assert state.holders == (Holder(name, last.at, 1),)
    assert (state.nodes, state.has_standby) == ((1, False) if state.library.startswith("Postgre") else (None, None))
    assert (name, last.is_overdue) == ("a", None)
    await ledger.drop_before(START + DAY)
    assert (await ledger.state()).dropped_before == START + DAY


async def test_windows_that_have_spent_most_come_behind_those_that_are_wanted(ledger: Ledger) -> None:
    debits = {f"usr_{number}": 10 + number for number in range(5)}
    spent = tuple((WindowKey("bud_b", subject, 7), amount) for subject, amount in debits.items())
    await ledger.exchange("a", [replace(entry(1), debits=spent)], {WINDOW: Ask(5, 5, 100)}, START)
    read = await ledger.windows([WINDOW, WindowKey("bud_c", "", 0)], [("bud_b", 7)], 2)
    assert list(read.items()) == [
        (WINDOW, (0, 5)), (WindowKey("bud_c", "", 0), (0, 0)),
        (WindowKey("bud_b", "usr_4", 7), (14, 0)), (WindowKey("bud_b", "usr_3", 7), (13, 0)),
    ]  # fmt: skip


# Closing


async def test_a_closed_ledger_says_so(ledger: Ledger) -> None:
    await ledger.append([entry(1)])
    await ledger.aclose()
    await ledger.aclose()
    with pytest.raises(StoreFailed, match="closed"):
        await ledger.append([entry(2)])
    with pytest.raises(StoreFailed, match="closed"):
        await ledger.usage(ALWAYS)
