"""Signals of this process as something a selector can wait for, and blocked while it forks; the fork itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import warnings
from collections.abc import Iterator
from typing import Final

HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)


class Signals:
    """Signals that arrived, in order. A selector can wait for ``socket``."""

    def __init__(self) -> None:
        self.socket, self._write = socket.socketpair()
        for sock in (self.socket, self._write):
            sock.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, _ignore)

    def drain(self) -> bytes:
        """The numbers of the signals that arrived since the last call."""
        with contextlib.suppress(BlockingIOError):
            return self.socket.recv(4096)
        return b""

    def close(self) -> None:
        """Stop receiving; in a forked process, the parent still receives."""
        signal.set_wakeup_fd(self._previous_fd)
        self.socket.close()
        self._write.close()


def _ignore(number: int, frame: object) -> None:
    """The number is on the socket; nothing else to do."""


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Signals wait until the end of the block. So a forked process can install its own handlers first: a signal that it
    received with those of its parent would be counted twice there."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fork() -> int:
    """``os.fork`` without the warning about threads of Python 3.12 and later: the only thread there can be writes log
    lines, and ``telemetry/background.py`` says why it does no harm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process, unless it has exited already; SIGCHLD tells of that."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def signal_name(number: int) -> str:
    """For people: ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
