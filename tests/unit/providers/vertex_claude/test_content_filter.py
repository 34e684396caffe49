"""Risk: a policy's refusal looks like a malformed request or an outage, or another error looks like a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.providers.vertex_claude.errors import translate_inline_error, translate_upstream_error
from modelmux.wire.google.errors import UpstreamErrorBody, decode_error

BLOCKED = "Output blocked by content filtering policy"


def anthropic(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def google(message: str, status: str = "INVALID_ARGUMENT", code: int = 400, **info: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": [info] if info else []}}


INFO = {"@type": "type.googleapis.com/google.rpc.ErrorInfo"}
FILTERED = [
    (400, anthropic(BLOCKED)),
    (500, anthropic(BLOCKED, "api_error")),
    (529, anthropic("Output blocked by content filtering policy.", "overloaded_error")),
    (400, anthropic("The prompt was blocked by our content filter")),
    (400, anthropic("This request appears to violate our Usage Policy")),
    (400, google("The response was blocked.")),
    (400, google("The prompt is blocked due to safety reasons.", "FAILED_PRECONDITION")),
    (400, google("The request was blocked because the content violated policy.")),
    (400, google("The prompt contains words that violate Google's Responsible AI practices.")),
    (403, google("Request blocked by Model Armor.", "PERMISSION_DENIED", 403)),
    (500, google("Generation stopped by the safety filters", "INTERNAL", 500)),
    (400, google("No.", **INFO, reason="PROHIBITED_CONTENT")),
    (400, [google(BLOCKED)]),
]
OTHER = [
    (400, anthropic("messages.0: content is required"), "invalid_request"),
    (400, google("prompt is too long: 9 tokens > 8 maximum"), "context_length"),
    (403, google("Requests from this referer are blocked.", "PERMISSION_DENIED", 403), "permission"),
    (403, google("Access to this content was blocked by an organization policy.", "PERMISSION_DENIED", 403),
     "permission"),
    (400, google("Constraint constraints/vertexai.allowedModels violated: policy of the organization."),
     "invalid_request"),
    (429, google("Quota exceeded.", "RESOURCE_EXHAUSTED", 429), "rate_limit"),
    (500, anthropic("Internal server error", "api_error"), "server_error"),
    (400, anthropic("tools.0.name: 'content_filter' is reserved"), "invalid_request"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), FILTERED)
def test_a_policys_refusal_is_told_from_an_error_in_the_request(status: int, body: Any) -> None:
    data = json.dumps(body).encode()
    error = translate_upstream_error(decode_error(status, data), body=data)
    assert (error.kind.name, error.status, error.code, error.should_retry) == (
        "content_filter", 400, "content_filter", False,
    )  # fmt: skip
    assert error.kind.retry == "no"


@pytest.mark.parametrize(("status", "body", "kind"), OTHER)
def test_other_errors_are_not_taken_for_one(status: int, body: Any, kind: str) -> None:
    assert translate_upstream_error(decode_error(status, json.dumps(body).encode())).kind.name == kind


INLINE: list[tuple[Any, str | None, int]] = [
    ([google("Quota exceeded.", "RESOURCE_EXHAUSTED", 429)], "rate_limit", 429),
    ([google("Gone.", "", 429)], "rate_limit", 429),
    (google("Down.", "UNAVAILABLE", 503), "overloaded", 503),
    (google("Down.", "UNAVAILABLE", 0), "overloaded", 529),
    (google("Odd.", "", 200), "server_error", 500),
    ([anthropic("Overloaded", "overloaded_error")], "overloaded", 529),
    ([anthropic("Odd", "odd_error")], "server_error", 500),
    ({"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter", 400),
    ([{"promptFeedback": {"blockReason": "MODEL_ARMOR", "blockReasonMessage": "No."}}], "content_filter", 400),
    ({"error": {"message": "Loose", "status": 7}}, "server_error", 500),
    (anthropic("Overloaded", "overloaded_error"), None, 0),
    ([], None, 0),
    ({"error": {}}, None, 0),
    ({"type": "message", "content": []}, None, 0),
    ([1], None, 0),
]


@pytest.mark.parametrize(("body", "kind", "status"), INLINE)
def test_an_error_in_the_place_of_a_reply_keeps_its_status(body: Any, kind: str | None, status: int) -> None:
    error = translate_inline_error(json.dumps(body).encode())
    assert (error.kind.name if error else None, error.reply.status if error else 0) == (kind, status)


def test_the_words_alone_are_enough() -> None:
    assert translate_upstream_error(UpstreamErrorBody(400, message=BLOCKED)).kind.name == "content_filter"
