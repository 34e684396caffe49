"""The envelope of errors has every field that Anthropic's SDKs read."""

from __future__ import annotations

from modelmux.wire.anthropic.errors import ErrorDetail, ErrorEnvelope
from modelmux.wire.openai.common import encode


def test_the_type_of_an_error_is_always_there() -> None:
    envelope = ErrorEnvelope(error=ErrorDetail(type="api_error", message="x"), request_id="req_1")
    assert encode(envelope) == (b'{"type":"error","error":{"type":"api_error","message":"x"},"request_id":"req_1"}')


def test_details_are_for_programs() -> None:
    error = ErrorDetail(type="invalid_request_error", message="x", details={"error_code": "y"})
    assert encode(error) == b'{"type":"invalid_request_error","message":"x","details":{"error_code":"y"}}'
