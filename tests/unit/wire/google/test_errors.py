"""Error bodies of Vertex AI: an error that is not decoded is one that no client can act on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.wire.google.errors import UpstreamErrorBody, decode_error

ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}, "request_id": "req_vrtx_1"}
GOOGLE = {
    "error": {
        "code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": "x"}]},
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "metadata": {}},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"},
        ],
    }
}  # fmt: skip
GOOGLE_ERROR = UpstreamErrorBody(429, "RESOURCE_EXHAUSTED", "Quota", reason="RATE_LIMIT_EXCEEDED", retry_delay="34s")
BUSY = UpstreamErrorBody(429, "overloaded_error", "Busy", request_id="req_vrtx_1", anthropic_type="overloaded_error")
ERRORS: list[tuple[str, Any, UpstreamErrorBody]] = [
    ("Anthropic", ANTHROPIC, BUSY),
    ("Anthropic in an array", [ANTHROPIC], BUSY),
    (
        "Anthropic without an id",
        {"type": "error", "error": {}},
        UpstreamErrorBody(429, "api_error", anthropic_type="api_error"),
    ),
    ("Google", GOOGLE, GOOGLE_ERROR),
    ("Google in an array", [GOOGLE], GOOGLE_ERROR),
    (
        "Google without details",
        {"error": {"message": "No", "status": "NOT_FOUND"}},
        UpstreamErrorBody(429, "NOT_FOUND", "No"),
    ),
    ("Google with null details", {"error": {"message": "No", "details": None}}, UpstreamErrorBody(429, "", "No")),
    ("an empty array", [], UpstreamErrorBody(429)),
    ("no error in it", {"message": "No"}, UpstreamErrorBody(429)),
    ("an error of another type", {"error": "No"}, UpstreamErrorBody(429)),
    ("a code of another type", {"error": {"code": "x", "message": "No"}}, UpstreamErrorBody(429, "", "No")),
    ("a string", "No", UpstreamErrorBody(429)),
    ("null", None, UpstreamErrorBody(429)),
]


@pytest.mark.parametrize(("body", "expected"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_every_shape_of_an_error_is_decoded(body: Any, expected: UpstreamErrorBody) -> None:
    assert decode_error(429, json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway</html>", b'{"error":{"message":"\xff"}}', b'{"error":' + b"[" * 100_000]
)
def test_an_error_that_is_not_json_has_only_a_status(body: bytes) -> None:
    assert decode_error(502, body) == UpstreamErrorBody(502)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 400, "message": "Too long.", "status": "INVALID_ARGUMENT", "details": "odd"}, "INVALID_ARGUMENT"),
        ({"code": 400, "message": "Too long.", "status": "INVALID_ARGUMENT", "details": [{"reason": 5}]},
         "INVALID_ARGUMENT"),
        ({"code": "400", "message": "Too long."}, ""),
        ({"message": "Too long.", "status": None}, ""),
    ],
)  # fmt: skip
def test_the_message_of_an_error_with_invalid_fields_is_decoded(error: dict[str, Any], kind: str) -> None:
    """Invalid fields around the message must not hide it from the client."""
    for body in ({"error": error}, [{"error": error}]):
        assert decode_error(400, json.dumps(body).encode()) == UpstreamErrorBody(400, kind, "Too long.")


@pytest.mark.parametrize(
    ("details", "limit"),
    [
        ([{"metadata": {"quota_limit_value": "0", "quota_limit": "X"}}], 0.0),
        ([{"violations": [{"quotaValue": "60"}, {"quotaValue": 0}, {}, 3]}], 0.0),
        ([{"violations": [{"quotaValue": "60"}]}, {"metadata": {"quota_limit_value": "7.5"}}], 7.5),
        ([{"metadata": {"quota_limit_value": "none"}}, {"metadata": []}, {"violations": {}}], None),
        ([{"metadata": {}}], None),
        ([], None),
    ],
)
def test_the_limit_of_a_quota_is_read_from_the_details(details: list[Any], limit: float | None) -> None:
    error = {"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED", "details": details}}
    assert decode_error(429, json.dumps(error).encode()).quota_limit == limit
