"""Risk: a value that a client or an operator chose becomes a part of a statement."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields, replace

from modelmux.accounts.entry import Entry
from modelmux.accounts.usage_query import UsageQuery
from modelmux.store import accounts_file
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.slots import QUARTER
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.ledgers import entry

CANARY = "x'; canary"
DIMENSIONS = ("key", "team", "person", "model")


def full_of_canaries(number: int) -> Entry:
    """An entry whose texts are all the canary."""
    plain = entry(number)
    texts: Any = {
        field.name: CANARY
        for field in fields(Entry)
        if "str" in str(field.type) and "tuple" not in str(field.type) and field.name not in ("kind", "corrects")
    }
    return replace(plain, tags=(("app", CANARY),), **texts)


async def test_no_value_is_a_part_of_a_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: set[str] = set()

    class Recording(accounts_file._Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            statements.add(sql)
            return super().execute(sql, *values)

        def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:
            statements.add(sql)
            return super().executemany(sql, *values)

    monkeypatch.setattr(accounts_file, "_Connection", Recording)
    ledger = SqliteLedger(tmp_path / "accounts.db", ("app",))
    rows = [full_of_canaries(number) for number in range(3)]
    await ledger.append(rows)
    where = tuple((name, (CANARY, "other")) for name in (*DIMENSIONS, "tag:app"))
    query = UsageQuery(
        start=0, end=2**60 // QUARTER * QUARTER, bucket="all", group_by=(*DIMENSIONS, "tag:app"), where=where
    )
    await ledger.usage(query)
    for name in (*DIMENSIONS, "outcome", "end_user", "tag:app"):
        found = await ledger.entries(EntryQuery(where=((name, (CANARY,)),), after=b"canary" + bytes(10)))
        assert found.next is None
    await ledger.corrections([row.id for row in rows])
    await ledger.verify(repair=True)
    await ledger.aclose()
    assert len(statements) > 30
    assert not [sql for sql in statements if "canary" in sql.lower()]
