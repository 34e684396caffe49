"""The clock of one node of three is an hour ahead.

Risk: budgets are passed, because the node is in another window or takes others for lost; a key that was revoked works
on where the clock is wrong.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from support.cluster import Cluster, StartCluster, until
from support.postgres import Server
from support.traffic import ask, ask_all, outcome_of

LIBRARIES = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]


def use_up(cluster: Cluster, secret: str) -> None:
    """Until each node has refused some."""
    urls = [node.url for node in cluster.nodes]
    outcomes = {outcome_of(one) for one in asyncio.run(ask_all(urls, secret, 150, at_once=30))}
    assert outcomes <= {"200", "429", "broken"}
    for url in urls:
        until(lambda url=url: outcome_of(asyncio.run(ask(url, secret, 1))) == "429")  # type: ignore[misc]


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (on Debian: faketime)")
def test_budgets_hold_where_clocks_differ(start_cluster: StartCluster, database: Server) -> None:
    ahead = {"LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    cluster = start_cluster(database, variables=({}, ahead, {}))
    lifetime = cluster.key("lifetime", "0.01/lifetime")
    hour = cluster.key("hour", "0.01/hour")
    use_up(cluster, lifetime)
    use_up(cluster, hour)
    cluster.command("keys", "revoke", "hour")
    for node in cluster.nodes:
        until(lambda node=node: outcome_of(asyncio.run(ask(node.url, hour, 0))) == "401")  # type: ignore[misc]
    cluster.stop_nodes()
    rows = cluster.check({"lifetime": "0.01"})
    assert {row["kind"] for row in rows} == {"usage"}, "no node takes another for lost"
    budget = json.loads(cluster.command("budget", "show", "hour", "--json"))["id"]
    windows = cluster.database.execute(f"SELECT spent FROM budget_window WHERE budget = '{budget}'", cluster.name)
    spent = [Decimal(amount) / 10**9 for (amount,) in windows]
    assert len(spent) >= 2, "each node counts in the hour of its own clock"
    assert all(one <= Decimal("0.01") for one in spent)
