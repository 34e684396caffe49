"""Passes connections on to PostgreSQL, and counts what goes through: bytes, queries and round trips."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import uvloop

#: What a client asks for before it says who it is: encryption, by TLS or by GSSAPI. Only these have no type.
_BEFORE_START: Final = {80877103, 80877104}
_START_TIMEOUT: Final = 20.0


class Counts(NamedTuple):
    """
    :param sent, received: bytes from and to the clients, those of TCP and IP not included.
    :param queries: messages that run a statement; one with several statements counts once.
    :param trips: messages after which the client waits for the server.
    """

    sent: int = 0
    received: int = 0
    queries: int = 0
    trips: int = 0

    def since(self, before: Counts) -> Counts:
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))


class Messages:
    """What one client sends, in pieces of any size: messages of PostgreSQL's protocol, version 3.

    :ivar queries, trips: see ``Counts``.
    """

    def __init__(self) -> None:
        self.queries = self.trips = 0
        self._rest = b""
        self._skip = 0
        self._is_started = False

    def feed(self, data: bytes) -> None:
        """Count what is complete."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        rest = self._rest + data[skipped:]
        while len(rest) >= 8 - 3 * self._is_started:
            if self._is_started:
                kind, size = rest[:1], 1 + int(struct.unpack_from("!I", rest, 1)[0])
                self.queries += kind in (b"Q", b"E")
                self.trips += kind in (b"Q", b"S", b"H")
            else:
                size, code = struct.unpack_from("!II", rest)
                self._is_started = code not in _BEFORE_START
            self._skip = max(0, size - len(rest))
            rest = rest[size:]
        self._rest = rest


class _Side(asyncio.Protocol):
    """One end of a connection, whose bytes go to the other end."""

    def __init__(self, counts: ctypes.Array[ctypes.c_uint64], messages: Messages | None) -> None:
        self._counts, self._messages = counts, messages
        self.other: asyncio.WriteTransport | None = None
        self._early = b""

    def data_received(self, data: bytes) -> None:
        counts, messages = self._counts, self._messages
        counts[messages is None] += len(data)
        if messages is not None:
            queries, trips = messages.queries, messages.trips
            messages.feed(data)
            counts[2] += messages.queries - queries
            counts[3] += messages.trips - trips
        if self.other is None:
            self._early += data
        else:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.other is not None:
            self.other.close()

    def join(self, other: asyncio.WriteTransport) -> None:
        """Begin to pass on."""
        self.other = other
        other.write(self._early)


class _Client(_Side):
    def __init__(self, counts: ctypes.Array[ctypes.c_uint64], target: int) -> None:
        super().__init__(counts, Messages())
        self._target = target

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, and another base.
        self._connecting = asyncio.create_task(self._connect(cast("asyncio.WriteTransport", transport)))

    async def _connect(self, transport: asyncio.WriteTransport) -> None:
        server, side = await asyncio.get_running_loop().create_connection(
            lambda: _Side(self._counts, None), "127.0.0.1", self._target
        )
        side.join(transport)
        self.join(server)


async def _serve(listening: socket.socket, target: int, counts: ctypes.Array[ctypes.c_uint64]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Client(counts, target), sock=listening)
    await server.serve_forever()


def _main(listening: socket.socket, target: int, counts: ctypes.Array[ctypes.c_uint64]) -> None:
    uvloop.run(_serve(listening, target, counts))


class PassThrough:
    """:ivar port: to connect to."""

    def __init__(self, port: int, counts: ctypes.Array[ctypes.c_uint64]) -> None:
        self.port, self._counts = port, counts

    def counts(self) -> Counts:
        """So far."""
        return Counts(*self._counts)


@contextlib.contextmanager
def pass_through(target: int) -> Iterator[PassThrough]:
    """A process of its own. :param target: a port of this machine."""
    context = multiprocessing.get_context("spawn")
    counts = context.RawArray(ctypes.c_uint64, len(Counts._fields))
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        process = context.Process(target=_main, args=(listening, target, counts), daemon=True)
        process.start()
        try:
            yield PassThrough(listening.getsockname()[1], counts)
        finally:
            process.terminate()
            process.join(_START_TIMEOUT)
