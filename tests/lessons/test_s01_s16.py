"""Security incidents of other gateways, S1 to S16: what happened there does not happen here."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelmux import Config, ConfigError
from modelmux.app import check_exposure
from modelmux.config.values import Secret
from modelmux.errors import UpstreamBroken
from support.asgi import request
from support.fakes import FakeReply, FakeUpstream, error_reply, message_reply, stream_reply, text_events
from support.fetch_servers import Connects, Names, ok, site
from support.gateway import PATH, ask, gateway
from support.lessons import USER
from support.lessons import ask as converse
from support.lessons_more import picture
from support.security import (
    BEARER,
    KEY,
    PROJECT,
    PROMPT,
    ROOT,
    SOURCE,
    TOKEN,
    called,
    guarded,
    imported,
    routes,
    send,
)
from support.served import Served

#: Everything that is served. Who adds a path has to think of who may ask it.
ROUTES = {
    ("POST", "/v1/chat/completions"), ("POST", "/chat/completions"),
    ("GET", "/v1/models"), ("GET", "/v1/models/x"), ("GET", "/models"), ("GET", "/models/x"), ("GET", "/metrics"),
}  # fmt: skip
OPEN = {"/", "/health", "/livez", "/healthz", "/readyz", "/health/liveliness", "/health/liveness", "/health/readiness"}


@pytest.mark.parametrize(
    "key",
    ["' OR '1'='1", "sk-x'; DROP TABLE keys; --", '" OR ""="', "%27%20OR%201=1", "\\' UNION SELECT key--", "x" * 9000],
)  # fmt: skip
async def test_s1_a_key_is_looked_up_by_its_digest_only(key: str) -> None:
    subject = guarded()
    for method, path in routes(subject.app):
        if path in OPEN:
            continue
        for name, value in (("authorization", f"Bearer {key}"), ("x-api-key", key)):
            response = await send(subject.app, method, path, [(name.encode(), value.encode())], None)
            assert response.status == 401, (method, path)
            assert key not in subject.seen(response)


def test_s1_there_is_no_sql() -> None:
    assert not list(imported("sqlite3", "sqlalchemy", "psycopg", "asyncpg", "aiosqlite"))


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
    ],
)
async def test_s2_who_may_call_is_decided_by_the_path_that_is_served(headers: list[tuple[bytes, bytes]]) -> None:
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
async def test_s2_no_spelling_of_a_path_gets_behind_the_key(target: str) -> None:
    subject = guarded()
    async with Served(subject.app).listening() as server:
        got = await server.talk(f"GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode())
    status = int(got.split()[1])
    page = target in ("/%68ealth", "http://x/health")  # other ways to write /health, which is open
    assert status == 200 if page else status in (400, 401, 404), got[:200]
    assert b"modelmux_requests" not in got


@pytest.mark.parametrize(
    "field", ["api_base", "base_url", "api_key", "vertex_project", "vertex_location",
              "vertex_credentials", "extra_headers", "custom_llm_provider", "aws_sts_endpoint", "litellm_params", "url",
              "project", "location"]
)  # fmt: skip
async def test_s3_a_body_never_says_where_or_as_whom(field: str) -> None:
    subject = guarded(message_reply())
    body = ask(**{field: "http://attacker.example/"})
    response = await send(subject.app, "POST", PATH, BEARER, json.dumps(body).encode())
    if response.status == 400:
        assert not subject.upstream.calls
        return
    (call,) = subject.upstream.calls
    assert call.origin.host == "aiplatform.googleapis.com"
    assert call.target.startswith(f"/v1/projects/{PROJECT}/locations/global/publishers/anthropic/models/")
    assert dict(call.headers)[b"authorization"] == f"Bearer {TOKEN}".encode()
    assert b"attacker" not in call.body


async def test_s4_what_callers_write_is_never_a_template() -> None:
    text = "{{7*7}} ${7*7} <%= 7*7 %> {% import os %} #{7*7} {0.__class__} %(x)s $HOME {env:HOME}"
    got = await converse(
        messages=[{"role": "system", "content": text}, {"role": "user", "content": text}],
        tools=[{"type": "function", "function": {"name": "f", "description": text, "parameters": {"title": text}}}],
    )
    sent = got.sent
    assert sent["system"] in (text, [{"type": "text", "text": text}])
    assert sent["messages"][0]["content"] in (text, [{"type": "text", "text": text}])
    assert sent["tools"][0]["description"] == text
    assert not list(imported("jinja2", "mako", "chevron"))


def test_s5_nothing_that_serves_requests_starts_a_process() -> None:
    starters = {"subprocess", "multiprocessing", "pty"}
    calls = {"os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.fork", "os.spawnv"}
    serving = (
        "server/",
        "gateway/",
        "routing/",
        "claude/",
        "dialects/",
        "providers/",
        "wire/",
        "upstream/",
        "catalog/",
        "telemetry/",
        "app.py",
    )
    assert not [found for found in (*imported(*starters), *called(*calls)) if found.startswith(serving)]


def test_s6_a_secret_shows_itself_in_no_way() -> None:
    secret = Secret(KEY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        str([secret]),
        repr([secret]),
        repr({"k": secret}),
    ]
    for text in shown:
        assert KEY not in text
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    config = Config.from_dict({"server": {"api_keys": [KEY]}, "auth": {"access_token": TOKEN}})
    for part in (config, config.server, config.auth, copy.deepcopy(config.auth)):
        assert KEY not in repr(part)
        assert TOKEN not in repr(part)


async def test_s7_every_route_asks_for_a_key_but_those_that_are_open_by_name() -> None:
    subject = guarded()
    served = routes(subject.app)
    asked = {(method, path) for method, path in served if path not in OPEN and method != "HEAD"}
    assert asked == ROUTES
    for method, path in served:
        response = await send(subject.app, method, path, [], None if path not in OPEN else b"")
        if path in OPEN:
            assert response.status in (200, 503)
        else:
            assert response.status == 401, (method, path)
            if method != "HEAD":
                assert response.json()["error"]["code"] == "invalid_api_key"


def test_s8_what_is_installed_is_pinned_by_its_hash_and_short() -> None:
    locked = (ROOT / "requirements" / "run.lock").read_text("utf-8")
    pins = re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE)
    assert len(pins) < 40
    for block in re.split(r"\n(?=[a-z0-9])", locked.strip()):
        if "==" in block.split("\n")[0]:
            assert "--hash=sha256:" in block, block[:80]
    for file in (ROOT / "Makefile", ROOT / "packaging" / "docker" / "Dockerfile"):
        assert "--require-hashes" in file.read_text("utf-8"), file
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["src/modelmux"]}
    assert len(project["project"]["dependencies"]) <= 14


_AUDITED = {"name": "a", "version": "1", "vulns": []}
_HOLE = {"name": "b", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
_SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "said", "code"),
    [
        ([_AUDITED, _AUDITED], "", 0),
        ([_AUDITED, _HOLE], "", 1),
        ([_AUDITED, _SKIPPED], "", 1),
        ([_SKIPPED, _SKIPPED], "", 0),  # an index without advisories
        (None, "requests.exceptions.ConnectionError: Max retries exceeded", 0),
        (None, "error: unrecognized arguments", 1),
    ],
)
def test_s8_the_audit_fails_unless_nothing_could_be_known(
    tmp_path: Path, dependencies: Any, said: str, code: int
) -> None:
    fake, shown = tmp_path / "pip-audit", "" if dependencies is None else json.dumps({"dependencies": dependencies})
    fake.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.write({shown!r})\nsys.stderr.write({said!r})\n")
    fake.chmod(0o700)
    audit = [sys.executable, str(ROOT / ".ci" / "audit.py"), str(fake), "x"]
    ran = subprocess.run(audit, capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == code, ran.stderr
    assert ("NOT AUDITED" in ran.stderr) == (code == 0 and dependencies != [_AUDITED, _AUDITED])
    assert "make audit" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_s8_nothing_in_the_package_runs_by_being_installed() -> None:
    kinds = {file.suffix for file in SOURCE.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert kinds <= {
        ".py",
        ".toml",
        ".typed",
        ".service",
        ".txt",
        ".json",
        ".md",
        ".yaml",
        ".css",
        ".js",
        ".html",
        ".svg",
    }
    assert not list(SOURCE.rglob("*.pth"))
    workflows = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/workflows/*.yaml")]
    for workflow in workflows:
        for used in re.findall(r"uses:\s*(\S+)", workflow.read_text("utf-8")):
            assert re.search(r"@[0-9a-f]{40}$", used), f"{workflow.name}: {used} is not pinned by its hash"


_INSIDE = [
    "http://0.0.0.0/", "http://[::]/", "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0251.0376.0251.0376/",
    "http://0xa9fea9fe/", "http://169。254。169。254/", "http://metadata.google.internal/", "http://user@169.254.169.254/",
    "http://127.1/", "http://localhost/", "http://rebind.example/", "http://[fd00:ec2::254]/", "http://a.example@127.0.0.1/",
    "http://127.0.0.1:80\\@a.example/", "gopher://127.0.0.1/", "file:///etc/passwd", "http://a.example:22/",
]  # fmt: skip


@pytest.mark.parametrize("url", _INSIDE)
async def test_s9_no_url_of_a_request_leads_inside(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(rebind_example=[["93.184.215.14", "10.0.0.1"]], a_example=[["10.0.0.1"]])
    async with site({"/": ok()}) as inside:
        connects = Connects(monkeypatch, inside)
        app = gateway(upstream := FakeUpstream([]))
        app._current.fetcher._guard._resolver = names
        response = await request(app, "POST", PATH, ask() | {"messages": [{"role": "user", "content": [picture(url)]}]})
        await app.aclose()
        assert response.status == 400, response.body
        assert not connects.addresses
        assert not inside.heads
    assert not upstream.calls


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}},
        {"type": "image_url", "image_url": "http://169.254.169.254/"},
        {"type": "file", "file": {"file_data": "http://169.254.169.254/", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_url": "http://169.254.169.254/"}},
    ],
)
async def test_s10_every_feature_that_fetches_asks_the_same_guard(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site({"/": ok()}) as inside:
        connects = Connects(monkeypatch, inside)
        for role in ("user", "tool"):
            call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            turns = [USER, {"role": "assistant", "tool_calls": [call]}] if role == "tool" else []
            message = {"role": role, "content": [part]} | ({"tool_call_id": "c"} if role == "tool" else {})
            app = gateway(upstream := FakeUpstream([message_reply()]))
            response = await request(app, "POST", PATH, ask() | {"messages": [*turns, message]})
            await app.aclose()
            assert response.status == 400, response.body
            assert not upstream.calls
        assert not connects.addresses


def test_s10_one_module_opens_urls() -> None:
    clients = {"urllib.request", "http.client", "requests", "httpx", "aiohttp", "socket"}
    serving = (
        "server/",
        "gateway/",
        "claude/",
        "dialects/",
        "providers/",
        "routing/",
        "wire/",
        "catalog/",
        "telemetry/",
    )
    found = [f for f in imported("urllib", "http", "requests", "httpx", "aiohttp", "socket") if f.startswith(serving)]
    assert not [f for f in found if f.partition(": ")[2] in clients]


@pytest.mark.parametrize(
    "header", ["x-portkey-custom-host", "x-portkey-config", "x-base-url", "x-upstream-url", "openai-base-url",
               "x-goog-user-project", "x-api-base", "helicone-target-url", "x-modelmux-upstream"]
)  # fmt: skip
async def test_s11_no_header_chooses_the_upstream(header: str) -> None:
    got = await converse(headers={header: "http://127.0.0.1:1/"})
    (call,) = got.upstream.calls
    assert (call.origin.scheme, call.origin.host) == ("https", "aiplatform.googleapis.com")
    assert all(b"127.0.0.1" not in value for _, value in call.headers)


@pytest.mark.parametrize("path", ["/webhook", "/v1/webhooks", "/api/stripe/webhook", "/callback", "/v1/billing/events"])
async def test_s12_nobody_can_tell_the_gateway_of_events(path: str) -> None:
    subject = guarded()
    assert (await send(subject.app, "POST", path, [], None)).status == 401
    assert (await send(subject.app, "POST", path, BEARER, b"{}")).status == 404


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)"])
async def test_s13_nothing_is_served_that_a_browser_would_run(text: str) -> None:
    subject = guarded()
    for method, path in [*routes(subject.app), ("GET", f"/{text}"), ("GET", f"/v1/models/{text}")]:
        body = json.dumps(ask() | {"model": text}).encode()
        response = await send(subject.app, method, path, BEARER, body)
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in {"application/json", "text/plain", "text/event-stream"}, (path, kind)


@pytest.mark.parametrize("query", [f"key={KEY}", f"api_key={KEY}", f"access_token={KEY}", f"x-api-key={KEY}"])
async def test_s14_a_key_in_the_query_opens_nothing_and_is_written_nowhere(query: str) -> None:
    subject = guarded(message_reply())
    response = await send(subject.app, "POST", PATH, [], None, query=query.encode())
    assert response.status == 401
    passed = await send(subject.app, "POST", PATH, BEARER, json.dumps(ask()).encode(), query=query.encode())
    assert passed.status == 200
    assert KEY not in subject.seen(response, passed)
    assert KEY not in subject.upstream.calls[0].target


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "step",
    [
        UpstreamBroken("The connection was lost.", reply_started=True),
        FakeReply(200, [(b"content-type", b"application/json")], [b"<html>"]),
        FakeReply(500, [], [b"\xff\xfe"]),
        error_reply(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        stream_reply(*text_events("fine")[:4]),
        lambda call: json.loads(call.body)["no such key"],
        lambda call: (_ for _ in ()).throw(ValueError(call.body.decode())),
    ],
    ids=["lost", "html", "bytes", "overloaded", "cut", "key error", "quoting"],
)
async def test_s15_no_error_holds_what_was_said(step: Any, stream: bool) -> None:
    subject = guarded(step, retries={"max": 0})
    body = json.dumps(ask(PROMPT, stream=stream)).encode()
    response = await send(subject.app, "POST", PATH, BEARER, body)
    assert response.status >= 400 or b'"error"' in response.body
    assert PROMPT not in subject.seen(response)


async def test_s16_the_defaults_are_those_of_a_stranger_s_network() -> None:
    assert Config().server.host == "127.0.0.1"
    with pytest.raises(ConfigError, match="api_keys is empty"):
        check_exposure(Config.from_dict({"server": {"host": "0.0.0.0"}}))
    response = await send(gateway(FakeUpstream([])), "GET", "/v1/models", [(b"origin", b"https://evil.example")])
    assert not [name for name in response.headers if name.startswith("access-control")]
