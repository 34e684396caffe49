"""Every way a request can fail, as one tree.

What must not come in here: I/O, logging, knowledge of any wire format. An error carries what a *client* may see
(``message``, ``hint``) apart from what only the operator may see (``detail``), so nothing secret can slip out by
formatting an exception.

    GatewayError
    ├── RequestError                 the client can mend it
    │   ├── InvalidRequest           400  a field is wrong; ``param`` names it
    │   ├── Unauthorized             401  no key, or not one of ours
    │   ├── ModelNotFound            404  no such model here
    │   ├── EndpointNotFound         404  no such path; the hint names the one probably meant
    │   ├── MethodNotAllowed         405
    │   ├── RequestTimeout           408  the client did not finish sending its body
    │   └── PayloadTooLarge          413
    ├── UpstreamError                Vertex AI, or the way to it, failed
    │   ├── UpstreamRefused          Vertex AI answered with an error of its own
    │   ├── UpstreamUnreachable      502  no connection could be made
    │   ├── UpstreamTimeout          504  one of the clocks ran out; ``clock`` says which
    │   └── UpstreamBroken           502  the reply broke the protocol, or stopped before its end
    ├── CredentialsUnavailable       500  no Google access token can be had
    ├── GatewayOverloaded            503  a bound of ours was reached
    └── GatewayDraining              503  the process is shutting down

Status, ``type`` and ``code`` follow the OpenAI error conventions: the official SDKs choose the exception class by
status and retry 408, 409, 429 and every 5xx unless ``x-should-retry`` says otherwise.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """Base of all errors the gateway raises on purpose.

    :param message: one sentence for the client, without secrets.
    :param param: the request field at fault, as a dotted path (``messages.0.content``).
    :param hint: what to do about it; shown after the message.
    :param detail: for the operator's log only.
    """

    status: int = 500
    type: str = "server_error"
    code: str | None = None
    #: Value of ``x-should-retry``; None leaves the decision to the client's own rules.
    should_retry: bool | None = None
    #: Seconds for ``retry-after``; None sends no header.
    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        hint: str | None = None,
        detail: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.hint = hint
        self.detail = detail
        if code is not None:
            self.code = code

    @property
    def public_message(self) -> str:
        """Message and hint as one text, the way a client sees it."""
        return f"{self.message} {self.hint}" if self.hint else self.message


class RequestError(GatewayError):
    """The client can mend it: 4xx, never retried as it stands."""

    status = 400
    type = "invalid_request_error"


class InvalidRequest(RequestError):
    """400: the body is not what the endpoint takes; ``param`` names the field."""


class Unauthorized(RequestError):
    """401: the gateway's own key is missing or wrong. Never used for Google's refusals."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class ModelNotFound(RequestError):
    """404: the requested model is not configured here, or Vertex AI does not serve it to this project."""

    status = 404
    code = "model_not_found"


class EndpointNotFound(RequestError):
    """404: no such path."""

    status = 404
    code = "unknown_url"


class MethodNotAllowed(RequestError):
    """405: the path exists, the method does not. ``allow`` is the value of the Allow header."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.allow = allow


class RequestTimeout(RequestError):
    """408: the client stopped sending in the middle of its body."""

    status = 408
    code = "request_timeout"


class PayloadTooLarge(RequestError):
    """413: the body is larger than Vertex AI takes."""

    status = 413
    code = "request_too_large"


class UpstreamError(GatewayError):
    """Vertex AI, or the way to it, failed."""

    status = 502
    code: str | None = "upstream_error"


class UpstreamRefused(UpstreamError):
    """Vertex AI answered with an error. Built by ``claude.upstream_errors`` from what it said.

    :param upstream_status: the HTTP status, or the one that the in-stream error type stands for.
    :param kind: a stable name for the retry decision, see ``claude.upstream_errors``.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str,
        code: str | None,
        upstream_status: int,
        kind: str,
        hint: str | None = None,
        detail: str | None = None,
        should_retry: bool | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, detail=detail, code=code)
        self.status = status
        self.type = type
        self.code = code
        self.upstream_status = upstream_status
        self.kind = kind
        self.should_retry = should_retry
        self.retry_after = retry_after
        self.request_id = request_id


class UpstreamUnreachable(UpstreamError):
    """502: no connection could be made (DNS, TCP, TLS or proxy)."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """504: a clock ran out. ``clock`` is one of connect, pool, send, first_byte, first_token, idle, total."""

    status = 504
    code = "upstream_timeout"

    def __init__(self, message: str, *, clock: str, hint: str | None = None, detail: str | None = None) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.clock = clock


class UpstreamBroken(UpstreamError):
    """502: the reply broke the protocol or stopped before its end.

    :param reply_started: whether any byte of the reply had arrived. False means the request may be sent again
        without asking whether it was answered.
    """

    code = "upstream_broken"

    def __init__(self, message: str, *, reply_started: bool, detail: str | None = None) -> None:
        super().__init__(message, detail=detail)
        self.reply_started = reply_started


class CredentialsUnavailable(GatewayError):
    """500: no Google access token can be had. Retrying from the client does not help."""

    status = 500
    code = "upstream_auth_error"
    should_retry: bool | None = False
    #: Class-wide: the words that tell an operator where to look.
    remedy: ClassVar[str] = "Check [auth] in the gateway's configuration."


class GatewayOverloaded(GatewayError):
    """503: one of the gateway's own bounds was reached."""

    status = 503
    code = "gateway_overloaded"
    retry_after: float | None = 1.0


class GatewayDraining(GatewayError):
    """503: the process is shutting down and takes no new work."""

    status = 503
    code = "gateway_draining"
    retry_after: float | None = 1.0
    should_retry: bool | None = True
