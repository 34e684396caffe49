"""Errors of the emulated API, in the words and the shapes of the real service.

Two shapes: Anthropic's (``{"type":"error",…}``), for everything the model's own front end rejects, and Google's
(``google.rpc.Status`` as JSON, a one-element array on streaming calls), for authentication, quota and unknown models.
Not in this module: when a request is rejected.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ANTHROPIC_MESSAGES: Final = {
    429: "This request would exceed your rate limit. Please try again later.",
    500: "Internal server error",
    504: "Request timed out",
    529: "Overloaded",
}
_GOOGLE_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_GOOGLE_MESSAGES: Final = {
    429: "Resource exhausted. Please try again later.",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
    504: "Deadline expired before operation could complete.",
}
_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"


class ApiError(Exception):
    """The request is answered with this error.

    :param kind: Anthropic's ``error.type`` or Google's ``status``.
    :param google: Google's shape instead of Anthropic's.
    :param details: Google's ``details`` list.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, google: bool = False, details: list[Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.google = google
        self.details = details

    def body(self, request_id: str, *, streaming: bool) -> bytes:
        """The reply body. Google's errors are in an array on streaming calls."""
        if not self.google:
            return msgspec.json.encode(error_document(self.kind, self.message, request_id))
        error: dict[str, Any] = {"code": self.status, "message": self.message, "status": self.kind}
        if self.details:
            error["details"] = self.details
        document = {"error": error}
        return msgspec.json.format(msgspec.json.encode([document] if streaming else document), indent=2)


def error_document(kind: str, message: str, request_id: str) -> dict[str, Any]:
    """Anthropic's error object: the body of a unary reply, or the data of an ``error`` event."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def invalid_request(message: str) -> ApiError:
    """The 400 of the Messages API."""
    return ApiError(400, "invalid_request_error", message)


def anthropic_type(status: int) -> str:
    """The ``error.type`` of a status."""
    return _ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def default_message(kind: str) -> str:
    """The usual message of an Anthropic error type."""
    status = next((status for status, name in _ANTHROPIC_TYPES.items() if name == kind), 500)
    return _ANTHROPIC_MESSAGES.get(status, "Error")


def anthropic_error(status: int, kind: str | None = None, message: str | None = None) -> ApiError:
    """An error in Anthropic's shape, with the usual message of the status by default."""
    return ApiError(status, kind or anthropic_type(status), message or _ANTHROPIC_MESSAGES.get(status, "Error"))


def google_error(status: int, kind: str | None = None, message: str | None = None) -> ApiError:
    """An error in Google's shape, with the usual message of the status by default."""
    text = message or _GOOGLE_MESSAGES.get(status, "Request failed.")
    return ApiError(status, kind or _GOOGLE_STATUS.get(status, "UNKNOWN"), text, google=True)


def unauthenticated(reason: str = "ACCESS_TOKEN_EXPIRED") -> ApiError:
    """The 401 of Google's front end: the token is missing, invalid or expired."""
    message = (
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
    )
    if reason == "CREDENTIALS_MISSING":
        message = (
            "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or "
            "other valid authentication credential. See "
            "https://developers.google.com/identity/sign-in/web/devconsole-project."
        )
    metadata = {
        "service": "aiplatform.googleapis.com",
        "method": "google.cloud.aiplatform.v1.PredictionService.RawPredict",
    }
    info = {"@type": _ERROR_INFO, "reason": reason, "domain": "googleapis.com", "metadata": metadata}
    return ApiError(401, "UNAUTHENTICATED", message, google=True, details=[info])


def permission_denied(project: str, location: str, model: str) -> ApiError:
    """The 403 of IAM, which is also the real answer for a project that does not exist."""
    resource = (
        f"//aiplatform.googleapis.com/projects/{project}/locations/{location}/publishers/anthropic/models/{model}"
    )
    message = f"Permission 'aiplatform.endpoints.predict' denied on resource '{resource}' (or it may not exist)."
    info = {
        "@type": _ERROR_INFO,
        "reason": "IAM_PERMISSION_DENIED",
        "domain": "aiplatform.googleapis.com",
        "metadata": {
            "resource": resource.removeprefix("//aiplatform.googleapis.com/"),
            "permission": "aiplatform.endpoints.predict",
        },
    }
    return ApiError(403, "PERMISSION_DENIED", message, google=True, details=[info])


def data_sharing_required() -> ApiError:
    """The 403 of models that require the publisher data-sharing setting."""
    message = (
        "Access to this model requires data sharing to be enabled for publisher 'anthropic'. Please set "
        "`PublisherModelConfig.data_sharing_enabled_provider` to 'anthropic' via the setPublisherModelConfig API to "
        "use this model."
    )
    return ApiError(403, "PERMISSION_DENIED", message, google=True)


def unknown_model(project: str, location: str, publisher: str, model: str) -> ApiError:
    """The 404 of a model that is unknown, retired, not enabled, or not served here: the real text is the same."""
    name = f"projects/{project}/locations/{location}/publishers/{publisher}/models/{model}"
    return ApiError(404, "NOT_FOUND", f"Publisher Model `{name}` not found.", google=True)


def quota_exceeded(base_model: str) -> ApiError:
    """The 429 of a per-minute quota bucket."""
    message = (
        "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: "
        f"{base_model}. Please submit a quota increase request. "
        "https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai."
    )
    return ApiError(429, "RESOURCE_EXHAUSTED", message, google=True)


def request_too_large(size: int, limit: int) -> ApiError:
    """The 400 of Google's front end for a body over the limit (messages.md 4)."""
    message = f"The request size ({size} bytes) exceeds {limit / 1_000_000:.3f}MB limit."
    return ApiError(400, "FAILED_PRECONDITION", message, google=True)


def not_countable(model: str) -> ApiError:
    """The 400 of token counting for a name that it does not know, or that has a version."""
    return invalid_request(f"{model} is not supported for token counting")


def html_error(status: int) -> bytes:
    """The error page of Google's load balancer."""
    title = {404: "Not Found", 502: "Server Error", 503: "Service Unavailable"}.get(status, "Error")
    return (
        "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n"
        f"<title>Error {status} ({title})!!1</title>\n"
        f"<p><b>{status}.</b> <ins>That’s an error.</ins>\n<p>The requested URL was not found on this server or the "
        "server encountered a temporary error.  <ins>That’s all we know.</ins>\n"
    ).encode()


def status_of(kind: str) -> int:
    """The HTTP status of an Anthropic error type."""
    return next((status for status, name in _ANTHROPIC_TYPES.items() if name == kind), 500)
