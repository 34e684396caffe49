"""A ledger of a year: the bytes and CPU time of a row, and the time of reports and pages; and what its keys cost.

People with a key each, in 20 teams; everyone uses two of eight models and two sets of tags, four in five requests on
weekdays between 8 and 18 o'clock.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from bench import directory
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.usage_query import UsageQuery
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.ledger.usage_report import usage_report

_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR
_DAYS: Final = 365
_START: Final = 20_454 * _DAY  # 2026-01-01, a Thursday
_END: Final = _START + _DAYS * _DAY
_MODELS: Final = tuple(f"claude-model-{number}" for number in range(8))
_BATCHES: Final = (50, 100, 200, 500)
_FILL_BATCH: Final = 1_000
#: Rows of each measurement of CPU time.
_MEASURED: Final = 10_000
_REPEATS: Final = 3
#: Seconds after which a question is not repeated.
_LONG: Final = 1.0
_TAGS: Final = ("app", "env")


def main(rows: int, keys: int, folder: Path | None) -> None:
    """Fill a ledger, unless the folder has one, and measure."""
    if folder is not None:
        asyncio.run(_measure(folder / "accounts.db", rows, keys))
        return
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(_measure(Path(temporary) / "accounts.db", rows, keys))


async def _measure(path: Path, rows: int, keys: int) -> None:
    exists = path.exists()  # noqa: ASYNC240
    ledger = SqliteLedger(path, _TAGS, busy_timeout=60.0)
    if not exists:
        await _fill(ledger, rows, keys)
        await _appends(ledger, keys)
        await directory.fill(path, keys)
    directory.report(path)
    await _reports(ledger)
    await _answers(ledger)
    await _pages(ledger)
    await ledger.aclose()
    _sizes(path)


async def _fill(ledger: SqliteLedger, rows: int, keys: int) -> None:
    began, batch = time.monotonic(), []
    for entry in entries(rows, keys):
        batch.append(entry)
        if len(batch) == _FILL_BATCH:
            await ledger.append(batch)
            batch = []
    await ledger.append(batch)
    print(f"{rows:,} rows appended in {time.monotonic() - began:,.0f} s")


async def _appends(ledger: SqliteLedger, keys: int) -> None:
    """As a gateway appends them, all of the same moment: each of another key, or all of one."""
    for number, (step, size) in enumerate(itertools.product((1, keys), _BATCHES)):
        batches = [
            [_entry(_END + number, (number * _MEASURED + first + index) * step, keys) for index in range(size)]
            for first in range(0, _MEASURED, size)
        ]
        before = time.process_time()
        for batch in batches:
            await ledger.append(batch)
        spent = (time.process_time() - before) / _MEASURED
        keys_of_rows = "many keys" if step == 1 else "one key"
        print(f"append in batches of {size:3} rows of {keys_of_rows}: {spent * 1e6:6.1f} us CPU a row")


async def _reports(ledger: SqliteLedger) -> None:
    month = UsageQuery(start=_END - 30 * _DAY, end=_END, bucket="1d", zone="UTC")
    year = UsageQuery(start=_START, end=_END, bucket="1mo", zone="UTC")
    for zone in ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"):
        for name in ("team", "model", "tag:app"):
            for title, query in (("30 days by day", month), ("a year by month", year)):
                await _time_report(ledger, title, _with(query, zone=zone, group_by=(name,)))
        await _time_report(ledger, "a year by day", _with(year, bucket="1d", zone=zone, group_by=("model",)))
        await _time_report(ledger, "7 days by hour", _with(month, start=_END - 7 * _DAY, bucket="1h", zone=zone))
        one = (("key", (_key(7),)),)
        await _time_report(ledger, "a year of one key", _with(year, zone=zone, group_by=("model",), where=one))
    for name in ("key", "person"):  # as long as their answers are
        await _time_report(ledger, "a day", _with(month, start=_END - 2 * _DAY, bucket="all", group_by=(name,)))
        await _time_report(ledger, "30 days", _with(month, bucket="all", group_by=(name,)))


async def _answers(ledger: SqliteLedger) -> None:
    """Of the API: with its JSON."""
    month = UsageQuery(start=_END - 30 * _DAY, end=_END, bucket="1d", zone="Europe/Berlin")
    one, team = (("key", (_key(7),)),), (("team", ("team_07",)),)
    for title, changes in (
        ("/usage, 30 days", {}),
        ("/usage, 30 days by team", {"group_by": ("team",)}),
        ("/usage, 30 days of a team by model", {"group_by": ("model",), "where": team}),
        ("/v1/key/usage, 30 days by model", {"group_by": ("model",), "where": one}),
        ("/v1/key/usage, a day by hour", {"bucket": "1h", "start": _END - _DAY, "where": one}),
        ("/v1/key/usage, a year by month", {"bucket": "1mo", "start": _START, "where": one}),
    ):
        query = _with(month, **changes)
        await _time(title, lambda query=query: _answer(ledger, query))  # type: ignore[misc]


async def _answer(ledger: SqliteLedger, query: UsageQuery) -> Any:
    zone = ZoneInfo(query.zone)
    answer = await usage_report(ledger, query, zone, own_prices=False, reported_tags=_TAGS, most=1_000_000)
    msgspec.json.encode(answer)
    return answer["data"]


async def _time_report(ledger: SqliteLedger, title: str, query: UsageQuery) -> None:
    names = ", ".join(query.group_by) or "nothing"
    await _time(f"{title}, by {names}, {query.zone}", lambda: ledger.usage(query))


async def _pages(ledger: SqliteLedger) -> None:
    recent = EntryQuery(newest_first=True)
    for title, changes in (
        ("newest", {}),
        ("of one key", {"where": (("key", (_key(7),)),)}),
        ("of one team", {"where": (("team", ("team_07",)),)}),
        ("of a model, expensive", {"where": (("model", (_MODELS[1],)),), "min_cost": 10**7}),
        ("with errors, last year's first day", {"where": (("outcome", ("upstream_error",)),), "start": _START,
                                                "end": _START + _DAY}),
        ("that match nothing", {"where": (("end_user", ("nobody",)),)}),
    ):  # fmt: skip
        query = _with(recent, **changes)
        await _time(f"page of 100: {title}", lambda query=query: ledger.entries(query))  # type: ignore[misc]


async def _time(title: str, ask: Callable[[], Awaitable[Any]]) -> None:
    """The shortest of a few times: the rest is other programs."""
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        answer = await ask()
        times.append(time.perf_counter() - began)
        if times[-1] > _LONG:
            break
    count = len(answer) if isinstance(answer, list) else len(answer.entries)
    print(f"{title:50} {min(times) * 1e3:8.1f} ms {count:8,} rows")


def _sizes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("ledger", "usage_quarter", "usage_day", "usage_month", "ledger_series", "ledger_context")
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


def _key(person: int) -> str:
    return f"key_{person:026d}"


def entries(rows: int, keys: int) -> Iterator[Entry]:
    """Rows of a year, in the order of time; the same each time."""
    dice = random.Random(17)
    weights = [0 if day % 7 in (2, 3) else 1 for day in range(_DAYS)]
    days = sorted(dice.choices(range(_DAYS), weights, k=rows * 4 // 5) + dice.choices(range(_DAYS), k=rows // 5 + 1))
    first = 0
    for day in range(_DAYS):
        last = first
        while last < rows and days[last] == day:
            last += 1
        is_work = weights[day] == 1
        times = sorted(
            dice.randrange(8 * _HOUR, 18 * _HOUR) if is_work and dice.random() < 0.85 else dice.randrange(_DAY)
            for _ in range(first, last)
        )
        for number, offset in zip(range(first, last), times, strict=True):
            yield _entry(_START + day * _DAY + offset, number, keys)
        first = last


def _entry(at: int, number: int, keys: int) -> Entry:
    dice = number * 2_654_435_761 % (1 << 32)
    person = number % keys
    counts = TokenCounts(input=dice % 900, cache_read=dice % 90_000, cache_write=dice % 4_000, output=dice % 3_000)
    model = _MODELS[(person + (dice >> 20) % 2) % len(_MODELS)]
    deployment = f"vertex:project/global/{model}"
    return Entry(
        id=((at // 1000) << 80 | 7 << 76 | 2 << 62 | number).to_bytes(16),
        at=at,
        key=_key(person),
        person=f"usr_{person:026d}",
        team=f"team_all/team_{person % 20:02d}",
        tags=(("app", f"app-{(person + (dice >> 24) % 2) % 5}"), ("env", "prod")),
        dialect="anthropic_messages",
        operation="messages",
        requested=model,
        route=model,
        model=model,
        location="global",
        deployment=deployment,
        attempts=(AttemptEntry(deployment, "ok", counts),),
        outcome="upstream_error" if dice % 97 == 0 else "ok",
        stream=True,
        counts=counts,
        cost=Cost(
            input=counts.input * 2_000, cache_read=counts.cache_read * 100, cache_write=counts.cache_write * 2_500,
            output=counts.output * 10_000,
        ),
        price=f"{model}/2026-10-07/global",
        hold=640_000_000 + dice % 1_000,
        duration=dice % 60_000_000,
        first_content=dice % 3_000_000,
        request_bytes=dice % 500_000,
        response_bytes=dice % 40_000,
        client_request_id=f"0199f0a0-0000-7000-8000-{number:012x}",
        upstream_id=f"msg_vrtx_01{number:022d}",
        trace_id=f"{number + (1 << 120):032x}",
        agent=f"claude-cli/2.1.{person % 6} (external, cli)",
        app="cli",
    )  # fmt: skip
