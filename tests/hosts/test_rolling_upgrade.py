"""Nodes are replaced one after the other behind nginx, as docs/deployment.md says, while clients call and stream: those
of an earlier version by a later one, which migrates.

Risk: a node that stops refuses or cuts off what it has accepted; nginx sends to one that is not ready.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai

from support.cluster import MODEL, Cluster, StartCluster, until
from support.earlier import Versions
from support.postgres import Server
from support.traffic import Traffic


def stream(url: str, secret: str, is_over: threading.Event) -> int:
    """With the real SDK, which repeats nothing, one stream after the other: how many came whole."""
    count = 0
    with openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0, timeout=100) as client:
        while not is_over.is_set():
            chunks = list(
                client.chat.completions.create(
                    model=MODEL,
                    max_tokens=200,
                    stream=True,
                    messages=[{"role": "user", "content": f"repeat after me: {'word ' * 60}"}],
                )
            )
            assert chunks[-1].choices[0].finish_reason == "stop"
            count += 1
    return count


def replace(cluster: Cluster, number: int, source: Path) -> None:
    node = cluster.nodes[number]
    node.stop()
    node.source = (str(source),)
    node.start()
    node.wait_ready()
    # It serves: then the next one may stop.
    until(lambda: node.metric("modelmux_requests_total") > 0)


def test_an_upgrade_of_all_nodes_drops_nothing(
    start_cluster: StartCluster, database: Server, versions: Versions
) -> None:
    cluster = start_cluster(database, tokens_per_second=100, source=[versions.old])
    assert len(cluster.migrations()) == versions.old_last
    secret = cluster.key("ample", "100/lifetime")
    is_over = threading.Event()
    with Traffic(cluster.url, secret) as traffic, ThreadPoolExecutor(3) as threads:
        try:
            streams = [threads.submit(stream, cluster.url, secret, is_over) for _ in range(3)]
            traffic.until_more(20, "200")
            for number in range(len(cluster.nodes)):
                replace(cluster, number, versions.new)
            traffic.until_more(20, "200")
        finally:
            is_over.set()
    assert len(cluster.migrations()) == versions.new_last
    assert set(traffic.outcomes) == {"200"}
    whole = sum(one.result() for one in streams)
    cluster.stop_nodes()
    rows = cluster.check({"ample": "100"})
    finished = [row for row in rows if row["outcome"] == "ok"]
    assert len(finished) == traffic.outcomes["200"] + whole
    refused = [row for row in rows if row["outcome"] != "ok"]
    assert {row["status"] for row in refused} <= {503}, "of a node that drains; nginx asked another one"
