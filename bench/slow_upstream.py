"""``python -m bench.slow_upstream``: an upstream whose replies take a fixed time, however many it has to make.

``GET /calls`` returns how many calls it got, and how many of them were left by their client before the reply.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any, Final

import httptools
import uvloop

_MESSAGE: Final = json.dumps({
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "Hello!"}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}).encode()  # fmt: skip


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class SlowConnection(asyncio.Protocol):
    """One connection."""

    seconds = 0.2
    calls = left = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        kind = SlowConnection
        if self._parser.get_method() == b"GET":
            self._transport.write(_response(json.dumps({"calls": kind.calls, "left": kind.left}).encode()))
            return
        kind.calls += 1
        self._timer = asyncio.get_running_loop().call_later(self.seconds, self._reply)

    def _reply(self) -> None:
        self._timer = None
        self._transport.write(_response(_MESSAGE))

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            SlowConnection.left += 1


async def serve(port: int) -> None:
    """Serve until the process is killed."""
    server = await asyncio.get_running_loop().create_server(SlowConnection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=SlowConnection.seconds)
    options = parser.parse_args()
    SlowConnection.seconds = options.seconds
    uvloop.run(serve(options.port))


if __name__ == "__main__":
    main()
