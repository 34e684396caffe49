"""One response of the data plane on its way out: how far it is, so that it is begun once and ended once.

No decisions about what is sent; those are of ``endpoints.py``.
"""

from __future__ import annotations

from modelmux.gateway.exchange import Exchange
from modelmux.server.respond import STREAM_HEADERS, HeaderList, Send, send_json


class Outgoing:
    """What one client is being told.

    ``started``: a head went out, so an error can only be told in-band. ``ended``: nothing more may be sent, even if
    the last part still waits for a slow client.
    """

    __slots__ = ("_exchange", "_send", "ended", "started")

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self._send = send
        self._exchange = exchange
        self.started = self.ended = False

    async def whole(self, body: bytes, headers: HeaderList) -> None:
        """A JSON answer."""
        self.started = self.ended = True
        self._exchange.response_bytes += len(body)
        await send_json(self._send, 200, body, headers)

    async def start(self, headers: HeaderList) -> None:
        """The head of an event stream."""
        self.started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS + headers})

    async def write(self, data: bytes) -> None:
        """Whole events. Waits while the client reads too slowly."""
        self._exchange.response_bytes += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last part of a stream; nothing if it has ended."""
        if not self.ended:
            self.ended = True
            self._exchange.response_bytes += len(data)
            await self._send({"type": "http.response.body", "body": data})
