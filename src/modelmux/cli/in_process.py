"""Calling the gateway without a server: an ``Upstream`` whose other end is an ASGI application in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

from modelmux.errors import UpstreamBroken
from modelmux.wire.http import Headers, HttpCall

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
#: Pieces of a reply that wait to be read before the application has to.
_QUEUE: Final = 16
#: Seconds the application gets to end once its client has left.
_PATIENCE: Final = 5.0


class AsgiUpstream:
    """Sends calls to an application. What it holds open is the application's own business."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def send(self, call: HttpCall) -> AsgiReply:
        """See ``upstream.base.Upstream``.

        :raises UpstreamBroken: the application ended without an answer.
        """
        reply = AsgiReply(self._app, call)
        try:
            await reply.head()
        except BaseException:
            await reply.aclose()
            raise
        return reply

    async def aclose(self) -> None:
        """Nothing to let go of."""


class AsgiReply:
    """One exchange with the application, which runs in a task of its own until it ends or ``aclose``."""

    def __init__(self, app: Application, call: HttpCall) -> None:
        self.status = 0
        self.headers: Headers = []
        self._body: bytes | None = call.body
        self._started = asyncio.Event()
        self._gone = asyncio.Event()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)
        self._complete = False
        self._task = asyncio.ensure_future(self._run(app, _scope(call)))  # awaited in aclose

    async def head(self) -> None:
        await self._started.wait()
        if not self.status:
            raise UpstreamBroken("The gateway gave no answer.", reply_started=False)

    @property
    def is_complete(self) -> bool:
        return self._complete and self._pieces.empty()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._pieces.get():
            yield piece
        if not self._complete:
            raise UpstreamBroken("The answer broke off.", reply_started=True)

    async def read(self, limit: int) -> bytes:
        body = b""
        async for piece in self:
            body += piece
            if len(body) > limit:
                raise UpstreamBroken("The answer is too long.", reply_started=True)
        return body

    async def aclose(self) -> None:
        self._gone.set()
        while not self._task.done() and not self._pieces.empty():  # a full queue holds the application up
            self._pieces.get_nowait()
        await asyncio.wait({self._task}, timeout=_PATIENCE)
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self, app: Application, scope: Message) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._started.set()
            if not self._gone.is_set():
                await self._pieces.put(b"")

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
            self._started.set()
        elif message["type"] == "http.response.body":
            if self._gone.is_set():
                raise OSError("the client has left")
            if message.get("body"):
                await self._pieces.put(message["body"])
            self._complete = not message.get("more_body", False)


def _scope(call: HttpCall) -> Message:
    path, _, query = call.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"in-process"), (b"content-length", b"%d" % len(call.body)), *call.headers],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
