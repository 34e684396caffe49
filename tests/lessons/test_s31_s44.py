"""Security incidents of other gateways, S31 to S44: what happened there does not happen here."""

from __future__ import annotations

import json
import struct
import time
import zlib
from typing import Any

import pytest

from modelmux import Config, ConfigError
from modelmux.app import Gateway, check_exposure
from modelmux.upstream.pool import HttpPool
from support.asgi import request
from support.fakes import FakeTokens, FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway
from support.http_peers import Wire, outcome, peer, pool_of
from support.http_peers import call as made_call
from support.lessons import ask as converse
from support.lessons_more import data_url, picture
from support.processes import free_port
from support.security import BEARER, KEY, PROJECT, PROMPT, ROOT, TOKEN, Tokens, guarded, imported, routes, send
from support.served import Served

#: Every field that a line about a request may have.
LOGGED = {
    "event", "level", "timestamp", "request_id", "route", "deployment", "attempts", "stream", "outcome",
    "status", "code", "message", "duration_s", "time_to_first_token_s", "input_tokens", "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens", "notices", "upstream_request_id",
}  # fmt: skip
#: Headers of ours that a call to Vertex AI may have, beside those of the connection itself.
SENT = {b"authorization", b"content-type", b"accept", b"user-agent", b"anthropic-beta", b"x-goog-user-project"}


async def test_s31_the_open_pages_say_that_it_lives_and_how_much_it_did() -> None:
    subject = guarded(message_reply())
    await send(subject.app, "POST", PATH, BEARER, json.dumps(ask(PROMPT)).encode())
    health = (await send(subject.app, "GET", "/health", [])).json()
    assert set(health) <= {"status", "metrics", "reason"}
    assert all(isinstance(value, int | float) for value in health["metrics"].values())
    for path in ("/livez", "/readyz", "/healthz", "/health/readiness", "/health/liveliness"):
        assert set((await send(subject.app, "GET", path, [])).json()) <= {"status", "reason"}
    assert set((await send(subject.app, "GET", "/", [])).json()) == {"name", "version", "openai_base_path"}


async def test_s32_a_line_about_a_request_holds_known_fields_only() -> None:
    subject = guarded(message_reply())
    body = ask(PROMPT, user="canary-user", metadata={"api_key": "canary-meta"}, logit_bias={"1": 1})
    await send(subject.app, "POST", PATH, BEARER, json.dumps(body).encode())
    (line,) = [event for event in subject.events if event["event"] == "request"]
    unknown = set(line) - LOGGED
    assert not {name for name in unknown if not isinstance(line[name], int | float)}, "a new field may hold text"
    assert "canary" not in json.dumps(line)
    assert not list(imported("langfuse", "sentry_sdk", "opentelemetry", "datadog"))


async def test_s33_no_page_of_another_origin_may_call_unless_it_is_named() -> None:
    asks = [(b"origin", b"https://evil.example"), (b"access-control-request-method", b"POST")]
    subject = guarded()
    for method, path in routes(subject.app):
        for response in (
            await send(subject.app, "OPTIONS", path, asks),
            await send(subject.app, method, path, [*BEARER, *asks], b"{}"),
        ):
            assert not [name for name in response.headers if name.startswith("access-control")]


async def test_s33_not_even_any_origin_gets_credentials() -> None:
    subject = guarded(message_reply(), server={"cors_origins": ["*"]})
    asks = [(b"origin", b"https://any.example"), (b"access-control-request-method", b"POST")]
    preflight = await send(subject.app, "OPTIONS", PATH, asks)
    refused = await send(subject.app, "POST", PATH, [*asks], None)
    answered = await send(subject.app, "POST", PATH, [*BEARER, *asks], json.dumps(ask()).encode())
    assert (preflight.status, refused.status, answered.status) == (204, 401, 200)
    for response in (preflight, refused, answered):
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("key", ["sk-1234", "changeme", "your-api-key", "", "***", "default"])
def test_s34_a_key_out_of_a_manual_starts_nothing(key: str) -> None:
    config = Config.from_dict({"server": {"api_keys": [key]}, "vertex": {"project": "p", "location": "global"}})
    with pytest.raises(ConfigError) as caught:
        Gateway(config, upstream=FakeUpstream([]), tokens=FakeTokens())
    assert "server.api_keys[0]" in str(caught.value)
    assert caught.value.hint


async def test_s34_a_reload_does_not_bring_one_either() -> None:
    subject = guarded()
    vertex = {"project": PROJECT, "location": "global"}
    with pytest.raises(ConfigError):
        await subject.app.reload(Config.from_dict({"server": {"api_keys": ["sk-1234"]}, "vertex": vertex}))
    assert (await send(subject.app, "GET", "/v1/models", [(b"x-api-key", b"sk-1234")])).status == 401
    assert (await send(subject.app, "GET", "/v1/models", BEARER)).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway", "[::]", "0", "127.0.0.1.nip.io"])
def test_s35_whoever_can_be_reached_has_keys(host: str) -> None:
    with pytest.raises(ConfigError):
        check_exposure(Config.from_dict({"server": {"host": host}}))


def test_s35_containers_and_packages_bring_no_way_around() -> None:
    for folder in ("docker", "deb"):
        for file in (ROOT / "packaging" / folder).iterdir():
            if file.is_file():
                text = file.read_text("utf-8").lower()
                assert "allow_unauthenticated=true" not in text.replace(" ", ""), file
                assert "allow_unauthenticated:true" not in text.replace(" ", ""), file
    compose = (ROOT / "packaging" / "docker" / "compose.yaml").read_text("utf-8")
    assert "MODELMUX_API_KEYS:?" in compose
    assert "127.0.0.1:3000:3000" in compose


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/swagger", "/ui", "/static/x.js", "/favicon.ico", "/admin",
             "/debug/pprof", "/.env", "/.git/config", "/v1", "/v1/embeddings", "/v1/files", "/metrics/",
             "/health/../metrics", "/HEALTHZ"]
)  # fmt: skip
async def test_s36_what_is_not_open_by_name_asks_for_a_key_also_where_nothing_is(path: str) -> None:
    subject = guarded()
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
        response = await send(subject.app, method, path, [], None)
        assert response.status in (401, 405), (method, path)
        assert not (response.status == 405 and path not in {"/metrics", "/v1/models"}), (method, path)


async def test_s36_there_are_no_websockets() -> None:
    sent: list[Any] = []

    async def note(message: Any) -> None:
        sent.append(message)

    subject = guarded()
    await subject.app({"type": "websocket", "path": "/v1/realtime", "headers": []}, note, note)
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize("path", [PATH, "/chat/completions"])
@pytest.mark.parametrize("body", [b"{", b"[" * 1000, b'{"model":"x"}', b"\xff", b"import os"])
async def test_s39_nothing_of_a_request_is_looked_at_before_its_key(path: str, body: bytes) -> None:
    subject = guarded()
    for headers in (
        [],
        [(b"authorization", b"Bearer x")],
        [(b"x-api-key", b"\xff")],
        [(b"content-type", b"text/x-python")],
    ):
        response = await send(subject.app, "POST", path, headers, None)
        assert response.status == 401
    assert (await send(subject.app, "POST", path, BEARER, body)).status == 400


_H = b"Host: h\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n"
_SMUGGLED = b"GET /metrics HTTP/1.1\r\n" + _H + b"\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Host: other\r\nContent-Length: 0\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 0\r\nContent-Length: 60\r\n",
        b"Content-Length: +0\r\n",
        b"Content-Length: 0x0\r\n",
        b"Content-Length: 0, 0\r\n",
        b"Content-Length: \x0b0\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: y\r\n folded: z\r\nContent-Length: 0\r\n",
        b"X: a\nContent-Length: 0\r\n",
        b"X: a\rY: b\r\n",
        b"\x00: a\r\n",
        b"X y: a\r\n",
    ],
)
async def test_s40_a_request_that_can_be_read_in_two_ways_is_read_in_none(head: bytes) -> None:
    subject = guarded()
    async with Served(subject.app).listening() as server:
        got = await server.talk(b"POST /v1/chat/completions HTTP/1.1\r\n" + _H + head + b"\r\n" + _SMUGGLED)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"modelmux_requests" not in got


async def test_s40_endless_trailers_cost_no_memory() -> None:
    subject = guarded()
    start = b"POST /v1/chat/completions HTTP/1.1\r\n" + _H + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    async with Served(subject.app).listening() as server:
        got = await server.talk(start + b"x-trailer: " + b"a" * 100 + b"\r\n" + b"t: u\r\n" * 50_000)
    assert got.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


_TWICE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 2\r\n\r\nok",
        b"\x00\x00\x00 HTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_s40_an_upstream_s_reply_that_can_be_read_in_two_ways_is_none(reply: bytes) -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(reply)
        await wire.gone()

    async with peer(talk) as (origin, _), pool_of() as pool:
        found = await outcome(pool, made_call(origin))
        assert isinstance(found, Exception), found
        assert pool.idle == 0


async def test_s40_what_an_upstream_says_unasked_is_nobody_s_answer() -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(_TWICE)
        await wire.gone()

    async with peer(talk) as (origin, listening), pool_of() as pool:
        for _ in range(3):
            assert await outcome(pool, made_call(origin)) == (200, b"ok")
        assert listening.accepted == 3


async def test_s41_what_goes_up_is_built_from_nothing() -> None:
    canaries = [
        (b"cookie", b"session=canary"), (b"proxy-authorization", b"Basic canary"), (b"x-goog-api-key", b"canary"),
        (b"anthropic-api-key", b"canary"), (b"x-forwarded-for", b"203.0.113.7"), (b"forwarded", b"for=canary"),
        (b"user-agent", b"canary/1"), (b"referer", b"https://canary.example"), (b"traceparent", b"00-canary"),
        (b"accept-encoding", b"canary"), (b"te", b"trailers"), (b"openai-organization", b"canary"),
        (b"x-api-key", KEY.encode()),
        (b"x-goog-user-project", b"canary"), (b"content-type", b"application/json; canary=1"),
        (b"x-request-id", b"canary-id"),
    ]  # fmt: skip
    for stream in (False, True):
        subject = guarded(message_reply())
        await send(subject.app, "POST", PATH, [*BEARER, *canaries], json.dumps(ask(stream=stream)).encode())
        (made,) = subject.upstream.calls
        names = [name for name, _ in made.headers]
        assert set(names) <= SENT
        assert len(set(names)) == len(names)
        assert dict(made.headers)[b"authorization"] == b"Bearer " + TOKEN.encode()
        whole = b"\n".join(name + value for name, value in made.headers) + made.body
        for canary in (b"canary/1", b"=canary", b"canary-id", KEY.encode(), b"203.0.113", b"c canary"):
            assert canary not in whole


async def test_s42_no_answer_names_what_is_behind_the_gateway() -> None:
    port = free_port()
    vertex = {"project": PROJECT, "location": "global", "base_url": f"http://127.0.0.1:{port}"}
    settings = Config.from_dict({"vertex": vertex, "server": {"api_keys": [KEY]}, "retries": {"max": 0}})
    app = Gateway(settings, upstream=HttpPool(), tokens=Tokens(), environment={})
    for stream in (False, True):
        response = await send(app, "POST", PATH, BEARER, json.dumps(ask(stream=stream)).encode())
        assert response.status == 502
        for inside in (str(port), "127.0.0.1", "Errno", "refused", PROJECT, TOKEN):
            assert inside not in response.body.decode()
    await app.aclose()


def _bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that would be ``width`` times ``height`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


async def test_s43_pictures_are_never_opened() -> None:
    began = time.perf_counter()
    for size in (1, 8000, 60_000, 2**31 - 1):
        message = {"role": "user", "content": [picture(data_url(_bomb(size, size)))]}
        response = await request(
            gateway(FakeUpstream([message_reply()])), "POST", PATH, ask() | {"messages": [message]}
        )
        assert response.status in (200, 400)
    assert time.perf_counter() - began < 2
    assert not list(imported("PIL", "cv2", "numpy", "imageio", "pypdf", "fitz"))


async def test_s44_nobody_s_key_is_in_a_log() -> None:
    other = "sk-canary-not-ours-9z"
    for style in ("json", "console"):
        subject = guarded(message_reply(), style=style)
        for headers in (BEARER, [(b"x-api-key", other.encode())], [*BEARER, (b"x-api-key", other.encode())]):
            await send(subject.app, "POST", PATH, headers, json.dumps(ask()).encode())
        text = subject.out.getvalue()
        assert text.strip()
        assert KEY not in text
        assert other not in text


async def test_s44_a_request_that_fails_is_logged_without_keys_too() -> None:
    got = await converse(messages=[{"role": "boss"}], headers={"authorization": f"Bearer {KEY}"})
    assert got.status == 400
    assert KEY not in got.response.body.decode()
