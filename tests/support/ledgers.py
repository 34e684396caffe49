"""Rows for ledgers, what reports of them have to be (computed from the rows, slowly), and a process that appends."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.counts import Round
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.store.ledger.base import EntryPage, EntryQuery, Ledger
from modelmux.store.ledger.sqlite_ledger import SqliteLedger

QUARTER: Final = 900_000_000
HOUR: Final = 4 * QUARTER
DAY: Final = 24 * HOUR
#: 2026-10-20 00:00 UTC: the clocks of Europe go back on the 25th, those of America on November 1st.
START: Final = 1_792_454_400_000_000
TAGS: Final = ("app", "env")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def at(text: str) -> int:
    """``2026-10-25T01:30Z`` -> microseconds."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def id_at(when: int, number: int) -> bytes:
    """A UUID version 7."""
    value = (when // 1000) << 80 | 7 << 76 | 2 << 62 | number
    return value.to_bytes(16)


def entry(number: int, when: int = START, **fields: Any) -> Entry:
    """A row that has something in every field that can be summed."""
    counts = TokenCounts(
        input=10 + number, cache_write=number % 3, cache_write_1h=number % 2, cache_read=7 * number, output=number,
        thinking=number // 2, web_searches=number % 4,
    )  # fmt: skip
    cost = Cost(input=100 + number, cache_write=number % 3, cache_read=number, output=5 * number, web_search=number % 4)
    return Entry(**{"id": id_at(when, number), "at": when, "counts": counts, "cost": cost} | fields)


ROUNDS = (Round(TokenCounts(input=7)), Round(TokenCounts(output=2), "claude-other"))


def full_entry(number: int, when: int = START) -> Entry:
    """A row with a value in every field, as long as they are in practice."""
    one = entry(number, when)
    return replace(
        one,
        key=f"key_01JD{number % 500:022d}",
        person=f"usr_01JD{number % 500:022d}",
        team=f"team_01JD{0:022d}/team_01JD{number % 500 % 20:022d}",
        end_user=f"{number % 700:064x}",
        tags=(("app", f"app-{number % 5}"), ("env", "prod")),
        dialect="anthropic_messages",
        operation="messages",
        requested="claude-sonnet-5-5",
        route="claude-sonnet-5-5",
        model=f"claude-sonnet-{number % 2}",
        location="global",
        deployment="vertex:project/global/claude-sonnet-5-5",
        attempts=(
            AttemptEntry(
                "vertex:project/global/claude-sonnet-5-5",
                "ok",
                one.counts,
                model=f"claude-sonnet-{number % 2}",
                location="global",
                price="claude-sonnet-5-5/2026-10-07/global",
                rounds=ROUNDS if number % 50 == 7 else (),  # few replies have several
            ),
        ),
        code="",
        stream=True,
        price="claude-sonnet-5-5/2026-10-07/global",
        hold=12_345_678,
        debits=((WindowKey("bud_a", "usr_a", 7), 9),) if number % 50 == 7 else (),
        estimated=True,
        recovered=True,
        duration=4_321_000,
        first_content=654_000,
        request_bytes=123_456,
        response_bytes=7_890,
        client_request_id=f"0199f0a0-0000-7000-8000-{number:012x}",
        upstream_id=f"msg_vrtx_01{number:022d}",
        trace_id=f"{number + (1 << 120):032x}",
        agent="claude-cli/2.1.44 (external, cli)",
        app="cli",
        reason="because",
    )


def correction(of: Entry, number: int, **fields: Any) -> Entry:
    """A row that changes the cost of another and nothing else, unless ``fields`` say so."""
    values = {"id": id_at(of.at, 1 << 32 | number), "kind": "rerate", "corrects": of.id, "counts": TokenCounts()}
    return replace(of, **values | {"cost": Cost(input=-number, output=2 * number)} | fields)


def random_entries(seed: int, count: int, first: int = START, span: int = 3 * DAY) -> list[Entry]:
    """Rows of a few keys, people, teams, models and tags; some without a price, some that correct others."""
    dice = random.Random(seed)
    rows: list[Entry] = []
    for number in range(count):
        when = first + dice.randrange(span)
        one = entry(
            number,
            when,
            key=dice.choice(["key_a", "key_b", "key_c"]),
            person=dice.choice([None, "ann", "bob"]),
            team=dice.choice(["", "top", "top/data", "top/data/ml", "other"]),
            model=dice.choice([None, "opus", "sonnet"]),
            tags=dice.choice([(), (("app", "chat"),), (("app", "chat"), ("env", "prod")), (("run", "7"),)]),
            outcome=dice.choice(["ok", "ok", "client_gone", "upstream_error"]),
            end_user=dice.choice([None, "eve"]),
        )
        one = replace(one, cost=None) if dice.random() < 0.2 else one
        targets = [row for row in rows if row.corrects is None]
        if targets and dice.random() < 0.3:
            kind = dice.choice(["rerate", "void", "in_doubt", "resolve"])
            cost = None if dice.random() < 0.2 else one.cost
            later = dice.choice([0, 5 * DAY])
            one = correction(dice.choice(targets), number, kind=kind, cost=cost)
            one = replace(one, id=id_at(one.at + later, 1 << 32 | number))
        rows.append(one)
    return rows


def entries_strategy(*, has_nul: bool = True) -> st.SearchStrategy[Entry]:
    """Rows with anything in their fields that a gateway may write.

    :param has_nul: texts may have the character NUL, which PostgreSQL stores as other characters.
    """
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="" if has_nul else "\0")
    text = st.text(characters, max_size=12)
    ids = st.one_of(
        text, st.uuids().map(str), *(st.binary(min_size=size, max_size=size).map(bytes.hex) for size in (8, 16, 32))
    )
    number = st.integers(0, 1 << 40)
    counts = st.builds(TokenCounts, input=number, output=number, cache_read=number, thinking=number)
    cost = st.builds(Cost, input=number, web_search=number.map(int.__neg__))
    some = st.none() | text
    attempt = st.builds(
        AttemptEntry, text, text, st.none() | counts, model=some, location=some, price=some, fast=st.booleans()
    )
    attempts = st.lists(attempt, max_size=3).map(tuple)
    moment = st.integers(START, START + 9 * DAY)
    return st.builds(
        Entry, id=st.binary(min_size=16, max_size=16), at=moment, kind=st.sampled_from(["usage", "rerate", "void"]),
        corrects=st.none() | st.binary(min_size=16, max_size=16), reason=some, key=text,
        person=st.none() | st.text(characters, min_size=1), team=text, end_user=some,
        tags=st.dictionaries(st.sampled_from(["app", "env", "run", "é"]), text).map(lambda d: tuple(sorted(d.items()))),
        dialect=text, operation=text, requested=some, route=some, model=st.none() | st.text(characters, min_size=1),
        location=some, deployment=some, attempts=attempts, outcome=text, status=st.integers(0, 599), code=some,
        stream=st.booleans(), counts=counts, cost=st.none() | cost,
        price=some, hold=number, estimated=st.booleans(), recovered=st.booleans(), duration=number,
        first_content=st.none() | number, request_bytes=number, response_bytes=number,
        client_request_id=st.none() | ids, upstream_id=st.none() | ids, trace_id=st.none() | ids, agent=some, app=some,
    )  # fmt: skip


class Expected:
    """What a ledger with these rows answers."""

    def __init__(self, rows: Iterable[Entry], tags: Sequence[str] = TAGS) -> None:
        self.rows = list({row.id: row for row in rows}.values())
        self.tags = tags
        self.priced = {row.corrects for row in self.rows if row.corrects is not None and row.cost is not None}

    def usage(self, query: UsageQuery) -> dict[tuple[Any, tuple[str | None, ...]], list[int]]:
        """(what all instants of a bucket have in common, group) -> sums."""
        sums: dict[Any, list[int]] = defaultdict(lambda: [0] * 16)
        for row in self.rows:
            if query.start <= row.at < query.end and all(self._matches(row, *one) for one in query.where):
                group = tuple(self._value(row, name) for name in query.group_by)
                unpriced = row.corrects is None and row.cost is None and row.id not in self.priced
                failed = row.corrects is None and row.outcome not in ("ok", "client_gone")
                values = (row.corrects is None, failed, unpriced, *astuple(row.counts), *astuple(row.cost or Cost()))
                total = sums[bucket_key(row.at, query), group]
                for index, value in enumerate(values):
                    total[index] += value
        return {key: total for key, total in sums.items() if any(total)}

    def entries(self, query: EntryQuery) -> list[Entry]:
        """All pages."""
        rows = [
            row
            for row in self.rows
            if (query.start is None or row.at >= query.start)
            and (query.end is None or row.at < query.end)
            and (query.min_cost is None or (row.cost is not None and row.cost.total >= query.min_cost))
            and all(self._entry_matches(row, *one) for one in query.where)
        ]
        return sorted(rows, key=lambda row: row.id, reverse=query.newest_first)

    def _value(self, row: Entry, name: str) -> str | None:
        if name.startswith("tag:"):
            tag = name.removeprefix("tag:")
            return dict(row.tags).get(tag) if tag in self.tags else None
        value: str | None = getattr(row, name)
        return value or None

    def _matches(self, row: Entry, name: str, values: tuple[str, ...]) -> bool:
        value = self._value(row, name)
        if name == "team":
            return any(wanted in (value or "").split("/") for wanted in values)
        return value in values

    def _entry_matches(self, row: Entry, name: str, values: tuple[str, ...]) -> bool:
        if name.startswith("tag:"):
            return dict(row.tags).get(name.removeprefix("tag:")) in values
        return self._matches(row, name, values)


def bucket_key(when: int, query: UsageQuery) -> Any:
    """What all instants of a bucket have in common, and no other: the local date or month, or the last full hour."""
    local = (_EPOCH + timedelta(microseconds=when)).astimezone(ZoneInfo(query.zone))
    match query.bucket:
        case "1mo":
            return local.year, local.month
        case "1w":
            return local.isocalendar()[:2]
        case "1d":
            return local.date()
        case "1h":
            quarter = when // QUARTER * QUARTER
            while (_EPOCH + timedelta(microseconds=quarter)).astimezone(ZoneInfo(query.zone)).minute:
                quarter -= QUARTER
            return quarter
    return None


def check_usage(rows: list[UsageRow], query: UsageQuery, expected: Expected) -> None:
    """Compare a report, and that each bucket begins where it should."""
    reported = {}
    for row in rows:
        key = bucket_key(row.start, query)
        values = [row.requests, row.errors, row.unpriced, *astuple(row.counts), *astuple(row.cost)]
        assert (key, row.group) not in reported, "each group once in each bucket"
        reported[key, row.group] = values
        assert query.start <= row.start < query.end
        assert row.start == query.start or bucket_key(row.start - QUARTER, query) != key
    assert reported == expected.usage(query)


async def all_pages(ledger: Ledger, query: EntryQuery, pages: list[EntryPage] | None = None) -> list[Entry]:
    rows: list[Entry] = []
    while True:
        page = await ledger.entries(query)
        if pages is not None:
            pages.append(page)
        assert len(page.entries) <= query.limit
        rows += page.entries
        if page.next is None:
            return rows
        assert page.next != query.after
        query = replace(query, after=page.next)


async def append_forever(path: str, seed: int, batches: int) -> None:
    """Append batches, and print the number of each that is in the ledger. Each batch has one row of the one before."""
    ledger = SqliteLedger(Path(path), TAGS, busy_timeout=60.0)
    for batch in range(batches):
        await ledger.append(batch_rows(seed, batch))
        print(batch, flush=True)
    await ledger.aclose()


def batch_rows(seed: int, batch: int) -> list[Entry]:
    """The rows of a batch of ``append_forever``; the last row of the batch before is repeated."""
    first = batch * 10
    numbers = range(max(0, first - 1), first + 10)
    return [full_entry(seed * 1_000_000 + number, START + number * QUARTER // 7) for number in numbers]


if __name__ == "__main__":
    asyncio.run(append_forever(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))


#: Statements after which sums of sealed days are wrong.
DAMAGE_TO_SEALED_DAYS: Final = (
    "UPDATE usage_hour SET cost_input = cost_input + 5 WHERE slot = (SELECT max(slot) FROM usage_hour)",
    "DELETE FROM group_hour WHERE slot = (SELECT min(slot) FROM group_hour)",
    "DELETE FROM slice_quarter WHERE series = 2",
    "UPDATE slice_hour SET output = output + 1",
    "DELETE FROM slice_day",
    "DELETE FROM ledger_slice WHERE kind = 'model'",
)
