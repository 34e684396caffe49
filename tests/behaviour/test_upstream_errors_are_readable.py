"""Risk: an error of Google reaches the client in a shape or with a status that its SDK does not understand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.chat import chat
from support.fakes import FakeReply

pytestmark = pytest.mark.usefixtures("no_waiting")

EXHAUSTED = {"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}


PAGE = b"<!DOCTYPE html><html><title>Error 404 (Not Found)!!1</title></html>"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [b"application/json", b"text/html"])
@pytest.mark.parametrize(
    ("status", "body", "shown", "code", "message"),
    [
        (429, EXHAUSTED, 429, "rate_limit_exceeded", "Quota exceeded."),
        (429, [EXHAUSTED], 429, "rate_limit_exceeded", "Quota exceeded."),
        (404, PAGE, 404, "model_not_found", "Vertex AI does not serve this model"),
        (502, PAGE, 503, "upstream_error", "Vertex AI failed to respond."),
        (413, b"", 413, "request_too_large", "The request is larger than Vertex AI accepts."),
        (400, {"error": "flat"}, 400, None, "Vertex AI did not accept the request."),
    ],
    ids=["object", "array", "page", "page of a proxy", "nothing", "another shape"],
)
async def test_e58_any_shape_of_error_becomes_openais(
    kind: bytes, status: int, body: Any, shown: int, code: str | None, message: str, stream: bool
) -> None:
    """Google's errors as an object, in an array, as a web page, with any content type: OpenAI's envelope, the right
    status, no HTML."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = FakeReply(status, [(b"content-type", kind)], [raw])
    got = await chat(reply, settings={"retries": {"max": 0}}, stream=stream)
    assert got.status == shown
    assert set(got.error) == {"message", "type", "param", "code"}
    assert got.error["code"] == code
    assert got.error["message"].startswith(message)
    assert b"<html>" not in got.response.body


async def test_g73_a_404_names_model_and_location() -> None:
    page = FakeReply(404, [(b"content-type", b"text/html")], [b"<!DOCTYPE html><title>404</title><p>not found"])
    for reply in (page, FakeReply(404, [(b"content-type", b"application/json")], [b"<html>"])):
        got = await chat(reply, settings={"retries": {"max": 0}})
        assert got.status == 404
        assert got.error["code"] == "model_not_found"
        assert "<" not in got.error["message"]
        assert "model" in got.error["message"]
        assert "location" in got.error["message"]
    unknown = await chat(model="gpt-9")
    assert "gpt-9" in unknown.error["message"]
