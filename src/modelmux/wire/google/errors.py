"""Error bodies of Vertex AI, decoded to one shape.

Google's own front end sends ``google.rpc.Status`` as JSON, bare or inside a one-element array (seen on streaming
calls), or HTML from the load balancer. The model behind it sends Anthropic's error shape.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from modelmux.wire.anthropic import ErrorBody


class GoogleDetail(Struct):
    """One entry of ``details``; only the fields that decisions need.

    :param metadata: of an ``ErrorInfo``.
    :param violations: of a ``QuotaFailure``.
    """

    type: str = msgspec.field(name="@type", default="")
    reason: str | None = None
    retry_delay: str | None = msgspec.field(name="retryDelay", default=None)
    metadata: Any = None
    violations: Any = None


class GoogleError(Struct):
    """``google.rpc.Status``."""

    code: int = 0
    message: str = ""
    status: str = ""
    details: list[GoogleDetail] | None = None


class UpstreamErrorBody(Struct, frozen=True):
    """An upstream error of any shape.

    :param kind: Anthropic's ``error.type``, Google's ``status``, or ``""`` for an unknown shape.
    :param message: the upstream's own message; empty for an unknown shape.
    :param quota_limit: the smallest limit of a quota that the details name.
    :param anthropic_type: ``error.type`` of Anthropic's shape; None for any other shape.
    """

    status: int
    kind: str = ""
    message: str = ""
    reason: str | None = None
    retry_delay: str | None = None
    request_id: str | None = None
    anthropic_type: str | None = None
    quota_limit: float | None = None


class _GoogleErrorBody(Struct):
    error: GoogleError


class _LooseError(Struct):
    message: str
    status: Any = None


class _LooseErrorBody(Struct):
    """An error of which only the message has the expected type; that is enough to show it to people."""

    error: _LooseError


class _PromptFeedback(Struct):
    """Google's word that the prompt was blocked."""

    reason: str = msgspec.field(name="blockReason")
    message: str = msgspec.field(name="blockReasonMessage", default="The prompt was blocked.")


class _BlockedBody(Struct):
    feedback: _PromptFeedback = msgspec.field(name="promptFeedback")


class _AnthropicErrorBody(Struct):
    error: ErrorBody
    type: str
    request_id: str | None = None


T = TypeVar("T")
_NUMBER: Final = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)

_google: Final = msgspec.json.Decoder[_GoogleErrorBody | list[_GoogleErrorBody]](
    _GoogleErrorBody | list[_GoogleErrorBody]
)
_loose: Final = msgspec.json.Decoder[_LooseErrorBody | list[_LooseErrorBody]](_LooseErrorBody | list[_LooseErrorBody])
_anthropic: Final = msgspec.json.Decoder[_AnthropicErrorBody | list[_AnthropicErrorBody]](
    _AnthropicErrorBody | list[_AnthropicErrorBody]
)

_blocked: Final = msgspec.json.Decoder[_BlockedBody | list[_BlockedBody]](_BlockedBody | list[_BlockedBody])


def decode_error(status: int, body: bytes) -> UpstreamErrorBody:
    """Decode the body of an error reply: Anthropic's shape, Google's, either in an array, or anything else."""
    anthropic = _first(_anthropic, body)
    if anthropic is not None:
        error = anthropic.error
        return UpstreamErrorBody(
            status, error.type, error.message, request_id=anthropic.request_id, anthropic_type=error.type
        )
    google = _first(_google, body)
    if google is None:
        loose = _first(_loose, body)
        if loose is None:
            return UpstreamErrorBody(status)
        kind = loose.error.status if isinstance(loose.error.status, str) else ""
        return UpstreamErrorBody(status, kind, loose.error.message)
    details = google.error.details or []
    return UpstreamErrorBody(
        status,
        google.error.status,
        google.error.message,
        reason=next((detail.reason for detail in details if detail.reason), None),
        retry_delay=next((detail.retry_delay for detail in details if detail.retry_delay), None),
        quota_limit=min((limit for detail in details for limit in _quota_limits(detail)), default=None),
    )


def _quota_limits(detail: GoogleDetail) -> list[float]:
    """Limits that a detail names, as numbers or as text."""
    named = [detail.metadata.get("quota_limit_value")] if isinstance(detail.metadata, dict) else []
    if isinstance(detail.violations, list):
        named += [violation.get("quotaValue") for violation in detail.violations if isinstance(violation, dict)]
    return [float(str(limit)) for limit in named if _NUMBER.fullmatch(str(limit))]


def decode_inline_error(data: bytes) -> UpstreamErrorBody | None:
    """An error in the place of a reply or of an event: Google's, bare or in an array, or Anthropic's in an array.

    :returns: with the status that the error names, 0 if it names none; None for Anthropic's ``error`` event, and for
        anything that is not an error.
    """
    blocked = _first(_blocked, data)
    if blocked is not None:
        return UpstreamErrorBody(400, "INVALID_ARGUMENT", blocked.feedback.message, reason="CONTENT_BLOCKED")
    if _first(_loose, data) is None:
        return None
    is_array = data.lstrip()[:1] == b"["
    error = decode_error(0, data)
    if error.anthropic_type is not None:
        return error if is_array else None
    google = _first(_google, data)
    code = google.error.code if google is not None else 0
    return msgspec.structs.replace(error, status=code) if 400 <= code < 600 else error


def _first(decoder: msgspec.json.Decoder[T | list[T]], body: bytes) -> T | None:
    """The body as a T, bare or as the first element of an array; None if it is neither."""
    try:
        value = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(value, list):
        return value[0] if value else None
    return value
