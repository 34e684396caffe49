"""An ASGI application served by our own connection in this process, and raw sockets to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from modelmux.server.http.connection import HttpConnection
from modelmux.server.http.limits import ConnectionLimits

PATIENCE = 100.0


class Served:
    """The server's side of a test."""

    def __init__(self, app: Any, **limits: Any) -> None:
        self._config = uvicorn.Config(app, lifespan="off", log_config=None, proxy_headers=False)  # as in production
        self._config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"Thu, 01 Jan 2026 00:00:00 GMT")]

        class Connection(HttpConnection):
            pass

        Connection.limits = dataclasses.replace(ConnectionLimits(), **limits)
        self._protocol = Connection
        self.port = 0
        self._clients: list[Client] = []

    @property
    def connections(self) -> set[Any]:
        return set(self.state.connections)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Served]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._protocol(self._config, self.state, {}, loop), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for client in self._clients:
                client.close()
            for connection in self.connections:
                connection.transport.abort()
            async with asyncio.timeout(PATIENCE):
                await self.quiet()

    async def quiet(self) -> None:
        """Wait until no connection and no request is left."""
        while self.state.tasks or self.state.connections:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def talk(self, data: bytes) -> bytes:
        """Send these bytes; returns everything until the server closes."""
        client = await self.connect()
        await client.send(data)
        return await client.rest()


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """The next response, with a length or in chunks."""
        async with asyncio.timeout(PATIENCE):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                parts = []
                while size := int(await self.reader.readline(), 16):
                    parts.append(await self.reader.readexactly(size))
                    await self.reader.readexactly(2)
                body = b"".join(parts)
                await self.reader.readexactly(2)
            return int(lines[0].split()[1]), headers, body

    async def rest(self) -> bytes:
        """Everything until the end of the connection, or a reset."""
        received = b""
        try:
            async with asyncio.timeout(PATIENCE):
                while data := await self.reader.read(65536):
                    received += data
        except ConnectionError:
            pass
        finally:
            self.close()
        return received

    def close(self) -> None:
        self.writer.close()
