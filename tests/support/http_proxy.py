"""A forward proxy that only opens tunnels, in the event loop of the test, and records the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from support.http_peers import Wire, peer


class TunnelProxy:
    """A proxy that leads every tunnel to one port.

    :param to: the port that tunnels lead to, whatever was requested.
    :param refuse: a reply to send instead of opening a tunnel.
    """

    def __init__(self, to: int, *, refuse: bytes | None = None, login: str | None = None) -> None:
        self._to = to
        self._refuse = refuse
        self._login = login
        self.requests: list[str] = []
        self.port = 0

    async def __call__(self, wire: Wire) -> None:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        if self._login is not None and f"proxy-authorization: {self._login}\r\n" not in head:
            await wire.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n")
            return
        if self._refuse is not None:
            await wire.send(self._refuse)
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await wire.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = asyncio.ensure_future(_pump(reader, wire.writer))
            await _pump(wire.reader, writer)
            back.cancel()
            await asyncio.wait([back])
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, RuntimeError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof() if writer.can_write_eof() else writer.close()


@asynccontextmanager
async def tunnel_proxy(to: int, *, refuse: bytes | None = None, login: str | None = None) -> AsyncIterator[TunnelProxy]:
    proxy = TunnelProxy(to, refuse=refuse, login=login)
    async with peer(proxy) as (origin, _):
        proxy.port = origin.port
        yield proxy
