"""Nodes that share budgets, and are cut off, killed and back again. Time is virtual, the ledger any one of nodes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from msgspec.structs import replace

from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.late_rows import taken_back
from modelmux.accounts.lease_book import LeaseBook
from modelmux.accounts.lease_term import LeaseTerm
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.accounts.uuid7 import uuid7
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.lease_exchange import LeaseExchange
from modelmux.store.ledger.postgres_windows import LockedWindows, totals
from modelmux.store.ledger.stored_windows import StoredWindow
from modelmux.store.nodes import Renewal

MICRO = 1_000_000
AT = 1_790_000_000 * MICRO
Rows = Mapping[WindowKey, int]


class SharedLedger(Protocol):
    async def exchange(
        self, holder: str, entries: Sequence[Entry], asks: Mapping[WindowKey, Ask], now: int, watches: Any = ...
    ) -> Mapping[WindowKey, Grant]: ...

    async def recalled(self, holder: str, now: int) -> Collection[WindowKey]: ...

    async def renew(self, holder: str, node: str, lost_after: float) -> Renewal: ...

    async def end_holder(
        self, holder: str, make_row: Callable[[WindowKey, int], Entry] | None = None, make_alert: Any = ...
    ) -> None: ...

    async def windows(self, windows: Sequence[WindowKey]) -> Mapping[WindowKey, tuple[int, int]]: ...


class ModelLedger:
    """What PostgreSQL has of windows, in dictionaries. The decisions are those of the product."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.rows: dict[bytes, Entry] = {}
        self.stored: dict[WindowKey, StoredWindow] = {}
        self.leases: dict[str, dict[WindowKey, int]] = {}
        self.lost: dict[str, list[bytes]] = {}

    async def exchange(
        self,
        holder: str,
        entries: Sequence[Entry],
        asks: Mapping[WindowKey, Ask],
        now: int,
        watches: Any = MappingProxyType({}),
    ) -> dict[WindowKey, Grant]:
        late = self._begun(holder)
        windows = self._append(holder, entries, late, asks)
        grants = windows.answer(asks, round(self._clock() * MICRO))
        self._write(holder, windows)
        return grants

    async def recalled(self, holder: str, now: int) -> set[WindowKey]:
        at = round(self._clock() * MICRO)
        return {window for window in self.leases.get(holder, {}) if self.stored[window].recalled > at}

    async def renew(self, holder: str, node: str, lost_after: float) -> Renewal:
        self._write(holder, self._append(holder, [], self._begun(holder)))
        return Renewal()

    async def end_holder(
        self,
        holder: str,
        make_row: Callable[[WindowKey, int], Entry] | None = None,
        make_alert: Callable[[], Any] = lambda: None,
    ) -> None:
        if holder in self.leases:
            charged = {window: amount for window, amount in self.leases[holder].items() if amount > 0}
            entries = [] if make_row is None else [make_row(*one) for one in charged.items()]
            windows = self._append(holder, entries, [], self.leases[holder])
            if entries:
                self.lost[holder] = [one.id for one in entries]
        elif make_row is None:
            windows = self._append(holder, [], self._taken(holder))
        else:
            return
        windows.give_back()
        self._write(holder, windows)
        self.leases.pop(holder, None)

    async def windows(self, windows: Sequence[WindowKey]) -> dict[WindowKey, tuple[int, int]]:
        return {window: self.stored.get(window, StoredWindow())[:2] for window in windows}

    def _begun(self, holder: str) -> list[Entry]:
        if holder in self.leases:
            return []
        self.leases[holder] = {}
        return self._taken(holder)

    def _taken(self, holder: str) -> list[Entry]:
        late = []
        for id in self.lost.pop(holder, []):
            one = taken_back(self.rows[id], [row for row in self.rows.values() if row.corrects == id])
            late += [] if one is None else [one]
        return late

    def _append(self, holder: str, entries: Sequence[Entry], late: Sequence[Entry], others: Any = ()) -> LockedWindows:
        new = [one for one in (*late, *entries) if one.id not in self.rows]
        self.rows |= {one.id: one for one in new}
        debits = totals(debit for one in new for debit in one.debits)
        wanted = {*debits, *others}
        leases = self.leases.get(holder, {})
        windows = LockedWindows(
            holder,
            {key: self.stored.get(key, StoredWindow()) for key in wanted},
            {key: leases[key] for key in wanted if key in leases},
        )
        windows.resume(window for one in late for window, _ in one.debits)
        windows.spend(debits)
        self._wanted = wanted
        return windows

    def _write(self, holder: str, windows: LockedWindows) -> None:
        self.stored |= windows.windows
        if holder in self.leases:
            leases = self.leases[holder]
            for key in self._wanted:
                leases.pop(key, None)
            leases |= windows.leases


class Link:
    """Of one process to the ledger. :ivar state: ``cut``: nothing arrives; ``deaf``: no answer does."""

    def __init__(self, ledger: SharedLedger) -> None:
        self._ledger = ledger
        self.state = "up"

    async def exchange(self, *arguments: Any) -> Any:
        return await self._call(self._ledger.exchange, *arguments)

    async def recalled(self, *arguments: Any) -> Any:
        return await self._call(self._ledger.recalled, *arguments)

    async def append(self, entries: Sequence[Entry]) -> None:
        await self._call(self._ledger.exchange, "", entries, {}, 0)

    async def renew(self, *arguments: Any) -> Renewal:
        return await self._call(self._ledger.renew, *arguments)  # type: ignore[no-any-return]

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        if self.state == "cut":
            raise StoreFailed("no route to host")
        answer = await method(*arguments)
        if self.state == "deaf":
            raise StoreFailed("no answer")
        return answer


class Node:
    """A process: its leases, what its requests hold, and the rows that wait. All of that is in its journal, too."""

    def __init__(self, name: str, ledger: SharedLedger, world: LostNodes) -> None:
        self.name = name
        self.link = Link(ledger)
        self.book, self.term = LeaseBook(), LeaseTerm()
        self.exchange = LeaseExchange(
            self.link, self.book, name, world.clock, world.clock, term=self.term,  # type: ignore[arg-type]
        )  # fmt: skip
        self.holds: list[tuple[Hold, Rows]] = []
        self.waiting: list[Entry] = []


class LostNodes:
    """
    :param limits: of windows.
    :ivar spent: what requests that are over did cost, whether it is written or not.
    :ivar gone: those whose disk is lost, with what they had held.
    """

    def __init__(self, names: Sequence[str], limits: Rows, ledger: SharedLedger | None = None) -> None:
        self.now = 0.0
        self.limits = dict(limits)
        self.ledger: SharedLedger = ledger or ModelLedger(self.clock)
        self._numbers = itertools.count(1)
        self.nodes = {name: Node(f"{name}-1", self.ledger, self) for name in names}
        self.dead: list[Node] = []
        self.spent: Counter[WindowKey] = Counter()

    def clock(self) -> float:
        return self.now

    def row(self, debits: Rows, **changes: Any) -> Entry:
        number = next(self._numbers)
        row = Entry(id=uuid7(AT + number, number.to_bytes(8, "big")), at=AT + number, debits=tuple(debits.items()))
        return replace(row, **changes)

    def lease_row(self, window: WindowKey, amount: int) -> Entry:
        return self.row({window: amount}, kind="in_doubt", key="unknown", cost=Cost(), recovered=True)

    def reserve(self, name: str, amounts: Rows) -> bool:
        """As ``BudgetGuard`` does it."""
        node, hold = self.nodes[name], Hold({})
        if node.term.has_ended(self.now) or not node.book.extend(hold, amounts, self.limits, self.now):
            return False
        node.holds.append((hold, amounts))
        return True

    async def obtain(self, name: str, amounts: Rows) -> bool:
        """With an exchange, if the lease does not suffice."""
        if self.reserve(name, amounts):
            return True
        node = self.nodes[name]
        if node.term.has_ended(self.now):
            await self.exchange(name)
            if self.reserve(name, amounts):
                return True
        node.book.wait(amounts)
        await self.exchange(name)
        node.book.wait(amounts, -1)
        return self.reserve(name, amounts)

    def settle(self, name: str, index: int, share: float) -> None:
        node = self.nodes[name]
        hold, amounts = node.holds.pop(index)
        costs = {window: int(amount * share) for window, amount in amounts.items()}
        node.book.settle(hold, costs, self.now)
        node.waiting.append(self.row({window: cost for window, cost in costs.items() if cost}))
        self.spent.update(costs)

    async def exchange(self, name: str) -> bool:
        """Whether it succeeded. Rows that are not known to be written are written again."""
        node = self.nodes[name]
        rows = list(node.waiting)
        try:
            await node.exchange.write(rows)
        except StoreFailed:
            return False
        del node.waiting[: len(rows)]
        return True

    async def renew(self, name: str) -> None:
        node, began = self.nodes[name], self.now
        try:
            await node.link.renew(node.name, name, 60.0)
        except StoreFailed:
            return
        node.term.renewed(began, self.now)

    async def end(self, holder: str) -> None:
        """Another node does it, when this one has not renewed its leases for too long."""
        await self.ledger.end_holder(holder, self.lease_row)

    def kill(self, name: str) -> None:
        """Its journal stays. Its requests are charged what they held, when that is found."""
        node = self.nodes[name]
        while node.holds:
            self.settle(name, 0, 1.0)
        self.dead.append(node)
        number = int(node.name.rpartition("-")[2]) + 1
        self.nodes[name] = Node(f"{name}-{number}", self.ledger, self)

    async def recover(self, index: int) -> None:
        """As ``Recovery`` does it with a journal that is whole."""
        node = self.dead.pop(index)
        await self.ledger.exchange(node.name, node.waiting, {}, AT)
        await self.ledger.end_holder(node.name)

    async def come_to_rest(self) -> None:
        """All requests are over, all nodes can write, and all journals were found."""
        for name, node in self.nodes.items():
            node.link.state = "up"
            while node.holds:
                self.settle(name, 0, 0.5)
        while self.dead:
            await self.recover(0)
        for name, node in self.nodes.items():
            node.exchange.is_ending = True
            assert await self.exchange(name)
            node.exchange.is_ending = False
