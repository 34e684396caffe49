"""Listening sockets, and what to do where one cannot be had."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final

_BACKLOG: Final = 2048


class ListenError(Exception):
    """The address cannot be listened on.

    :param problem: why, in a sentence.
    :param hint: what to do.
    """

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    :raises ListenError:
    """
    return listen_many(host, port, 1)[0]


def listen_many(host: str, port: int, count: int, *, platform: str = sys.platform) -> list[socket.socket]:
    """Listening sockets for ``count`` processes.

    Linux spreads connections evenly over sockets with the same address (SO_REUSEPORT); elsewhere it is the same socket
    ``count`` times.

    :raises ListenError:
    """
    first, others = _new_socket(host), list[socket.socket]()
    try:
        # Without SO_REUSEPORT, so that the address of another gateway is refused instead of shared with it.
        first.bind((host.strip("[]"), port))
        others = _same_address(first, count - 1) if count > 1 and platform == "linux" else []
        for sock in (first, *others):
            sock.listen(_BACKLOG)
    except OSError as error:
        for sock in (first, *others):
            sock.close()
        raise _listen_error(error, host, port) from None
    return [first, *others] if others else [first] * count


def _new_socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that say they are TCP: without it, a
    # response in two writes waits 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    return sock


def _same_address(first: socket.socket, count: int) -> list[socket.socket]:
    """More sockets with the address of one that is bound already; none where the kernel does not support that."""
    others: list[socket.socket] = []
    try:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(count):
            others.append(_new_socket(first.getsockname()[0]))
            others[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            others[-1].bind(first.getsockname())
    except OSError:
        for sock in others:
            sock.close()
        return []
    return others


def _listen_error(error: OSError, host: str, port: int) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return ListenError(
            f"port {port} on {host} is in use",
            f"Stop what uses it (`ss -ltnp sport = :{port}` shows it) or choose another with --port.",
        )
    if error.errno == errno.EACCES:
        return ListenError(f"no permission to listen on port {port}", "Choose a port above 1023 with --port.")
    return ListenError(
        f"cannot listen on {host}:{port}: {error.strerror or error}", "Check server.host and server.port."
    )
