"""The connection below ASGI: what is needed to break it on purpose, and to notice that the client has gone.

``EmulatorProtocol`` is uvicorn's own httptools protocol with one addition: every request finds a ``Connection`` under
``scope["extensions"]["modelmux.connection"]``. Behind another ASGI server there is none, and faults that need one
end the reply early instead.
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


class Connection:
    """One TCP connection. ``lost`` is set as soon as either side has ended it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.lost = asyncio.Event()

    async def reset(self) -> None:
        """End with RST: the peer sees "connection reset". What is still in the send buffer is lost."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.transport.abort()
        await self.lost.wait()

    async def close(self) -> None:
        """End with FIN after what was written: the peer sees a reply that stops too early."""
        self.transport.close()
        await self.lost.wait()


class EmulatorProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with the connection in reach of the application."""

    connection: Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.connection = Connection(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.connection.lost.set()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {EXTENSION: self.connection}


def of_scope(scope: Any) -> Connection | None:
    """The connection of a request, when the server gives one."""
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, Connection) else None


async def sleep(connection: Connection | None, seconds: float) -> bool:
    """Wait; returns whether the client is still there. Ends early when it is not."""
    if seconds <= 0:
        return connection is None or not connection.lost.is_set()
    if connection is None:
        await asyncio.sleep(seconds)
        return True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await connection.lost.wait()
    return not connection.lost.is_set()
