"""How long a transaction of the real ledger takes: what the model of the database is given."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Final, NamedTuple

from bench.leases.world import START
from bench.stats import median
from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask
from modelmux.accounts.slices import WindowKey
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.ledger.postgres_ledger import PostgresLedger

_MANY: Final = 500
_ROUNDS: Final = 15


class Transaction(NamedTuple):
    """Seconds, medians: of an exchange of one window, more for each further window, and for each row."""

    exchange: float
    window: float
    row: float


def exchanges(url: str) -> Transaction:
    """Exchanges of one process that has the database to itself."""
    return asyncio.run(_exchanges(url))


async def _exchanges(url: str) -> Transaction:
    ledger = PostgresLedger(parse_postgres_url(url))
    numbers = itertools.count()
    try:
        one, many, rows = [
            median([await _exchange(ledger, numbers, windows, rows) for _ in range(_ROUNDS)][3:])
            for windows, rows in ((1, 0), (_MANY, 0), (1, _MANY))
        ]
    finally:
        await ledger.aclose()
    return Transaction(one, (many - one) / (_MANY - 1), (rows - one) / _MANY)


async def _exchange(ledger: PostgresLedger, numbers: itertools.count[int], windows: int, rows: int) -> float:
    keys = [WindowKey("bud_bench", f"key_{number}", 0) for number in range(windows)]
    lease = 1_000 + next(numbers)  # another one each time, so that all of them are written
    asks = {key: Ask(lease, lease, 1 << 50, lease, lease) for key in keys}
    at = START * 1_000_000
    entries = [
        Entry(
            id=(at // 1000 << 80 | 7 << 76 | 2 << 62 | next(numbers)).to_bytes(16), at=at, key=f"key_{row % 100}",
            cost=Cost(output=1), debits=((keys[0], 1),),
        )
        for row in range(rows)
    ]  # fmt: skip
    begin = time.monotonic()
    await ledger.exchange("node_bench", entries, asks, at)
    return time.monotonic() - begin
