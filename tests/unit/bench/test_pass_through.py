"""Risk: queries of the benchmark are counted where there are none, or bytes get lost on their way."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench.pass_through import Counts, Messages, pass_through

from support.postgres import Server


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", 4 + len(body)) + body


TLS_WANTED = struct.pack("!II", 8, 80877103)
START = struct.pack("!II", 8 + 10, 196608) + b"user\0me\0\0\0"
#: A query, and one with parameters, whose text and values have letters of messages.
TALK = b"".join(
    [
        TLS_WANTED, START, message(b"p", b"QE" * 50), message(b"Q", b"BEGIN; SELECT 1\0"),
        message(b"P", b"\0QES\0\0\0"), message(b"D", b"S\0"), message(b"S"),
        message(b"B", b"Q" * 300), message(b"E", b"\0" * 5), message(b"S"), message(b"X"),
    ]
)  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, len(TALK)])
def test_messages_in_pieces_of_any_size(size: int) -> None:
    messages = Messages()
    for begin in range(0, len(TALK), size):
        messages.feed(TALK[begin : begin + size])
    assert (messages.queries, messages.trips) == (2, 3)


def test_what_passes_to_a_server_is_counted(postgres_server: Server) -> None:
    import asyncio

    import asyncpg

    async def talk(port: int) -> int:
        connection = await asyncpg.connect(postgres_server.url("postgres", port), statement_cache_size=0, timeout=60)
        before = between.counts()
        length = len(await connection.fetchval("SELECT repeat('x', $1::integer)", 100_000))
        await connection.execute("SELECT 1; SELECT 2")
        counts = between.counts().since(before)
        assert counts == Counts(counts.sent, counts.received, queries=2, trips=3)  # it is prepared, and then run
        assert 100_000 < counts.received < 101_000
        assert 50 < counts.sent < 1_000
        await connection.close()
        return length

    with pass_through(postgres_server.port) as between:
        assert asyncio.run(talk(between.port)) == 100_000
