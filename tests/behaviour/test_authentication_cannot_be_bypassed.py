"""Risk: a path, a spelling, a header or a body gets past the API key."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from support.gateway import PATH
from support.security import BEARER, guarded, imported, routes, send, syntax
from support.served import Served

OPEN = {
    "/",
    "/api/hello",
    "/health",
    "/livez",
    "/healthz",
    "/readyz",
    "/health/liveliness",
    "/health/liveness",
    "/health/readiness",
}


@pytest.mark.parametrize(
    "key",
    ["' OR '1'='1", "sk-x'; DROP TABLE keys; --", '" OR ""="', "%27%20OR%201=1", "\\' UNION SELECT key--", "x" * 9000],
)  # fmt: skip
async def test_s1_keys_are_compared_by_digest_only(key: str) -> None:
    subject = guarded()
    for method, path in routes(subject.app):
        if path in OPEN:
            continue
        for name, value in (("authorization", f"Bearer {key}"), ("x-api-key", key)):
            response = await send(subject.app, method, path, [(name.encode(), value.encode())], None)
            assert response.status == 401, (method, path)
            assert key not in subject.seen(response)


def test_s1_what_clients_send_is_never_a_part_of_sql() -> None:
    """Statements are constants; values are bound to them."""
    imports = set(imported("sqlite3", "sqlalchemy", "psycopg", "asyncpg", "aiosqlite"))
    assert "store/sqlite_responses.py: sqlite3" in imports
    of_others = {name for name in imports if not name.endswith(": sqlite3")}
    assert of_others == {"store/postgres/session.py: asyncpg"}
    assert all(name.startswith(("store/", "cli/doctor/")) for name in imports), imports
    statements = 0
    for file, tree in syntax():
        for node in ast.walk(tree):
            called = getattr(node.func, "attr", "") if isinstance(node, ast.Call) and node.args else ""
            if called.startswith("execute") or (called.startswith("fetch") and file.startswith("store/")):
                assert isinstance(node, ast.Call)
                statements += file.startswith("store/")
                assert _is_constant(node.args[0]) or file.startswith(COMPOSED), (file, node.lineno)
    assert statements > 20


#: Their statements are put together from constants; ``tests/unit/store/ledger/test_sql.py`` shows that no value is.
COMPOSED = (
    "store/ledger/", "store/accounts_file.py", "store/migrate.py",
    "store/postgres/migrate.py",  # files of the package
    "store/postgres/session.py",  # the kind of a transaction, and rounded numbers of settings
    "store/redis/connection.py",  # no SQL: words that are sent with their lengths, so none becomes a part of another
)  # fmt: skip


def _is_constant(sql: ast.expr) -> bool:
    """Whether a statement consists of constants: of the module, the kind of a transaction, or a rounded number."""
    match sql:
        case ast.JoinedStr(values=values):
            return all(_is_constant(part.value if isinstance(part, ast.FormattedValue) else part) for part in values)
        case ast.Call(func=ast.Name(id="round")) | ast.Constant():
            return True
        case ast.Attribute(value=value):
            return _is_constant(value)
        case ast.Name(id=id):
            return id.isupper() or id == "kind"
    return False


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"gateway/health?x=")],
        [(b"host", b"gateway/livez#")],
        [(b"host", b"\xff\xfe")],
        [(b"host", b"")],
        [(b"host", b"g"), (b"x-forwarded-host", b"localhost/health"), (b"x-forwarded-for", b"127.0.0.1")],
        [(b"host", b"g"), (b"x-forwarded-prefix", b"/health"), (b"x-original-url", b"/health")],
        [(b"host", b"g"), (b"x-rewrite-url", b"/livez"), (b"forwarded", b"for=127.0.0.1;host=localhost")],
        [(b"host", b"g"), (b"x-forwarded-email", b"ann@example.com"), (b"x-goog-iap-jwt-assertion", b"a.b.c")],
    ],
)
async def test_s2_host_and_forwarded_headers_do_not_matter(headers: list[tuple[bytes, bytes]]) -> None:
    subject = guarded()
    for method, path in (("GET", "/v1/models"), ("POST", PATH), ("GET", "/metrics")):
        assert (await send(subject.app, method, path, headers, None)).status == 401
        assert (await send(subject.app, method, path, headers, None, query=b"path=/health")).status == 401
    assert (await send(subject.app, "GET", "/health", headers)).status == 200


@pytest.mark.parametrize(
    "target",
    ["/v1/models/../../health", "/health/../v1/models", "//health", "/health/", "/%68ealth", "/health%2f..%2fmetrics",
     "/health;/metrics", "http://x/health", "/HEALTH", "/health%00", "/metrics/", "/./metrics"],
)  # fmt: skip
async def test_s2_no_spelling_of_a_path_gets_past_the_key(target: str) -> None:
    subject = guarded()
    async with Served(subject.app).listening() as server:
        got = await server.talk(f"GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode())
    status = int(got.split()[1])
    page = target in ("/%68ealth", "http://x/health")  # other ways to write /health, which is open
    assert status == 200 if page else status in (400, 401, 404), got[:200]
    assert b"modelmux_requests" not in got


#: Everything that is served. Who adds a path has to think of who may ask it.
ROUTES = {
    ("POST", "/v1/chat/completions"), ("POST", "/chat/completions"),
    ("POST", "/v1/responses"), ("POST", "/responses"), ("GET", "/v1/responses"), ("GET", "/responses"),
    ("POST", "/v1/responses/compact"), ("POST", "/responses/compact"),
    ("POST", "/v1/responses/input_tokens"), ("POST", "/responses/input_tokens"),
    ("GET", "/v1/responses/x"), ("GET", "/responses/x"), ("DELETE", "/v1/responses/x"), ("DELETE", "/responses/x"),
    ("GET", "/v1/responses/x/input_items"), ("GET", "/responses/x/input_items"),
    ("POST", "/v1/responses/x/cancel"), ("POST", "/responses/x/cancel"),
    ("POST", "/v1/messages"), ("POST", "/messages"),
    ("POST", "/v1/messages/count_tokens"), ("POST", "/messages/count_tokens"),
    ("POST", "/projects/x/locations/x/publishers/anthropic/models/count-tokens:rawPredict"),
    ("POST", "/x/projects/x/locations/x/publishers/anthropic/models/count-tokens:rawPredict"),
    ("POST", "/projects/x/locations/x/publishers/anthropic/models/x:rawPredict"),
    ("POST", "/projects/x/locations/x/publishers/anthropic/models/x:streamRawPredict"),
    ("POST", "/x/projects/x/locations/x/publishers/anthropic/models/x:rawPredict"),
    ("POST", "/x/projects/x/locations/x/publishers/anthropic/models/x:streamRawPredict"),
    ("GET", "/v1/key"), ("GET", "/key"), ("GET", "/v1/key/usage"), ("GET", "/key/usage"),
    ("GET", "/v1/models"), ("GET", "/v1/models/x"), ("GET", "/models"), ("GET", "/models/x"), ("GET", "/metrics"),
}  # fmt: skip


async def test_s7_every_path_is_authenticated_or_listed_as_open() -> None:
    subject = guarded()
    served = routes(subject.app)
    authenticated = {(method, path) for method, path in served if path not in OPEN and method != "HEAD"}
    assert authenticated == ROUTES
    for method, path in served:
        response = await send(subject.app, method, path, [], None if path not in OPEN else b"")
        if path in OPEN:
            assert response.status in (200, 503)
        else:
            assert response.status == 401, (method, path)
            if method != "HEAD":
                error = response.json()["error"]
                assert error.get("code", error["type"]) in ("invalid_api_key", "authentication_error")


@pytest.mark.parametrize("path", ["/webhook", "/v1/webhooks", "/api/stripe/webhook", "/callback", "/v1/billing/events"])
async def test_s12_there_are_no_webhooks(path: str) -> None:
    subject = guarded()
    assert (await send(subject.app, "POST", path, [], None)).status == 401
    assert (await send(subject.app, "POST", path, BEARER, b"{}")).status == 404


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=" + "x" * 50_000, "text/plain", ""]
)
async def test_s29_the_key_is_checked_before_the_body_is_read(kind: str) -> None:
    subject = guarded()
    for headers in ([], [(b"authorization", b"Bearer wrong")]):
        pairs = [*headers, (b"content-type", kind.encode()), (b"content-length", b"99999999999")]
        assert (await send(subject.app, "POST", PATH, pairs, None)).status == 401
    if kind and "json" not in kind:
        refused = await send(subject.app, "POST", PATH, [*BEARER, (b"content-type", kind.encode())], None)
        assert refused.status == 415


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/swagger", "/ui", "/static/x.js", "/favicon.ico", "/admin",
             "/debug/pprof", "/.env", "/.git/config", "/v1", "/v1/embeddings", "/v1/files", "/metrics/",
             "/health/../metrics", "/HEALTHZ"]
)  # fmt: skip
async def test_s36_unknown_paths_are_authenticated_too(path: str) -> None:
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
async def test_s39_no_part_of_a_request_is_parsed_before_its_key(path: str, body: bytes) -> None:
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
