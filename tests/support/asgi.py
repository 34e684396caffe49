"""Calling an ASGI application in-process, byte by byte where a test needs it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Response:
    """What the application sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    complete: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """The data of the stream's events, decoded, and ``[DONE]``."""
        events: list[Any] = []
        for block in self.body.decode().split("\n\n"):
            if block.startswith("data: "):
                data = block.removeprefix("data: ")
                events.append(data if data == "[DONE]" else json.loads(data))
        return events

    def events_by_name(self) -> dict[str, Any]:
        """The data of the last event of each name."""
        blocks = [block.split("\n") for block in self.body.decode().split("\n\n") if block.startswith("event: ")]
        return {name.removeprefix("event: "): json.loads(data.removeprefix("data: ")) for name, data in blocks}


async def request(
    app: Any,
    method: str,
    path: str,
    body: bytes | Any = b"",
    headers: dict[str, str] | None = None,
    *,
    disconnect: asyncio.Event | None = None,
    root_path: str = "",
    query: str = "",
) -> Response:
    """Send one request. Once ``disconnect`` is set, the application receives ``http.disconnect``."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = False
    disconnected = disconnect or asyncio.Event()
    response = Response()

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": raw, "more_body": False}
        await disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            response.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        elif message["type"] == "http.response.body":
            response.parts.append(message.get("body", b""))
            response.complete = not message.get("more_body", False)

    pairs = {"host": "localhost", "content-type": "application/json", **(headers or {})}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode("utf-8", "replace"), "root_path": root_path,
        "query_string": query.encode(), "scheme": "http",
        "headers": [(k.lower().encode(), v.encode()) for k, v in pairs.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 3000),
    }  # fmt: skip
    await app(scope, receive, send)
    return response
