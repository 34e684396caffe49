"""The model of the database: how long a transaction takes, and what it grants.

What is granted is decided by the function that the real stores call. Windows, rows of rollups and leases are numbers in
memory. The model is checked against PostgreSQL in ``tests/unit/bench/test_leases.py``.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from modelmux.accounts.alerts import Watch
from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import sums
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import WindowKey
from modelmux.store.ledger.stored_windows import StoredWindow, answered


class Store(Protocol):
    """Where windows and leases are."""

    def exchange(
        self, holder: str, entries: Sequence[Entry], asks: Mapping[WindowKey, Ask], now: int
    ) -> dict[WindowKey, Grant]:
        """As ``Ledger.exchange``, all at once."""
        ...

    def recalled(self, holder: str, now: int) -> Collection[WindowKey]:
        """As ``Ledger.recalled``."""
        ...


class ModelStore:
    """:ivar recalls: how often a process was told that it has to wait for what others have."""

    def __init__(self) -> None:
        self.windows: dict[WindowKey, StoredWindow] = {}
        self.leases: dict[str, dict[WindowKey, int]] = {}
        self.recalls = 0

    def exchange(
        self, holder: str, entries: Sequence[Entry], asks: Mapping[WindowKey, Ask], now: int
    ) -> dict[WindowKey, Grant]:
        leases = self.leases.setdefault(holder, {})
        for key, amount in sums(entry.debits for entry in entries).items():
            window = self.windows.get(key, StoredWindow())
            of_lease = amount if key in leases else 0
            self.windows[key] = window._replace(spent=window.spent + amount, leased=window.leased - of_lease)
            if of_lease:
                _set(leases, key, leases[key] - of_lease)
        grants = {}
        for key, ask in asks.items():
            window = self.windows.get(key, StoredWindow())
            answer, after = answered(ask, window, leases.get(key, 0), now)
            if after is not None:
                self.recalls += after.recalled != window.recalled
                self.windows[key] = after
                _set(leases, key, answer.leased)
            grants[key] = answer
        return grants

    def recalled(self, holder: str, now: int) -> set[WindowKey]:
        return {window for window in self.leases.get(holder, {}) if self.windows[window].recalled > now}


def _set(leases: dict[WindowKey, int], key: WindowKey, amount: int) -> None:
    leases.pop(key, None)
    if amount:
        leases[key] = amount


@dataclass(frozen=True)
class Costs:
    """Seconds that a transaction takes. ``python -m bench scale`` measures them.

    :param before: until the first row is locked; ``after``: from then to the end, so long others wait for these rows.
    :param per_window, per_row: more for each window, and for each row of the ledger, while the rows are locked.
    :param look: a transaction that only looks which windows are recalled; it waits for no rows.
    :param cpu: the share of all of these in which a core of the database works.
    """

    before: float = 0.002
    after: float = 0.004
    per_window: float = 40e-6
    per_row: float = 100e-6
    look: float = 0.002
    cpu: float = 0.5
    cores: int = 8


@dataclass
class Database:
    """When transactions end: they wait for a core, and for rows that others have locked.

    :ivar waits: seconds that each waited for rows. :ivar times: seconds that each took, all in all.
    :ivar sizes: windows of each. :ivar looks: transactions that only looked. :ivar busy: seconds of cores.
    """

    costs: Costs
    waits: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    rows: int = 0
    looks: int = 0
    busy: float = 0.0

    def __post_init__(self) -> None:
        self._cores = [0.0] * self.costs.cores
        self._free_at: dict[Hashable, float] = {}

    async def transaction(self, locks: Sequence[Hashable], windows: int, rows: int) -> None:
        """Wait as long as one takes. Those that lock the same row end in the order in which they lock it."""
        costs, now = self.costs, asyncio.get_running_loop().time()
        work = costs.per_window * windows + costs.per_row * rows
        cpu = costs.cpu * (costs.before + costs.after + work)
        begin = max(now, heapq.heappop(self._cores))
        heapq.heappush(self._cores, begin + cpu)
        ready = begin + costs.before
        locked = max(ready, self._last(locks))
        end = locked + costs.after + work
        self._free_at |= dict.fromkeys(locks, end)
        self.busy += cpu
        self.waits.append(locked - ready)
        self.times.append(end - now)
        self.sizes.append(windows)
        await asyncio.sleep(end - now)
        self.rows += rows  # not of one that is given up meanwhile

    async def look(self) -> None:
        """Wait as long as it takes to look which windows are recalled."""
        now, cpu = asyncio.get_running_loop().time(), self.costs.cpu * self.costs.look
        begin = max(now, heapq.heappop(self._cores))
        heapq.heappush(self._cores, begin + cpu)
        self.busy += cpu
        self.looks += 1
        await asyncio.sleep(begin + self.costs.look - now)

    def _last(self, locks: Iterable[Hashable]) -> float:
        get = self._free_at.get
        return max((get(lock, 0.0) for lock in locks), default=0.0)


class NodeLedger:
    """What a node has as its ledger: it passes virtual time, and then asks the store."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database, self._store = database, store

    def check_entry(self, entry: Entry) -> None:
        """All can be stored."""

    def check_spent(self, entry: Entry) -> None:
        """All can be stored."""

    async def leave(self, holder: str) -> None:
        """Nothing is asked for who is alive."""

    async def append(self, entries: Sequence[Entry]) -> None:
        await self.exchange("", entries, {}, 0, {})

    async def exchange(
        self, holder: str, entries: Sequence[Entry], asks: Mapping[WindowKey, Ask], now: int,
        watches: Mapping[WindowKey, Watch],
    ) -> dict[WindowKey, Grant]:  # fmt: skip
        del watches  # no budget tells of thresholds
        windows = sums(entry.debits for entry in entries).keys() | asks.keys()
        # Rows of a team and a model are added up in rows of rollups that all nodes share, until the end of a month.
        groups = dict.fromkeys(entry.team for entry in entries)
        await self._database.transaction([*groups, *windows], len(windows), len(entries))
        return self._store.exchange(holder, entries, asks, now)

    async def recalled(self, holder: str, now: int) -> Collection[WindowKey]:
        await self._database.look()
        return self._store.recalled(holder, now)

    async def aclose(self) -> None:
        """Nothing is open."""
