"""State changes reported to a service manager: ready, reloading, stopping, alive. The protocol is systemd's
sd_notify(3)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


class ServiceManager:
    """The manager that started this process; without one, every method does nothing.

    :param address: NOTIFY_SOCKET: a path, or a name in the abstract namespace with ``@`` first.
    :param watchdog: seconds after which the manager restarts a process that is silent; None if it does not watch.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog = watchdog

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int) -> ServiceManager:
        """Read NOTIFY_SOCKET and, where they are meant for process ``pid``, WATCHDOG_USEC and WATCHDOG_PID."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        for_us = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog = int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) and for_us else None
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog)

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def reloading(self, clock: float) -> None:
        """:param clock: CLOCK_MONOTONIC in seconds; it tells the manager which ``ready`` ends this reload."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(clock * 1e6)}")

    def stopping(self, seconds: float) -> None:
        """:param seconds: how long that may take; the manager is asked to extend its timeout accordingly."""
        self._send("STOPPING=1", "STATUS=Draining", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    async def notify_alive(self) -> None:
        """For the server's event loop, which calls it while it runs."""
        self.alive()

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # An unreachable manager must not fail requests.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), self._address)
