"""Upstream errors: the right status decides whether a client retries, and no project id may pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.error_kinds import KINDS
from modelmux.errors import UpstreamRefused
from modelmux.providers.vertex_claude.errors import (
    MAX_MESSAGE,
    UPSTREAM_KINDS,
    translate_stream_error,
    translate_upstream_error,
)
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.wire.google.errors import UpstreamErrorBody as Body
from modelmux.wire.google.errors import decode_error
from support.translation import events
from support.work import assert_linear

#: kind -> what a client gets; a change here changes what every client's retries do.
CLIENT: dict[str, tuple[int, str, str | None, bool | None]] = {
    "invalid_request": (400, "invalid_request_error", None, None),
    "context_length": (400, "invalid_request_error", "context_length_exceeded", None),
    "too_large": (413, "invalid_request_error", "request_too_large", None),
    "thinking_refused": (400, "invalid_request_error", None, None),
    "not_enabled": (400, "invalid_request_error", "model_not_enabled", None),
    "not_found": (404, "invalid_request_error", "model_not_found", None),
    "unauthenticated": (502, "server_error", "upstream_auth_error", False),
    "permission": (502, "server_error", "upstream_auth_error", False),
    "billing": (502, "server_error", "upstream_billing_error", False),
    "conflict": (409, "invalid_request_error", "conflict", None),
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded", None),
    "timeout": (503, "server_error", "upstream_timeout", None),
    "overloaded": (503, "server_error", "overloaded", None),
    "server_error": (503, "server_error", "upstream_error", None),
    "unexpected": (502, "server_error", "upstream_error", None),
    "beta_refused": (400, "invalid_request_error", None, None),
    "request_size": (413, "invalid_request_error", "request_too_large", None),
    "content_filter": (400, "invalid_request_error", "content_filter", False),
}


def test_what_a_client_gets_for_each_kind() -> None:
    kinds = [KINDS[name] for name in UPSTREAM_KINDS]
    assert {k.name: (k.status, k.openai_type, k.openai_code, k.should_retry) for k in kinds} == CLIENT
    for kind in kinds:
        assert kind.message.endswith(".")
        assert kind.status not in (401, 403), "an error of Google's authentication is not the client's"


UPSTREAM_ERRORS: list[tuple[Body, str]] = [
    # Anthropic's error types, whatever the status
    *((Body(418, name), kind) for name, kind in [
        ("invalid_request_error", "invalid_request"), ("authentication_error", "unauthenticated"),
        ("billing_error", "billing"), ("permission_error", "permission"), ("not_found_error", "not_found"),
        ("conflict_error", "conflict"), ("request_too_large", "too_large"), ("rate_limit_error", "rate_limit"),
        ("api_error", "server_error"), ("timeout_error", "timeout"), ("overloaded_error", "overloaded"),
    ]),
    # google.rpc.Code
    *((Body(418, name), kind) for name, kind in [
        ("INVALID_ARGUMENT", "invalid_request"), ("OUT_OF_RANGE", "invalid_request"),
        ("UNAUTHENTICATED", "unauthenticated"), ("PERMISSION_DENIED", "permission"), ("NOT_FOUND", "not_found"),
        ("ABORTED", "conflict"), ("ALREADY_EXISTS", "conflict"), ("RESOURCE_EXHAUSTED", "rate_limit"),
        ("CANCELLED", "server_error"), ("INTERNAL", "server_error"), ("UNKNOWN", "server_error"),
        ("DATA_LOSS", "server_error"), ("UNIMPLEMENTED", "unexpected"), ("UNAVAILABLE", "overloaded"),
        ("DEADLINE_EXCEEDED", "timeout"),
    ]),
    # the HTTP status, where the body says nothing known
    *((Body(status, "NEWS"), kind) for status, kind in [
        (400, "invalid_request"), (401, "unauthenticated"), (402, "billing"), (403, "permission"), (404, "not_found"),
        (408, "timeout"), (409, "conflict"), (413, "too_large"), (422, "invalid_request"), (429, "rate_limit"),
        (500, "server_error"), (502, "server_error"), (503, "overloaded"), (504, "timeout"), (529, "overloaded"),
        (418, "invalid_request"), (499, "server_error"), (501, "server_error"), (599, "server_error"),
        (301, "unexpected"), (204, "unexpected"), (0, "unexpected"),
    ]),
    # texts
    (Body(400, "FAILED_PRECONDITION", "Project `1` is not allowed to use Publisher Model `x`"), "not_enabled"),
    (Body(400, "FAILED_PRECONDITION", "Something else."), "invalid_request"),
    (Body(400, "invalid_request_error", "prompt is too long: 300000 tokens > 200000 maximum"), "context_length"),
    (Body(400, "INVALID_ARGUMENT", "input length exceeds the model's maximum context"), "context_length"),
    (Body(400, "", "Context window exceeded."), "context_length"),
    (Body(400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 199211 + 8192 > 200000, "
           "decrease input length or `max_tokens` and try again"), "context_length"),
    (Body(413, "INVALID_ARGUMENT", "Request payload size exceeds the limit"), "too_large"),
    (Body(413, "invalid_request_error", "prompt is too long"), "too_large"),
    # the one name Anthropic has for most of 4xx says less than the status
    (Body(408, "invalid_request_error", "Request timeout"), "timeout"),
    (Body(499, "invalid_request_error", "Cancelled"), "server_error"),
    (Body(422, "invalid_request_error", "prompt is too long"), "context_length"),
    (Body(413, "request_too_large", "prompt is too long"), "too_large"),
    (Body(500, "api_error", "prompt is too long"), "server_error"),
    (Body(400, "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block"),
     "thinking_refused"),
    (Body(400, "invalid_request_error", "Invalid `data` in `redacted_thinking` block"), "thinking_refused"),
    (Body(400, "invalid_request_error", "The block is bound to a different conversation."), "thinking_refused"),
    (Body(400, "invalid_request_error", "`thinking` or `redacted_thinking` blocks in the latest assistant message "
           "cannot be modified."), "thinking_refused"),
    (Body(400, "invalid_request_error", "thinking.type: Input should be 'enabled'"), "invalid_request"),
    (Body(500, "api_error", "Invalid `signature` in `thinking` block"), "server_error"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), UPSTREAM_ERRORS)
def test_every_error_has_its_kind(body: Body, kind: str) -> None:
    error = translate_upstream_error(body)
    assert (error.kind.name, error.reply.status) == (kind, body.status)
    assert (error.status, error.type, error.code, error.should_retry) == CLIENT[kind]


def test_the_upstreams_own_sentence_is_kept_and_the_rest_is_for_the_operator() -> None:
    body = Body(429, "RESOURCE_EXHAUSTED", " Quota exceeded. ", reason="RATE_LIMIT", request_id="req_vrtx_1")
    error = translate_upstream_error(body)
    assert error.message == "Quota exceeded."
    assert error.detail == "upstream status 429 RESOURCE_EXHAUSTED RATE_LIMIT"
    assert error.reply.request_id == "req_vrtx_1"
    assert translate_upstream_error(Body(429)).message == "The Vertex AI quota of this model is used up for now."
    assert translate_upstream_error(Body(502)).detail == "upstream status 502"
    not_enabled = Body(400, "FAILED_PRECONDITION", "is not allowed to use Publisher Model")
    assert "Model Garden" in translate_upstream_error(not_enabled).public_message


AFTER: list[tuple[str | None, str | None, float | None]] = [
    (None, None, None),
    ("7", None, 7.0),
    (" 7 ", None, 7.0),
    (None, "34s", 34.0),
    (None, "1.500s", 1.5),
    ("7", "34s", 7.0),
    ("0", "34s", 0.0),
    ("Wed, 21 Oct 2026 07:28:00 GMT", "34s", 34.0),
    ("-1", None, None),
    ("soon", None, None),
    ("", None, None),
    ("1e9", None, None),
    ("9" * 400, None, None),
    ("٣", None, None),
    ("7\n8", None, None),
]


@pytest.mark.parametrize(("header", "delay", "seconds"), AFTER)
def test_how_long_to_wait(header: str | None, delay: str | None, seconds: float | None) -> None:
    error = translate_upstream_error(Body(429, retry_delay=delay), retry_after=header)
    assert error.retry_after == seconds


NOW = 1_796_126_400.0  # Tue, 01 Dec 2026 12:00:00 GMT


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("Tue, 01 Dec 2026 12:00:20 GMT", None, 20.0),
        ("Tuesday, 01-Dec-26 12:00:20 GMT", None, 20.0),
        ("Tue Dec  1 12:00:20 2026", None, 20.0),
        (" Tue, 01 Dec 2026 12:00:20 GMT ", None, 20.0),
        ("Tue, 01 Dec 2026 11:59:00 GMT", None, 0.0),
        ("Tue, 01 Dec 2026 11:59:00 GMT", "Tue, 01 Dec 2026 11:58:45 GMT", 15.0),
        ("Tue, 01 Dec 2026 12:01:00 GMT", "Tue, 01 Dec 2026 12:00:50 GMT", 10.0),
        ("Tue, 01 Dec 2026 12:01:00 GMT", "Mon, 01 Jun 2026 12:00:50 GMT", 60.0),
        ("Tue, 01 Dec 2026 12:01:00 GMT", "nonsense", 60.0),
        ("30", "Mon, 01 Jun 2026 12:00:50 GMT", 30.0),
        ("Tue, 99 Dec 2026 12:01:00 GMT", None, None),
        ("Tue, 01 Dec 99999 12:01:00 GMT", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
def test_a_date_says_how_long_to_wait(header: str, date: str | None, seconds: float | None) -> None:
    headers = [] if date is None else [(b"date", date.encode())]
    error = translate_upstream_error(Body(429), retry_after=header, headers=headers, now=NOW)
    assert error.retry_after == seconds


MESSAGES: list[tuple[str, str]] = [
    ("Publisher Model `projects/acme-prod/locations/us/models/m` not found.",
     "Publisher Model `projects/***/locations/us/models/m` not found."),
    ("denied on '//aiplatform.googleapis.com/projects/acme-prod/x' and projects/12",
     "denied on '//aiplatform.googleapis.com/projects/***/x' and projects/***"),
    ("Project `123456` is not allowed", "Project *** is not allowed"),
    ("project number 123456, project id: acme-1.", "project number ***, project id: ***"),
    ("Quota for consumer 'project_number:123456789'", "Quota for consumer 'project_number:***'"),
    ("projectNumber: 123456, project_id=acme-1", "projectNumber: ***, project_id=***"),
    ("container=acme123456789", "container=***"),
    ("Your project has no quota for the projector", "Your project has no quota for the projector"),
    ("the acme-prod quota", "the *** quota"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "shown"), MESSAGES)
def test_no_project_reaches_a_client(message: str, shown: str) -> None:
    error = translate_upstream_error(Body(403, "PERMISSION_DENIED", message), project="acme-prod")
    assert error.message == shown
    assert "acme" not in f"{error.public_message}{error.detail}"


def test_a_long_text_is_cut() -> None:
    assert translate_upstream_error(Body(400, "", "x" * 10_000)).message == "x" * MAX_MESSAGE


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Invalid token ya29.c.b0AX-x_y~z==, it says", "Invalid token ***, it says"),
        ("Authorization: bearer abc123DEF456== rejected", "Authorization: bearer *** rejected"),
        ("token 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln' expired", "token '***' expired"),
        ("Bearer authentication is required", "Bearer authentication is required"),
        ("eyJ is how one begins, and ya29 too", "eyJ is how one begins, and ya29 too"),
    ],
)
def test_tokens_do_not_pass(message: str, shown: str) -> None:
    data = json.dumps({"type": "error", "error": {"type": "authentication_error", "message": message}}).encode()
    error = translate_upstream_error(Body(401, "authentication_error", message), body=data)
    assert error.message == shown
    assert error.reply.body == (data if shown == message else b"")
    hidden = translate_upstream_error(Body(500, "api_error", "Sorry", reason="ya29.x"), body=b'{"details": "ya29.x"}')
    assert "ya29" not in f"{hidden.detail} {hidden.reply.body!r}"


@pytest.mark.parametrize("piece", ["eyJ-", "ya29.", "bearer ", "eyJ", "Bearer a"])
def test_looking_for_tokens_takes_linear_time(piece: str) -> None:
    def translate(size: int) -> None:
        translate_upstream_error(Body(400, "", "x"), body=(piece * size).encode())

    assert_linear(translate, 1_000)


@pytest.mark.parametrize("piece", ["project:", "project a:a:", "consumer-", "projects/", "context length ", "`"])
def test_the_work_is_linear_in_a_hostile_text(piece: str) -> None:
    """The patterns run in C: were one of them quadratic, a text of 1 MiB would take minutes and end in the timeout of
    the test."""
    assert_linear(lambda size: translate_upstream_error(Body(400, "", piece * size), project="p"), 1_000)
    translate_upstream_error(Body(400, "", piece * (1024 * 1024 // len(piece))), project="p")


IN_STREAM: list[tuple[dict[str, Any], int, str, str]] = [
    ({"error": {"type": "overloaded_error", "message": "Overloaded"}}, 529, "overloaded", "Overloaded"),
    ({"error": {"type": "rate_limit_error", "message": "Slow"}}, 429, "rate_limit", "Slow"),
    ({"error": {"type": "invalid_request_error", "message": "prompt is too long"}}, 400, "context_length",
     "prompt is too long"),
    ({"error": {"type": "news_error", "message": "News"}}, 500, "server_error", "News"),
    ({"error": {}}, 500, "server_error", "Vertex AI failed to respond."),
    ({}, 500, "server_error", "Vertex AI failed to respond."),
    ({"error": {"type": "UNIMPLEMENTED"}}, 500, "unexpected", "Vertex AI sent an unexpected response."),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "kind", "message"), IN_STREAM)
def test_an_error_inside_a_stream_is_what_its_status_would_have_been(
    fields: dict[str, Any], status: int, kind: str, message: str
) -> None:
    error = translate_stream_error(events({"type": "error", "request_id": "req_1", **fields})[0])
    assert isinstance(error, UpstreamRefused)
    assert (error.reply.status, error.kind.name, error.message) == (status, kind, message)
    assert error.reply.request_id == "req_1"
    assert json.dumps(error.message)


def test_a_project_is_removed_from_an_error_inside_a_stream() -> None:
    body = {"type": "rate_limit_error", "message": "Quota of acme-prod is used up."}
    (event,) = events({"type": "error", "error": body})
    error = translate_stream_error(event, project="acme-prod")
    assert (error.message, str(error)) == ("Quota of *** is used up.", "Quota of *** is used up.")
    assert translate_stream_error(event, project="elsewhere").message == body["message"]
    assert translate_stream_error(event).message == body["message"]


def test_an_error_event_that_says_nothing_is_the_upstreams_failure() -> None:
    (event,) = events({"type": "error"})
    error = translate_stream_error(event)
    assert (error.kind.name, error.reply.status, error.detail) == ("server_error", 500, "upstream status 500")


def test_betas_that_are_refused_have_a_kind_of_their_own() -> None:
    message = "Unexpected value(s) `a-2026`, `b-2026` for the `anthropic-beta` header."
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    error = translate_upstream_error(decode_error(400, json.dumps(body).encode()))
    assert error.kind.name == "beta_refused"
    assert VertexClaude().refused_betas(error) == {"a-2026", "b-2026"}
    other = translate_upstream_error(decode_error(400, json.dumps(body).replace("anthropic-beta", "other").encode()))
    assert (other.kind.name, VertexClaude().refused_betas(other)) == ("invalid_request", frozenset())


@pytest.mark.parametrize("shape", ["google", "anthropic"])
def test_a_request_that_googles_front_end_finds_too_large(shape: str) -> None:
    """Clients shorten their conversation when they see these words. What Anthropic says stays as it is."""
    message = "The request size (30037042 bytes) exceeds 30.000MB limit."
    is_anthropic = shape == "anthropic"
    error = translate_upstream_error(
        Body(413, "", message, anthropic_type="request_too_large" if is_anthropic else None)
    )
    assert error.kind.name == ("too_large" if is_anthropic else "request_size")
    assert error.message == (message if is_anthropic else "Input is too long.")


def test_a_beta_that_is_refused_has_a_kind_of_its_own() -> None:
    message = "Unexpected value(s) `a-1` for the `anthropic-beta` header."
    assert translate_upstream_error(Body(400, "invalid_request_error", message)).kind.name == "beta_refused"
    assert translate_upstream_error(Body(500, "api_error", message)).kind.name == "server_error"


def test_the_limit_of_a_quota_is_kept_for_routing() -> None:
    assert translate_upstream_error(Body(429, quota_limit=0.0)).quota_limit == 0.0
