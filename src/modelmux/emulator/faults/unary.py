"""Faults that replace a reply, and faults in a reply with a content length.

Faults inside a stream: ``stream.py``.
"""

from __future__ import annotations

from modelmux.emulator import connection, errors
from modelmux.emulator.faults.rules import FaultSpec
from modelmux.emulator.faults.stream import end_connection
from modelmux.emulator.http import JSON, Headers, HttpExchange

_JSON_UTF8 = (b"content-type", b"application/json; charset=UTF-8")
_CONTENT_TYPES = {"html": b"text/html; charset=UTF-8", "text": b"text/plain", "empty": b"text/plain"}


async def apply_before_reply(
    exchange: HttpExchange, fault: FaultSpec, *, streaming: bool, request_id: str = ""
) -> bool:
    """Apply the part of a fault that comes before the reply; True when no reply may follow."""
    if fault.delay and not await connection.sleep(exchange.connection, fault.delay):
        exchange.outcome = "client_gone"
        return True
    if fault.reset or fault.close:
        await end_connection(exchange, reset=fault.reset)
        exchange.outcome = "reset" if fault.reset else "close"
        return True
    if fault.status is None:
        return False
    body, content_type = _error_body(fault, fault.status, streaming, request_id)
    headers = [content_type]
    if fault.retry_after is not None:
        headers.append((b"retry-after", fault.retry_after.encode()))
    if request_id and fault.shape == "anthropic":
        headers.append((b"request-id", request_id.encode()))
    await exchange.respond(fault.status, body, headers)
    exchange.outcome = "status"
    return True


def _error_body(fault: FaultSpec, status: int, streaming: bool, request_id: str) -> tuple[bytes, tuple[bytes, bytes]]:
    if fault.shape in _CONTENT_TYPES:
        body = errors.html_error(status) if fault.shape == "html" else (fault.message or "").encode()
        return body, (b"content-type", _CONTENT_TYPES[fault.shape])
    if fault.shape == "anthropic":
        error = errors.anthropic_error(status, fault.type, fault.message)
        return error.body(request_id, streaming=streaming), JSON
    error = errors.google_error(status, fault.type, fault.message)
    return error.body(request_id, streaming=streaming or fault.shape == "google_array"), _JSON_UTF8


async def send_unary(exchange: HttpExchange, body: bytes, headers: Headers, fault: FaultSpec | None) -> None:
    """Send a reply in one piece, or broken as the fault says.

    A position given in events means the middle of the body; ``truncate_after_byte`` is exact. The ``content-length`` is
    that of the complete body, so the peer can tell that bytes are missing.
    """
    if fault is None:
        await exchange.respond(200, body, headers)
        return
    if fault.garbage:
        body = body[: len(body) // 2] + b"\x00}{"
    if fault.stall_after_event is not None and not await connection.sleep(exchange.connection, fault.stall):
        exchange.outcome = "client_gone"
        return
    cuts = (fault.reset_after_event, fault.close_after_event, fault.truncate_after_event, fault.truncate_after_byte)
    if not fault.content_length_mismatch and all(cut is None for cut in cuts):
        await _send_in_chunks(exchange, body, headers, fault)
        return
    length = len(body) + (100 if fault.content_length_mismatch else 0)
    end = len(body) if fault.content_length_mismatch else len(body) // 2
    if fault.truncate_after_byte is not None:
        end = min(fault.truncate_after_byte, len(body))
    await exchange.start(200, [*headers, (b"content-length", str(length).encode())])
    await exchange.write(body[:end])
    await end_connection(exchange, reset=fault.reset_after_event is not None)
    exchange.outcome = "cut_short"


async def _send_in_chunks(exchange: HttpExchange, body: bytes, headers: Headers, fault: FaultSpec) -> None:
    if not (fault.drip or fault.chunk):
        await exchange.respond(200, body, headers)
        return
    size = fault.chunk or 1
    await exchange.start(200, [*headers, (b"content-length", str(len(body)).encode())])
    for start in range(0, len(body), size):
        await exchange.write(body[start : start + size], more=start + size < len(body))
        if not await connection.sleep(exchange.connection, fault.drip):
            exchange.outcome = "client_gone"
            return
    exchange.outcome = "complete"
