"""Access to the TCP connection below ASGI: to break it on purpose, and to notice that the client disconnected.

``EmulatorProtocol`` is uvicorn's own httptools protocol with one addition: every request has a ``ClientConnection``
under ``scope["extensions"]["modelmux.connection"]``. Under another ASGI server there is none, and faults that need one
end the response early instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION: Final = "modelmux.connection"
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class ClientConnection:
    """One TCP connection. ``lost`` is set as soon as either side has closed it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.lost = asyncio.Event()

    async def reset(self) -> None:
        """Close with RST: the peer sees "connection reset". Unsent data is lost."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.transport.abort()
        await self.lost.wait()

    async def close(self) -> None:
        """Close with FIN after what was written: the peer sees a response that ends too early."""
        self.transport.close()
        await self.lost.wait()


class EmulatorProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; exposes the connection to the application."""

    connection: ClientConnection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.connection = ClientConnection(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.connection.lost.set()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {EXTENSION: self.connection}


def of_scope(scope: Any) -> ClientConnection | None:
    """The connection of a request, if the server exposes it."""
    connection = (scope.get("extensions") or {}).get(EXTENSION)
    return connection if isinstance(connection, ClientConnection) else None


async def sleep(connection: ClientConnection | None, seconds: float) -> bool:
    """Wait, at most until the client disconnects; returns whether it is still connected."""
    if seconds <= 0:
        return connection is None or not connection.lost.is_set()
    if connection is None:
        await asyncio.sleep(seconds)
        return True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await connection.lost.wait()
    return not connection.lost.is_set()
