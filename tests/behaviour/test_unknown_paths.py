"""Risk: a wrong path or method gets an error that does not name the endpoint that was probably meant."""

from __future__ import annotations

import pytest

from support.asgi import request
from support.fakes import FakeUpstream, message_reply
from support.gateway import ask, gateway


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("POST", "/v1/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/", "/v1/chat/completions"),
        ("POST", "/v1/chat/completion", "/v1/chat/completions"),
        ("POST", "/api/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "//v1//chat/completions", "/v1/chat/completions"),
        ("GET", "/v1/v1/models", "/v1/models"),
        ("GET", "/v1/v1/models/claude-opus-5", "/v1"),
        ("HEAD", "/v1/chat", "/v1/chat/completions"),
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
    ("method", "path", "advice"),
    [
        ("POST", "/v1/responses/responses", "in /responses"),
        ("POST", "/v1/chat/completions/chat/completions", "in /chat/completions"),
        ("POST", "/v1/messages/v1/messages", "before /v1/messages"),
        ("POST", "/v1/messages/v1/messages/count_tokens", "before /v1/messages/count_tokens"),
        ("POST", "/v1/chat/completions/responses/", "in /responses"),
        ("POST", "/responses/responses", "in /responses"),
        ("GET", "/v1/chat/completions/models", "in /models"),
        ("GET", "/v1/responses/models", "in /models"),
    ],
)
async def test_a_base_url_that_ends_with_the_path_of_a_request(method: str, path: str, advice: str) -> None:
    """Tables of APIs name such paths, and people copy them whole."""
    response = await request(gateway(FakeUpstream([])), method, path)
    assert response.status == 404
    end, appended = advice.split()
    meant = f"/v1{appended.removeprefix('/v1')}"
    sentence = f"Did you mean {meant}? The client adds {appended} itself: set its base URL to end {end} /v1."
    assert sentence in response.json()["error"]["message"]


async def test_a_doubled_path_tells_nothing_without_a_key() -> None:
    app = gateway(FakeUpstream([]), server={"api_keys": ["sk-modelmux-first"]})
    assert (await request(app, "POST", "/v1/responses/responses")).status == 401


async def test_a_method_that_a_response_does_not_take_stays_what_it_is() -> None:
    for path in ("/v1/responses/resp_1", "/v1/responses/responses"):
        response = await request(gateway(FakeUpstream([])), "PUT", path)
        assert (response.status, response.headers["allow"]) == (405, "DELETE, GET, HEAD")


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


async def test_the_same_endpoints_are_there_without_the_version() -> None:
    app = gateway(FakeUpstream([message_reply()]))
    assert (await request(app, "POST", "/chat/completions", ask())).status == 200
    assert (await request(app, "GET", "/models")).body == (await request(app, "GET", "/v1/models")).body
    one = await request(app, "GET", "/models/claude-opus-4-8")
    assert (one.status, one.json()["id"]) == (200, "claude-opus-4-8")
    wrong = await request(app, "GET", "/chat/completions")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/", "/health", "/livez", "/healthz", "/health/liveliness", "/health/liveness",
                                  "/readyz", "/health/readiness"])  # fmt: skip
async def test_probes_need_no_key(path: str) -> None:
    app = gateway(FakeUpstream([]), server={"api_keys": ["sk-modelmux-first"]})
    for method in ("GET", "HEAD"):
        assert (await request(app, method, path)).status == 200
    app.readiness.draining = True
    assert (await request(app, "GET", path)).status == (503 if "read" in path else 200)
