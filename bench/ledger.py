"""A ledger of a year: the bytes and CPU time of a row, and the time of reports and pages; and what its keys cost."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from bench import directory, usage_questions
from bench.ledger_fill import fill, mark_filled
from bench.ledger_rows import DAY, END, MODELS, START, TAGS, entry_of, key_of
from modelmux.accounts.usage_query import UsageQuery
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.ledger.usage_report import usage_report

_BATCHES: Final = (50, 100, 200, 500)
#: Rows of each measurement of CPU time.
_MEASURED: Final = 10_000
_REPEATS: Final = 3
_MICROSECOND: Final = timedelta(microseconds=1)
#: Seconds after which a question is not repeated.
_LONG: Final = 1.0


def main(rows: int, keys: int, folder: Path | None, *, questions: str = "") -> None:
    """Fill a ledger, unless the folder has one, and measure. :param questions: only ``all`` of ``usage_questions``,
    or those of ``many`` groups."""
    measure = partial(_measure_questions, only_many=questions == "many") if questions else _measure
    if folder is not None:
        asyncio.run(measure(folder / "accounts.db", rows, keys))
        return
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(measure(Path(temporary) / "accounts.db", rows, keys))


async def _measure_questions(path: Path, rows: int, keys: int, *, only_many: bool) -> None:
    await fill_file(path, rows, keys)
    ledger = SqliteLedger(path, TAGS, busy_timeout=60.0)
    await usage_questions.measure(ledger, only_many=only_many)
    await ledger.aclose()


async def _measure(path: Path, rows: int, keys: int) -> None:
    is_new = await fill_file(path, rows, keys)
    ledger = SqliteLedger(path, TAGS, busy_timeout=60.0)
    if is_new:
        await _appends(ledger, keys)
    with tempfile.TemporaryDirectory() as temporary:
        only_keys = Path(temporary) / "accounts.db"
        await directory.fill(only_keys, keys)
        directory.report(only_keys)
    await _reports(ledger)
    await _answers(ledger)
    await _pages(ledger)
    await ledger.aclose()
    _sizes(path)


async def fill_file(path: Path, rows: int, keys: int) -> bool:
    """A ledger with sealed days and with keys, for a gateway to serve, unless it is there.

    :returns: whether it was made. :raises WrongLedger: there is another one.
    """
    if not fill(path, rows, keys):
        return False
    await directory.fill(path, keys, secrets=False)
    mark_filled(path, rows, keys)
    return True


async def _appends(ledger: SqliteLedger, keys: int) -> None:
    """As a gateway appends them, all of the same moment: each of another key, or all of one."""
    for number, (step, size) in enumerate(itertools.product((1, keys), _BATCHES)):
        batches = [
            [entry_of(END + number, (number * _MEASURED + first + index) * step, keys) for index in range(size)]
            for first in range(0, _MEASURED, size)
        ]
        before = time.process_time()
        for batch in batches:
            await ledger.append(batch)
        spent = (time.process_time() - before) / _MEASURED
        keys_of_rows = "many keys" if step == 1 else "one key"
        print(f"append in batches of {size:3} rows of {keys_of_rows}: {spent * 1e6:6.1f} us CPU a row")


async def _reports(ledger: SqliteLedger) -> None:
    month = UsageQuery(start=END - 30 * DAY, end=END, bucket="1d", zone="UTC")
    year = UsageQuery(start=START, end=END, bucket="1mo", zone="UTC")
    for zone in ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"):
        for name in ("team", "model", "tag:app"):
            for title, query in (("30 days by day", month), ("a year by month", year)):
                await _time_report(ledger, title, _with(query, zone=zone, group_by=(name,)))
        await _time_report(ledger, "a year by day", _with(year, bucket="1d", zone=zone, group_by=("model",)))
        await _time_report(ledger, "7 days by hour", _with(month, start=END - 7 * DAY, bucket="1h", zone=zone))
        one = (("key", (key_of(7),)),)
        await _time_report(ledger, "a year of one key", _with(year, zone=zone, group_by=("model",), where=one))
    for name in ("key", "person"):  # as long as their answers are
        await _time_report(ledger, "a day", _with(month, start=END - 2 * DAY, bucket="all", group_by=(name,)))
        await _time_report(ledger, "30 days", _with(month, bucket="all", group_by=(name,)))


async def _answers(ledger: SqliteLedger) -> None:
    """Of the API: with its JSON."""
    month = UsageQuery(start=END - 30 * DAY, end=END, bucket="1d", zone="Europe/Berlin")
    one, team = (("key", (key_of(7),)),), (("team", ("team_07",)),)
    for title, changes in (
        ("/usage, 30 days", {}),
        ("/usage, 30 days by team", {"group_by": ("team",)}),
        ("/usage, 30 days of a team by model", {"group_by": ("model",), "where": team}),
        ("/v1/key/usage, 30 days by model", {"group_by": ("model",), "where": one}),
        ("/v1/key/usage, a day by hour", {"bucket": "1h", "start": END - DAY, "where": one}),
        ("/v1/key/usage, a year by month", {"bucket": "1mo", "start": START, "where": one}),
    ):
        query = _with(month, **changes)
        await _time(title, lambda query=query: _answer(ledger, query))  # type: ignore[misc]
    for name, zone in (("key", "UTC"), ("person", "UTC"), ("key", "Europe/Berlin"), ("key", "Asia/Kolkata")):
        most = _with(month, bucket="all", zone=zone, group_by=(name,), top=100)
        midnight = int(datetime.fromtimestamp(END // 1_000_000, ZoneInfo(zone)).utcoffset() / _MICROSECOND)  # type: ignore[operator]
        for title, days, where in (
            ("a day", 1, ()),
            ("30 days", 30, ()),
            ("30 days of a team", 30, team),
            ("a year", 365, ()),
        ):
            end = END - 5 * DAY - midnight
            query = _with(most, start=max(START, end - days * DAY), end=end, where=where)
            await _time(f"100 of {name}, {title}, {zone}", lambda query=query: _answer(ledger, query))  # type: ignore[misc]


async def _answer(ledger: SqliteLedger, query: UsageQuery) -> Any:
    zone = ZoneInfo(query.zone)
    answer = await usage_report(ledger, query, zone, own_prices=False, reported_tags=TAGS, most=1_000_000)
    msgspec.json.encode(answer)
    return answer["data"]


async def _time_report(ledger: SqliteLedger, title: str, query: UsageQuery) -> None:
    names = ", ".join(query.group_by) or "nothing"
    await _time(f"{title}, by {names}, {query.zone}", lambda: ledger.usage(query))


async def _pages(ledger: SqliteLedger) -> None:
    recent = EntryQuery(newest_first=True)
    for title, changes in (
        ("newest", {}),
        ("of one key", {"where": (("key", (key_of(7),)),)}),
        ("of one team", {"where": (("team", ("team_07",)),)}),
        ("of a model, expensive", {"where": (("model", (MODELS[1],)),), "min_cost": 10**7}),
        ("with errors, last year's first day", {"where": (("outcome", ("upstream_error",)),), "start": START,
                                                "end": START + DAY}),
        ("that match nothing", {"where": (("end_user", ("nobody",)),)}),
    ):  # fmt: skip
        query = _with(recent, **changes)
        await _time(f"page of 100: {title}", lambda query=query: ledger.entries(query))  # type: ignore[misc]


async def _time(title: str, ask: Callable[[], Awaitable[Any]]) -> None:
    """The shortest of a few times, and the least CPU time: the rest is other programs."""
    times, spent = [], []
    for _ in range(_REPEATS):
        began, before = time.perf_counter(), time.process_time()
        answer = await ask()
        spent.append(time.process_time() - before)
        times.append(time.perf_counter() - began)
        if times[-1] > _LONG:
            break
    count = len(answer) if isinstance(answer, list) else len(answer.entries)
    print(f"{title:55} {min(times) * 1e3:8.1f} ms {min(spent) * 1e3:8.1f} ms CPU {count:8,} rows", flush=True)


def _sizes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in (
                "ledger",
                "usage_quarter",
                "usage_hour",
                "usage_day",
                "usage_month",
                "ledger_series",
                "ledger_context",
            )
        }
        try:
            sizes = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY 1 ORDER BY 2 DESC").fetchall()
        except sqlite3.Error:  # not every library has it
            sizes = []
    rows = counts["ledger"]
    print(", ".join(f"{table}: {count:,} rows" for table, count in counts.items()))
    print(f"{path.stat().st_size / rows:.0f} bytes a row, of which")
    for name, size in sizes:
        if size / rows >= 1:
            print(f"  {name}: {size / rows:.0f}")


def _with(query: Any, **changes: Any) -> Any:
    return type(query)(**{name: getattr(query, name) for name in query.__struct_fields__} | changes)
