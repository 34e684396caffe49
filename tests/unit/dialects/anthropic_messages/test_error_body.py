"""What an error's body says to Anthropic's clients."""

from __future__ import annotations

import json

from modelmux.dialects.anthropic_messages.errors import error_body
from modelmux.errors import InvalidRequest, UpstreamBroken


def test_a_failure_of_the_upstream_has_a_type() -> None:
    body = json.loads(error_body(UpstreamBroken("It stopped.", reply_started=True), "req_1"))
    assert body == {
        "type": "error",
        "error": {"type": "api_error", "message": "It stopped."},
        "request_id": "req_1",
    }


def test_details_reach_the_client() -> None:
    error = InvalidRequest("thread: No.", details={"error_code": "thread_unsupported_request"})
    assert json.loads(error_body(error, "req_1"))["error"]["details"] == {"error_code": "thread_unsupported_request"}
