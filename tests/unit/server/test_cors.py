"""Risk: a page of a foreign origin reads a response, or one of a named origin cannot. The whole is in
tests/behaviour/test_cors.py; this is the wrapper alone."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.server.cors import Cors
from support.asgi import Response, request

PAGE = "https://chat.example.com"


def cors(*origins: str) -> tuple[Cors, list[str]]:
    """The wrapper around an application that notes what it was called for."""
    calls: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["type"])
        if scope["type"] == "http":
            headers = [(b"x-request-id", b"r"), (b"x-modelmux-model", b"m"), (b"x-private", b"p")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"ok"})

    wrapped: Any = application
    return Cors(wrapped, frozenset(origins)), calls


def allowed(response: Response) -> str | None:
    return response.headers.get("access-control-allow-origin")


@pytest.mark.parametrize(
    ("origins", "origin", "expected"),
    [
        ([PAGE], PAGE, PAGE), ([PAGE], PAGE.upper(), PAGE.upper()), ([PAGE], "https://evil.example", None),
        ([PAGE], None, None), (["*"], "https://any.example", "*"), (["*", PAGE], PAGE, PAGE),
    ],
)  # fmt: skip
async def test_which_origins_may_read_a_response(origins: list[str], origin: str | None, expected: str | None) -> None:
    app, calls = cors(*origins)
    response = await request(app, "GET", "/x", headers={"origin": origin} if origin else {})
    assert (allowed(response), response.headers["vary"], calls) == (expected, "Origin", ["http"])
    if expected:
        assert response.headers["access-control-expose-headers"] == "x-request-id, x-modelmux-model"


async def test_a_preflight_is_answered_without_the_application() -> None:
    app, calls = cors(PAGE)
    headers = {"origin": PAGE, "access-control-request-method": "POST"}
    response = await request(app, "OPTIONS", "/x", headers=headers)
    assert (response.status, allowed(response), calls) == (204, PAGE, [])
    rejected = await request(app, "OPTIONS", "/x", headers=headers | {"origin": "https://evil.example"})
    assert (rejected.status, allowed(rejected), rejected.json()["error"]["code"]) == (400, None, "origin_not_allowed")


@pytest.mark.parametrize("headers", [{"origin": PAGE}, {"access-control-request-method": "POST"}])
async def test_an_options_request_that_is_not_a_preflight_passes(headers: dict[str, str]) -> None:
    app, calls = cors(PAGE)
    assert (await request(app, "OPTIONS", "/x", headers=headers)).body == b"ok"
    assert calls == ["http"]


async def test_other_protocols_pass_unchanged() -> None:
    app, calls = cors(PAGE)

    async def nothing(*_: Any) -> Any: ...

    await app({"type": "lifespan"}, nothing, nothing)
    assert calls == ["lifespan"]
