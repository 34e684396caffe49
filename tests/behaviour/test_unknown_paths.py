"""A wrong path or method gets an OpenAI envelope that names the endpoint probably meant."""

from __future__ import annotations

import pytest

from support.asgi import request
from support.fakes import FakeUpstream
from support.gateway import gateway


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("POST", "/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/", "/v1/chat/completions"),
        ("POST", "/v1/chat/completion", "/v1/chat/completions"),
        ("POST", "/api/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "//v1//chat/completions", "/v1/chat/completions"),
        ("GET", "/models", "/v1/models"),
        ("GET", "/v1/v1/models", "/v1/models"),
        ("GET", "/favicon.ico", "/v1"),
        ("POST", "/", "GET"),
    ],
)
async def test_names_what_was_meant(method: str, path: str, meant: str) -> None:
    response = await request(gateway(FakeUpstream([])), method, path)
    assert response.status == (405 if path == "/" else 404)
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert meant in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("OPTIONS", "/health", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_says_which_is_right(method: str, path: str, allow: str) -> None:
    response = await request(gateway(FakeUpstream([])), method, path)
    assert response.status == 405
    assert response.headers["allow"] == allow
    assert allow in response.json()["error"]["message"]
