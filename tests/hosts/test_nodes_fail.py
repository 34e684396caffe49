"""A node of three is killed, and comes back; nodes are cut off from the database, and are reached by it again.

Risk: what a node had not written is lost with it; what it had leased is stranded, or spent twice; a node that waits for
the database lets its clients wait.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.cluster import Cluster, StartCluster, until
from support.postgres import Server
from support.traffic import Traffic, ask_all, outcome_of

CLIENTS = 6


def journals(cluster: Cluster, number: int) -> list[Path]:
    return list(cluster.nodes[number].folder.glob("*-journals/*"))


def test_a_node_that_is_killed_loses_nothing_and_strands_nothing(start_cluster: StartCluster, database: Server) -> None:
    cluster = start_cluster(database, tokens_per_second=200)
    secret = cluster.key("small", "0.5/lifetime")
    killed = cluster.nodes[1]
    with Traffic(cluster.url, secret, clients=CLIENTS) as traffic:
        traffic.until_more(60, "200")
        killed.host.swallow_new_connections()  # it is off, and answers nothing
        killed.kill()
        left = journals(cluster, 1)
        traffic.until_more(60, "200")
        killed.host.heal()
        killed.start()
        killed.wait_ready()
        traffic.until_more(60, "200")
    assert left
    until(lambda: not set(left) & set(journals(cluster, 1)), told=killed.process.output)
    cluster.stop_nodes()
    rows = cluster.check({"small": "0.5"})
    broken = traffic.outcomes["broken"]  # streams whose beginning the clients had
    assert traffic.outcomes.keys() <= {"200", "broken"}, "nginx sends what was not answered to another node"
    assert broken <= CLIENTS
    assert len(rows) >= traffic.outcomes["200"] + broken


def test_nodes_that_do_not_reach_the_database_serve_from_their_leases(
    start_cluster: StartCluster, database: Server
) -> None:
    cluster = start_cluster(database)
    secret = cluster.key("ample", "100/lifetime")
    urls = [node.url for node in cluster.nodes]
    warm = asyncio.run(ask_all(urls, secret, 360, at_once=6))
    until(lambda: cluster.row_count() == len(warm))
    swallowed, unplugged, whole = cluster.nodes
    swallowed.host.cut_off(cluster.network.hosts["database1"])
    unplugged.host.set_link("database", "down")
    during = asyncio.run(ask_all(urls, secret, 90, at_once=6))
    assert {outcome_of(response) for response in during} == {"200"}
    until(lambda: cluster.row_count() == len(warm) + 30)  # those of the node that reaches it
    assert [node.metric("modelmux_ledger_rows_waiting") for node in (swallowed, unplugged, whole)] == [30, 30, 0]
    cluster.network.heal()
    until(lambda: cluster.row_count() == len(warm) + len(during), told=swallowed.process.output)
    cluster.stop_nodes()
    rows = cluster.check({"ample": "100"})
    assert {row["kind"] for row in rows} == {"usage"}, "nothing is in doubt: no node was lost"
