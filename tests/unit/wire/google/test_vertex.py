"""Google's side: a wrong host or path is a 404 nobody understands, an unread error is one nobody can act on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.wire.google.vertex import Fault, base_url, decode_fault, host_for, model_path, strip_verb, verb


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
        ("europe-west1", "europe-west1-aiplatform.googleapis.com"),
    ],
)
def test_every_kind_of_location_has_its_own_host(location: str, host: str) -> None:
    assert host_for(location) == host
    assert base_url(location) == f"https://{host}"


def test_a_path_keeps_what_the_api_needs_and_escapes_the_rest() -> None:
    assert model_path("p-1", "us-east5", "anthropic", "claude-sonnet-4-5@20250929") == (
        "/v1/projects/p-1/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929"
    )
    assert model_path("example.com:p", "a/b", "c?d", "../e#f") == (
        "/v1/projects/example.com:p/locations/a%2Fb/publishers/c%3Fd/models/..%2Fe%23f"
    )


@pytest.mark.parametrize("suffix", ["", ":rawPredict", ":streamRawPredict"])
def test_a_url_may_come_with_or_without_its_verb(suffix: str) -> None:
    assert strip_verb(f"https://h/models/m@1{suffix}") == "https://h/models/m@1"


def test_verbs() -> None:
    assert (verb(stream=False), verb(stream=True)) == (":rawPredict", ":streamRawPredict")


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
GOOGLE_FAULT = Fault(429, "RESOURCE_EXHAUSTED", "Quota", reason="RATE_LIMIT_EXCEEDED", retry_delay="34s")
FAULTS: list[tuple[str, Any, Fault]] = [
    ("Anthropic", ANTHROPIC, Fault(429, "overloaded_error", "Busy", request_id="req_vrtx_1")),
    ("Anthropic in an array", [ANTHROPIC], Fault(429, "overloaded_error", "Busy", request_id="req_vrtx_1")),
    ("Anthropic without an id", {"type": "error", "error": {}}, Fault(429, "api_error")),
    ("Google", GOOGLE, GOOGLE_FAULT),
    ("Google in an array", [GOOGLE], GOOGLE_FAULT),
    ("Google without details", {"error": {"message": "No", "status": "NOT_FOUND"}}, Fault(429, "NOT_FOUND", "No")),
    ("Google with null details", {"error": {"message": "No", "details": None}}, Fault(429, "", "No")),
    ("an empty array", [], Fault(429)),
    ("no error in it", {"message": "No"}, Fault(429)),
    ("an error of another type", {"error": "No"}, Fault(429)),
    ("a code of another type", {"error": {"code": "x", "message": "No"}}, Fault(429, "", "No")),
    ("a string", "No", Fault(429)),
    ("null", None, Fault(429)),
]


@pytest.mark.parametrize(("body", "fault"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_an_error_of_either_side_is_read_in_every_form(body: Any, fault: Fault) -> None:
    assert decode_fault(429, json.dumps(body).encode()) == fault


@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway</html>", b'{"error":{"message":"\xff"}}', b'{"error":' + b"[" * 100_000]
)
def test_an_error_that_is_not_json_is_told_by_its_status(body: bytes) -> None:
    assert decode_fault(502, body) == Fault(502)


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
def test_the_sentence_of_an_odd_error_is_kept(error: dict[str, Any], kind: str) -> None:
    """What is odd in the fields around it must not cost the client the reason, nor us what it tells."""
    for body in ({"error": error}, [{"error": error}]):
        assert decode_fault(400, json.dumps(body).encode()) == Fault(400, kind, "Too long.")
