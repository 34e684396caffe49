"""Signals of this process as something a selector can wait for, and held back while it forks."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Final

HEARD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """Signals that arrived, in their order. A selector may wait for ``socket``."""

    def __init__(self) -> None:
        self.socket, self._write = socket.socketpair()
        for sock in (self.socket, self._write):
            sock.setblocking(False)
        self._before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in HEARD:
            signal.signal(number, _heard)

    def take(self) -> bytes:
        """The numbers of those that arrived since."""
        with contextlib.suppress(BlockingIOError):
            return self.socket.recv(4096)
        return b""

    def close(self) -> None:
        """Hear no more; in a forked process, the other one still does."""
        signal.set_wakeup_fd(self._before)
        self.socket.close()
        self._write.close()


def _heard(number: int, frame: object) -> None:
    """Nothing: the number is on the socket."""


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals wait until this is over. In between, a forked process can make itself ready for them: one that it heard
    with its parent's ears would count twice there."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
