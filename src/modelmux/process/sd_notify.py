"""What a service manager is told: ready, reloading, stopping, still alive. The protocol is systemd's sd_notify(3)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


class ServiceManager:
    """The manager that started this process; without one, telling it anything does nothing.

    :param address: NOTIFY_SOCKET: a path, or a name in the abstract namespace with ``@`` first.
    :param watchdog: seconds after which the manager takes a silent process for dead; None if it does not watch.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog = watchdog

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int) -> ServiceManager:
        """Read NOTIFY_SOCKET and, where they are meant for process ``pid``, WATCHDOG_USEC and WATCHDOG_PID."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog = int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) and meant else None
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog)

    def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self, clock: float) -> None:
        """:param clock: CLOCK_MONOTONIC in seconds, which tells the manager which ``ready`` ends this reload."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={int(clock * 1e6)}")

    def stopping(self, seconds: float) -> None:
        """:param seconds: how long that may take; the manager is asked not to lose its patience before."""
        self._tell("STOPPING=1", "STATUS=Running requests are finishing", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    async def alive(self) -> None:
        """Called by the server's loop: it runs."""
        self.sign_of_life()

    def sign_of_life(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        # A manager that cannot be told is no reason to fail requests.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), self._address)
