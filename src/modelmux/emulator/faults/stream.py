"""Sending a stream: paced, with pings while nothing else is sent, and broken where a fault says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.emulator import connection, errors
from modelmux.emulator.events import PING, StreamEvent
from modelmux.emulator.faults.rules import FaultSpec
from modelmux.emulator.http import HttpExchange
from modelmux.wire.sse import encode_named

_GARBAGE: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'
_UNKNOWN: Final = encode_named(
    b"flux_level", b'{"type":"flux_level","index":0,"delta":{"type":"flux_delta","level":1.21}}'
)
_NO_FAULT: Final = FaultSpec()
#: How far a sender that runs late may catch up, in seconds.
_MAX_CATCH_UP: Final = 0.25


class Pace(Struct, frozen=True):
    """Timing of a stream, in seconds: per token (0: all at once), before the first content, and between pings."""

    per_token: float
    first_token_delay: float
    ping_interval: float


class StreamAborted(Exception):
    """The stream was ended by a fault or by the client; ``outcome`` says which."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class StreamSender:
    """Sends the events of one reply."""

    def __init__(self, exchange: HttpExchange, pace: Pace, fault: FaultSpec | None, request_id: str) -> None:
        self._exchange = exchange
        self._pace = pace
        self._fault = fault or _NO_FAULT
        self._request_id = request_id
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()

    async def run(self, events: Iterable[StreamEvent]) -> None:
        """Send all events, or as many as the fault allows."""
        exchange, fault, pace = self._exchange, self._fault, self._pace
        try:
            await self._apply_fault_after(0)
            for number, event in enumerate(events, 1):
                if number == 3 and fault.garbage:
                    await self._send(_GARBAGE)
                if event.cost or number == 2:
                    await self._wait(event.cost * pace.per_token + (pace.first_token_delay if number == 2 else 0))
                await self._send(event.encode())
                exchange.sent_events = number
                if number == 1:
                    await self._send(PING * (1 + fault.pings) + (_UNKNOWN if fault.unknown_event else b""))
                await self._apply_fault_after(number)
            await exchange.write(b"", more=False)
            exchange.outcome = "client_gone" if exchange.client_disconnected else "complete"
        except StreamAborted as aborted:
            exchange.outcome = aborted.outcome

    async def _wait(self, seconds: float) -> None:
        """Let ``seconds`` of model time pass, with pings in between. A late sender catches up a little."""
        now = self._loop.time()
        self._due = max(self._due, now - _MAX_CATCH_UP) + seconds
        while self._due > now:
            step = min(self._due - now, self._pace.ping_interval)
            if not await connection.sleep(self._exchange.connection, step):
                raise StreamAborted("client_gone")
            now = self._loop.time()
            if self._due > now:
                await self._send(PING)

    async def _send(self, data: bytes) -> None:
        if self._fault.crlf:
            data = data.replace(b"\n", b"\r\n")
        limit = self._fault.truncate_after_byte
        if limit is not None and self._exchange.sent_bytes + len(data) >= limit:
            await self._write_chunks(data[: limit - self._exchange.sent_bytes])
            await self._exchange.write(b"", more=False)
            raise StreamAborted("truncate_after_byte")
        await self._write_chunks(data)

    async def _write_chunks(self, data: bytes) -> None:
        """Write in one piece, or in chunks of the size the fault sets."""
        fault, exchange = self._fault, self._exchange
        size = fault.chunk or (1 if fault.drip else len(data)) or 1
        for start in range(0, len(data), size):
            if exchange.client_disconnected:
                raise StreamAborted("client_gone")
            await exchange.write(data[start : start + size])
            if fault.drip:
                await connection.sleep(exchange.connection, fault.drip)
            elif fault.chunk:
                await asyncio.sleep(0)

    async def _apply_fault_after(self, number: int) -> None:
        """Apply the part of the fault that comes after event ``number`` (0: after the headers)."""
        fault, exchange = self._fault, self._exchange
        if fault.stall_after_event == number and not await connection.sleep(exchange.connection, fault.stall):
            raise StreamAborted("client_gone")
        if fault.error_after_event == number:
            kind = fault.type or "overloaded_error"
            error = errors.error_document(kind, fault.message or errors.default_message(kind), self._request_id)
            await self._send(encode_named(b"error", msgspec.json.encode(error)))
            await exchange.write(b"", more=False)
            raise StreamAborted("error_after_event")
        if fault.truncate_after_event == number:
            await exchange.write(b"", more=False)
            raise StreamAborted("truncate_after_event")
        if fault.close_after_event == number:
            await end_connection(exchange, reset=False)
            raise StreamAborted("close_after_event")
        if fault.reset_after_event == number:
            await end_connection(exchange, reset=True)
            raise StreamAborted("reset_after_event")


async def end_connection(exchange: HttpExchange, *, reset: bool) -> None:
    """Close the connection with RST or FIN. Under a server that does not expose it, end the response instead."""
    if exchange.connection is None:
        if not exchange.status:
            await exchange.start(502, [])
        await exchange.write(b"", more=False)
    elif reset:
        # Give the bytes written so far time to reach the peer: a reset discards the send buffer.
        await asyncio.sleep(0.01)
        await exchange.connection.reset()
    else:
        await exchange.connection.close()
