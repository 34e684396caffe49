"""A connection without a socket: a transport that records what is written, and an owner that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from modelmux.errors import GatewayError
from modelmux.upstream.http1 import Connection, Http1Reply
from modelmux.wire.http import Headers, HttpCall, Origin, Timeouts
from modelmux.wire.request_head import encode_head

ORIGIN = Origin("http", "upstream.example", 80)


class FakeTransport(asyncio.Transport):
    """Its write buffer is never full unless ``full`` is set."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.written: list[bytes] = []
        self.reading = True
        self.aborted = 0
        self.lost = False
        #: A write has failed; connection_lost was not called yet.
        self.broken = False
        #: Whether each write leaves data in the buffer.
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


class CountingOwner:
    """A connection owner that counts its notifications."""

    def __init__(self) -> None:
        self.idle_count, self.closed_count, self.lost_count = 0, 0, 0

    def on_idle(self, connection: Connection) -> None:
        self.idle_count += 1

    def on_closed(self, connection: Connection) -> None:
        self.closed_count += 1

    def on_lost(self, connection: Connection) -> None:
        self.lost_count += 1


def connected() -> tuple[Connection, FakeTransport, CountingOwner]:
    owner = CountingOwner()
    connection = Connection(asyncio.get_running_loop(), owner)
    transport = FakeTransport(connection)
    connection.connection_made(transport)
    return connection, transport, owner


def request(
    body: bytes = b"{}", *, method: str = "POST", headers: Headers | None = None, **timeouts: float
) -> HttpCall:
    return HttpCall(ORIGIN, "/v1/x", [] if headers is None else headers, body, Timeouts(**timeouts), method)


class Exchanged:
    """The result of an exchange."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.error: GatewayError | None = None
        self.reusable = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exchanged) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Exchanged({vars(self)})"


async def exchange(
    pieces: Sequence[bytes], *, eof: bool = False, method: str = "POST", must_end: bool = True
) -> Exchanged:
    """Deliver ``pieces`` as separate reads, each after the previous one was taken; then EOF if ``eof``.

    :param must_end: whether the test fails if the exchange is not over after all pieces.
    """
    connection, transport, owner = connected()
    call = request(method=method)
    result = Exchanged()
    task = asyncio.get_running_loop().create_task(_read(connection, call, result))
    await asyncio.sleep(0)
    for piece in pieces:
        if piece and not transport.aborted:
            connection.data_received(piece)
            await asyncio.sleep(0)
    if eof and not transport.aborted:
        connection.eof_received()
    for _ in range(4):
        await asyncio.sleep(0)
    if must_end:
        assert task.done(), "the exchange hangs"
        await task
    else:
        task.cancel()
        await asyncio.wait([task])
    result.reusable = not connection.closed
    assert transport.aborted == owner.closed_count == int(connection.closed)
    connection.close()
    await asyncio.sleep(0)
    return result


async def _read(connection: Connection, call: HttpCall, result: Exchanged) -> None:
    try:
        reply: Http1Reply = await connection.exchange(call, encode_head(call))
        result.status, result.headers = reply.status, reply.headers
        async for part in reply:
            result.body += part
    except GatewayError as error:
        result.error = error
