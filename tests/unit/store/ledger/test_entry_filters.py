"""What a page of entries looks into to find rows by a filter. Risk: a page of the few requests that failed takes longer
than it may, since each of a hundred thousand rows is joined with what it is of before it is let go."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from modelmux.store.ledger.base import EntryPage, EntryQuery
from modelmux.store.ledger.sqlite_entries import entries
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.ledgers import HOUR, START, correction, entry

ROWS = 1_000
Where = tuple[tuple[str, tuple[str, ...]], ...]
#: Of SQLite's virtual machine for a row, of which 4 find where a step of the search ends.
MOST_INSTRUCTIONS = 11


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Many rows that did not fail, two that did, and a correction of one of these."""
    ledger = SqliteLedger(tmp_path / "accounts.db")
    rows = [entry(number, START + number * HOUR, team="data", key=f"key_{number}") for number in range(ROWS)]
    failed = [
        entry(ROWS + number, START + number * HOUR, team=team, outcome="upstream_error")
        for number, team in enumerate(("data", "other"))
    ]
    await ledger.append([*rows, *failed, correction(failed[0], 7)])
    await ledger.aclose()
    return tmp_path / "accounts.db"


def page(path: Path, query: EntryQuery) -> tuple[EntryPage, float]:
    """A page, and the instructions that it took for each row of the ledger."""
    connection, count = sqlite3.connect(path), 0

    def step() -> None:
        nonlocal count
        count += 1

    connection.set_progress_handler(step, 1)
    try:
        return entries(connection, query), count / ROWS
    finally:
        connection.close()


@pytest.mark.parametrize("where", [(), (("team", ("data",)),), (("team", ("absent",)),)])
async def test_rows_that_did_not_fail_are_not_looked_into(path: Path, where: Where) -> None:
    query = EntryQuery(where=(*where, ("outcome", ("upstream_error", "drained"))))
    found, instructions = page(path, query)
    assert instructions < MOST_INSTRUCTIONS
    by_team = {(): 3, (("team", ("data",)),): 2, (("team", ("absent",)),): 0}
    assert len(found.entries) == by_team[where]


async def test_all_rows_are_looked_into_where_those_count_that_are_fine(path: Path) -> None:
    found, _ = page(path, EntryQuery(where=(("outcome", ("ok", "upstream_error")),), limit=1000))
    assert len(found.entries) == 1000
    assert found.next is not None
