"""The admin API of a store over HTTP, in a thread of its own, for commands that call it; and replies that get lost."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.admin import Admin
from support.served import Served

TOKEN = "token-owner"


class AdminServer:
    """
    :ivar calls: method, path and ``Idempotency-Key`` of each call.
    :ivar lose: calls whose reply is lost: the connection ends after the change was made.
    :ivar broken: method and path of calls that are never answered well.
    :ivar answers: replies that are sent in place of those of the API, one for each call: status and ``retry-after``.
    """

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self.calls: list[tuple[str, str, str | None]] = []
        self.lose = 0
        self.answers: list[tuple[int, bytes]] = []
        self.broken: set[tuple[str, str]] = set()
        self.served = Served(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.served.port}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        key = headers.get(b"idempotency-key")
        self.calls.append((scope["method"], scope["path"], None if key is None else key.decode()))
        if self.answers or self.calls[-1][:2] in self.broken:
            status, retry_after = self.answers.pop(0) if self.answers else (503, b"0")
            body = b'{"error": {"message": "Not now. Try again shortly."}}'
            fields = [(b"content-length", b"%d" % len(body)), (b"retry-after", retry_after)]
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body})
            return
        if self.lose and scope["method"] != "GET":
            self.lose -= 1

            async def drop(_message: Any) -> None:
                pass

            await self.admin.app(scope, receive, drop)
            for connection in self.served.connections:
                connection.transport.abort()
            return
        await self.admin.app(scope, receive, send)


@contextlib.contextmanager
def admin_server(folder: Path, **accounts: Any) -> Iterator[AdminServer]:
    """Serve until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    async def start() -> tuple[AdminServer, Any]:
        admin = Admin(folder, accounts)
        admin.time = time.time_ns() // 1000
        server = AdminServer(admin)
        listening = server.served.listening()
        await listening.__aenter__()
        return server, listening

    async def end(server: AdminServer, listening: Any) -> None:
        await listening.__aexit__(None, None, None)
        await server.admin.aclose()

    server, listening = wait(start())
    try:
        yield server
    finally:
        wait(end(server, listening))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
