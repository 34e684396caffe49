"""Errors in Anthropic's envelope. An error of the model itself passes as it came: clients repair themselves by its
words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import UNSET

from modelmux.dialects.base import ErrorResponse
from modelmux.dialects.rate_limit_headers import anthropic_headers, limits_of_error
from modelmux.errors import GatewayError, UpstreamRefused, UpstreamReply
from modelmux.wire.anthropic.errors import ErrorDetail, ErrorEnvelope
from modelmux.wire.http import Headers, find_raw_header
from modelmux.wire.openai.common import encode

#: Kinds whose message begins with the model, as Anthropic's do.
_ABOUT_THE_MODEL: Final = ("not_found", "not_enabled", "model_not_found")
#: The gateway's own credentials were refused: to a client these statuses would mean its own.
_ABOUT_CREDENTIALS: Final = (401, 403)
#: Seconds to wait after a 429 that names no time.
_RETRY_AFTER: Final = 5
_FRACTION: Final = re.compile(rb"(\d{1,9})\.(\d+)")
_PASSED: Final = (b"retry-after", b"retry-after-ms", b"x-should-retry")
_LIMITS: Final = b"anthropic-ratelimit-"


def error_response(error: GatewayError, request_id: str) -> ErrorResponse:
    """An error response, status and headers included."""
    reply = relayable(error)
    if reply is not None:
        headers = [*response_headers(request_id, reply.headers), *_retry_headers(reply.status, reply.headers)]
        return ErrorResponse(reply.status, reply.body, headers)
    status = error.kind.anthropic_status or error.status
    waits = status == 429 and error.retry_after is None and error.should_retry is not False
    headers = [(b"request-id", request_id.encode()), *anthropic_headers(limits_of_error(error))]
    if waits:
        headers.append(_retry_after())
    return ErrorResponse(status, error_body(error, request_id), headers)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """The envelope, of a response or of an ``error`` event."""
    reply = relayable(error)
    if reply is not None:
        return reply.body
    message = error.public_message
    if error.kind.name in _ABOUT_THE_MODEL and error.model is not None:
        message = f"model: {error.model}. {message}"
    details = UNSET if error.details is None else dict(error.details)
    detail = ErrorDetail(type=error.kind.anthropic_type, message=message, details=details)
    return encode(ErrorEnvelope(error=detail, request_id=request_id))


def relayable(error: GatewayError) -> UpstreamReply | None:
    """The upstream's reply, if the client gets it unchanged."""
    if not isinstance(error, UpstreamRefused):
        return None
    reply = error.reply
    if reply.anthropic_type is None or not reply.body or reply.status in _ABOUT_CREDENTIALS or reply.status < 400:
        return None
    return reply


def response_headers(request_id: str, upstream: Sequence[tuple[bytes, bytes]]) -> Headers:
    """``request-id``, and what else of the upstream's headers concerns the client. Not its limits: they are the
    gateway's, not the caller's."""
    own = find_raw_header(upstream, b"request-id")
    passed = [(b"request-id", request_id.encode("latin-1") if own is None else own)]
    for name, value in upstream:
        if name.startswith(b"anthropic-") and not name.startswith(_LIMITS):
            passed.append((name, value))
    return passed


def _retry_headers(status: int, upstream: Sequence[tuple[bytes, bytes]]) -> Headers:
    passed = [(name, _whole_seconds(value)) for name, value in upstream if name in _PASSED]
    if status == 429 and not passed:
        passed.append(_retry_after())
    return passed


def _whole_seconds(value: bytes) -> bytes:
    """A value as it came; a fraction of a second is rounded up, because ``retry-after`` has none."""
    fraction = _FRACTION.fullmatch(value.strip())
    return value if fraction is None else b"%d" % (int(fraction[1]) + (fraction[2].strip(b"0") != b""))


def _retry_after() -> tuple[bytes, bytes]:
    return b"retry-after", str(_RETRY_AFTER).encode()
