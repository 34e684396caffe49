"""A client with little overhead: raw HTTP/1.1 over asyncio streams, with the time of every event."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

#: Beginnings of the last event of Messages and of Responses.
_ENDS: Final = (b"event: message_stop", b"event: response.completed")


@dataclass(slots=True)
class Response:
    """A response, or what arrived of it. Times are monotonic seconds.

    :param complete: the status is 200 and the body has ended; a stream with its last event.
    :param error: the error object of the body, or of an event in the stream.
    :param failure: why reading failed: the connection was closed, or the bytes are not valid HTTP.
    """

    sent_at: float = 0.0
    first_at: float = 0.0
    ended_at: float = 0.0
    status: int = 0
    events: int = 0
    complete: bool = False
    error: dict[str, Any] | None = None
    failure: str = ""
    gaps: list[float] = field(default_factory=list)


class Client:
    """One connection at a time to one server; opened again after it was closed."""

    def __init__(
        self,
        url: str,
        path: str = "/v1/chat/completions",
        key: str = "sk-bench",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
            "content-type: application/json\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
            + "content-length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self, body: bytes, *, close_after: int | None = None, gaps: bool = False, into: Response | None = None
    ) -> Response:
        """Send a request and read the response.

        :param close_after: close the connection after this number of events.
        :param gaps: record the times between events.
        :param into: the object to fill, for callers that observe the response while it arrives.
        """
        response = into or Response()
        response.sent_at = time.monotonic()
        try:
            reader, writer = await self.connect()
            writer.write(self._head + b"%d\r\n\r\n" % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            response.status = int(head[9:12])
            lowered = head.lower()
            if b"content-type: text/event-stream" in lowered:
                await self._stream(reader, lowered, response, close_after, gaps=gaps)
            else:
                data = b"".join([part async for part in _body(reader, lowered)])
                response.first_at = time.monotonic()
                response.complete = response.status == 200
                if response.status != 200:
                    response.error = json.loads(data)["error"]
            if b"connection: close" in lowered:
                self.close()
        except (OSError, EOFError, ValueError, KeyError) as error:
            response.failure = f"{type(error).__name__}: {error}"[:200]
            self.close()
        response.ended_at = time.monotonic()
        return response

    async def _stream(
        self, reader: asyncio.StreamReader, head: bytes, response: Response, close_after: int | None, *, gaps: bool
    ) -> None:
        rest, last = b"", 0.0
        async for part in _body(reader, head):
            rest += part
            now = time.monotonic()
            *events, rest = rest.split(b"\n\n")
            for event in events:
                if not event.startswith((b"data: ", b"event: ")):
                    continue  # a comment
                response.first_at = response.first_at or now
                response.events += 1
                if event == b"data: [DONE]" or event.startswith(_ENDS):
                    response.complete = True
                elif event.startswith(b'data: {"error"'):
                    response.error = json.loads(event[6:])["error"]
            if gaps and last and events:
                response.gaps.append(now - last)
            last = now
            if close_after is not None and response.events >= close_after:
                self.close()
                return

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the connection if there is none. :raises OSError:"""
        if self._streams is None or self._streams[0].at_eof():
            self._streams = await asyncio.open_connection(self._host, self._port, limit=2**20)
        return self._streams

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _body(reader: asyncio.StreamReader, head: bytes) -> AsyncIterator[bytes]:
    """The parts of a body as they arrive, framed as its head (in lower case) says."""
    if b"transfer-encoding: chunked" not in head:
        yield await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        return
    while size := int(await reader.readline(), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
