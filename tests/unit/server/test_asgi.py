"""Risk: a path that is served without its key, an error in the wrong dialect, a fault that takes the server down, an
answer about paths for callers without a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from modelmux.dialects.base import Caller
from modelmux.dialects.registry import ANTHROPIC_MESSAGES, Surface
from modelmux.errors import GatewayError, InvalidRequest, UpgradeRequired, UpstreamUnreachable
from modelmux.server.asgi import Application, Served, ServerOptions
from modelmux.server.auth import ApiKeys
from modelmux.server.responses import Receive, Scope, Send, send_json
from support.asgi import Response, request
from support.dialects import TINY_HUB
from support.exchange_world import RecordingLog

KEY = "sk-modelmux-first"
AUTH = {"authorization": f"Bearer {KEY}"}
ANTHROPIC = {"anthropic-version": "2023-06-01"}


class Site:
    """An application with three surfaces, and what its handler was called with.

    :param failure: raised by the handler.
    """

    def __init__(self, keys: tuple[str, ...] = (), failure: Exception | None = None, *, keyless: bool = False) -> None:
        self.failure = failure
        self.calls: list[tuple[str, Caller, dict[str, str]]] = []
        self.errors: list[GatewayError] = []
        self.statuses: list[int] = []
        self.log: Any = RecordingLog()
        self.lifespan: list[str] = []
        surfaces = [
            Surface("POST", "/v1/talk", "generate", TINY_HUB),
            Surface("GET", "/v1/list", "list_models", TINY_HUB, ANTHROPIC_MESSAGES),
            Surface("GET", "/v1/list/{name:path}", "list_models", TINY_HUB),
            Surface("POST", "/v1/keyless", "generate", TINY_HUB, may_be_keyless=True),
            Surface("POST", "/v1/keyless/{model}", "generate", TINY_HUB, may_be_keyless=True),
            Surface("GET", "/open", "page", TINY_HUB, authenticated=False),
            Surface("GET", "/v1/socket", "websocket", TINY_HUB),
            Surface("GET", "/v1/item/{id}", "get_response", TINY_HUB),
            Surface("DELETE", "/v1/item/{id}", "delete_response", TINY_HUB),
        ]
        options = ServerOptions(
            ApiKeys(keys), keyless, self.log, lambda: "req_new", self._on_error, self._startup, self._shutdown
        )
        self.app = Application([Served(surface, self.handle) for surface in surfaces], options)

    async def handle(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, caller: Caller, params: Mapping[str, str]
    ) -> None:
        self.calls.append((request_id, caller, dict(params)))
        if self.failure is not None:
            raise self.failure
        await send_json(send, 200, b'"served"', [])

    def _on_error(self, error: GatewayError, status: int) -> None:
        self.errors.append(error)
        self.statuses.append(status)

    async def _startup(self) -> None:
        self.lifespan.append("startup")
        if self.failure is not None:
            raise self.failure

    async def _shutdown(self) -> None:
        self.lifespan.append("shutdown")

    async def get(self, path: str, method: str = "GET", headers: dict[str, str] | None = None, **more: Any) -> Response:
        return await request(self.app, method, path, b"", headers, **more)


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("POST", "/v1/talk", {}), ("GET", "/v1/list", {}), ("HEAD", "/v1/list", {}),
        ("GET", "/v1/list/a/b", {"name": "a/b"}), ("HEAD", "/v1/list/x", {"name": "x"}), ("GET", "/open", {}),
    ],
)  # fmt: skip
async def test_served_paths(method: str, path: str, params: dict[str, str]) -> None:
    site = Site()
    response = await site.get(path, method)
    assert (response.status, response.json()) == (200, "served")
    assert site.calls == [("req_new", Caller("anonymous"), params)]
    assert site.errors == []


@pytest.mark.parametrize(
    ("id", "expected"),
    [("abc-1", "abc-1"), ("x" * 128, "x" * 128), ("x" * 129, "req_new"), ("a b", "req_new"), ("", "req_new")],
)
async def test_the_clients_request_id_is_used_if_it_can_be(id: str, expected: str) -> None:
    site = Site()
    await site.get("/open", headers={"x-request-id": id})
    assert site.calls[0][0] == expected


async def test_a_key_is_checked_before_the_handler_and_the_owner_is_its_digest() -> None:
    site = Site((KEY,))
    for path, method in (("/v1/talk", "POST"), ("/v1/list", "GET"), ("/v1/list/x", "GET")):
        response = await site.get(path, method)
        assert (response.status, response.json()["failed"]) == (401, "unauthorized")
    assert site.calls == []
    assert [error.kind.name for error in site.errors] == ["unauthorized"] * 3
    assert (await site.get("/open")).status == 200
    await site.get("/v1/list", headers=AUTH)
    assert len(site.calls[-1][1].owner) == 64


async def test_an_error_has_the_shape_of_the_paths_dialect_and_is_counted() -> None:
    site = Site(failure=InvalidRequest("no", param="x"))
    response = await site.get("/v1/talk", "POST", {"x-request-id": "r1"})
    assert (response.status, response.headers["x-request-id"]) == (400, "r1")
    assert response.json() == {"failed": "bad_request", "message": "no", "request": "r1"}
    response = await site.get("/v1/list", headers={"anthropic-version": "2023-06-01"})
    assert response.json() == {
        "type": "error", "error": {"type": "invalid_request_error", "message": "no"}, "request_id": "req_new",
    }  # fmt: skip
    assert response.headers["request-id"] == "req_new"
    response = await site.get("/v1/list", headers={"x-api-key": "k"})
    assert response.json()["type"] == "error"
    response = await site.get("/v1/list", headers={"x-api-key": "k", "authorization": "Bearer k"})
    assert response.json()["failed"] == "bad_request"
    assert site.errors == [site.failure] * 4
    assert site.statuses == [400] * 4


async def test_an_error_is_counted_with_the_status_of_its_dialect() -> None:
    site = Site(failure=UpstreamUnreachable("no route"))
    statuses = [(await site.get(path, headers=ANTHROPIC)).status for path in ("/v1/list", "/v1/list/x")]
    assert statuses == site.statuses == [503, 502]


@pytest.mark.parametrize(
    ("path", "headers", "is_anthropic"),
    [
        ("/v1/messages/batches", {}, True), ("/messages/x", {}, True), ("/v1/files", {}, True),
        ("/v1/skills/x", {}, True), ("/v1/complete", {}, True), ("/x", {}, False), ("/x", {"x-api-key": "k"}, True),
        ("/a/publishers/anthropic/models/m:x", {}, True), ("/v1/messages/chat/completions", {}, False),
        ("/x/chat/completions", {"anthropic-version": "2023-06-01"}, False),
    ],
)  # fmt: skip
async def test_a_path_that_is_not_served_fails_in_the_dialect_of_its_clients(
    path: str, headers: dict[str, str], is_anthropic: bool
) -> None:
    response = await Site().get(path, "POST", headers)
    assert (response.status, "type" in response.json()) == (404, is_anthropic)


async def test_a_path_may_be_open_to_callers_without_a_key() -> None:
    """A Google token is not a key: it is neither checked nor used. A wrong key stays wrong."""
    for keyless, headers, status in [
        (False, {}, 401), (True, {}, 200), (True, {"authorization": "Bearer ya29.x"}, 200),
        (False, {"authorization": "Bearer ya29.x"}, 401), (True, {"authorization": "Bearer wrong"}, 401),
        (True, {"x-api-key": "wrong", "authorization": "Bearer ya29.x"}, 401),
        (True, {"x-api-key": KEY, "authorization": "Bearer ya29.x"}, 200), (True, {"authorization": "Basic x"}, 200),
    ]:  # fmt: skip
        site = Site((KEY,), keyless=keyless)
        assert (await site.get("/v1/keyless", "POST", headers)).status == status, (keyless, headers)
        owners = [caller.owner for _, caller, _ in site.calls]
        assert len(owners) == (status == 200)
        assert all((owner == "anonymous") == (KEY not in headers.values()) for owner in owners)
    assert (await Site((KEY,), keyless=True).get("/v1/talk", "POST")).status == 401, "only where the path may be"


async def test_an_unexpected_exception_is_logged_and_sent_without_its_text() -> None:
    site = Site(failure=ZeroDivisionError("secret"))
    response = await site.get("/v1/talk", "POST")
    assert (response.status, response.json()["failed"]) == (500, "internal")
    assert "secret" not in response.body.decode()
    ((event, fields),) = site.log.lines
    assert (event, fields["request_id"]) == ("internal_error", "req_new")
    assert "ZeroDivisionError" in fields["traceback"]
    assert "secret" not in str(fields)
    assert [error.kind.name for error in site.errors] == ["internal"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/talk", "POST"), ("DELETE", "/v1/list", "GET, HEAD"), ("POST", "/v1/list/x", "GET, HEAD"),
        ("PUT", "/open", "GET, HEAD"), ("OPTIONS", "/v1/talk", "POST"),
    ],
)  # fmt: skip
async def test_another_method_is_refused_with_those_that_are_served(method: str, path: str, allow: str) -> None:
    site = Site()
    response = await site.get(path, method)
    assert (response.status, response.headers["allow"]) == (405, allow)
    assert f"Use {allow}." in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("/v1/v1/talk", "/v1/talk"), ("/talk", "/v1/talk"), ("/v1/talk/", "/v1/talk"), ("//v1//talk", "/v1/talk"),
        ("/V1/Talk", "/v1/talk"), ("/openai/v1/talk", "/v1/talk"), ("/v1/tlak", "/v1/talk"), ("/zzzz", None),
    ],
)  # fmt: skip
async def test_an_unknown_path_suggests_another(path: str, suggestion: str | None) -> None:
    response = await Site().get(path)
    message = response.json()["error"]["message"]
    assert response.status == 404
    assert (f"Did you mean {suggestion}?" in message) if suggestion else ("/v1/chat/completions" in message)


async def test_a_line_break_is_part_of_a_path() -> None:
    for path in ("/v1/list/a%0A", "/v1/list/a%0Ab", "/v1/list%0A"):
        site = Site()
        assert (await request(site.app, "GET", path.replace("%0A", "\n"))).status == 404
        assert site.calls == []


async def test_without_a_key_nothing_is_told_about_paths() -> None:
    """But for pages that everyone may see."""
    site = Site((KEY,))
    statuses = [(await site.get(path, method)).status for method, path in (
        ("GET", "/nowhere"), ("GET", "/v1/talk"), ("DELETE", "/v1/talk"), ("POST", "/v1/list"), ("POST", "/v1/list/x"),
        ("PUT", "/v1/item/7"), ("GET", "/v1/keyless"), ("PUT", "/open"),
    )]  # fmt: skip
    assert statuses == [401] * 7 + [405]
    assert (await site.get("/nowhere", headers=AUTH)).status == 404
    assert (await site.get("/v1/talk", headers=AUTH)).status == 405


async def test_another_method_of_a_path_that_needs_no_key() -> None:
    for keyless, headers, status in [
        (True, {}, 405), (True, {"authorization": "Bearer ya29.x"}, 405), (True, {"x-api-key": "wrong"}, 401),
        (False, {}, 401),
    ]:  # fmt: skip
        assert (await Site((KEY,), keyless=keyless).get("/v1/keyless/m", "GET", headers)).status == status


async def test_long_paths_and_methods_are_cut_in_messages() -> None:
    response = await Site().get("/" + "x" * 5000, "M" * 500)
    assert len(response.body) < 700


async def test_it_may_be_mounted_under_a_path() -> None:
    site = Site()
    assert (await site.get("/gateway/v1/list", root_path="/gateway")).status == 200
    assert (await site.get("/v1/list", root_path="/gateway")).status == 200
    assert (await site.get("/gateway/nowhere", root_path="/gateway")).status == 404


async def _lifespan(site: Site) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await site.app({"type": "lifespan"}, receive, send)
    return sent


async def test_the_lifespan_starts_and_stops_the_gateway() -> None:
    site = Site()
    assert [message["type"] for message in await _lifespan(site)] == [
        "lifespan.startup.complete", "lifespan.shutdown.complete",
    ]  # fmt: skip
    assert site.lifespan == ["startup", "shutdown"]


async def test_a_failed_start_is_reported_to_the_server() -> None:
    with pytest.raises(ZeroDivisionError):
        await _lifespan(Site(failure=ZeroDivisionError("no")))


@pytest.mark.parametrize(
    ("path", "extensions", "status"),
    [
        ("/v1/socket", {"websocket.http.response": {}}, 426),
        ("/v1/socket", {}, None),
        ("/v1/socket", None, None),
        ("/v1/list", {"websocket.http.response": {}}, None),
        ("/v1/other", {"websocket.http.response": {}}, None),
    ],
)
async def test_a_websocket_handshake_gets_the_http_response_of_its_path(
    path: str, extensions: dict[str, Any] | None, status: int | None
) -> None:
    site, sent = Site((KEY,), UpgradeRequired("Not over WebSocket.")), []

    async def send(message: Any = None) -> Any:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    await site.app({"type": "websocket", "path": path, "headers": headers, "extensions": extensions}, send, send)  # type: ignore[arg-type]
    if status is None:
        assert sent == [{"type": "websocket.close", "code": 1000}]
        return
    start, body = sent
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert (b"upgrade", b"websocket") in start["headers"]
    assert (body["type"], json.loads(body["body"])["failed"]) == ("websocket.http.response.body", "upgrade_required")


async def test_a_template_serves_the_methods_of_several_surfaces() -> None:
    site = Site()
    assert [(await site.get("/v1/item/7", method)).status for method in ("GET", "HEAD", "DELETE")] == [200] * 3
    refused = await site.get("/v1/item/7", "POST")
    assert (refused.status, refused.headers["allow"]) == (405, "DELETE, GET, HEAD")
    assert site.calls[-1][2] == {"id": "7"}


async def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await Site().app({"type": "websocket", "path": "/"}, send, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1000}]
