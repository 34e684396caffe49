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


INFO: Any = {"@type": "type.googleapis.com/google.rpc.ErrorInfo"}
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
    (403, anthropic("Your prompt violates our Usage Policy.", "permission_error")),
    (403, anthropic(BLOCKED, "permission_error")),
    (429, google(BLOCKED, "RESOURCE_EXHAUSTED", 429)),
    (403, google("User prompt blocked by safety policy.", "PERMISSION_DENIED", 403)),
    (400, google("The request was blocked due to policy violation.")),
    (400, google("Request was blocked by content filters")),
    (400, google("Prompt blocked: PROHIBITED_CONTENT")),
    (400, google("Blocked by Floor Setting. The prompt violated Responsible AI Safety settings (Harassment).")),
    (400, google("Model Armor blocked the prompt.")),
    (400, google("The content filter was triggered.")),
    (400, anthropic("Prompt contains prohibited content.")),
    (400, anthropic("Request flagged by our safety systems.")),
    (400, anthropic("Your request was rejected by the safety system.")),
    (400, anthropic("The prompt was flagged as violating Anthropic's Usage Policies")),
    (400, anthropic("The generated text has been blocked by our content filters.")),
    (400, anthropic("This response was blocked by Anthropic's Usage Policy.")),
    (
        400,
        anthropic(
            "This request triggered restrictions on violative cyber content and was blocked under Anthropic's "
            "Usage Policy."
        ),
    ),
    (
        400,
        anthropic(
            "Claude is unable to respond to this request, which appears to violate our Usage Policy "
            "(https://www.anthropic.com/legal/aup)."
        ),
    ),
    (400, anthropic("Content filtered.")),
    (400, anthropic("error: The prompt was blocked.")),
    (403, google("Request blocked by Model Armor template ma-1.", "PERMISSION_DENIED", 403)),
    (400, anthropic("The response was automatically filtered, because of what it says")),
    (400, anthropic("messages.0.content.0.image: the image was blocked by our content filter")),
    (400, anthropic('{"type":"error","error":{"message":"Output blocked by content filtering policy"}}')),
    (400, google("Blocked.", "FAILED_PRECONDITION", **INFO, reason="SAFETY")),
    (400, google("Blocked.", **INFO, reason="CONTENT_POLICY_VIOLATION")),
    (400, google("No.", **INFO, reason="MODEL_ARMOR")),
    (400, anthropic("blocked", "content_filter")),
    (500, anthropic("no", "content_policy_violation")),
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
    # Outages, quotas, permissions and settings of what checks content
    (503, google("Model Armor is currently unavailable. Please retry.", "UNAVAILABLE", 503), "overloaded"),
    (503, google("The prompt was blocked by Model Armor: the service is unavailable.", "UNAVAILABLE", 503),
     "overloaded"),
    (503, google("Down.", "UNAVAILABLE", 503, **INFO, reason="MODEL_ARMOR"), "overloaded"),
    (429, google("Quota exceeded for Model Armor sanitize requests per minute.", "RESOURCE_EXHAUSTED", 429),
     "rate_limit"),
    (403, google("Permission 'modelarmor.templates.useToSanitizeUserPrompt' denied: Model Armor template cannot be "
                 "read by the service agent.", "PERMISSION_DENIED", 403), "permission"),
    (403, google("Model Armor rejected the request: the service agent has no permission.", "PERMISSION_DENIED", 403),
     "permission"),
    (404, google("Model Armor template not found.", "NOT_FOUND", 404), "not_found"),
    (500, google("The safety filter service is temporarily unavailable.", "INTERNAL", 500), "server_error"),
    (400, google("Invalid safety filter settings."), "invalid_request"),
    (400, google("Requests may be blocked by safety filters if the threshold is too low."), "invalid_request"),
    # Blocked by something else
    (500, google("The response stream was blocked on an internal lock.", "INTERNAL", 500), "server_error"),
    (500, anthropic("request blocked waiting for content server", "api_error"), "server_error"),
    (400, anthropic("The image URL download was blocked: content-type text/html is not allowed."), "invalid_request"),
    (400, anthropic("The content was blocked: content-type text/html is not allowed."), "invalid_request"),
    (400, anthropic("messages.2.content.1.source.url: This URL is blocked by robots.txt, so its content cannot be "
                    "fetched"), "invalid_request"),
    (400, google("Operation blocked: violates constraint constraints/vertexai.allowedModels; content of the policy: x",
                 "FAILED_PRECONDITION"), "invalid_request"),
    (400, google("Request violates the organization policy constraints/gcp.restrictTLS; see content policy docs.",
                 "FAILED_PRECONDITION"), "invalid_request"),
    (403, google("Request is blocked due to an organization policy violation.", "PERMISSION_DENIED", 403),
     "permission"),
    # What a client sent, in quotes or after a place
    (400, anthropic("tools.0.custom.description: string too long: 'list contents that are blocked'"),
     "invalid_request"),
    (400, anthropic("Unknown name \"prompt blocked by safety filter\": cannot find field."), "invalid_request"),
    (400, anthropic("Invalid value: 'the prompt violates our Usage Policy and so"), "invalid_request"),
    (400, anthropic("Invalid value: 'it's said that the prompt was blocked.'"), "invalid_request"),
    (400, anthropic("messages.1.content.0: The input is blocked: unexpected value"), "invalid_request"),
    (400, anthropic("system: The content is blocked."), "invalid_request"),
    (400, anthropic("tools.3: tool 'get_blocked_content' has an invalid schema; content"), "invalid_request"),
    (400, anthropic("tool_use.name: 'moderation' blocked_ content"), "invalid_request"),
    (400, anthropic("tools.0.custom.input_schema: property 'violates_usage_policy' is invalid"), "invalid_request"),
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
