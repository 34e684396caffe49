"""Hosts of a test: network namespaces on two switches of their own, with what may break between them.

Each host has an address on the network of clients and one on that of the database, so that it can be cut off from the
database and still be reached. Everything that a test starts runs in a namespace whose name has this process's id: what
a killed test left is found by that, and ended by the next one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.postgres import other_user

_PREFIX: Final = "mmx"
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_NEEDED: Final = {"ip": "iproute2", "iptables": "iptables", "setpriv": "util-linux", "nginx": "nginx-light"}
#: Networks of 256 addresses in 10.128.0.0/9; a test process has two.
_NETWORKS: Final = 1 << 15
CLIENTS, DATABASE = "clients", "database"


def _program(name: str) -> str:
    return shutil.which(name, path=_PATH) or name


def run(*command: str, check: bool = True) -> str:
    """What a command of the system prints."""
    result = subprocess.run(
        [_program(command[0]), *command[1:]], capture_output=True, text=True, check=False, timeout=100
    )
    if check and result.returncode:
        raise AssertionError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


@functools.cache
def reason_to_skip() -> str | None:
    """Why there can be no hosts here; None if there can be."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [package for program, package in _NEEDED.items() if shutil.which(program, path=_PATH) is None]
    if missing:
        return f"hosts need {' and '.join(missing)} (of Debian)"
    name = f"{_PREFIX}-{os.getpid()}-try"
    try:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", name, "link", "add", "one", "type", "veth", "peer", "name", "two")
        run("ip", "netns", "exec", name, "iptables", "-w", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    except AssertionError as error:
        return f"this machine has no network namespaces for tests ({error})"
    finally:
        run("ip", "netns", "delete", name, check=False)
    return None


class Host:
    """
    :ivar addresses: network -> address.
    """

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.name, self._namespace = name, f"{network.prefix}-{name}"
        self.addresses = {link: f"{subnet}.{number}" for link, subnet in network.subnets.items()}
        run("ip", "netns", "add", self._namespace)
        run("ip", "-n", self._namespace, "link", "set", "lo", "up")
        for link, address in self.addresses.items():
            network.attach(link, self._namespace, f"{name}-{link[0]}", link, address)

    @property
    def address(self) -> str:
        """On the network of clients."""
        return self.addresses[CLIENTS]

    def prefix(self, **user: Any) -> tuple[str, ...]:
        """What runs a program on this host. :param user: ``user`` and ``group`` of it, as of ``Popen``."""
        inside = (_program("ip"), "netns", "exec", self._namespace)
        if not user:
            return inside
        ids = ("--reuid", str(user["user"]), "--regid", str(user["group"]), "--clear-groups")
        return (*inside, _program("setpriv"), *ids)

    def pids(self) -> list[int]:
        return [int(pid) for pid in run("ip", "netns", "pids", self._namespace, check=False).split()]

    def signal(self, number: signal.Signals) -> None:
        """To all of its processes."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """All of its processes at once, as a loss of power does; its disk stays."""
        self.signal(signal.SIGKILL)
        _until_gone(self._namespace)

    def cut_off(self, other: Host) -> None:
        """Packets between them are swallowed: nobody is told, and what waits for an answer waits."""
        for address in other.addresses.values():
            self._iptables("-A", "OUTPUT", "-d", address, "-j", "DROP")
            self._iptables("-A", "INPUT", "-s", address, "-j", "DROP")

    def swallow_new_connections(self) -> None:
        """As a host does that is switched off."""
        self._iptables("-A", "INPUT", "-p", "tcp", "--syn", "-j", "DROP")

    def set_link(self, network: str, state: str) -> None:
        """:param state: ``down`` is the cable pulled out: what is sent fails. ``up`` puts it in again."""
        run("ip", "-n", self._namespace, "link", "set", network, state)

    def heal(self) -> None:
        """After any of the above."""
        self._iptables("-F")
        for link in self.addresses:
            self.set_link(link, "up")

    def _iptables(self, *arguments: str) -> None:
        run("ip", "netns", "exec", self._namespace, "iptables", "-w", *arguments)


class Network:
    """Two switches, and the hosts on them; this process is on both, too.

    :ivar subnets: network -> the first three bytes of its addresses. :ivar hosts: by their names.
    """

    def __init__(self, *names: str) -> None:
        remove_stale()
        self.prefix = f"{_PREFIX}-{os.getpid()}"
        first = _free_network()
        self.subnets = {CLIENTS: _subnet(first), DATABASE: _subnet(first + 1)}
        self._switch = f"{self.prefix}-switch"
        self.hosts: dict[str, Host] = {}
        run("ip", "netns", "add", self._switch)
        for link, subnet in self.subnets.items():
            run("ip", "-n", self._switch, "link", "add", link, "type", "bridge")
            run("ip", "-n", self._switch, "link", "set", link, "up")
            self.attach(link, None, f"us-{link[0]}", f"{_PREFIX}{os.getpid()}{link[0]}", f"{subnet}.1")
        for number, name in enumerate(names, 10):
            self.hosts[name] = Host(self, name, number)

    def attach(self, switch: str, namespace: str | None, port: str, link: str, address: str) -> None:
        """Connect a namespace, or this process's, with a switch by a cable whose end there is ``link``."""
        inside = [] if namespace is None else ["-n", namespace]
        peer = ["netns", namespace or str(os.getpid())]
        run("ip", "-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", link, *peer)
        run("ip", "-n", self._switch, "link", "set", port, "master", switch, "up")
        run("ip", *inside, "address", "add", f"{address}/24", "dev", link)
        run("ip", *inside, "link", "set", link, "up")

    def heal(self) -> None:
        for host in self.hosts.values():
            host.heal()


def remove_stale() -> None:
    """What processes left that have been killed."""
    for pid in {pid for _, pid in _namespaces()} - {os.getpid()}:
        if not Path(f"/proc/{pid}").exists():
            _remove(pid)


def remove_own() -> None:
    """All hosts of this process, with what runs on them."""
    _remove(os.getpid())


def _remove(pid: int) -> None:
    names = [name for name, owner in _namespaces() if owner == pid]
    for name in names:
        for one in run("ip", "netns", "pids", name, check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(one), signal.SIGKILL)
    for name in names:
        _until_gone(name)
        run("ip", "netns", "delete", name, check=False)


def _until_gone(namespace: str) -> None:
    end = time.monotonic() + 100
    while run("ip", "netns", "pids", namespace, check=False).split():
        assert time.monotonic() < end, f"processes of {namespace} do not end"
        time.sleep(0.01)


def _namespaces() -> Iterator[tuple[str, int]]:
    """Those of tests, with the process that made them."""
    for name in run("ip", "netns", "list").split():
        if match := re.fullmatch(rf"{_PREFIX}-(\d+)-\w+", name):
            yield name, int(match[1])


def _subnet(number: int) -> str:
    return f"10.{128 + number // 256}.{number % 256}"


def _free_network() -> int:
    """The first of two that nobody uses; where to look first depends on the process, for several may look at once."""
    used = run("ip", "-4", "-o", "address")
    for step in range(0, _NETWORKS, 2):
        number = (2 * os.getpid() + step) % _NETWORKS
        if f" {_subnet(number)}." not in used and f" {_subnet(number + 1)}." not in used:
            return number
    raise AssertionError("no network of 10.128.0.0/9 is free")


@contextlib.contextmanager
def network(*names: str) -> Iterator[Network]:
    """Hosts with these names, for a ``with``; skips the test where there can be none."""
    reason = reason_to_skip()
    if reason is not None:
        pytest.skip(reason)
    try:
        yield Network(*names)
    finally:
        remove_own()


def as_other_user(host: Host) -> tuple[str, ...]:
    """What runs a program on a host as the user of PostgreSQL."""
    user = other_user()
    return host.prefix(user=user["user"], group=user["group"])
