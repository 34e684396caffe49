"""Risk: what is measured is not a ledger as the gateway writes it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench.ledger_fill import WrongLedger, fill, mark_filled
from bench.ledger_rows import DAY, END, START, TAGS, entries

from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger

_ROWS, _KEYS = 5_000, 700
_QUERIES = (
    UsageQuery(start=START, end=END, bucket="1mo", zone="Asia/Kolkata", group_by=("model", "team")),
    UsageQuery(start=END - 30 * DAY, end=END, bucket="1d", zone="Europe/Berlin", group_by=("tag:app",)),
    UsageQuery(start=START, end=END, group_by=("key",)),
    UsageQuery(start=END - 30 * DAY, end=END, bucket="1w", group_by=("person", "model")),
)


def test_a_filled_ledger_is_what_the_gateway_makes_of_the_same_requests(tmp_path: Path) -> None:
    filled, appended = tmp_path / "filled.db", tmp_path / "appended.db"
    assert fill(filled, _ROWS, _KEYS)
    asyncio.run(_append(appended))
    assert asyncio.run(_verified(filled)) == []
    assert asyncio.run(_reports(filled)) == asyncio.run(_reports(appended))
    assert _counts(filled) == _counts(appended)


def test_a_filled_ledger_is_used_again_if_it_is_the_one_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    assert fill(path, 50, 5)
    with pytest.raises(WrongLedger, match="not finished"):
        fill(path, 50, 5)
    mark_filled(path, 50, 5)
    assert not fill(path, 50, 5)
    with pytest.raises(WrongLedger, match="60 rows"):
        fill(path, 60, 5)


async def _append(path: Path) -> None:
    ledger = SqliteLedger(path, TAGS)
    await ledger.append(list(entries(_ROWS, _KEYS)))
    await ledger.seal_days(END)
    await ledger.aclose()


async def _verified(path: Path) -> list[object]:
    ledger = SqliteLedger(path, TAGS)
    try:
        return list(await ledger.verify())
    finally:
        await ledger.aclose()


async def _reports(path: Path) -> list[object]:
    ledger = SqliteLedger(path, TAGS)
    reports: list[list[UsageRow]] = [await ledger.usage(query) for query in _QUERIES]
    page = await ledger.entries(EntryQuery(limit=1_000))
    of_one = await ledger.entries(EntryQuery(where=(("key", (page.entries[0].key,)),), newest_first=True))
    await ledger.aclose()
    assert all(reports)
    assert len(page.entries) == 1_000
    return [reports, page, of_one]


def _counts(path: Path) -> list[tuple[str, int]]:
    """How many rows each table of the ledger has, and what says up to when days are sealed."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL ORDER BY 1"
        ).fetchall()
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").fetchall()
        counts = [(name, connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for (name,) in tables]
        return [
            *((name, 0) for (name,) in names),
            *counts,
            connection.execute("SELECT 'sealed', before FROM ledger_sealed").fetchone(),
        ]
