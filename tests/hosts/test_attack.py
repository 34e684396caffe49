"""Many requests at once over three nodes against a budget of $1, with nodes killed and cut off meanwhile.

Risk: what a node had leased when it was lost is spent twice. `make node-attack` has 10,000 requests, and with
`CONCURRENT=10000` all of them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import threading
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from support.cluster import Cluster, StartCluster, until
from support.postgres import Server
from support.traffic import ask, outcome_of

REQUESTS = int(os.environ.get("MODELMUX_TEST_ATTACK", "1000"))
AT_ONCE = min(REQUESTS, int(os.environ.get("MODELMUX_TEST_ATTACK_AT_ONCE", "1000")))
#: Of a prompt and a reply, so that 1,000 requests need more than the budget.
WORDS = 200
LIMIT = "1"
#: Seconds for requests that came at once: a machine with few cores needs them one after the other.
PATIENCE = 400 + AT_ONCE // 10
#: What an operator sets for so many: any node may have all of them while the others are down, as far as it may open
#: files, of which a request needs two.
LIMITS = """
[limits]
max_concurrent_requests = {}
max_queued_requests = {}
"""
#: Descriptors of a process that are not those of requests.
OTHER_FILES = 512
pytestmark = pytest.mark.timeout(900 + 3 * PATIENCE + REQUESTS // 10)


class Attack(threading.Thread):
    """:ivar most: requests that ran at once."""

    def __init__(self, url: str, secret: str) -> None:
        super().__init__()
        self._url, self._secret = url, secret
        self._connected = self._running = self.most = 0
        self.outcomes: Counter[str] = Counter()

    @property
    def ended(self) -> int:
        return self.outcomes.total()

    def run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        places, all_connected = asyncio.Semaphore(AT_ONCE), asyncio.Event()

        @contextlib.asynccontextmanager
        async def begun() -> AsyncIterator[None]:
            """The first ones begin together: when each has a connection."""
            self._connected += 1
            if self._connected == AT_ONCE:
                all_connected.set()
            await all_connected.wait()
            self._running += 1
            self.most = max(self.most, self._running)
            try:
                yield
            finally:
                self._running -= 1

        async def one(number: int) -> None:
            async with places:
                response = await ask(self._url, self._secret, number, WORDS, PATIENCE, begun)
                self.outcomes[outcome_of(response)] += 1

        await asyncio.gather(*(one(number) for number in range(REQUESTS)))

    def until_share(self, share: float) -> None:
        until(lambda: self.ended >= share * REQUESTS, PATIENCE, told=lambda: self.outcomes)


def disturb(cluster: Cluster, attack: Attack) -> None:
    first, second, third = cluster.nodes
    attack.until_share(0.05)
    first.kill()
    attack.until_share(0.1)
    second.host.cut_off(cluster.network.hosts["database1"])
    first.start()
    attack.until_share(0.2)
    third.host.set_link("database", "down")
    first.wait_ready()
    attack.until_share(0.3)
    cluster.network.heal()
    third.kill()
    third.start()
    third.wait_ready()


async def use_up(url: str, secret: str) -> set[str]:
    """How some requests end that cost much."""
    return {outcome_of(one) for one in await asyncio.gather(*(ask(url, secret, WORDS - 1, WORDS) for _ in range(20)))}


def test_a_budget_is_not_passed_whatever_becomes_of_nodes(start_cluster: StartCluster, database: Server) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    most_of_node = min(AT_ONCE, (most - OTHER_FILES) // 2)
    tables = LIMITS.format(most_of_node, AT_ONCE) if AT_ONCE > 1000 else ""
    cluster = start_cluster(database, tables=tables, balancers=1 + AT_ONCE // 2500)
    secret = cluster.key("small", f"{LIMIT}/lifetime")
    attack = Attack(cluster.url, secret)
    attack.start()
    try:
        disturb(cluster, attack)
    finally:
        attack.join()
    print(f"{attack.most} at once: {dict(attack.outcomes)}")
    assert attack.most == AT_ONCE
    until(lambda: "429" in asyncio.run(use_up(cluster.url, secret)), PATIENCE)  # whatever was cut off before
    cluster.stop_nodes()
    rows = cluster.check({"small": LIMIT})
    billed = sum(Decimal(entry["cost"]) for entry in cluster.bill().values())
    spent = sum(Decimal(row["cost_usd"]) for row in rows)
    print(f"billed {billed}, spent {spent}")
    assert Decimal(LIMIT) / 2 < billed <= spent <= Decimal(LIMIT)
