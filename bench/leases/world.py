"""Nodes with the real lease book, exchange and writer, and the requests that they get. Time is virtual."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from bench.leases.database import Costs, Database, ModelStore, NodeLedger, Store
from bench.leases.traffic import Plan, Request, requests
from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import BETWEEN_SECONDS, LeaseBook
from modelmux.accounts.leases import Ask
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.lease_exchange import LeaseExchange
from modelmux.store.ledger.writer import LedgerWriter

#: When virtual time begins: 2026-10-20 00:00 UTC, in Unix seconds.
START: Final = 1_792_454_400
#: Seconds between two looks at what is leased.
_SAMPLED_EVERY: Final = 5.0


class TimedBook(LeaseBook):
    """:ivar seconds: of CPU that deciding what to ask for took, in reality; it is time of a node's event loop."""

    seconds = 0.0

    def asks(self, debits: Mapping[WindowKey, int], now: float, *, all_back: bool = False) -> dict[WindowKey, Ask]:
        begin = time.thread_time()
        result = super().asks(debits, now, all_back=all_back)
        self.seconds += time.thread_time() - begin
        return result


class Node:
    """One process of a gateway."""

    def __init__(self, name: str, database: Database, store: Store) -> None:
        clock = asyncio.get_running_loop().time
        self.book = TimedBook()
        ledger = cast("Ledger", NodeLedger(database, store))
        leases = LeaseExchange(ledger, self.book, name, clock, lambda: START + clock())
        self.writer = LedgerWriter(ledger, asyncio.sleep, _never, _never, leases)


def _never(*problem: object) -> None:
    raise AssertionError(problem)


@dataclass(frozen=True)
class Sample:
    """What is leased at a moment, in nano-USD, all windows and nodes together.

    :param idle: neither held by a request nor spent.
    :param stranded: the part of it in windows of which the store has less than a request needs, so that another node
        gets none before it is recalled.
    """

    at: float
    leased: int
    idle: int
    stranded: int
    slices: int


@dataclass
class Outcome:
    """What happened.

    :ivar waits: seconds that requests waited whose node had leased too little.
    :ivar while_left: refused, although what they needed was left when they came and when they were refused.
    :ivar while_enough: refused, although there was enough for all that waited.
    :ivar left: what was left when one was refused, as a share of the limit, in the window that had least.
    :ivar over: times that a window was held and spent above its limit.
    """

    database: Database
    requests: int = 0
    refused: int = 0
    while_left: int = 0
    while_enough: int = 0
    left: list[float] = field(default_factory=list)
    over: int = 0
    waits: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    deciding: float = 0.0


class World:
    """
    :param store: a model, or a real one.
    """

    def __init__(self, plan: Plan, store: Store, costs: Costs) -> None:
        self.plan, self.store = plan, store
        self.database = Database(costs)
        self.outcome = Outcome(self.database)
        self.nodes = [Node(f"node_{number}", self.database, store) for number in range(plan.nodes)]
        #: What requests hold and have spent, whatever the store knows of it.
        self.used: Counter[WindowKey] = Counter()
        #: What requests wait for.
        self.waiting: Counter[WindowKey] = Counter()
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> Outcome:
        """All requests to their end, and the end of all nodes."""
        running: set[asyncio.Task[None]] = set()
        sampling = asyncio.create_task(self._sample())
        for request in requests(self.plan):
            await asyncio.sleep(request.at - self._clock())
            task = asyncio.create_task(self._serve(request, self.nodes[request.node]))
            running.add(task)
            task.add_done_callback(running.discard)
        sampling.cancel()
        await asyncio.gather(*running)
        for node in self.nodes:
            await node.writer.aclose()
        self.outcome.deciding = sum(node.book.seconds for node in self.nodes)
        return self.outcome

    async def _serve(self, request: Request, node: Node) -> None:
        """As ``BudgetGuard`` and ``Metering`` do it."""
        outcome, hold = self.outcome, Hold({})
        outcome.requests += 1
        amounts = dict.fromkeys(request.limits, request.amount)
        if not node.book.extend(hold, amounts, request.limits, self._clock()):
            was_left = self._is_left(request)
            self.waiting.update(amounts)
            is_held = await self._obtain(request, node, hold, amounts)
            self.waiting.subtract(amounts)
            if not is_held:
                self._refused(request, was_left=was_left)
                return
        self._use(request, request.amount)
        await asyncio.sleep(request.duration)
        node.book.settle(hold, dict.fromkeys(request.limits, request.cost), self._clock())
        self._use(request, request.cost - request.amount)
        entry = self._entry(request)
        node.writer.add(lambda: entry, at_once=True)

    async def _obtain(self, request: Request, node: Node, hold: Hold, amounts: dict[WindowKey, int]) -> bool:
        """As ``BudgetGuard._extend`` for a budget that refuses."""
        since = self._clock()
        node.book.wait(amounts)
        try:
            while True:
                await node.writer.exchange()
                if node.book.extend(hold, amounts, request.limits, self._clock()):
                    return True
                if node.book.after_exchange(amounts, since, self._clock()) != "wait":
                    return False
                await asyncio.sleep(BETWEEN_SECONDS)
        finally:
            node.book.wait(amounts, -1)
            self.outcome.waits.append(self._clock() - since)

    def _refused(self, request: Request, *, was_left: bool) -> None:
        outcome, used, limits = self.outcome, self.used, request.limits.items()
        others = self.waiting
        is_left = was_left and self._is_left(request)
        outcome.refused += 1
        outcome.while_left += is_left
        outcome.while_enough += is_left and all(
            used[window] + others[window] + request.amount <= limit for window, limit in limits
        )
        outcome.left.append(min((limit - used[window]) / limit for window, limit in limits))

    def _is_left(self, request: Request) -> bool:
        return all(self.used[window] + request.amount <= limit for window, limit in request.limits.items())

    def _use(self, request: Request, amount: int) -> None:
        for window, limit in request.limits.items():
            self.used[window] += amount
            self.outcome.over += amount > 0 and self.used[window] > limit

    def _entry(self, request: Request) -> Entry:
        now = START * 1_000_000 + round(self._clock() * 1_000_000)
        id = ((now // 1000) << 80 | 7 << 76 | 2 << 62 | request.number).to_bytes(16)
        debits = tuple((window, request.cost) for window in request.limits if request.cost)
        return Entry(
            id=id, at=now, key=f"key_{request.key}", team=f"team_{request.team}", cost=Cost(output=request.cost),
            debits=debits,
        )  # fmt: skip

    async def _sample(self) -> None:
        store = self.store
        while isinstance(store, ModelStore):
            await asyncio.sleep(_SAMPLED_EVERY)
            self.outcome.samples.append(self._sampled(store))

    def _sampled(self, store: ModelStore) -> Sample:
        leased = idle = stranded = slices = 0
        limits: dict[str, int | None] = {
            "bud_all": self.plan.all_limit, "bud_key": self.plan.key_limit, "bud_team": self.plan.team_limit
        }  # fmt: skip
        for node in self.nodes:
            for window, one in node.book.slices:
                stored, limit = store.windows.get(window), limits[window.budget]
                slices += 1
                leased += one.leased
                idle += max(0, one.free)
                if stored is not None and limit is not None and limit - stored.spent - stored.leased < self.plan.hold:
                    stranded += max(0, one.free)
        return Sample(self._clock(), leased, idle, stranded, slices)


async def simulate(plan: Plan, store: Store, costs: Costs) -> Outcome:
    """One run; to be awaited in a loop of ``clock``."""
    return await World(plan, store, costs).run()
