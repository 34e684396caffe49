"""Hosts, and a PostgreSQL server on one of them, once for all tests of a process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the load is that of the benchmarks

from support import postgres
from support.cluster import Cluster, StartCluster, database_on
from support.hosts import Network, network
from support.postgres import Server

HOSTS = ("upstream", "balancer", "node1", "node2", "node3", "database1", "database2", "database3", "redis")


@pytest.fixture(scope="session")
def hosts() -> Iterator[Network]:
    reason = postgres.reason_to_skip()
    if reason is not None:
        pytest.skip(reason)
    with network(*HOSTS) as one:
        yield one


@pytest.fixture(scope="session")
def database(hosts: Network) -> Iterator[Server]:
    """Of all tests that end with it as it was."""
    server = database_on(hosts.hosts["database1"])
    yield server
    server.remove()


@pytest.fixture
def start_cluster(hosts: Network, tmp_path: Path) -> Iterator[StartCluster]:
    """Starts everything else: ``start_cluster(database)``."""
    clusters: list[Cluster] = []

    def start(server: Server, store: str | None = None, **options: Any) -> Cluster:
        clusters.append(Cluster(hosts, tmp_path, server, store or server.new_database(), **options))
        return clusters[-1]

    try:
        yield start
    finally:
        for one in clusters:
            one.close()
