"""Reports in pages, of every ledger. Risk: a group is on no page or on two, a page reads everything, or a report that
is too large is read before it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelmux.accounts.usage_pages import UsagePage, is_after, page_order
from modelmux.accounts.usage_query import UsageQuery, UsageRow, by_name
from modelmux.store.ledger import postgres_usage, sqlite_usage, usage_pages
from modelmux.store.ledger.base import Ledger, TooManyResults
from support.ledgers import DAY, HOUR, QUARTER, START, Expected, check_usage, entry, random_entries
from unit.store.ledger.test_ledgers import DIMENSIONS, Open, engine, examples, ledger, opened

__all__ = ["engine", "ledger", "opened"]

FILTERS = (
    (),
    (("team", ("data",)),),
    (("team", ("nowhere",)),),
    (("model", ("opus",)), ("tag:app", ("chat",))),
    (("key", ("key_b", "key_a", "nobody")),),
    (("person", ("ann",)),),
)


async def pages_of(ledger: Ledger, query: UsageQuery, limit: int) -> list[UsagePage]:
    """All pages, which follow each other."""
    pages = [await ledger.usage_page(query, (), limit)]
    while (after := pages[-1].next) is not None:
        following = await ledger.usage_page(query, after, limit)
        end = following.next
        assert end is None or is_after(end, after) or (len(end) < len(after) and end == after[: len(end)]), "it goes on"
        pages.append(following)
    return pages


def places(query: UsageQuery, rows: Sequence[UsageRow]) -> list[tuple[str | None, ...]]:
    """Its groups, each once, in the order in which pages have them."""
    indexes = [query.group_by.index(name) for name in page_order(query.group_by)]
    return sorted({tuple(row.group[index] for index in indexes) for row in rows}, key=by_name)


async def check_pages(ledger: Ledger, query: UsageQuery, limit: int) -> list[UsagePage]:
    """All pages together are the report, no group is on two of them, and they come in order."""
    pages = await pages_of(ledger, query, limit)
    rows = [row for page in pages for row in page.rows]
    assert sorted(rows, key=lambda row: (row.start, by_name(row.group))) == await ledger.usage(query)
    of_pages = [places(query, page.rows) for page in pages]
    assert [place for page in of_pages for place in page] == places(query, rows)
    assert all(len(page) <= limit for page in of_pages)
    return pages


@pytest.mark.parametrize("sums", [100_000, 200, 1])
def test_pages_together_are_the_report(opened: Open, engine: str, sums: int) -> None:
    """Of all there is in small: each engine, sealed days or not, corrections, rows without a value, zones."""

    @given(
        seed=st.integers(0, 10_000),
        group_by=st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True).map(tuple),
        where=st.sampled_from(FILTERS),
        bucket=st.sampled_from(["1h", "1d", "1w", "1mo", "all"]),
        zone=st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York"]),
        first=st.integers(-8, 60),
        quarters=st.integers(1, 300),
        limit=st.integers(1, 5),
        results=st.sampled_from([1, 7, 5_000]),
    )
    @settings(max_examples=examples(engine, 60), deadline=None)
    def check(
        seed: int, group_by: tuple[str, ...], where: Any, bucket: Any, zone: str, first: int, quarters: int,
        limit: int, results: int,
    ) -> None:  # fmt: skip
        async def run() -> None:
            rows = random_entries(seed, 80)
            query = UsageQuery(
                start=START + first * QUARTER, end=START + (first + quarters) * QUARTER, bucket=bucket, zone=zone,
                group_by=group_by, where=where,
            )  # fmt: skip
            async with opened() as ledger:
                await ledger.append(rows[:50])
                await ledger.append(rows[50:])
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(usage_pages, "MOST_READ", sums)
                    patch.setattr(usage_pages, "PAGE_RESULTS", results)
                    pages = await check_pages(ledger, query, limit)
                check_usage([row for page in pages for row in page.rows], query, Expected(rows))

        asyncio.run(run())

    check()


DAYS = UsageQuery(start=START, end=START + 3 * DAY, bucket="1d", group_by=("key",))


async def many(ledger: Ledger, keys: int, *, names: Sequence[str] = ()) -> list[str]:
    """A request of each of many keys and people on each of three days."""
    chosen = list(names) or [f"key_{number:05d}" for number in range(keys)]
    await ledger.append([
        entry(number, START + number % 3 * DAY + number // 3 * 1_000, key=key, person=f"usr_{key}", team="top")
        for number, key in enumerate(key for key in chosen for _ in range(3))
    ])  # fmt: skip
    return chosen


async def test_a_page_has_at_most_so_many_groups_and_results(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await many(ledger, 40)
    pages = await check_pages(ledger, DAYS, 7)
    assert [len(page.rows) for page in pages] == [21, 21, 21, 21, 21, 15]
    monkeypatch.setattr(usage_pages, "PAGE_RESULTS", 10)
    assert {len(page.rows) for page in await check_pages(ledger, DAYS, 7)} == {9, 3}
    monkeypatch.setattr(usage_pages, "PAGE_RESULTS", 2)
    assert {len(page.rows) for page in await check_pages(ledger, DAYS, 7)} == {3}, "one group at least"


@pytest.mark.parametrize("name", ["key", "person"])
async def test_a_page_reads_the_sums_of_its_groups_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    await many(ledger, 40)
    read: list[int] = []
    choose = usage_pages.PageReader.choose

    def counted(self: usage_pages.PageReader, offered: Any) -> usage_pages.Chosen:
        chosen = choose(self, offered)
        read.append(sum(len(series) for series in chosen.series))
        return chosen

    monkeypatch.setattr(usage_pages.PageReader, "choose", counted)
    for module in (sqlite_usage, postgres_usage):
        monkeypatch.setattr(module, "grouping_of", None)
        monkeypatch.setattr(module, "_report", None)
    page = await ledger.usage_page(replace(DAYS, group_by=("team", name)), (), 5)
    assert (len(page.rows), sum(read)) == (15, 5)


async def test_groups_without_usage_in_the_period_leave_room_for_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await many(ledger, 30)
    later = UsageQuery(start=START + 9 * DAY, end=START + 10 * DAY, bucket="1d", group_by=("key",))
    await ledger.append([entry(900, START + 9 * DAY + HOUR, key=keys[-1])])
    (page,) = await check_pages(ledger, later, 4)
    assert [row.group for row in page.rows] == [(keys[-1],)]
    monkeypatch.setattr(usage_pages, "MOST_READ", 8)
    pages = await check_pages(ledger, later, 4)
    assert len(pages) > 1, "few rows, and where to go on"
    assert pages[0].rows == []
    assert pages[0].next is not None


async def test_a_cursor_names_nothing_that_the_filter_leaves_out(ledger: Ledger) -> None:
    await ledger.append([
        entry(number, START, key=f"key_{number}", team="mine" if number % 10 == 7 else "theirs") for number in range(60)
    ])  # fmt: skip
    query = replace(DAYS, where=(("team", ("mine",)),))
    pages = await check_pages(ledger, query, 2)
    assert [page.next for page in pages] == [("key_27",), ("key_47",), None]


async def test_pages_are_in_the_order_of_code_points_in_every_store(ledger: Ledger) -> None:
    names = ["b", "A", "\N{LATIN SMALL LETTER E WITH ACUTE}", "a", "B", "a-b", "ab", "\N{GRINNING FACE}", "_"]
    await many(ledger, 0, names=names)
    for name, prefix in (("key", ""), ("person", "usr_")):
        pages = await check_pages(ledger, replace(DAYS, bucket="all", group_by=(name,)), 1)
        assert [page.rows[0].group[0] for page in pages] == [f"{prefix}{one}" for one in sorted(names)]


async def test_a_cursor_is_a_place_also_of_what_is_not_there(ledger: Ledger) -> None:
    await many(ledger, 5)
    for after, first in ((("key_00002x",), "key_00003"), (("key_00001", "x"), "key_00002"), ((None,), "key_00000"),
                         (("\0",), "key_00000"), (("zzz",), None)):  # fmt: skip
        group_by = ("key", "team")[: len(after)]
        page = await ledger.usage_page(replace(DAYS, bucket="all", group_by=group_by), after, 1)
        assert (page.rows[0].group[0] if page.rows else None) == first
    assert await ledger.usage_page(replace(DAYS, end=DAYS.start), (), 1) == UsagePage([])


@pytest.mark.parametrize("group_by", [("key",), ("person", "team"), ("team",), ("tag:app", "key"), ()])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
@pytest.mark.parametrize("bucket", ["1h", "1d", "all"])
async def test_a_report_is_refused_exactly_if_it_is_too_large(
    ledger: Ledger, group_by: tuple[str, ...], zone: str, bucket: Any
) -> None:
    await ledger.append(random_entries(5, 200))
    query = UsageQuery(
        start=START + HOUR, end=START + 2 * DAY + QUARTER, bucket=bucket, zone=zone, group_by=group_by
    )  # fmt: skip
    rows = await ledger.usage(query)
    assert await ledger.usage(query, len(rows)) == rows
    with pytest.raises(TooManyResults, match=f"more than {len(rows) - 1} results"):
        await ledger.usage(query, len(rows) - 1)


async def test_sums_of_a_report_that_is_too_large_are_not_read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await many(ledger, 10)
    for module in (sqlite_usage, postgres_usage):
        monkeypatch.setattr(module, "add_sums", None)
    with pytest.raises(TooManyResults):
        await ledger.usage(DAYS, 29)


async def test_what_is_known_to_fit_is_not_counted(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await many(ledger, 10)
    for module in (sqlite_usage, postgres_usage):
        monkeypatch.setattr(module, "_check_size", None)
    assert len(await ledger.usage(DAYS, 30)) == 30


async def test_the_groups_that_cost_most_are_not_too_many(ledger: Ledger) -> None:
    await many(ledger, 10)
    assert len(await ledger.usage(replace(DAYS, top=2), 9)) == 9
