"""Every way a request can fail, as one tree. What each means to clients and to routing is in ``error_kinds.py``.

Not in this module: I/O, logging, knowledge of any wire format. An error carries what a *client* may see (``message``,
``hint``) apart from what only the operator may see (``detail``), so nothing secret can slip out by formatting an
exception.

    GatewayError
    ├── RequestError                 the client can fix it
    │   ├── InvalidRequest           400  a field is wrong; ``param`` names it
    │   ├── Unauthorized             401  no key, or not one of the gateway's
    │   ├── ModelNotFound            404  no such model here
    │   ├── EndpointNotFound         404  no such path; the hint suggests another
    │   ├── ResponseNotFound         404  no such stored response for this caller
    │   ├── MethodNotAllowed         405
    │   ├── UpgradeRequired          426  the path serves only another protocol
    │   ├── RequestTimeout           408  the client did not finish sending its body
    │   ├── PayloadTooLarge          413
    │   ├── UnsupportedMediaType     415  not JSON, or compressed
    │   ├── HeadTooLarge             431
    │   ├── OriginNotAllowed         403  a web page that may not call this gateway
    │   ├── MisdirectedRequest       421  this gateway is not served under the name in Host
    │   ├── NotPermitted             403  the caller's key may not do this
    │   ├── BudgetSpent              429  a budget of the caller is used up
    │   ├── CallerRateLimited        429  a limit of the caller's key
    │   ├── PolicyBlocked            400  the operator's content policy
    │   └── NotSupported             501  this gateway does not do it
    ├── UpstreamError                Vertex AI, or the way to it, failed
    │   ├── UpstreamRefused          Vertex AI answered with an error of its own
    │   ├── UpstreamUnreachable      502  no connection could be made
    │   │   └── CertificateNotAccepted  502  the certificate is not one that the gateway trusts
    │   ├── UpstreamTimeout          504  one of the timeouts expired; ``clock`` says which
    │   └── UpstreamBroken           502  the reply broke the protocol, or stopped before its end
    ├── OutsideGeography             500  the call would leave the route's geography
    ├── CredentialsUnavailable       502  no Google access token is available
    ├── GatewayOverloaded            503  one of the gateway's own limits was reached
    ├── StoreUnavailable             503  stored responses cannot be read
    └── GatewayDraining              503  the process is shutting down

The official SDKs choose the exception class by status and retry 408, 409, 429 and every 5xx unless ``x-should-retry``
says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from msgspec import Struct

from modelmux.error_kinds import KINDS, ErrorKind


class GatewayError(Exception):
    """Base of all errors the gateway raises on purpose.

    :param message: one sentence for the client, without secrets.
    :param param: the request field at fault, as a dotted path (``messages.0.content``).
    :param hint: what to do about it; shown after the message.
    :param detail: for the operator's log only.
    :param code: replaces the kind's own code.
    :param details: more about the error for programs, in Anthropic's dialects.
    """

    #: The class's row of the table; an instance may have another one.
    kind: ErrorKind = KINDS["internal"]

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        hint: str | None = None,
        detail: str | None = None,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.hint = hint
        self.detail = detail
        self.code = code or self.kind.openai_code
        self.details = details
        #: Whether ``message`` is an upstream's.
        self.quotes_upstream = False
        #: Seconds for ``retry-after``; None sends no header.
        self.retry_after = self.kind.retry_after
        #: Value of ``x-should-retry``; None leaves the decision to the client's own rules.
        self.should_retry = self.kind.should_retry
        #: The model name that the client asked for, if the request got that far.
        self.model: str | None = None
        #: Id of the virtual key that the request was sent with, if it is one, also of a key that may not be used.
        self.key: str | None = None
        #: Headers of the request that failed, for a dialect whose clients expect different errors.
        self.request_headers: Sequence[tuple[bytes, bytes]] = ()
        self.is_captured = False  # bodies of the request are kept, which its client is told

    @property
    def status(self) -> int:
        return self.kind.status

    @property
    def type(self) -> str:
        """OpenAI's ``error.type``."""
        return self.kind.openai_type

    @property
    def public_message(self) -> str:
        """Message and hint as one text, the way a client sees it. A hint is set apart from an upstream's words."""
        if not self.hint:
            return self.message
        if self.quotes_upstream:
            return f"{self.message}\n\nHint of the gateway: {self.hint}"
        end = "" if self.message.endswith((".", "!", "?", ":")) else "."
        return f"{self.message}{end} {self.hint}"

    @property
    def loggable_message(self) -> str | None:
        """The message, unless it may quote what the client sent: then only the client reads it."""
        return None if self.kind.quotes_request else self.message


class RequestError(GatewayError):
    """The client can fix it: 4xx, never retried unchanged."""

    kind = KINDS["bad_request"]


class InvalidRequest(RequestError):
    """400: the body is not what the endpoint accepts; ``param`` names the field."""


class Unauthorized(RequestError):
    """401: the gateway's own key is missing or wrong. Never used for Google's refusals."""

    kind = KINDS["unauthorized"]


class ModelNotFound(RequestError):
    """404: the requested model is not configured here."""

    kind = KINDS["model_not_found"]


class EndpointNotFound(RequestError):
    """404: no such path."""

    kind = KINDS["endpoint_not_found"]


class MethodNotAllowed(RequestError):
    """405: the path exists, the method does not. ``allow`` is the value of the Allow header."""

    kind = KINDS["method_not_allowed"]

    def __init__(self, message: str, *, allow: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.allow = allow


class ResponseNotFound(RequestError):
    """404: no response of this id is stored for the caller, whether or not another caller has one."""

    kind = KINDS["response_not_found"]


class UpgradeRequired(RequestError):
    """426: the path is for WebSocket connections, which the gateway does not serve."""

    kind = KINDS["upgrade_required"]


class RequestTimeout(RequestError):
    """408: the client stopped sending in the middle of its body."""

    kind = KINDS["request_timeout"]


class PayloadTooLarge(RequestError):
    """413: the body is larger than Vertex AI accepts."""

    kind = KINDS["payload_too_large"]


class UnsupportedMediaType(RequestError):
    """415: the body is not JSON, or is compressed."""

    kind = KINDS["unsupported_media_type"]


class HeadTooLarge(RequestError):
    """431: the request's head exceeds its limit."""

    kind = KINDS["head_too_large"]


class OriginNotAllowed(RequestError):
    """403: the request comes from a web page that may not call this gateway."""

    kind = KINDS["origin_not_allowed"]


class MisdirectedRequest(RequestError):
    """421: this gateway is not served under the host name of the request."""

    kind = KINDS["misdirected_request"]


class NotPermitted(RequestError):
    """403: the caller's key may not use the model, or the route."""

    kind = KINDS["not_permitted"]


class BudgetSpent(RequestError):
    """429: a budget of the caller is used up.

    :param resets_in: seconds until it is renewed; None if it never is.
    """

    kind = KINDS["budget_spent"]

    def __init__(self, message: str, *, resets_in: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = resets_in


class CallerRateLimited(RequestError):
    """429: the caller's key has reached its rate or its concurrency.

    :param retry_after: seconds.
    :param rate: which one: ``rpm``, ``tpm``, ``itpm``, ``otpm`` or ``concurrent``.
    """

    kind = KINDS["caller_rate_limit"]

    def __init__(self, message: str, *, retry_after: float, rate: str = "rpm", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.rate = rate
        #: What is left of which limits, for headers: ``dialects.base.RateLimit``.
        self.limits: Sequence[Any] = ()


class PolicyBlocked(RequestError):
    """400: the operator's policy does not allow the content."""

    kind = KINDS["policy_blocked"]


class NotSupported(RequestError):
    """501: the gateway does not do this, now and later."""

    kind = KINDS["not_supported"]


class UpstreamError(GatewayError):
    """Vertex AI, or the way to it, failed."""

    kind = KINDS["upstream_error"]


class UpstreamReply(Struct, frozen=True):
    """The error reply of an upstream as it came, for dialects that relay it.

    :param status: the HTTP status, or the one that the type of an in-stream error stands for.
    :param body: at most the provider's bound; empty if it names the project.
    :param anthropic_type: ``error.type``, if the reply has Anthropic's shape.
    """

    status: int
    body: bytes = b""
    request_id: str | None = None
    anthropic_type: str | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()


class UpstreamRefused(UpstreamError):
    """Vertex AI answered with an error. Made by the provider from what it received.

    :param kind: the row of the table.
    :param retry_after: seconds the upstream asked to wait.
    """

    def __init__(
        self,
        message: str,
        kind: ErrorKind,
        reply: UpstreamReply,
        *,
        hint: str | None = None,
        detail: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        super().__init__(message or kind.message, hint=hint or kind.remedy, detail=detail, details=details)
        self.reply = reply
        self.retry_after = retry_after
        #: The limit of the quota that is used up, where the upstream names it apart from its words.
        self.quota_limit: float | None = None

    def copy(self) -> UpstreamRefused:
        """The same error, to be changed on its own."""
        copy = UpstreamRefused(self.message, self.kind, self.reply)
        vars(copy).update(vars(self))
        return copy


class UpstreamUnreachable(UpstreamError):
    """502: no connection could be made (DNS, TCP, TLS or proxy)."""

    kind = KINDS["unreachable"]


class CertificateNotAccepted(UpstreamUnreachable):
    """502: the upstream's certificate is not of an authority that the gateway trusts, or not for its host. It will not
    be at the next attempt."""

    kind = KINDS["certificate"]


class UpstreamTimeout(UpstreamError):
    """504: a timeout expired. ``clock`` is one of connect, pool, send, first_byte, first_token, idle, total."""

    _KINDS: ClassVar[dict[str, ErrorKind]] = {
        "connect": KINDS["slow_start"],
        "first_token": KINDS["slow_start"],
        "total": KINDS["deadline"],
    }

    def __init__(self, message: str, *, clock: str, hint: str | None = None, detail: str | None = None) -> None:
        self.kind = self._KINDS.get(clock, KINDS["slow_reply"])
        super().__init__(message, hint=hint, detail=detail)
        self.clock = clock


class UpstreamBroken(UpstreamError):
    """502: the reply broke the protocol or stopped before its end.

    :param reply_started: whether any byte of the reply had arrived. False means the request may be sent again
        without asking whether it was answered.
    """

    kind = KINDS["broken"]

    def __init__(self, message: str, *, reply_started: bool, detail: str | None = None) -> None:
        super().__init__(message, detail=detail)
        self.reply_started = reply_started


class OutsideGeography(GatewayError):
    """500: a call would leave the route's geography. Configuration prevents this; each call is checked too."""

    kind = KINDS["outside_geography"]


class CredentialsUnavailable(GatewayError):
    """502: no Google access token is available, as where Google rejects one. Retrying from the client does not help."""

    kind = KINDS["credentials"]


class GatewayOverloaded(GatewayError):
    """503: one of the gateway's own limits was reached."""

    kind = KINDS["gateway_overloaded"]

    #: The ``retry-after`` of a request that is rejected because of load, in seconds, before its random part: long
    #: enough for a slot to become free.
    RETRY_AFTER: Final = 2.0

    @classmethod
    def by_load(cls, message: str) -> GatewayOverloaded:
        """The rejection of a request because of what the gateway has to do already."""
        error = cls(message, hint="Try again shortly.")
        error.retry_after = cls.RETRY_AFTER
        return error


class StoreUnavailable(GatewayError):
    """503: stored responses cannot be read."""

    kind = KINDS["store_unavailable"]


class GatewayDraining(GatewayError):
    """503: the process is shutting down and accepts no new work."""

    kind = KINDS["gateway_draining"]


#: Error for whatever the gateway did not foresee.
INTERNAL_MESSAGE: Final = "The gateway failed."


def without_traceback(error: GatewayError) -> GatewayError:
    """The same error without its traceback, whose frames refer to the reply that holds the error: a circle that keeps
    a request's memory until the collector runs."""
    return error.with_traceback(None)
