"""Every kind of error in one table: what each client dialect is told, whether another attempt may help, whom it blames.

All else asks this table. ``errors.py`` has the exceptions, ``providers`` read upstream errors into a kind,
``routing/retry.py`` and ``routing/availability.py`` decide by the columns, the dialects encode them.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

#: ``anywhere``: another attempt may succeed, on any deployment. ``other_model``: only on one of another model.
#: ``after_repair``: once more, after the gateway has changed what it sent (a new token, no thinking blocks).
Retry = Literal["anywhere", "other_model", "after_repair", "no"]


class ErrorKind(Struct, frozen=True, kw_only=True):
    """One row.

    :param name: in logs and in the label ``result`` of the attempts metric.
    :param openai_type, openai_code: ``error.type`` and ``error.code`` of OpenAI's dialects.
    :param anthropic_type: ``error.type`` of Anthropic's dialect.
    :param anthropic_status: the status in Anthropic's dialect, where it is another one.
    :param blames_deployment: counts as a failure of the deployment for its circuit breaker.
    :param quotes_request: the message may quote what the client sent, so it is not logged.
    :param message: stands in where an upstream gave no readable message.
    :param remedy: what to do about it; the default hint.
    :param should_retry: value of ``x-should-retry``; None leaves the decision to the client's own rules.
    :param retry_after: seconds for ``retry-after`` where nothing names another number; None sends no header.
    """

    name: str
    status: int
    openai_type: str
    openai_code: str | None = None
    anthropic_type: str
    anthropic_status: int | None = None
    retry: Retry = "no"
    blames_deployment: bool = False
    quotes_request: bool = False
    message: str = ""
    remedy: str | None = None
    should_retry: bool | None = None
    retry_after: float | None = None


_OPERATOR: Final = "The operator of this gateway has to fix this; retrying will not help."


def _client(
    name: str, status: int, code: str | None = None, anthropic_type: str = "invalid_request_error"
) -> ErrorKind:
    """The client can fix it; raised by the gateway before anything is sent upstream."""
    return ErrorKind(
        name=name, status=status, openai_type="invalid_request_error", openai_code=code,
        anthropic_type=anthropic_type, quotes_request=True,
    )  # fmt: skip


def _rejected(
    name: str,
    message: str,
    *,
    status: int = 400,
    code: str | None = None,
    anthropic_type: str = "invalid_request_error",
    retry: Retry = "no",
    quotes_request: bool = True,
    remedy: str | None = None,
    anthropic_status: int | None = None,
) -> ErrorKind:
    """The upstream did not accept the request."""
    return ErrorKind(
        name=name, status=status, openai_type="invalid_request_error", openai_code=code, anthropic_type=anthropic_type,
        anthropic_status=anthropic_status, retry=retry, quotes_request=quotes_request, message=message, remedy=remedy,
    )  # fmt: skip


def _server(
    name: str,
    status: int,
    code: str | None,
    message: str = "",
    *,
    anthropic_type: str = "api_error",
    retry: Retry = "no",
    blames: bool = False,
    remedy: str | None = None,
    should_retry: bool | None = None,
    retry_after: float | None = None,
    anthropic_status: int | None = None,
) -> ErrorKind:
    """Not the client's fault."""
    return ErrorKind(
        name=name, status=status, openai_type="server_error", openai_code=code, anthropic_type=anthropic_type,
        anthropic_status=anthropic_status, retry=retry, blames_deployment=blames, message=message, remedy=remedy,
        should_retry=should_retry,
        retry_after=retry_after,
    )  # fmt: skip


_TABLE: Final = (
    # What a client sent, seen by the gateway itself
    _client("bad_request", 400),
    ErrorKind(
        name="unauthorized", status=401, openai_type="authentication_error", openai_code="invalid_api_key",
        anthropic_type="authentication_error", quotes_request=True, should_retry=False,
    ),
    _client("model_not_found", 404, "model_not_found", "not_found_error"),
    _client("endpoint_not_found", 404, "unknown_url", "not_found_error"),
    _client("response_not_found", 404, "not_found", "not_found_error"),
    _client("method_not_allowed", 405, "method_not_allowed"),
    _client("upgrade_required", 426, "websocket_not_supported"),
    _client("request_timeout", 408, "request_timeout"),
    _client("payload_too_large", 413, "request_too_large", "request_too_large"),
    _client("unsupported_media_type", 415, "unsupported_media_type"),
    _client("head_too_large", 431, "request_header_fields_too_large"),
    _client("misdirected_request", 421, "host_not_allowed"),
    ErrorKind(
        name="origin_not_allowed", status=403, openai_type="permission_error", openai_code="origin_not_allowed",
        anthropic_type="permission_error", quotes_request=True, should_retry=False,
    ),
    # What a caller may do
    ErrorKind(
        name="not_permitted", status=403, openai_type="permission_error", openai_code="model_not_allowed",
        anthropic_type="permission_error", should_retry=False,
    ),
    ErrorKind(
        name="budget_spent", status=429, openai_type="insufficient_quota", openai_code="budget_exceeded",
        anthropic_type="billing_error", should_retry=False,
    ),
    ErrorKind(
        name="caller_rate_limit", status=429, openai_type="rate_limit_error", openai_code="rate_limit_exceeded",
        anthropic_type="rate_limit_error", retry_after=1.0,
    ),
    ErrorKind(
        name="policy_blocked", status=400, openai_type="invalid_request_error", openai_code="policy_blocked",
        anthropic_type="policy_blocked", should_retry=False,
    ),
    ErrorKind(
        name="not_supported", status=501, openai_type="server_error", openai_code="not_supported",
        anthropic_type="not_supported", should_retry=False,
    ),
    # The gateway itself
    _server("internal", 500, None),
    _server("outside_geography", 500, "outside_geography", remedy=_OPERATOR, should_retry=False),
    _server(
        "credentials", 502, "upstream_auth_error", remedy="Check [auth] in the gateway's configuration.",
        should_retry=False,
    ),
    _server("gateway_overloaded", 503, "gateway_overloaded", anthropic_type="overloaded_error", retry_after=1.0),
    _server("store_unavailable", 503, "store_unavailable", retry_after=1.0),
    _server("gateway_draining", 503, "gateway_draining", should_retry=True, retry_after=1.0),
    # The way to the upstream
    _server("upstream_error", 502, "upstream_error"),
    _server("unreachable", 502, "upstream_unreachable", retry="anywhere", blames=True, anthropic_status=503),
    _server("certificate", 502, "upstream_unreachable", should_retry=False),
    _server("broken", 502, "upstream_broken", retry="anywhere", blames=True, anthropic_status=503),
    # A timeout that leaves no reply half computed upstream, or that is set in order to try elsewhere
    _server("slow_start", 504, "upstream_timeout", anthropic_type="timeout_error", retry="anywhere", blames=True),
    _server("slow_reply", 504, "upstream_timeout", anthropic_type="timeout_error", blames=True),
    _server("deadline", 504, "upstream_timeout", anthropic_type="timeout_error"),
    # What the upstream answered
    _rejected("invalid_request", "Vertex AI did not accept the request."),
    _rejected(
        "context_length", "The conversation is longer than the model's context.", code="context_length_exceeded",
        remedy="Send fewer or shorter messages.",
    ),
    _rejected(
        "too_large", "The request is larger than Vertex AI accepts.", status=413, code="request_too_large",
        anthropic_type="request_too_large",
    ),
    _rejected("thinking_refused", "Vertex AI did not accept a thinking block.", retry="after_repair"),
    _rejected("beta_refused", "Vertex AI does not know a beta feature.", retry="after_repair"),
    ErrorKind(
        name="content_filter", status=400, openai_type="invalid_request_error", openai_code="content_filter",
        anthropic_type="invalid_request_error", quotes_request=True, should_retry=False,
        message="A content policy blocked the request or its answer.",
        remedy="A content policy stopped this, not an error in the request. Retrying it unchanged does not help.",
    ),
    # Google's front end rejected the size; clients that see these words compact their conversation.
    _rejected("request_size", "Input is too long.", status=413, code="request_too_large", anthropic_status=400),
    _rejected(
        "not_enabled", "The model is not enabled for the gateway's Google Cloud project.", code="model_not_enabled",
        quotes_request=False, remedy="Enable it in the Model Garden of the Google Cloud console.",
        anthropic_type="not_found_error", anthropic_status=404,
    ),
    _rejected(
        "not_found", "Vertex AI does not serve this model to the gateway's project in its location.", status=404,
        code="model_not_found", anthropic_type="not_found_error", retry="other_model", quotes_request=False,
        remedy="Check the model's id and location, and that it is enabled and not retired.",
    ),
    _rejected(
        "conflict", "The request conflicts with another one.", status=409, code="conflict",
        anthropic_type="conflict_error",
    ),
    _server(
        "unauthenticated", 502, "upstream_auth_error", "Google did not accept the gateway's credentials.",
        retry="after_repair", remedy=_OPERATOR, should_retry=False,
    ),
    _server(
        "permission", 502, "upstream_auth_error", "The gateway's Google identity may not call this model.",
        remedy=f"It needs the permission aiplatform.endpoints.predict (role Vertex AI User). {_OPERATOR}",
        should_retry=False,
    ),
    _server(
        "billing", 502, "upstream_billing_error", "The gateway's Google project has a billing problem.",
        remedy=_OPERATOR, should_retry=False,
    ),
    ErrorKind(
        name="rate_limit", status=429, openai_type="rate_limit_error", openai_code="rate_limit_exceeded",
        anthropic_type="rate_limit_error", retry="anywhere", retry_after=5.0,
        message="The Vertex AI quota of this model is used up for now.",
    ),
    ErrorKind(
        name="quota_zero", status=429, openai_type="rate_limit_error", openai_code="insufficient_quota",
        anthropic_type="rate_limit_error", retry="other_model", should_retry=False,
        remedy="Enable the model in the Model Garden and request quota for it in the Google Cloud console "
        "(IAM & Admin, Quotas & System Limits). Retrying does not help.",
    ),
    _server(
        "timeout", 503, "upstream_timeout", "Vertex AI took too long to respond.", anthropic_type="timeout_error",
        retry="anywhere", blames=True,
    ),
    _server(
        "overloaded", 503, "overloaded", "Vertex AI is overloaded.", anthropic_type="overloaded_error",
        retry="anywhere", blames=True,
    ),
    _server("server_error", 503, "upstream_error", "Vertex AI failed to respond.", retry="anywhere", blames=True),
    _server("unexpected", 502, "upstream_error", "Vertex AI sent an unexpected response."),
)  # fmt: skip

KINDS: Final[dict[str, ErrorKind]] = {kind.name: kind for kind in _TABLE}
