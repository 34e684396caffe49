"""Three nodes share the limit of a key by a Redis server on a host of its own, which is cut off and reached again.

Risk: nodes pass a limit by more than docs/accounts.md says, with the server, without it, or when it comes back; packets
that nobody answers hold up requests.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Iterator

import pytest
from bench.client import Response

from modelmux.accounts.limit_leases import first_part
from modelmux.store.redis.connection import CONNECT_TIMEOUT
from modelmux.store.redis.script import COMMON
from support import redis
from support.cluster import Cluster, Node, StartCluster, until
from support.hosts import Network
from support.postgres import Server
from support.processes import START_SECONDS
from support.traffic import ask_all, outcome_of

NODES = 3
LIMIT = 30
#: How many may pass in a minute with the server.
MOST = LIMIT + NODES * first_part(LIMIT, NODES)


@pytest.fixture
def server(hosts: Network) -> Iterator[redis.Server]:
    host = hosts.hosts["redis"]
    with redis.redis_server(address=host.addresses["database"], prefix=host.prefix()) as one:
        one.execute("SET", COMMON[0], "1")  # leases are granted from the start
        yield one


class Storm:
    """Requests of a new key. :ivar admitted: when one was sent, and the number of its node."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._nodes = cluster.nodes
        self._secret = cluster.key(name, "100/lifetime", "--rpm", str(LIMIT))
        self.admitted: list[tuple[float, int]] = []

    def send(self, count: int, *numbers: int) -> list[Response]:
        """To these nodes, or to all, in turn."""
        chosen = numbers or tuple(range(NODES))
        urls = [self._nodes[number].url for number in chosen]
        responses = asyncio.run(ask_all(urls, self._secret, count, at_once=1))
        for number, response in enumerate(responses):
            assert outcome_of(response) in ("200", "429"), response
            if outcome_of(response) == "200":
                self.admitted.append((response.sent_at, chosen[number % len(chosen)]))
        return responses

    def until_admitted(self, count: int, *numbers: int) -> None:
        def enough() -> bool:
            self.send(3 * len(numbers or range(NODES)), *numbers)
            return len(self.admitted) >= count

        until(enough, START_SECONDS, told=lambda: Counter(number for _, number in self.admitted))

    def most(self) -> int:
        """In the fullest minute. An admission is a moment after its request was sent, so it is a bit shorter."""
        times = [at for at, _ in self.admitted]
        return max(sum(start <= at < start + 59.0 for at in times) for start in times)


def until_shared(nodes: list[Node], value: float) -> None:
    until(lambda: all(node.metric("modelmux_limits_shared") == value for node in nodes))


def test_limits_hold_while_the_server_is_cut_off_and_after(
    start_cluster: StartCluster, database: Server, server: redis.Server
) -> None:
    cluster = start_cluster(database, tables=f'[limits]\nredis = "{server.url}"\n')
    nodes, network = cluster.nodes, cluster.network
    until_shared(nodes, 1.0)
    until(lambda: server.execute("ZCARD", COMMON[2]) == f":{NODES}")
    full = Storm(cluster, "full")
    full.until_admitted(LIMIT)
    full.send(15)
    assert full.most() <= MOST

    for node in nodes:
        node.host.cut_off(network.hosts["redis"])
    during = full.send(15)  # leases are valid for a moment
    until_shared(nodes, 0.0)
    fresh = Storm(cluster, "fresh")
    during += fresh.send(LIMIT + 15) + full.send(15)
    assert all(node.metric("modelmux_limits_shared") == 0.0 for node in nodes)
    shares = Counter(number for _, number in fresh.admitted)
    assert shares == dict.fromkeys(range(NODES), LIMIT // NODES), "the limit divided by the nodes"
    assert full.most() <= MOST, "nobody takes a part of what others have counted"
    waited = statistics.median(one.ended_at - one.sent_at for one in during)
    print(f"median while it was cut off {1000 * waited:.0f} ms")
    assert waited < CONNECT_TIMEOUT, "no request waits for it"

    network.heal()
    until_shared(nodes, 1.0)
    after = Storm(cluster, "after")
    after.until_admitted(LIMIT, 0)  # one node may use what no other does
    after.send(15)
    assert after.most() <= MOST
    assert full.most() <= MOST
    for node in nodes:
        output = node.process.output()
        assert output.count("each node takes its part of the rate limits") == 1
        assert output.count("rate limits are shared with other nodes again") == 1
        assert redis.PASSWORD not in output
    cluster.stop_nodes()
