"""A client that records the wire: every read, and how the connection ended."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from modelmux.wire.sse import SSEDecoder
from support.emulator_calls import MODEL

Json = dict[str, Any]


class Wire:
    """A response as received. ``end`` is ``complete``, ``eof`` (closed too early) or ``reset``."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.end = ""
        self.reads: list[tuple[float, bytes]] = []

    @property
    def events(self) -> list[tuple[str, Json]]:
        return [(e.name.decode(), json.loads(e.data)) for e in SSEDecoder().feed(self.body)]

    @property
    def kinds(self) -> list[str]:
        return [name for name, _ in self.events]

    @property
    def seconds(self) -> float:
        return self.reads[-1][0] if self.reads else 0.0


async def post(port: int, body: Json, *, model: str = MODEL, read_size: int = 65536, path: str | None = None) -> Wire:
    """One request on a connection of its own, read until it ends in any way."""
    verb = "streamRawPredict" if body.get("stream") else "rawPredict"
    path = path or f"/v1/projects/p/locations/global/publishers/anthropic/models/{model}:{verb}"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire = Wire()
    try:
        writer.write(_request(path, json.dumps(body).encode()))
        await _read(reader, wire, read_size)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return wire


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: emulator\r\nauthorization: Bearer t\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _read(reader: asyncio.StreamReader, wire: Wire, size: int) -> None:
    began, raw = time.monotonic(), b""
    try:
        while not _complete(wire, raw):
            piece = await reader.read(size)
            if not piece:
                wire.end = "eof"
                return
            wire.reads.append((time.monotonic() - began, piece))
            raw += piece
    except ConnectionResetError:
        _complete(wire, raw)
        wire.end = "reset"
        return
    wire.end = "complete"


def _complete(wire: Wire, raw: bytes) -> bool:
    """Parse what has arrived so far; whether the response is complete."""
    head, gap, rest = raw.partition(b"\r\n\r\n")
    if not gap:
        return False
    first, *lines = head.decode("latin-1").split("\r\n")
    wire.status = int(first.split(" ")[1])
    wire.headers = dict(line.lower().split(": ", 1) for line in lines)
    if "content-length" in wire.headers:
        wire.body = rest
        return len(rest) >= int(wire.headers["content-length"])
    wire.body, done = _unchunked(rest)
    return done


def _unchunked(rest: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        size, gap, after = rest.partition(b"\r\n")
        if not gap:
            return body, False
        length = int(size, 16)
        if length == 0:
            return body, True
        body += after[:length]
        if len(after) < length + 2:
            return body, False
        rest = after[length + 2 :]
