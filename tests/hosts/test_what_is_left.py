"""Risk: hosts of a test that was killed stay for ever, with what runs on them, or have the addresses of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.cluster import until
from support.hosts import Network, remove_stale, run

TESTS = Path(__file__).parents[1]
#: Makes hosts, starts a program on one, says so, and waits to be killed.
PROGRAM = """
import subprocess, time
from support.hosts import Network
network = Network("node1")
host = network.hosts["node1"]
subprocess.Popen([*host.prefix(), "sleep", "1000"])
while not host.pids():
    time.sleep(0.01)
print(network.prefix, *network.subnets.values(), flush=True)
time.sleep(1000)
"""


def test_hosts_of_a_process_that_was_killed_are_removed(hosts: Network) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(TESTS)}
    )
    assert other.stdout is not None
    with other, other.stdout as told:
        try:
            prefix, *subnets = told.readline().split()
        finally:
            other.kill()
    assert not set(subnets) & set(hosts.subnets.values()), "each has networks of its own"
    namespaces = [name for name in run("ip", "netns", "list").split() if name.startswith(f"{prefix}-")]
    assert len(namespaces) == 2
    (pid,) = run("ip", "netns", "pids", f"{prefix}-node1").split()

    remove_stale()

    assert not set(namespaces) & set(run("ip", "netns", "list").split())
    until(lambda: not Path(f"/proc/{pid}").exists())
    until(lambda: prefix.replace("-", "") not in run("ip", "-o", "link"))
    assert hosts.hosts["node1"].prefix()[3] in run("ip", "netns", "list"), "those of this process stay"
