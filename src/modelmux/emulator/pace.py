"""Sending a stream: at its pace, with pings when nothing else comes, and broken where a fault says so.

At full speed without a fault all events go out in one write; otherwise event by event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.emulator import connection, refusals
from modelmux.emulator.exchange import Exchange
from modelmux.emulator.faults import Fault
from modelmux.emulator.stream import PING, Event
from modelmux.wire.sse import encode_named

_GARBAGE: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'
_UNKNOWN: Final = encode_named(
    b"flux_level", b'{"type":"flux_level","index":0,"delta":{"type":"flux_delta","level":1.21}}'
)
_NOTHING: Final = Fault()


class Pace(Struct, frozen=True):
    """How fast: seconds a token (0: at once), seconds before the first content, seconds of silence before a ping."""

    per_token: float
    first: float
    ping: float


def frames(events: Iterable[Event]) -> tuple[bytes, int]:
    """A whole stream as bytes, and how many events it has (pings not counted)."""
    parts = [event.frame() for event in events]
    parts.insert(1, PING)
    return b"".join(parts), len(parts) - 1


class Ended(Exception):
    """A fault, or the client, ended the stream; ``outcome`` says which."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Streamer:
    """Sends the events of one reply."""

    def __init__(self, exchange: Exchange, pace: Pace, fault: Fault | None, request_id: str) -> None:
        self._exchange = exchange
        self._pace = pace
        self._fault = fault or _NOTHING
        self._request_id = request_id
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()

    async def run(self, events: Iterable[Event]) -> None:
        """Send all events, or as many as the fault lets pass."""
        exchange, fault = self._exchange, self._fault
        try:
            await self._after(0)
            for number, event in enumerate(events, 1):
                if number == 3 and fault.garbage:
                    await self._put(_GARBAGE)
                if event.cost or number == 2:
                    await self._wait(event.cost * self._pace.per_token + (self._pace.first if number == 2 else 0))
                await self._put(event.frame())
                exchange.sent_events = number
                if number == 1:
                    await self._put(PING * (1 + fault.pings) + (_UNKNOWN if fault.unknown_event else b""))
                await self._after(number)
            await exchange.write(b"", more=False)
            exchange.outcome = "client_gone" if exchange.client_gone else "complete"
        except Ended as ended:
            exchange.outcome = ended.outcome

    async def _wait(self, seconds: float) -> None:
        """Let ``seconds`` of model time pass, pinging when it takes long. Late is made up for, never doubled."""
        now = self._loop.time()
        self._due = max(self._due, now - 0.25) + seconds
        while self._due > now:
            step = min(self._due - now, self._pace.ping)
            if not await connection.sleep(self._exchange.connection, step):
                raise Ended("client_gone")
            now = self._loop.time()
            if self._due > now:
                await self._put(PING)

    async def _put(self, data: bytes) -> None:
        if self._fault.crlf:
            data = data.replace(b"\n", b"\r\n")
        limit = self._fault.truncate_after_byte
        if limit is not None and self._exchange.sent_bytes + len(data) >= limit:
            await self._pieces(data[: limit - self._exchange.sent_bytes])
            await self._exchange.write(b"", more=False)
            raise Ended("truncate_after_byte")
        await self._pieces(data)

    async def _pieces(self, data: bytes) -> None:
        """Write as one piece, or in the small pieces the fault asks for."""
        fault, exchange = self._fault, self._exchange
        size = fault.chunk or (1 if fault.drip else len(data)) or 1
        for start in range(0, len(data), size):
            if exchange.client_gone:
                raise Ended("client_gone")
            await exchange.write(data[start : start + size])
            if fault.drip:
                await connection.sleep(exchange.connection, fault.drip)
            elif fault.chunk:
                await asyncio.sleep(0)

    async def _after(self, number: int) -> None:
        """Do what the fault wants done after event ``number`` (0: after the headers)."""
        fault, exchange = self._fault, self._exchange
        if fault.stall_after_event == number and not await connection.sleep(exchange.connection, fault.stall):
            raise Ended("client_gone")
        if fault.error_after_event == number:
            kind = fault.type or "overloaded_error"
            error = refusals.error_event(kind, fault.message or refusals.message_of(kind), self._request_id)
            await self._put(encode_named(b"error", msgspec.json.encode(error)))
            await exchange.write(b"", more=False)
            raise Ended("error_after_event")
        if fault.truncate_after_event == number:
            await exchange.write(b"", more=False)
            raise Ended("truncate_after_event")
        if fault.close_after_event == number:
            await end(exchange, reset=False)
            raise Ended("close_after_event")
        if fault.reset_after_event == number:
            await end(exchange, reset=True)
            raise Ended("reset_after_event")


async def end(exchange: Exchange, *, reset: bool) -> None:
    """End the connection itself: by RST or by FIN. Behind a server that gives no connection: end the reply."""
    if exchange.connection is None:
        if not exchange.status:
            await exchange.start(502, [])
        await exchange.write(b"", more=False)
    elif reset:
        # What was written has left for the peer before the reset; one turn of the loop is enough on loopback.
        await asyncio.sleep(0.01)
        await exchange.connection.reset()
    else:
        await exchange.connection.close()
