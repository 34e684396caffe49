"""Listening sockets, and what to do where one cannot be had."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_BACKLOG: Final = 2048
#: The first descriptor that a service manager passes, see sd_listen_fds(3).
_FIRST_DESCRIPTOR: Final = 3
#: Linux's socket.h; Python has no name for it.
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
#: A column of /proc/net/tcp, and its value for a listening socket (tcp_states.h).
_STATE: Final = 3
_LISTEN: Final = "0A"


class ListenError(Exception):
    """The address cannot be listened on.

    :param problem: why, in a sentence.
    :param hint: what to do.
    :param in_use: whether another program listens there.
    """

    def __init__(self, problem: str, hint: str, *, in_use: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.in_use = in_use


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    :raises ListenError:
    """
    return listen_many(host, port, 1)[0]


def listen_many(
    host: str, port: int, count: int, *, reuse_port: bool = False, platform: str = sys.platform
) -> list[socket.socket]:
    """Listening sockets for ``count`` processes.

    Linux spreads connections evenly over sockets with the same address (SO_REUSEPORT); elsewhere it is the same socket
    ``count`` times.

    :param reuse_port: another gateway may listen on the same address, if it was started with this too. All processes
        have the same socket then: ``pass_connections_on`` knows one for each gateway.
    :raises ListenError:
    """
    first, others = _new_socket(host), list[socket.socket]()
    try:
        if reuse_port:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Without SO_REUSEPORT, so that the address of another gateway is refused instead of shared with it.
        first.bind((host.strip("[]"), port))
        if reuse_port:
            _check_single_listener(first, host, port)
        others = _same_address(first, count - 1) if count > 1 and not reuse_port and platform == "linux" else []
        for sock in (first, *others):
            sock.listen(_BACKLOG)
    except OSError as error:
        _close(first, *others)
        raise _listen_error(error, host, port) from None
    except ListenError:
        first.close()
        raise
    return [first, *others] if others else [first] * count


def passed_socket(environment: Mapping[str, str], pid: int) -> socket.socket | None:
    """The listening socket that a service manager has passed to process ``pid`` (LISTEN_FDS, LISTEN_PID).

    :returns: None if it has passed none.
    :raises ListenError: several, or one that is not a listening TCP socket.
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(pid) or not count.isdigit() or not int(count):
        return None
    hint = "Give the socket unit one ListenStream= with an address and a port, and Accept=no."
    if int(count) > 1:
        raise ListenError(f"the service manager passed {count} sockets", hint)
    try:
        sock = socket.socket(fileno=_FIRST_DESCRIPTOR)
    except OSError as error:
        raise ListenError(f"the service manager's socket cannot be used: {error.strerror}", hint) from None
    if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6) or not _listens(sock):
        sock.detach()
        raise ListenError("the service manager's socket is not a listening TCP socket", hint)
    os.set_inheritable(sock.fileno(), False)
    sock.setblocking(False)
    return sock


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def pass_connections_on(sock: socket.socket) -> None:
    """Have the kernel give new connections to the gateway that listens on the same address since later.

    Closing the socket resets the connections that wait in it, so none may come any more before it is closed. The
    sockets of an address are in the order of their start: this one is the first, and the program returns the index of
    the second; where there is none, the kernel ignores it.
    """
    return_the_second = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 1))  # BPF_RET | BPF_K
    program = struct.pack("@HP", 1, ctypes.addressof(return_the_second))
    with contextlib.suppress(OSError):  # another platform: connections are spread until the socket is closed
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)


def _check_single_listener(bound: socket.socket, host: str, port: int) -> None:
    """Before the socket listens, so that no connection is lost.

    :raises ListenError: more than one gateway listens on the address, or one with several sockets.
    """
    if listeners(bound) > 1:
        raise ListenError(
            f"several sockets listen on port {port} on {host} already",
            "A gateway with several workers has to have server.reuse_port itself; and while one gateway replaces "
            "another, no third one can start.",
        )


def listeners(bound: socket.socket, tables: Path = Path("/proc/net")) -> int:
    """How many sockets listen on the address of one that is bound only.

    The kernel lets any socket with SO_REUSEPORT join those of a gateway with several workers, which have it too. But a
    gateway that is to be joined has one socket, and they have several.

    :returns: 0 where that cannot be known.
    """
    is_v6 = bound.family == socket.AF_INET6
    host, port = bound.getsockname()[:2]
    packed = socket.inet_pton(bound.family, host.partition("%")[0])
    words = struct.unpack("=4I" if is_v6 else "=I", packed)
    address = f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"
    with contextlib.suppress(OSError), (tables / ("tcp6" if is_v6 else "tcp")).open() as lines:
        fields = (line.split(maxsplit=4) for line in lines)
        return sum(len(row) > _STATE and row[1] == address and row[_STATE] == _LISTEN for row in fields)
    return 0


def _close(*sockets: socket.socket) -> None:
    for sock in sockets:
        sock.close()


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
        _close(*others)
        return []
    return others


def _listen_error(error: OSError, host: str, port: int) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return ListenError(
            f"port {port} on {host} is in use",
            f"Stop what uses it (`ss -ltnp sport = :{port}` shows it) or choose another with --port.",
            in_use=True,
        )
    if error.errno == errno.EACCES:
        return ListenError(f"no permission to listen on port {port}", "Choose a port above 1023 with --port.")
    return ListenError(
        f"cannot listen on {host}:{port}: {error.strerror or error}", "Check server.host and server.port."
    )
