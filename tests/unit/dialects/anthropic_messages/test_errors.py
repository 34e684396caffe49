"""Risk: a client that repairs itself by the words of an error gets others, one that cannot help it tries again, or an
error of the gateway's own credentials looks like the client's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.dialects.anthropic_messages.dialect import AnthropicMessages
from modelmux.dialects.anthropic_messages.errors import _retry_headers
from modelmux.errors import (
    BudgetSpent,
    CallerRateLimited,
    CredentialsUnavailable,
    GatewayDraining,
    GatewayError,
    GatewayOverloaded,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    NotPermitted,
    NotSupported,
    PayloadTooLarge,
    PolicyBlocked,
    Unauthorized,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.model import Deployment
from modelmux.server.responses import error_headers

DIALECT = AnthropicMessages()
HERE = Deployment("a", "https://a.example/v1/m", "acme-prod", "eu", builtin().cards[0])


def upstream(status: int, body: Any, *headers: tuple[bytes, bytes]) -> GatewayError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = VertexClaude().error(status, list(headers), raw, HERE)
    error.model = "claude-x"
    return error


def anthropic(type: str, message: str = "As it is.") -> dict[str, Any]:
    return {"type": "error", "error": {"type": type, "message": message, "details": {"a": 1}}, "request_id": "req_u"}


def google(status: str, message: str = "Words of Google.") -> dict[str, Any]:
    return {"error": {"code": 1, "status": status, "message": message}}


def shown(error: GatewayError) -> tuple[int, str, str, dict[str, str]]:
    """Status, type, message and headers, as the server sends them."""
    response = DIALECT.error(error, "req_1")
    body = json.loads(response.body)
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    headers = {name.decode(): value.decode() for name, value in [*error_headers(error), *response.headers]}
    assert headers["request-id"] == body["request_id"] or error.model is not None
    return response.status, body["error"]["type"], body["error"]["message"], headers


@pytest.mark.parametrize(
    ("status", "type"),
    [
        (400, "invalid_request_error"), (413, "request_too_large"), (422, "invalid_request_error"),
        (404, "not_found_error"), (409, "conflict_error"), (429, "rate_limit_error"), (500, "api_error"),
        (503, "api_error"), (504, "timeout_error"), (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_what_the_model_says_passes_as_it_came(status: int, type: str) -> None:
    body = anthropic(type)
    raw = json.dumps(body, indent=1).encode()
    response = DIALECT.error(upstream(status, raw, (b"request-id", b"req_u")), "req_1")
    assert (response.status, response.body) == (status, raw)
    headers = dict(response.headers)
    assert headers.pop(b"request-id") == b"req_u"
    assert set(headers) == ({b"retry-after"} if status == 429 else set())


def test_headers_that_control_retries_pass_and_limits_do_not() -> None:
    passed = [(b"retry-after", b"7"), (b"retry-after-ms", b"7000"), (b"x-should-retry", b"false")]
    error = upstream(
        429, anthropic("rate_limit_error"), *passed, (b"anthropic-ratelimit-requests-limit", b"5"), (b"via", b"x")
    )
    response = DIALECT.error(error, "req_1")
    assert response.headers == [(b"request-id", b"req_1"), *passed]
    error = upstream(529, anthropic("overloaded_error"), (b"anthropic-organization-id", b"o"))
    assert DIALECT.error(error, "req_1").headers == [(b"request-id", b"req_1"), (b"anthropic-organization-id", b"o")]


NOT_ALLOWED = "Project is not allowed to use Publisher Model x"
TOO_LARGE = "The request size (30037042 bytes) exceeds 30.000MB limit."
TABLE: list[tuple[str, GatewayError, int, str, str]] = [
    ("Google's 400", upstream(400, google("INVALID_ARGUMENT")), 400, "invalid_request_error", "Words of Google."),
    ("a precondition", upstream(400, google("FAILED_PRECONDITION")), 400, "invalid_request_error", "Words of Google."),
    ("not allowed to use the model", upstream(400, google("FAILED_PRECONDITION", NOT_ALLOWED)),
     404, "not_found_error", "model: claude-x"),
    ("Google's 404", upstream(404, google("NOT_FOUND")), 404, "not_found_error", "model: claude-x"),
    ("our credentials, 401", upstream(401, anthropic("authentication_error")), 502, "api_error", ""),
    ("our credentials, 403", upstream(403, google("PERMISSION_DENIED")), 502, "api_error", ""),
    ("our credentials, 403 of Anthropic", upstream(403, anthropic("permission_error")), 502, "api_error", ""),
    ("no access token of ours", CredentialsUnavailable("no token"), 502, "api_error", "no token"),
    ("its details name a project", upstream(400, {"type": "error", "error": {
        "type": "invalid_request_error", "message": "As it is.", "details": {"name": "projects/123456789/x"}}}),
     400, "invalid_request_error", "As it is."),
    ("its end names a project", upstream(400, anthropic("invalid_request_error", "x" * 2_000 + " projects/123456789")),
     400, "invalid_request_error", "xxx"),
    ("Google's quota", upstream(429, google("RESOURCE_EXHAUSTED")), 429, "rate_limit_error", "Words"),
    ("Google's 499", upstream(499, google("CANCELLED")), 503, "api_error", ""),
    ("Google's 504", upstream(504, google("DEADLINE_EXCEEDED")), 503, "timeout_error", ""),
    ("HTML", upstream(502, b"<html>Bad Gateway</html>"), 503, "api_error", ""),
    ("a body that is too large for Google", upstream(413, google("INVALID_ARGUMENT", TOO_LARGE)),
     400, "invalid_request_error", "Input is too long."),
    ("it names the project", upstream(400, anthropic("invalid_request_error", "Project acme-prod")),
     400, "invalid_request_error", "Project ***"),
    ("the connection was reset", UpstreamBroken("cut", reply_started=False), 503, "api_error", "cut"),
    ("no connection", UpstreamUnreachable("none"), 503, "api_error", "none"),
    ("too late", UpstreamTimeout("late", clock="total"), 504, "timeout_error", "late"),
    ("unknown key", Unauthorized("no"), 401, "authentication_error", "no"),
    ("not the key's model", NotPermitted("no"), 403, "permission_error", "no"),
    ("budget", BudgetSpent("spent", resets_in=90.0), 429, "billing_error", "spent"),
    ("rate limit", CallerRateLimited("slow", retry_after=3.0), 429, "rate_limit_error", "slow"),
    ("policy", PolicyBlocked("no"), 400, "policy_blocked", "no"),
    ("not served", NotSupported("no"), 501, "not_supported", "no"),
    ("unknown model", ModelNotFound("none"), 404, "not_found_error", "none"),
    ("bad request", InvalidRequest("no"), 400, "invalid_request_error", "no"),
    ("another method", MethodNotAllowed("no", allow="POST"), 405, "invalid_request_error", "no"),
    ("too large", PayloadTooLarge("no"), 413, "request_too_large", "no"),
    ("draining", GatewayDraining("ending"), 503, "api_error", "ending"),
    ("a defect", GatewayError("oh"), 500, "api_error", "oh"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status", "type", "message"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_everything_else_is_in_the_gateways_words(error: GatewayError, status: int, type: str, message: str) -> None:
    assert shown(error)[:2] == (status, type)
    assert shown(error)[2].startswith(message)
    body = str(DIALECT.error(error, "req_1").body)
    assert "acme-prod" not in body
    assert "123456789" not in body


@pytest.mark.parametrize(
    ("error", "should_retry", "retry_after"),
    [
        (Unauthorized("no"), "false", None), (NotPermitted("no"), "false", None),
        (BudgetSpent("no", resets_in=90.0), "false", "90"), (BudgetSpent("no"), "false", None),
        (CallerRateLimited("no", retry_after=3.0), None, "3"), (PolicyBlocked("no"), "false", None),
        (NotSupported("no"), "false", None), (upstream(429, google("RESOURCE_EXHAUSTED")), None, "5"),
        (upstream(429, google("RESOURCE_EXHAUSTED"), (b"retry-after", b"9")), None, "9"),
        (upstream(401, google("UNAUTHENTICATED")), "false", None), (GatewayOverloaded("full"), None, "1"),
    ],
)  # fmt: skip
def test_who_should_try_again_and_when(error: GatewayError, should_retry: str | None, retry_after: str | None) -> None:
    headers = shown(error)[3]
    assert (headers.get("x-should-retry"), headers.get("retry-after")) == (should_retry, retry_after)


@pytest.mark.parametrize(
    ("asked", "told"),
    [(b"7", b"7"), (b"6.2", b"7"), (b"6.00", b"6"), (b"Wed, 21 Oct 2026 07:28:00 GMT",) * 2],
)
def test_a_retry_after_is_passed_on_in_whole_seconds(asked: bytes, told: bytes) -> None:
    assert (b"retry-after", told) in _retry_headers(429, [(b"retry-after", asked)])
