"""Announcements of changes. Risk: a connection that something between the gateway and the server has forgotten is
waited for without an end, and nothing is announced any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.postgres import listener
from modelmux.store.postgres.listener import Listener
from modelmux.store.postgres.thread import PostgresThread
from support.postgres import Server, execute


class Firewall:
    """Passes bytes on. It may forget the connections that there are, without a word to either side."""

    def __init__(self, port: int) -> None:
        self._port, self._forgotten = port, 0
        self._tasks: list[asyncio.Task[None]] = []
        self.count = 0

    def forget(self) -> None:
        self._forgotten = self.count

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        server = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink in ((reader, server[1]), (server[0], writer)):
            self._tasks.append(asyncio.create_task(self._pass(self.count, source, sink)))

    async def _pass(self, number: int, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if number > self._forgotten:
                sink.write(data)
        sink.close()

    async def aclose(self) -> None:
        await asyncio.wait(self._tasks, timeout=10)


async def test_a_connection_that_a_firewall_forgot_is_replaced(
    postgres_server: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LOOKS_EVERY", 0.2)
    monkeypatch.setattr(listener, "_ANSWERS_WITHIN", 0.5)
    monkeypatch.setattr(listener, "PAUSES", (0.05, 0.1))

    async def nothing(connection: Any) -> None:
        del connection

    firewall = Firewall(postgres_server.port)
    server = await asyncio.start_server(firewall.serve, "127.0.0.1", 0)
    through = postgres_url.replace(f":{postgres_server.port}/", f":{server.sockets[0].getsockname()[1]}/")
    thread = PostgresThread("test", parse_postgres_url(postgres_url), nothing)
    one = Listener(parse_postgres_url(f"{through}?sslmode=disable"), "changes")
    await one.wait(thread)  # it listens now
    firewall.forget()
    await asyncio.wait_for(one.wait(thread), 60)  # it listens again: what was announced meanwhile is looked for
    waiting = asyncio.create_task(one.wait(thread))
    await asyncio.sleep(0)
    await asyncio.to_thread(execute, postgres_url, "SELECT pg_notify('changes', '')")
    await asyncio.wait_for(waiting, 60)
    one.close()
    await thread.aclose()
    server.close()
    await firewall.aclose()
