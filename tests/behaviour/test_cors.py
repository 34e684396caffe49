"""Risk: a page of a foreign origin can call the gateway, or one of a named origin cannot read a response."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux import Config, ConfigError
from modelmux.app import Gateway
from support.asgi import Response, request
from support.clock import current_runtime
from support.fakes import FakeTokens, FakeUpstream, message_reply, stream_reply, text_events
from support.gateway import PATH, ask, gateway

PAGE = "https://chat.example.com"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


def app(*origins: str, replies: int = 3, **server: Any) -> Gateway:
    upstream = FakeUpstream([message_reply() for _ in range(replies)])
    return gateway(upstream, server={"cors_origins": list(origins), **server})


def cors(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control")}


async def test_nothing_is_allowed_unless_somebody_says_so() -> None:
    for headers in ({"origin": PAGE}, {"origin": PAGE, **PREFLIGHT}):
        response = await request(app(), "POST" if len(headers) == 1 else "OPTIONS", PATH, ask(), headers)
        assert cors(response) == {}
        assert "vary" not in response.headers


async def test_a_page_of_a_named_origin_sees_the_answer_and_our_headers() -> None:
    response = await request(app(PAGE, "http://localhost:5173"), "POST", PATH, ask(), {"origin": PAGE})
    assert response.status == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    exposed = response.headers["access-control-expose-headers"].split(", ")
    ours = {name for name in response.headers if name.startswith("x-modelmux-")}
    assert {"x-request-id", "x-modelmux-deployment"} <= set(exposed)
    assert ours <= set(exposed)
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers


async def test_a_stream_is_seen_too() -> None:
    stream = gateway(FakeUpstream([stream_reply(*text_events("Hi"))]), server={"cors_origins": [PAGE]})
    response = await request(stream, "POST", PATH, ask(stream=True), {"origin": PAGE})
    assert (response.headers["access-control-allow-origin"], response.events()[-1]) == (PAGE, "[DONE]")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [("POST", PATH, b"not json", 400), ("POST", PATH, {**ask(), "model": "nobody"}, 404), ("GET", "/nowhere", b"", 404),
     ("GET", "/v1/models", b"", 200), ("GET", "/health", b"", 200), ("DELETE", PATH, b"", 405)],
)  # fmt: skip
async def test_errors_and_pages_can_be_read_as_well(method: str, path: str, body: Any, status: int) -> None:
    response = await request(app(PAGE), method, path, body, {"origin": PAGE})
    assert (response.status, response.headers["access-control-allow-origin"]) == (status, PAGE)
    assert "x-request-id" in response.headers["access-control-expose-headers"]


async def test_a_refused_key_can_be_read_as_well() -> None:
    response = await request(app(PAGE, api_keys=["k"]), "POST", PATH, ask(), {"origin": PAGE})
    assert (response.status, response.headers["access-control-allow-origin"]) == (401, PAGE)


@pytest.mark.parametrize("path", [PATH, "/chat/completions", "/v1/models", "/v1/models/x", "/nowhere"])
async def test_the_question_before_is_answered_without_a_key(path: str) -> None:
    keyed = app(PAGE, api_keys=["k"], replies=0)
    response = await request(keyed, "OPTIONS", path, b"", {"origin": PAGE, **PREFLIGHT})
    assert (response.status, response.body) == (204, b"")
    assert cors(response) == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-methods": "GET, HEAD, POST, DELETE",
        "access-control-allow-headers": "authorization,content-type",
        "access-control-max-age": "600",
    }


@pytest.mark.parametrize("origin", ["https://evil.example", "https://chat.example.com.evil.example", "null",
                                    "http://chat.example.com", "https://chat.example.com:444", ""])  # fmt: skip
async def test_other_origins_get_nothing(origin: str) -> None:
    response = await request(app(PAGE), "POST", PATH, ask(), {"origin": origin})
    assert (response.status, cors(response)) == (403, {})
    assert response.headers["vary"] == "Origin"
    key = {"x-api-key": "sk-modelmux-first"}
    response = await request(app(PAGE, api_keys=[key["x-api-key"]]), "POST", PATH, ask(), {"origin": origin, **key})
    assert (response.status, cors(response)) == (200, {})  # it had a key; the browser keeps the response from the page
    assert response.headers["vary"] == "Origin"
    refused = await request(app(PAGE), "OPTIONS", PATH, b"", {"origin": origin, **PREFLIGHT})
    assert (refused.status, cors(refused)) == (400, {})
    assert "server.cors_origins" in refused.json()["error"]["message"]


async def test_any_origin_never_comes_with_credentials() -> None:
    everyone = app("*", PAGE)
    response = await request(everyone, "POST", PATH, ask(), {"origin": "https://any.example", "cookie": "a=b"})
    assert response.headers["access-control-allow-origin"] == "*"
    private = {"access-control-request-private-network": "true"}
    preflight = await request(everyone, "OPTIONS", PATH, b"", {"origin": "https://any.example", **PREFLIGHT, **private})
    assert preflight.headers["access-control-allow-origin"] == "*"
    named = await request(everyone, "OPTIONS", PATH, b"", {"origin": PAGE, **PREFLIGHT, **private})
    for each in (response, preflight, named):
        assert "access-control-allow-credentials" not in each.headers
    assert "access-control-allow-private-network" not in preflight.headers
    assert named.headers["access-control-allow-private-network"] == "true"


async def test_headers_that_are_none_are_not_repeated() -> None:
    for wanted in ("x\r\nset-cookie: a=b", "a" * 5000, "ä"):
        headers = {"origin": PAGE, **PREFLIGHT, "access-control-request-headers": wanted}
        response = await request(app(PAGE), "OPTIONS", PATH, b"", headers)
        assert response.status == 204
        assert "access-control-allow-headers" not in response.headers


async def test_a_plain_request_and_a_plain_options_are_what_they_were() -> None:
    response = await request(app(PAGE), "POST", PATH, ask())
    assert (response.status, cors(response), response.headers["vary"]) == (200, {}, "Origin")
    assert (await request(app(PAGE), "OPTIONS", PATH, b"", {"origin": PAGE})).status == 405


async def test_what_is_no_origin_is_refused_at_start_and_at_reload() -> None:
    bad = Config.from_dict({"vertex": {"project": "p", "location": "eu"}, "server": {"cors_origins": ["example.com"]}})
    with pytest.raises(ConfigError):
        Gateway(bad, upstream=FakeUpstream([]), tokens=FakeTokens(), runtime=current_runtime())
    running = app(PAGE)
    with pytest.raises(ConfigError):
        await running.reload(bad)
    assert (await request(running, "POST", PATH, ask(), {"origin": PAGE})).headers[
        "access-control-allow-origin"
    ] == PAGE
    await running.aclose()
