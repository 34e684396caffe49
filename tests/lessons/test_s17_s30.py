"""Security incidents of other gateways, S17 to S30: what happened there does not happen here."""

from __future__ import annotations

import ast
import gzip
import json
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.upstream.google_auth.loaders import service_account_info
from support.asgi import request
from support.fakes import SSE_HEADERS, FakeReply, FakeUpstream, message_reply
from support.fetch_servers import PNG, Connects, Names, ok, site
from support.gateway import PATH, ask, gateway
from support.lessons import NEW, USER, Outcome, answer, result, thought, tool, tool_use
from support.lessons import ask as converse
from support.lessons import call as tool_call
from support.lessons import text as text_block
from support.lessons_more import picture, pictures
from support.security import BEARER, KEY, PROJECT, PROMPT, called, guarded, send, syntax

_EXECUTABLE = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
}


def test_s17_a_credential_that_names_a_program_runs_none(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", raising=False)
    ran = tmp_path / "ran"
    source = {"executable": {"command": f"/usr/bin/touch {ran}", "timeout_millis": 5000}}
    loaded = service_account_info(json.dumps(_EXECUTABLE | {"credential_source": source}))(_Never())
    with pytest.raises(Exception, match=r"[Ee]xecutables? (?:need|not allowed|must)|explicitly allowed"):
        loaded.credentials.refresh(_Never())
    assert not ran.exists()


class _Never:
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("nothing is to be asked")


async def test_s18_a_compressed_body_is_refused_unread() -> None:
    subject = guarded()
    for coding in (b"gzip", b"br", b"deflate", b"zstd", b"gzip, gzip", b"GZIP"):
        response = await send(subject.app, "POST", PATH, [*BEARER, (b"content-encoding", coding)], None)
        assert response.status == 415
    assert not list(called("gzip.decompress", "zlib.decompress", "zlib.decompressobj", "brotli.decompress"))


@pytest.mark.parametrize("stream", [False, True])
async def test_s18_a_compressed_reply_is_not_blown_up(stream: bool) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 60_000
    headers = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
    subject = guarded(FakeReply(200, SSE_HEADERS if stream else headers, [bomb]), retries={"max": 0})
    response = await send(subject.app, "POST", PATH, BEARER, json.dumps(ask(stream=stream)).encode())
    assert response.status == 502
    assert len(response.body) < 2000


async def test_s18_a_compressed_download_is_not_blown_up() -> None:
    bomb = gzip.compress(PNG + b"0" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    async with pictures({"/": head % len(bomb) + bomb}) as (served, settings):
        app = gateway(upstream := FakeUpstream([]), **settings)
        said = await request(
            app, "POST", PATH, ask() | {"messages": [{"role": "user", "content": [picture(served.url())]}]}
        )
        await app.aclose()
        assert b"accept-encoding: identity" in served.heads[0].lower()
    assert said.status == 400
    assert not upstream.calls


async def _second_turn(app: Gateway, upstream: FakeUpstream, key: str) -> list[Any]:
    body = ask(model=NEW, tools=[tool()], reasoning_effort="high") | {
        "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [tool_call()]}, result()]
    }
    await request(app, "POST", PATH, body, {"x-api-key": key})
    blocks = upstream.body()["messages"][1]["content"]
    return [block["type"] for block in blocks]


async def test_s19_one_key_never_gets_what_another_s_answers_left() -> None:
    first = answer(thought("a secret of A"), tool_use(), stop_reason="tool_use", stream=True)
    upstream = FakeUpstream([first, message_reply(), message_reply(), message_reply()])
    app = gateway(upstream, server={"api_keys": ["sk-tenant-a", "sk-tenant-b"]})
    body = ask(model=NEW, tools=[tool()], reasoning_effort="high", stream=True)
    await request(app, "POST", PATH, body, {"x-api-key": "sk-tenant-a"})
    assert "thinking" in await _second_turn(app, upstream, "sk-tenant-a")
    assert "thinking" not in await _second_turn(app, upstream, "sk-tenant-b")
    assert b"a secret of A" not in upstream.calls[-1].body


@pytest.mark.parametrize(
    "text", ["claude\r\nx-evil: 1", "claude HTTP/1.1\r\nHost: evil\r\n\r\nGET /", "../../../v1beta1/x",
             "a/b:rawPredict?x=", "claude\x00", "claude\u2028", "%0d%0aevil", "claude-sonnet-4-6:rawPredict#"]
)  # fmt: skip
async def test_s20_a_model_s_name_gets_into_no_url_and_no_header(text: str) -> None:
    for settings in (
        {},
        {"vertex": {"project": PROJECT, "location": "global", "model": NEW, "default_for_unknown_models": True}},
    ):
        subject = guarded(message_reply(), **settings)
        response = await send(subject.app, "POST", PATH, BEARER, json.dumps(ask() | {"model": text}).encode())
        for made in subject.upstream.calls:
            assert made.target.endswith(f"/models/{NEW}:rawPredict")
            assert all(b"evil" not in value for _, value in made.headers)
        assert response.status == (200 if subject.upstream.calls else 404)
        assert not any("evil" in value for value in response.headers.values())


@pytest.mark.parametrize("beta", ["x\r\nevil: 1", "computer-use-2025-01-24, evil", "\u00ff\u00fe", "a" * 9000])
async def test_s20_a_client_s_beta_header_does_not_go_up(beta: str) -> None:
    subject = guarded(message_reply())
    headers = [*BEARER, (b"anthropic-beta", beta.encode("latin-1")), (b"anthropic-version", b"evil")]
    assert (await send(subject.app, "POST", PATH, headers, json.dumps(ask()).encode())).status == 200
    (made,) = subject.upstream.calls
    assert b"anthropic-beta" not in dict(made.headers)
    assert b"evil" not in b"".join(value for _, value in made.headers) + made.body


@pytest.mark.parametrize("value", ["req\r\nset-cookie: a=b", "req\nx", "a b", "\x1b[31m", "é", "x" * 129, ""])
async def test_s20_a_request_id_is_taken_only_if_it_is_one(value: str) -> None:
    subject = guarded()
    response = await send(subject.app, "GET", "/v1/models", [*BEARER, (b"x-request-id", value.encode())])
    assert response.headers["x-request-id"].startswith("req_")
    assert "set-cookie" not in response.headers


async def test_s20_no_notice_breaks_out_of_its_header() -> None:
    for text in ("a\r\nx-evil: 1", "a, forged=yes", "é", "x" * 5000, "a\x00b"):
        got = await converse(**{text: 1})
        line = got.response.headers.get("x-modelmux-notices", "")
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 4096
        assert "x-evil" not in got.response.headers
        assert "forged=yes" not in got.notices


async def test_s21_keys_that_begin_or_end_alike_are_strangers() -> None:
    stem = "sk-modelmux-" + "a" * 60
    keys = [f"{stem}1", f"{stem}2", f"1{stem}"]
    app = gateway(FakeUpstream([]), server={"api_keys": keys})
    for wrong in (stem, stem + "3", stem + "12", "2" + stem, keys[0][:-1], keys[0].upper(), keys[0] + "\u00a0"):
        assert (await request(app, "GET", "/v1/models", headers={"x-api-key": wrong})).status == 401
    for right in keys:
        assert (await request(app, "GET", "/v1/models", headers={"x-api-key": right})).status == 200
    first = answer(thought("of the first"), tool_use(), stop_reason="tool_use", stream=True)
    upstream = FakeUpstream([first, message_reply(), message_reply()])
    app = gateway(upstream, server={"api_keys": keys})
    body = ask(model=NEW, tools=[tool()], reasoning_effort="high", stream=True)
    await request(app, "POST", PATH, body, {"x-api-key": keys[0]})
    assert "thinking" not in await _second_turn(app, upstream, keys[1])


@pytest.mark.parametrize(
    "reference", ["os.environ/HOME", "${HOME}", "$HOME", "env:HOME", "file:///etc/hostname", "@/etc/hostname"]
)
async def test_s22_no_request_names_a_variable_or_a_file(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/canary-home")
    got = await converse(messages=[{"role": "user", "content": reference}], user=reference, metadata={"a": reference})
    assert b"canary-home" not in got.upstream.calls[-1].body
    assert reference.encode() in got.upstream.calls[-1].body
    refused = await request(
        gateway(FakeUpstream([])),
        "POST",
        PATH,
        ask() | {"messages": [{"role": "user", "content": [picture(reference)]}]},
    )
    assert refused.status == 400


async def test_s22_nothing_served_writes_settings() -> None:
    subject = guarded()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in (
            "/config",
            "/config/update",
            "/v1/config",
            "/admin/config",
            "/key/generate",
            "/v1/models",
            "/metrics",
        ):
            assert (await send(subject.app, method, path, BEARER, b"{}")).status in (404, 405)


def test_s25_nothing_is_made_into_code() -> None:
    forbidden = (
        "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "pickle.dumps", "marshal.loads",
        "shelve.open",
        "yaml.load", "yaml.unsafe_load", "yaml.full_load", "dill.loads", "jsonpickle.decode", "os.system", "os.popen",
        "subprocess.getoutput", "tempfile.mktemp", "ssl._create_unverified_context",
    )  # fmt: skip
    assert not list(called(*forbidden))


def test_s25_no_shell_and_no_unchecked_certificate() -> None:
    for file, tree in syntax():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("shell", "verify", "check_hostname"):
                value = node.value
                off = isinstance(value, ast.Constant) and value.value is (node.arg == "shell")
                assert not off, f"{file}:{value.lineno}: {node.arg}={ast.unparse(value)}"
            if isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
                pytest.fail(f"{file}:{node.lineno}: certificates go unchecked")


def test_s25_yaml_is_read_by_the_safe_loader() -> None:
    for file, tree in syntax():
        loaders = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute) and n.attr.endswith("Loader") and ast.unparse(n.value) == "yaml"
        ]
        assert all("Safe" in n.attr for n in loaders), file


@pytest.mark.parametrize("stream", [False, True])
async def test_s26_calls_and_texts_reach_the_client_as_the_model_made_them(stream: bool) -> None:
    given = {"command": 'rm -rf /tmp/x; echo "é\\n"', "n": 1.0, "deep": {"b": [None, True], "a": ""}}
    got: Outcome = await converse(
        answer(text_block("Run <b>this</b> \u202e now"), tool_use(value=given), stop_reason="tool_use", stream=stream),
        tools=[tool()],
        stream=stream,
    )
    assert got.message["content"] == "Run <b>this</b> \u202e now"
    (made,) = got.message["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == given
    assert made["function"]["name"] == "get_weather"


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/v1/models/../../etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd", "//etc/passwd",
             "/v1/models//etc/passwd", "/v1/models/\x00", "/static/../app.py", "/v1/files/../../x",
             "/v1/models/" + "../" * 500]
)  # fmt: skip
async def test_s27_no_path_of_a_request_is_a_path_of_a_disk(path: str) -> None:
    subject = guarded()
    response = await send(subject.app, "GET", path, BEARER)
    assert response.status == 404
    assert "root:" not in response.body.decode()


async def test_s27_no_file_name_of_a_request_is_opened(tmp_path: Any) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("canary of the disk")
    for file in ({"file_data": str(secret)}, {"file_data": f"file://{secret}"}, {"file_id": f"../../{secret}"},
                 {"filename": str(secret), "file_data": "data:text/plain;base64,aGk="}):  # fmt: skip
        upstream = FakeUpstream([message_reply()])
        message = {"role": "user", "content": [{"type": "file", "file": file}]}
        await request(gateway(upstream), "POST", PATH, ask() | {"messages": [message]})
        assert all(b"canary of the disk" not in made.body for made in upstream.calls)


def test_s27_what_serves_requests_opens_no_files() -> None:
    serving = (
        "server/",
        "gateway/",
        "routing/",
        "claude/",
        "dialects/",
        "providers/",
        "wire/",
        "upstream/downloads",
        "upstream/http1",
    )
    opened = list(called("open", "Path", "pathlib.Path", "os.open", "io.open"))
    assert not [found for found in opened if found.startswith(serving)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fetch": {"allow_private": ["0.0.0.0/0", "::/0"], "extra_ports": list(range(1, 2000))}},
        {"fetch": {"allow": ["metadata.google.internal", "169.254.169.254", "rebind.example"]}},
        {"fetch": {"allow_private": ["169.254.0.0/16"], "timeout": 1}},
    ],
)
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://metadata.google.internal/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://rebind.example/",
    ],
)
async def test_s28_the_guard_holds_with_every_opt_in(
    settings: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site({"/": ok(), "/latest": ok()}) as inside:
        connects = Connects(monkeypatch, inside)
        app = gateway(upstream := FakeUpstream([]), **settings)
        app._current.fetcher._guard._resolver = Names(rebind_example=[["169.254.169.254"]])
        body = ask() | {"messages": [{"role": "user", "content": [picture(url)]}]}
        assert (await request(app, "POST", PATH, body)).status == 400
        await app.aclose()
        assert not connects.addresses
    assert not upstream.calls


async def test_s28_without_downloads_no_url_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site({"/": ok()}) as outside:
        connects = Connects(monkeypatch, outside)
        app = gateway(
            FakeUpstream([]), fetch={"enabled": False, "allow_private": ["127.0.0.0/8"], "extra_ports": [outside.port]}
        )
        body = ask() | {"messages": [{"role": "user", "content": [picture(outside.url())]}]}
        assert (await request(app, "POST", PATH, body)).status == 400
        await app.aclose()
        assert not connects.addresses


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=" + "x" * 50_000, "text/plain", ""]
)
async def test_s29_the_key_is_asked_for_before_the_body_is_touched(kind: str) -> None:
    subject = guarded()
    for headers in ([], [(b"authorization", b"Bearer wrong")]):
        pairs = [*headers, (b"content-type", kind.encode()), (b"content-length", b"99999999999")]
        assert (await send(subject.app, "POST", PATH, pairs, None)).status == 401
    if kind and "json" not in kind:
        refused = await send(subject.app, "POST", PATH, [*BEARER, (b"content-type", kind.encode())], None)
        assert refused.status == 415


async def test_s30_metrics_need_a_key_and_name_nobody() -> None:
    subject = guarded(message_reply(), message_reply())
    assert (await send(subject.app, "GET", "/metrics", [])).status == 401
    person = "canary-person@example.com"
    headers = [*BEARER, (b"user-agent", b"canary-agent/1.0"), (b"x-forwarded-for", b"203.0.113.99")]
    for model in (None, "canary-model-name"):
        body = ask(PROMPT, user=person, metadata={"who": person}) | ({"model": model} if model else {})
        await send(subject.app, "POST", PATH, headers, json.dumps(body).encode())
    page = await send(subject.app, "GET", "/metrics", BEARER)
    assert page.status == 200
    text = page.body.decode()
    assert "modelmux_requests_total" in text
    for canary in (KEY, person, PROMPT, PROJECT, "canary", "203.0.113.99"):
        assert canary not in text
