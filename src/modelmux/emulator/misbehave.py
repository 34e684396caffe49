"""Faults that strike instead of, or around, an answer that is sent in one piece.

Faults inside a stream are ``pace.py``'s.
"""

from __future__ import annotations

from modelmux.emulator import connection, refusals
from modelmux.emulator.exchange import JSON, Exchange, Headers
from modelmux.emulator.faults import Fault
from modelmux.emulator.pace import end

_JSON_UTF8 = (b"content-type", b"application/json; charset=UTF-8")
_TYPES = {"html": b"text/html; charset=UTF-8", "text": b"text/plain", "empty": b"text/plain"}


async def apply_early(exchange: Exchange, fault: Fault, *, streaming: bool, request_id: str = "") -> bool:
    """Do what a fault does before the answer; returns whether that was all there will be."""
    if fault.delay and not await connection.sleep(exchange.connection, fault.delay):
        exchange.outcome = "client_gone"
        return True
    if fault.reset or fault.close:
        await end(exchange, reset=fault.reset)
        exchange.outcome = "reset" if fault.reset else "close"
        return True
    if fault.status is None:
        return False
    body, kind = _error_body(fault, fault.status, streaming, request_id)
    headers = [kind]
    if fault.retry_after is not None:
        headers.append((b"retry-after", fault.retry_after.encode()))
    if request_id and fault.shape == "anthropic":
        headers.append((b"request-id", request_id.encode()))
    await exchange.reply(fault.status, body, headers)
    exchange.outcome = "status"
    return True


def _error_body(fault: Fault, status: int, streaming: bool, request_id: str) -> tuple[bytes, tuple[bytes, bytes]]:
    if fault.shape in _TYPES:
        html = refusals.html_error(status) if fault.shape == "html" else (fault.message or "").encode()
        return html, (b"content-type", _TYPES[fault.shape])
    if fault.shape == "anthropic":
        refused = refusals.anthropic_error(status, fault.type, fault.message)
        return refused.body(request_id, streaming=streaming), JSON
    refused = refusals.google_error(status, fault.type, fault.message)
    return refused.body(request_id, streaming=streaming or fault.shape == "google_array"), _JSON_UTF8


async def send_unary(exchange: Exchange, body: bytes, headers: Headers, fault: Fault | None) -> None:
    """Send a whole reply, broken where the fault says so.

    A place given in events means the middle of the body; ``truncate_after_byte`` is exact. What is missing is missing
    against ``content-length``, so the peer can tell.
    """
    if fault is None:
        await exchange.reply(200, body, headers)
        return
    if fault.garbage:
        body = body[: len(body) // 2] + b"\x00}{"
    if fault.stall_after_event is not None and not await connection.sleep(exchange.connection, fault.stall):
        exchange.outcome = "client_gone"
        return
    places = (fault.reset_after_event, fault.close_after_event, fault.truncate_after_event, fault.truncate_after_byte)
    if not fault.content_length_mismatch and all(place is None for place in places):
        await _in_pieces(exchange, body, headers, fault)
        return
    promised = len(body) + (100 if fault.content_length_mismatch else 0)
    cut = len(body) if fault.content_length_mismatch else len(body) // 2
    if fault.truncate_after_byte is not None:
        cut = min(fault.truncate_after_byte, len(body))
    await exchange.start(200, [*headers, (b"content-length", str(promised).encode())])
    await exchange.write(body[:cut])
    await end(exchange, reset=fault.reset_after_event is not None)
    exchange.outcome = "cut_short"


async def _in_pieces(exchange: Exchange, body: bytes, headers: Headers, fault: Fault) -> None:
    if not (fault.drip or fault.chunk):
        await exchange.reply(200, body, headers)
        return
    size = fault.chunk or 1
    await exchange.start(200, [*headers, (b"content-length", str(len(body)).encode())])
    for start in range(0, len(body), size):
        await exchange.write(body[start : start + size], more=start + size < len(body))
        if not await connection.sleep(exchange.connection, fault.drip):
            exchange.outcome = "client_gone"
            return
    exchange.outcome = "complete"
