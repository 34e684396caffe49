"""A connection without a socket: a transport that keeps what it is told, and an owner that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from modelmux.errors import GatewayError
from modelmux.upstream.http1 import Connection, Http1Reply
from modelmux.wire.http import Headers, HttpCall, Origin, Timeouts
from modelmux.wire.request_head import encode_head

ORIGIN = Origin("http", "upstream.example", 80)


class FakeTransport(asyncio.Transport):
    """Never full unless told so."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.written: list[bytes] = []
        self.reading = True
        self.aborted = 0
        self.lost = False
        #: A write has failed; connection_lost has not come yet.
        self.broken = False
        #: Whether each write leaves something over.
        self.full = False
        #: Whether the next write fails.
        self.breaks_on_write = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def is_closing(self) -> bool:
        return self.lost or self.broken or self.aborted > 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_closing():
            raise RuntimeError("the handler is closed")
        self.written.append(bytes(data))
        if self.full:
            self.connection.pause_writing()
        if self.breaks_on_write:
            self.broken = True
            asyncio.get_running_loop().call_soon(self.lose, BrokenPipeError("Broken pipe"))

    def pause_reading(self) -> None:
        assert self.reading
        assert not self.is_closing()
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        assert not self.is_closing()
        self.reading = True

    def abort(self) -> None:
        self.aborted += 1
        asyncio.get_running_loop().call_soon(self.lose, None)

    def lose(self, exc: Exception | None) -> None:
        """The socket is closed; only the first time counts."""
        if not self.lost:
            self.lost = True
            self.connection.connection_lost(exc)


class Counts:
    """An owner."""

    def __init__(self) -> None:
        self.ready_, self.gone_, self.lost_ = 0, 0, 0

    def ready(self, connection: Connection) -> None:
        self.ready_ += 1

    def gone(self, connection: Connection) -> None:
        self.gone_ += 1

    def lost(self, connection: Connection) -> None:
        self.lost_ += 1


def connected() -> tuple[Connection, FakeTransport, Counts]:
    owner = Counts()
    connection = Connection(asyncio.get_running_loop(), owner)
    transport = FakeTransport(connection)
    connection.connection_made(transport)
    return connection, transport, owner


def request(body: bytes = b"{}", *, method: str = "POST", headers: Headers | None = None, **clocks: float) -> HttpCall:
    return HttpCall(ORIGIN, "/v1/x", [] if headers is None else headers, body, Timeouts(**clocks), method)


class Seen:
    """What an exchange came to."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.error: GatewayError | None = None
        self.reusable = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Seen({vars(self)})"


async def exchange(pieces: Sequence[bytes], *, eof: bool = False, method: str = "POST", dead: bool = True) -> Seen:
    """Let ``pieces`` arrive as reads of their own, each as soon as all before it was taken; then maybe the end.

    :param dead: whether an exchange that is not over after all pieces is a failure of the test.
    """
    connection, transport, owner = connected()
    what = request(method=method)
    seen = Seen()
    task = asyncio.get_running_loop().create_task(_read(connection, what, seen))
    await asyncio.sleep(0)
    for piece in pieces:
        if piece and not transport.aborted:
            connection.data_received(piece)
            await asyncio.sleep(0)
    if eof and not transport.aborted:
        connection.eof_received()
    for _ in range(4):
        await asyncio.sleep(0)
    if dead:
        assert task.done(), "the exchange hangs"
        await task
    else:
        task.cancel()
        await asyncio.wait([task])
    seen.reusable = not connection.closed
    assert transport.aborted == owner.gone_ == int(connection.closed)
    connection.close()
    await asyncio.sleep(0)
    return seen


async def _read(connection: Connection, what: HttpCall, seen: Seen) -> None:
    try:
        reply: Http1Reply = await connection.exchange(what, encode_head(what))
        seen.status, seen.headers = reply.status, reply.headers
        async for part in reply:
            seen.body += part
    except GatewayError as error:
        seen.error = error
