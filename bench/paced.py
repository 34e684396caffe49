"""``python -m bench.paced``: an upstream that streams at a pace, and tells when its clients closed. It costs little.

``GET /closed`` answers with the monotonic times at which connections with a stream under way were lost,
``GET /pace?interval=0.02&deltas=300`` sets the pace of the streams that begin after it.
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


class Paced(asyncio.Protocol):
    """One connection. ``interval`` seconds between deltas."""

    interval = 0.02
    deltas = 300
    closed: Final[list[float]] = []
    _pieces: Final[list[bytes]] = []

    @classmethod
    def prepare(cls) -> None:
        cls._pieces[:] = [_chunk(payloads.delta(number)) for number in range(1000)]

    @classmethod
    def pace(cls, query: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        cls.interval, cls.deltas = float(asked["interval"]), int(asked["deltas"])

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
                self.pace(self._url.partition(b"?")[2].decode())
            body = json.dumps(self.closed).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        self._transport.write(_HEAD + _chunk(payloads.opening()))
        self._next, self._last, self._every, self._due = 0, self.deltas, self.interval, self._loop.time()
        self._tick()

    def _tick(self) -> None:
        if self._next == self._last:
            self._timer = None
            self._transport.write(_chunk(payloads.closing(self._last)) + b"0\r\n\r\n")
            return
        self._transport.write(self._pieces[self._next % len(self._pieces)])
        self._next += 1
        self._due += self._every
        self._timer = self._loop.call_at(self._due, self._tick)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self.closed.append(time.monotonic())


async def serve(port: int) -> None:
    """Serve until killed."""
    Paced.prepare()
    server = await asyncio.get_running_loop().create_server(Paced, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.port))


if __name__ == "__main__":
    main()
