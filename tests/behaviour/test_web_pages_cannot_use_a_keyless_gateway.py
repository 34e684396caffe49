"""Risk: a web page that the user of this machine visits calls the keyless gateway on loopback, by a request for which
browsers ask no permission first, or under a name that resolves to 127.0.0.1."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from support.asgi import request
from support.fakes import FakeUpstream, message_reply
from support.gateway import PATH, PROJECT, ask, gateway
from support.served import Served

PAGE = "https://chat.example.com"
BODY = json.dumps(ask()).encode()
JSON = b"Content-Type: application/json\r\n"
HOST = b"Host: 127.0.0.1:3000\r\n"
#: Served without a key where ``server.keyless_vertex_paths`` says so.
VERTEX_PATH = "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-6:rawPredict"
EVIL = b"Origin: https://evil.example\r\n"


def app(**server: Any) -> Gateway:
    return gateway(FakeUpstream([message_reply() for _ in range(9)]), server=server)


async def answer(
    gateway: Gateway, head: bytes, method: bytes = b"POST", path: str = PATH
) -> tuple[int, dict[str, Any]]:
    """The status and the body, sent through our own HTTP server."""
    body = BODY if method == b"POST" else b""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    async with Served(gateway).listening() as server:
        client = await server.connect()
        await client.send(b"%b %b HTTP/1.1\r\n%b%b\r\n%b" % (method, path.encode(), head, length, body))
        status, _, got = await client.response()
        client.close()
    return status, json.loads(got) if got else {}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:3000", "localhost", "LOCALHOST:80", "[::1]:3000", "me.localhost:1", "host.docker.internal:3000",
     "host.containers.internal", "gateway.lan"],
)  # fmt: skip
async def test_clients_on_this_machine_are_served(host: str) -> None:
    status, _ = await answer(app(allowed_hosts=["Gateway.lan"]), b"Host: %b\r\n" % host.encode() + JSON)
    assert status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [(b"POST", PATH), (b"GET", "/v1/models"), (b"GET", "/"), (b"GET", "/metrics"), (b"GET", "/nowhere"),
     (b"OPTIONS", PATH)],
)  # fmt: skip
async def test_a_name_that_resolves_to_loopback_is_not_served(method: bytes, path: str) -> None:
    status, body = await answer(app(), b"Host: rebound.evil.example:3000\r\n" + JSON, method, path)
    assert (status, body["error"]["code"]) == (421, "host_not_allowed")
    assert "rebound.evil.example:3000" in body["error"]["message"]
    assert "server.allowed_hosts" in body["error"]["message"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
async def test_probes_are_answered_under_any_name(path: str) -> None:
    assert (await answer(app(), b"Host: 10.0.0.7\r\n" + EVIL, b"GET", path))[0] == 200


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"http://localhost.evil.example", b"file://"])
async def test_a_page_of_another_origin_is_not_served(origin: bytes) -> None:
    for method, path in ((b"POST", PATH), (b"GET", "/v1/models"), (b"OPTIONS", PATH), (b"GET", "/nowhere")):
        status, body = await answer(app(), HOST + JSON + b"Origin: %b\r\n" % origin, method, path)
        assert (status, body["error"]["code"]) == (403, "origin_not_allowed")
        assert "server.cors_origins" in body["error"]["message"]


@pytest.mark.parametrize(
    "origin",
    [b"http://localhost:5173", b"http://127.0.0.1:3000", b"http://[::1]", b"http://tauri.localhost", PAGE.encode(),
     b"vscode-webview://0d9k", b"app://obsidian.md", b"tauri://localhost"],
)  # fmt: skip
async def test_pages_of_this_machine_and_applications_are_served(origin: bytes) -> None:
    assert (await answer(app(cors_origins=[PAGE]), HOST + JSON + b"Origin: %b\r\n" % origin))[0] == 200


@pytest.mark.parametrize("type", [b"text/plain; json", b"text/plain", b"application/x-www-form-urlencoded; x=json",
                                  b"multipart/form-data; boundary=json"])  # fmt: skip
@pytest.mark.parametrize("origin", [EVIL, b"", b"Origin: http://localhost:5173\r\n"])
async def test_a_body_that_a_page_may_send_anywhere_is_no_json(type: bytes, origin: bytes) -> None:
    status, body = await answer(app(), HOST + origin + b"Content-Type: %b\r\n" % type)
    assert (status, body["error"]["code"]) == (415, "unsupported_media_type")


async def test_a_page_cannot_leave_the_content_type_out() -> None:
    assert (await answer(app(), HOST + EVIL))[0] == 415
    assert (await answer(app(), HOST + b"Origin: null\r\n"))[0] == 415
    assert (await answer(app(), HOST))[0] == 200, "other programs may"


async def test_media_types_are_read_in_any_case() -> None:
    for type in (b"Application/JSON", b"APPLICATION/JSON;CHARSET=UTF-8", b"application/problem+JSON"):
        assert (await answer(app(), HOST + b"Content-Type: %b\r\n" % type))[0] == 200


async def test_a_gateway_with_keys_is_served_under_any_name() -> None:
    head = b"Host: gateway.example.com\r\nx-api-key: sk-modelmux-first\r\n" + JSON + EVIL
    assert (await answer(app(api_keys=["sk-modelmux-first"]), head))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [b"Host: rebound.evil.example\r\n" + JSON, HOST + JSON + EVIL, HOST + EVIL, HOST + JSON + b"Origin: null\r\n",
     HOST + b"Authorization: Bearer ya29.of-the-client\r\n" + JSON + EVIL],
)  # fmt: skip
async def test_a_path_that_needs_no_key_is_checked_although_there_are_keys(headers: bytes) -> None:
    """Pages know no key, but this path asks them for none."""
    keys = {"api_keys": ["sk-modelmux-first"], "keyless_vertex_paths": True}
    assert (await answer(app(**keys), HOST + JSON, path=VERTEX_PATH))[0] == 200
    assert (await answer(app(**keys), headers, path=VERTEX_PATH))[0] in (403, 415, 421)
    key = b"x-api-key: sk-modelmux-first\r\n"
    assert (await answer(app(**keys), b"Host: gateway.example.com\r\n" + key + JSON + EVIL, path=VERTEX_PATH))[0] == 200
    assert (await answer(app(**keys), b"Host: gateway.example.com\r\n" + key + JSON + EVIL))[0] == 200


async def test_a_public_address_without_keys_is_not_touched() -> None:
    public = app(host="0.0.0.0", allow_unauthenticated=True)
    assert (await answer(public, b"Host: gateway.example.com\r\n" + JSON + EVIL))[0] == 200


async def test_a_reload_changes_the_names_but_not_where_it_listens() -> None:
    def config(**server: Any) -> Config:
        return Config.from_dict({"vertex": {"project": PROJECT, "location": "global"}, "server": server})

    running = app()
    page = {"host": "gateway.lan"}
    assert (await request(running, "GET", "/v1/models", b"", page)).status == 421
    await running.reload(config(allowed_hosts=["gateway.lan"]))
    assert (await request(running, "GET", "/v1/models", b"", page)).status == 200
    await running.reload(config(host="0.0.0.0", allow_unauthenticated=True))
    assert (await request(running, "GET", "/v1/models", b"", page)).status == 421
    await running.aclose()


async def test_refusals_are_counted_and_have_the_dialect_of_the_path() -> None:
    subject = app()
    _, body = await answer(subject, b"Host: evil.example\r\n" + JSON, path="/v1/messages")
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    _, body = await answer(subject, HOST + JSON + EVIL, path="/v1/messages")
    assert body["error"]["type"] == "permission_error"
    exposed = subject.metrics.expose().decode()
    for labels in ('code="host_not_allowed",status="421"', 'code="origin_not_allowed",status="403"'):
        assert f"modelmux_error_responses_total{{{labels}}} 1.0" in exposed
