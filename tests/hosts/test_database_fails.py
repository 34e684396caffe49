"""The database stands still, and is replaced by its standby, while nodes serve.

Risk: requests wait for the database, or are refused although their budgets have leases left; a row that a primary had
confirmed is not on the standby; nodes stay with the primary that is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
from collections.abc import Iterator

import pytest
from bench.client import Response

from support.cluster import Standby, StartCluster, database_on, until
from support.hosts import Network, as_other_user
from support.postgres import PASSWORD, QUOTED, USER, Server
from support.traffic import Traffic, ask_all, outcome_of

#: Seconds that the database stands still.
OUTAGE = float(os.environ.get("MODELMUX_OUTAGE_SECONDS", "4"))
REQUESTS = 120
AT_ONCE = 6
pytestmark = pytest.mark.timeout(900 + OUTAGE)


def p99(responses: list[Response]) -> float:
    """Milliseconds."""
    return statistics.quantiles([1000 * (one.ended_at - one.sent_at) for one in responses], n=100)[-1]


def test_no_request_waits_for_a_database_that_stands_still(start_cluster: StartCluster, database: Server) -> None:
    cluster = start_cluster(database)
    secret = cluster.key("ample", "100/lifetime")
    urls = [node.url for node in cluster.nodes]
    before = asyncio.run(ask_all(urls, secret, 4 * REQUESTS, at_once=AT_ONCE))  # so that leases are for more
    until(lambda: cluster.row_count() == len(before))
    host = cluster.network.hosts["database1"]
    host.signal(signal.SIGSTOP)
    try:
        # That they end at all before the database goes on shows that none waits for it.
        during = asyncio.run(ask_all(urls, secret, REQUESTS, at_once=AT_ONCE, pause=OUTAGE * AT_ONCE / REQUESTS))
        waiting = sum(node.metric("modelmux_ledger_rows_waiting") for node in cluster.nodes)
    finally:
        host.signal(signal.SIGCONT)
    print(f"p99 before {p99(before):.0f} ms, during {p99(during):.0f} ms, {OUTAGE:.0f} s")
    assert waiting == REQUESTS, "the database did stand still"
    assert {outcome_of(response) for response in before + during} == {"200"}
    until(lambda: cluster.row_count() == len(before) + len(during))
    cluster.stop_nodes()
    rows = cluster.check({"ample": "100"})
    assert {row["kind"] for row in rows} == {"usage"}


@pytest.fixture
def pair(hosts: Network) -> Iterator[tuple[Server, Standby]]:
    """A primary, and a standby that has each row before the primary confirms it."""
    primary = database_on(hosts.hosts["database2"], synchronous_commit="on")
    try:
        host = hosts.hosts["database3"]
        standby = Standby(primary, host.addresses["database"], as_other_user(host))
        try:
            primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'", "postgres")
            primary.execute("SELECT pg_reload_conf()", "postgres")
            state = "SELECT sync_state FROM pg_stat_replication"
            until(lambda: primary.execute(state, "postgres") == [("quorum",)])
            yield primary, standby
        finally:
            standby.remove()
    finally:
        primary.remove()


def test_a_standby_that_is_promoted_has_every_row(start_cluster: StartCluster, pair: tuple[Server, Standby]) -> None:
    primary, standby = pair
    name = primary.new_database().rpartition("/")[2]
    hosts = ",".join(f"{one.address}:{one.port}" for one in pair)
    cluster = start_cluster(
        primary, f"postgresql://{USER}:{QUOTED}@{hosts}/{name}?target_session_attrs=read-write", tokens_per_second=200
    )
    assert PASSWORD not in cluster.nodes[0].process.output()
    secret = cluster.key("ample", "100/lifetime")
    old = cluster.network.hosts["database2"]
    with Traffic(cluster.url, secret) as traffic:
        traffic.until_more(200, "200")
        old.swallow_new_connections()  # it is off, and answers nothing
        old.kill()
        traffic.until_more(30, "200")
        standby.promote()
        cluster.database = standby
        before = cluster.row_count()
        until(lambda: cluster.row_count() > before, told=cluster.nodes[0].process.output)
        traffic.until_more(30, "200")
    # Nothing but that leases were used up, for nobody limited the clients.
    assert traffic.outcomes.keys() <= {"200", "503", "broken"}
    until(lambda: cluster.row_count() >= len(traffic.responses))
    cluster.stop_nodes()
    rows = cluster.check({"ample": "100"})
    assert {row["kind"] for row in rows} == {"usage"}
