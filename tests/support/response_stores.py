"""Stored responses for tests, and a program that puts them until it is killed."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

from modelmux.dialects.stored_responses import StoredItem, StoredResponse
from modelmux.store.base import ResponseLimits
from modelmux.store.sqlite_responses import ITEM_OVERHEAD, RESPONSE_OVERHEAD, SqliteResponseStore

#: The owner of a test that has one.
ANN = "ann"


def item(id: str, data: str | None = None) -> StoredItem:
    return StoredItem(id, (f"data of {id}" if data is None else data).encode("utf-8", "replace"))


def response(
    id: str,
    previous_id: str | None = None,
    *,
    input: tuple[StoredItem, ...] | None = None,
    output: tuple[StoredItem, ...] | None = None,
    **fields: Any,
) -> StoredResponse:
    """A response with one item in and one out, unless they are given."""
    return StoredResponse(
        id=id,
        created_at=fields.get("created_at", 1_800_000_000),
        previous_id=previous_id,
        input=(item(f"in_{id}"),) if input is None else input,
        output=(item(f"out_{id}"),) if output is None else output,
        body=fields.get("body", b'{"id":"' + id.encode("utf-8", "replace") + b'"}'),
    )


def counted(path: Path) -> tuple[int, int]:
    """Bytes and items of a file, counted anew; its totals have to be the same."""
    connection = sqlite3.connect(path)
    try:
        one = connection.execute("SELECT coalesce(sum(length(data)), 0) FROM contents").fetchone()[0]
        count, bodies = connection.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM responses").fetchone()
        items = connection.execute("SELECT count(*) FROM items").fetchone()[0]
        totals: tuple[int, int] = connection.execute("SELECT bytes, items FROM totals").fetchone()
        held = connection.execute("SELECT count(DISTINCT content) FROM items").fetchone()[0]
        contents = connection.execute("SELECT count(*) FROM contents").fetchone()[0]
        orphans = connection.execute(
            "SELECT count(*) FROM items WHERE response NOT IN (SELECT number FROM responses) "
            "OR content NOT IN (SELECT number FROM contents)"
        ).fetchone()[0]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()
    assert totals == (one + bodies + RESPONSE_OVERHEAD * count + ITEM_OVERHEAD * items, items)
    assert (held, orphans) == (contents, 0)
    return totals


def endless(name: str, number: int) -> StoredResponse:
    """The responses that ``main`` puts: one conversation, each with the whole history."""
    history = tuple(item(f"{name}_{n}", f"item {n} " * 200) for n in range(max(0, number - 20), number))
    previous = f"{name}_{number - 1}" if number else None
    return response(f"{name}_{number}", previous, input=history, output=(item(f"out_{name}_{number}"),))


async def main(path: str, name: str, count: int) -> None:
    """Put responses, and print the number of each that is stored."""
    store = SqliteResponseStore(Path(path), lambda: 1_000.0, ResponseLimits(), busy_timeout=60.0)
    for number in range(count):
        await store.put(ANN, endless(name, number))
        print(number, flush=True)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
