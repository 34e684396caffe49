"""Errors of Vertex AI -> the gateway's own.

Anthropic's ``error.type``, Google's ``status`` and, failing both, the HTTP status each name one kind of the table in
``error_kinds.py``; the kind decides the client's error and whether to retry. The upstream's message is kept, with the
project removed from resource names, and access tokens that it may quote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec.structs import replace

from modelmux.error_kinds import KINDS
from modelmux.errors import UpstreamRefused, UpstreamReply
from modelmux.providers.vertex_claude.content_filter import is_content_filter
from modelmux.wire.anthropic import StreamEvent
from modelmux.wire.google.errors import UpstreamErrorBody, decode_inline_error
from modelmux.wire.http import find_header

#: Longest upstream message that is passed on: enough for every known one, short enough for a log line.
MAX_MESSAGE: Final = 2_000

#: Every kind that an error of Vertex AI may be read as.
UPSTREAM_KINDS: Final = (
    "invalid_request", "context_length", "too_large", "thinking_refused", "not_enabled", "not_found",
    "unauthenticated", "permission", "billing", "conflict", "rate_limit", "timeout", "overloaded", "server_error",
    "unexpected", "beta_refused", "request_size", "content_filter",
)  # fmt: skip
_BY_NAME: Final = {
    # Anthropic error.type
    "invalid_request_error": "invalid_request",
    "authentication_error": "unauthenticated",
    "billing_error": "billing",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "conflict_error": "conflict",
    "request_too_large": "too_large",
    "rate_limit_error": "rate_limit",
    "api_error": "server_error",
    "timeout_error": "timeout",
    "overloaded_error": "overloaded",
    # google.rpc.Code
    "INVALID_ARGUMENT": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    "FAILED_PRECONDITION": "not_enabled",
    "UNAUTHENTICATED": "unauthenticated",
    "PERMISSION_DENIED": "permission",
    "NOT_FOUND": "not_found",
    "ABORTED": "conflict",
    "ALREADY_EXISTS": "conflict",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "CANCELLED": "server_error",
    "INTERNAL": "server_error",
    "UNKNOWN": "server_error",
    "DATA_LOSS": "server_error",
    "UNIMPLEMENTED": "unexpected",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
}
_BY_STATUS: Final = {
    400: "invalid_request",
    401: "unauthenticated",
    402: "billing",
    403: "permission",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    422: "invalid_request",
    429: "rate_limit",
    499: "server_error",  # cancelled, and not by the client, which would not read a response
    500: "server_error",
    502: "server_error",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
#: The HTTP status an error type stands for when it comes inside a stream that began with 200.
_STATUS_OF: Final = {
    "invalid_request": 400, "unauthenticated": 401, "billing": 402, "permission": 403, "not_found": 404,
    "conflict": 409, "too_large": 413, "rate_limit": 429, "server_error": 500, "timeout": 504, "overloaded": 529,
}  # fmt: skip
_CONTEXT_LENGTH: Final = re.compile(
    r"prompt is too long|exceeds? (?:the )?(?:model's )?(?:maximum )?context"
    r"|context (?:window|length) (?:exceeded|limit)",
    re.IGNORECASE,
)
#: Messages about rejected thinking blocks: forged, modified, or bound to another conversation.
_THINKING: Final = re.compile(
    r"Invalid `(?:signature|data)` in `(?:redacted_)?thinking`|bound to a different conversation"
    r"|`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified",
    re.IGNORECASE,
)
#: Google's front end: "The request size (30037042 bytes) exceeds 30.000MB limit."
_REQUEST_SIZE: Final = re.compile(r"request size \([^)]*\) exceeds", re.IGNORECASE)
_BETAS: Final = re.compile(r"Unexpected value\(s\).*\banthropic-beta\b", re.DOTALL)
_NOT_ALLOWED: Final = re.compile(r"is not allowed to use Publisher Model", re.IGNORECASE)
#: Resource names and project mentions in Google's sentences, e.g. "Project `123` is not allowed …".
_PROJECTS: Final = (
    (re.compile(r"projects/[^/\s`'\",;)]+"), "projects/***"),
    (
        re.compile(
            r"(\b[Pp]roject(?:[ _-]?(?:[Nn]umber|[Ii][Dd]))?[ :=]+)"
            r"(?:([`'\"])[\w.:-]*\d[\w.:-]*\2?|[\w.:-]*\d[\w.:-]*)"
        ),
        r"\1***",
    ),
    (re.compile(r"\b(consumer|container)([ :='\"]+)(?!projects/)[\w-]*\d{6,}[\w-]*"), r"\1\2***"),
)
#: Google's access tokens, signed ones (JWT), and what has a digit and follows "Bearer". Each takes linear time.
_TOKENS: Final = re.compile(
    r"\bya29\.[\w.~+/-]+=*"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"
    r"|(?<=bearer )(?=[a-z.~+/_-]*\d)[\w.~+/-]{8,}=*",
    re.IGNORECASE | re.ASCII,
)
_SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s?", re.ASCII)


def translate_upstream_error(
    error: UpstreamErrorBody,
    *,
    retry_after: str | None = None,
    project: str = "",
    body: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    now: float | None = None,
) -> UpstreamRefused:
    """An error reply as the client's error.

    :param retry_after: the upstream's Retry-After header, if any.
    :param project: the project id, which is removed.
    :param body, headers: the reply as it came.
    :param now: seconds since the epoch, for a Retry-After that is a date; None if unknown.
    """
    requested, kind = _wait(retry_after, find_header(headers, b"date"), now), _kind(error)
    message = _redacted(error.message, project)
    details = {"error_code": "content_filter"} if kind == "content_filter" else None
    is_safe = message == error.message[:MAX_MESSAGE].strip() and not _names_secrets(body, project)
    refused = UpstreamRefused(
        "" if kind == "request_size" else message,
        KINDS[kind],
        UpstreamReply(error.status, body if is_safe else b"", error.request_id, error.anthropic_type, headers),
        detail=_without_tokens(f"upstream status {error.status} {error.kind} {error.reason or ''}".rstrip()),
        retry_after=requested if requested is not None else _seconds(error.retry_delay),
        details=details,
    )
    refused.quota_limit = error.quota_limit
    refused.quotes_upstream = bool(message) and kind != "request_size"
    return refused


def translate_stream_error(event: StreamEvent, *, project: str = "", data: bytes = b"") -> UpstreamRefused:
    """An ``error`` event as the client's error.

    :param data: of the event, as it came.
    """
    inline = translate_inline_error(data, project=project)
    if inline is not None:
        return inline
    body = event.error
    kind = _BY_NAME.get(body.type if body else "", "server_error")
    return translate_upstream_error(
        UpstreamErrorBody(
            _STATUS_OF.get(kind, 500), body.type if body else "", body.message if body else "",
            request_id=event.request_id, anthropic_type=body.type if body and body.type in _BY_NAME else None,
        ),
        project=project, body=data,
    )  # fmt: skip


def translate_inline_error(data: bytes, *, project: str = "") -> UpstreamRefused | None:
    """An error that came where a reply or an event was expected, as the client's error.

    Its status is the one that it names, or that its type stands for.

    :returns: None for Anthropic's ``error`` event, and for anything that is not an error.
    """
    error = decode_inline_error(data)
    if error is None:
        return None
    if not error.status:
        error = replace(error, status=_STATUS_OF.get(_BY_NAME.get(error.kind, ""), 500))
    return translate_upstream_error(error, project=project, body=data)


def _kind(error: UpstreamErrorBody) -> str:
    by_status = _BY_STATUS.get(error.status) or ("server_error" if error.status >= 500 else "unexpected")
    if 400 < error.status < 500 and error.status not in _BY_STATUS:
        by_status = "invalid_request"
    kind = _BY_NAME.get(error.kind, by_status)
    if kind == "invalid_request" and error.status > 400:
        kind = by_status  # the name is coarser: Google's INVALID_ARGUMENT, Anthropic's for "also other 4xx"
    if is_content_filter(error.message[: 2 * MAX_MESSAGE], error.reason, error.kind, kind):
        return "content_filter"
    if error.anthropic_type is None and _REQUEST_SIZE.search(error.message):
        return "request_size"
    if kind == "invalid_request" and _BETAS.search(error.message):
        return "beta_refused"
    if kind == "invalid_request" and _CONTEXT_LENGTH.search(error.message):
        return "context_length"
    if kind == "invalid_request" and _THINKING.search(error.message):
        return "thinking_refused"
    if kind == "not_enabled" and not _NOT_ALLOWED.search(error.message):
        return "invalid_request"
    return kind


def _names_secrets(body: bytes, project: str) -> bool:
    """Whether there is a resource name, the project or a token anywhere in a body, details and the end of a message
    included."""
    if b"projects/" in body or (project and project.encode() in body):
        return True
    return _TOKENS.search(body.decode("latin-1")) is not None


def _without_tokens(text: str) -> str:
    return _TOKENS.sub("***", text)


def _redacted(message: str, project: str) -> str:
    message = _without_tokens(message[: 2 * MAX_MESSAGE])  # the patterns below take quadratic time
    for pattern, replacement in _PROJECTS:
        message = pattern.sub(replacement, message)
    if project:
        message = message.replace(project, "***")
    return message[:MAX_MESSAGE].strip()


def _wait(value: str | None, date: str | None, now: float | None) -> float | None:
    """Seconds of a Retry-After, which is a number or a date; nonsense gives None, a date in the past 0.

    A date is compared with the reply's own ``date`` and with the gateway's clock. Either may be wrong, so the shorter
    wait that is left counts.
    """
    seconds, until = _seconds(value), _timestamp(value)
    if seconds is not None or until is None:
        return seconds
    starts = [start for start in (now, _timestamp(date)) if start is not None]
    if not starts:
        return None
    return min((until - start for start in starts if until > start), default=0.0)


def _timestamp(value: str | None) -> float | None:
    """Seconds since the epoch of an HTTP date in any of its three forms; None for anything else."""
    try:
        date = parsedate_to_datetime(value or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _seconds(value: str | None) -> float | None:
    """Seconds of a number, as in Retry-After, or of a ``google.protobuf.Duration``; anything else gives None."""
    match = _SECONDS.fullmatch(value.strip()) if value else None
    return float(match[1]) if match else None
