"""Upstream errors -> the gateway's own, with the OpenAI status, type and code a client expects.

Anthropic's ``error.type``, Google's ``status`` and, failing both, the HTTP status each name one of a few *kinds*;
the kind alone decides what the client sees and, in ``routing.retry``, whether it is worth another attempt. The
upstream's own sentence is kept; resource names in it lose their project.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.wire.anthropic import StreamEvent
from modelmux.wire.google.vertex import Fault

#: Longest upstream sentence passed on: enough for every known one, short enough for a log line.
MAX_MESSAGE: Final = 2_000


class _Rule(NamedTuple):
    """What a client gets for one kind. ``message`` stands in where the upstream said nothing readable."""

    status: int
    type: str
    code: str | None
    message: str
    hint: str | None = None
    should_retry: bool | None = None


_OPERATOR: Final = "This is for whoever runs the gateway to mend; retrying does not help."

RULES: Final[dict[str, _Rule]] = {
    "invalid_request": _Rule(400, "invalid_request_error", None, "Vertex AI did not accept the request."),
    "context_length": _Rule(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "The conversation is longer than the model's context.",
        "Send fewer or shorter messages.",
    ),
    "too_large": _Rule(
        413, "invalid_request_error", "request_too_large", "The request is larger than Vertex AI takes."
    ),
    "thinking_refused": _Rule(400, "invalid_request_error", None, "Vertex AI did not accept a thinking block."),
    "not_enabled": _Rule(
        400,
        "invalid_request_error",
        "model_not_enabled",
        "The model is not enabled for the gateway's Google Cloud project.",
        "Enable it in the Model Garden of the Google Cloud console.",
    ),
    "not_found": _Rule(
        404,
        "invalid_request_error",
        "model_not_found",
        "Vertex AI does not serve this model to the gateway's project in its location.",
        "Check the model's id and location, and that it is enabled and not retired.",
    ),
    "unauthenticated": _Rule(
        502, "server_error", "upstream_auth_error", "Google did not accept the gateway's credentials.", _OPERATOR, False
    ),
    "permission": _Rule(
        502,
        "server_error",
        "upstream_auth_error",
        "The gateway's Google identity may not call this model.",
        f"It needs the permission aiplatform.endpoints.predict (role Vertex AI User). {_OPERATOR}",
        False,
    ),
    "billing": _Rule(
        502,
        "server_error",
        "upstream_billing_error",
        "The gateway's Google project has a billing problem.",
        _OPERATOR,
        False,
    ),
    "conflict": _Rule(409, "invalid_request_error", "conflict", "The request conflicts with another one."),
    "rate_limit": _Rule(
        429, "rate_limit_error", "rate_limit_exceeded", "The Vertex AI quota of this model is used up for now."
    ),
    "timeout": _Rule(503, "server_error", "upstream_timeout", "Vertex AI took too long to answer."),
    "overloaded": _Rule(503, "server_error", "overloaded", "Vertex AI is overloaded."),
    "server_error": _Rule(503, "server_error", "upstream_error", "Vertex AI failed to answer."),
    "unexpected": _Rule(502, "server_error", "upstream_error", "Vertex AI gave an unexpected answer."),
}

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
    499: "server_error",  # cancelled, and not by the client: nobody would read the answer
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
#: Texts of refused thinking blocks: forged, modified, or bound to another conversation.
_THINKING: Final = re.compile(
    r"Invalid `(?:signature|data)` in `(?:redacted_)?thinking`|bound to a different conversation"
    r"|`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified",
    re.IGNORECASE,
)
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
_SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s?", re.ASCII)


def translate_fault(fault: Fault, *, retry_after: str | None = None, hide: str = "") -> UpstreamRefused:
    """An error reply as the error a client gets.

    :param retry_after: the upstream's Retry-After header, if any.
    :param hide: the project id, which must not reach a client.
    """
    kind = _kind(fault)
    rule = RULES[kind]
    said = _safe(fault.message, hide)
    asked = _seconds(retry_after)
    return UpstreamRefused(
        said or rule.message,
        status=rule.status,
        type=rule.type,
        code=rule.code,
        upstream_status=fault.status,
        kind=kind,
        hint=rule.hint,
        detail=f"upstream status {fault.status} {fault.kind} {fault.reason or ''}".rstrip(),
        should_retry=rule.should_retry,
        retry_after=asked if asked is not None else _seconds(fault.retry_delay),
        request_id=fault.request_id,
    )


def refused_in_stream(event: StreamEvent) -> UpstreamRefused:
    """An ``error`` event as the error a client gets."""
    said = event.error
    kind = _BY_NAME.get(said.type if said else "", "server_error")
    fault = Fault(
        _STATUS_OF.get(kind, 500), said.type if said else "", said.message if said else "", request_id=event.request_id
    )
    return translate_fault(fault)


def hide_project(error: GatewayError, project: str) -> None:
    """Take a project's id out of an error that was told inside a stream, where nothing says whose project it is."""
    if project and project in error.message:
        error.message = error.message.replace(project, "***")
        error.args = (error.message,)


def _kind(fault: Fault) -> str:
    by_status = _BY_STATUS.get(fault.status) or ("server_error" if fault.status >= 500 else "unexpected")
    if 400 < fault.status < 500 and fault.status not in _BY_STATUS:
        by_status = "invalid_request"
    kind = _BY_NAME.get(fault.kind, by_status)
    if kind == "invalid_request" and fault.status > 400:
        kind = by_status  # the name is coarser: Google's INVALID_ARGUMENT, Anthropic's for "also other 4xx"
    if kind == "invalid_request" and _CONTEXT_LENGTH.search(fault.message):
        return "context_length"
    if kind == "invalid_request" and _THINKING.search(fault.message):
        return "thinking_refused"
    if kind == "not_enabled" and not _NOT_ALLOWED.search(fault.message):
        return "invalid_request"
    return kind


def _safe(message: str, hide: str) -> str:
    message = message[: 2 * MAX_MESSAGE]  # the patterns below take time by the square of the length
    for pattern, replacement in _PROJECTS:
        message = pattern.sub(replacement, message)
    if hide:
        message = message.replace(hide, "***")
    return message[:MAX_MESSAGE].strip()


def _seconds(value: str | None) -> float | None:
    """Seconds of a Retry-After or a ``google.protobuf.Duration``; dates and nonsense give None."""
    match = _SECONDS.fullmatch(value.strip()) if value else None
    return float(match[1]) if match else None
