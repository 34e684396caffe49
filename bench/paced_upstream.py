"""``python -m bench.paced_upstream``: an upstream with little overhead that streams events at a fixed interval.

``GET /closed`` returns the monotonic times at which clients closed connections in the middle of a stream.
``GET /pace?interval=0.02&deltas=300`` sets interval and length of the streams that begin afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any, Final
from urllib.parse import parse_qs

import httptools
import uvloop

from bench import payloads

_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class PacedConnection(asyncio.Protocol):
    """One connection. ``interval`` is the time between deltas, in seconds."""

    interval = 0.02
    deltas = 300
    closed: Final[list[float]] = []
    _deltas: Final[list[bytes]] = []

    @classmethod
    def prepare(cls) -> None:
        cls._deltas[:] = [_chunk(payloads.delta(number)) for number in range(1000)]

    @classmethod
    def set_pace(cls, query: str) -> None:
        values = {name: value[0] for name, value in parse_qs(query).items()}
        cls.interval, cls.deltas = float(values["interval"]), int(values["deltas"])

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            if self._url.startswith(b"/pace?"):
                self.set_pace(self._url.partition(b"?")[2].decode())
            body = json.dumps(self.closed).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        self._transport.write(_HEAD + _chunk(payloads.opening()))
        self._next, self._count, self._interval, self._due = 0, self.deltas, self.interval, self._loop.time()
        self._tick()

    def _tick(self) -> None:
        if self._next == self._count:
            self._timer = None
            self._transport.write(_chunk(payloads.closing(self._count)) + b"0\r\n\r\n")
            return
        self._transport.write(self._deltas[self._next % len(self._deltas)])
        self._next += 1
        self._due += self._interval
        self._timer = self._loop.call_at(self._due, self._tick)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self.closed.append(time.monotonic())


async def serve(port: int) -> None:
    """Serve until the process is killed."""
    PacedConnection.prepare()
    server = await asyncio.get_running_loop().create_server(PacedConnection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.port))


if __name__ == "__main__":
    main()
