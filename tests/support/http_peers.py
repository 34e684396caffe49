"""Scripted peers in the event loop of the test, and helpers for the client side."""

from __future__ import annotations

import asyncio
import functools
import inspect
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from modelmux.errors import GatewayError
from modelmux.upstream.connect import tls_context
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import HttpCall, Origin, Timeouts

PATIENT = Timeouts(connect=5, pool=5, send=5, first_byte=5, idle=5)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

Talk = Callable[["Wire"], Awaitable[None]]


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """Run an async test under asyncio's own loop and under uvloop."""

    @functools.wraps(test)
    def run(*args: Any, loop_factory: Callable[[], asyncio.AbstractEventLoop], **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(test(*args, **kwargs))

    del run.__wrapped__  # type: ignore[attr-defined]
    signature = inspect.signature(test)
    extra = inspect.Parameter("loop_factory", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), extra], return_annotation=None
    )
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    return pytest.mark.parametrize("loop_factory", loops, ids=["asyncio", "uvloop"])(run)


def call(origin: Origin, body: bytes = b"{}", *, timeouts: Timeouts = PATIENT, **changes: Any) -> HttpCall:
    fields: dict[str, Any] = {"target": "/echo", "headers": [(b"x-test", b"1")], **changes}
    return HttpCall(origin, fields.pop("target"), fields.pop("headers"), body, timeouts, **fields)


async def fetch(pool: HttpPool, request: HttpCall, limit: int = 1 << 30) -> tuple[int, bytes]:
    """Status and complete body."""
    reply = await pool.send(request)
    try:
        return reply.status, await reply.read(limit)
    finally:
        await reply.aclose()


async def outcome(pool: HttpPool, request: HttpCall) -> tuple[int, bytes] | GatewayError:
    try:
        return await fetch(pool, request)
    except GatewayError as error:
        return error


class Wire:
    """One accepted connection, seen from the peer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body of the next request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        return head, await self.reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def wait_closed(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            return

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Peer:
    """A listening peer. ``talk`` gets each connection; when it returns the connection is closed."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.open = 0
        #: Exceptions of talks, except those caused by a disconnect of the client.
        self.failures: list[BaseException] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        self.open += 1
        try:
            await self._talk(Wire(reader, writer, self.accepted))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        except RuntimeError as error:
            if "handler is closed" not in str(error):  # uvloop, on a write after a disconnect
                self.failures.append(error)
        except BaseException as error:
            self.failures.append(error)
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1)
            self.open -= 1
            self._tasks.discard(task)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0.01)  # the last callbacks of the transports


@asynccontextmanager
async def peer(
    talk: Talk, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[Origin, Peer]]:
    listener = Peer(talk)
    server = await asyncio.start_server(listener, host, 0, ssl=tls, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Origin("https" if tls else "http", "localhost" if tls else host, port), listener
    finally:
        server.close()
        await listener.stop()
        await server.wait_closed()
    assert not listener.failures, listener.failures


def replies(*data: bytes, then: Talk | None = None) -> Talk:
    """A talk: reply to one request with each of ``data``, then run ``then``, or close."""

    async def talk(wire: Wire) -> None:
        for reply in data:
            await wire.request()
            await wire.send(reply)
        if then is not None:
            await then(wire)

    return talk


async def keep_open(wire: Wire) -> None:
    await wire.wait_closed()


def always(data: bytes) -> Talk:
    """A talk: reply to every request with ``data``."""

    async def talk(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(data)

    return talk


@asynccontextmanager
async def pool_of(*, ca_file: str | None = None, **settings: Any) -> AsyncIterator[HttpPool]:
    """A pool that must be balanced at the end: nothing in use, nothing waiting, no socket left.

    :param ca_file: an additional certificate authority.
    """
    before = open_sockets()
    pool = HttpPool(ssl_context=tls_context(ca_file) if ca_file else None, **settings)
    try:
        yield pool
        assert pool.waiting == 0
        assert pool.open == pool.idle, "a slot was not released"
    finally:
        await pool.aclose()
    assert pool.open == 0
    assert not pool.alive
    for _ in range(200):
        if open_sockets() - before <= 0:
            break
        await asyncio.sleep(0.005)  # the side of the peer closes later
    assert open_sockets() <= before


def open_sockets() -> int:
    """Open sockets of this process; 0 if unknown."""
    count = 0
    folder = Path("/proc/self/fd")
    for link in folder.iterdir() if folder.exists() else ():
        try:
            count += str(link.readlink()).startswith("socket:")
        except FileNotFoundError:  # the listing's own descriptor
            continue
    return count


async def until(condition: Callable[[], bool], seconds: float = 100.0) -> None:
    """Until ``condition`` holds; the test fails if it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.002)
